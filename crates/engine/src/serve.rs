//! Reading features: one request type and one response type; every protocol is an adapter over them.

use crate::engine::Engine;
use crate::error::EngineError;
use crate::limits::{MAX_READ_ENTITIES, TIMES};
use crate::pipeline::Pipeline;
use crate::runtime::{Runtime, ServiceRuntime, ServiceView};
use crate::timeline::ReadLease;
use crate::trace;
use arrow::array::{Array, ArrayRef, BooleanArray};
use std::fmt;
use std::sync::Arc;
use thalweg_aggregate::{Answer, ColumnReader, EntityState, Evaluated, KeyEncoder, Status, Value, array_from_values};
use thalweg_definition::DataType;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    Service(String),
    Features(Vec<String>),
}

/// A read of features for one or many entities.
#[derive(Debug, Clone)]
pub struct FeatureRequest {
    pub wanted: Wanted,
    /// Key columns by name, all of one length.
    pub entities: Vec<(String, ArrayRef)>,
    /// Values that on-demand features need, by name, of the same length.
    pub request: Vec<(String, ArrayRef)>,
    /// The query time in microseconds; none: the engine's clock.
    pub as_of: Option<i64>,
}

/// One feature of the answer, for every entity.
#[derive(Debug, Clone)]
pub struct FeatureResult {
    pub name: String,
    pub data_type: DataType,
    pub values: ArrayRef,
    pub event_times: Vec<Option<i64>>,
    pub statuses: Vec<Status>,
    /// Reasons, by row, where a status is `Error`.
    pub errors: Vec<(usize, String)>,
}

/// The answer: features in the order asked for, each with one value per entity in the order asked for.
#[derive(Debug, Clone)]
pub struct FeatureResponse {
    pub as_of: i64,
    /// Only rows that had arrived before this were seen: the query time, or what was known where that is in the future.
    pub cut: i64,
    pub manifest_hash: String,
    pub service: Option<String>,
    pub log_sample: f64,
    pub rows: usize,
    pub results: Vec<FeatureResult>,
    pub entities: Vec<(String, ArrayRef)>,
    pub request: Vec<(String, ArrayRef)>,
    /// What is still to be done by [`Engine::finish_read`]; none where no middleware takes part.
    pub finishing: Option<Finishing>,
}

/// The middlewares that shape an answer, and the definitions it was given under.
#[derive(Clone)]
pub struct Finishing {
    runtime: Arc<Runtime>,
    pipeline: Pipeline,
}

impl fmt::Debug for Finishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.pipeline, f)
    }
}

/// A working column while it is being filled.
struct Working {
    values: Vec<Value>,
    event_times: Vec<Option<i64>>,
    statuses: Vec<Status>,
    errors: Vec<(usize, String)>,
}

impl Engine {
    /// Answers a read. It waits for no write but one of the same entity, and sees every acknowledged row. Middlewares
    /// see the request first: what one of them pushes is seen too. Whoever hands the answer out calls
    /// [`Engine::finish_read`] on it, after it was recorded.
    pub fn read_features(&self, mut request: FeatureRequest) -> Result<FeatureResponse, EngineError> {
        if let Some(as_of) = request.as_of.filter(|as_of| !TIMES.contains(as_of)) {
            return Err(EngineError::Invalid(format!(
                "`as_of` is {as_of} microseconds: send a time in the years 1 to 9999, or leave it out"
            )));
        }
        let runtime = self.runtime()?;
        let mut service = self.asked(&runtime, &request.wanted)?;
        let pipeline = service.pipeline.clone();
        if !pipeline.is_empty() {
            let wanted = request.wanted.clone();
            pipeline.before_get(&runtime, &mut request)?;
            if request.wanted != wanted {
                service = self.asked(&runtime, &request.wanted)?;
            }
        }
        let rows = rows_of(&request)?;
        let serving = trace::serve(&request.wanted, rows);
        let mut response = serving.in_scope(|| self.answer(&runtime, &service, request, rows))?;
        response.finishing = (!pipeline.is_empty()).then_some(Finishing { runtime, pipeline });
        Ok(response)
    }

    /// Lets the middlewares that took part in the read shape its answer on its way out. Calling it again does nothing.
    pub fn finish_read(&self, response: &mut FeatureResponse) -> Result<(), EngineError> {
        match response.finishing.take() {
            Some(Finishing { runtime, pipeline }) => pipeline.after_get(&runtime, response),
            None => Ok(()),
        }
    }

    /// A live read that sees everything acknowledged. Where writes in flight stand in its way it brings them to their
    /// end, in the committer's place if need be.
    fn begin_read(&self) -> ReadLease<'_> {
        loop {
            // After a failed write nothing comes to its end any more.
            if let Some(lease) = self.timeline.begin_read(self.has_failed()) {
                return lease;
            }
            self.commit_pending();
        }
    }

    fn asked(&self, runtime: &Runtime, wanted: &Wanted) -> Result<Arc<ServiceRuntime>, EngineError> {
        match wanted {
            Wanted::Service(name) => runtime.services.get(name).cloned().ok_or_else(|| {
                let mut names: Vec<&str> = runtime.services.keys().map(String::as_str).collect();
                names.sort_unstable();
                EngineError::NotFound(format!("there is no service `{name}`; there are: {}", names.join(", ")))
            }),
            Wanted::Features(features) => {
                runtime.features(features, 0.0, &*self.expressions).map(Arc::new).map_err(EngineError::NotFound)
            }
        }
    }

    fn answer(
        &self,
        runtime: &Runtime,
        service: &ServiceRuntime,
        request: FeatureRequest,
        rows: usize,
    ) -> Result<FeatureResponse, EngineError> {
        let lease = self.begin_read();
        let now = lease.q;
        let q = request.as_of.unwrap_or(now);
        // A read of the future knows what is known now.
        let cut = q.min(now);
        let keys = columns(&service.plan.keys, &request.entities, "entities")?;
        let asked = columns(&service.plan.request, &request.request, "request")?;
        let asked = cast_request(service, asked)?;
        let mut working = Vec::new();
        for view in &service.views {
            self.read_view(view, &keys, rows, q, cut, &mut working)?;
        }
        let results = finish(service, working, &asked, rows)?;
        Ok(FeatureResponse {
            as_of: q,
            cut,
            manifest_hash: runtime.hash.clone(),
            service: match request.wanted {
                Wanted::Service(name) => Some(name),
                Wanted::Features(_) => None,
            },
            log_sample: service.log_sample,
            rows,
            results,
            entities: request.entities,
            request: request.request,
            finishing: None,
        })
    }

    fn read_view(
        &self,
        view: &ServiceView,
        keys: &[ArrayRef],
        rows: usize,
        q: i64,
        cut: i64,
        working: &mut Vec<Working>,
    ) -> Result<(), EngineError> {
        let keys: Vec<ArrayRef> = view.keys.iter().map(|index| keys[*index].clone()).collect();
        let encoder = KeyEncoder::new(&view.view.entity, &keys).map_err(EngineError::Invalid)?;
        let first = working.len();
        working.extend(view.plan.outputs.iter().map(|_| Working::with_capacity(rows)));
        let building = (!view.view.state.is_ready()).then(|| {
            format!(
                "view `{}` is being filled from history ({} rows so far): ask again later",
                view.view.definition.name,
                view.view.state.backfilled.load(std::sync::atomic::Ordering::Relaxed)
            )
        });
        let mut key = Vec::new();
        for row in 0..rows {
            let known = encoder.key(row, &mut key);
            let answers = match (&building, known) {
                (Some(why), _) => Err(why.clone()),
                (None, false) => Ok(EntityState::never_seen(&view.plan)),
                (None, true) => {
                    view.view.state.read(&self.store, &view.plan, &key, q, cut).map_err(|error| error.to_string())
                }
            };
            let columns = &mut working[first..];
            match answers {
                Ok(answers) => {
                    columns.iter_mut().zip(answers).for_each(|(column, answer)| column.push(row, answer));
                }
                Err(why) => columns.iter_mut().for_each(|column| column.push_error(row, why.clone())),
            }
        }
        Ok(())
    }
}

impl Working {
    fn with_capacity(rows: usize) -> Self {
        Self {
            values: Vec::with_capacity(rows),
            event_times: Vec::with_capacity(rows),
            statuses: Vec::with_capacity(rows),
            errors: Vec::new(),
        }
    }

    fn push(&mut self, row: usize, answer: Answer) {
        if let Some(error) = answer.error {
            self.errors.push((row, error.to_string()));
        }
        self.values.push(answer.value);
        self.event_times.push(answer.event_time);
        self.statuses.push(answer.status);
    }

    fn push_error(&mut self, row: usize, why: String) {
        self.errors.push((row, why));
        self.values.push(Value::Null);
        self.event_times.push(None);
        self.statuses.push(Status::Error);
    }
}

/// Computes on-demand features and puts everything in the order asked for.
fn finish(
    service: &ServiceRuntime,
    working: Vec<Working>,
    request: &[ArrayRef],
    rows: usize,
) -> Result<Vec<FeatureResult>, EngineError> {
    let plan = &service.plan;
    let arrays: Vec<ArrayRef> = working
        .iter()
        .enumerate()
        .map(|(index, column)| array_from_values(column.values.iter(), plan.working_type(index)))
        .collect();
    let failed = |column: usize, row: usize| working[column].statuses[row] == Status::Error;
    let Evaluated { working: arrays, failures } =
        plan.evaluate(arrays, &failed, request, rows).map_err(EngineError::Invalid)?;
    Ok(plan
        .features
        .iter()
        .map(|feature| {
            let values = arrays[feature.working].clone();
            let (event_times, statuses, errors) = match working.get(feature.working) {
                Some(column) => (column.event_times.clone(), column.statuses.clone(), column.errors.clone()),
                None => on_demand(service, feature.working, &working, &values, &failures),
            };
            FeatureResult {
                name: feature.name.clone(),
                data_type: feature.data_type.clone(),
                values,
                event_times,
                statuses,
                errors,
            }
        })
        .collect())
}

type Told = (Vec<Option<i64>>, Vec<Status>, Vec<(usize, String)>);

/// An on-demand feature is as recent as the newest feature it is made from, and present unless null, or unless one of
/// those could not be given.
fn on_demand(
    service: &ServiceRuntime,
    index: usize,
    working: &[Working],
    values: &ArrayRef,
    failures: &[BooleanArray],
) -> Told {
    let (failed, rows) = (&failures[index - working.len()], values.len());
    let inputs = service.plan.inputs(index).iter().filter_map(|input| working.get(*input));
    let inputs: Vec<&Working> = inputs.collect();
    let times = (0..rows).map(|row| inputs.iter().filter_map(|column| column.event_times[row]).max()).collect();
    let status = |row: usize| match (failed.value(row), values.is_null(row)) {
        (true, _) => Status::Error,
        (false, true) => Status::Null,
        (false, false) => Status::Present,
    };
    let why = "a feature that it is made from could not be given".to_owned();
    let errors = (0..rows).filter(|row| failed.value(*row)).map(|row| (row, why.clone())).collect();
    (times, (0..rows).map(status).collect(), errors)
}

fn rows_of(request: &FeatureRequest) -> Result<usize, EngineError> {
    let mut columns = request.entities.iter().chain(&request.request);
    let Some((first, column)) = columns.next() else {
        return Err(EngineError::Invalid(
            "`entities` is empty: send the key columns of the entities to read".to_owned(),
        ));
    };
    let rows = column.len();
    for (name, column) in columns {
        if column.len() != rows {
            return Err(EngineError::Invalid(format!(
                "`{first}` has {rows} values and `{name}` has {}: send one of each per entity",
                column.len()
            )));
        }
    }
    if rows > MAX_READ_ENTITIES {
        return Err(EngineError::Invalid(format!(
            "a read of {rows} entities is more than {MAX_READ_ENTITIES}: ask for a training set, or in parts"
        )));
    }
    Ok(rows)
}

fn columns(
    needed: &[(String, DataType)],
    given: &[(String, ArrayRef)],
    place: &str,
) -> Result<Vec<ArrayRef>, EngineError> {
    needed
        .iter()
        .map(|(name, data_type)| {
            given.iter().find(|(own, _)| own == name).map(|(_, column)| column.clone()).ok_or_else(|| {
                EngineError::Invalid(format!("`{place}` lacks `{name}`: send one {data_type} per entity"))
            })
        })
        .collect()
}

fn cast_request(service: &ServiceRuntime, columns: Vec<ArrayRef>) -> Result<Vec<ArrayRef>, EngineError> {
    service
        .plan
        .request
        .iter()
        .zip(columns)
        .map(|((name, data_type), column)| {
            let reader = ColumnReader::new(&column, data_type).map_err(|error| {
                EngineError::Invalid(format!("request value `{name}`: {error}; send {data_type} values"))
            })?;
            let values: Vec<Value> = (0..column.len()).map(|row| reader.cell(row).to_value()).collect();
            Ok(array_from_values(values.iter(), data_type))
        })
        .collect()
}
