//! Open files of the faulty disk: what a write, a sync or a read comes to, by what the disk was told.

use super::{Node, Power, State, dead, power_is_off};
use crate::disk::{AppendFile, ReadFile};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;

pub(super) struct FaultyFile {
    state: Arc<Mutex<State>>,
    node: Node,
}

impl FaultyFile {
    pub(super) fn new(state: &Arc<Mutex<State>>, node: Node) -> FaultyFile {
        FaultyFile { state: Arc::clone(state), node }
    }
}

impl AppendFile for FaultyFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let power = state.spend();
        if power == Power::Off {
            return Err(power_is_off());
        }
        let room = match state.capacity {
            Some(capacity) => capacity.saturating_sub(state.used()),
            None => u64::MAX,
        };
        let fits = room.min(bytes.len() as u64);
        let done = if power == Power::Failing { state.chance.below(fits + 1) } else { fits };
        let mut inode = self.node.lock();
        if inode.dead {
            return Err(dead());
        }
        inode.append(&bytes[..done as usize]);
        match power {
            Power::On if fits < bytes.len() as u64 => Err(io::ErrorKind::StorageFull.into()),
            Power::On => Ok(()),
            _ => Err(power_is_off()),
        }
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

pub(super) struct FaultyReader {
    state: Arc<Mutex<State>>,
    node: Node,
}

impl FaultyReader {
    pub(super) fn new(state: &Arc<Mutex<State>>, node: Node) -> FaultyReader {
        FaultyReader { state: Arc::clone(state), node }
    }
}

impl ReadFile for FaultyReader {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.state.lock().wait();
        let inode = self.node.lock();
        let start = offset as usize;
        let wanted = inode.data.get(start..start + buf.len());
        buf.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.node.lock().data.len() as u64)
    }
}
