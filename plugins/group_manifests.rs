//! `group_manifests`: the images of all platforms become one index.
//!
//! Reads the names that tag_from_config gave to the images of the platforms, or the argument `images` for those of other
//! platforms (a map of platforms to names, in any repository), and what the registry has under them.
//! Returns the order to put an index (a list, for images in Docker's format) under the unique name, then the primary
//! ones, and the index as a fact. Builds of other platforms are not waited for: while one is missing there is no index,
//! and the build that is last makes it. The bytes are those that atomic-reactor would make, since a digest depends on
//! them. Fails the build when the images have different formats, or what is under a name is no image.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use oci::manifest::media_type::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use oci::{Descriptor, Digest, Document, Reference};
use pipeline::{
    Class, Fact, Group, Index, Made, Member, Order, Orders, Plugin, PluginError, Publish, PublishView, Setup, Tags,
};
use registry::{Kind, Registries};
use serde::Serialize;
use serde_json::Value;
use transport::TransportError;

#[derive(Debug)]
struct GroupManifests {
    /// Where images of other platforms are, if not beside this one.
    elsewhere: BTreeMap<String, Reference>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Publish> {
    let elsewhere = match setup.args.and_then(|args| args.get("images")) {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(value) => elsewhere(value)?,
    };
    Ok(Some(Box::new(GroupManifests { elsewhere })))
}

/// The argument `images`: platforms, and the names of their images.
fn elsewhere(value: &Value) -> Result<BTreeMap<String, Reference>, PluginError> {
    let wrong = |what: &dyn Display| {
        let text = format!("argument images: {what}; it must be a map of platforms to names of images in registries");
        PluginError::new(Class::Configuration, text)
    };
    let pairs = value.as_object().ok_or_else(|| wrong(value))?;
    let pair = |(platform, name): (&String, &Value)| {
        let text = name.as_str().ok_or_else(|| wrong(name))?;
        let name = text.parse().map_err(|error: oci::ReferenceError| wrong(&error))?;
        Ok((platform.clone(), name))
    };
    pairs.iter().map(pair).collect()
}

impl Plugin<Publish> for GroupManifests {
    fn run(&self, view: &PublishView<'_>) -> Result<Orders, PluginError> {
        let Some(tags) = view.facts.tags() else { return Ok(Orders::default()) };
        let Some(group) = tags.group.as_ref().filter(|group| is_pushed(view, group)) else {
            return Ok(Orders::default());
        };
        let images = match images(view.transports.registries(), &placed(group, &self.elsewhere)?)? {
            Ok(images) => images,
            Err(missing) => {
                let text = format!("no index yet: {} is not there", missing.join(", "));
                return Ok(Orders { warnings: vec![text], ..Orders::default() });
            }
        };
        let index = Arc::new(decide(tags, &images)?);
        let facts = vec![Fact::Index(Arc::clone(&index))];
        Ok(Orders { orders: vec![Order::Group(index)], facts, warnings: Vec::new() })
    }
}

/// The images of a group, where they are.
fn placed(group: &Group, elsewhere: &BTreeMap<String, Reference>) -> Result<Group, PluginError> {
    let mut group = group.clone();
    for (platform, name) in elsewhere {
        let member = group.members.iter_mut().find(|member| member.platform == *platform && member.name != group.own);
        let Some(member) = member else {
            let text = format!("argument images: {platform} is none of the other platforms of this build");
            return Err(PluginError::new(Class::Configuration, text));
        };
        member.name = name.clone();
    }
    Ok(group)
}

/// Whether the image went where those of the other platforms are.
fn is_pushed(view: &PublishView<'_>, group: &Group) -> bool {
    view.outputs.iter().any(|output| output.in_registry() == Some(&group.own))
}

/// The image of one platform as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    name: Reference,
    architecture: String,
    descriptor: Descriptor,
}

/// The images, or the names of those that are not there.
fn images(registries: &Registries, group: &Group) -> Result<Result<Vec<Found>, Vec<String>>, PluginError> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for Member { architecture, name, .. } in &group.members {
        match registries.resolve(name) {
            Ok(pulled) => {
                if let Document::Index(_) = pulled.document {
                    return Err(PluginError::new(Class::Refused, format!("{name} is an index, not an image")));
                }
                let (name, architecture) = (name.clone(), architecture.clone());
                found.push(Found { name, architecture, descriptor: pulled.descriptor });
            }
            Err(error) if error.kind() == Kind::NoSuchImage => missing.push(name.to_string()),
            Err(error) => return Err(TransportError::from(error).into()),
        }
    }
    Ok(if missing.is_empty() { Ok(found) } else { Err(missing) })
}

/// An index as JSON; the fields are sorted as they are written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    manifests: Vec<Entry<'a>>,
    media_type: &'a str,
    schema_version: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    digest: &'a Digest,
    media_type: &'a str,
    platform: Platform<'a>,
    size: u64,
}

#[derive(Serialize)]
struct Platform<'a> {
    architecture: &'a str,
    os: &'a str,
}

impl<'a> Entry<'a> {
    fn of(image: &'a Found) -> Self {
        let platform = Platform { architecture: &image.architecture, os: "linux" };
        let Descriptor { digest, media_type, size, .. } = &image.descriptor;
        Self { digest, media_type, platform, size: *size }
    }
}

/// The index of `images`, and where it goes.
fn decide(tags: &Tags, images: &[Found]) -> Result<Index, PluginError> {
    let mut images: Vec<&Found> = images.iter().collect();
    images.sort_by(|one, other| one.architecture.cmp(&other.architecture));
    let media_type = index_type(&images)?;
    let manifests = images.iter().map(|image| Entry::of(image)).collect();
    let bytes = json(&Written { manifests, media_type, schema_version: 2 })?;
    let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
    Ok(Index {
        descriptor,
        bytes,
        images: images.iter().map(|image| image.name.pinned(image.descriptor.digest.clone())).collect(),
        architectures: images.iter().map(|image| image.architecture.clone()).collect(),
        names: tags.unique.iter().chain(&tags.primary).cloned().collect(),
    })
}

/// The index's type, which follows from that of all images.
fn index_type(images: &[&Found]) -> Result<&'static str, PluginError> {
    let types: Vec<&str> = images.iter().map(|image| image.descriptor.media_type.as_str()).collect();
    if types.iter().all(|media_type| *media_type == DOCKER_MANIFEST) {
        return Ok(DOCKER_LIST);
    }
    if types.iter().all(|media_type| *media_type == OCI_MANIFEST) {
        return Ok(OCI_INDEX);
    }
    let shown: Vec<String> =
        images.iter().map(|image| format!("{} is {}", image.name, image.descriptor.media_type)).collect();
    let text = format!("the images of the platforms have different formats: {}", shown.join(", "));
    Err(PluginError::new(Class::Refused, text).help("build all of them with one --format"))
}

/// Indented by four, as Python's `json.dumps(indent=4, sort_keys=True)` writes it.
fn json(written: &Written<'_>) -> Result<Vec<u8>, PluginError> {
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    written.serialize(&mut serializer).map_err(|error| PluginError::of(Class::Bug, &error))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(architecture: &str, media_type: &str) -> Found {
        let name = format!("r.example/a:u-{architecture}").parse().unwrap();
        let descriptor = Descriptor::new(media_type, Digest::of(architecture.as_bytes()), 7);
        Found { name, architecture: architecture.to_owned(), descriptor }
    }

    fn tags() -> Tags {
        let name = |tag: &str| vec![format!("r.example/a:{tag}").parse().unwrap()];
        Tags { unique: name("u"), primary: name("1-2"), floating: name("latest"), group: None }
    }

    #[test]
    fn images_of_other_platforms_may_be_elsewhere() {
        let member = |platform: &str| Member {
            platform: platform.to_owned(),
            architecture: platform.to_owned(),
            name: format!("r.example/a:u-{platform}").parse().unwrap(),
        };
        let own = member("x86_64");
        let group = Group { own: own.name.clone(), members: vec![member("s390x"), own] };
        let placed = |value: Value| {
            let group = placed(&group, &elsewhere(&value)?)?;
            Ok(group.members.iter().map(|member| member.name.to_string()).collect::<Vec<_>>())
        };
        let all = placed(serde_json::json!({"s390x": "r.example/b:1"})).unwrap();
        assert_eq!(all, ["r.example/b:1", "r.example/a:u-x86_64"]);
        let fails = |value: Value, text: &str| {
            let error: PluginError = placed(value).unwrap_err();
            assert!(error.class == Class::Configuration && error.text.contains(text), "{}", error.text);
        };
        fails(serde_json::json!({"x86_64": "r.example/b:1"}), "x86_64 is none of the other platforms");
        fails(serde_json::json!({"s390x": 5}), "argument images: 5; it must be a map");
        fails(serde_json::json!(["s390x"]), "it must be a map of platforms");
    }

    /// What Python makes of the same list.
    const LIST: &str = r#"{
    "manifests": [
        {
            "digest": "AMD64",
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "platform": {
                "architecture": "amd64",
                "os": "linux"
            },
            "size": 7
        },
        {
            "digest": "S390X",
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "platform": {
                "architecture": "s390x",
                "os": "linux"
            },
            "size": 7
        }
    ],
    "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
    "schemaVersion": 2
}"#;

    #[test]
    fn the_list_is_sorted_by_architecture_and_has_the_bytes_others_make() {
        let index = decide(&tags(), &[found("s390x", DOCKER_MANIFEST), found("amd64", DOCKER_MANIFEST)]).unwrap();
        let expected = LIST.replace("AMD64", Digest::of(b"amd64").as_str());
        let expected = expected.replace("S390X", Digest::of(b"s390x").as_str());
        assert_eq!(String::from_utf8(index.bytes.clone()).unwrap(), expected);
        let digest = Digest::of(expected.as_bytes());
        assert_eq!(index.descriptor, Descriptor::new(DOCKER_LIST, digest, expected.len() as u64));
        assert_eq!(index.architectures, ["amd64", "s390x"]);
        let names: Vec<String> = index.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["r.example/a:u", "r.example/a:1-2"], "floating names are moved later");
    }

    #[test]
    fn images_of_one_format_make_an_index_of_that_format_only() {
        let index = decide(&tags(), &[found("amd64", OCI_MANIFEST)]).unwrap();
        assert_eq!(index.descriptor.media_type, OCI_INDEX);
        let error = decide(&tags(), &[found("amd64", OCI_MANIFEST), found("arm64", DOCKER_MANIFEST)]).unwrap_err();
        assert!(error.text.starts_with("the images of the platforms have different formats: "), "{error}");
    }
}
