//! The Redis door: features for every client of Redis, without one of our own. Services and direct features are keys,
//! features are fields; what is read and written is decided by the session, as at every door.
//!
//! ```text
//! bytes ─▶ wire (both directions, bounded) ─▶ parse (whole commands) ─▶ client ─┬▶ about (HELLO, INFO, ...)
//!                                                                               ├▶ direct (SET, ...) ─▶ session
//!   ◀── wire ◀── reply (RESP2, RESP3) ◀── answers ◀── session ◀── gather (reads together) ◀┘
//! ```

mod about;
mod answers;
mod client;
mod commands;
mod direct;
mod errors;
mod face;
mod gather;
pub(crate) mod key;
mod limits;
pub(crate) mod parse;
mod reply;
mod typed;
mod values;
mod wire;

use crate::error::ServerError;
use crate::instance::Instance;
use crate::listening::Listening;
use crate::session::Session;
use bytes::{Buf, BytesMut};
use client::Client;
use face::Faces;
use limits::{BATCH_COMMANDS, DRAIN_TIME};
use parse::{Bounds, Parser, Violation};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Instant;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;
use wire::{Pauses, Wire};

pub use key::escape as escape_key_part;

/// What the connections of this door have in common.
pub struct Common {
    instance: Arc<Instance>,
    faces: Faces,
    /// Bytes of answers that wait for any client.
    waiting: Arc<AtomicUsize>,
    connected: AtomicUsize,
    newest: AtomicI64,
    began: Instant,
}

impl Common {
    pub fn new(instance: Arc<Instance>) -> Arc<Self> {
        Arc::new(Self {
            instance,
            faces: Faces::default(),
            waiting: Arc::default(),
            connected: AtomicUsize::new(0),
            newest: AtomicI64::new(0),
            began: Instant::now(),
        })
    }

    /// A further client; its number.
    fn arrived(&self) -> i64 {
        self.connected.fetch_add(1, Ordering::Relaxed);
        self.newest.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn left(&self) {
        self.connected.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves connections until it is told to stop; then lets commands under way finish.
pub async fn serve(instance: Arc<Instance>, mut listener: Listening, mut stopping: watch::Receiver<bool>) {
    let common = Common::new(instance);
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            () = told(&mut stopping) => break,
            accepted = listener.accept() => accepted,
        };
        connections.spawn(converse(common.clone(), stream, Some(peer), stopping.clone()));
        while let Some(outcome) = connections.try_join_next() {
            ended(outcome);
        }
    }
    drop(listener);
    let drained = timeout(DRAIN_TIME, async {
        while let Some(outcome) = connections.join_next().await {
            ended(outcome);
        }
    });
    if drained.await.is_err() {
        tracing::warn!("Redis commands still under way after {} s are cut off", DRAIN_TIME.as_secs());
        connections.shutdown().await;
    }
}

fn ended(outcome: Result<io::Result<()>, JoinError>) {
    match outcome {
        // Clients come and go as they like.
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a Redis connection ended: {error}"),
        Err(error) => tracing::error!("a Redis connection panicked: {error}"),
    }
}

async fn told(stopping: &mut watch::Receiver<bool>) {
    // Whoever could say so is gone: that is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// Answers one client until it goes, breaks the protocol, or the server stops. The error is that of its connection.
pub async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    common: Arc<Common>,
    stream: S,
    peer: Option<SocketAddr>,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut wire = Wire::new(stream, common.waiting.clone(), Pauses::default());
    let mut client = Client::new(common, peer);
    let mut parser = Parser::default();
    let mut input = BytesMut::new();
    let stopped = stopping.clone();
    let mut stop = pin!(told(&mut stopping));
    loop {
        // Of somebody who may be known after the next command, no more than that is judged.
        let most = if client.is_known() { BATCH_COMMANDS } else { 1 };
        parser.parse(&input, most, Bounds::of(client.is_known()));
        if parser.is_for_the_known() && client.let_in().is_ok() {
            parser.forgive();
            continue;
        }
        let batch = parser.batch(&input);
        let (count, mut next) = (batch.count(), 0);
        while next < count && !client.is_closing() {
            next = client.answer(batch, next).await;
            wire.make_room(&mut client.reply.out).await?;
        }
        if client.is_closing() {
            return wire.send(&mut client.reply.out).await;
        }
        if let Some(violation) = parser.violation() {
            refuse(&mut client, violation);
            return wire.send(&mut client.reply.out).await;
        }
        input.advance(parser.finish());
        if count == most && !*stopped.borrow() {
            // There may be more: others have their turn first.
            tokio::task::yield_now().await;
            continue;
        }
        let read = tokio::select! {
            biased;
            () = &mut stop => 0,
            read = wire.receive(&mut input, &mut client.reply.out) => read?,
        };
        if read == 0 {
            return wire.send(&mut client.reply.out).await;
        }
    }
}

fn refuse(client: &mut Client, violation: Violation) {
    match violation {
        Violation::Http => tracing::warn!("{violation}; the connection is closed"),
        violation => client.reply.error(&violation.to_string()),
    }
}

/// Does a piece of work: on the spot, or on a thread that may block. The error is in this door's words.
async fn work<T: Send + 'static>(
    session: &Session,
    blocks: bool,
    piece: impl FnOnce(&Session) -> Result<T, ServerError> + Send + 'static,
) -> Result<T, String> {
    let outcome = if blocks {
        let session = session.clone();
        match tokio::task::spawn_blocking(move || piece(&session)).await {
            Ok(outcome) => outcome,
            Err(_) => return Err(errors::unfinished()),
        }
    } else {
        piece(session)
    };
    outcome.map_err(|error| errors::line(&error))
}
