//! A disk in memory that loses what was not synced, fills up, slows down, fails an fsync or loses
//! its power when told to. Its choices come from the seed given to [`FaultyDisk::crash`].
//!
//! It is as unkind as a disk may be: bytes last with the file's sync alone, names with the sync of
//! their directory alone, directories do not wait for each other, and a crash may leave each sector
//! as any write since the last sync left it.

mod handle;
mod inode;

use super::{AppendFile, Disk, ReadFile, directory, temporary};
use handle::{FaultyFile, FaultyReader};
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

    /// Power loss and restart: unsynced bytes are dropped, kept, torn or mixed, and of each
    /// directory's unsynced creations, renames and removals a prefix stays. Handles opened before are
    /// dead.
    pub fn crash(&self, seed: u64) {
        let mut random = Random(seed);
        let mut guard = self.state.lock();
        let state = &mut *guard;
        for node in state.names.values() {
            node.lock().dead = true;
        }
        state.keep_some_changes(&mut random);
        let mut survivors = BTreeMap::new();
        for (path, node) in &state.durable_names {
            let mut inode = node.lock();
            inode.dead = true;
            let bytes = inode.after_crash(&mut random);
            survivors.insert(path.clone(), Arc::new(Mutex::new(Inode::durable(bytes))));
        }
        state.names = survivors.clone();
        state.durable_names = survivors;
        state.syncs_left = None;
        state.syncs_failed = 0;
        state.power = None;
        state.off = false;
    }

    /// The next sync of a file or a directory fails, and that file can never be synced again:
    /// later syncs claim success and do nothing, as page caches do.
    pub fn fail_next_sync(&self) {
        self.fail_sync_after(0);
    }

    /// So many more syncs succeed; the one after them fails as [`FaultyDisk::fail_next_sync`] says.
    pub fn fail_sync_after(&self, syncs: u64) {
        self.state.lock().syncs_left = Some(syncs);
    }

    /// How many syncs have failed since the last crash.
    pub fn syncs_failed(&self) -> u64 {
        self.state.lock().syncs_failed
    }

    /// The room for all files together; `None` is endless.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity = bytes;
    }

    /// After so many more changes every change fails, until [`FaultyDisk::crash`]: a way to stop
    /// in the middle of an operation. Of the write during which it happens any part may be done.
    pub fn power_off_after(&self, changes: u64) {
        let mut state = self.state.lock();
        state.power = Some(changes);
        state.off = false;
    }

    /// Whether a change has found the power off.
    pub fn power_is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Counts a change to something that has its power from where the disk has it; false where that
    /// is off, so that the change must not happen.
    pub fn spend_change(&self) -> bool {
        self.state.lock().spend() == Power::On
    }

    /// `wait` is called by every operation: a way to let time pass while the disk works.
    pub fn set_latency(&self, wait: Option<Arc<dyn Fn() + Send + Sync>>) {
        self.state.lock().latency = wait;
    }

    /// Inverts one byte, durably: a decayed sector. Done again it is mended.
    pub fn damage(&self, path: &Path, offset: u64) {
        let state = self.state.lock();
        let node = state.names.get(path).expect("the file to damage exists");
        node.lock().data[offset as usize] ^= 0xff;
    }

    /// How many bytes all files hold.
    pub fn used(&self) -> u64 {
        self.state.lock().used()
    }

    /// All files as they are read now, by their paths.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let state = self.state.lock();
        state.names.iter().map(|(path, node)| (path.clone(), node.lock().data.clone())).collect()
    }

    /// Puts these files in the place of all there are, durably: a copy that was kept elsewhere.
    pub fn restore(&self, files: &BTreeMap<PathBuf, Vec<u8>>) {
        let mut state = self.state.lock();
        for node in state.names.values() {
            node.lock().dead = true;
        }
        let durable = |bytes: &Vec<u8>| Arc::new(Mutex::new(Inode::durable(bytes.clone())));
        state.names = files.iter().map(|(path, bytes)| (path.clone(), durable(bytes))).collect();
        state.durable_names = state.names.clone();
        state.pending.clear();
    }
}

#[derive(Default)]
struct State {
    dirs: BTreeSet<PathBuf>,
    names: BTreeMap<PathBuf, Node>,
    /// What a crash leaves of `names` when it applies none of `pending`.
    durable_names: BTreeMap<PathBuf, Node>,
    pending: Vec<NameChange>,
    /// How many more syncs succeed before one fails.
    syncs_left: Option<u64>,
    syncs_failed: u64,
    capacity: Option<u64>,
    /// How many more changes succeed.
    power: Option<u64>,
    /// Whether a change has found no power left.
    off: bool,
    latency: Option<Arc<dyn Fn() + Send + Sync>>,
    /// How much of a write is done when the power fails in it.
    chance: Random,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// It goes with this change.
    Failing,
    Off,
}

type Node = Arc<Mutex<Inode>>;

impl State {
    /// Counts one change against the power that is left.
    fn spend(&mut self) -> Power {
        self.wait();
        match self.power {
            None => Power::On,
            Some(0) if self.off => Power::Off,
            Some(0) => {
                self.off = true;
                Power::Failing
            }
            Some(left) => {
                self.power = Some(left - 1);
                Power::On
            }
        }
    }

    /// A change that happens whole or not at all.
    fn change(&mut self) -> io::Result<()> {
        if self.spend() == Power::On { Ok(()) } else { Err(power_is_off()) }
    }

    fn wait(&self) {
        if let Some(wait) = &self.latency {
            wait();
        }
    }

    /// Of each directory's unsynced changes a prefix becomes durable.
    fn keep_some_changes(&mut self, random: &mut Random) {
        let pending = std::mem::take(&mut self.pending);
        let mut left: BTreeMap<PathBuf, u64> = BTreeMap::new();
        for change in &pending {
            *left.entry(change.directory().to_path_buf()).or_default() += 1;
        }
        for kept in left.values_mut() {
            *kept = random.below(*kept + 1);
        }
        for change in pending {
            let kept = left.get_mut(change.directory()).expect("counted above");
            if *kept > 0 {
                *kept -= 1;
                change.apply(&mut self.durable_names);
            }
        }
    }

    /// Whether the sync that is asked for now is to fail.
    fn sync_fails(&mut self) -> bool {
        let fails = self.syncs_left == Some(0);
        self.syncs_left = if fails { None } else { self.syncs_left.map(|left| left - 1) };
        self.syncs_failed += u64::from(fails);
        fails
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
        if self.sync_fails() {
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
        state.wait();
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
        Ok(Box::new(FaultyFile::new(&self.state, node)))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let state = self.state.lock();
        state.wait();
        let node = state.node(path)?;
        Ok(Box::new(FaultyReader::new(&self.state, node)))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state.lock();
        state.wait();
        let node = state.node(path)?;
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
        if state.sync_fails() {
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

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

fn dead() -> io::Error {
    io::Error::other("this handle was opened before the crash")
}

fn power_is_off() -> io::Error {
    io::Error::other("the power is off")
}
