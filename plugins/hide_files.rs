//! `hide_files`: files of bases that no step sees.
//!
//! Reads the site's `hide_files.files`. Returns what is to be hidden from RUN in every stage that is not built on
//! nothing; the files stay in the image as they are. `hide_files.tmpdir` is of no use: nothing is moved. Fails the
//! build for a path that is not absolute.

use std::path::{Path, PathBuf};

use pipeline::{Changes, Class, Edit, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};

#[derive(Debug)]
struct HideFiles(Reasoned);

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let Some(hide) = &setup.site.hide_files else { return Ok(None) };
    Ok(decide(&hide.files)?.map(|edit| Box::new(HideFiles(edit)) as Box<dyn Plugin<PreBuild>>))
}

impl Plugin<PreBuild> for HideFiles {
    fn run(&self, _: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        Ok(Changes { edits: vec![self.0.clone()], ..Changes::default() })
    }
}

/// What is to be hidden; nothing where the list is empty.
pub(crate) fn decide(files: &[PathBuf]) -> Result<Option<Reasoned>, PluginError> {
    let is_file = |path: &&PathBuf| path.is_absolute() && path.file_name().is_some();
    if let Some(wrong) = files.iter().find(|path| !is_file(path)) {
        let text = format!("hide_files.files: {} is not an absolute path of a file in the image", wrong.display());
        return Err(PluginError::new(Class::Configuration, text));
    }
    let edit = Edit::Hide(files.iter().map(|path| Path::new("/").join(path)).collect());
    let reason = "the site's hide_files name them".to_owned();
    Ok((!files.is_empty()).then_some(Reasoned { edit, reason }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_hidden_by_their_paths() {
        let files = ["/etc/yum.repos.d/ubi.repo", "/opt/x"].map(PathBuf::from);
        assert_eq!(decide(&files).unwrap().unwrap().edit, Edit::Hide(files.to_vec()));
        assert_eq!(decide(&[]).unwrap(), None);
    }

    #[test]
    fn a_path_that_is_not_absolute_is_refused() {
        for wrong in ["etc/x", "/", "/etc/..", ""] {
            let error = decide(&[wrong.into()]).unwrap_err();
            assert!(error.text.ends_with("is not an absolute path of a file in the image"), "{}", error.text);
        }
    }
}
