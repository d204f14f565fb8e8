//! What the kernel asks, done to the model. Whatever is not here is answered "not implemented", and the kernel does
//! without: locks are its own, copies go by way of reads and writes.

use crate::model::{Attributes, Entry, LONGEST_NAME, Model};
use crate::wire::{Answer, Fields};
use rustix::io::{Errno, Result};
use std::hash::{DefaultHasher, Hasher};
use std::time::{Duration, UNIX_EPOCH};

/// The most that one write brings, and so what a request takes at most.
pub(crate) const LARGEST_WRITE: u32 = 1 << 20;
/// How long the kernel may remember names and attributes, in seconds. Nobody else changes them.
const REMEMBERED: u64 = 1;
const BLOCK: u32 = 4096;
/// What is shown as the room where there is no bound.
const ENDLESS: u64 = 1 << 36;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const O_EXCL: u32 = 0o200;
const O_TRUNC: u32 = 0o1000;
const SETS_MODE: u32 = 1;
const SETS_SIZE: u32 = 1 << 3;
const RENAME_NOREPLACE: u32 = 1;
/// Reads that overlap, writes of more than a page, and requests of many pages. Above all not the write-back cache: a
/// write is here when its system call returns.
const WANTED: u32 = 1 | (1 << 5) | (1 << 22);

const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const SETATTR: u32 = 4;
const MKNOD: u32 = 8;
const MKDIR: u32 = 9;
const UNLINK: u32 = 10;
const RMDIR: u32 = 11;
const RENAME: u32 = 12;
const LINK: u32 = 13;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const READDIR: u32 = 28;
const RELEASEDIR: u32 = 29;
const FSYNCDIR: u32 = 30;
const CREATE: u32 = 35;
const INTERRUPT: u32 = 36;
const DESTROY: u32 = 38;
const BATCH_FORGET: u32 = 42;
const RENAME2: u32 = 45;

/// Whether the kernel waits for an answer: not where it forgets a node, or interrupts.
pub(crate) fn is_answered(opcode: u32) -> bool {
    !matches!(opcode, FORGET | INTERRUPT | BATCH_FORGET)
}

pub(crate) fn answer(model: &mut Model, opcode: u32, node: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    match opcode {
        INIT => begin(fields),
        LOOKUP => lookup(model, node, fields),
        GETATTR => attributes(model, node),
        SETATTR => set_attributes(model, node, fields),
        MKNOD => make_node(model, node, fields),
        MKDIR => make_directory(model, node, fields),
        CREATE => create(model, node, fields),
        UNLINK => model.remove(node, fields.name()?).map(done),
        RMDIR => model.remove_directory(node, fields.name()?).map(done),
        RENAME => rename(model, node, fields, false),
        RENAME2 => rename(model, node, fields, true),
        LINK => link(model, node, fields),
        OPEN => open(model, node),
        OPENDIR => Ok(opened()),
        READ => read(model, node, fields),
        WRITE => write(model, node, fields),
        READDIR => list(model, node, fields),
        STATFS => Ok(room(model)),
        FSYNC | FSYNCDIR => model.sync(node).map(done),
        RELEASE => model.close(node).map(done),
        // Closing writes nothing, and so cannot fail late.
        FLUSH | RELEASEDIR | DESTROY => Ok(done(())),
        _ => Err(Errno::NOSYS),
    }
}

/// Nothing is to be told.
fn done((): ()) -> Answer {
    Answer::default()
}

fn begin(fields: &mut Fields<'_>) -> Result<Answer> {
    let (_major, _minor) = (fields.number()?, fields.number()?);
    let (read_ahead, offered) = (fields.number()?, fields.number()?);
    let (requests_behind, congested, pages) = (16, 12, (LARGEST_WRITE / BLOCK) as u16);
    Ok(Answer::default()
        .number(7)
        .number(38)
        .number(read_ahead)
        .number(offered & WANTED)
        .short(requests_behind)
        .short(congested)
        .number(LARGEST_WRITE)
        // Times are exact to the nanosecond.
        .number(1)
        .short(pages)
        .zeros(34))
}

fn lookup(model: &Model, parent: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    entry(model, model.lookup(parent, fields.name()?)?)
}

fn attributes(model: &Model, node: u64) -> Result<Answer> {
    let attributes = model.attributes(node)?;
    Ok(described(Answer::default().long(REMEMBERED).zeros(8), &attributes))
}

fn set_attributes(model: &mut Model, node: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    let set = fields.number()?;
    fields.skip(12)?;
    let size = fields.long()?;
    fields.skip(44)?;
    let mode = fields.number()?;
    if set & SETS_SIZE != 0 {
        model.resize(node, size)?;
    }
    if set & SETS_MODE != 0 {
        model.set_mode(node, mode)?;
    }
    attributes(model, node)
}

fn make_node(model: &mut Model, parent: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    let (mode, _device, umask) = (fields.number()?, fields.number()?, fields.number()?);
    fields.skip(4)?;
    if mode & 0o170_000 != REGULAR {
        return Err(Errno::PERM);
    }
    let node = model.create(parent, fields.name()?, mode & !umask)?;
    entry(model, node)
}

fn make_directory(model: &mut Model, parent: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    let (mode, umask) = (fields.number()?, fields.number()?);
    let node = model.make_directory(parent, fields.name()?, mode & !umask)?;
    entry(model, node)
}

fn rename(model: &mut Model, parent: u64, fields: &mut Fields<'_>, has_flags: bool) -> Result<Answer> {
    let new_parent = fields.long()?;
    let mut flags = 0;
    if has_flags {
        flags = fields.number()?;
        fields.skip(4)?;
    }
    if flags & !RENAME_NOREPLACE != 0 {
        return Err(Errno::INVAL);
    }
    let (old, new) = (fields.name()?, fields.name()?);
    model.rename((parent, old), (new_parent, new), flags == 0).map(done)
}

fn link(model: &mut Model, parent: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    let file = fields.long()?;
    model.link(file, parent, fields.name()?)?;
    entry(model, file)
}

fn open(model: &mut Model, file: u64) -> Result<Answer> {
    model.open(file)?;
    Ok(opened())
}

fn create(model: &mut Model, parent: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    let (flags, mode, umask) = (fields.number()?, fields.number()?, fields.number()?);
    fields.skip(4)?;
    let name = fields.name()?;
    let file = match model.lookup(parent, name) {
        Ok(_) if flags & O_EXCL != 0 => return Err(Errno::EXIST),
        Ok(file) if flags & O_TRUNC != 0 => model.resize(file, 0).map(|()| file)?,
        Ok(file) => file,
        Err(Errno::NOENT) => model.create(parent, name, mode & !umask)?,
        Err(error) => return Err(error),
    };
    model.open(file)?;
    // The handle follows the entry; nodes are told apart by their numbers alone.
    Ok(entry(model, file)?.zeros(16))
}

fn read(model: &Model, file: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    fields.skip(8)?;
    let (offset, size) = (fields.long()?, fields.number()?);
    Ok(Answer::default().bytes(model.read(file, offset, size as usize)?))
}

fn write(model: &mut Model, file: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    fields.skip(8)?;
    let (offset, size) = (fields.long()?, fields.number()?);
    // Of files opened with O_SYNC the kernel syncs each write itself.
    fields.skip(20)?;
    let written = model.write(file, offset, fields.bytes(size as usize)?)?;
    Ok(Answer::default().number(written as u32).zeros(4))
}

fn room(model: &Model) -> Answer {
    let (used, capacity) = model.usage();
    let blocks = capacity.unwrap_or(ENDLESS) / u64::from(BLOCK);
    let free = blocks.saturating_sub(used.div_ceil(u64::from(BLOCK)));
    let nodes = 1 << 20;
    Answer::default()
        .long(blocks)
        .long(free)
        .long(free)
        .long(nodes)
        .long(nodes)
        .number(BLOCK)
        .number(LONGEST_NAME as u32)
        .number(BLOCK)
        .zeros(28)
}

fn list(model: &Model, directory: u64, fields: &mut Fields<'_>) -> Result<Answer> {
    fields.skip(8)?;
    let (from, size) = (fields.long()?, fields.number()? as usize);
    let placed = model.list(directory)?.into_iter().map(|entry| (place(&entry.name), entry));
    let mut listed: Vec<(u64, Entry)> = placed.filter(|(place, _)| *place > from).collect();
    listed.sort_unstable_by_key(|(place, _)| *place);
    let mut answer = Answer::default();
    for (place, entry) in listed {
        let padding = entry.name.len().next_multiple_of(8) - entry.name.len();
        if answer.len() + 24 + entry.name.len() + padding > size {
            break;
        }
        let kind = if entry.is_directory { DIRECTORY } else { REGULAR };
        answer = answer.long(entry.node).long(place).number(entry.name.len() as u32).number(kind >> 12);
        answer = answer.bytes(&entry.name).zeros(padding);
    }
    Ok(answer)
}

/// Where a name stands in a listing. It stays there whatever becomes of others, so that who removes files while
/// listing them misses none.
fn place(name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name);
    (hasher.finish() >> 2) + 1
}

/// A handle that says nothing: nodes are told apart by their numbers. Pages stay with the kernel, which maps them too.
fn opened() -> Answer {
    Answer::default().zeros(16)
}

fn entry(model: &Model, node: u64) -> Result<Answer> {
    let attributes = model.attributes(node)?;
    let head = Answer::default().long(node).long(model.generation()).long(REMEMBERED).long(REMEMBERED).zeros(8);
    Ok(described(head, &attributes))
}

fn described(head: Answer, attributes: &Attributes) -> Answer {
    let changed = attributes.changed.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let (seconds, nanoseconds) = (changed.as_secs(), changed.subsec_nanos());
    let kind = if attributes.is_directory { DIRECTORY } else { REGULAR };
    head.long(attributes.node)
        .long(attributes.size)
        .long(attributes.size.div_ceil(512))
        .long(seconds)
        .long(seconds)
        .long(seconds)
        .number(nanoseconds)
        .number(nanoseconds)
        .number(nanoseconds)
        .number(kind | attributes.mode)
        .number(attributes.links)
        // Owner, group and device: all of it is root's, as is whoever may mount.
        .zeros(12)
        .number(BLOCK)
        .zeros(4)
}
