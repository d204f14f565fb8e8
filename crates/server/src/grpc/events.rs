//! `thalweg.v1.Events`: pushing rows, one push at a time or as a stream of them.
//!
//! ```text
//! message 1 ─ decode ─ queued ─┬──────── log, sync ─▶ ack 1
//! message 2        waits ······└ decode ─ queued ──┬─ log, sync ─▶ ack 2
//! ```
//! The pushes of a stream take their places in the log one after the other, and wait for the disk together.

use super::arrow_bytes::batches;
use super::budget::Share;
use super::errors::{inside, of_push};
use super::gate::{Call, Threads};
use super::limits::{LISTED_ERRORS, PUSHES_IN_FLIGHT};
use super::v1::events_server::Events;
use super::v1::push_ack::Outcome;
use super::v1::push_request::Rows;
use super::v1::{ArrivalTime, PushAck, PushRequest, PushResponse, PushSummary, RowError};
use crate::error::ServerError;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use prost::Message;
use std::pin::pin;
use thalweg_engine::{Ack, ArrivalKind, Input};
use tokio::sync::oneshot;
use tonic::{Request, Response, Status, Streaming};

pub struct EventPushes;

#[tonic::async_trait]
impl Events for EventPushes {
    async fn push(&self, request: Request<PushRequest>) -> Result<Response<PushResponse>, Status> {
        let call = Call::of(&request)?;
        let message = request.into_inner();
        let held = call.hold(message.encoded_len())?;
        Ok(Response::new(push(&call, message, held, || ()).await?))
    }

    type PushStreamStream = BoxStream<'static, Result<PushAck, Status>>;

    async fn push_stream(
        &self,
        request: Request<Streaming<PushRequest>>,
    ) -> Result<Response<Self::PushStreamStream>, Status> {
        let call = Call::of(&request)?;
        let deadline = call.deadline;
        let outcomes = in_turn(call, request.into_inner(), AfterFailure::GoOn);
        let acks = outcomes.enumerate().map(|(index, outcome)| {
            let outcome = match outcome? {
                Ok(taken) => Outcome::Taken(taken),
                Err(error) => Outcome::Error(inside(&of_push(error, index as u64))),
            };
            Ok::<_, Status>(PushAck { push: index as u64, outcome: Some(outcome) })
        });
        Ok(Response::new(deadline.until(acks)))
    }

    async fn push_all(&self, request: Request<Streaming<PushRequest>>) -> Result<Response<PushSummary>, Status> {
        let call = Call::of(&request)?;
        let mut summary = PushSummary::default();
        let mut outcomes = pin!(in_turn(call, request.into_inner(), AfterFailure::Stop));
        while let Some(outcome) = outcomes.next().await {
            let taken = outcome?.map_err(|error| of_push(error, summary.pushes))?;
            add(&mut summary, taken);
        }
        Ok(Response::new(summary))
    }
}

/// What becomes of the pushes of a stream behind one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AfterFailure {
    GoOn,
    Stop,
}

/// The outcomes of a stream's pushes, in its order. An error of the stream itself is the outer one.
fn in_turn(
    call: Call,
    messages: Streaming<PushRequest>,
    after_failure: AfterFailure,
) -> impl Stream<Item = Result<Result<PushResponse, ServerError>, Status>> + Send {
    let mut last: Option<oneshot::Receiver<()>> = None;
    let outcomes = messages.map(move |message| {
        let (queued, next) = oneshot::channel();
        let before = last.replace(next);
        let call = call.clone();
        let taken = message.map(|message| call.hold(message.encoded_len()).map(|held| (message, held)));
        async move { Ok::<_, Status>(push_after(&call, taken?, before, queued, after_failure).await) }
    });
    outcomes.buffered(PUSHES_IN_FLIGHT)
}

/// Pushes as soon as the push before has its place in the log, and tells the one behind. `taken` is an error where there
/// was no room for the message.
async fn push_after(
    call: &Call,
    taken: Result<(PushRequest, Share), ServerError>,
    before: Option<oneshot::Receiver<()>>,
    queued: oneshot::Sender<()>,
    after_failure: AfterFailure,
) -> Result<PushResponse, ServerError> {
    let went_well = match before {
        // Dropped unsent where that push failed.
        Some(before) => before.await.is_ok(),
        None => true,
    };
    if !went_well && after_failure == AfterFailure::Stop {
        return Err(ServerError::Invalid("a push before it failed, and it was not taken: send it again".to_owned()));
    }
    let (message, held) = taken?;
    let tell = move || {
        // The one behind may be gone with its stream.
        let _ = queued.send(());
    };
    push(call, message, held, tell).await
}

async fn push(
    call: &Call,
    message: PushRequest,
    held: Share,
    queued: impl FnOnce() + Send + 'static,
) -> Result<PushResponse, ServerError> {
    let session = call.session.clone();
    call.blocking(Threads::Pushes, move || {
        let _held = held;
        let input = match &message.rows {
            Some(Rows::Json(bytes)) => Input::Json(bytes),
            Some(Rows::Ndjson(bytes)) => Input::Lines(bytes),
            Some(Rows::Arrow(bytes)) => Input::Arrow(batches(bytes)?.1),
            None => {
                return Err(ServerError::Invalid("the push has no rows: set `json`, `ndjson` or `arrow`".to_owned()));
            }
        };
        let request = thalweg_engine::PushRequest {
            source: &message.source,
            input,
            idempotency_key: (!message.idempotency_key.is_empty()).then(|| message.idempotency_key.clone()),
            backfill: message.backfill,
        };
        Ok(acknowledged(session.push_queued(request, queued)?))
    })
    .await
}

/// An acknowledgement as a message.
pub fn acknowledged(ack: Ack) -> PushResponse {
    let arrival_time = match ack.arrival_time {
        ArrivalKind::Clock => ArrivalTime::Clock,
        ArrivalKind::Column => ArrivalTime::Column,
        ArrivalKind::EventTime => ArrivalTime::EventTime,
    };
    let error = |error: thalweg_engine::RowError| RowError {
        row: error.row,
        column: error.column.unwrap_or_default(),
        reason: error.reason,
        push: 0,
    };
    PushResponse {
        source: ack.source,
        read: ack.read,
        applied: ack.applied,
        deduplicated: ack.deduplicated,
        filtered: ack.filtered,
        quarantined: ack.quarantined,
        was_repeated: ack.repeated,
        arrival_time: arrival_time.into(),
        first_sequence: ack.first_sequence,
        errors: ack.errors.into_iter().map(error).collect(),
    }
}

fn add(summary: &mut PushSummary, taken: PushResponse) {
    let push = summary.pushes;
    summary.pushes += 1;
    if taken.was_repeated {
        summary.repeated_pushes += 1;
        return;
    }
    summary.read += taken.read;
    summary.applied += taken.applied;
    summary.deduplicated += taken.deduplicated;
    summary.filtered += taken.filtered;
    summary.quarantined += taken.quarantined;
    let room = LISTED_ERRORS.saturating_sub(summary.errors.len());
    summary.errors.extend(taken.errors.into_iter().take(room).map(|error| RowError { push, ..error }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(repeated: bool) -> Ack {
        let row_error = |row| thalweg_engine::RowError { row, column: None, reason: "why".to_owned() };
        Ack {
            source: "s".to_owned(),
            read: 103,
            applied: 40,
            deduplicated: 2,
            filtered: 1,
            quarantined: 60,
            repeated,
            arrival_time: ArrivalKind::EventTime,
            first_sequence: 17,
            errors: (0..60).map(row_error).collect(),
        }
    }

    #[test]
    fn acknowledgements_keep_every_number() {
        let message = acknowledged(ack(false));
        assert_eq!(message.read, message.applied + message.deduplicated + message.filtered + message.quarantined);
        assert_eq!((message.first_sequence, message.arrival_time), (17, ArrivalTime::EventTime as i32));
        assert_eq!((message.errors[59].row, message.errors[59].reason.as_str()), (59, "why"));
    }

    #[test]
    fn a_summary_counts_each_row_once_and_lists_the_first_errors() {
        let mut summary = PushSummary::default();
        for repeated in [false, true, false] {
            add(&mut summary, acknowledged(ack(repeated)));
        }
        assert_eq!((summary.pushes, summary.repeated_pushes, summary.read), (3, 1, 206));
        assert_eq!(summary.read, summary.applied + summary.deduplicated + summary.filtered + summary.quarantined);
        assert_eq!(summary.errors.len(), LISTED_ERRORS);
        assert_eq!((summary.errors[0].push, summary.errors[60].push), (0, 2));
    }
}
