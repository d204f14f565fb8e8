//! Training sets: started, watched, fetched and cancelled.

use super::App;
use super::body::{ARROW_STREAM, Content, ReadBody};
use super::errors::{HttpError, JsonAnswer};
use super::json::from_object;
use super::stream::stream;
use crate::instance::{Spine, TrainingSetRequest};
use crate::session::Session;
use arrow::array::RecordBatch;
use arrow_ipc::writer::StreamWriter;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use serde_json::json;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use thalweg_definition::AsOf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartQuery {
    service: String,
    #[serde(default = "timestamp")]
    timestamp: String,
    as_of: Option<String>,
    #[serde(default)]
    statuses: bool,
    manifest_version: Option<u64>,
    recreate: Option<String>,
}

fn timestamp() -> String {
    "timestamp".to_owned()
}

/// The body of a spine that is a query.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SqlSpine {
    sql: String,
}

pub async fn start(
    State(app): State<App>,
    session: Session,
    query: Result<Query<StartQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HttpError> {
    let Query(query) = query.map_err(|error| HttpError::invalid(error.body_text()))?;
    let as_of = match &query.as_of {
        None => AsOf::EventTime,
        Some(text) => text.parse().map_err(HttpError::invalid)?,
    };
    let content = Content::of(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    let answer = app.answer(session, move |session| {
        let request = TrainingSetRequest {
            service: query.service,
            spine: spine(content, &body.decompressed()?)?,
            timestamp: query.timestamp,
            as_of,
            statuses: query.statuses,
            manifest_version: query.manifest_version,
            recreate: query.recreate,
        };
        Ok(json!({ "id": session.start_training_set(request)? }))
    });
    Ok((StatusCode::ACCEPTED, answer.await?).into_response())
}

fn spine(content: Content, body: &ReadBody) -> Result<Spine, HttpError> {
    match content {
        Content::Arrow => {
            let (schema, mut batches) = body.arrow()?;
            if batches.is_empty() {
                // A spine without rows still says which columns it has.
                batches.push(RecordBatch::new_empty(schema));
            }
            Ok(Spine::Batches(batches))
        }
        Content::Json => {
            let spine: SqlSpine = from_object(&body.bytes)
                .map_err(|error| HttpError::invalid(format!("the body is not {{\"sql\": \"SELECT ..\"}}: {error}")))?;
            Ok(Spine::Sql(spine.sql))
        }
        Content::Lines => {
            Err(HttpError::unsupported(format!("send the spine as {ARROW_STREAM}, or {{\"sql\": ..}} as JSON")))
        }
    }
}

pub async fn list(State(app): State<App>, session: Session) -> Result<JsonAnswer, HttpError> {
    app.answer(session, |session| Ok(session.training_sets()?)).await
}

pub async fn describe(
    State(app): State<App>,
    session: Session,
    super::path::Path(id): super::path::Path<String>,
) -> Result<JsonAnswer, HttpError> {
    app.answer(session, move |session| Ok(session.training_job(&id)?)).await
}

pub async fn cancel(
    State(app): State<App>,
    session: Session,
    super::path::Path(id): super::path::Path<String>,
) -> Result<JsonAnswer, HttpError> {
    app.answer(session, move |session| {
        session.cancel_training(&id)?;
        Ok(json!({}))
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataQuery {
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Arrow,
    Parquet,
}

/// The rows of a training set, streamed from its file.
pub async fn data(
    State(app): State<App>,
    session: Session,
    super::path::Path(id): super::path::Path<String>,
    query: Result<Query<DataQuery>, QueryRejection>,
) -> Result<Response, HttpError> {
    let Query(DataQuery { format }) = query.map_err(|error| HttpError::invalid(error.body_text()))?;
    let (path, file) = app
        .blocking(session, move |session| {
            let path = session.training_data(&id)?;
            let file = File::open(&path)
                .map_err(|error| HttpError::internal(format!("the rows of training set `{id}`: {error}")))?;
            Ok((path, file))
        })
        .await?;
    Ok(match format {
        Format::Parquet => {
            let length = file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
            let headers = [
                (header::CONTENT_TYPE, "application/vnd.apache.parquet".to_owned()),
                (header::CONTENT_LENGTH, length.to_string()),
            ];
            (headers, stream(move |out| copy(file, &path, out))).into_response()
        }
        Format::Arrow => {
            ([(header::CONTENT_TYPE, ARROW_STREAM)], stream(move |out| as_arrow(file, &path, out))).into_response()
        }
    })
}

fn copy(mut file: File, path: &Path, out: &mut dyn Write) -> Result<(), String> {
    std::io::copy(&mut file, out).map(|_| ()).map_err(|error| format!("{}: {error}", path.display()))
}

fn as_arrow(file: File, path: &Path, out: &mut dyn Write) -> Result<(), String> {
    let broken = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| broken(&error))?;
    let schema = builder.schema().clone();
    let reader = builder.build().map_err(|error| broken(&error))?;
    let mut writer = StreamWriter::try_new(out, &schema).map_err(|error| broken(&error))?;
    for batch in reader {
        writer.write(&batch.map_err(|error| broken(&error))?).map_err(|error| broken(&error))?;
    }
    writer.finish().map_err(|error| broken(&error))
}
