//! The cost of a step: `steps STORE COUNT [host|none|loopback]` runs /bin/true that often in a root made of
//! /bin/busybox, and prints wall and processor time for each step.

#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::fs;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stratum_sandbox::{
    Cancel, EnterOptions, Exit, InjectedFile, Isolation, Loopback, Network, RootSpec, Step, enter, mount_root, run,
    write_stubs,
};

/// A network for a step, and the socket that is to be served while it runs.
fn network(name: &str) -> Result<(Network, Option<TcpListener>), Box<dyn Error>> {
    Ok(match name {
        "none" => (Network::None, None),
        "loopback" => {
            let (loopback, listener) = Loopback::listen(([127, 0, 0, 1], 3128).into())?;
            (Network::Loopback(Arc::new(loopback)), Some(listener))
        }
        _ => (Network::Host, None),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let store = PathBuf::from(words.next().ok_or("which store?")?);
    let count: u32 = words.next().ok_or("how many steps?")?.parse()?;
    let name = words.next().unwrap_or_else(|| "host".to_owned());
    let entered = enter(&EnterOptions { isolation: Isolation::Auto, owned: vec![store] })?;
    let base = entered.owned.first().ok_or("no store")?;
    let at = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(base)));
    make_image(&at)?;
    let root = mount_root(&RootSpec {
        base: base.as_fd(),
        lowers: vec!["image".into(), "stubs".into()],
        upper: "upper".into(),
        work: "work".into(),
        mount: "root".into(),
    })?;
    let mut step = Step {
        argv: vec!["/bin/true".into()],
        cwd: "/".into(),
        hostname: "build".into(),
        files: ["/etc/resolv.conf", "/etc/hosts"].map(file).to_vec(),
        ..Step::default()
    };
    let cancel = Cancel::new()?;
    let (mut all, before) = (Vec::new(), processor_time()?);
    for _ in 0..count {
        let started = Instant::now();
        let (network, _listener) = network(&name)?;
        step.network = network;
        let exit = run(&root, &step, &cancel, &mut |_, _| {})?;
        all.push(started.elapsed());
        if exit != Exit::Code(0) {
            return Err(format!("{exit:?}").into());
        }
    }
    let used = processor_time()?.saturating_sub(before);
    all.sort();
    let total: Duration = all.iter().sum();
    let show = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{} {name}: wall mean {:.2} ms, median {:.2} ms, least {:.2} ms; cpu mean {:.2} ms",
        entered.rung,
        show(total / count),
        all.get(all.len() / 2).copied().map_or(0.0, show),
        all.first().copied().map_or(0.0, show),
        show(used / count),
    );
    Ok(())
}

fn file(target: &str) -> InjectedFile {
    InjectedFile {
        target: target.into(),
        contents: b"127.0.0.1 localhost\n".to_vec(),
        mode: 0o644,
        uid: 0,
        gid: 0,
        is_dispensable: true,
    }
}

fn make_image(at: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(at.join("image/bin"))?;
    fs::create_dir_all(at.join("stubs"))?;
    fs::copy("/bin/busybox", at.join("image/bin/true"))?;
    write_stubs(fs::File::open(at.join("stubs"))?.as_fd(), &[], &[])?;
    Ok(())
}

/// User and system time of this process and of the children it has waited for. The kernel's table
/// has it in ticks of 10 ms.
fn processor_time() -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("no fields")?;
    let ticks: u64 =
        fields.split_ascii_whitespace().skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}
