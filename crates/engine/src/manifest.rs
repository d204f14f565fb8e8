//! Putting a manifest in force: views that stay keep their state, new ones are filled from history while the live
//! path goes on.

use crate::engine::Engine;
use crate::error::EngineError;
use crate::runtime::{Runtime, StateOf, ViewRuntime};
use crate::view::ViewState;
use std::collections::HashMap;
use std::sync::Arc;
use thalweg_definition::CheckedManifest;
use thalweg_store::{ManifestRecord, ViewChange};

/// A manifest to be put in force.
pub struct NewManifest {
    pub checked: CheckedManifest,
    pub hash: String,
    pub json: String,
    pub protobuf: Vec<u8>,
    pub note: String,
    /// State keys of its views, by name.
    pub state_keys: HashMap<String, String>,
}

/// What applying a manifest led to.
#[derive(Debug, Clone)]
pub struct AppliedManifest {
    pub version: u64,
    /// Views that have to be filled from history, up to `history_until`.
    pub to_build: Vec<String>,
    /// The first log sequence that the new views take from the log; history gives them what came before.
    pub history_until: u64,
}

impl Engine {
    /// Puts a manifest in force, all of it or nothing.
    pub fn apply_manifest(&self, new: NewManifest) -> Result<AppliedManifest, EngineError> {
        // No push is applied while the views change hands.
        let committer = self.committer.lock();
        let position = self.applied_until();
        let old = self.runtime.read().clone();
        let mut kept: HashMap<String, StateOf> = HashMap::new();
        let mut changes = Vec::new();
        let mut created = Vec::new();
        for view in &new.checked.manifest.views {
            let state_key = &new.state_keys[&view.name];
            let before = old.as_ref().and_then(|runtime| runtime.views.get(&view.name));
            match before.filter(|before| before.state_key == *state_key) {
                Some(before) => {
                    kept.insert(view.name.clone(), (state_key.clone(), before.state.clone()));
                }
                None => {
                    created.push((view.name.clone(), state_key.clone()));
                    changes.push(ViewChange::Create {
                        name: view.name.clone(),
                        state_key: state_key.clone(),
                        from_sequence: position,
                    });
                }
            }
        }
        let dropped = old.iter().flat_map(|runtime| runtime.views.values());
        let dropped = dropped.filter(|view| !kept.contains_key(&view.definition.name));
        changes.extend(dropped.map(|view| ViewChange::Drop { space: view.state.space }));
        // Compile everything before anything is written: a manifest that does not run is not applied.
        let mut trial = kept.clone();
        for (name, state_key) in &created {
            trial.insert(name.clone(), (state_key.clone(), Arc::new(ViewState::new(0, false, 1))));
        }
        let checked = Arc::new(new.checked);
        let runtime = |version, states: &HashMap<String, StateOf>| {
            Runtime::new(version, new.hash.clone(), checked.clone(), states, &*self.expressions, &self.middlewares)
        };
        runtime(0, &trial)?;
        let record = ManifestRecord {
            hash: new.hash.clone(),
            json: new.json,
            protobuf: new.protobuf,
            note: new.note,
            applied_at_us: self.wall(),
        };
        let applied = self.metadata.apply(&record, &changes)?;
        for ((name, state_key), space) in created.iter().zip(&applied.spaces) {
            kept.insert(
                name.clone(),
                (state_key.clone(), Arc::new(ViewState::new(*space, false, self.settings.state_shards))),
            );
        }
        let runtime = Arc::new(runtime(applied.version, &kept)?);
        *self.runtime.write() = Some(runtime.clone());
        self.sequencer.lock().sweep(&runtime);
        drop(committer);
        let to_build = created.into_iter().map(|(name, _)| name).collect();
        Ok(AppliedManifest { version: applied.version, to_build, history_until: position })
    }

    /// Takes note that a view is filled without the rows up to a time.
    pub(crate) fn lacks(&self, view: &ViewRuntime, time: i64) -> Result<(), EngineError> {
        view.state.lack(&self.store, &view.plan, time)
    }

    /// Begins the filling of a view anew, after it failed: what it holds is forgotten. Returns the sequence before which
    /// rows have to come from history; those from it on are applied as they come.
    pub fn fill_again(&self, view: &ViewRuntime) -> Result<u64, EngineError> {
        // Nothing is applied while the committer is held.
        let _committer = self.committer.lock();
        view.state.clear(&self.store)?;
        Ok(self.applied_until())
    }

    /// Declares views filled: their state is made durable, and then they answer reads.
    pub fn finish_builds(&self, views: &[Arc<ViewRuntime>]) -> Result<(), EngineError> {
        let spaces: Vec<u32> = views.iter().map(|view| view.state.space).collect();
        self.checkpoint_with(&spaces, &mut || ())?;
        for view in views {
            self.metadata.view_ready(view.state.space)?;
            view.state.set_ready();
        }
        Ok(())
    }
}
