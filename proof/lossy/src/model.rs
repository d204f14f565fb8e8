//! The file system as such: files and directories by number, what is done to them, and the faults.

mod directory;
mod file;

use crate::random::Random;
use directory::{Directory, NameChange};
use file::File;
use rustix::io::{Errno, Result};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::SystemTime;

/// The number of the root directory.
pub const ROOT: u64 = 1;
/// The longest name, in bytes.
pub(crate) const LONGEST_NAME: usize = 255;
/// The largest file: all of it is in memory.
const LARGEST_FILE: u64 = 1 << 32;

/// A file system in memory that knows what of it is durable.
pub struct Model {
    nodes: HashMap<u64, Node>,
    next: u64,
    clock: fn() -> SystemTime,
    generation: u64,
    syncs: u64,
    /// Which sync from now fails; 0 for none.
    fail_sync: u64,
    capacity: Option<u64>,
    /// The bytes of all files that can be reached.
    used: u64,
    /// Files that nobody can reach, but that a loss of power might bring back.
    unreachable: Vec<u64>,
}

struct Node {
    kind: Kind,
    mode: u32,
    changed: SystemTime,
    /// Names of a file, and handles to it that are open.
    links: u32,
    handles: u32,
}

enum Kind {
    File(File),
    Directory(Directory),
}

/// What `stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    pub node: u64,
    pub is_directory: bool,
    pub size: u64,
    pub mode: u32,
    pub links: u32,
    pub changed: SystemTime,
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub name: Vec<u8>,
    pub node: u64,
    pub is_directory: bool,
}

/// What a loss of power took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Changes of names that were undone.
    pub names: u64,
    /// Files with writes that were not synced.
    pub unsynced_files: u64,
    /// Those of them that lost some of it.
    pub changed_files: u64,
}

impl Model {
    /// Empty; times of change are the clock's.
    pub fn new(clock: fn() -> SystemTime) -> Self {
        let root =
            Node { kind: Kind::Directory(Directory::default()), mode: 0o755, changed: clock(), links: 2, handles: 0 };
        Self {
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            clock,
            generation: 0,
            syncs: 0,
            fail_sync: 0,
            capacity: None,
            used: 0,
            unreachable: Vec::new(),
        }
    }

    // -- faults --

    /// Power loss and restart: of what was not synced stays what the seed decides. Faults end with it.
    pub fn crash(&mut self, seed: u64) -> Loss {
        let mut random = Random(seed);
        let mut loss = Loss::default();
        let mut survivors: HashMap<u64, Node> = HashMap::new();
        let mut reachable = vec![ROOT];
        while let Some(number) = reachable.pop() {
            if let Some(known) = survivors.get_mut(&number) {
                known.links += 1;
                continue;
            }
            let Some(node) = self.nodes.get(&number) else { continue };
            let (kind, links) = match &node.kind {
                Kind::Directory(directory) => {
                    let (survivor, lost) = directory.after_crash(&mut random);
                    loss.names += lost;
                    reachable.extend(survivor.names.values().rev());
                    (Kind::Directory(survivor), 2)
                }
                Kind::File(file) => {
                    let survivor = file.after_crash(&mut random);
                    loss.unsynced_files += u64::from(file.has_pending());
                    loss.changed_files += u64::from(survivor.bytes() != file.bytes());
                    (Kind::File(survivor), 1)
                }
            };
            survivors.insert(number, Node { kind, mode: node.mode, changed: node.changed, links, handles: 0 });
        }
        self.nodes = survivors;
        self.unreachable.clear();
        self.used = self.nodes.values().map(Node::size).sum();
        self.generation += 1;
        self.fail_sync = 0;
        self.capacity = None;
        loss
    }

    /// How often the power was lost: what belongs to an earlier life is dead.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The room for all files together; `None` is endless.
    pub fn set_capacity(&mut self, bytes: Option<u64>) {
        self.capacity = bytes;
    }

    /// The nth sync from now fails, and that file can never be synced again though later syncs claim success. 0 for
    /// none.
    pub fn fail_sync(&mut self, nth: u64) {
        self.fail_sync = nth;
    }

    /// How many syncs of files and directories there were.
    pub fn sync_count(&self) -> u64 {
        self.syncs
    }

    /// The bytes of all files, and the room for them.
    pub fn usage(&self) -> (u64, Option<u64>) {
        (self.used, self.capacity)
    }

    // -- names --

    pub fn lookup(&self, parent: u64, name: &[u8]) -> Result<u64> {
        self.directory(parent)?.names.get(name).copied().ok_or(Errno::NOENT)
    }

    pub fn list(&self, directory: u64) -> Result<Vec<Entry>> {
        let entry = |(name, node): (&Vec<u8>, &u64)| {
            let is_directory = self.node(*node).is_ok_and(Node::is_directory);
            Entry { name: name.clone(), node: *node, is_directory }
        };
        Ok(self.directory(directory)?.names.iter().map(entry).collect())
    }

    /// A new empty file.
    pub fn create(&mut self, parent: u64, name: &[u8], mode: u32) -> Result<u64> {
        self.add(parent, name, mode, Kind::File(File::default()), 1)
    }

    pub fn make_directory(&mut self, parent: u64, name: &[u8], mode: u32) -> Result<u64> {
        self.add(parent, name, mode, Kind::Directory(Directory::default()), 2)
    }

    /// Another name for a file.
    pub fn link(&mut self, file: u64, parent: u64, name: &[u8]) -> Result<()> {
        if self.node(file)?.is_directory() {
            return Err(Errno::PERM);
        }
        self.free_name(parent, name)?;
        self.directory_mut(parent)?.change(NameChange::Link(name.to_vec(), file));
        self.node_mut(file)?.links += 1;
        Ok(())
    }

    pub fn remove(&mut self, parent: u64, name: &[u8]) -> Result<()> {
        let node = self.lookup(parent, name)?;
        if self.node(node)?.is_directory() {
            return Err(Errno::ISDIR);
        }
        self.directory_mut(parent)?.change(NameChange::Unlink(name.to_vec()));
        self.unlinked(node);
        Ok(())
    }

    pub fn remove_directory(&mut self, parent: u64, name: &[u8]) -> Result<()> {
        let node = self.lookup(parent, name)?;
        if !self.directory(node)?.names.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.directory_mut(parent)?.change(NameChange::Unlink(name.to_vec()));
        Ok(())
    }

    /// Gives what has one name another, in place of what had that name where `replace` says so. Within a directory
    /// that is one change; between two of them, a loss of power may leave both names, or neither.
    pub fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), replace: bool) -> Result<()> {
        let node = self.lookup(from.0, from.1)?;
        let is_directory = self.node(node)?.is_directory();
        check_name(to.1)?;
        let replaced = self.directory(to.0)?.names.get(to.1).copied();
        if let Some(replaced) = replaced {
            if !replace {
                return Err(Errno::EXIST);
            }
            // Two names of one file: nothing is to be done.
            if replaced == node {
                return Ok(());
            }
            match (is_directory, &self.node(replaced)?.kind) {
                (false, Kind::Directory(_)) => return Err(Errno::ISDIR),
                (true, Kind::File(_)) => return Err(Errno::NOTDIR),
                (true, Kind::Directory(directory)) if !directory.names.is_empty() => return Err(Errno::NOTEMPTY),
                _ => {}
            }
        }
        if from.0 == to.0 {
            self.directory_mut(from.0)?.change(NameChange::Rename(from.1.to_vec(), to.1.to_vec()));
        } else {
            self.directory_mut(to.0)?.change(NameChange::Link(to.1.to_vec(), node));
            self.directory_mut(from.0)?.change(NameChange::Unlink(from.1.to_vec()));
        }
        if let Some(replaced) = replaced.filter(|_| !is_directory) {
            self.unlinked(replaced);
        }
        Ok(())
    }

    // -- bytes --

    pub fn attributes(&self, number: u64) -> Result<Attributes> {
        let node = self.node(number)?;
        Ok(Attributes {
            node: number,
            is_directory: node.is_directory(),
            size: node.size(),
            mode: node.mode,
            links: node.links,
            changed: node.changed,
        })
    }

    pub fn set_mode(&mut self, node: u64, mode: u32) -> Result<()> {
        self.node_mut(node)?.mode = mode & 0o7777;
        Ok(())
    }

    pub fn read(&self, file: u64, offset: u64, size: usize) -> Result<&[u8]> {
        let Kind::File(file) = &self.node(file)?.kind else { return Err(Errno::ISDIR) };
        let bytes = file.bytes();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        Ok(&bytes[start..start.saturating_add(size).min(bytes.len())])
    }

    /// Writes what there is room for, and returns how much that was.
    pub fn write(&mut self, number: u64, offset: u64, bytes: &[u8]) -> Result<usize> {
        let len = self.attributes(number)?.size;
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= LARGEST_FILE).ok_or(Errno::FBIG)?;
        let room = self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used));
        let missing = end.saturating_sub(len).saturating_sub(room);
        let written = (bytes.len() as u64).saturating_sub(missing);
        if written == 0 && !bytes.is_empty() {
            return Err(Errno::NOSPC);
        }
        self.file_mut(number)?.write(offset as usize, &bytes[..written as usize]);
        self.used += (offset + written).saturating_sub(len);
        Ok(written as usize)
    }

    pub fn resize(&mut self, number: u64, len: u64) -> Result<()> {
        if len > LARGEST_FILE {
            return Err(Errno::FBIG);
        }
        let old_len = self.attributes(number)?.size;
        self.file_mut(number)?.resize(len as usize);
        self.used = self.used + len - old_len;
        Ok(())
    }

    /// Makes a file's bytes durable, or a directory's names.
    pub fn sync(&mut self, number: u64) -> Result<()> {
        self.syncs += 1;
        let fails = self.fail_sync == 1;
        self.fail_sync = self.fail_sync.saturating_sub(1);
        match &mut self.node_mut(number)?.kind {
            Kind::File(file) if fails => file.fail_sync(),
            Kind::File(file) => file.sync(),
            Kind::Directory(_) if fails => {}
            Kind::Directory(directory) => {
                directory.sync();
                self.let_go();
            }
        }
        if fails { Err(Errno::IO) } else { Ok(()) }
    }

    /// A file stays for as long as it is open, whether it has a name or not.
    pub fn open(&mut self, file: u64) -> Result<()> {
        self.node_mut(file)?.handles += 1;
        Ok(())
    }

    pub fn close(&mut self, file: u64) -> Result<()> {
        let node = self.node_mut(file)?;
        let was_open = node.handles > 0;
        node.handles = node.handles.saturating_sub(1);
        if was_open {
            self.leave(file);
        }
        Ok(())
    }

    // -- within --

    fn add(&mut self, parent: u64, name: &[u8], mode: u32, kind: Kind, links: u32) -> Result<u64> {
        self.free_name(parent, name)?;
        let number = self.next;
        self.next += 1;
        self.directory_mut(parent)?.change(NameChange::Link(name.to_vec(), number));
        let changed = (self.clock)();
        self.nodes.insert(number, Node { kind, mode: mode & 0o7777, changed, links, handles: 0 });
        Ok(number)
    }

    fn free_name(&self, parent: u64, name: &[u8]) -> Result<()> {
        check_name(name)?;
        if self.directory(parent)?.names.contains_key(name) { Err(Errno::EXIST) } else { Ok(()) }
    }

    fn unlinked(&mut self, number: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.links = node.links.saturating_sub(1);
        }
        self.leave(number);
    }

    /// A file without names and handles takes no room any more.
    fn leave(&mut self, number: u64) {
        if let Some(node) = self.nodes.get(&number)
            && node.links == 0
            && node.handles == 0
        {
            self.used -= node.size();
            self.unreachable.push(number);
        }
    }

    /// Forgets the unreachable files that no loss of power brings back.
    fn let_go(&mut self) {
        if self.unreachable.is_empty() {
            return;
        }
        let mut remembered = HashSet::new();
        for node in self.nodes.values() {
            if let Kind::Directory(directory) = &node.kind {
                remembered.extend(directory.remembered());
            }
        }
        let (kept, gone): (Vec<u64>, Vec<u64>) =
            self.unreachable.iter().copied().partition(|number| remembered.contains(number));
        self.unreachable = kept;
        for number in gone {
            self.nodes.remove(&number);
        }
    }

    fn node(&self, number: u64) -> Result<&Node> {
        self.nodes.get(&number).ok_or(Errno::STALE)
    }

    fn node_mut(&mut self, number: u64) -> Result<&mut Node> {
        self.nodes.get_mut(&number).ok_or(Errno::STALE)
    }

    fn directory(&self, number: u64) -> Result<&Directory> {
        match &self.node(number)?.kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn directory_mut(&mut self, number: u64) -> Result<&mut Directory> {
        let now = (self.clock)();
        let node = self.node_mut(number)?;
        node.changed = now;
        match &mut node.kind {
            Kind::Directory(directory) => Ok(directory),
            Kind::File(_) => Err(Errno::NOTDIR),
        }
    }

    fn file_mut(&mut self, number: u64) -> Result<&mut File> {
        let now = (self.clock)();
        let node = self.node_mut(number)?;
        node.changed = now;
        match &mut node.kind {
            Kind::File(file) => Ok(file),
            Kind::Directory(_) => Err(Errno::ISDIR),
        }
    }
}

impl Node {
    fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(file) => file.bytes().len() as u64,
            Kind::Directory(_) => 0,
        }
    }
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > LONGEST_NAME { Err(Errno::NAMETOOLONG) } else { Ok(()) }
}

/// Paths of all files with their bytes, for those who look at a survivor.
impl Model {
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut directories = vec![(ROOT, String::new())];
        while let Some((number, path)) = directories.pop() {
            for entry in self.list(number).unwrap_or_default() {
                let path = format!("{path}/{}", String::from_utf8_lossy(&entry.name));
                if entry.is_directory {
                    directories.push((entry.node, path));
                } else {
                    let bytes = self.read(entry.node, 0, usize::MAX).unwrap_or_default();
                    found.insert(path, bytes.to_vec());
                }
            }
        }
        found
    }
}
