//! Plan and apply: from a manifest's JSON to a manifest in force, with new views filled from history.

use super::Instance;
use crate::error::ServerError;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thalweg_definition::{Change, CheckedManifest, plan, validate, view_state_key};
use thalweg_engine::{InForce, NewManifest, ViewRuntime};
use thalweg_lake::SqlExpressions;
use thalweg_store::{Metadata, StoredManifest};
use thalweg_wire::{Compiled, compile, parse_request};

/// What a plan or an apply says.
#[derive(Debug, Clone, Serialize)]
pub struct PlanOutcome {
    /// The differences and their consequences, to be read by a person.
    pub text: String,
    pub changes: Vec<Change>,
    pub breaking: bool,
    /// The content hash of the manifest.
    pub hash: String,
    /// The version in force; none before the first apply.
    pub version: Option<u64>,
    /// Views that are still being filled from history.
    pub building: Vec<String>,
}

/// How long an apply waits for new views to be filled before it leaves them to the background.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long filling a view waits after a failure.
const FILL_AGAIN_AFTER: Duration = Duration::from_secs(5);

impl Instance {
    /// What applying this manifest would change.
    pub fn plan(&self, raw_json: &str) -> Result<PlanOutcome, ServerError> {
        let (checked, compiled) = self.check_manifest(raw_json)?;
        Ok(self.outcome(&checked, &compiled))
    }

    /// Puts a manifest in force, all of it or nothing.
    pub fn apply(self: &Arc<Self>, raw_json: &str, allow_breaking: bool) -> Result<PlanOutcome, ServerError> {
        let _one = self.applying.lock();
        let (checked, compiled) = self.check_manifest(raw_json)?;
        let mut outcome = self.outcome(&checked, &compiled);
        if let Ok(runtime) = self.engine.runtime()
            && runtime.hash == compiled.hash
        {
            return Ok(outcome);
        }
        if outcome.breaking && !allow_breaking {
            return Err(ServerError::Breaking(outcome.text));
        }
        // What was accepted under the old manifest goes to history under the old manifest.
        self.write_history()?;
        let state_keys = state_keys(&checked, &self.expressions);
        let Compiled { json, protobuf, hash, .. } = compiled;
        let note = String::new();
        let applied = self.engine.apply_manifest(NewManifest { checked, hash, json, protobuf, note, state_keys })?;
        outcome.version = Some(applied.version);
        tracing::info!(version = applied.version, hash = outcome.hash, "applied");
        self.build_views(applied.to_build.clone(), applied.history_until)?;
        let began = Instant::now();
        loop {
            outcome.building = self.building(&applied.to_build)?;
            if outcome.building.is_empty() || began.elapsed() > PATIENCE || self.is_stopping() {
                return Ok(outcome);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The manifest of a version (none: the one in force): its version, hash and canonical JSON.
    pub fn manifest(&self, version: Option<u64>) -> Result<(u64, String, String), ServerError> {
        let stored = self.stored_manifest(version)?;
        Ok((stored.version, stored.hash, stored.json))
    }

    /// Every version that was ever applied, oldest first.
    pub fn manifests(&self) -> Result<Vec<serde_json::Value>, ServerError> {
        let all = self.engine.metadata().manifests()?;
        let one = |manifest: thalweg_store::ManifestSummary| {
            serde_json::json!({
                "version": manifest.version,
                "hash": manifest.hash,
                "applied_at": thalweg_engine::literal::timestamp_text(manifest.applied_at_us),
            })
        };
        Ok(all.into_iter().map(one).collect())
    }

    /// A version's definitions, checked again.
    pub(crate) fn checked_manifest(&self, version: Option<u64>) -> Result<(Arc<CheckedManifest>, String), ServerError> {
        let runtime = self.engine.runtime()?;
        if version.is_none_or(|version| version == runtime.version) {
            return Ok((runtime.checked.clone(), runtime.hash.clone()));
        }
        let stored = self.stored_manifest(version)?;
        Ok((Arc::new(check_stored(&stored, &self.expressions)?), stored.hash))
    }

    /// The version with a content hash.
    pub(super) fn version_of(&self, hash: &str) -> Result<Option<u64>, ServerError> {
        Ok(self.engine.metadata().manifest_by_hash(hash)?.map(|manifest| manifest.version))
    }

    fn stored_manifest(&self, version: Option<u64>) -> Result<StoredManifest, ServerError> {
        let metadata = self.engine.metadata();
        match version {
            None => metadata.current_manifest()?.ok_or_else(|| {
                ServerError::NotFound("nothing is defined yet: run `thalweg apply` in your project".to_owned())
            }),
            Some(version) => metadata.manifest(version)?.ok_or_else(|| {
                ServerError::NotFound(format!(
                    "there is no manifest version {version}: list them with `thalweg versions`"
                ))
            }),
        }
    }

    fn check_manifest(&self, raw_json: &str) -> Result<(CheckedManifest, Compiled), ServerError> {
        let (manifest, origins) = parse_request(raw_json)?;
        let compiled = compile(&manifest);
        let checked = validate(compiled.manifest.clone(), &origins, &*self.expressions)?;
        Ok((checked, compiled))
    }

    fn outcome(&self, checked: &CheckedManifest, compiled: &Compiled) -> PlanOutcome {
        let old = self.engine.runtime().ok();
        let plan = plan(old.as_ref().map(|runtime| &*runtime.checked), checked, &*self.expressions);
        PlanOutcome {
            text: plan.text(),
            breaking: plan.is_breaking(),
            changes: plan.changes,
            hash: compiled.hash.clone(),
            version: old.map(|runtime| runtime.version),
            building: Vec::new(),
        }
    }

    fn building(&self, views: &[String]) -> Result<Vec<String>, ServerError> {
        let runtime = self.engine.runtime()?;
        let building = |name: &&String| runtime.views.get(*name).is_some_and(|view| !view.state.is_ready());
        Ok(views.iter().filter(building).cloned().collect())
    }

    /// Fills views with what history holds before `until`. Views over sources without history are ready at once.
    pub(super) fn build_views(self: &Arc<Self>, names: Vec<String>, until: u64) -> Result<(), ServerError> {
        if names.is_empty() {
            return Ok(());
        }
        let runtime = self.engine.runtime()?;
        let views: Vec<Arc<ViewRuntime>> = names.iter().filter_map(|name| runtime.views.get(name).cloned()).collect();
        if until <= 1 {
            return Ok(self.engine.finish_builds(&views)?);
        }
        let instance = self.clone();
        self.spawn("thalweg-build", move || {
            for view in views {
                instance.build_view(&view, until);
            }
        });
        Ok(())
    }

    /// Fills one view, anew after each failure, until it is filled, taken out of the definitions or nobody wants it.
    fn build_view(&self, view: &Arc<ViewRuntime>, until: u64) {
        let name = &view.definition.name;
        let wanted = || {
            let runtime = self.engine.runtime().ok();
            let now = runtime.and_then(|runtime| runtime.views.get(name).cloned());
            !self.is_stopping() && now.is_some_and(|now| Arc::ptr_eq(&now.state, &view.state))
        };
        let mut filled = self.fill_view(view, until);
        while let Err(error) = filled {
            if !wanted() {
                tracing::info!(view = name, "is not filled any further: {error}");
                return;
            }
            tracing::error!(view = name, "cannot be filled from history: {error}; it will be tried again");
            let began = Instant::now();
            while wanted() && began.elapsed() < FILL_AGAIN_AFTER {
                std::thread::sleep(Duration::from_millis(50));
            }
            // What the failed attempt left is gone before the next one, or there is no next one.
            filled =
                self.engine.fill_again(view).map_err(ServerError::from).and_then(|until| self.fill_view(view, until));
        }
        tracing::info!(view = name, "filled from history");
    }
}

/// The manifest that was in force when the process last ran.
pub(super) fn in_force(metadata: &Metadata, expressions: &SqlExpressions) -> Result<Option<InForce>, ServerError> {
    let Some(stored) = metadata.current_manifest()? else { return Ok(None) };
    let checked = check_stored(&stored, expressions)?;
    let state_keys = state_keys(&checked, expressions);
    Ok(Some(InForce { version: stored.version, hash: stored.hash, checked, state_keys }))
}

fn check_stored(stored: &StoredManifest, expressions: &SqlExpressions) -> Result<CheckedManifest, ServerError> {
    let (manifest, _) = parse_request(&stored.json)?;
    Ok(validate(manifest, &BTreeMap::new(), expressions)?)
}

fn state_keys(checked: &CheckedManifest, expressions: &SqlExpressions) -> HashMap<String, String> {
    let manifest = &checked.manifest;
    let key = |view: &thalweg_definition::FeatureView| (view.name.clone(), view_state_key(manifest, view, expressions));
    manifest.views.iter().map(key).collect()
}
