//! From history to the packed rows of the spine's entities, for one view.

use super::rows::{PartitionRows, Place, Rows};
use super::spine::{Spine, SpineKeys};
use super::{SourceUse, TrainingRequest, stop_if_cancelled};
use crate::changes::Changes;
use crate::error::{LakeError, Result};
use crate::expressions::SqlExpressions;
use crate::history::{ARRIVAL, History, ReadRequest, SEQUENCE};
use crate::rows::times;
use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use thalweg_aggregate::{Cell, Reducer, Stamp, ViewPlan, ViewUse};
use thalweg_definition::{CheckedView, DataType, Entity, FeatureView, Source};

/// One view of a build: what to compute, and from what.
pub(super) struct ViewTask<'a> {
    pub(super) view: &'a FeatureView,
    pub(super) outputs: &'a [String],
    /// With only those outputs.
    pub(super) plan: ViewPlan,
    checked: &'a CheckedView,
    entity: &'a Entity,
    sources: Vec<(&'a Source, &'a SourceUse)>,
    memory_bytes: u64,
}

/// What the sweep goes over.
pub(super) struct Gathered {
    pub(super) keys: SpineKeys,
    pub(super) partitions: Vec<PartitionRows>,
}

impl<'a> ViewTask<'a> {
    pub(super) fn new(
        request: &'a TrainingRequest,
        used: &'a ViewUse,
        uses: &'a BTreeMap<String, SourceUse>,
    ) -> Result<Self> {
        let manifest = &request.checked.manifest;
        let view = &manifest.views[used.view];
        let checked = &request.checked.views[used.view];
        let unknown = |kind: &str, name: &str| LakeError::NotFound(format!("there is no {kind} `{name}`"));
        let entity = manifest.entity(&view.entity).ok_or_else(|| unknown("entity", &view.entity))?;
        let sources = view
            .sources
            .iter()
            .map(|name| manifest.source(name).zip(uses.get(name)).ok_or_else(|| unknown("source", name)))
            .collect::<Result<Vec<_>>>()?;
        let whole = ViewPlan::new(view, checked, sources.iter().any(|(source, _)| source.is_change()));
        let outputs = used
            .outputs
            .iter()
            .map(|output| whole.output(output).ok_or_else(|| unknown("feature", output)))
            .collect::<Result<Vec<usize>>>()?;
        let plan = whole.select(&outputs);
        Ok(Self { view, outputs: &used.outputs, plan, checked, entity, sources, memory_bytes: request.memory_bytes })
    }

    /// The first event time that a read at `earliest` or later can depend on; none where that is any.
    fn earliest_row(&self, earliest: i64) -> Option<i64> {
        let reach = self.plan.retention?.max(self.plan.reach);
        Some(earliest.saturating_sub(reach))
    }
}

pub(super) async fn gather(
    history: &History,
    expressions: &SqlExpressions,
    task: &ViewTask<'_>,
    spine: &Spine,
    directory: &Path,
    cancel: &AtomicBool,
) -> Result<Gathered> {
    let keys = spine.keys(task.entity)?;
    let mut rows = Rows::new(keys.partitions, task.memory_bytes, directory);
    if let Some((earliest, latest)) = spine.bounds() {
        for (source, used) in &task.sources {
            let changes = Changes::of(source);
            let request = read_request(task, source, used, changes.as_ref(), earliest, latest, expressions)?;
            let mut taker = Taker { task, keys: &keys, source, reducer: request.1, changes, latest, rows: &mut rows };
            let mut stream = history.read(source, &request.0).await?;
            while let Some(batch) = stream.next().await {
                stop_if_cancelled(cancel)?;
                taker.take(&batch?)?;
            }
            taker.finish();
        }
    }
    Ok(Gathered { keys, partitions: rows.into_partitions() })
}

/// What to read of a source, and the reducer of what is read.
fn read_request(
    task: &ViewTask<'_>,
    source: &Source,
    used: &SourceUse,
    changes: Option<&Changes<'_, Place>>,
    earliest: i64,
    latest: i64,
    expressions: &SqlExpressions,
) -> Result<(ReadRequest, Reducer)> {
    let columns: Vec<(String, DataType)> =
        source.columns.iter().map(|column| (column.name.clone(), column.data_type.clone())).collect();
    let reducer = Reducer::new(expressions, task.view, task.checked, task.entity, &task.plan, &columns)
        .map_err(|reason| LakeError::Invalid(format!("view `{}`: {reason}", task.view.name)))?;
    let mut names: Vec<String> = Vec::new();
    let of_changes = changes.into_iter().flat_map(Changes::columns);
    for name in reducer.columns().chain([source.timestamp.as_str(), ARRIVAL, SEQUENCE]).chain(of_changes) {
        if !names.iter().any(|own| own == name) {
            names.push(name.to_owned());
        }
    }
    // Which change takes a row back is known only by looking at all of them.
    let bounded = changes.is_none();
    let request = ReadRequest {
        columns: names,
        from_time: if bounded { task.earliest_row(earliest) } else { None },
        until_time: bounded.then_some(latest),
        max_sequence: used.max_sequence,
        delta_version: used.report.delta_version,
    };
    Ok((request, reducer))
}

/// Takes the rows of one source, batch by batch.
struct Taker<'a> {
    task: &'a ViewTask<'a>,
    keys: &'a SpineKeys,
    source: &'a Source,
    reducer: Reducer,
    changes: Option<Changes<'a, Place>>,
    /// The latest query time: no read sees rows from it on.
    latest: i64,
    rows: &'a mut Rows,
}

impl Taker<'_> {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let times = times(self.source, batch)?;
        let adds = self.changes.as_ref().map(|changes| changes.adds(batch)).transpose()?;
        let (adding, origins) = match &adds {
            Some(adds) => {
                let origins = (0..batch.num_rows()).filter(|row| adds.value(*row)).collect::<Vec<_>>();
                (filter_record_batch(batch, adds)?, Some(origins))
            }
            None => (batch.clone(), None),
        };
        let reduced = self.reducer.reduce(&adding).map_err(LakeError::Storage)?;
        let mut places: Vec<Option<Place>> = vec![None; if adds.is_some() { batch.num_rows() } else { 0 }];
        let (mut key, mut cells, mut passes): (Vec<u8>, Vec<Cell<'_>>, Vec<bool>) = Default::default();
        // History has rows of one entity side by side: most keys are that of the row before.
        let (mut before, mut number): (Vec<u8>, Option<u32>) = (Vec::new(), self.keys.number(&[]));
        for (index, taken) in reduced.rows.iter().enumerate() {
            let row = origins.as_ref().map_or(*taken as usize, |origins| origins[*taken as usize]);
            if times.events[row] >= self.latest {
                continue;
            }
            reduced.key(index, &mut key);
            if key != before {
                number = self.keys.number(&key);
                std::mem::swap(&mut before, &mut key);
            }
            let Some(number) = number else { continue };
            reduced.cells(index, &mut cells);
            reduced.passes(index, &mut passes);
            let stamp = Stamp { time: times.events[row], sequence: times.sequences[row] };
            let partition = self.keys.partition[number as usize];
            let layout = &self.task.plan.layout;
            let place = self.rows.push(layout, partition, number, stamp, times.arrivals[row], &cells, &passes)?;
            if let Some(own) = places.get_mut(row) {
                *own = Some(place);
            }
        }
        if let Some(changes) = &mut self.changes {
            changes.take(batch, &times, &places)?;
        }
        Ok(())
    }

    fn finish(self) {
        if let Some(changes) = self.changes {
            changes.finish(|place, time, arrival| self.rows.retract(place, time, arrival));
        }
    }
}
