//! The engine in the process, as Python sees it.

use crate::error_of;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3_arrow::PyTable;
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use thalweg_definition::AsOf;
use thalweg_engine::{Input, PushRequest, Wanted};
use thalweg_server::{
    BackgroundServer, CheckOptions, DirectOperation, Instance, ServerError, Session, Settings, Spine,
    TrainingSetRequest, columnar_request, direct_get, direct_write, feature_batch, feature_response,
    parse_feature_request, point_in_time,
};

/// Rows of the quarantine that are listed.
const LISTED: u64 = 10_000;

#[pyclass(module = "thalweg._native")]
pub struct Engine {
    instance: Mutex<Option<Arc<Instance>>>,
    servers: Mutex<Vec<BackgroundServer>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableOptions {
    service: Option<String>,
    #[serde(default)]
    features: Vec<String>,
    as_of: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainingOptions {
    timestamp: String,
    as_of: String,
    #[serde(default)]
    statuses: bool,
    sql: Option<String>,
    manifest_version: Option<u64>,
    recreate: Option<String>,
}

impl Engine {
    fn instance(&self) -> Result<Arc<Instance>, ServerError> {
        let closed = || ServerError::Unavailable("the engine is closed: open it again".to_owned());
        self.instance.lock().clone().ok_or_else(closed)
    }

    /// Calls without holding up other Python threads.
    fn call<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&Arc<Instance>) -> Result<T, ServerError> + Send,
    ) -> PyResult<T> {
        py.detach(|| work(&self.instance()?)).map_err(error_of)
    }
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, settings_json: &str) -> PyResult<Self> {
        let opened = py.detach(|| {
            let settings: Settings = serde_json::from_str(settings_json)
                .map_err(|error| ServerError::Invalid(format!("settings: {error}")))?;
            Instance::open(Settings { data: path, ..settings })
        });
        Ok(Self { instance: Mutex::new(Some(opened.map_err(error_of)?)), servers: Mutex::default() })
    }

    fn plan(&self, py: Python<'_>, manifest_json: &str) -> PyResult<String> {
        let outcome = self.call(py, |instance| instance.plan(manifest_json))?;
        Ok(json!(outcome).to_string())
    }

    fn apply(&self, py: Python<'_>, manifest_json: &str, allow_breaking: bool) -> PyResult<String> {
        let outcome = self.call(py, |instance| instance.apply(manifest_json, allow_breaking))?;
        Ok(json!(outcome).to_string())
    }

    fn push(
        &self,
        py: Python<'_>,
        source: &str,
        table: PyTable,
        idempotency_key: Option<String>,
        backfill: bool,
    ) -> PyResult<String> {
        let (batches, schema) = table.into_inner();
        let batches = if batches.is_empty() { vec![arrow::array::RecordBatch::new_empty(schema)] } else { batches };
        let input = Input::Arrow(batches);
        let ack = self.call(py, |instance| instance.push(PushRequest { source, input, idempotency_key, backfill }))?;
        Ok(json!(ack).to_string())
    }

    fn features(&self, py: Python<'_>, request_json: &str) -> PyResult<String> {
        self.call(py, |instance| {
            let runtime = instance.engine().runtime()?;
            let request = parse_feature_request(&runtime, request_json.as_bytes())?;
            Ok(feature_response(&instance.read(request)?))
        })
    }

    /// Features as a table: what is wanted and the query time as JSON, key columns and request values as columns.
    fn features_table<'py>(&self, py: Python<'py>, wanted_json: &str, columns: PyTable) -> PyResult<Bound<'py, PyAny>> {
        let (batches, schema) = columns.into_inner();
        let answer = self.call(py, |instance| {
            let asked: TableOptions = serde_json::from_str(wanted_json)
                .map_err(|error| ServerError::Invalid(format!("what is wanted: {error}")))?;
            let wanted = match (asked.service, asked.features) {
                (Some(service), _) => Wanted::Service(service),
                (None, features) => Wanted::Features(features),
            };
            let session = Session::embedded(instance);
            let as_of = asked.as_of.as_ref().map(|json| point_in_time("as_of", json)).transpose()?.flatten();
            let request = columnar_request(&*session.runtime()?, wanted, as_of, (schema, batches))?;
            let response = session.read(request)?;
            feature_batch(&response).map_err(|error| ServerError::Internal(error.to_string()))
        })?;
        let schema = answer.schema();
        PyTable::try_new(vec![answer], schema)?.into_pyarrow(py)
    }

    /// Reads or writes a directly written feature, as `POST /v1/direct/{selector}/{operation}` does.
    fn direct(
        &self,
        py: Python<'_>,
        selector: &str,
        operation: &str,
        body_json: &str,
        idempotency_key: Option<String>,
    ) -> PyResult<String> {
        let answer = self.call(py, |instance| {
            let (session, body) = (Session::embedded(instance), body_json.as_bytes());
            if operation == "get" {
                return direct_get(&session, selector, body);
            }
            let operation: DirectOperation = operation.parse().map_err(ServerError::Invalid)?;
            direct_write(&session, selector.to_owned(), operation, idempotency_key, body)
        })?;
        Ok(answer.to_string())
    }

    fn direct_descriptor(&self, py: Python<'_>, selector: &str) -> PyResult<String> {
        let found = self.call(py, |instance| Session::embedded(instance).direct_descriptor(selector))?;
        Ok(json!(found).to_string())
    }

    #[pyo3(signature = (service, spine, options_json, progress))]
    fn training_set<'py>(
        &self,
        py: Python<'py>,
        service: String,
        spine: Option<PyTable>,
        options_json: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Bound<'py, PyAny>, String)> {
        let invalid = |why: String| error_of(ServerError::Invalid(why));
        let options: TrainingOptions =
            serde_json::from_str(options_json).map_err(|error| invalid(format!("options: {error}")))?;
        let as_of: AsOf = options.as_of.parse().map_err(invalid)?;
        let spine = match (spine, options.sql) {
            (_, Some(sql)) => Spine::Sql(sql),
            (Some(table), None) => {
                let (batches, schema) = table.into_inner();
                Spine::Batches(if batches.is_empty() {
                    vec![arrow::array::RecordBatch::new_empty(schema)]
                } else {
                    batches
                })
            }
            (None, None) => return Err(invalid("a training set needs a spine: a table, or SQL".to_owned())),
        };
        let request = TrainingSetRequest {
            service,
            spine,
            timestamp: options.timestamp,
            as_of,
            statuses: options.statuses,
            manifest_version: options.manifest_version,
            recreate: options.recreate,
        };
        let mut stopped = None;
        let made = self.call(py, |instance| {
            let mut told = |done: u64, total: u64| {
                let outcome = Python::attach(|py| {
                    py.check_signals()?;
                    if let Some(progress) = &progress {
                        progress.call1(py, (done, total))?;
                    }
                    Ok::<(), PyErr>(())
                });
                match outcome {
                    Ok(()) => true,
                    Err(error) => {
                        stopped.get_or_insert(error);
                        false
                    }
                }
            };
            let (path, report) = instance.training_set(request, &mut told)?;
            Ok((thalweg_lake::read_parquet(&path)?, report))
        });
        if let Some(error) = stopped {
            return Err(error);
        }
        let ((schema, batches), report) = made?;
        Ok((PyTable::try_new(batches, schema)?.into_pyarrow(py)?, report.to_string()))
    }

    fn check(&self, py: Python<'_>, options_json: &str) -> PyResult<String> {
        let report = self.call(py, |instance| {
            let options: CheckOptions = serde_json::from_str(options_json)
                .map_err(|error| ServerError::Invalid(format!("options of the check: {error}")))?;
            instance.check(&options)
        })?;
        Ok(json!(report).to_string())
    }

    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.call(py, |instance| instance.flush())
    }

    fn status(&self, py: Python<'_>) -> PyResult<String> {
        self.call(py, |instance| Ok(instance.status().to_string()))
    }

    fn ledger(&self, py: Python<'_>, source: &str) -> PyResult<String> {
        self.call(py, |instance| Ok(instance.source_status(source)?.to_string()))
    }

    fn quarantine(&self, py: Python<'_>, source: &str) -> PyResult<String> {
        self.call(py, |instance| {
            let rows = instance.engine().quarantined(source, LISTED, 0)?;
            let rows: Vec<Value> = rows.into_iter().map(thalweg_server::http::quarantined).collect();
            Ok(Value::from(rows).to_string())
        })
    }

    fn replay_quarantine(&self, py: Python<'_>, source: &str) -> PyResult<String> {
        self.call(py, |instance| Ok(json!(instance.replay_quarantine(source)?).to_string()))
    }

    fn history_path(&self, py: Python<'_>, source: &str) -> PyResult<String> {
        self.call(py, |instance| Ok(instance.history_uri(source)))
    }

    /// Serves HTTP in the background; the server's URL.
    fn serve(&self, py: Python<'_>, host: &str, port: u16) -> PyResult<String> {
        let server = self.call(py, |instance| BackgroundServer::start(instance.clone(), host, port))?;
        let url = server.url().to_owned();
        self.servers.lock().push(server);
        Ok(url)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| {
            self.servers.lock().clear();
            if let Some(instance) = self.instance.lock().take() {
                instance.close();
            }
        });
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.servers.lock().clear();
        if let Some(instance) = self.instance.lock().take() {
            instance.close();
        }
    }
}
