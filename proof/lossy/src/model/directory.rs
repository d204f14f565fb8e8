//! One directory: its names, those that its last sync made durable, and what was done to names in between.

use crate::random::Random;
use std::collections::BTreeMap;

/// Names to inode numbers.
pub(super) type Names = BTreeMap<Vec<u8>, u64>;

#[derive(Default)]
pub(super) struct Directory {
    pub(super) names: Names,
    durable: Names,
    pending: Vec<NameChange>,
}

pub(super) enum NameChange {
    Link(Vec<u8>, u64),
    Unlink(Vec<u8>),
    /// Within the directory, and at once.
    Rename(Vec<u8>, Vec<u8>),
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Link(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
        }
    }
}

impl Directory {
    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// What a loss of power could bring back here.
    pub(super) fn remembered(&self) -> impl Iterator<Item = u64> {
        let linked = self.pending.iter().filter_map(|change| match change {
            NameChange::Link(_, node) => Some(*node),
            _ => None,
        });
        self.durable.values().copied().chain(linked)
    }

    /// What a loss of power leaves: of what was done since the sync, the first so many. Also how many are lost.
    pub(super) fn after_crash(&self, random: &mut Random) -> (Directory, u64) {
        let kept = random.below(self.pending.len() + 1);
        let mut durable = self.durable.clone();
        for change in &self.pending[..kept] {
            change.apply(&mut durable);
        }
        let survivor = Directory { names: durable.clone(), durable, pending: Vec::new() };
        (survivor, (self.pending.len() - kept) as u64)
    }
}
