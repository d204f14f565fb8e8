//! Answers too large to hold: a thread writes them in chunks, and waits for the client at a bound.

use super::limits::{CHUNK_BYTES, CHUNKS_IN_FLIGHT};
use axum::body::Body;
use bytes::Bytes;
use std::io::{self, Write};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// A body that `write` fills from a thread of its own. Where it fails midway the connection is cut, so that a client
/// never takes a part for the whole.
pub fn stream(write: impl FnOnce(&mut dyn Write) -> Result<(), String> + Send + 'static) -> Body {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(CHUNKS_IN_FLIGHT);
    tokio::task::spawn_blocking(move || {
        let mut chunks = Chunks { sender: sender.clone(), buffer: Vec::with_capacity(CHUNK_BYTES) };
        let outcome = write(&mut chunks).and_then(|()| chunks.flush().map_err(|error| error.to_string()));
        if let Err(error) = outcome {
            // If the client is gone this has no receiver, and nobody misses it.
            if sender.blocking_send(Err(io::Error::other(error.clone()))).is_ok() {
                tracing::error!("a streamed answer broke off: {error}");
            }
        }
    });
    Body::from_stream(ReceiverStream::new(receiver))
}

struct Chunks {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK_BYTES));
        self.sender.blocking_send(Ok(chunk.into())).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}
