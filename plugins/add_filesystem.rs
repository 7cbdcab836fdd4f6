//! `add_filesystem`: a base image out of a file system that Koji has made.
//!
//! Reads the FROM of every stage, and the hub's tasks. Where one is `koji/image-build[:FILE]`, its image is nothing, and
//! the archive of the platform that the finished task of the argument `from_task_id` left is unpacked into it; where the
//! context has FILE (`image-build.conf`), one whose name begins as it says. Two stages name one such file at most. Acts
//! before check_base_image, which refuses such a FROM. No task of Koji is started here: that takes Koji's own image
//! factory, so without `from_task_id` the build is refused by name. Fails the build too when the task is not done, or
//! has left no such archive.

use std::sync::Arc;

use dockerfile::Base;
use koji::{Hub, TaskState};
use pipeline::{Changes, Class, Edit, Fact, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};

use crate::check_base_image::is_by_koji;
use crate::image_build_conf;
use crate::koji_rules::{failed, number};

/// What an archive of a file system is called at its end.
const ENDINGS: [&str; 4] = [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"];
/// Tasks that are looked at below the one that is named.
const MOST_TASKS: usize = 100;
/// Where tasks leave files, below the root of Koji's (`koji.PathInfo.work`).
const TASKS: &str = "work/tasks";
/// Koji keeps files of tasks in directories by their number's remainder.
const DIRECTORIES: u64 = 10_000;

#[derive(Debug)]
struct AddFilesystem {
    hub: Option<Arc<dyn Hub>>,
    root_url: Option<String>,
    task: Option<u64>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let task = number(setup, "from_task_id")?;
    let root_url = setup.site.koji.as_ref().map(|koji| koji.root_url.clone());
    if setup.args.is_none() && root_url.is_none() {
        return Ok(None);
    }
    Ok(Some(Box::new(AddFilesystem { hub: setup.wanted.hub.clone(), root_url, task })))
}

impl Plugin<PreBuild> for AddFilesystem {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let stages = view.plan.needed.iter().chain(&view.plan.others);
        let by_koji: Vec<_> =
            stages.filter(|stage| matches!(&stage.base, Base::Image(name) if is_by_koji(name))).collect();
        let Some(first) = by_koji.first() else { return Ok(Changes::default()) };
        let (Some(hub), Some(root), Some(task)) = (&self.hub, &self.root_url, self.task) else {
            let text =
                "a base image that Koji is to make (koji/image-build): its task (buildImageOz) is not started here";
            let help = "make the file system with Koji, and name its finished task with the argument from_task_id of \
                        add_filesystem; the site needs `koji`";
            return Err(PluginError::new(Class::Source, text).help(help).at(first.base_span));
        };
        let named = by_koji.iter().filter_map(|stage| match &stage.base {
            Base::Image(name) => Some((name.as_str(), stage.base_span)),
            Base::Scratch | Base::Stage(_) => None,
        });
        let prefix = prefix(image_build_conf::of(named)?, view).map_err(|error| error.at(first.base_span))?;
        let wanted = Wanted { platform: view.site.platform(&view.request.platform.architecture), prefix: &prefix };
        let (made_by, name) = find(hub.as_ref(), task, wanted).map_err(|error| error.at(first.base_span))?;
        let url = format!("{}/{TASKS}/{}/{made_by}/{name}", root.trim_end_matches('/'), made_by % DIRECTORIES);
        let source = format!("--unpack=true {url}");
        let bases = by_koji.iter().filter_map(|stage| match &stage.base {
            Base::Image(name) => Some((stage.index, name.as_str())),
            Base::Scratch | Base::Stage(_) => None,
        });
        let mut edits = image_build_conf::edits(bases, &source);
        let reason = "Koji's files are the site's, wherever steps may go".to_owned();
        edits.push(Reasoned { edit: Edit::Reach(url), reason });
        Ok(Changes { edits, facts: vec![Fact::FilesystemTask(task)], ..Changes::default() })
    }
}

/// An archive that is looked for.
#[derive(Clone, Copy, Debug)]
struct Wanted<'w> {
    /// As Koji calls it.
    platform: &'w str,
    /// What its name begins with; empty where nobody says.
    prefix: &'w str,
}

/// What the file of the context says that the archive is called at its beginning; empty without a file.
fn prefix(file: Option<&str>, view: &PreBuildView<'_>) -> Result<String, PluginError> {
    let Some(file) = file else { return Ok(String::new()) };
    let text = view.context_file(file)?;
    let conf = text.map(|text| image_build_conf::parse(file, &text)).transpose()?;
    Ok(conf.and_then(|conf| conf.options.get("name").cloned()).unwrap_or_default())
}

/// The archive that a task or one below it has left: its task and its name.
fn find(hub: &dyn Hub, task: u64, wanted: Wanted<'_>) -> Result<(u64, String), PluginError> {
    let source = |text: String| PluginError::new(Class::Source, text);
    let known = hub.task(task).map_err(|error| failed(&error))?;
    match known.map(|known| known.state) {
        Some(TaskState::Closed) => {}
        Some(TaskState::Free | TaskState::Open | TaskState::Assigned) => {
            return Err(source(format!("task {task} of Koji is not done yet")));
        }
        Some(TaskState::Canceled | TaskState::Failed) => {
            return Err(source(format!("task {task} of Koji came to nothing")));
        }
        None => return Err(source(format!("there is no task {task} in Koji"))),
    }
    let mut tasks = vec![task];
    let mut at = 0;
    while let Some(one) = tasks.get(at).copied().filter(|_| at < MOST_TASKS) {
        let names = hub.task_output(one).map_err(|error| failed(&error))?;
        if let Some(name) = names.into_iter().find(|name| is_archive(name, wanted)) {
            return Ok((one, name));
        }
        tasks.extend(hub.task_children(one).map_err(|error| failed(&error))?);
        at += 1;
    }
    let called = if wanted.prefix.is_empty() { String::new() } else { format!(" that is called {}…", wanted.prefix) };
    Err(source(format!("task {task} of Koji has left no archive of a file system for {}{called}", wanted.platform))
        .help("name the task that made it with the argument from_task_id of add_filesystem"))
}

/// Whether a file of a task is what is looked for. It gets into a URL and a Dockerfile, so that only plain names will do.
fn is_archive(name: &str, Wanted { platform, prefix }: Wanted<'_>) -> bool {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-~".contains(&byte));
    let lower = name.to_ascii_lowercase();
    let rest = lower.strip_prefix(&prefix.to_ascii_lowercase());
    is_plain
        && rest.is_some_and(|rest| rest.contains(&platform.to_ascii_lowercase()))
        && ENDINGS.iter().any(|ending| lower.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_that_of_the_platform() {
        let is_archive = |name, platform| super::is_archive(name, Wanted { platform, prefix: "" });
        assert!(is_archive("fs-1-2.x86_64.tar.xz", "x86_64") && is_archive("FS-X86_64.TAR", "x86_64"));
        for other in ["fs-s390x.tar.xz", "fs-x86_64.qcow2", "a b-x86_64.tar", "x86_64/../a.tar", "x86_64$(a).tar"] {
            assert!(!is_archive(other, "x86_64"), "{other}");
        }
    }

    #[test]
    fn the_archive_is_called_as_the_file_of_the_context_says() {
        let wanted = Wanted { platform: "x86_64", prefix: "Base" };
        assert!(is_archive("base-1-2.x86_64.tar.xz", wanted) && !is_archive("minimal-1-2.x86_64.tar.xz", wanted));
    }

    #[derive(Debug)]
    struct Tasks(TaskState);

    impl Hub for Tasks {
        fn build(&self, _: &str) -> Result<Option<koji::BuildInfo>, koji::HubError> {
            Ok(None)
        }

        fn build_target(&self, _: &str) -> Result<Option<koji::BuildTarget>, koji::HubError> {
            Ok(None)
        }

        fn architectures(&self, _: &str) -> Result<Vec<String>, koji::HubError> {
            Ok(Vec::new())
        }

        fn repository(&self, _: &str) -> Result<Option<u64>, koji::HubError> {
            Ok(None)
        }

        fn next_release(&self, _: &str, _: &str) -> Result<String, koji::HubError> {
            Ok(String::new())
        }

        fn task(&self, id: u64) -> Result<Option<koji::TaskInfo>, koji::HubError> {
            let task = koji::TaskInfo { id, method: "image".to_owned(), state: self.0 };
            Ok((id < 10).then_some(task))
        }

        fn task_output(&self, id: u64) -> Result<Vec<String>, koji::HubError> {
            Ok(if id == 3 { vec!["oz.log".to_owned(), "fs-x86_64.tar.xz".to_owned()] } else { Vec::new() })
        }

        fn task_children(&self, id: u64) -> Result<Vec<u64>, koji::HubError> {
            Ok(vec![id + 1])
        }
    }

    #[track_caller]
    fn check(state: TaskState, (task, platform): (u64, &str), expected: Result<u64, &str>) {
        let found = find(&Tasks(state), task, Wanted { platform, prefix: "" })
            .map(|(task, _)| task)
            .map_err(|error| error.text);
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text));
    }

    #[test]
    fn a_task_that_is_done_or_one_below_it_has_left_the_archive() {
        check(TaskState::Closed, (1, "x86_64"), Ok(3));
        let none = "task 1 of Koji has left no archive of a file system for s390x";
        check(TaskState::Closed, (1, "s390x"), Err(none));
        check(TaskState::Open, (1, "x86_64"), Err("task 1 of Koji is not done yet"));
        check(TaskState::Failed, (1, "x86_64"), Err("task 1 of Koji came to nothing"));
        check(TaskState::Closed, (10, "x86_64"), Err("there is no task 10 in Koji"));
    }
}
