//! Accepting a write: under the lock of its key it is computed from the newest value, in flight or applied, and
//! submitted; then, without the lock, it waits to be durable.

use super::change::{Base, Step};
use super::limits::{ATTEMPTS, EVENT_TIMES};
use super::row;
use super::selector::{Selector, unknown};
use super::{DirectAck, DirectOperation, DirectWrite, keys};
use crate::error::ServerError;
use crate::instance::Instance;
use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use serde_json::Value as Json;
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thalweg_aggregate::Value;
use thalweg_definition::DirectFeature;
use thalweg_engine::literal::timestamp_text;
use thalweg_engine::{
    Ack, BATCH_RECORD, EngineError, Input, LoggedBatch, PushRequest, Runtime, SourceRuntime, Submitted, Ticket,
    ViewRuntime,
};

/// A feature with what it is made of.
struct Target {
    runtime: Arc<Runtime>,
    feature: DirectFeature,
    source: Arc<SourceRuntime>,
    view: Arc<ViewRuntime>,
}

/// A write, typed.
struct Typed {
    key: Vec<Value>,
    encoded: Vec<u8>,
    /// What the key's write in flight is found by.
    place: Vec<u8>,
    step: Step,
    at: Option<i64>,
    idempotency_key: Option<String>,
}

/// A write that was submitted, or that had been.
struct Accepted {
    ticket: Ticket,
    time: i64,
    /// Its number among the writes in flight, where it is the newest of its key.
    number: Option<u64>,
}

/// That this thread is accepting a write, for as long as this lives. Middlewares that see the rows run meanwhile, and
/// one of them that wrote such a feature itself would wait for a lock that its own push holds.
struct Accepting;

thread_local! {
    static ACCEPTING: Cell<bool> = const { Cell::new(false) };
}

impl Accepting {
    fn begin() -> Result<Self, ServerError> {
        if ACCEPTING.replace(true) {
            return Err(ServerError::Invalid(
                "a middleware that sees the rows of a directly written feature cannot write such a feature then: write \
                 it after the rows are set"
                    .to_owned(),
            ));
        }
        Ok(Self)
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        ACCEPTING.set(false);
    }
}

/// What came of one attempt.
enum Attempt {
    Accepted(Accepted),
    /// Another write has to be settled first.
    WaitFor(Ticket),
    /// The definitions that the write was typed by are no longer in force.
    Changed,
    /// What it was built on could not be written.
    Again(EngineError),
}

impl Instance {
    /// Writes a value by key; returns when it is durable and the next read sees it. Blocks, for as long as the
    /// feature's timeout allows.
    pub(crate) fn direct_write(&self, runtime: &Arc<Runtime>, write: &DirectWrite) -> Result<DirectAck, ServerError> {
        let selector = Selector::parse(&write.selector).and_then(Selector::whole).map_err(ServerError::Invalid)?;
        if let Some(at) = write.at.filter(|at| !EVENT_TIMES.contains(at)) {
            return Err(ServerError::Invalid(format!(
                "`at` is {at} microseconds: send a time in the years 1 to 9999, or leave it out"
            )));
        }
        self.write_by(runtime, selector.feature, patience, |target| {
            let key = keys::typed(&target.view.entity, &write.keys).map_err(ServerError::Invalid)?;
            let step = Step::of(&target.feature, write.operation, &write.value).map_err(ServerError::Invalid)?;
            Ok(Typed::new(target, key, step, write.at, write.idempotency_key.clone()))
        })
    }

    /// Sets a value that came from the feature's own service; waits for at most `patience`.
    pub(crate) fn write_fetched(
        &self,
        selector: &str,
        key: &[Value],
        value: &Json,
        patience: Duration,
    ) -> Result<DirectAck, ServerError> {
        self.write_by(
            &self.engine().runtime()?,
            selector,
            |_| Some(patience),
            |target| {
                let step = Step::of(&target.feature, DirectOperation::Set, value).map_err(ServerError::Invalid)?;
                Ok(Typed::new(target, key.to_vec(), step, None, None))
            },
        )
    }

    /// Types a write by the definitions in force and makes it: anew where they change before it is taken.
    fn write_by(
        &self,
        runtime: &Arc<Runtime>,
        selector: &str,
        patience: impl Fn(&DirectFeature) -> Option<Duration>,
        typed: impl Fn(&Target) -> Result<Typed, ServerError>,
    ) -> Result<DirectAck, ServerError> {
        let mut runtime = runtime.clone();
        for _ in 0..ATTEMPTS {
            let target = self.target(&runtime, selector)?;
            if let Some(ack) = self.write_typed(&target, &typed(&target)?, patience(&target.feature))? {
                return Ok(ack);
            }
            runtime = self.engine().runtime()?;
        }
        Err(ServerError::Unavailable("the definitions are changing: send again".to_owned()))
    }

    fn target(&self, runtime: &Arc<Runtime>, selector: &str) -> Result<Target, ServerError> {
        let feature = runtime.checked.manifest.direct(selector).cloned();
        let feature = feature.ok_or_else(|| ServerError::NotFound(unknown(selector, &[])))?;
        let object = feature.object_name();
        match (runtime.sources.get(&object).cloned(), runtime.views.get(&object).cloned()) {
            (Some(source), Some(view)) => Ok(Target { runtime: runtime.clone(), feature, source, view }),
            _ => Err(ServerError::Internal(format!("`{selector}` has no source and view of its own"))),
        }
    }

    /// None where the definitions have changed; nothing was written then.
    fn write_typed(
        &self,
        target: &Target,
        typed: &Typed,
        patience: Option<Duration>,
    ) -> Result<Option<DirectAck>, ServerError> {
        if self.is_stopping() {
            return Err(ServerError::Unavailable("the server is shutting down: send again when it is back".to_owned()));
        }
        let began = Instant::now();
        let Some(accepted) = self.accept(target, typed, began, patience)? else { return Ok(None) };
        let late = || {
            if !accepted.ticket.is_repeated() && !target.source.pipeline.is_empty() {
                self.direct.leave(accepted.ticket.clone());
            }
            ServerError::Deadline(format!(
                "`{}`: the write was not durable within its timeout, and may still become so: send it again with the \
                 same idempotency key",
                target.feature.selector()
            ))
        };
        let outcome = wait(&accepted.ticket, began, patience).ok_or_else(late)?;
        if let Some(number) = accepted.number {
            self.direct.settled(&typed.place, number);
        }
        let ack = outcome?;
        if ack.applied == 0 {
            let reason = ack.errors.first().map_or("it was left out", |error| error.reason.as_str());
            let source = &target.source.definition.name;
            return Err(ServerError::Invalid(format!(
                "`{}`: {reason}; the write is in the quarantine of source `{source}`",
                target.feature.selector()
            )));
        }
        let sequence = ack.first_sequence;
        let at = if ack.repeated {
            self.time_of(target, sequence)?.or(typed.at).unwrap_or(accepted.time)
        } else {
            accepted.time
        };
        if typed.idempotency_key.is_some() {
            self.direct.remember(sequence, at);
        }
        Ok(Some(DirectAck { sequence, repeated: ack.repeated, at }))
    }

    fn accept(
        &self,
        target: &Target,
        typed: &Typed,
        began: Instant,
        patience: Option<Duration>,
    ) -> Result<Option<Accepted>, ServerError> {
        let mut failure = None;
        for _ in 0..ATTEMPTS {
            match self.attempt(target, typed)? {
                Attempt::Accepted(accepted) => return Ok(Some(accepted)),
                Attempt::Changed => return Ok(None),
                Attempt::Again(error) => failure = Some(error),
                Attempt::WaitFor(ticket) => {
                    if wait(&ticket, began, patience).is_none() {
                        return Err(ServerError::Deadline(format!(
                            "`{}`: the write before it was not durable in time; nothing was written: send again",
                            target.feature.selector()
                        )));
                    }
                }
            }
        }
        failure.map_or(Ok(None), |error| Err(error.into()))
    }

    /// Computes and submits, with the key's lock held. The commit itself nobody waits for here.
    fn attempt(&self, target: &Target, typed: &Typed) -> Result<Attempt, ServerError> {
        let Target { feature, source, view, .. } = target;
        let object = source.definition.name.as_str();
        let _accepting = Accepting::begin()?;
        let mut shard = self.direct.shard(&typed.place);
        let earlier = typed.idempotency_key.as_ref().and_then(|key| self.engine().pushed_before(object, key));
        let now = self.engine().now();
        if let Some(ticket) = earlier {
            return Ok(Attempt::Accepted(Accepted { ticket, time: now, number: None }));
        }
        let (base, built_on) = if feature.is_windowed() {
            (Base::nothing(), None)
        } else {
            match shard.in_flight(&typed.place) {
                Some(pending) if pending.version != target.runtime.version => {
                    return Ok(Attempt::WaitFor(pending.ticket.clone()));
                }
                Some(pending) => (pending.after.clone(), Some(pending.ticket.clone())),
                None => (row::base(feature, view, &self.engine().newest(view, &typed.encoded)?)?, None),
            }
        };
        // A view that was filled anew knows of writes that this one does not. While the definitions are in force by
        // which the value was looked up, it has all that are settled; a write by others waits for the lock held here.
        if self.engine().runtime()?.version != target.runtime.version {
            return Ok(Attempt::Changed);
        }
        let time = self.event_time(feature, typed, &base, now)?;
        let row = typed.step.apply(feature, &base).map_err(ServerError::Invalid)?;
        let batch = row::batch(source, &view.entity, &typed.key, &row, time)?;
        let push = PushRequest {
            source: object,
            input: Input::Arrow(vec![batch]),
            idempotency_key: typed.idempotency_key.clone(),
            backfill: false,
        };
        let Submitted { ticket, rows } = match self.engine().submit_after(push, built_on.as_ref()) {
            Ok(submitted) => submitted,
            Err(error) if built_on.as_ref().is_some_and(Ticket::has_failed) => return Ok(Attempt::Again(error)),
            Err(error) => return Err(error.into()),
        };
        let after = match rows.filter(|rows| rows.num_rows() > 0 && !feature.is_windowed()) {
            None => None,
            Some(_) if source.pipeline.is_empty() => {
                Some(Base { value: row.value, previous: row.previous, time: Some(time) })
            }
            // Middlewares may have made another value of it.
            Some(rows) => Some(row::after(feature, source, &rows)?),
        };
        let time = after.as_ref().and_then(|after| after.time).unwrap_or(time);
        let after = after.filter(|_| base.time.is_none_or(|before| time >= before));
        let number = after.map(|after| {
            let number = self.direct.number();
            shard.install(&typed.place, after, ticket.clone(), target.runtime.version, number);
            number
        });
        Ok(Attempt::Accepted(Accepted { ticket, time, number }))
    }

    /// When the write happens, or why it cannot happen then.
    fn event_time(&self, feature: &DirectFeature, typed: &Typed, base: &Base, now: i64) -> Result<i64, ServerError> {
        let name = feature.selector();
        if typed.at.is_none() && !EVENT_TIMES.contains(&now) {
            return Err(ServerError::Invalid(format!(
                "`{name}`: the server's clock is that of events, and there was none: send the write's time as `at`"
            )));
        }
        let time = typed.at.unwrap_or(now);
        let Some(before) = base.time.filter(|before| time < *before && !typed.step.may_be_late(feature)) else {
            return Ok(time);
        };
        let (time, before) = (timestamp_text(time), timestamp_text(before));
        Err(ServerError::Invalid(if typed.at.is_none() {
            format!(
                "`{name}`: the newest write of this key is of {before}, as it was told, and ahead of the clock \
                 ({time}): send `at` no earlier than that, or wait"
            )
        } else if feature.keep_previous > 0 {
            format!(
                "`{name}` keeps the values before the newest, so that a write of {time} cannot come after one of \
                 {before}: leave `at` out"
            )
        } else {
            format!(
                "`{name}`: the newest write of this key is of {before}, and one of {time} cannot build on it: leave \
                 `at` out, or use set"
            )
        }))
    }

    /// The event time of an acknowledged write, from memory or from the log; none where the log no longer has it.
    fn time_of(&self, target: &Target, sequence: u64) -> Result<Option<i64>, ServerError> {
        if let Some(time) = self.direct.remembered(sequence) {
            return Ok(Some(time));
        }
        let Some(record) = self.engine().log_from(sequence).next().transpose()? else { return Ok(None) };
        if record.first_sequence != sequence || record.kind != BATCH_RECORD {
            return Ok(None);
        }
        let batch = LoggedBatch::decode(&record.payload)?;
        let times = batch.rows.column_by_name(&target.source.definition.timestamp);
        Ok(times.and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>()?.iter().next().flatten()))
    }
}

impl Typed {
    fn new(target: &Target, key: Vec<Value>, step: Step, at: Option<i64>, idempotency_key: Option<String>) -> Self {
        let encoded = keys::encoded(&key);
        let mut place = target.source.definition.name.clone().into_bytes();
        place.push(0);
        place.extend(&encoded);
        Self { key, encoded, place, step, at, idempotency_key }
    }
}

/// How long a write of the feature may take; none: as long as it takes.
fn patience(feature: &DirectFeature) -> Option<Duration> {
    feature.timeout.map(|timeout| Duration::from_micros(timeout.micros().unsigned_abs()))
}

/// What became of a push; none where that is not known in time.
fn wait(ticket: &Ticket, began: Instant, patience: Option<Duration>) -> Option<Result<Ack, EngineError>> {
    match patience {
        None => Some(ticket.wait()),
        Some(patience) => ticket.wait_for(patience.saturating_sub(began.elapsed())),
    }
}
