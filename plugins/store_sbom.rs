//! `store_sbom`: the bill of materials, written to files and attached to the pushed image.
//!
//! Reads the document that generate_sbom made, where it is to go, and where the record goes. Writes the files as the
//! user, and puts the document into each registry as an artifact whose subject is the image. Does nothing for an image
//! that was not published. Fails the build when something is refused; the rest is done all the same.

use std::path::{Path, PathBuf};

use pipeline::{Bill, Class, Exit, ExitView, Made, Plugin, PluginError, Setup};

use crate::artifact::{self, Document};
use crate::generate_sbom;

#[derive(Debug)]
struct StoreSbom {
    /// The site's file for the record.
    record: Option<PathBuf>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Exit> {
    let record = setup.site.record.path.clone();
    Ok(if generate_sbom::acts(setup)? { Some(Box::new(StoreSbom { record })) } else { None })
}

impl Plugin<Exit> for StoreSbom {
    fn run(&self, view: &ExitView<'_>) -> Result<(), PluginError> {
        let (Some(bill), Some(_)) = (view.facts.sbom(), view.published) else { return Ok(()) };
        let records: Vec<&Path> = view.record_path.into_iter().chain(self.record.as_deref()).collect();
        let mut done = Ok(());
        for (path, bytes) in decide(bill, &records) {
            let written = (view.write)(&path, &bytes).map_err(|error| {
                let text = format!("{}: cannot write the bill of materials: {error}", path.display());
                PluginError::new(Class::Environment, text)
            });
            done = done.and(written);
        }
        if bill.attach {
            let (media_type, bytes) = (bill.sbom.format.media_type(), &bill.sbom.document);
            let help = "the image is published all the same; --sbom-output writes the bill of materials to a file";
            let document = Document { name: "the bill of materials", media_type, bytes, help };
            done = done.and(artifact::attach(view, &document));
        }
        done
    }
}

/// The files to write.
fn decide(bill: &Bill, records: &[&Path]) -> Vec<(PathBuf, Vec<u8>)> {
    let sbom = &bill.sbom;
    let beside = records.iter().filter(|_| bill.beside_record);
    let beside = beside.map(|record| record.with_extension(sbom.format.extension()));
    let mut documents: Vec<PathBuf> = bill.files.iter().cloned().chain(beside).collect();
    documents.sort();
    documents.dedup();
    let documents = documents.into_iter().map(|path| (path, sbom.document.clone()));
    documents.chain(bill.purl_files.iter().map(|path| (path.clone(), sbom.purl_list()))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proof::sbom::{Format, Sbom};

    use super::*;

    #[test]
    fn files_are_those_demanded_and_one_beside_each_record() {
        let purls = vec!["pkg:rpm/a@1-1".to_owned()];
        let sbom = Arc::new(Sbom { format: Format::Spdx, document: b"{}\n".to_vec(), purls });
        let bill = Bill {
            sbom,
            files: vec!["/out/a.json".into()],
            purl_files: vec!["/out/p".into()],
            beside_record: true,
            attach: false,
        };
        let records = [Path::new("/r/record.json"), Path::new("/r/record.json"), Path::new("plain")];
        let files = decide(&bill, &records);
        let list = b"{\"image_contents\":{\"dependencies\":[\"pkg:rpm/a@1-1\"]}}\n".to_vec();
        let document = b"{}\n".to_vec();
        let expected: Vec<(PathBuf, Vec<u8>)> = vec![
            ("/out/a.json".into(), document.clone()),
            ("/r/record.spdx.json".into(), document.clone()),
            ("plain.spdx.json".into(), document),
            ("/out/p".into(), list),
        ];
        assert_eq!(files, expected);
        let bill = Bill { beside_record: false, ..bill };
        assert_eq!(decide(&bill, &records).len(), 2);
    }
}
