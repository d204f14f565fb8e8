//! A connection, encrypted or not, that ends when nothing moves on it for too long, whichever side is slow.

use super::limits::{CONNECTION_PAUSE, FIRST_BYTES};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// One client's connection. It holds its place among those that may be open.
pub struct Connection {
    stream: Stream,
    idle: Pin<Box<Sleep>>,
    /// Bytes that have to come before the wait starts anew.
    unheard: usize,
    _permit: OwnedSemaphorePermit,
}

enum Stream {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// Does the same with either kind of stream.
macro_rules! either {
    ($connection:expr, $stream:ident => $call:expr) => {
        match &mut $connection.stream {
            Stream::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Stream::Encrypted(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl Connection {
    pub(super) fn plain(stream: TcpStream, permit: OwnedSemaphorePermit) -> Self {
        Self::new(Stream::Plain(stream), permit)
    }

    pub(super) fn encrypted(stream: TlsStream<TcpStream>, permit: OwnedSemaphorePermit) -> Self {
        Self::new(Stream::Encrypted(Box::new(stream)), permit)
    }

    fn new(stream: Stream, permit: OwnedSemaphorePermit) -> Self {
        Self { stream, idle: Box::pin(sleep(CONNECTION_PAUSE)), unheard: 0, _permit: permit }
    }

    /// Ends the connection where its first bytes do not come within a time from now. Which version of HTTP a client
    /// speaks is known only with them, and the bounds of that version hold only from then on.
    pub fn speaking_within(mut self, time: Duration) -> Self {
        self.unheard = FIRST_BYTES;
        self.idle.as_mut().reset(Instant::now() + time);
        self
    }

    /// Who is answered has said enough, however short it was.
    fn answers(&mut self, written: &Poll<io::Result<usize>>) {
        if written.is_ready() {
            self.unheard = 0;
        }
    }

    /// Starts the wait anew where something moved; ends the connection where nothing did for too long.
    fn watched<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() && self.unheard == 0 {
            self.idle.as_mut().reset(Instant::now() + CONNECTION_PAUSE);
        }
        self.bounded(polled, context)
    }

    /// Ends the connection where nothing moved for too long.
    fn bounded<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            return polled;
        }
        ready!(self.idle.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = either!(self, stream => stream.poll_read(context, buffer));
        self.unheard = self.unheard.saturating_sub(buffer.filled().len() - before);
        self.watched(polled, context)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = either!(self, stream => stream.poll_write(context, bytes));
        self.answers(&polled);
        self.watched(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = either!(self, stream => stream.poll_write_vectored(context, parts));
        self.answers(&polled);
        self.watched(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Encrypted(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What is encrypted waits in memory until it is flushed: here too a client may be slow. That there was nothing
        // to flush is no sign of life.
        let polled = either!(self, stream => stream.poll_flush(context));
        self.bounded(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = either!(self, stream => stream.poll_shutdown(context));
        self.bounded(polled, context)
    }
}
