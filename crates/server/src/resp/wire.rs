//! The bytes of one connection: both directions at once, so that a client that sends a long pipeline before it reads
//! does not stand still, and within bounds, so that one that never reads costs little and not for ever.

use super::limits::{
    IDLE_PAUSE, KEPT_BYTES, MAX_OUTPUT_BYTES, MAX_OUTPUT_BYTES_OF_ALL, READ_BYTES, SEND_PAUSE, SMALL_OUTPUT_BYTES,
};
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep};

/// How long a client is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// While it leaves answers unread.
    pub send: Duration,
    pub idle: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { send: SEND_PAUSE, idle: IDLE_PAUSE }
    }
}

pub struct Wire<S> {
    stream: S,
    unflushed: bool,
    share: Share,
    pauses: Pauses,
    /// Rings when a pause may have become too long.
    alarm: Pin<Box<Sleep>>,
    /// Whether it was last set for answers that are not read.
    sending: bool,
    moved: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// `waiting` counts the bytes of answers that wait for any client.
    pub fn new(stream: S, waiting: Arc<AtomicUsize>, pauses: Pauses) -> Self {
        Self {
            stream,
            unflushed: false,
            share: Share { all: waiting, own: 0 },
            pauses,
            alarm: Box::pin(sleep(pauses.idle)),
            sending: false,
            moved: Instant::now(),
        }
    }

    /// Reads more, and sends meanwhile; returns how many bytes came, 0 at their end. Reading waits until there is room
    /// for the answers.
    pub async fn receive(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> io::Result<usize> {
        slim(input);
        if input.capacity() - input.len() < READ_BYTES / 2 {
            input.reserve(READ_BYTES);
        }
        poll_fn(|context| {
            if let Poll::Ready(Err(error)) = self.poll_send(context, output) {
                return Poll::Ready(Err(error));
            }
            if self.has_room(output) {
                let read = pin!(self.stream.read_buf(input)).poll(context);
                if read.is_ready() {
                    self.moved = Instant::now();
                    return read;
                }
            }
            self.poll_pause(context, !output.is_empty())
        })
        .await
    }

    /// Sends what can be sent at once; waits only while there is no room for further answers.
    pub async fn make_room(&mut self, output: &mut BytesMut) -> io::Result<()> {
        poll_fn(|context| {
            if let Poll::Ready(Err(error)) = self.poll_send(context, output) {
                return Poll::Ready(Err(error));
            }
            if self.has_room(output) {
                return Poll::Ready(Ok(()));
            }
            self.poll_pause(context, true)
        })
        .await
    }

    /// Sends everything.
    pub async fn send(&mut self, output: &mut BytesMut) -> io::Result<()> {
        poll_fn(|context| match self.poll_send(context, output) {
            Poll::Pending => self.poll_pause(context, true),
            done => done,
        })
        .await
    }

    fn poll_send(&mut self, context: &mut Context<'_>, output: &mut BytesMut) -> Poll<io::Result<()>> {
        while !output.is_empty() {
            let sent = match Pin::new(&mut self.stream).poll_write(context, output) {
                Poll::Ready(sent) => sent?,
                Poll::Pending => {
                    self.share.set(output.len());
                    return Poll::Pending;
                }
            };
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            output.advance(sent);
            self.unflushed = true;
            self.moved = Instant::now();
        }
        self.share.set(0);
        slim(output);
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn has_room(&self, output: &BytesMut) -> bool {
        output.len() < SMALL_OUTPUT_BYTES || (output.len() < MAX_OUTPUT_BYTES && self.share.others_leave_room())
    }

    /// An error once nothing has moved for too long.
    fn poll_pause<T>(&mut self, context: &mut Context<'_>, sending: bool) -> Poll<io::Result<T>> {
        let pause = if sending { self.pauses.send } else { self.pauses.idle };
        let due = self.moved + pause;
        if self.sending != sending {
            self.sending = sending;
            self.alarm.as_mut().reset(due);
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= due {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            self.alarm.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// Gives back what a large command or answer had taken.
fn slim(buffer: &mut BytesMut) {
    if buffer.is_empty() && buffer.capacity() > KEPT_BYTES {
        *buffer = BytesMut::new();
    }
}

/// A connection's part of all answers that wait.
struct Share {
    all: Arc<AtomicUsize>,
    own: usize,
}

impl Share {
    fn set(&mut self, own: usize) {
        if own > self.own {
            self.all.fetch_add(own - self.own, Ordering::Relaxed);
        } else if own < self.own {
            self.all.fetch_sub(self.own - own, Ordering::Relaxed);
        }
        self.own = own;
    }

    fn others_leave_room(&self) -> bool {
        self.all.load(Ordering::Relaxed) < MAX_OUTPUT_BYTES_OF_ALL
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt, duplex};

    const SHORT: Pauses = Pauses { send: Duration::from_millis(50), idle: Duration::from_millis(50) };
    const LONG: Pauses = Pauses { send: Duration::from_secs(60), idle: Duration::from_secs(60) };

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn a_client_that_does_not_read_is_left_after_a_time() {
        run(async {
            let (near, _far) = duplex(64);
            let waiting = Arc::new(AtomicUsize::new(0));
            let mut wire = Wire::new(near, waiting.clone(), Pauses { send: SHORT.send, ..LONG });
            let mut output = BytesMut::from([b'x'; 1000].as_slice());
            let error = wire.send(&mut output).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(waiting.load(Ordering::Relaxed), 1000 - 64);
            drop(wire);
            assert_eq!(waiting.load(Ordering::Relaxed), 0);
        });
    }

    #[test]
    fn a_silent_client_is_left_after_a_time() {
        run(async {
            let (near, _far) = duplex(64);
            let mut wire = Wire::new(near, Arc::default(), SHORT);
            let error = wire.receive(&mut BytesMut::new(), &mut BytesMut::new()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn it_reads_while_answers_wait_but_not_without_bound() {
        run(async {
            let (near, mut far) = duplex(64);
            let mut wire = Wire::new(near, Arc::default(), Pauses { send: SHORT.send, ..LONG });
            let (mut input, mut output) = (BytesMut::new(), BytesMut::from([b'x'; 1000].as_slice()));
            far.write_all(b"PING\r\n").await.unwrap();
            assert_eq!(wire.receive(&mut input, &mut output).await.unwrap(), 6);
            output.resize(MAX_OUTPUT_BYTES + 64, b'x');
            far.write_all(b"PING\r\n").await.unwrap();
            assert!(wire.receive(&mut input, &mut output).await.is_err());
            assert_eq!(input.len(), 6);
        });
    }

    #[test]
    fn when_many_answers_wait_only_those_with_few_go_on() {
        run(async {
            let (near, _far) = duplex(64);
            let waiting = Arc::new(AtomicUsize::new(MAX_OUTPUT_BYTES_OF_ALL));
            let mut wire = Wire::new(near, waiting, SHORT);
            let mut output = BytesMut::from([b'x'; 1000].as_slice());
            wire.make_room(&mut output).await.unwrap();
            output.resize(SMALL_OUTPUT_BYTES + 64, b'x');
            assert!(wire.make_room(&mut output).await.is_err());
        });
    }
}
