//! The native module of the Python package: the engine, the lake and the server, in the notebook.
//!
//! It holds no logic: it turns Python arguments into calls, lets other Python threads run meanwhile, and turns
//! errors into exceptions. What it offers is written down in `python/thalweg/_native.pyi`.

mod engine;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::PathBuf;
use thalweg_definition::{DefinitionError, validate};
use thalweg_lake::SqlExpressions;
use thalweg_server::ServerError;

/// Validates raw definitions, and compiles them to the canonical manifest.
#[pyfunction]
fn compile<'py>(py: Python<'py>, raw_json: &str) -> PyResult<Bound<'py, PyDict>> {
    let (checked, compiled) = py
        .detach(|| {
            let (manifest, origins) = thalweg_wire::parse_request(raw_json)?;
            let compiled = thalweg_wire::compile(&manifest);
            let checked = validate(compiled.manifest.clone(), &origins, &SqlExpressions::new())?;
            Ok((checked, compiled))
        })
        .map_err(problems)?;
    let outputs = PyDict::new(py);
    for (name, data_type) in checked.outputs() {
        outputs.set_item(name, data_type.to_string())?;
    }
    let result = PyDict::new(py);
    result.set_item("json", compiled.json)?;
    result.set_item("protobuf", PyBytes::new(py, &compiled.protobuf))?;
    result.set_item("hash", compiled.hash)?;
    result.set_item("outputs", outputs)?;
    Ok(result)
}

/// The columns of a Parquet, CSV or JSON sample: name, type, whether no value is missing.
#[pyfunction]
fn infer_schema(py: Python<'_>, path: PathBuf) -> PyResult<Vec<(String, String, bool)>> {
    let columns = py.detach(|| thalweg_lake::infer_schema(&path)).map_err(|error| error_of(error.into()))?;
    Ok(columns.into_iter().map(|column| (column.name, column.data_type.to_string(), column.required)).collect())
}

/// Runs the command line; the exit code.
#[pyfunction]
fn cli(py: Python<'_>, argv: Vec<String>) -> i32 {
    let arguments = argv.into_iter().map(Into::into).collect();
    py.detach(|| thalweg_server::run(arguments))
}

fn problems(error: DefinitionError) -> PyErr {
    PyValueError::new_err(serde_json::to_string(&error.0).unwrap_or_else(|_| error.to_string()))
}

/// The exception for an error: `ValueError` where the caller can mend the call, `RuntimeError` otherwise.
fn error_of(error: ServerError) -> PyErr {
    match error.code() {
        "INVALID" | "NOT_FOUND" | "BREAKING" => PyValueError::new_err(error.to_string()),
        _ => pyo3::exceptions::PyRuntimeError::new_err(error.to_string()),
    }
}

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(compile, module)?)?;
    module.add_function(wrap_pyfunction!(infer_schema, module)?)?;
    module.add_function(wrap_pyfunction!(cli, module)?)?;
    module.add_class::<engine::Engine>()
}
