//! An instance as one caller sees it through one door. Every door does its work through a [`Session`], so that what a
//! key allows, what is written to the audit log and what is counted is decided once, for all of them.
//!
//! ```text
//! bytes ─▶ door (protocol) ─▶ Session: authenticate ─▶ authorize ─▶ [work on the Instance] ─▶ counted, audited
//! ```

mod direct;
mod keys;
mod operation;
mod visible;
mod watching;

use crate::access::{Caller, Reach};
use crate::error::ServerError;
use crate::instance::{CheckOptions, CheckReport, Instance, JobStatus, PlanOutcome, Spine, TrainingSetRequest};
use crate::telemetry::{self, Parent};
use serde_json::Value as Json;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use thalweg_engine::{Ack, FeatureRequest, FeatureResponse, PushRequest, Runtime, Wanted};
use thalweg_store::StoredQuarantine;
use visible::{Behind, visible};

pub use operation::{Door, Operation};

/// One caller at one door. Cheap to clone.
#[derive(Clone)]
pub struct Session {
    instance: Arc<Instance>,
    door: Door,
    caller: Caller,
    /// What the request is a part of, where the caller said so.
    parent: Option<Parent>,
}

impl Session {
    /// Lets a caller in, by the API key that was presented.
    pub fn enter(
        instance: &Arc<Instance>,
        door: Door,
        presented: Option<&str>,
        peer: Option<IpAddr>,
    ) -> Result<Self, ServerError> {
        let caller = instance.access().authenticate(door, presented, peer);
        let caller = caller.inspect_err(|error| instance.telemetry().refused(door, error.code()))?;
        Ok(Self { instance: instance.clone(), door, caller, parent: None })
    }

    /// Makes its requests a part of what the caller is doing.
    pub(crate) fn part_of(mut self, parent: Option<Parent>) -> Self {
        self.parent = parent;
        self
    }

    /// The process in which the instance is embedded, which may do everything.
    pub fn embedded(instance: &Arc<Instance>) -> Self {
        Self { instance: instance.clone(), door: Door::Process, caller: Caller::owner(), parent: None }
    }

    pub fn door(&self) -> Door {
        self.door
    }

    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The definitions in force, with which requests are read.
    pub fn runtime(&self) -> Result<Arc<Runtime>, ServerError> {
        Ok(self.instance.engine().runtime()?)
    }

    /// Answers a read of features.
    pub fn read(&self, request: FeatureRequest) -> Result<FeatureResponse, ServerError> {
        let runtime = self.runtime()?;
        let object = match &request.wanted {
            Wanted::Service(service) => service.clone(),
            Wanted::Features(_) => String::new(),
        };
        let reach = reach_of(&runtime, &request.wanted);
        let values = |response: &FeatureResponse| (response.rows * response.results.len()) as u64;
        let response = self.perform(Operation::Read, &object, reach, values, || self.instance.read(request))?;
        self.instance.telemetry().answered(&response);
        Ok(response)
    }

    /// Takes rows; returns when they are durable and visible. Blocks.
    pub fn push(&self, request: PushRequest<'_>) -> Result<Ack, ServerError> {
        self.push_queued(request, || ())
    }

    /// As `push`; `queued` is called as soon as the rows have their places in the log. Blocks.
    pub fn push_queued(&self, request: PushRequest<'_>, queued: impl FnOnce()) -> Result<Ack, ServerError> {
        let runtime = self.runtime()?;
        let source = request.source.to_owned();
        let reach = reach_of_source(&runtime, &source);
        self.perform(
            Operation::Push,
            &source,
            reach,
            |ack: &Ack| ack.read,
            || self.instance.push_queued(request, queued),
        )
    }

    /// The ledger and the columns of every source that the caller may see.
    pub fn sources(&self) -> Result<Vec<Json>, ServerError> {
        let Ok(runtime) = self.runtime() else { return Ok(Vec::new()) };
        self.perform(
            Operation::Describe,
            "",
            Reach::Anywhere,
            |_| 0,
            || {
                let sources = runtime.checked.manifest.sources.iter();
                let visible = sources.filter(|source| self.caller.may_reach(source.about.namespace()));
                visible.map(|source| self.instance.source_status(&source.name)).collect()
            },
        )
    }

    pub fn source_status(&self, source: &str) -> Result<Json, ServerError> {
        let runtime = self.runtime()?;
        let reach = reach_of_source(&runtime, source);
        self.perform(Operation::Describe, source, reach, |_| 0, || self.instance.source_status(source))
    }

    pub fn view_status(&self, view: &str) -> Result<Json, ServerError> {
        let runtime = self.runtime()?;
        let reach = reach_of_view(&runtime, view);
        self.perform(Operation::Describe, view, reach, |_| 0, || self.instance.view_status(view))
    }

    /// Rows of a source that were set aside, oldest first.
    pub fn quarantined(&self, source: &str, limit: u64, offset: u64) -> Result<Vec<StoredQuarantine>, ServerError> {
        let runtime = self.runtime()?;
        let reach = reach_of_source(&runtime, source);
        self.perform(
            Operation::Quarantine,
            source,
            reach,
            |_| 0,
            || Ok(self.instance.engine().quarantined(source, limit, offset)?),
        )
    }

    /// Pushes the rows in quarantine again. Blocks.
    pub fn replay_quarantine(&self, source: &str) -> Result<Ack, ServerError> {
        let runtime = self.runtime()?;
        let reach = reach_of_source(&runtime, source);
        let work = || self.instance.replay_quarantine(source);
        self.perform(Operation::ReplayQuarantine, source, reach, |ack: &Ack| ack.read, work)
    }

    pub fn plan(&self, manifest: &str) -> Result<PlanOutcome, ServerError> {
        self.perform(Operation::Plan, "", Reach::Everything, |_| 0, || self.instance.plan(manifest))
    }

    /// Puts a manifest in force, all of it or nothing. Blocks.
    pub fn apply(&self, manifest: &str, allow_breaking: bool) -> Result<PlanOutcome, ServerError> {
        let work = || self.instance.apply(manifest, allow_breaking);
        self.perform(Operation::Apply, "manifest", Reach::Everything, |_| 0, work)
    }

    /// The manifest of a version (none: the one in force): its version, hash and canonical JSON. Of the JSON, whoever
    /// reaches only some namespaces gets the part that is theirs; the hash is that of the whole.
    pub fn manifest(&self, version: Option<u64>) -> Result<(u64, String, String), ServerError> {
        let work = || -> Result<(u64, String, String), ServerError> {
            let (version, hash, whole) = self.instance.manifest(version)?;
            if self.caller.may_reach_everything() {
                return Ok((version, hash, whole));
            }
            let (checked, _) = self.instance.checked_manifest(Some(version))?;
            let part = visible(&checked, |namespace| self.caller.may_reach(namespace));
            Ok((version, hash, thalweg_wire::compile(&part).json))
        };
        self.perform(Operation::Describe, "manifest", Reach::Anywhere, |_| 0, work)
    }

    pub fn manifests(&self) -> Result<Vec<Json>, ServerError> {
        self.perform(Operation::Describe, "manifest", Reach::Anywhere, |_| 0, || self.instance.manifests())
    }

    /// Starts making a training set; returns the job's id. A spine in SQL may read any source.
    pub fn start_training_set(&self, request: TrainingSetRequest) -> Result<String, ServerError> {
        let runtime = self.runtime()?;
        let service = request.service.clone();
        // An older version may have a service that is gone by now, or is another's.
        let (made_with, _) = self.instance.training_definitions(&request)?;
        let reach = match &request.spine {
            Spine::Batches(_) => {
                let services = [&*runtime.checked, &*made_with].map(|checked| checked.manifest.service(&service));
                Reach::Namespaces(services.into_iter().flatten().map(|service| service.about.namespace()).collect())
            }
            Spine::Sql(_) | Spine::Parquet(_) => Reach::Everything,
        };
        let work = || self.instance.start_training_set(request);
        self.perform(Operation::TrainingSet, &service, reach, |_| 0, work)
    }

    /// The training sets that the caller may see.
    pub fn training_sets(&self) -> Result<Vec<Json>, ServerError> {
        self.perform(
            Operation::TrainingSet,
            "",
            Reach::Anywhere,
            |_| 0,
            || {
                let all = self.instance.training_sets()?;
                Ok(all.into_iter().filter(|set| self.may_see_service(set["service"].as_str())).collect())
            },
        )
    }

    pub fn training_job(&self, id: &str) -> Result<JobStatus, ServerError> {
        let service = self.instance.training_service(id)?;
        let runtime = self.runtime()?;
        let reach = reach_of_made(&runtime, &service);
        self.perform(Operation::TrainingSet, id, reach, |_| 0, || self.instance.training_job(id))
    }

    pub fn cancel_training(&self, id: &str) -> Result<(), ServerError> {
        let service = self.instance.training_service(id)?;
        let runtime = self.runtime()?;
        let reach = reach_of_made(&runtime, &service);
        self.perform(Operation::CancelTrainingSet, id, reach, |_| 0, || self.instance.cancel_training(id))
    }

    /// The file of a training set's rows.
    pub fn training_data(&self, id: &str) -> Result<PathBuf, ServerError> {
        let service = self.instance.training_service(id)?;
        let runtime = self.runtime()?;
        let reach = reach_of_made(&runtime, &service);
        self.perform(Operation::TrainingSet, id, reach, |_| 0, || self.instance.training_data(id))
    }

    pub fn check(&self, options: &CheckOptions) -> Result<CheckReport, ServerError> {
        let object = options.service.clone().unwrap_or_default();
        let work = || self.instance.check(options);
        let report = self.perform(Operation::Check, &object, Reach::Everything, |_| 0, work)?;
        self.instance.telemetry().checked(report.compared, report.mismatches);
        Ok(report)
    }

    /// Brings everything acknowledged into history, and writes a checkpoint. Blocks.
    pub fn flush(&self) -> Result<(), ServerError> {
        self.perform(Operation::Flush, "", Reach::Everything, |_| 0, || self.instance.flush())
    }

    pub fn status(&self) -> Result<Json, ServerError> {
        self.perform(Operation::Status, "", Reach::Everything, |_| 0, || Ok(self.instance.status()))
    }

    fn may_see_service(&self, service: Option<&str>) -> bool {
        let Ok(runtime) = self.runtime() else { return false };
        match service.and_then(|name| runtime.checked.manifest.service(name)) {
            Some(service) => self.caller.may_reach(service.about.namespace()),
            None => self.caller.may_reach_everything(),
        }
    }

    /// Does one thing: where the caller may, with its outcome counted and, where it is a change, audited. `size` says
    /// how many rows or values it was.
    pub(crate) fn perform<T>(
        &self,
        operation: Operation,
        object: &str,
        reach: Reach<'_>,
        size: impl FnOnce(&T) -> u64,
        work: impl FnOnce() -> Result<T, ServerError>,
    ) -> Result<T, ServerError> {
        let access = self.instance.access();
        let telemetry = self.instance.telemetry();
        let allowed = access.authorize(self.door, &self.caller, operation, object, &reach);
        allowed.inspect_err(|error| telemetry.refused(self.door, error.code()))?;
        let span = telemetry::span(self.door, operation, object, self.parent.as_ref());
        let began = Instant::now();
        let outcome = span.in_scope(work);
        let error = outcome.as_ref().err().map(ServerError::code);
        let size = outcome.as_ref().map_or(0, size);
        telemetry.observed(self.door, operation, object, began.elapsed(), error, size);
        telemetry::ended(&span, error);
        if operation.is_change() {
            access.changed(self.door, &self.caller, operation, object, error);
        }
        outcome
    }
}

/// What a caller must reach to read this. What is not there is refused later, by its name.
fn reach_of<'a>(runtime: &'a Runtime, wanted: &Wanted) -> Reach<'a> {
    match wanted {
        Wanted::Service(name) => reach_of_service(runtime, name),
        Wanted::Features(features) => {
            let features = features.iter().map(String::as_str).collect();
            Reach::Namespaces(Behind::of(&runtime.checked, features).namespaces())
        }
    }
}

/// A service is how its owner lets others read what is in it.
fn reach_of_service<'a>(runtime: &'a Runtime, service: &str) -> Reach<'a> {
    match runtime.checked.manifest.service(service) {
        Some(service) => Reach::Namespace(service.about.namespace()),
        None => Reach::Anywhere,
    }
}

/// For what was made of a service: where that is gone, nobody but who reaches everything knows whose it was.
fn reach_of_made<'a>(runtime: &'a Runtime, service: &str) -> Reach<'a> {
    match reach_of_service(runtime, service) {
        Reach::Anywhere => Reach::Everything,
        reach => reach,
    }
}

fn reach_of_source<'a>(runtime: &'a Runtime, source: &str) -> Reach<'a> {
    match runtime.checked.manifest.source(source) {
        Some(source) => Reach::Namespace(source.about.namespace()),
        None => Reach::Anywhere,
    }
}

fn reach_of_view<'a>(runtime: &'a Runtime, view: &str) -> Reach<'a> {
    match runtime.checked.manifest.view(view) {
        Some(view) => Reach::Namespace(view.about.namespace()),
        None => Reach::Anywhere,
    }
}
