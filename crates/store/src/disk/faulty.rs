//! A disk in memory that loses what was not synced, fills up, fails an fsync or loses its power
//! when told to. All its choices come from the seed given to [`FaultyDisk::crash`].
//!
//! It is as unkind as a disk may be: bytes last with the file's sync alone, names with the sync of
//! their directory alone, and a crash may keep later sectors while it loses earlier ones.

mod inode;

use super::{AppendFile, Disk, ReadFile, directory, temporary};
use inode::{Inode, Random};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An in-memory disk for tests; clones share their files.
#[derive(Clone, Default)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

impl FaultyDisk {
    pub fn new() -> FaultyDisk {
        FaultyDisk::default()
    }

    /// Power loss and restart: unsynced bytes are dropped, kept or torn, and of the unsynced
    /// creations, renames and removals a prefix stays. Handles opened before are dead.
    pub fn crash(&self, seed: u64) {
        let mut random = Random(seed);
        let mut guard = self.state.lock();
        let state = &mut *guard;
        for node in state.names.values() {
            node.lock().dead = true;
        }
        let kept = random.below(state.pending.len() as u64 + 1) as usize;
        for change in state.pending.drain(..).take(kept) {
            change.apply(&mut state.durable_names);
        }
        let mut survivors = BTreeMap::new();
        for (path, node) in &state.durable_names {
            let mut inode = node.lock();
            inode.dead = true;
            let bytes = inode.after_crash(&mut random);
            survivors.insert(path.clone(), Arc::new(Mutex::new(Inode::durable(bytes))));
        }
        state.names = survivors.clone();
        state.durable_names = survivors;
        state.fail_next_sync = false;
        state.power = None;
    }

    /// The next sync of a file or a directory fails, and that file can never be synced again:
    /// later syncs claim success and do nothing, as page caches do.
    pub fn fail_next_sync(&self) {
        self.state.lock().fail_next_sync = true;
    }

    /// The room for all files together; `None` is endless.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// After so many more changes every change fails, until [`FaultyDisk::crash`]: a way to stop
    /// in the middle of an operation.
    pub fn power_off_after(&self, changes: u64) {
        self.state.lock().power = Some(changes);
    }

    /// Inverts one byte, durably: a decayed sector.
    pub fn damage(&self, path: &Path, offset: u64) {
        let state = self.state.lock();
        let node = state.names.get(path).expect("the file to damage exists");
        node.lock().data[offset as usize] ^= 0xff;
    }

    /// How many bytes all files hold.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }
}

#[derive(Default)]
struct State {
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, Node>,
    /// What a crash leaves of `names` when it applies none of `pending`.
    durable_names: BTreeMap<PathBuf, Node>,
    pending: Vec<NameChange>,
    fail_next_sync: bool,
    capacity: Option<u64>,
    /// How many more changes succeed.
    power: Option<u64>,
}

type Node = Arc<Mutex<Inode>>;

impl State {
    /// Counts one change against the power that is left.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.power {
            Some(0) => Err(io::Error::other("the power is off")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn node(&self, path: &Path) -> io::Result<Node> {
        self.names.get(path).cloned().ok_or_else(not_found)
    }

    fn link(&mut self, path: &Path) -> io::Result<Node> {
        if !self.dirs.contains(directory(path)) {
            return Err(not_found());
        }
        let node = Node::default();
        self.rename_later(NameChange::Link(path.to_path_buf(), node.clone()));
        Ok(node)
    }

    fn rename_later(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.pending.push(change);
    }

    fn used(&self) -> u64 {
        let sizes = self.names.values().map(|node| node.lock().data.len());
        sizes.sum::<usize>() as u64
    }

    fn sync(&mut self, node: &Node) -> io::Result<()> {
        let mut inode = node.lock();
        if inode.dead {
            return Err(dead());
        }
        if std::mem::take(&mut self.fail_next_sync) {
            inode.sync_failed = true;
            return Err(io::Error::other("the sync failed"));
        }
        if !inode.sync_failed {
            inode.make_durable();
        }
        Ok(())
    }
}

#[derive(Clone)]
enum NameChange {
    Link(PathBuf, Node),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            NameChange::Link(path, node) => {
                names.insert(path, node);
            }
            NameChange::Unlink(path) => {
                names.remove(&path);
            }
            NameChange::Rename(from, to) => {
                if let Some(node) = names.remove(&from) {
                    names.insert(to, node);
                }
            }
        }
    }

    fn directory(&self) -> &Path {
        match self {
            NameChange::Link(path, _) | NameChange::Unlink(path) | NameChange::Rename(_, path) => directory(path),
        }
    }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        for ancestor in dir.ancestors() {
            state.dirs.insert(ancestor.to_path_buf());
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        if !state.dirs.contains(dir) {
            return Err(not_found());
        }
        let inside = state.names.keys().filter(|path| directory(path) == dir);
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        let state = self.state.lock();
        Ok(state.names.contains_key(path) || state.dirs.contains(path))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn AppendFile>> {
        let mut state = self.state.lock();
        let known = state.names.get(path).cloned();
        let node = match known {
            Some(node) => node,
            None => {
                state.change()?;
                state.link(path)?
            }
        };
        Ok(Box::new(FaultyFile { state: Arc::clone(&self.state), node }))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let node = self.state.lock().node(path)?;
        Ok(Box::new(FaultyReader(node)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let node = self.state.lock().node(path)?;
        let inode = node.lock();
        Ok(inode.data.clone())
    }

    fn write_atomic(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let prepared = temporary(path);
        let mut file = self.open_append(&prepared)?;
        let result = file
            .truncate(0)
            .and_then(|()| file.append(bytes))
            .and_then(|()| file.sync())
            .and_then(|()| self.rename(&prepared, path));
        if let Err(error) = result {
            let _ = self.remove(&prepared);
            return Err(error);
        }
        self.sync_dir(directory(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.node(from)?;
        state.rename_later(NameChange::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.node(path)?;
        state.rename_later(NameChange::Unlink(path.to_path_buf()));
        Ok(())
    }

    fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let node = state.node(path)?;
        node.lock().truncate(len as usize);
        state.sync(&node)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.change()?;
        if std::mem::take(&mut state.fail_next_sync) {
            return Err(io::Error::other("the sync failed"));
        }
        let (done, open): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.pending).into_iter().partition(|change| change.directory() == dir);
        state.pending = open;
        for change in done {
            change.apply(&mut state.durable_names);
        }
        Ok(())
    }
}

struct FaultyFile {
    state: Arc<Mutex<State>>,
    node: Node,
}

impl AppendFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        let room = match state.capacity {
            Some(capacity) => capacity.saturating_sub(state.used()),
            None => u64::MAX,
        };
        let mut inode = self.node.lock();
        if inode.dead {
            return Err(dead());
        }
        if (bytes.len() as u64) <= room {
            inode.data.extend_from_slice(bytes);
            return Ok(());
        }
        inode.data.extend_from_slice(&bytes[..room as usize]);
        Err(io::ErrorKind::StorageFull.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.change()?;
        state.sync(&self.node)
    }

    fn len(&self) -> u64 {
        self.node.lock().data.len() as u64
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.state.lock().change()?;
        self.node.lock().truncate(len as usize);
        Ok(())
    }
}

struct FaultyReader(Node);

impl ReadFile for FaultyReader {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let inode = self.0.lock();
        let start = offset as usize;
        let wanted = inode.data.get(start..start + buf.len());
        buf.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().data.len() as u64)
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn dead() -> io::Error {
    io::Error::other("this handle was opened before the crash")
}
