//! Small repositories, made as createrepo_c makes them.

use std::collections::BTreeMap;
use std::io::Write;

use oci::digest::Algorithm;
use oci::{Digest, Hasher};

/// What a repository is made from.
pub(crate) struct Draft {
    pub(crate) packages: Vec<(&'static str, Vec<u8>)>,
    pub(crate) algorithm: Algorithm,
    /// The name the checksums get, if it is not that of the algorithm.
    pub(crate) weak: Option<(&'static str, &'static str)>,
}

impl Draft {
    pub(crate) fn new(packages: &[(&'static str, &[u8])]) -> Self {
        let packages = packages.iter().map(|(name, content)| (*name, content.to_vec())).collect();
        Self { packages, algorithm: Algorithm::Sha256, weak: None }
    }

    /// The files below `prefix`, by path.
    pub(crate) fn files(&self, prefix: &str) -> BTreeMap<String, Vec<u8>> {
        let primary = gzip(self.primary().as_bytes());
        let href = format!("repodata/{}-primary.xml.gz", Digest::of(&primary).hex());
        let repomd = format!(
            "<?xml version=\"1.0\"?><repomd xmlns=\"http://linux.duke.edu/metadata/repo\"><revision>1</revision>\
             <data type=\"primary\">{}<location href=\"{href}\"/><size>{}</size></data></repomd>",
            checksum(Algorithm::Sha256, &primary, None, ""),
            primary.len()
        );
        let metadata = [("repodata/repomd.xml".to_owned(), repomd.into_bytes()), (href, primary)];
        let packages = self.packages.iter().map(|(name, content)| ((*name).to_owned(), content.clone()));
        metadata.into_iter().chain(packages).map(|(path, content)| (format!("{prefix}/{path}"), content)).collect()
    }

    fn primary(&self) -> String {
        let mut text = format!(
            "<?xml version=\"1.0\"?><metadata xmlns=\"http://linux.duke.edu/metadata/common\" packages=\"{}\">",
            self.packages.len()
        );
        for (name, content) in &self.packages {
            text += &format!(
                "<package type=\"rpm\"><name>p</name><arch>noarch</arch><version epoch=\"0\" ver=\"1\" rel=\"1\"/>{}\
                 <size package=\"{}\" installed=\"1\" archive=\"1\"/><location href=\"{name}\"/></package>",
                checksum(self.algorithm, content, self.weak, " pkgid=\"YES\""),
                content.len()
            );
        }
        text + "</metadata>"
    }
}

fn checksum(algorithm: Algorithm, content: &[u8], weak: Option<(&str, &str)>, more: &str) -> String {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(content);
    let digest = hasher.finish();
    let name = if algorithm == Algorithm::Sha512 { "sha512" } else { "sha256" };
    let (name, hex) = weak.unwrap_or((name, digest.hex()));
    format!("<checksum type=\"{name}\"{more}>{hex}</checksum>")
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Where the primary metadata is in `files`.
pub(crate) fn primary(files: &BTreeMap<String, Vec<u8>>) -> String {
    files.keys().find(|path| path.ends_with("primary.xml.gz")).unwrap().clone()
}
