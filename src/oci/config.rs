//! The image config, of both families, with every field kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::manifest::{ManifestError, canonical};
use crate::{DiffId, Platform};

/// An image config (OCI image-spec, config.md; Docker image specification v1.2).
///
/// Fields this program does not know stay in `other`, so a base image's are not lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// `GOARCH`.
    pub architecture: String,
    /// `GOOS`.
    pub os: String,
    /// Variant of the processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// What a container made of the image gets.
    #[serde(default)]
    pub config: ContainerConfig,
    /// The layers, uncompressed.
    pub rootfs: RootFs,
    /// How the layers came about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The `config` member: defaults of a container made of the image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// `user[:group]`, names or numbers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `port[/protocol]`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `NAME=value`, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// What is started; `Cmd` becomes its arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments or program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Paths of volumes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, Value>,
    /// Where the program starts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// The signal that stops a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Docker: the shell of shell-form instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Docker: how to see whether a container works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Value>,
    /// Docker: instructions that run when the image is built upon.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub on_build: Vec<String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The layers of an image by content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One a layer, base first.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<DiffId>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// One line of an image's history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Anything to say about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether no layer belongs to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Go writes nil maps and slices as `null`.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl ImageConfig {
    /// The config of an image without layers.
    #[must_use]
    pub fn scratch(platform: &Platform) -> Self {
        Self {
            created: None,
            author: None,
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
            config: ContainerConfig::default(),
            rootfs: RootFs { kind: "layers".to_owned(), diff_ids: Vec::new(), other: Map::new() },
            history: Vec::new(),
            other: Map::new(),
        }
    }

    /// Reads a config blob.
    ///
    /// # Errors
    /// [`ManifestError::Json`] with line and column.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        serde_json::from_slice(bytes).map_err(|source| ManifestError::Json { source })
    }

    /// The bytes to publish: the same for equal configs.
    ///
    /// # Errors
    /// [`ManifestError::Json`]; in practice never.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        canonical(self).map_err(|source| ManifestError::Json { source })
    }

    /// The platform the image is for.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone().filter(|variant| !variant.is_empty()),
        }
    }
}

impl ContainerConfig {
    /// The value of an environment variable.
    #[must_use]
    pub fn env(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// Sets an environment variable, in its old place if it was there.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let line = format!("{name}={value}");
        let is_it = |other: &&mut String| other.split_once('=').is_some_and(|(other, _)| other == name);
        match self.env.iter_mut().find(is_it) {
            Some(place) => *place = line,
            None => self.env.push(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKER: &str = r#"{"architecture":"amd64","config":{"ArgsEscaped":true,"AttachStdin":false,"Cmd":["sh"],"Env":["A=1"],"Healthcheck":{"Test":["NONE"]},"Labels":{"z":"1","a":"2"},"OnBuild":["RUN x"],"Shell":["/bin/bash","-c"],"Volumes":null},"container":"abc","docker_version":"20.10","os":"linux","rootfs":{"diff_ids":null,"type":"layers"}}"#;

    #[test]
    fn dockers_own_fields_survive_a_change() {
        let mut config = ImageConfig::parse(DOCKER.as_bytes()).unwrap();
        config.config.set_env("B", "2");
        config.config.set_env("A", "3");
        let text = String::from_utf8(config.to_bytes().unwrap()).unwrap();
        assert_eq!(
            text,
            r#"{"architecture":"amd64","config":{"ArgsEscaped":true,"AttachStdin":false,"Cmd":["sh"],"Env":["A=3","B=2"],"Healthcheck":{"Test":["NONE"]},"Labels":{"a":"2","z":"1"},"OnBuild":["RUN x"],"Shell":["/bin/bash","-c"]},"container":"abc","docker_version":"20.10","os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}"#
        );
    }

    #[test]
    fn a_config_that_is_cut_short_says_where() {
        let error = ImageConfig::parse(br#"{"os":"linux""#).unwrap_err().to_string();
        assert_eq!(error, "not a manifest: EOF while parsing an object at line 1 column 13");
    }
}
