//! Ranges of user and group ids, and the files that list them.
//!
//! What comes in: the text of `/proc/self/uid_map`, of `/etc/subuid`, of `/etc/passwd`. What goes
//! out: extents, bounded in number. It reads no file and changes nothing.

use std::fmt;

/// Ids that the kernel takes in one map (user_namespaces(7), since Linux 4.15).
const MAX_EXTENTS: usize = 340;

/// `count` ids that begin with `inside` in a namespace and with `outside` in its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Which ids exist, and what they are one namespace further out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdMaps {
    /// User ids, in order of the inside.
    pub uids: Vec<Extent>,
    /// Group ids, in order of the inside.
    pub gids: Vec<Extent>,
}

impl IdMaps {
    /// Whether this user id exists inside.
    #[must_use]
    pub fn has_uid(&self, id: u32) -> bool {
        outside(&self.uids, id).is_some()
    }

    /// Whether this group id exists inside.
    #[must_use]
    pub fn has_gid(&self, id: u32) -> bool {
        outside(&self.gids, id).is_some()
    }

    /// What root and its group inside are outside, if both exist. A directory tree made under
    /// one answer is of no use under another.
    #[must_use]
    pub fn root_outside(&self) -> Option<(u32, u32)> {
        Some((outside(&self.uids, 0)?, outside(&self.gids, 0)?))
    }

    /// Whether root is the only id, so that owners have to be forged.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.uids.iter().map(|e| u64::from(e.count)).sum::<u64>() <= 1
    }
}

/// What `id` is outside.
fn outside(extents: &[Extent], id: u32) -> Option<u32> {
    extents.iter().find_map(|extent| {
        let offset = id.checked_sub(extent.inside)?;
        (offset < extent.count).then(|| extent.outside.checked_add(offset))?
    })
}

/// Reads `/proc/<pid>/uid_map` or `gid_map`; lines that are none are left out.
pub(crate) fn parse_map(text: &str) -> Vec<Extent> {
    text.lines()
        .filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
            Some(Extent { inside: numbers.next()?.ok()?, outside: numbers.next()?.ok()?, count: numbers.next()?.ok()? })
        })
        .filter(|extent| extent.count > 0)
        .take(MAX_EXTENTS)
        .collect()
}

/// A map as the kernel and newuidmap take it: `inside outside count`, one a line.
pub(crate) fn render_map(extents: &[Extent]) -> String {
    extents.iter().map(|e| format!("{} {} {}\n", e.inside, e.outside, e.count)).collect()
}

/// Ids from `first` on, `count` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) first: u32,
    pub(crate) count: u32,
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.first, self.count)
    }
}

/// The ranges that `/etc/subuid` or `/etc/subgid` gives this user, by name or by number
/// (subuid(5)), in the file's order.
pub(crate) fn parse_subordinate(text: &str, user: u32, name: Option<&str>) -> Vec<Ids> {
    let number = user.to_string();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let owner = fields.next()?;
            if owner != number && Some(owner) != name {
                return None;
            }
            Some(Ids { first: fields.next()?.parse().ok()?, count: fields.next()?.parse().ok()? })
        })
        .filter(|ids| ids.count > 0)
        .take(MAX_EXTENTS)
        .collect()
}

/// The name that `/etc/passwd` gives this user id (passwd(5)).
pub(crate) fn parse_user_name(passwd: &str, user: u32) -> Option<&str> {
    let number = user.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    })
}

/// Subordinate ranges as a map: 0 is `own`, then the ranges from 1 on without gaps. Ranges that
/// overlap `own` or one another are cut, because the kernel refuses a map with an id twice.
pub(crate) fn plan_sub(own: u32, ranges: &[Ids]) -> Vec<Extent> {
    let mut used = vec![Ids { first: own, count: 1 }];
    let mut extents = vec![Extent { inside: 0, outside: own, count: 1 }];
    let mut next = 1u32;
    for range in ranges {
        for piece in without(*range, &used) {
            let count = piece.count.min(u32::MAX - next);
            if count == 0 || extents.len() == MAX_EXTENTS {
                return extents;
            }
            extents.push(Extent { inside: next, outside: piece.first, count });
            next += count;
            used.push(piece);
        }
    }
    extents
}

/// What is left of `range` without the ids in `taken`.
fn without(range: Ids, taken: &[Ids]) -> Vec<Ids> {
    let mut pieces = vec![range];
    for ids in taken {
        let (from, to) = (u64::from(ids.first), u64::from(ids.first) + u64::from(ids.count));
        pieces = pieces
            .into_iter()
            .flat_map(|piece| {
                let start = u64::from(piece.first);
                let end = start + u64::from(piece.count);
                [(start, end.min(from)), (start.max(to), end)]
            })
            .filter(|(start, end)| start < end)
            .filter_map(|(start, end)| {
                Some(Ids { first: u32::try_from(start).ok()?, count: u32::try_from(end - start).ok()? })
            })
            .collect();
    }
    pieces
}

/// Where a self-written map begins if it may: ids that distributions keep for containers.
const USUAL_START: u32 = 100_000;
/// How many ids images use: 0 to 65535.
const WANTED: u32 = 65_536;

/// A map of up to 65,536 ids of those that exist here, without id 0. Mapping the parent's 0 would
/// take CAP_SETFCAP (Linux 5.12), and would make a step the parent's root.
pub(crate) fn plan_range(here: &[Extent]) -> Vec<Extent> {
    let usual = Ids { first: USUAL_START, count: WANTED };
    let available: Vec<Ids> = here
        .iter()
        .flat_map(|e| {
            let all = Ids { first: e.inside, count: e.count };
            without(all, &[Ids { first: 0, count: 1 }])
        })
        .collect();
    if available.iter().any(|ids| covers(*ids, usual)) {
        return vec![Extent { inside: 0, outside: usual.first, count: usual.count }];
    }
    let mut extents = Vec::new();
    let mut next = 0u32;
    for ids in available {
        let count = ids.count.min(WANTED - next);
        if count == 0 {
            break;
        }
        extents.push(Extent { inside: next, outside: ids.first, count });
        next += count;
    }
    extents
}

fn covers(all: Ids, part: Ids) -> bool {
    all.first <= part.first
        && u64::from(part.first) + u64::from(part.count) <= u64::from(all.first) + u64::from(all.count)
}

/// Every id that exists here, mapped to itself.
pub(crate) fn plan_full(here: &[Extent]) -> Vec<Extent> {
    here.iter().map(|e| Extent { inside: e.inside, outside: e.inside, count: e.count }).collect()
}

/// Root alone.
pub(crate) fn plan_single(own: u32) -> Vec<Extent> {
    vec![Extent { inside: 0, outside: own, count: 1 }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(extents: &[Extent], shown: &str) {
        assert_eq!(render_map(extents), shown);
    }

    #[test]
    fn a_pod_without_user_namespace_gets_the_usual_range() {
        check(&plan_range(&parse_map("         0          0 4294967295\n")), "0 100000 65536\n");
    }

    #[test]
    fn a_pod_with_65536_ids_gives_all_but_id_0() {
        check(&plan_range(&parse_map("0 1879048192 65536\n")), "0 1 65535\n");
    }

    #[test]
    fn a_range_in_two_pieces_is_joined() {
        check(&plan_range(&parse_map("0 1000 1\n1 100000 65536\n")), "0 1 65536\n");
        check(&plan_range(&parse_map("0 5 10\n20 500 10\n")), "0 1 9\n9 20 10\n");
    }

    #[test]
    fn a_single_id_gives_no_range() {
        check(&plan_range(&parse_map("0 1000 1\n")), "");
    }

    #[test]
    fn a_full_map_keeps_every_id() {
        check(&plan_full(&parse_map("0 1879048192 65536\n")), "0 0 65536\n");
    }

    #[test]
    fn subordinate_ranges_follow_one_another_after_root() {
        let ranges = parse_subordinate("x:5:5\nbuild:1:999\nbuild:1001:64535\n", 1000, Some("build"));
        check(&plan_sub(1000, &ranges), "0 1000 1\n1 1 999\n1000 1001 64535\n");
    }

    #[test]
    fn a_range_that_holds_the_own_id_is_cut_around_it() {
        let ranges = parse_subordinate("1000:990:20\n1000:995:30\n", 1000, None);
        check(&plan_sub(1000, &ranges), "0 1000 1\n1 990 10\n11 1001 9\n20 1010 15\n");
    }

    #[test]
    fn ranges_at_the_end_of_the_ids_do_not_overflow() {
        let ranges = [Ids { first: 1, count: u32::MAX }];
        check(&plan_sub(0, &ranges), "0 0 1\n1 1 4294967294\n");
    }

    #[test]
    fn broken_lines_are_no_ranges() {
        assert_eq!(parse_subordinate("build\nbuild:x:1\nbuild:1:0\n:::\n", 5, Some("build")), []);
        assert_eq!(parse_map("0 0\nx y z\n0 0 0\n"), []);
    }

    #[test]
    fn a_user_s_name_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nbuild:x:1000:1000::/:/bin/sh\n";
        assert_eq!(parse_user_name(passwd, 1000), Some("build"));
        assert_eq!(parse_user_name(passwd, 7), None);
    }

    #[test]
    fn an_id_is_looked_up_in_its_extent() {
        let maps = IdMaps { uids: parse_map("0 1000 1\n1 100000 65536\n"), gids: parse_map("0 1000 1\n") };
        assert!(maps.has_uid(65_536) && !maps.has_uid(65_537) && !maps.has_gid(1));
        assert_eq!(maps.root_outside(), Some((1000, 1000)));
        assert!(!maps.is_single());
    }
}
