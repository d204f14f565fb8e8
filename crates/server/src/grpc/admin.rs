//! `thalweg.v1.Admin`: definitions, ledgers, the quarantine, the check, and the instance's own state.

use super::documents::{document, micros, number, text};
use super::events::acknowledged;
use super::gate::Call;
use super::limits::{QUARANTINE_BYTES, QUARANTINE_ROWS};
use super::v1::admin_server::Admin;
use super::v1::{
    ApplyRequest, CheckMismatch, CheckRequest, CheckResponse, DescribeSourceRequest, DescribeViewRequest, FlushRequest,
    FlushResponse, GetManifestRequest, GetManifestResponse, ListManifestsRequest, ListManifestsResponse,
    ListSourcesRequest, ListSourcesResponse, ManifestSummary, PlanRequest, PlanResponse, PlannedChange,
    PlannedConsequence, PushResponse, QuarantineRequest, QuarantineResponse, QuarantinedRow, ReplayQuarantineRequest,
    SourceColumn, SourceLedger, StatusRequest,
};
use crate::error::ServerError;
use crate::instance::{CheckOptions, CheckReport, Mismatch, PlanOutcome};
use prost_types::Struct;
use serde_json::Value as Json;
use thalweg_definition::Change;
use thalweg_store::StoredQuarantine;
use tonic::{Request, Response, Status};

pub struct AdminCalls;

#[tonic::async_trait]
impl Admin for AdminCalls {
    async fn plan(&self, request: Request<PlanRequest>) -> Result<Response<PlanResponse>, Status> {
        Call::answer(request, |session, asked| planned(session.plan(&asked.manifest)?)).await
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<PlanResponse>, Status> {
        Call::answer(request, |session, asked| planned(session.apply(&asked.manifest, asked.allow_breaking)?)).await
    }

    async fn get_manifest(
        &self,
        request: Request<GetManifestRequest>,
    ) -> Result<Response<GetManifestResponse>, Status> {
        Call::answer(request, |session, asked| {
            let (version, hash, manifest) = session.manifest(asked.version)?;
            Ok(GetManifestResponse { version, hash, manifest })
        })
        .await
    }

    async fn list_manifests(
        &self,
        request: Request<ListManifestsRequest>,
    ) -> Result<Response<ListManifestsResponse>, Status> {
        Call::answer(request, |session, _| {
            let manifests = session.manifests()?.iter().map(summary).collect();
            Ok(ListManifestsResponse { manifests })
        })
        .await
    }

    async fn list_sources(
        &self,
        request: Request<ListSourcesRequest>,
    ) -> Result<Response<ListSourcesResponse>, Status> {
        Call::answer(request, |session, _| {
            let sources = session.sources()?.iter().map(ledger).collect();
            Ok(ListSourcesResponse { sources })
        })
        .await
    }

    async fn describe_source(&self, request: Request<DescribeSourceRequest>) -> Result<Response<SourceLedger>, Status> {
        Call::answer(request, |session, asked| Ok(ledger(&session.source_status(&asked.name)?))).await
    }

    async fn describe_view(&self, request: Request<DescribeViewRequest>) -> Result<Response<Struct>, Status> {
        Call::answer(request, |session, asked| Ok(document(session.view_status(&asked.name)?))).await
    }

    async fn quarantine(&self, request: Request<QuarantineRequest>) -> Result<Response<QuarantineResponse>, Status> {
        Call::answer(request, |session, asked| {
            let limit = if asked.limit == 0 { QUARANTINE_ROWS } else { asked.limit.min(QUARANTINE_ROWS) };
            let rows = session.quarantined(&asked.source, limit, asked.offset)?;
            Ok(page(rows, limit, asked.offset))
        })
        .await
    }

    async fn replay_quarantine(
        &self,
        request: Request<ReplayQuarantineRequest>,
    ) -> Result<Response<PushResponse>, Status> {
        Call::answer(request, |session, asked| Ok(acknowledged(session.replay_quarantine(&asked.source)?))).await
    }

    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Call::answer(request, |session, asked| Ok(report(session.check(&options(asked))?))).await
    }

    async fn flush(&self, request: Request<FlushRequest>) -> Result<Response<FlushResponse>, Status> {
        Call::answer(request, |session, _| {
            session.flush()?;
            Ok(FlushResponse {})
        })
        .await
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<Struct>, Status> {
        Call::answer(request, |session, _| Ok(document(session.status()?))).await
    }
}

fn planned(outcome: PlanOutcome) -> Result<PlanResponse, ServerError> {
    Ok(PlanResponse {
        changes: outcome.changes.iter().map(change).collect::<Result<_, _>>()?,
        text: outcome.text,
        breaking: outcome.breaking,
        hash: outcome.hash,
        version: outcome.version,
        building: outcome.building,
    })
}

/// By way of its JSON, in which each kind of consequence has its name and its fields.
fn change(change: &Change) -> Result<PlannedChange, ServerError> {
    let no_form = |error| ServerError::Internal(format!("a change has no JSON form: {error}"));
    let json = serde_json::to_value(change).map_err(no_form)?;
    let consequences = json["consequences"].as_array().into_iter().flatten().map(consequence).collect();
    Ok(PlannedChange {
        kind: text(&json, "kind"),
        object: change.object.clone(),
        details: change.details.clone(),
        consequences,
    })
}

fn consequence(json: &Json) -> PlannedConsequence {
    PlannedConsequence {
        kind: text(json, "kind"),
        view: text(json, "view"),
        feature: text(json, "feature"),
        source: text(json, "source"),
        column: text(json, "column"),
        from_type: text(json, "from"),
        to_type: text(json, "to"),
        why: text(json, "why"),
    }
}

fn summary(json: &Json) -> ManifestSummary {
    ManifestSummary {
        version: number(json, "version"),
        hash: text(json, "hash"),
        applied_at: micros(json, "applied_at").unwrap_or_default(),
    }
}

fn ledger(json: &Json) -> SourceLedger {
    let column = |column: &Json| SourceColumn {
        name: text(column, "name"),
        r#type: text(column, "type"),
        required: column["required"].as_bool().unwrap_or_default(),
        description: text(column, "description"),
    };
    SourceLedger {
        name: text(json, "name"),
        description: text(json, "description"),
        kind: text(json, "kind"),
        timestamp: text(json, "timestamp"),
        columns: json["columns"].as_array().into_iter().flatten().map(column).collect(),
        read: number(json, "read"),
        applied: number(json, "applied"),
        deduplicated: number(json, "deduplicated"),
        filtered: number(json, "filtered"),
        quarantined: number(json, "quarantined"),
        quarantine_waiting: number(json, "quarantine_waiting"),
        pushes: number(json, "pushes"),
        newest_event_time: micros(json, "newest_event_time"),
        history: text(json, "history"),
    }
}

/// As many rows as an answer has room for, one at least; the next page begins behind them.
fn page(stored: Vec<StoredQuarantine>, limit: u64, offset: u64) -> QuarantineResponse {
    let whole = stored.len() as u64 == limit;
    let all = stored.len();
    let mut room = QUARANTINE_BYTES;
    let mut rows: Vec<QuarantinedRow> = Vec::with_capacity(all);
    for stored in stored {
        let rest = room.checked_sub(stored.row.raw.len());
        if rest.is_none() && !rows.is_empty() {
            break;
        }
        room = rest.unwrap_or_default();
        rows.push(quarantined(stored));
    }
    let more = whole || rows.len() < all;
    QuarantineResponse { next_offset: more.then_some(offset + rows.len() as u64), rows }
}

fn quarantined(stored: StoredQuarantine) -> QuarantinedRow {
    let row = stored.row;
    QuarantinedRow {
        // The database counts them from 1.
        id: stored.id.unsigned_abs(),
        position: row.position,
        row: row.row_index,
        column: row.column.unwrap_or_default(),
        reason: row.reason,
        at: row.at_us,
        replayed: stored.replayed,
        raw: row.raw,
    }
}

fn options(asked: CheckRequest) -> CheckOptions {
    let usual = CheckOptions::default();
    CheckOptions {
        limit_samples: asked.limit_samples.map_or(usual.limit_samples, |limit| limit as usize),
        service: (!asked.service.is_empty()).then_some(asked.service),
        since: None,
    }
}

fn report(report: CheckReport) -> CheckResponse {
    let sample = |sample: Mismatch| CheckMismatch {
        service: sample.service,
        feature: sample.feature,
        as_of: sample.as_of,
        entity: sample.entity,
        served: sample.served,
        recomputed: sample.recomputed,
        events: sample.events,
    };
    CheckResponse {
        rows: report.rows,
        compared: report.compared,
        mismatches: report.mismatches,
        not_answered: report.not_answered,
        unrecorded: report.unrecorded,
        samples: report.samples.into_iter().map(sample).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use thalweg_definition::{ChangeKind, Consequence};

    #[test]
    fn plans_keep_their_consequences() {
        let retyped = Consequence::SchemaRetypesColumn {
            source: "s".to_owned(),
            column: "c".to_owned(),
            from: "int32".to_owned(),
            to: "int64".to_owned(),
        };
        let built = Consequence::BuildState { view: "v".to_owned() };
        let own = Change {
            kind: ChangeKind::Update,
            object: "source:s".to_owned(),
            details: vec!["c: int32 -> int64".to_owned()],
            consequences: vec![retyped, built],
        };
        let message = change(&own).unwrap();
        assert_eq!((message.kind.as_str(), message.object.as_str()), ("update", "source:s"));
        let first = &message.consequences[0];
        assert_eq!((first.kind.as_str(), first.from_type.as_str()), ("schema_retypes_column", "int32"));
        assert_eq!((first.source.as_str(), first.column.as_str(), first.to_type.as_str()), ("s", "c", "int64"));
        let second = &message.consequences[1];
        assert_eq!((second.kind.as_str(), second.view.as_str()), ("build_state", "v"));
    }

    #[test]
    fn ledgers_keep_their_numbers() {
        let message = ledger(&json!({
            "name": "s", "kind": "event", "timestamp": "at", "read": 5, "applied": 4, "deduplicated": 0, "filtered": 0,
            "quarantined": 1, "quarantine_waiting": 1, "pushes": 2, "newest_event_time": "1970-01-01T00:00:01Z",
            "history": "file:///h", "columns": [{"name": "at", "type": "timestamp", "required": true}],
        }));
        assert_eq!((message.read, message.applied, message.quarantined, message.pushes), (5, 4, 1, 2));
        assert_eq!((message.newest_event_time, message.history.as_str()), (Some(1_000_000), "file:///h"));
        assert!(message.columns[0].required && message.columns[0].r#type == "timestamp");
    }

    #[test]
    fn pages_of_quarantine_end_where_there_is_no_room() {
        let row = |bytes: usize| StoredQuarantine {
            id: 1,
            replayed: false,
            row: thalweg_store::QuarantinedRow {
                source: "s".to_owned(),
                position: 3,
                row_index: 4,
                reason: "why".to_owned(),
                column: None,
                raw: vec![0; bytes],
                at_us: 5,
            },
        };
        let last = page(vec![row(10), row(10)], 3, 0);
        assert_eq!((last.rows.len(), last.next_offset), (2, None));
        let whole = page(vec![row(10), row(10)], 2, 7);
        assert_eq!((whole.rows.len(), whole.next_offset), (2, Some(9)));
        let large = page(vec![row(3 << 20), row(10)], 1000, 0);
        assert_eq!((large.rows.len(), large.next_offset), (1, Some(1)), "one row is always in it");
        let large = page(vec![row(10), row(3 << 20), row(10)], 1000, 4);
        assert_eq!((large.rows.len(), large.next_offset), (1, Some(5)));
        assert_eq!((large.rows[0].position, large.rows[0].row, large.rows[0].at), (3, 4, 5));
    }
}
