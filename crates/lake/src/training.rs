//! Training sets: for every row of a spine, the features as they were at the row's own time.
//!
//! ```text
//! spine ──keys──┐
//! history ──Reducer──▶ rows of the spine's entities, in partitions (memory, then disk)
//!               └──▶ per partition, per entity: one slide over its rows for all its query times; where that cannot
//!                    be, EntityState, read at each of them ──▶ answers
//! answers of all views, back in the spine's order ──on-demand──▶ columns ──▶ training set and report
//! ```
//! An entity is built and read with the code of the live path, or slid over with the same arithmetic, so that both
//! give the same values. A view that is
//! done is kept in the work directory under the set's id, so that a build that was stopped goes on from there.

mod collect;
mod gather;
mod kept;
mod output;
mod report;
mod rows;
mod spine;
mod sweep;

pub use output::write_parquet;
pub use report::{FeatureReport, Report, SourceReport};

use crate::error::{LakeError, Result};
use crate::expressions::SqlExpressions;
use crate::history::History;
use arrow::array::{ArrayRef, RecordBatch, UInt8Array};
use arrow::datatypes::SchemaRef;
use gather::{ViewTask, gather};
use kept::Kept;
use sha2::{Digest, Sha256};
use spine::Spine;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use thalweg_aggregate::FeaturePlan;
use thalweg_definition::{AsOf, CheckedManifest};

/// Told how much is done, of how much: rows of the spine times views.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Send + Sync);

/// Which entities, at which times.
#[derive(Debug, Clone)]
pub enum SpineInput {
    Batches(Vec<RecordBatch>),
    Parquet(PathBuf),
}

/// What is to be built, from what, and within which bounds.
#[derive(Debug, Clone)]
pub struct TrainingRequest {
    pub checked: Arc<CheckedManifest>,
    pub manifest_hash: String,
    /// `view.output`, or on-demand features by their bare names; in the order of the result's columns.
    pub features: Vec<String>,
    /// The name that the report gives.
    pub service: String,
    pub spine: SpineInput,
    /// The spine's column of query times.
    pub timestamp: String,
    pub as_of: AsOf,
    /// A column of the spine with each row's arrival cut in microseconds: it sees what had arrived before.
    pub cut: Option<String>,
    /// Whether each feature gets a column with its status.
    pub statuses: bool,
    /// Per source, the log sequence before which rows count; where missing, all that history holds.
    pub max_sequence: BTreeMap<String, u64>,
    /// Bytes of packed rows held in memory; more go to disk.
    pub memory_bytes: u64,
    pub work_dir: PathBuf,
    /// A view that takes longer than this is kept in the work directory until the set is complete, so that a build
    /// that was stopped goes on behind it.
    pub keep_slower_than: Duration,
}

/// A training set: the spine's rows in their order, with the features behind the spine's columns.
#[derive(Debug, Clone)]
pub struct TrainingSet {
    pub id: String,
    pub schema: SchemaRef,
    pub batches: Vec<RecordBatch>,
    pub report: Report,
}

/// What a view answered, in the order of the spine: per output, its values and statuses.
#[derive(Debug, Clone)]
struct ViewAnswers {
    values: Vec<ArrayRef>,
    statuses: Vec<UInt8Array>,
    /// The values by the other of the two kinds of point in time, where any differs.
    other: Option<OtherAnswers>,
}

#[derive(Debug, Clone)]
struct OtherAnswers {
    values: Vec<ArrayRef>,
    /// The rows of the spine in which some output differs, ascending.
    rows: Vec<u32>,
}

/// A source as this build sees it.
#[derive(Debug, Clone)]
struct SourceUse {
    /// Before which log sequence rows count.
    max_sequence: Option<u64>,
    report: SourceReport,
}

/// Builds a training set. Sorting and reading happen on threads of its own and keep the calling one busy: call it
/// from a thread that may wait.
pub async fn build(
    history: &History,
    expressions: &SqlExpressions,
    request: &TrainingRequest,
    progress: Progress<'_>,
    cancel: &AtomicBool,
) -> Result<TrainingSet> {
    let started = Instant::now();
    let plan = FeaturePlan::new(&request.checked, &request.features, expressions).map_err(LakeError::Invalid)?;
    let spine = Spine::load(request)?;
    let columns = output::Columns::check(request, &plan, &spine)?;
    let sources = sources(history, request, &plan).await?;
    let id = id(request, &spine, &sources);
    let kept = Kept::open(&request.work_dir, &id)?;

    let rows = spine.rows() as u64;
    let total = rows * plan.views.len() as u64;
    let mut answers = Vec::with_capacity(plan.views.len());
    for (done, view) in plan.views.iter().enumerate() {
        stop_if_cancelled(cancel)?;
        let done = done as u64 * rows;
        let task = ViewTask::new(request, view, &sources)?;
        let view_answers = match kept.load(&task)? {
            Some(answers) => answers,
            None => {
                let began = Instant::now();
                let gathered = gather(history, expressions, &task, &spine, kept.directory(), cancel).await?;
                let advance = |rows: u64| progress(done + rows, total);
                let answers = sweep::sweep(&task, &spine, gathered, &advance, cancel)?;
                if began.elapsed() >= request.keep_slower_than {
                    kept.store(&task, &answers)?;
                }
                answers
            }
        };
        progress(done + rows, total);
        answers.push(view_answers);
    }

    let computed = output::compute(&plan, &columns, answers, spine.rows())?;
    let schema = columns.schema(&spine);
    let batches = columns.batches(&spine, &schema, &computed)?;
    let report = report::report(request, &id, &spine, &plan, &computed, sources, started.elapsed().as_secs_f64())?;
    kept.remove();
    Ok(TrainingSet { id, schema, batches, report })
}

fn stop_if_cancelled(cancel: &AtomicBool) -> Result<()> {
    if cancel.load(Ordering::Relaxed) { Err(LakeError::Cancelled) } else { Ok(()) }
}

/// Every source of the views, held to one version and one log position for the whole build.
async fn sources(
    history: &History,
    request: &TrainingRequest,
    plan: &FeaturePlan,
) -> Result<BTreeMap<String, SourceUse>> {
    let manifest = &request.checked.manifest;
    let mut sources = BTreeMap::new();
    for name in plan.views.iter().flat_map(|used| &manifest.views[used.view].sources) {
        if sources.contains_key(name) {
            continue;
        }
        let max_sequence = match request.max_sequence.get(name) {
            Some(sequence) => Some(*sequence),
            None => history.position(name).await?,
        };
        let delta_version = history.version(name).await?;
        let report = SourceReport { sequence: max_sequence.unwrap_or(0), delta_version };
        sources.insert(name.clone(), SourceUse { max_sequence, report });
    }
    Ok(sources)
}

/// The same for the same inputs, whenever and wherever the set is built.
fn id(request: &TrainingRequest, spine: &Spine, sources: &BTreeMap<String, SourceUse>) -> String {
    let mut features = request.features.clone();
    features.sort();
    let mut lines = vec![
        format!("manifest {}", request.manifest_hash),
        format!("as_of {}", request.as_of.name()),
        format!("spine {}", spine.hash),
        format!("timestamp {}", request.timestamp),
    ];
    lines.extend(request.cut.iter().map(|cut| format!("cut {cut}")));
    lines.extend(features.iter().map(|feature| format!("feature {feature}")));
    lines.extend(sources.iter().map(|(name, used)| format!("source {name} {}", used.report.sequence)));
    hex(&Sha256::digest(lines.join("\n").as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
