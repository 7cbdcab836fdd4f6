//! Plugins, and which of them take part in a build.

use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

use oci::Reference;
use serde_json::{Map, Value};

use crate::absent::{Absent, Said};
use crate::external::{self, External, Launch, Offered};
use crate::site::{PluginRequest, Site};
use crate::{Class, Exit, Phase, PhaseName, PluginError, PostBuild, PreBuild, Publish, SbomDemand, Source, Task};

/// Something that looks at a build in one phase and answers what should change.
pub trait Plugin<P: Phase>: Debug + Send + Sync {
    /// Looks and answers.
    ///
    /// # Errors
    /// [`PluginError`]; the build fails with it unless the plugin is allowed to fail.
    fn run(&self, view: &P::View<'_>) -> Result<P::Answer, PluginError>;

    /// Whether it needs the image's files in a tree, not only those that the proof of packages reads.
    fn needs_all_files(&self) -> bool {
        false
    }
}

/// What was demanded on the command line and concerns plugins.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Whether keys were given: every package must be proven.
    pub has_keys: bool,
    /// Names given with `-t`.
    pub names: Vec<Reference>,
    /// Whether a record was asked for.
    pub has_record: bool,
    /// Whether the record is to be attached to the image.
    pub pushes_record: bool,
    /// What the build system demands.
    pub task: Task,
    /// The way to Koji, where the site has one.
    pub hub: Option<Arc<dyn koji::Hub>>,
    /// The way to composes, where the site has one.
    pub odcs: Option<Arc<koji::odcs::ComposeService>>,
    /// Whether nothing is built, so that nothing may be asked for that stays.
    pub is_dry_run: bool,
    /// The bill of materials.
    pub sbom: SbomDemand,
    /// The API of the cluster, where there is one.
    pub cluster: Option<Arc<cluster::Client>>,
}

/// What a plugin is made of.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The site; that of nobody where no configuration was given.
    pub site: &'a Site,
    /// The command line.
    pub wanted: &'a Wanted,
    /// `args` of the plugin's entry in the site's list.
    pub args: Option<&'a Map<String, Value>>,
}

impl Setup<'_> {
    /// An argument that is a text.
    ///
    /// # Errors
    /// [`Class::Configuration`] when it is something else.
    pub fn text(&self, name: &str) -> Result<Option<String>, PluginError> {
        match self.args.and_then(|args| args.get(name)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => {
                Err(PluginError::new(Class::Configuration, format!("argument {name} is {other}; it must be a text")))
            }
        }
    }

    /// An argument that is a list of texts.
    ///
    /// # Errors
    /// [`Class::Configuration`] when it is something else.
    pub fn texts(&self, name: &str) -> Result<Option<Vec<String>>, PluginError> {
        let wrong = |found: &Value| {
            PluginError::new(Class::Configuration, format!("argument {name} is {found}; it must be a list of texts"))
        };
        match self.args.and_then(|args| args.get(name)) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(items)) => {
                let text = |item: &Value| item.as_str().map(str::to_owned).ok_or_else(|| wrong(item));
                items.iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            Some(other) => Err(wrong(other)),
        }
    }
}

/// A plugin that takes part if it has something to do.
pub type Made<P> = Result<Option<Box<dyn Plugin<P>>>, PluginError>;

/// A plugin this program has.
#[derive(Debug)]
pub struct Registered<P: Phase> {
    /// Its key in configurations: atomic-reactor's where it has one.
    pub key: &'static str,
    /// Other keys it answers to.
    pub also: &'static [&'static str],
    /// The arguments it reads.
    pub takes: &'static [&'static str],
    /// What it does, in one sentence.
    pub text: &'static str,
    /// What makes it act where the site has no list of plugins.
    pub acts: &'static str,
    /// Whether no list of the site leaves it out.
    pub always: bool,
    /// Makes it; none if nothing asks for it.
    pub make: fn(&Setup<'_>) -> Made<P>,
}

/// All plugins this program has, each phase in its default order.
#[derive(Debug, Default)]
pub struct Registry {
    /// Before the Dockerfile is read.
    pub source: Vec<Registered<Source>>,
    /// Before anything is built.
    pub pre_build: Vec<Registered<PreBuild>>,
    /// Before the gate.
    pub post_build: Vec<Registered<PostBuild>>,
    /// After the gate.
    pub publish: Vec<Registered<Publish>>,
    /// At the end.
    pub exit: Vec<Registered<Exit>>,
    /// Plugins that lists may name although they are not here.
    pub absent: &'static [Absent],
}

/// A plugin that takes part.
#[derive(Debug)]
pub struct Selected<P: Phase> {
    /// Its key.
    pub key: Arc<str>,
    /// Whether the build goes on when it fails.
    pub is_allowed_to_fail: bool,
    pub(crate) plugin: Box<dyn Plugin<P>>,
}

/// The plugins of one build, in order.
#[derive(Debug, Default)]
pub struct Lineup {
    /// Before the Dockerfile is read.
    pub source: Vec<Selected<Source>>,
    /// Before anything is built.
    pub pre_build: Vec<Selected<PreBuild>>,
    /// Before the gate.
    pub post_build: Vec<Selected<PostBuild>>,
    /// After the gate.
    pub publish: Vec<Selected<Publish>>,
    /// At the end.
    pub exit: Vec<Selected<Exit>>,
    /// What somebody should know about the choice.
    pub notes: Vec<String>,
    /// What somebody should change: what a list counts on and does not happen.
    pub warnings: Vec<String>,
    /// How plugins that are programs of the site's are started; to be set before they run.
    pub launch: Arc<OnceLock<Launch>>,
}

impl Registry {
    /// Chooses the plugins for a build: what the site lists, in its order; where it has no list for a phase, those
    /// that have something to do, in the default order. What is marked `always` is left out by no list.
    ///
    /// A plugin is known by its key: it acts in its own phase, whichever list names it.
    ///
    /// # Errors
    /// [`Class::Configuration`]: a required plugin that does not exist, or arguments that are wrong.
    pub fn choose(&self, site: &Site, wanted: &Wanted) -> Result<Lineup, PluginError> {
        let lists = &site.plugins;
        let listed: Vec<&PluginRequest> = lists.listed().collect();
        let mut said = Said::default();
        for (request, takes) in listed.iter().filter_map(|request| Some((request, self.takes(&request.name)?))) {
            said.arguments(request, takes);
        }
        let offered = self.offered(site)?;
        for request in listed.iter().filter(|request| !self.knows(&request.name)) {
            if let Some(program) = offered.iter().find(|program| program.key == request.name) {
                program.header.as_ref().map_err(|error| of(&request.name, error.clone()))?;
                continue;
            }
            if said.about(request, self.absent) {
                continue;
            }
            let text = format!("there is no plugin {}", request.name);
            if request.required {
                let help = match &site.plugins.directory {
                    Some(_) => {
                        "see `stratum plugins`, or say `required: false` beside its name; a program in \
                         plugins.directory is a plugin if it is an executable file"
                    }
                    None => "see `stratum plugins`, or say `required: false` beside its name",
                };
                return Err(PluginError::new(Class::Configuration, text).help(help));
            }
            said.notes.push(format!("{text}; it is not required"));
        }
        for request in listed.iter().filter(|request| request.timeout.is_some() && self.knows(&request.name)) {
            said.notes
                .push(format!("plugin {} is no program of the site's, so its timeout means nothing", request.name));
        }
        let setup = Setup { site, wanted, args: None };
        let launch = Arc::new(OnceLock::new());
        let mut choice = Choice { setup, listed, notes: said.notes, offered, launch: Arc::clone(&launch) };
        Ok(Lineup {
            source: choice.select(&self.source, lists.source.is_some())?,
            pre_build: choice.select(&self.pre_build, lists.prebuild.is_some())?,
            post_build: choice.select(&self.post_build, lists.postbuild.is_some())?,
            publish: choice.select(&self.publish, lists.publish.is_some())?,
            exit: choice.select(&self.exit, lists.exit.is_some())?,
            notes: choice.notes,
            warnings: said.warnings,
            launch,
        })
    }

    /// The programs of the site's directory, by key; none where it names no directory.
    ///
    /// # Errors
    /// [`Class::Configuration`]: the directory is not fit for plugins, or a program is called like a plugin of this
    /// program, which is never replaced.
    pub fn offered(&self, site: &Site) -> Result<Vec<Offered>, PluginError> {
        let Some(directory) = &site.plugins.directory else { return Ok(Vec::new()) };
        let offered = external::read(directory)?;
        match offered.iter().find(|program| self.knows(&program.key)) {
            None => Ok(offered),
            Some(program) => {
                let path = program.program.display();
                let text = format!("{path}: a plugin {} comes with this program and is not replaced", program.key);
                Err(PluginError::new(Class::Configuration, text).help("give the file another name"))
            }
        }
    }

    fn knows(&self, name: &str) -> bool {
        self.takes(name).is_some()
    }

    /// The arguments of the plugin that answers to `name`; none if there is no such plugin.
    fn takes(&self, name: &str) -> Option<&'static [&'static str]> {
        fn of<P: Phase>(known: &[Registered<P>], name: &str) -> Option<&'static [&'static str]> {
            known.iter().find(|registered| registered.answers_to(name)).map(|registered| registered.takes)
        }
        of(&self.source, name)
            .or_else(|| of(&self.pre_build, name))
            .or_else(|| of(&self.post_build, name))
            .or_else(|| of(&self.publish, name))
            .or_else(|| of(&self.exit, name))
    }
}

impl<P: Phase> Registered<P> {
    /// The same with the arguments it reads.
    #[must_use]
    pub fn takes(self, takes: &'static [&'static str]) -> Self {
        Self { takes, ..self }
    }

    fn answers_to(&self, name: &str) -> bool {
        self.key == name || self.also.contains(&name)
    }
}

struct Choice<'a> {
    setup: Setup<'a>,
    listed: Vec<&'a PluginRequest>,
    notes: Vec<String>,
    offered: Vec<Offered>,
    launch: Arc<OnceLock<Launch>>,
}

impl Choice<'_> {
    fn select<P: Phase>(&mut self, known: &[Registered<P>], has_list: bool) -> Result<Vec<Selected<P>>, PluginError>
    where
        External: Plugin<P> + 'static,
    {
        let mut selected = Vec::new();
        let mut is_listed = has_list;
        for request in self.listed.clone() {
            let Some(registered) = known.iter().find(|registered| registered.answers_to(&request.name)) else {
                is_listed |= self.select_external(request, &mut selected);
                continue;
            };
            is_listed = true;
            if selected.iter().any(|one: &Selected<P>| &*one.key == registered.key) {
                let is_alias = request.name != registered.key;
                let also =
                    if is_alias { format!("as {} too", request.name) } else { "perhaps under another name".into() };
                self.notes.push(format!("plugin {} is listed twice, {also}", registered.key));
                continue;
            }
            let setup = Setup { args: Some(&request.args), ..self.setup };
            match (registered.make)(&setup).map_err(|error| of(registered.key, error))? {
                Some(plugin) => {
                    // What no list may leave out must not be left out by failing either.
                    let is_allowed_to_fail = request.is_allowed_to_fail.unwrap_or(false) && !registered.always;
                    selected.push(Selected { key: registered.key.into(), is_allowed_to_fail, plugin });
                }
                None => {
                    self.notes.push(format!("plugin {} does nothing: it acts {}", registered.key, registered.acts));
                }
            }
        }
        for (position, registered) in known.iter().enumerate() {
            if is_listed && (!registered.always || selected.iter().any(|one| &*one.key == registered.key)) {
                continue;
            }
            let made = (registered.make)(&self.setup).map_err(|error| of(registered.key, error))?;
            let Some(plugin) = made else { continue };
            // Behind those that come before it in the default order.
            let before = known.get(..position).unwrap_or_default();
            let place = selected.iter().rposition(|one| before.iter().any(|known| known.key == &*one.key));
            let one = Selected { key: registered.key.into(), is_allowed_to_fail: false, plugin };
            selected.insert(place.map_or_else(|| first_place(known, &selected), |place| place + 1), one);
        }
        Ok(selected)
    }

    /// Adds the program of the site's that `request` names, if this is its phase.
    fn select_external<P: Phase>(&mut self, request: &PluginRequest, selected: &mut Vec<Selected<P>>) -> bool
    where
        External: Plugin<P> + 'static,
    {
        let is_meant = |program: &&Offered| program.key == request.name;
        let Some(program) = self.offered.iter().find(is_meant) else { return false };
        if program.header.as_ref().is_ok_and(|header| header.phase != P::NAME) {
            return false;
        }
        if selected.iter().any(|one| *one.key == *program.key) {
            self.notes.push(format!("plugin {} is listed twice", program.key));
            return true;
        }
        let plugin = Box::new(External::new(program, P::NAME, (&self.setup, request), &self.launch));
        let is_allowed_to_fail = request.is_allowed_to_fail.unwrap_or(false);
        selected.push(Selected { key: program.key.as_str().into(), is_allowed_to_fail, plugin });
        true
    }
}

/// Where a plugin goes that none comes before: in front, but nothing is published before the site's programs agreed.
fn first_place<P: Phase>(known: &[Registered<P>], selected: &[Selected<P>]) -> usize {
    let is_program = |one: &&Selected<P>| !known.iter().any(|registered| registered.key == &*one.key);
    if P::NAME == PhaseName::Publish { selected.iter().take_while(is_program).count() } else { 0 }
}

fn of(key: &str, error: PluginError) -> PluginError {
    PluginError { text: format!("plugin {key}: {}", error.text), ..error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exit, ExitView};

    #[derive(Debug)]
    struct Nothing;

    impl Plugin<Exit> for Nothing {
        fn run(&self, _: &ExitView<'_>) -> Result<(), PluginError> {
            Ok(())
        }
    }

    fn registered(key: &'static str, always: bool, make: fn(&Setup<'_>) -> Made<Exit>) -> Registered<Exit> {
        Registered { key, also: &[], takes: &[], text: "", acts: "when asked", always, make }
    }

    fn registry() -> Registry {
        let acts: fn(&Setup<'_>) -> Made<Exit> = |_| Ok(Some(Box::new(Nothing)));
        let rests: fn(&Setup<'_>) -> Made<Exit> = |_| Ok(None);
        let asks: fn(&Setup<'_>) -> Made<Exit> =
            |setup| Ok(setup.text("word")?.map(|_| Box::new(Nothing) as Box<dyn Plugin<Exit>>));
        let exit = vec![
            registered("first", false, acts),
            registered("rests", false, rests),
            registered("asks", false, asks),
            registered("gate", true, acts),
        ];
        Registry { exit, ..Registry::default() }
    }

    fn choose(yaml: &str) -> Result<(Vec<String>, Vec<String>), PluginError> {
        let (site, _) = Site::parse(std::path::Path::new("site.yaml"), yaml.as_bytes()).unwrap();
        let lineup = registry().choose(&site, &Wanted::default())?;
        Ok((lineup.exit.iter().map(|one| one.key.to_string()).collect(), lineup.notes))
    }

    #[test]
    fn without_a_list_those_act_that_have_something_to_do() {
        assert_eq!(choose("version: 1\n").unwrap(), (vec!["first".to_owned(), "gate".to_owned()], vec![]));
    }

    #[test]
    fn a_list_decides_order_and_arguments_but_leaves_no_gate_out() {
        let yaml = "exit_plugins: [{name: asks, args: {word: x}}, {name: first}]\n";
        assert_eq!(choose(yaml).unwrap().0, ["asks", "first", "gate"]);
        assert_eq!(choose("exit_plugins: []\n").unwrap().0, ["gate"]);
        assert_eq!(choose("exit_plugins: [{name: first}, {name: first}]\n").unwrap().0, ["first", "gate"]);
        // A plugin acts in its own phase, whichever list names it.
        assert_eq!(choose("postbuild_plugins: [{name: first}]\n").unwrap().0, ["first", "gate"]);
    }

    #[test]
    fn a_gate_may_not_fail_whatever_the_list_says() {
        let yaml = "exit_plugins: [{name: gate, is_allowed_to_fail: true}, {name: first, is_allowed_to_fail: true}]\n";
        let (site, _) = Site::parse(std::path::Path::new("site.yaml"), yaml.as_bytes()).unwrap();
        let lineup = registry().choose(&site, &Wanted::default()).unwrap();
        let may_fail: Vec<bool> = lineup.exit.iter().map(|one| one.is_allowed_to_fail).collect();
        assert_eq!(may_fail, [false, true]);
    }

    #[test]
    fn a_plugin_without_work_or_existence_is_noted_or_refused() {
        let (_, notes) = choose("exit_plugins: [{name: rests}, {name: nobody, required: false}]\n").unwrap();
        let expected =
            ["there is no plugin nobody; it is not required", "plugin rests does nothing: it acts when asked"];
        assert_eq!(notes, expected);
        let error = choose("exit_plugins: [{name: nobody}]\n").unwrap_err();
        assert_eq!((error.class, error.text.as_str()), (Class::Configuration, "there is no plugin nobody"));
        let error = choose("exit_plugins: [{name: asks, args: {word: 5}}]\n").unwrap_err();
        assert_eq!(error.text, "plugin asks: argument word is 5; it must be a text");
    }
}
