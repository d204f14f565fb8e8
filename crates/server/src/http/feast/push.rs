//! `/push` and `/write-to-online-store`: rows of a source, by its own name or by that of a view that reads it.

use super::errors::Refused;
use super::form::{Form, Members};
use super::frame::{self, Target};
use super::limits::MAX_LISTED_REASONS;
use crate::http::App;
use crate::http::body::Content;
use crate::http::errors::{HttpError, JsonAnswer};
use crate::http::sources::idempotency_key;
use crate::nearest::nearest;
use crate::session::Session;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use std::sync::Arc;
use thalweg_engine::{Ack, Input, PushRequest, SourceRuntime};

/// What is written, and to which source.
struct Written<'a> {
    source: Arc<SourceRuntime>,
    df: Members<'a>,
}

/// Reads the body of one of the two routes. What is wrong with it is said before what is not defined.
type Reading = for<'a> fn(&Session, &'a [u8]) -> Result<Written<'a>, Refused>;

/// Takes rows of a source; answers without a body, as Feast does.
pub async fn push(
    State(app): State<App>,
    session: Result<Session, HttpError>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refused> {
    take(app, session?, headers, body, to_source).await?;
    Ok(StatusCode::OK)
}

/// Takes rows for a view; answers `null`, as Feast does.
pub async fn write_to_online_store(
    State(app): State<App>,
    session: Result<Session, HttpError>,
    headers: HeaderMap,
    body: Body,
) -> Result<JsonAnswer, Refused> {
    take(app, session?, headers, body, to_view).await?;
    Ok(JsonAnswer::text("null".to_owned()))
}

async fn take(app: App, session: Session, headers: HeaderMap, body: Body, reading: Reading) -> Result<(), Refused> {
    Content::json_only(&headers)?;
    let key = idempotency_key(&headers)?;
    let body = app.bodies.read(&headers, body).await?;
    app.blocking(session, move |session| {
        let body = body.decompressed()?;
        Ok(apply(session, &body.bytes, reading, key))
    })
    .await?
}

fn apply(session: &Session, body: &[u8], reading: Reading, key: Option<String>) -> Result<(), Refused> {
    let Written { source, df } = reading(session, body)?;
    let (name, timestamp) = (&source.definition.name, &source.definition.timestamp);
    let rows = frame::rows(&Target { source: name, columns: &source.columns, timestamp }, &df)?;
    let request =
        PushRequest { source: name, input: Input::Json(rows.as_bytes()), idempotency_key: key, backfill: false };
    all_taken(&session.push(request)?)
}

fn to_source<'a>(session: &Session, body: &'a [u8]) -> Result<Written<'a>, Refused> {
    let mut form = Form::read(body)?;
    let (name, df) = (form.text("push_source_name"), form.members("df"));
    let to = form.text_or("to", "online");
    check_options(&mut form);
    form.done()?;
    match to.as_str() {
        "online" | "online_and_offline" => {}
        "offline" => {
            return Err(Refused::wrong(
                "`to` is \"offline\": what is pushed is served and kept in history at once, and nothing is written to \
                 history alone: push with \"online_and_offline\"",
            ));
        }
        other => {
            return Err(Refused::wrong(format!("`to` is \"{other}\": write \"online\" or \"online_and_offline\"")));
        }
    }
    let runtime = session.runtime()?;
    match runtime.sources.get(&name) {
        Some(source) => Ok(Written { source: source.clone(), df }),
        None => {
            let sources = runtime.checked.manifest.sources.iter();
            Err(Refused::no_push_source(unknown("source", &name, sources.map(|source| source.name.as_str()))))
        }
    }
}

fn to_view<'a>(session: &Session, body: &'a [u8]) -> Result<Written<'a>, Refused> {
    let mut form = Form::read(body)?;
    let (name, df) = (form.text("feature_view_name"), form.members("df"));
    check_options(&mut form);
    form.done()?;
    let runtime = session.runtime()?;
    let Some(view) = runtime.views.get(&name) else {
        let views = runtime.checked.manifest.views.iter();
        let message = unknown("feature view", &name, views.map(|view| view.name.as_str()));
        return Err(Refused::not_found("FeatureViewNotFoundException", message));
    };
    match view.definition.sources.as_slice() {
        [source] => match runtime.sources.get(source) {
            Some(source) => Ok(Written { source: source.clone(), df }),
            None => Err(Refused::no_push_source(format!("view `{name}` reads source `{source}`, which is not there"))),
        },
        several => Err(Refused::wrong(format!(
            "view `{name}` reads the sources {}: push to the one that the rows are of, with /push",
            several.join(", ")
        ))),
    }
}

/// Feast's switches for its registry cache and for transformations at the write, of which there are none here: they are
/// read so that a wrong one is refused.
fn check_options(form: &mut Form<'_>) {
    form.flag("allow_registry_cache", true);
    form.flag("transform_on_write", true);
}

fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(name, known) {
        Some(nearest) => format!("there is no {what} `{name}`: did you mean `{nearest}`?"),
        None => format!("there is no {what} `{name}`"),
    }
}

/// Feast has no quarantine: a client that sent rows which were set aside must hear of it.
fn all_taken(ack: &Ack) -> Result<(), Refused> {
    if ack.quarantined == 0 {
        return Ok(());
    }
    let reasons: Vec<String> = ack
        .errors
        .iter()
        .take(MAX_LISTED_REASONS)
        .map(|error| match &error.column {
            Some(column) => format!("row {}, `{column}`: {}", error.row, error.reason),
            None => format!("row {}: {}", error.row, error.reason),
        })
        .collect();
    Err(Refused::wrong(format!(
        "source `{source}` set {} of {} rows aside; the others were taken, so send only those again that are mended: \
         {}; all are in GET /v1/sources/{source}/quarantine",
        ack.quarantined,
        ack.read,
        reasons.join("; "),
        source = ack.source,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_engine::{ArrivalKind, RowError};

    #[test]
    fn rows_that_were_set_aside_are_an_error() {
        let error = |row, column: Option<&str>| RowError {
            row,
            column: column.map(str::to_owned),
            reason: "below its minimum".to_owned(),
        };
        let mut ack = Ack {
            source: "payments".to_owned(),
            read: 5,
            applied: 1,
            deduplicated: 0,
            filtered: 0,
            quarantined: 4,
            repeated: false,
            arrival_time: ArrivalKind::Clock,
            first_sequence: 0,
            errors: vec![error(0, Some("amount")), error(1, None), error(2, None), error(4, None)],
        };
        let told = format!("{:?}", all_taken(&ack).unwrap_err());
        assert!(told.contains("set 4 of 5 rows aside"), "{told}");
        assert!(told.contains("row 0, `amount`: below its minimum; row 1: below its minimum"), "{told}");
        assert!(!told.contains("row 4"), "{told}");
        ack.quarantined = 0;
        assert!(all_taken(&ack).is_ok());
    }
}
