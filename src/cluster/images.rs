//! Image streams: what a tag stands for, and telling a cluster that there is a new image.

use http::Method;
use serde_json::{Value, json};

use crate::client::Ask;
use crate::fields::Field;
use crate::{Client, ClusterError, Object, WrongField};

const GROUP: &str = "image.openshift.io";
const VERSION: &str = "image.openshift.io/v1";

/// What a stream knows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageStream {
    /// `status.dockerImageRepository`: where it is in the cluster's registry.
    pub repository: Option<String>,
    /// `spec.dockerImageRepository`: where its images come from.
    pub follows: Option<String>,
    /// Its tags, from `status.tags`.
    pub tags: Vec<String>,
}

/// What a tag or an image of a stream stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageStreamTag {
    /// `image.dockerImageReference`: the image as it can be pulled, by digest as a rule.
    pub reference: String,
    /// `image.metadata.name`: its digest.
    pub digest: Option<String>,
}

/// A tag to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The image, `registry/repository:tag`.
    pub from: String,
    /// The tag it gets.
    pub tag: String,
    /// Whether the registry's certificate is not checked.
    pub is_insecure: bool,
}

/// What became of an [`Import`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The tag.
    pub tag: String,
    /// Why it failed; none where it did not.
    pub error: Option<String>,
}

impl ImageStream {
    /// The stream that an object of the API is.
    ///
    /// # Errors
    /// The first field that is not what it should be.
    pub fn read(object: &Value) -> Result<Self, WrongField> {
        let root = Field::root(object);
        let status = root.at("status")?;
        let tag = |field: Field<'_>| field.at("tag")?.needed_text();
        Ok(Self {
            repository: status.at("dockerImageRepository")?.text()?,
            follows: root.down(&["spec", "dockerImageRepository"])?.text()?,
            tags: status.at("tags")?.items()?.into_iter().map(tag).collect::<Result<_, _>>()?,
        })
    }
}

impl ImageStreamTag {
    /// The tag that an object of the API is.
    ///
    /// # Errors
    /// The first field that is not what it should be.
    pub fn read(object: &Value) -> Result<Self, WrongField> {
        let image = Field::root(object).at("image")?;
        let reference = image.at("dockerImageReference")?.needed_text()?;
        Ok(Self { reference, digest: image.down(&["metadata", "name"])?.text()? })
    }
}

impl Client {
    /// What tag `NAME:TAG` of a stream stands for.
    ///
    /// # Errors
    /// [`ClusterError`]; [`ClusterError::Answer`] where it stands for no image yet.
    pub fn image_stream_tag(&self, tag: &Object) -> Result<ImageStreamTag, ClusterError> {
        self.image_in_stream("imagestreamtags", tag)
    }

    /// What image `NAME@DIGEST` of a stream is.
    ///
    /// # Errors
    /// [`ClusterError`]; [`ClusterError::Answer`] where the answer names no image.
    pub fn image_stream_image(&self, image: &Object) -> Result<ImageStreamTag, ClusterError> {
        self.image_in_stream("imagestreamimages", image)
    }

    fn image_in_stream(&self, resource: &'static str, object: &Object) -> Result<ImageStreamTag, ClusterError> {
        let (url, value) = self.image_object(resource, object)?;
        ImageStreamTag::read(&value).map_err(|error| ClusterError::Answer { url, why: error.to_string() })
    }

    /// A stream, if there is one.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn image_stream(&self, stream: &Object) -> Result<Option<ImageStream>, ClusterError> {
        let (url, value) = match self.image_object("imagestreams", stream) {
            Err(ClusterError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        let stream = ImageStream::read(&value);
        stream.map(Some).map_err(|error| ClusterError::Answer { url, why: error.to_string() })
    }

    /// Makes a stream. One that is there already is as good.
    ///
    /// # Errors
    /// [`ClusterError`].
    pub fn create_image_stream(&self, stream: &Object) -> Result<(), ClusterError> {
        let body = json!({
            "kind": "ImageStream", "apiVersion": VERSION,
            "metadata": { "name": stream.name },
            "spec": {},
        });
        match self.post("imagestreams", &stream.namespace, body) {
            Err(ClusterError::Conflict { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Lets the cluster look at images and give them tags of a stream; says for each what became of it.
    ///
    /// # Errors
    /// [`ClusterError`]: the whole was refused.
    pub fn import(&self, stream: &Object, imports: &[Import]) -> Result<Vec<Imported>, ClusterError> {
        let image = |import: &Import| {
            json!({
                "from": { "kind": "DockerImage", "name": import.from },
                "to": { "name": import.tag },
                "importPolicy": { "insecure": import.is_insecure },
            })
        };
        let body = json!({
            "kind": "ImageStreamImport", "apiVersion": VERSION,
            "metadata": { "name": stream.name },
            "spec": { "import": true, "images": imports.iter().map(image).collect::<Vec<_>>() },
            "status": {},
        });
        let (url, value) = self.post("imagestreamimports", &stream.namespace, body)?;
        let read = || {
            let images = Field::root(&value).down(&["status", "images"])?.items()?;
            let outcome = |image: &Field<'_>| {
                let status = image.at("status")?;
                let is_done = status.at("status")?.text()?.is_none_or(|text| text == "Success");
                let message = status.at("message")?.text()?;
                Ok((!is_done).then(|| message.unwrap_or_else(|| "it was not said why".to_owned())))
            };
            images.iter().map(outcome).collect::<Result<Vec<_>, crate::WrongField>>()
        };
        let outcomes = read().map_err(|error| ClusterError::Answer { url: url.clone(), why: error.to_string() })?;
        if outcomes.len() != imports.len() {
            let why = format!("{} images were to be imported, it speaks of {}", imports.len(), outcomes.len());
            return Err(ClusterError::Answer { url, why });
        }
        let imported = imports.iter().zip(outcomes);
        Ok(imported.map(|(import, error)| Imported { tag: import.tag.clone(), error }).collect())
    }

    fn image_object(&self, resource: &'static str, object: &Object) -> Result<(String, Value), ClusterError> {
        let ask = Ask {
            method: Method::GET,
            resource: (GROUP, resource),
            namespace: &object.namespace,
            name: Some(&object.name),
            body: None,
        };
        json_of(self.ask(&ask)?)
    }

    fn post(&self, resource: &'static str, namespace: &str, body: Value) -> Result<(String, Value), ClusterError> {
        let body = Some(("application/json", body));
        let ask = Ask { method: Method::POST, resource: (GROUP, resource), namespace, name: None, body };
        json_of(self.ask(&ask)?)
    }
}

fn json_of((url, bytes): (String, Vec<u8>)) -> Result<(String, Value), ClusterError> {
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok((url, value)),
        Err(error) => Err(ClusterError::Answer { url, why: format!("it is not JSON: {error}") }),
    }
}
