//! The image that a Build object puts in the place of the last FROM.

use cluster::{Client, ClusterError, Kind, Object};

use crate::failure::{Failure, Status};

/// What stands in the place of the last FROM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum LastBase {
    /// What the Dockerfile says.
    #[default]
    Dockerfile,
    /// This image.
    Image(String),
    /// What this ImageStreamTag stands for when the build begins.
    StreamTag(Object),
    /// What this ImageStreamImage, `STREAM@DIGEST`, stands for.
    StreamImage(Object),
}

impl LastBase {
    /// The image, if it is another than the Dockerfile's; the cluster is asked for that of a stream.
    pub(super) fn image(&self, client: Option<&Client>) -> Result<Option<String>, Failure> {
        let (kind, object) = match self {
            Self::Dockerfile => return Ok(None),
            Self::Image(image) => return Ok(Some(image.clone())),
            Self::StreamTag(tag) => ("ImageStreamTag", tag),
            Self::StreamImage(image) => ("ImageStreamImage", image),
        };
        let what = format!("BUILD: spec.strategy.dockerStrategy.from is the {kind} {}", object.name);
        let Some(client) = client else {
            let text = format!("{what}, and there is no API of a cluster to ask for its image");
            return Err(Failure::new(Status::Usage, text).help("name the image itself: kind DockerImage"));
        };
        let found = match self {
            Self::StreamImage(image) => client.image_stream_image(image),
            Self::Dockerfile | Self::Image(_) | Self::StreamTag(_) => client.image_stream_tag(object),
        };
        found.map(|found| Some(found.reference)).map_err(|error| failed(&what, &error))
    }
}

fn failed(what: &str, error: &ClusterError) -> Failure {
    let status = match error.kind() {
        Kind::Configuration => Status::Usage,
        Kind::Service => Status::Remote,
        Kind::Cancelled => Status::Cancelled,
    };
    let said = Failure::of(status, error);
    Failure { text: format!("{what}: {}", said.text), help: error.help(), ..said }
}
