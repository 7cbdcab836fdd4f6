//! The token of a service account: a file that is exchanged while the pod lives.
//!
//! Comes in: its path. Goes out: a [`Secret`], as the file has it at that moment. It is kept nowhere.

use std::fmt::{self, Debug, Formatter};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Secret;

use crate::ClusterError;

/// Longest token that is read, in bytes.
const LIMIT: u64 = 64 << 10;

type Read_ = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;

/// Reads a file as the user who owns it, who may not be the one the program runs as by then.
#[derive(Clone)]
pub struct ReadFile(Arc<Read_>);

impl ReadFile {
    /// Reads as `read` does.
    pub fn new(read: impl Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }
}

impl Default for ReadFile {
    /// Reads as this process; at most 64 KiB.
    fn default() -> Self {
        Self::new(|path| {
            let mut bytes = Vec::new();
            std::fs::File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
            Ok(bytes)
        })
    }
}

impl Debug for ReadFile {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("ReadFile")
    }
}

/// Where a token is.
#[derive(Clone, Debug)]
pub(crate) struct TokenFile {
    pub(crate) path: PathBuf,
    pub(crate) read: ReadFile,
}

impl TokenFile {
    /// The token of this moment: kubelet exchanges it when four fifths of its time are over, and a build may take
    /// longer than that.
    pub(crate) fn token(&self) -> Result<Secret, ClusterError> {
        let failed = |why: String| ClusterError::Token { path: self.path.clone(), why };
        let bytes = (self.read.0)(&self.path).map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > LIMIT {
            return Err(failed("it is longer than 64 KiB".to_owned()));
        }
        // The text itself is shown in no error.
        let text = String::from_utf8(bytes).map_err(|_| failed("it is not a text".to_owned()))?;
        match text.trim() {
            "" => Err(failed("it is empty".to_owned())),
            token if !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(failed("it holds characters that no token has".to_owned()))
            }
            token => Ok(Secret::new(token)),
        }
    }
}
