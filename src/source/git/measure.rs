//! How much a commit holds, found out before any of it is written: a few trees that name each other can stand for more
//! files than a disk takes.
//!
//! Comes in: a repository that has the commit. Goes out: nothing, or an error that names what is too much. Submodules
//! are repositories of their own and count as one entry.

use std::ops::ControlFlow;

use super::GitError;
use super::run::Git;

/// The most files of a commit.
const MAX_FILES: u64 = 1_000_000;
/// Bytes of all files of a commit.
const MAX_TOTAL: u64 = 64 << 30;
/// Bytes of a record that are looked at: mode, kind, id and size stand before the path.
const HEAD: usize = 160;

/// Refuses a commit that holds too much.
///
/// # Errors
/// [`GitError::TooMuch`], and what running git says.
pub(super) fn check(git: &Git<'_>, commit: &str) -> Result<(), GitError> {
    let mut sum = Sum::default();
    let arguments = ["ls-tree", "-r", "-l", "-z", "--full-tree", commit];
    git.listen("count the files of the commit", &arguments, &mut |bytes| sum.take(bytes))?;
    match sum.excess {
        None => Ok(()),
        Some((limit, what)) => Err(GitError::TooMuch {
            repository: git.repository(),
            commit: commit.to_owned(),
            limit: limit.to_string(),
            what,
        }),
    }
}

/// What has been counted of `git ls-tree -l -z`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    files: u64,
    bytes: u64,
    /// The beginning of a record that has not ended.
    head: Vec<u8>,
    excess: Option<(u64, &'static str)>,
}

impl Sum {
    fn take(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        for byte in bytes {
            if *byte != 0 {
                if self.head.len() < HEAD {
                    self.head.push(*byte);
                }
                continue;
            }
            self.files += 1;
            self.bytes = self.bytes.saturating_add(size(&self.head));
            self.head.clear();
        }
        self.excess = match (self.files > MAX_FILES, self.bytes > MAX_TOTAL) {
            (true, _) => Some((MAX_FILES, "files")),
            (false, true) => Some((MAX_TOTAL, "bytes")),
            (false, false) => None,
        };
        if self.excess.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The size in `MODE KIND ID SIZE\tPATH`; a submodule has none.
fn size(head: &[u8]) -> u64 {
    let before = head.split(|byte| *byte == b'\t').next().unwrap_or_default();
    let text = std::str::from_utf8(before).unwrap_or_default();
    text.split_ascii_whitespace().nth(3).and_then(|size| size.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_counted_wherever_they_are_cut() {
        let all = b"100644 blob aaaa     123\ta\x00160000 commit bbbb       -\tsub\x00100755 blob cccc 7\tb\tc\n\0";
        for at in 0..all.len() {
            let mut sum = Sum::default();
            assert!(sum.take(&all[..at]).is_continue() && sum.take(&all[at..]).is_continue());
            assert_eq!((sum.files, sum.bytes, sum.head.len()), (3, 130, 0), "{at}");
        }
    }

    #[test]
    fn what_is_too_much_ends_it() {
        let mut sum = Sum::default();
        assert!(sum.take(b"100644 blob a 68719476736\ta\0").is_continue());
        assert!(sum.take(b"100644 blob a 1\tb\0").is_break());
        assert_eq!(sum.excess, Some((MAX_TOTAL, "bytes")));
        let mut long = Sum::default();
        assert!(long.take(&vec![b'x'; 1 << 20]).is_continue());
        assert_eq!(long.head.len(), HEAD);
    }
}
