//! Files the site puts into an image, after its last instruction.

use std::fs;
use std::path::Path;

use source::Tree;
use store::StoreError;

use crate::copy::{self, CopyRequest, Digests, Links, Mtime, Touch};
use crate::files::Mode;
use crate::owner::Ids;
use crate::stage::{Failure, Stage, Workshop};
use crate::{AddedFile, BuildError, Request};

/// Writes the request's files into the stage, owned by root and as old as the image.
pub(crate) fn add(workshop: &Workshop<'_>, request: &Request, stage: &mut Stage<'_>) -> Result<(), BuildError> {
    for file in &request.added {
        let failed = |source: std::io::Error| {
            BuildError::Store(StoreError::Io { path: file.path.clone(), action: "write a file for the image", source })
        };
        let folder = workshop.store.scratch().fresh_folder("added").map_err(failed)?;
        let folder = workshop.store.path(&folder);
        let name = file.path.file_name().map(Path::new).unwrap_or(Path::new(""));
        fs::write(folder.join(name), &file.content).map_err(failed)?;
        let tree = Tree::new(store::open_directory(&folder).map_err(failed)?, &folder, None);
        let written = write(workshop, request, stage, (file, &tree, name));
        written.map_err(|failure| match failure {
            Failure::Here(error) => failed(std::io::Error::other(error)),
            Failure::Elsewhere(error) => *error,
        })?;
        stage.note(request, &format!("ADD {} # by the build system", file.path.display()), true);
    }
    Ok(())
}

fn write(
    workshop: &Workshop<'_>,
    request: &Request,
    stage: &mut Stage<'_>,
    (file, tree, name): (&AddedFile, &Tree, &Path),
) -> Result<(), Failure> {
    let copy_request = CopyRequest {
        destination: file.path.clone(),
        into_directory: false,
        links: Links::Followed,
        owner: Some(Ids::ROOT),
        mode: Some(Mode::octal(file.mode)),
        mtime: Mtime::Exactly(i64::try_from(request.epoch).unwrap_or(i64::MAX)),
        drops_set_id: true,
        digests: Digests::Unwanted,
    };
    stage.prepare(workshop, &[Touch::Below(&file.path)])?;
    let (root, _) = stage.mounted(workshop)?;
    copy::copy(root.dir(), tree, &[name.to_owned()], &copy_request, workshop.owners)?;
    Ok(())
}
