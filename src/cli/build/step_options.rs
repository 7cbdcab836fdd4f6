//! Options on RUN: rights, limits, names of hosts.

use std::net::IpAddr;

use ::build::{StepNetwork, StepOptions};
use clap::ArgAction;
use clap::builder::BoolishValueParser;
use sandbox::{Capabilities, Capability, Limit, Privileges, Resource};

use crate::failure::{Failure, Status};
use crate::values;

/// What every RUN of a build has.
#[derive(Debug, clap::Args)]
pub(crate) struct StepArguments {
    /// Give RUN a capability beside the usual ones
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    cap_add: Vec<String>,
    /// Take a capability from RUN, or all of them
    #[arg(long, value_name = "CAP", value_delimiter = ',')]
    cap_drop: Vec<String>,
    /// no-new-privileges: let RUN gain nothing from set-user-id programs and file capabilities
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Limit a resource of RUN, such as nofile=1024:4096; limits are only ever lowered
    #[arg(long, value_name = "TYPE=SOFT[:HARD]", value_delimiter = ',', value_parser = limit)]
    ulimit: Vec<Limit>,
    /// The size of /dev/shm in RUN
    #[arg(long, value_name = "SIZE", value_parser = values::bytes)]
    shm_size: Option<u64>,
    /// A device RUN needs; it has /dev/null, zero, full, random, urandom and tty
    #[arg(long, value_name = "PATH", value_parser = device)]
    device: Vec<String>,
    /// Run steps with this group too, by name or number as the image has it
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    group_add: Vec<String>,
    /// A line of /etc/hosts in RUN
    #[arg(long, value_name = "HOST:IP", value_delimiter = ',', value_parser = host, conflicts_with = "no_hosts")]
    add_host: Vec<(String, String)>,
    /// Leave /etc/hosts in RUN to the image
    #[arg(long)]
    no_hosts: bool,
    /// The host name in RUN
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    hostname: Option<String>,
    /// Leave /etc/hostname in RUN to the image
    #[arg(long)]
    no_hostname: bool,
    /// A server in /etc/resolv.conf of RUN; none leaves that file to the image
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    dns: Vec<String>,
    /// A domain to search in /etc/resolv.conf of RUN
    #[arg(long, value_name = "DOMAIN", value_delimiter = ',', value_parser = word)]
    dns_search: Vec<String>,
    /// An option in /etc/resolv.conf of RUN
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION", value_delimiter = ',', value_parser = word)]
    dns_option: Vec<String>,
    /// Whether RUN sees the proxy variables of the environment
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub(crate) http_proxy: bool,
}

fn usage(text: impl Into<String>) -> Failure {
    Failure::new(Status::Usage, text)
}

impl StepArguments {
    /// As the build takes them.
    pub(crate) fn options(&self, network: StepNetwork) -> Result<StepOptions, Failure> {
        self.check_dns(network)?;
        let hosts = self.add_host.iter().map(|(name, address)| (address.clone(), name.clone()));
        Ok(StepOptions {
            hostname: self.hostname.clone(),
            keeps_hosts: self.no_hosts,
            keeps_hostname: self.no_hostname,
            keeps_resolv_conf: self.is_without_dns(),
            hosts: hosts.collect(),
            shm_size: self.shm_size,
            capabilities: self.capabilities()?,
            privileges: self.privileges()?,
            groups: self.groups()?,
        })
    }

    /// Limits of `--ulimit`.
    pub(crate) fn limits(&self) -> &[Limit] {
        &self.ulimit
    }

    /// What a user should know who asked for more than there is.
    pub(crate) fn notes(&self) -> Vec<String> {
        let note = |limit: &Limit| {
            let ceiling = limit.resource.ceiling();
            let (name, _) = ULIMITS.iter().find(|(_, resource)| *resource == limit.resource)?;
            let is_above = limit.hard.max(limit.soft) > ceiling;
            is_above.then(|| format!("--ulimit {name}: this process may have {ceiling}, so steps get no more"))
        };
        self.ulimit.iter().filter_map(note).collect()
    }

    fn capabilities(&self) -> Result<Capabilities, Failure> {
        let is_all = |name: &String| name.eq_ignore_ascii_case("all");
        let mut capabilities = Capabilities::default();
        if self.cap_add.iter().any(is_all) {
            let help = "name the capabilities that the step needs";
            return Err(usage("--cap-add all: a step never has all of them").help(help));
        }
        for name in &self.cap_add {
            let added = name.parse::<Capability>().and_then(|capability| capabilities.add(capability));
            added.map_err(|error| usage(format!("--cap-add {name}: {error}")))?;
        }
        for name in &self.cap_drop {
            if is_all(name) {
                capabilities.drop_all();
                continue;
            }
            let capability = name.parse::<Capability>();
            capabilities.drop(capability.map_err(|error| usage(format!("--cap-drop {name}: {error}")))?);
        }
        Ok(capabilities)
    }

    fn privileges(&self) -> Result<Privileges, Failure> {
        let mut privileges = Privileges::default();
        for option in &self.security_opt {
            match security(option).map_err(|why| usage(format!("--security-opt {option}: {why}")))? {
                Security::Nothing => {}
                Security::NoNewPrivileges => privileges = Privileges::Fixed,
            }
        }
        Ok(privileges)
    }

    fn groups(&self) -> Result<Vec<String>, Failure> {
        if self.group_add.iter().any(|group| group == "keep-groups") {
            let text = "--group-add keep-groups: the groups of the user who builds have no numbers in the sandbox";
            return Err(usage(text).help("name groups as the image has them"));
        }
        Ok(self.group_add.clone())
    }

    fn is_without_dns(&self) -> bool {
        self.dns.iter().any(|server| server.eq_ignore_ascii_case("none"))
    }

    fn check_dns(&self, network: StepNetwork) -> Result<(), Failure> {
        let options = [
            ("--dns", !self.dns.is_empty()),
            ("--dns-search", !self.dns_search.is_empty()),
            ("--dns-option", !self.dns_option.is_empty()),
        ];
        let given = options.iter().filter(|(_, is_given)| *is_given).map(|(name, _)| *name);
        for name in given.clone() {
            match network {
                StepNetwork::Host => {}
                StepNetwork::None => return Err(usage(format!("{name} cannot be used with --network none"))),
                StepNetwork::Gateway => {
                    let text = format!("{name} cannot be used with --network gateway: steps resolve no names there");
                    return Err(usage(text).help("use --network host, or leave it out"));
                }
            }
        }
        if self.is_without_dns() && (self.dns.len() > 1 || given.count() > 1) {
            return Err(usage(
                "--dns none leaves /etc/resolv.conf to the image, so no other --dns option can be given",
            ));
        }
        let is_address = |server: &&String| server.parse::<IpAddr>().is_err();
        match self.dns.iter().filter(|_| !self.is_without_dns()).find(is_address) {
            Some(server) => Err(usage(format!("--dns {server}: not an IP address"))),
            None => Ok(()),
        }
    }

    /// The machine's resolv.conf with what is asked for instead of its lines of that kind.
    pub(crate) fn resolv_conf(&self, machine: &[u8]) -> Vec<u8> {
        let given = [("nameserver", &self.dns), ("search", &self.dns_search), ("options", &self.dns_option)];
        if self.is_without_dns() || given.iter().all(|(_, values)| values.is_empty()) {
            return machine.to_vec();
        }
        let text = String::from_utf8_lossy(machine);
        let is_replaced = |line: &&str| {
            let kind = line.split_whitespace().next().unwrap_or_default();
            let kind = if kind == "domain" { "search" } else { kind };
            given.iter().any(|(known, values)| *known == kind && !values.is_empty())
        };
        let mut lines: Vec<String> = self.dns.iter().map(|server| format!("nameserver {server}")).collect();
        // `.` is how people say: search nothing.
        let searched: Vec<&str> = self.dns_search.iter().map(String::as_str).filter(|domain| *domain != ".").collect();
        lines.extend((!searched.is_empty()).then(|| format!("search {}", searched.join(" "))));
        lines.extend((!self.dns_option.is_empty()).then(|| format!("options {}", self.dns_option.join(" "))));
        lines.extend(text.lines().filter(|line| !is_replaced(line)).map(str::to_owned));
        format!("{}\n", lines.join("\n")).into_bytes()
    }
}

/// What a `--security-opt` asks for.
enum Security {
    /// What is so anyway.
    Nothing,
    NoNewPrivileges,
}

fn security(option: &str) -> Result<Security, String> {
    let (name, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
    match (name, value) {
        ("no-new-privileges", "" | "true") => Ok(Security::NoNewPrivileges),
        ("no-new-privileges", "false") | ("label", "disable") => Ok(Security::Nothing),
        ("label", _) => Err("steps run under the SELinux label of the builder; give the pod another one".to_owned()),
        ("seccomp", _) => Err("steps always run under this program's own filter, which cannot be exchanged".to_owned()),
        ("apparmor", _) => Err("steps run under the profile of the builder; give the pod another one".to_owned()),
        ("mask" | "unmask", _) => Err("the masked paths of steps cannot be changed".to_owned()),
        _ => Err("not an option of any builder; there is no-new-privileges".to_owned()),
    }
}

/// Limits by the names that docker and buildah have for them.
const ULIMITS: [(&str, Resource); 16] = [
    ("as", Resource::AddressSpace),
    ("core", Resource::CoreSize),
    ("cpu", Resource::CpuSeconds),
    ("data", Resource::Data),
    ("fsize", Resource::FileSize),
    ("locks", Resource::Locks),
    ("memlock", Resource::LockedMemory),
    ("msgqueue", Resource::MessageQueues),
    ("nice", Resource::Nice),
    ("nofile", Resource::OpenFiles),
    ("nproc", Resource::Processes),
    ("rss", Resource::ResidentSet),
    ("rtprio", Resource::RealTimePriority),
    ("rttime", Resource::RealTimeMicroseconds),
    ("sigpending", Resource::PendingSignals),
    ("stack", Resource::Stack),
];

/// `--ulimit`; -1 means no limit.
fn limit(text: &str) -> Result<Limit, String> {
    let (name, values) = text.split_once('=').ok_or("expected TYPE=SOFT[:HARD]")?;
    let known = ULIMITS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    let Some((_, resource)) = known else {
        let names: Vec<&str> = ULIMITS.iter().map(|(known, _)| *known).collect();
        return Err(format!("`{name}` is no limit; there are {}", names.join(", ")));
    };
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        text => text.parse::<u64>().map_err(|_| format!("`{text}` is no number")),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        return Err(format!("the soft limit {soft} is above the hard limit {hard}"));
    }
    Ok(Limit { resource: *resource, soft, hard })
}

/// Devices every step has (the sandbox makes them).
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// `--device HOST[:STEP[:RIGHTS]]`.
fn device(text: &str) -> Result<String, String> {
    let mut parts = text.split(':');
    let path = parts.next().unwrap_or_default();
    let target = parts.next().filter(|target| target.starts_with('/')).unwrap_or(path);
    if DEVICES.contains(&path) && target == path {
        return Ok(path.to_owned());
    }
    Err(format!("no device of the machine can be given to steps; they have {}", DEVICES.join(", ")))
}

/// `--add-host HOST:IP`, docker's `HOST=IP` too.
fn host(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once(['=', ':']).ok_or("expected HOST:IP")?;
    let name = host_name(name)?;
    if address == "host-gateway" {
        return Err(
            "host-gateway: steps have no address at which they reach the machine; give its IP address".to_owned()
        );
    }
    let plain = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    match plain.parse::<IpAddr>() {
        Ok(address) => Ok((name, address.to_string())),
        Err(_) => Err(format!("`{address}` is not an IP address")),
    }
}

/// A name that gets into /etc/hosts.
fn host_name(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match !text.is_empty() && text.len() <= 253 && text.chars().all(is_fine) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no host name")),
    }
}

/// A word that gets into a line of /etc/resolv.conf.
fn word(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        true => Err(format!("`{text}` is not one word")),
        false => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
