//! Finds the newest checkpoint that is whole when the state store is opened, says which were not,
//! and removes what no kept checkpoint refers to.

use super::checkpoint::{self, Checkpoint};
use super::segment;
use crate::disk::{Disk, TEMPORARY_ENDING};
use crate::error::StoreError;
use crate::limits::{KEPT_CHECKPOINTS, MAX_STATE_FILE_ID};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) struct Found {
    /// Oldest first; the last one is whole and is the one to load.
    pub(super) kept: Vec<Checkpoint>,
    pub(super) warnings: Vec<String>,
    pub(super) next_segment: u64,
    pub(super) next_checkpoint: u64,
}

pub(super) fn recover(disk: &dyn Disk, dir: &Path) -> Result<Found, StoreError> {
    let names = disk.list(dir).map_err(|error| StoreError::io(dir, "list", error))?;
    let mut checkpoints: Vec<u64> = names.iter().filter_map(|name| checkpoint::id(name)).collect();
    checkpoints.sort_unstable();
    checkpoints.reverse();
    let segments = names.iter().filter_map(|name| segment::id(name));
    let next_segment = next_id(dir, segments.max(), segment::path)?;
    let next_checkpoint = next_id(dir, checkpoints.first().copied(), checkpoint::path)?;

    let (kept, warnings) = choose(disk, dir, &checkpoints)?;
    if !kept.is_empty() || checkpoints.is_empty() {
        remove_leftovers(disk, dir, &names, &kept)?;
    }
    Ok(Found { kept, warnings, next_segment, next_checkpoint })
}

/// Ids are not used again while a file with a higher one is there.
fn next_id(dir: &Path, newest: Option<u64>, path: impl Fn(&Path, u64) -> PathBuf) -> Result<u64, StoreError> {
    match newest {
        None => Ok(1),
        Some(newest) if newest <= MAX_STATE_FILE_ID => Ok(newest + 1),
        Some(newest) => Err(StoreError::damaged(&path(dir, newest), 0, "its name has an id that was never given")),
    }
}

/// Tries the checkpoints, newest first. When all are damaged their files stay: they are all that
/// is left to repair from.
fn choose(disk: &dyn Disk, dir: &Path, newest_first: &[u64]) -> Result<(Vec<Checkpoint>, Vec<String>), StoreError> {
    let mut damaged = Vec::new();
    for (index, &id) in newest_first.iter().enumerate() {
        match verify(disk, dir, id) {
            Ok(whole) => {
                let advice = format!("using checkpoint {id}");
                let mut kept = vec![whole];
                for &older in newest_first[index + 1..].iter().take(KEPT_CHECKPOINTS - 1) {
                    // A fallback that cannot be read is none; the next commit makes a new one.
                    kept.extend(checkpoint::read(disk, dir, older).ok());
                }
                kept.reverse();
                return Ok((kept, warnings(&damaged, &advice)));
            }
            Err(StoreError::Damaged { file, offset, why }) => {
                damaged.push((id, format!("{} at byte {offset}: {why}", short_name(&file))));
            }
            Err(error) => return Err(error),
        }
    }
    let advice = "no older one is whole, so the state starts empty; the damaged files stay in place";
    Ok((Vec::new(), warnings(&damaged, advice)))
}

fn warnings(damaged: &[(u64, String)], advice: &str) -> Vec<String> {
    let lines = damaged.iter().map(|(id, place)| format!("checkpoint {id} is damaged ({place}): {advice}"));
    lines.collect()
}

/// Reads a checkpoint and every record it refers to.
fn verify(disk: &dyn Disk, dir: &Path, id: u64) -> Result<Checkpoint, StoreError> {
    let found = checkpoint::read(disk, dir, id)?;
    for part in &found.segments {
        segment::scan(disk, dir, part.id, part.length, &mut |_, _, _, _, _| Ok(()))?;
    }
    Ok(found)
}

fn remove_leftovers(disk: &dyn Disk, dir: &Path, names: &[String], kept: &[Checkpoint]) -> Result<(), StoreError> {
    let ids: BTreeSet<u64> = kept.iter().map(|checkpoint| checkpoint.id).collect();
    let parts = kept.iter().flat_map(|checkpoint| &checkpoint.segments);
    let referred: BTreeSet<u64> = parts.map(|part| part.id).collect();
    let is_leftover = |name: &str| {
        name.ends_with(TEMPORARY_ENDING)
            || checkpoint::id(name).is_some_and(|id| !ids.contains(&id))
            || segment::id(name).is_some_and(|id| !referred.contains(&id))
    };
    let mut removed = false;
    for name in names.iter().filter(|name| is_leftover(name)) {
        let path = dir.join(name);
        disk.remove(&path).map_err(|error| StoreError::io(&path, "remove", error))?;
        removed = true;
    }
    if removed {
        disk.sync_dir(dir).map_err(|error| StoreError::sync(dir, error))?;
    }
    Ok(())
}

/// The file with the directory it is in, which is enough for a warning.
fn short_name(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    match file.parent().and_then(Path::file_name) {
        Some(dir) => format!("{}/{name}", dir.to_string_lossy()),
        None => name.into_owned(),
    }
}
