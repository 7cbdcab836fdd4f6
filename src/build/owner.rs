//! Owners of files, and users by name as the image knows them.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::BorrowedFd;
use std::path::Path;

use oci::layer::open_inside;
use rustix::fs::{Gid, Mode, OFlags, Uid, XattrFlags, fchown, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// A numeric user and group, as inside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Ids {
    /// 0:0.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };
}

/// How owners are kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// As what they are: ids are mapped.
    Real,
    /// In an extended attribute: there is one id only (rung `single`).
    Recorded,
}

/// The attribute that records `uid:gid` where the file cannot have that owner.
const RECORD: &str = "user.stratum.owner";

impl Owners {
    /// The way layers are unpacked and written to match.
    #[must_use]
    pub fn of_layers(self) -> oci::layer::Owners {
        match self {
            Self::Real => oci::layer::Owners::Real,
            Self::Recorded => oci::layer::Owners::Recorded,
        }
    }

    /// Gives the file `name` in `parent` an owner; a symbolic link is not followed.
    pub(crate) fn set(self, parent: BorrowedFd<'_>, name: &OsStr, owner: Ids) -> rustix::io::Result<()> {
        match self {
            Self::Real => crate::copy::chown(parent, name, owner),
            Self::Recorded => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                match rustix::fs::openat(parent, name, flags, Mode::empty()) {
                    Ok(file) => record(&file, owner),
                    // A symbolic link carries no user attributes; its owner matters to nobody.
                    Err(_) => Ok(()),
                }
            }
        }
    }

    /// Gives an open file an owner.
    pub(crate) fn set_open(self, file: BorrowedFd<'_>, owner: Ids) -> rustix::io::Result<()> {
        match self {
            Self::Real => fchown(file, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid))),
            Self::Recorded => record(file, owner),
        }
    }

    /// Forgets the owner a file that was there before had.
    pub(crate) fn forget(self, file: BorrowedFd<'_>) -> rustix::io::Result<()> {
        match self {
            Self::Real => Ok(()),
            Self::Recorded => match fremovexattr(file, RECORD) {
                Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
                removed => removed,
            },
        }
    }
}

fn record(file: impl std::os::fd::AsFd, owner: Ids) -> rustix::io::Result<()> {
    if owner == Ids::ROOT {
        return Ok(());
    }
    let value = format!("{}:{}", owner.uid, owner.gid);
    fsetxattr(file, RECORD, value.as_bytes(), XattrFlags::empty())
}

/// Where an image keeps the names of users and groups.
pub(crate) const FILES: [&str; 2] = ["etc/passwd", "etc/group"];

/// Who a process runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) ids: Ids,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    /// The home directory, `/` where passwd says none.
    pub(crate) home: String,
}

/// Why a user cannot be found.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such user.
    #[error("user `{name}` is not in the image's /etc/passwd; add it with useradd in an earlier RUN, or use a number")]
    NoUser {
        /// The name.
        name: String,
    },
    /// No such group.
    #[error("group `{name}` is not in the image's /etc/group; add it with groupadd in an earlier RUN, or use a number")]
    NoGroup {
        /// The name.
        name: String,
    },
    /// Nothing before or after the colon.
    #[error("`{text}` is not a user: expected name, uid, name:group or uid:gid")]
    Malformed {
        /// The text.
        text: String,
    },
}

/// Finds `text` (`user[:group]`, names or numbers; empty is root) in the image's passwd and group files.
pub(crate) fn user(root: BorrowedFd<'_>, text: &str) -> Result<User, UserError> {
    lookup(&read(root, "etc/passwd"), &read(root, "etc/group"), text)
}

/// Finds whom `--chown` names: as [`user`] does, but a number alone is user and group, and either side of the colon may
/// be left out (buildah).
pub(crate) fn of_files(root: BorrowedFd<'_>, text: &str) -> Result<Ids, UserError> {
    let (name, group) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() && group.is_empty() {
        return Err(UserError::Malformed { text: text.to_owned() });
    }
    let number = |text: &str, otherwise| if text.is_empty() { Ok(otherwise) } else { text.parse::<u32>() };
    if let Ok(uid) = number(name, 0)
        && let Ok(gid) = number(group, uid)
    {
        return Ok(Ids { uid, gid });
    }
    let name = if name.is_empty() { "0" } else { name };
    let spec = if group.is_empty() { name.to_owned() } else { format!("{name}:{group}") };
    Ok(user(root, &spec)?.ids)
}

/// Bytes of /etc/passwd and /etc/group read at most; what lies behind is not found.
const MAX_FILE: u64 = 16 << 20;

/// The lines of a file of the image; a missing or unreadable one has none.
fn read(root: BorrowedFd<'_>, path: &str) -> Vec<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let Ok(fd) = open_inside(root, Path::new(path), flags) else { return Vec::new() };
    let reader = BufReader::new(std::fs::File::from(fd).take(MAX_FILE));
    reader.split(b'\n').map_while(Result::ok).map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
}

fn lookup(passwd: &[String], group: &[String], text: &str) -> Result<User, UserError> {
    let malformed = || UserError::Malformed { text: text.to_owned() };
    let (name, group_name) = match text.split_once(':') {
        Some((name, group_name)) if !name.is_empty() && !group_name.is_empty() => (name, Some(group_name)),
        Some(_) => return Err(malformed()),
        None if text.is_empty() => ("0", None),
        None => (text, None),
    };
    let line = passwd.iter().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        let is_named = fields.first() == Some(&name);
        is_named || (name.parse::<u32>().is_ok() && fields.get(2) == Some(&name))
    });
    let number = |fields: &[&str], position: usize| fields.get(position).and_then(|field| field.parse::<u32>().ok());
    let uid = match (line.as_ref().and_then(|fields| number(fields, 2)), name.parse::<u32>()) {
        (Some(uid), _) | (None, Ok(uid)) => uid,
        (None, Err(_)) => return Err(UserError::NoUser { name: name.to_owned() }),
    };
    let gid = match group_name {
        Some(wanted) => group_id(group, wanted)?,
        None => line.as_ref().and_then(|fields| number(fields, 3)).unwrap_or(0),
    };
    let home = line.as_ref().and_then(|fields| fields.get(5)).filter(|home| !home.is_empty()).copied().unwrap_or("/");
    let login = line.as_ref().and_then(|fields| fields.first()).copied().unwrap_or(name);
    let groups = if group_name.is_some() { Vec::new() } else { memberships(group, login) };
    Ok(User { ids: Ids { uid, gid }, groups, home: home.to_owned() })
}

fn group_id(group: &[String], wanted: &str) -> Result<u32, UserError> {
    let named = group.iter().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.first() == Some(&wanted)).then(|| fields.get(2)?.parse().ok()).flatten()
    });
    let number = named.or_else(|| wanted.parse().ok());
    number.ok_or_else(|| UserError::NoGroup { name: wanted.to_owned() })
}

/// The numbers of groups that are given by name or number.
pub(crate) fn groups(root: BorrowedFd<'_>, wanted: &[String]) -> Result<Vec<u32>, UserError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let group = read(root, "etc/group");
    wanted.iter().map(|name| group_id(&group, name)).collect()
}

fn memberships(group: &[String], login: &str) -> Vec<u32> {
    let member_of = |line: &String| {
        let fields: Vec<&str> = line.split(':').collect();
        fields.get(3)?.split(',').any(|member| member == login).then(|| fields.get(2)?.parse().ok()).flatten()
    };
    group.iter().filter_map(member_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, uid: u32, gid: u32, groups: &[u32], home: &str) {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let passwd =
            lines("root:x:0:0:root:/root:/bin/sh\napp:x:1001:1002:App:/srv/app:/bin/sh\nbroken\n7:x:70:71::/7:");
        let group = lines("root:x:0:\nwheel:x:10:root,app\nstaff:x:50:app");
        let expected = User { ids: Ids { uid, gid }, groups: groups.to_vec(), home: home.to_owned() };
        assert_eq!(lookup(&passwd, &group, text), Ok(expected), "{text}");
    }

    #[test]
    fn names_and_numbers_are_found_in_the_images_files() {
        check("", 0, 0, &[10], "/root");
        check("app", 1001, 1002, &[10, 50], "/srv/app");
        check("1001", 1001, 1002, &[10, 50], "/srv/app");
        check("app:staff", 1001, 50, &[], "/srv/app");
        check("app:7", 1001, 7, &[], "/srv/app");
        check("4242", 4242, 0, &[], "/");
        check("4242:staff", 4242, 50, &[], "/");
        check("7", 70, 71, &[], "/7");
    }

    #[test]
    fn files_may_be_given_to_half_an_owner() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/passwd"), "app:x:1001:1002:::\n").unwrap();
        std::fs::write(root.path().join("etc/group"), "staff:x:50:\n").unwrap();
        let directory = std::fs::File::open(root.path()).unwrap();
        let owner = |text: &str| of_files(std::os::fd::AsFd::as_fd(&directory), text);
        for (text, uid, gid) in [
            ("app", 1001, 1002),
            ("app:staff", 1001, 50),
            ("app:", 1001, 1002),
            (":staff", 0, 50),
            (":7", 0, 7),
            ("1001", 1001, 1001),
            ("1001:", 1001, 1001),
            ("7:staff", 7, 50),
            ("7:8", 7, 8),
        ] {
            assert_eq!(owner(text), Ok(Ids { uid, gid }), "{text}");
        }
        assert_eq!(owner(":"), Err(UserError::Malformed { text: ":".to_owned() }));
        assert_eq!(owner("nobody"), Err(UserError::NoUser { name: "nobody".to_owned() }));
        assert_eq!(owner("app:none"), Err(UserError::NoGroup { name: "none".to_owned() }));
    }

    #[test]
    fn who_is_missing_is_named() {
        assert_eq!(lookup(&[], &[], "app"), Err(UserError::NoUser { name: "app".to_owned() }));
        assert_eq!(lookup(&[], &[], "0:staff"), Err(UserError::NoGroup { name: "staff".to_owned() }));
        assert_eq!(lookup(&[], &[], "app:"), Err(UserError::Malformed { text: "app:".to_owned() }));
    }
}
