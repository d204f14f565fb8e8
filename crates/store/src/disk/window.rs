//! A sliding window over a file that is read from front to back, so that a scan of any length
//! takes bounded memory and few system calls.

use super::{Disk, ReadFile};
use crate::limits::READ_WINDOW_BYTES;
use std::io;
use std::path::Path;

pub(crate) struct Window {
    file: Box<dyn ReadFile>,
    end: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl Window {
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> io::Result<Window> {
        let file = disk.open_read(path)?;
        let end = file.len()?;
        Ok(Window { file, end, start: 0, buffer: Vec::new() })
    }

    /// Where the file ended when it was opened.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// The bytes from `offset`. The caller keeps inside [`Window::end`].
    pub(crate) fn bytes(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        let held_to = self.start + self.buffer.len() as u64;
        let held = offset >= self.start && offset + length as u64 <= held_to;
        if !held {
            self.fill(offset, length)?;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.buffer[from..from + length])
    }

    fn fill(&mut self, offset: u64, length: usize) -> io::Result<()> {
        let ahead = self.end.saturating_sub(offset);
        let wanted = length.max(ahead.min(READ_WINDOW_BYTES as u64) as usize);
        self.start = offset;
        self.buffer.clear();
        // One huge record must not keep its memory for the rest of the scan.
        self.buffer.shrink_to(wanted.max(READ_WINDOW_BYTES));
        self.buffer.resize(wanted, 0);
        let mut result = self.file.read_at(offset, &mut self.buffer);
        let shrunk = matches!(&result, Err(error) if error.kind() == io::ErrorKind::UnexpectedEof);
        if shrunk && wanted > length {
            // A writer took back bytes behind those asked for: look no further ahead than needed.
            self.buffer.truncate(length);
            result = self.file.read_at(offset, &mut self.buffer);
        }
        if result.is_err() {
            self.buffer.clear();
        }
        result
    }
}
