//! The rows of the spine's entities, packed, in partitions by entity: in memory as far as the budget goes, then in
//! files that are read back one partition at a time.

use crate::error::{LakeError, Result};
use crate::limits::MAX_HEAP_BYTES;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use thalweg_aggregate::{Cell, RowLayout, Stamp};

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: u32,
    pub(super) buffer: u32,
    pub(super) row: u32,
}

/// Packed rows with the numbers of their entities' keys.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    pub(super) keys: Vec<u32>,
    pub(super) words: Vec<u64>,
    pub(super) heap: Vec<u8>,
}

impl Buffer {
    fn bytes(&self) -> u64 {
        self.keys.capacity() as u64 * 4 + self.words.capacity() as u64 * 8 + self.heap.capacity() as u64
    }
}

/// All rows of one partition; the last buffer is still open.
#[derive(Debug)]
pub(super) struct PartitionRows {
    buffers: Vec<Stored>,
    /// What takes rows back: the row, and the event time and arrival time of what took it.
    retractions: Vec<(Place, i64, i64)>,
}

#[derive(Debug)]
enum Stored {
    Memory(Buffer),
    File(SpillFile),
}

/// A buffer on disk; the file goes with it.
#[derive(Debug)]
struct SpillFile {
    path: PathBuf,
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // Work directories are removed as a whole later on; a file that stays is only untidy.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Rows as they are gathered.
pub(super) struct Rows {
    partitions: Vec<PartitionRows>,
    budget: u64,
    /// Bytes in memory, about: counted as rows come, not as buffers grow.
    held: u64,
    directory: PathBuf,
}

impl Rows {
    pub(super) fn new(partitions: usize, budget: u64, directory: &Path) -> Self {
        let empty = || PartitionRows { buffers: vec![Stored::Memory(Buffer::default())], retractions: Vec::new() };
        Self {
            partitions: std::iter::repeat_with(empty).take(partitions).collect(),
            budget,
            held: 0,
            directory: directory.to_owned(),
        }
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn push(
        &mut self,
        layout: &RowLayout,
        partition: u32,
        key: u32,
        stamp: Stamp,
        arrival: i64,
        cells: &[Cell<'_>],
        passes: &[bool],
    ) -> Result<Place> {
        if self.held > self.budget {
            self.spill()?;
        }
        let rows = &mut self.partitions[partition as usize];
        let buffer = rows.open();
        let heap = buffer.heap.len();
        layout.push(&mut buffer.words, &mut buffer.heap, stamp, arrival, cells, passes);
        buffer.keys.push(key);
        self.held += 4 + layout.width() as u64 * 8 + (buffer.heap.len() - heap) as u64;
        let row = buffer.keys.len() as u32 - 1;
        Ok(Place { partition, buffer: rows.buffers.len() as u32 - 1, row })
    }

    pub(super) fn retract(&mut self, place: Place, time: i64, arrival: i64) {
        self.partitions[place.partition as usize].retractions.push((place, time, arrival));
    }

    pub(super) fn into_partitions(self) -> Vec<PartitionRows> {
        self.partitions
    }

    /// Writes everything in memory to files.
    fn spill(&mut self) -> Result<()> {
        for rows in &mut self.partitions {
            for stored in &mut rows.buffers {
                if let Stored::Memory(buffer) = stored
                    && !buffer.keys.is_empty()
                {
                    tracing::debug!(bytes = buffer.bytes(), "training set spills rows");
                    *stored = Stored::File(write(&self.directory, buffer)?);
                }
            }
        }
        self.held = 0;
        Ok(())
    }
}

impl PartitionRows {
    /// The buffer that takes the next row.
    fn open(&mut self) -> &mut Buffer {
        let full = match self.buffers.last() {
            Some(Stored::Memory(buffer)) => buffer.heap.len() >= MAX_HEAP_BYTES,
            _ => true,
        };
        if full {
            self.buffers.push(Stored::Memory(Buffer::default()));
        }
        match self.buffers.last_mut() {
            Some(Stored::Memory(buffer)) => buffer,
            _ => unreachable!("the last buffer was just seen or made in memory"),
        }
    }

    /// The rows, in memory and with what takes them back written into them.
    pub(super) fn load(self, layout: &RowLayout) -> Result<Vec<Buffer>> {
        let mut buffers = self
            .buffers
            .into_iter()
            .map(|stored| match stored {
                Stored::Memory(buffer) => Ok(buffer),
                Stored::File(file) => read(&file.path),
            })
            .collect::<Result<Vec<Buffer>>>()?;
        let width = layout.width();
        for (place, time, arrival) in self.retractions {
            let row = place.row as usize;
            let words = &mut buffers[place.buffer as usize].words[row * width..(row + 1) * width];
            layout.retract(words, time, arrival);
        }
        Ok(buffers)
    }
}

/// ```text
/// u64 keys │ u64 words │ u64 heap bytes │ keys (u32) │ words (u64) │ heap        little-endian, for this build only
/// ```
fn write(directory: &Path, buffer: &Buffer) -> Result<SpillFile> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = directory.join(format!("rows-{}-{number}.spill", std::process::id()));
    let failed = |error: std::io::Error| LakeError::Storage(format!("spill file `{}`: {error}", path.display()));
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path).map_err(failed)?);
    let spilled = SpillFile { path: path.clone() };
    for length in [buffer.keys.len(), buffer.words.len(), buffer.heap.len()] {
        out.write_all(&(length as u64).to_le_bytes()).map_err(failed)?;
    }
    for key in &buffer.keys {
        out.write_all(&key.to_le_bytes()).map_err(failed)?;
    }
    for word in &buffer.words {
        out.write_all(&word.to_le_bytes()).map_err(failed)?;
    }
    out.write_all(&buffer.heap).map_err(failed)?;
    out.flush().map_err(failed)?;
    Ok(spilled)
}

fn read(path: &Path) -> Result<Buffer> {
    let failed = |error: std::io::Error| LakeError::Storage(format!("spill file `{}`: {error}", path.display()));
    let mut input = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
    let mut lengths = [0usize; 3];
    for length in &mut lengths {
        *length = u64::from_le_bytes(array(&mut input).map_err(failed)?) as usize;
    }
    let [keys, words, heap] = lengths;
    let mut buffer = Buffer { keys: Vec::with_capacity(keys), words: Vec::with_capacity(words), heap: vec![0; heap] };
    for _ in 0..keys {
        buffer.keys.push(u32::from_le_bytes(array(&mut input).map_err(failed)?));
    }
    for _ in 0..words {
        buffer.words.push(u64::from_le_bytes(array(&mut input).map_err(failed)?));
    }
    input.read_exact(&mut buffer.heap).map_err(failed)?;
    Ok(buffer)
}

fn array<const N: usize>(input: &mut impl Read) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
