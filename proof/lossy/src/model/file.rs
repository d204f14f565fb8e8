//! One file: its bytes, what was done to it since its last sync, and what a loss of power leaves of it.

use crate::random::Random;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// A file that is never synced remembers so many bytes of changes one by one; then all of them become one.
const REMEMBERED: usize = 4 << 20;

#[derive(Default)]
pub(super) struct File {
    data: Vec<u8>,
    /// What was done since the last sync, in order.
    pending: Vec<Change>,
    pending_bytes: usize,
    /// A sync failed: later ones claim success and do nothing, as page caches do.
    sync_failed: bool,
}

/// A change, and what it takes to undo it.
enum Change {
    Write { offset: usize, new: Vec<u8>, old: Vec<u8>, old_len: usize },
    Resize { len: usize, cut: Vec<u8>, old_len: usize },
}

impl File {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.data
    }

    pub(super) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn write(&mut self, offset: usize, new: &[u8]) {
        let old_len = self.data.len();
        let overwritten = offset.min(old_len)..(offset + new.len()).min(old_len);
        let old = self.data[overwritten].to_vec();
        put(&mut self.data, offset, new);
        self.pending.push(Change::Write { offset, new: new.to_vec(), old, old_len });
        self.pending_bytes += new.len();
        if self.pending_bytes > REMEMBERED.max(2 * self.data.len()) && self.pending.len() > 2 {
            self.make_one_change();
        }
    }

    pub(super) fn resize(&mut self, len: usize) {
        let old_len = self.data.len();
        let cut = self.data[len.min(old_len)..].to_vec();
        self.data.resize(len, 0);
        self.pending.push(Change::Resize { len, cut, old_len });
    }

    pub(super) fn sync(&mut self) {
        if !self.sync_failed {
            self.pending.clear();
            self.pending_bytes = 0;
        }
    }

    pub(super) fn fail_sync(&mut self) {
        self.sync_failed = true;
    }

    /// What is left after a loss of power: nothing of what was done since the sync, all of it, what was done up to
    /// some moment in the midst of a write, or any of the sectors.
    pub(super) fn after_crash(&self, random: &mut Random) -> File {
        if self.pending.is_empty() {
            return File { data: self.data.clone(), ..File::default() };
        }
        let durable = self.durable();
        let data = match random.below(4) {
            0 => durable,
            1 => self.data.clone(),
            2 => self.up_to_a_moment(durable, random),
            _ => self.some_sectors(&durable, random),
        };
        File { data, ..File::default() }
    }

    fn durable(&self) -> Vec<u8> {
        let mut data = self.data.clone();
        for change in self.pending.iter().rev() {
            match change {
                Change::Write { offset, old, old_len, .. } => {
                    data.resize(*old_len, 0);
                    put(&mut data, *offset.min(old_len), old);
                }
                Change::Resize { len, cut, old_len } => {
                    data.truncate(*len);
                    data.extend_from_slice(cut);
                    data.truncate(*old_len);
                }
            }
        }
        data
    }

    fn up_to_a_moment(&self, mut data: Vec<u8>, random: &mut Random) -> Vec<u8> {
        let whole = random.below(self.pending.len());
        for change in &self.pending[..whole] {
            match change {
                Change::Write { offset, new, .. } => put(&mut data, *offset, new),
                Change::Resize { len, .. } => data.resize(*len, 0),
            }
        }
        if let Change::Write { offset, new, .. } = &self.pending[whole] {
            let torn_at = random.below(new.len() + 1);
            if torn_at > 0 {
                put(&mut data, *offset, &new[..torn_at]);
            }
        }
        data
    }

    fn some_sectors(&self, durable: &[u8], random: &mut Random) -> Vec<u8> {
        let keeps_length = self.data.len() == durable.len() || random.below(4) > 0;
        let mut survived = vec![0; if keeps_length { self.data.len() } else { durable.len() }];
        for (number, sector) in survived.chunks_mut(SECTOR).enumerate() {
            let (old, new) = (part(durable, number), part(&self.data, number));
            let kept = if old == new || random.below(2) == 0 { old } else { new };
            let len = kept.len().min(sector.len());
            sector[..len].copy_from_slice(&kept[..len]);
        }
        survived
    }

    fn make_one_change(&mut self) {
        let durable = self.durable();
        let (new, old_len) = (self.data.clone(), durable.len());
        self.pending_bytes = new.len();
        self.pending = vec![
            Change::Resize { len: 0, cut: durable, old_len },
            Change::Write { offset: 0, new, old: Vec::new(), old_len: 0 },
        ];
    }
}

fn put(data: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if end > data.len() {
        data.resize(end, 0);
    }
    data[offset..end].copy_from_slice(bytes);
}

fn part(data: &[u8], sector: usize) -> &[u8] {
    let start = (sector * SECTOR).min(data.len());
    &data[start..(start + SECTOR).min(data.len())]
}
