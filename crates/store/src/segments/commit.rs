//! Commits of the state store: sync what was written, name it in a checkpoint, and only then let
//! go of what no kept checkpoint needs.
//!
//! The lock of the store is held only to gather and to let go, not during the syncs, so that
//! reads and writes go on while the disk works.

use super::checkpoint::{self, SegmentRef};
use super::segment::{self, SharedFile};
use super::{Inner, StateStore};
use crate::error::StoreError;
use crate::limits::{KEPT_CHECKPOINTS, MAX_CHECKPOINT_HEADER_BYTES};
use std::collections::BTreeSet;

/// What one commit has to make durable.
struct Gathered {
    id: u64,
    parts: Vec<SegmentRef>,
    files: Vec<SharedFile>,
    created: bool,
    /// The first segment to keep, when the commit ends a rewrite.
    rewrite_from: Option<u64>,
}

impl StateStore {
    /// Makes all that was put and deleted so far durable under a new checkpoint, and returns its
    /// id. The engine sees to it that no put belonging to a later state comes before.
    pub fn commit(&self, header: &[u8]) -> Result<u64, StoreError> {
        self.commit_from(header, false)
    }

    /// From now on puts go to fresh segments, and the next [`StateStore::commit_rewrite`] refers
    /// to those alone: the engine puts again what is live, and the rest is let go of.
    pub fn begin_rewrite(&self) -> Result<(), StoreError> {
        let _no_commit_meanwhile = self.commits.lock();
        let mut inner = self.inner.lock();
        inner.check()?;
        inner.seal()?;
        inner.rewrite_from = Some(inner.next_segment);
        Ok(())
    }

    /// Commits only what was put since [`StateStore::begin_rewrite`]. Locations in older segments
    /// stay readable until the second commit from here.
    pub fn commit_rewrite(&self, header: &[u8]) -> Result<u64, StoreError> {
        self.commit_from(header, true)
    }

    fn commit_from(&self, header: &[u8], ends_rewrite: bool) -> Result<u64, StoreError> {
        if header.len() > MAX_CHECKPOINT_HEADER_BYTES {
            return Err(StoreError::TooLarge {
                what: "a checkpoint header",
                bytes: header.len() as u64,
                limit: MAX_CHECKPOINT_HEADER_BYTES as u64,
            });
        }
        let _one_at_a_time = self.commits.lock();
        let gathered = self.inner.lock().gather(ends_rewrite)?;
        if let Err(error) = self.sync(&gathered) {
            self.inner.lock().poisoned = true;
            return Err(error);
        }
        let path = checkpoint::path(&self.dir, gathered.id);
        let bytes = checkpoint::encode(gathered.id, &gathered.parts, header);
        if let Err(error) = self.disk.write_atomic(&path, &bytes) {
            // It may have got its name before the failure, but nobody was told of it.
            let _ = self.disk.remove(&path);
            let error = StoreError::io(&path, "write", error);
            // It may be one of its syncs that failed: a later one of the directory could not be trusted.
            self.inner.lock().poisoned |= !matches!(error, StoreError::DiskFull { .. });
            return Err(error);
        }
        let id = gathered.id;
        let (old_checkpoints, old_segments) = self.inner.lock().let_go(gathered);
        self.remove(&old_checkpoints, &old_segments);
        Ok(id)
    }

    fn sync(&self, gathered: &Gathered) -> Result<(), StoreError> {
        for file in &gathered.files {
            file.sync()?;
        }
        if gathered.created {
            self.disk.sync_dir(&self.dir).map_err(|error| StoreError::sync(&self.dir, error))?;
        }
        Ok(())
    }

    /// What cannot be removed now is a leftover, and goes when the store is next opened.
    fn remove(&self, checkpoints: &[u64], segments: &[u64]) {
        if checkpoints.is_empty() && segments.is_empty() {
            return;
        }
        for &id in checkpoints {
            let _ = self.disk.remove(&checkpoint::path(&self.dir, id));
        }
        // A checkpoint must be gone for good before a segment that it refers to.
        if self.disk.sync_dir(&self.dir).is_err() {
            self.inner.lock().poisoned = true;
            return;
        }
        for &id in segments {
            self.readers.write().remove(&id);
            let _ = self.disk.remove(&segment::path(&self.dir, id));
        }
    }
}

impl Inner {
    fn gather(&mut self, ends_rewrite: bool) -> Result<Gathered, StoreError> {
        self.check()?;
        assert!(!ends_rewrite || self.rewrite_from.is_some(), "a rewrite is begun before it is committed");
        self.flush()?;
        let rewrite_from = self.rewrite_from.filter(|_| ends_rewrite);
        let first = rewrite_from.unwrap_or(0);
        let sealed = self.chain.iter().filter(|part| part.id >= first);
        let mut parts: Vec<SegmentRef> = sealed.copied().collect();
        let mut files = std::mem::take(&mut self.unsynced);
        if let Some(active) = &self.active {
            parts.push(SegmentRef { id: active.id, length: active.end() });
            files.push(active.file.clone());
        }
        // Never used twice, whether this commit succeeds or not.
        let id = self.next_checkpoint;
        self.next_checkpoint += 1;
        Ok(Gathered { id, parts, files, created: std::mem::take(&mut self.created), rewrite_from })
    }

    /// Takes note of a checkpoint that is on disk, and returns which checkpoints and segments
    /// nobody needs any more.
    fn let_go(&mut self, done: Gathered) -> (Vec<u64>, Vec<u64>) {
        self.checkpoints.push_back((done.id, done.parts));
        let mut old_checkpoints = Vec::new();
        while self.checkpoints.len() > KEPT_CHECKPOINTS {
            let oldest = self.checkpoints.pop_front();
            old_checkpoints.extend(oldest.map(|(id, _)| id));
        }
        self.retired = match done.rewrite_from {
            Some(first) => {
                self.rewrite_from = None;
                let (kept, dropped): (Vec<SegmentRef>, Vec<SegmentRef>) =
                    self.chain.iter().copied().partition(|part| part.id >= first);
                self.chain = kept;
                dropped.iter().map(|part| part.id).collect()
            }
            None => Vec::new(),
        };
        let named = self.checkpoints.iter().flat_map(|(_, parts)| parts);
        let needed: BTreeSet<u64> =
            named.chain(&self.chain).map(|part| part.id).chain(self.retired.iter().copied()).collect();
        let sealed = self.sealed_bytes.keys().copied();
        let old_segments: Vec<u64> = sealed.filter(|id| !needed.contains(id)).collect();
        for id in &old_segments {
            self.sealed_bytes.remove(id);
        }
        (old_checkpoints, old_segments)
    }
}
