//! The state store: the engine's state on disk, written a change at a time and named by
//! checkpoints, so that a restart need not replay the log from its beginning.
//!
//! ```text
//! put, delete ─▶ active segment ─full─▶ sealed segments ─┐
//!                     └────────────commit────────────────┴─▶ checkpoint file ─load─▶ the engine
//! ```
//!
//! The store keeps no index. A put answers with a [`Location`], the engine holds it and reads the
//! value back with [`StateStore::get`]; what was put later replaces what was put before, as the
//! engine's own maps resolve it while [`StateStore::load`] tells them all.

mod checkpoint;
mod commit;
mod record;
mod recover;
mod segment;

use crate::disk::{Disk, ReadFile};
use crate::error::StoreError;
use crate::limits::{DEFAULT_SEGMENT_BYTES, MAX_STATE_RECORD_BYTES};
use checkpoint::SegmentRef;
use parking_lot::{Mutex, RwLock};
use record::Entry;
use segment::{Active, SharedFile};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSettings {
    /// A segment is sealed before it would grow past this; a single record may be larger.
    pub segment_bytes: u64,
}

impl Default for SegmentSettings {
    fn default() -> SegmentSettings {
        SegmentSettings { segment_bytes: DEFAULT_SEGMENT_BYTES }
    }
}

/// Where a record lies. It stays readable until the second commit after the one that let go of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Location {
    pub segment: u64,
    pub offset: u64,
    /// Of the whole record: key, value and header.
    pub length: u32,
}

/// What opening a state store has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    pub checkpoint: Option<LoadedCheckpoint>,
    /// Which checkpoints were damaged, and what was used in their stead.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedCheckpoint {
    pub id: u64,
    /// As the engine gave it to the commit.
    pub header: Vec<u8>,
}

/// Receives space, key, value, location, and whether the record puts (true) or deletes (false).
pub type Visitor<'a> = dyn FnMut(u32, &[u8], &[u8], Location, bool) -> Result<(), StoreError> + 'a;

/// The state on disk. All its methods may be called from any thread.
pub struct StateStore {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    settings: SegmentSettings,
    /// What the checkpoint found at the opening refers to.
    loaded: Vec<SegmentRef>,
    inner: Mutex<Inner>,
    readers: RwLock<HashMap<u64, Arc<dyn ReadFile>>>,
    /// One commit at a time; puts and gets go on meanwhile.
    commits: Mutex<()>,
}

struct Inner {
    active: Option<Active>,
    /// The sealed segments that the next commit refers to, in write order.
    chain: Vec<SegmentRef>,
    /// Sealed, but not synced yet.
    unsynced: Vec<SharedFile>,
    /// Every sealed segment on disk, and its length.
    sealed_bytes: BTreeMap<u64, u64>,
    /// Let go of by the last rewrite; readable until one more commit.
    retired: Vec<u64>,
    /// The first segment begun since `begin_rewrite`.
    rewrite_from: Option<u64>,
    /// Whether a segment's name may not be durable yet.
    created: bool,
    next_segment: u64,
    next_checkpoint: u64,
    /// Oldest first.
    checkpoints: VecDeque<(u64, Vec<SegmentRef>)>,
    poisoned: bool,
}

impl StateStore {
    /// Opens or creates the store in `dir`. Every record of the newest checkpoint is checked; where
    /// one is damaged the checkpoint before it is used, and a warning says so.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        settings: SegmentSettings,
    ) -> Result<(StateStore, Loaded), StoreError> {
        disk.create_dir_all(dir).map_err(|error| StoreError::io(dir, "create", error))?;
        let found = recover::recover(&*disk, dir)?;
        let newest = found.kept.last();
        let loaded = Loaded {
            checkpoint: newest
                .map(|checkpoint| LoadedCheckpoint { id: checkpoint.id, header: checkpoint.header.clone() }),
            warnings: found.warnings,
        };
        let chain = newest.map_or_else(Vec::new, |checkpoint| checkpoint.segments.clone());
        let kept = found.kept.iter().flat_map(|checkpoint| &checkpoint.segments);
        let inner = Inner {
            active: None,
            chain: chain.clone(),
            unsynced: Vec::new(),
            sealed_bytes: kept.map(|part| (part.id, part.length)).collect(),
            retired: Vec::new(),
            rewrite_from: None,
            created: false,
            next_segment: found.next_segment,
            next_checkpoint: found.next_checkpoint,
            checkpoints: found.kept.into_iter().map(|checkpoint| (checkpoint.id, checkpoint.segments)).collect(),
            poisoned: false,
        };
        let store = StateStore {
            disk,
            dir: dir.to_path_buf(),
            settings,
            loaded: chain,
            inner: Mutex::new(inner),
            readers: RwLock::new(HashMap::new()),
            commits: Mutex::new(()),
        };
        Ok((store, loaded))
    }

    /// Visits every record of the checkpoint found at the opening, in write order: a later record
    /// replaces an earlier one of the same space and key. To be called before the first commit.
    pub fn load(&self, visit: &mut Visitor<'_>) -> Result<(), StoreError> {
        for part in &self.loaded {
            segment::scan(&*self.disk, &self.dir, part.id, part.length, visit)?;
        }
        Ok(())
    }

    /// Keeps `value` under `key`; durable with the next commit.
    pub fn put(&self, space: u32, key: &[u8], value: &[u8]) -> Result<Location, StoreError> {
        self.append(Entry { space, put: true, key, value })
    }

    /// Records that `key` is gone; durable with the next commit.
    pub fn delete(&self, space: u32, key: &[u8]) -> Result<(), StoreError> {
        let gone = Entry { space, put: false, key, value: &[] };
        self.append(gone).map(|_| ())
    }

    /// The value that was put at `location`, checked.
    pub fn get(&self, location: Location) -> Result<Vec<u8>, StoreError> {
        let waiting = {
            let inner = self.inner.lock();
            let active = inner.active.as_ref();
            active.and_then(|active| active.buffered(location))
        };
        let bytes = match waiting {
            Some(bytes) => bytes,
            None => self.read(location)?,
        };
        let why = match record::decode(&bytes) {
            Ok(entry) if entry.put => return Ok(entry.value.to_vec()),
            Ok(_) => "the record is a deletion",
            Err(why) => why,
        };
        let path = segment::path(&self.dir, location.segment);
        Err(StoreError::damaged(&path, location.offset, why))
    }

    /// How much the state takes, on disk and waiting for it.
    pub fn total_bytes(&self) -> u64 {
        let inner = self.inner.lock();
        let sealed: u64 = inner.sealed_bytes.values().sum();
        sealed + inner.active.as_ref().map_or(0, Active::end)
    }

    fn append(&self, entry: Entry<'_>) -> Result<Location, StoreError> {
        let length = entry.record_bytes();
        if length > MAX_STATE_RECORD_BYTES {
            return Err(StoreError::TooLarge {
                what: "a state record",
                bytes: length as u64,
                limit: MAX_STATE_RECORD_BYTES as u64,
            });
        }
        let mut guard = self.inner.lock();
        let inner = &mut *guard;
        inner.check()?;
        let limit = self.settings.segment_bytes;
        let is_full = |active: &Active| active.holds_records() && active.end() + length as u64 > limit;
        if inner.active.as_ref().is_some_and(is_full) {
            inner.seal()?;
        }
        let active = match &mut inner.active {
            Some(active) => active,
            None => {
                let fresh = Active::create(&*self.disk, &self.dir, inner.next_segment)?;
                inner.next_segment += 1;
                inner.created = true;
                inner.active.insert(fresh)
            }
        };
        let appended = active.append(entry);
        if matches!(appended, Err(StoreError::Poisoned)) {
            inner.poisoned = true;
        }
        appended
    }

    fn read(&self, location: Location) -> Result<Vec<u8>, StoreError> {
        let path = segment::path(&self.dir, location.segment);
        if location.length as usize > MAX_STATE_RECORD_BYTES {
            let why = "a location claims more bytes than any record has";
            return Err(StoreError::damaged(&path, location.offset, why));
        }
        let reader = self.reader(&path, location.segment)?;
        let mut bytes = vec![0; location.length as usize];
        reader.read_at(location.offset, &mut bytes).map_err(|error| StoreError::io(&path, "read", error))?;
        Ok(bytes)
    }

    fn reader(&self, path: &Path, segment: u64) -> Result<Arc<dyn ReadFile>, StoreError> {
        let known = self.readers.read().get(&segment).cloned();
        if let Some(reader) = known {
            return Ok(reader);
        }
        let opened = self.disk.open_read(path).map_err(|error| StoreError::io(path, "open", error))?;
        let reader: Arc<dyn ReadFile> = Arc::from(opened);
        self.readers.write().insert(segment, Arc::clone(&reader));
        Ok(reader)
    }
}

impl Inner {
    fn check(&self) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        Ok(())
    }

    /// Writes out what waits in memory.
    fn flush(&mut self) -> Result<(), StoreError> {
        let Some(active) = self.active.as_mut() else {
            return Ok(());
        };
        let flushed = active.flush();
        if matches!(flushed, Err(StoreError::Poisoned)) {
            self.poisoned = true;
        }
        flushed
    }

    /// Ends the active segment; its sync is left to the next commit.
    fn seal(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        if let Some(full) = self.active.take() {
            let part = SegmentRef { id: full.id, length: full.end() };
            self.chain.push(part);
            self.sealed_bytes.insert(part.id, part.length);
            self.unsynced.push(full.file);
        }
        Ok(())
    }
}
