//! The distribution protocol (OCI distribution-spec 1.1): pull and push, over https and http, anonymous, with a
//! password or with tokens.
//!
//! Comes in: [`oci::Reference`]s, descriptors and bytes, and [`Credentials`] read from files that `cli` opened. Goes
//! out: manifests and blobs whose digests were checked, and blobs and manifests in a registry. An [`Upload`] stays
//! uncommitted until its digest is given, and is deleted when dropped.
//!
//! What a registry answers is not trusted: every document has a limit, lengths and digests are checked as the bytes
//! pass, credentials go only to the registry itself and to the token server it names, and texts from it are stripped
//! of control characters. It never starts a credential helper, never reads files, and never writes to disk.

mod answer;
mod auth;
pub mod challenge;
mod credentials;
mod endpoint;
mod error;
mod pull;
mod push;
mod registries;
mod upload;

pub use credentials::{Credentials, CredentialsError, Login};
pub use error::{Kind, RegistryError};
pub use http::Tls;
pub use pull::{BlobReader, Pulled};
pub use push::Mounted;
pub use registries::{Options, Registries};
pub use upload::Upload;
