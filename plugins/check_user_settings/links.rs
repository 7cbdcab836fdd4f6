//! Whether the Dockerfile is a link that leads out of its directory.

use std::path::{Component, Path, PathBuf};

use pipeline::{Class, PluginError, PreBuildView};

/// Links that are followed at most, as the kernel does.
const MAX_LINKS: usize = 40;

/// Refuses a Dockerfile that is a link out of the context: another file of that name would be read there.
pub(super) fn check(view: &PreBuildView<'_>) -> Result<(), PluginError> {
    let Some(tree) = view.context else { return Ok(()) };
    for name in source::DOCKERFILES {
        let read = |path: &Path| tree.link(path).map_err(|error| PluginError::of(Class::Source, &error));
        decide(name, &read)?;
    }
    Ok(())
}

/// The same; `read` says where the link at a path of the context points, and nothing for what is none.
fn decide(name: &str, read: &dyn Fn(&Path) -> Result<Option<PathBuf>, PluginError>) -> Result<(), PluginError> {
    let mut path = PathBuf::from(name);
    for _ in 0..MAX_LINKS {
        let Some(target) = read(&path)? else { return Ok(()) };
        let folder = path.parent().unwrap_or(Path::new(""));
        let Some(inside) = below(folder, &target) else {
            let text =
                format!("{name}: it is a symbolic link to {}, which is outside of its directory", target.display());
            return Err(PluginError::new(Class::Source, text).help("commit the file itself"));
        };
        path = inside;
    }
    Err(PluginError::new(Class::Source, format!("{name}: more than {MAX_LINKS} symbolic links lead to it")))
}

/// `target` seen from `folder`, if it stays in the context.
fn below(folder: &Path, target: &Path) -> Option<PathBuf> {
    let mut path = folder.to_owned();
    for part in target.components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(links: &[(&str, &str)], expected: Result<(), &str>) {
        let read = |path: &Path| {
            let found = links.iter().find(|(from, _)| Path::new(from) == path);
            Ok(found.map(|(_, to)| PathBuf::from(to)))
        };
        let found = decide("Dockerfile", &read).map_err(|error| error.text);
        assert_eq!(found, expected.map_err(str::to_owned));
    }

    #[test]
    fn a_link_that_stays_in_the_directory_is_followed() {
        check(&[], Ok(()));
        check(&[("Dockerfile", "el9/Dockerfile"), ("el9/Dockerfile", "../common/Dockerfile")], Ok(()));
    }

    #[test]
    fn a_link_out_of_the_directory_is_refused() {
        let out =
            |target: &str| format!("Dockerfile: it is a symbolic link to {target}, which is outside of its directory");
        check(&[("Dockerfile", "/etc/passwd")], Err(&out("/etc/passwd")));
        check(&[("Dockerfile", "../Dockerfile")], Err(&out("../Dockerfile")));
        check(&[("Dockerfile", "a/b"), ("a/b", "../../c")], Err(&out("../../c")));
        check(&[("Dockerfile", "Dockerfile")], Err("Dockerfile: more than 40 symbolic links lead to it"));
    }
}
