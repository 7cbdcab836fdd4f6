//! The distribution protocol (OCI distribution-spec 1.1): pull and push, over https and http, anonymous, with a
//! password or with tokens.
//!
//! Comes in: [`oci::Reference`]s, descriptors and bytes, and [`Credentials`] read from files that `cli` opened. Goes
//! out: manifests and blobs whose digests were checked, and blobs and manifests in a registry. An [`Upload`] stays
//! uncommitted until its digest is given, and is deleted when dropped.
//!
//! What a registry answers is not trusted: every document has a limit, lengths and digests are checked as the bytes
//! pass, credentials go only to the registry itself and to the token server it names, and texts from it are stripped
//! of control characters. It never starts a credential helper, reads no files but the certificates in the directories of
//! [`Options::certs_d`], and never writes to disk.

mod answer;
mod auth;
pub mod challenge;
mod conf;
mod credential_helper;
mod credentials;
mod endpoint;
mod error;
mod host_certificates;
mod media_types;
mod places;
mod pull;
mod push;
mod referrers;
mod registries;
mod upload;

pub use conf::{Ambiguous, Blocked, Candidate, RegistriesConf, RegistriesConfError};
pub use credential_helper::HelperError;
pub use credentials::{Credentials, CredentialsError, Login};
pub use error::{Kind, RegistryError};
pub use host_certificates::CertificatesError;
pub use http::Tls;
pub use pull::{BlobReader, Pulled};
pub use push::Mounted;
pub use registries::{NameError, Options, Registries};
pub use upload::Upload;
