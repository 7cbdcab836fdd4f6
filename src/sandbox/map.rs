//! The id maps of each rung, and how they are written.
//!
//! What comes in: [`Facts`]. What goes out: a [`MapPlan`], which is data, and its effect on the
//! namespace of another process. Writing happens in a process that is still outside.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::facts::{Facts, Problem};
use crate::ids::{self, Extent, IdMaps};
use crate::rung::Rung;

/// Who writes the maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Writer {
    /// We do, through /proc.
    Direct,
    /// We do, after giving up setgroups(2), which a map without privilege takes.
    WithoutGroups,
    /// The programs newuidmap and newgidmap.
    Programs { newuidmap: PathBuf, newgidmap: PathBuf },
}

/// The maps of a rung.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MapPlan {
    pub(crate) ids: IdMaps,
    pub(crate) writer: Writer,
}

/// The maps that `rung` needs here.
pub(crate) fn plan_map(rung: Rung, facts: &Facts) -> Result<MapPlan, Problem> {
    match rung {
        Rung::Sub => plan_sub(facts),
        Rung::Range => {
            let uids = ids::plan_range(&facts.uid_map);
            let gids = ids::plan_range(&facts.gid_map);
            if uids.is_empty() || gids.is_empty() {
                return Err(Problem::NoRange);
            }
            Ok(direct(uids, gids))
        }
        Rung::Full => Ok(direct(ids::plan_full(&facts.uid_map), ids::plan_full(&facts.gid_map))),
        Rung::Single => Ok(MapPlan {
            ids: IdMaps { uids: ids::plan_single(facts.uid), gids: ids::plan_single(facts.gid) },
            writer: Writer::WithoutGroups,
        }),
        Rung::None => Ok(direct(facts.uid_map.clone(), facts.gid_map.clone())),
    }
}

fn direct(uids: Vec<Extent>, gids: Vec<Extent>) -> MapPlan {
    MapPlan { ids: IdMaps { uids, gids }, writer: Writer::Direct }
}

fn plan_sub(facts: &Facts) -> Result<MapPlan, Problem> {
    if facts.uid == 0 {
        return Err(Problem::IsRoot);
    }
    if facts.sub_uids.is_empty() || facts.sub_gids.is_empty() {
        return Err(Problem::NoSubordinateIds);
    }
    let (Some((newuidmap, _)), Some(newgidmap)) = (&facts.newuidmap, &facts.newgidmap) else {
        return Err(Problem::NoNewuidmap);
    };
    Ok(MapPlan {
        ids: IdMaps {
            uids: ids::plan_sub(facts.uid, &facts.sub_uids),
            gids: ids::plan_sub(facts.gid, &facts.sub_gids),
        },
        writer: Writer::Programs { newuidmap: newuidmap.clone(), newgidmap: newgidmap.clone() },
    })
}

/// Writes the maps of process `pid`, which has just made its namespace.
pub(crate) fn write_maps(pid: u32, plan: &MapPlan) -> Result<(), Problem> {
    let file = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
    match &plan.writer {
        Writer::Programs { newuidmap, newgidmap } => {
            run_program(newuidmap, pid, &plan.ids.uids)?;
            run_program(newgidmap, pid, &plan.ids.gids)
        }
        Writer::WithoutGroups => {
            write(&file("setgroups"), "deny")?;
            write(&file("uid_map"), &ids::render_map(&plan.ids.uids))?;
            write(&file("gid_map"), &ids::render_map(&plan.ids.gids))
        }
        Writer::Direct => {
            write(&file("uid_map"), &ids::render_map(&plan.ids.uids))?;
            write(&file("gid_map"), &ids::render_map(&plan.ids.gids))
        }
    }
}

/// The kernel takes a map in one write only, which is what `fs::write` does for this little.
fn write(path: &Path, text: &str) -> Result<(), Problem> {
    fs::write(path, text).map_err(|error| Problem::WriteMap(error.raw_os_error().unwrap_or(libc::EIO)))
}

fn run_program(program: &Path, pid: u32, extents: &[Extent]) -> Result<(), Problem> {
    let failed = |error: io::Error| Problem::Newuidmap(format!("{}: {error}", program.display()));
    let mut command = Command::new(program);
    command.arg(pid.to_string());
    for extent in extents {
        for number in [extent.inside, extent.outside, extent.count] {
            command.arg(number.to_string());
        }
    }
    let ended = command.stdin(Stdio::null()).env_clear().output().map_err(failed)?;
    if ended.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&ended.stderr);
    let first = text.lines().next().unwrap_or("no message");
    Err(Problem::Newuidmap(first.chars().take(200).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Privilege;
    use crate::ids::Ids;

    fn user() -> Facts {
        Facts {
            uid: 1000,
            gid: 1000,
            uid_map: ids::parse_map("0 0 4294967295"),
            gid_map: ids::parse_map("0 0 4294967295"),
            ..Facts::default()
        }
    }

    #[test]
    fn root_is_not_asked_for_subordinate_ids() {
        assert_eq!(plan_map(Rung::Sub, &Facts::default()), Err(Problem::IsRoot));
    }

    #[test]
    fn subordinate_ids_need_a_line_and_a_program() {
        let mut facts = user();
        assert_eq!(plan_map(Rung::Sub, &facts), Err(Problem::NoSubordinateIds));
        let ids = Ids { first: 100_000, count: 65_536 };
        facts.sub_uids = vec![ids];
        facts.sub_gids = vec![ids];
        assert_eq!(plan_map(Rung::Sub, &facts), Err(Problem::NoNewuidmap));
        facts.newuidmap = Some((PathBuf::from("/bin/newuidmap"), Privilege::SetUserId));
        facts.newgidmap = Some(PathBuf::from("/bin/newgidmap"));
        let plan = plan_map(Rung::Sub, &facts).unwrap();
        assert_eq!(ids::render_map(&plan.ids.uids), "0 1000 1\n1 100000 65536\n");
    }

    #[test]
    fn a_single_id_gives_up_groups() {
        let plan = plan_map(Rung::Single, &user()).unwrap();
        assert_eq!(plan.writer, Writer::WithoutGroups);
        assert!(plan.ids.is_single());
    }

    #[test]
    fn a_range_without_ids_is_refused() {
        let facts =
            Facts { uid_map: ids::parse_map("0 1000 1"), gid_map: ids::parse_map("0 1000 1"), ..Facts::default() };
        assert_eq!(plan_map(Rung::Range, &facts), Err(Problem::NoRange));
    }
}
