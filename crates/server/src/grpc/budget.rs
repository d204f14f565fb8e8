//! The memory that messages take: bytes are counted as they come in, and for as long as the message that they make is
//! worked on, so that many large ones at a time are pushed back instead of taking all memory.

use super::errors::overloaded;
use super::limits::{MEMORY_FLOOR, MESSAGES_IN_MEMORY};
use crate::error::ServerError;
use axum::body::Body;
use futures::StreamExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tonic::Status;

/// What all messages together may take.
#[derive(Debug, Clone)]
pub struct Budget {
    limit: u64,
    used: Arc<AtomicU64>,
}

/// A part of the budget; it comes back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: AtomicU64,
    /// Of the chunk that came last.
    newest: AtomicU64,
}

impl Budget {
    /// Room for some of the largest messages.
    pub fn new(largest: u64) -> Self {
        let limit = largest.saturating_mul(MESSAGES_IN_MEMORY).saturating_add(MEMORY_FLOOR);
        Self { limit, used: Arc::default() }
    }

    pub fn share(&self) -> Arc<Share> {
        Arc::new(self.nothing())
    }

    fn nothing(&self) -> Share {
        Share { budget: self.clone(), bytes: AtomicU64::new(0), newest: AtomicU64::new(0) }
    }
}

impl Share {
    /// The body, with every byte that comes in counted.
    pub fn counted(self: &Arc<Self>, body: Body) -> Body {
        let share = self.clone();
        Body::from_stream(body.into_data_stream().map(move |chunk| {
            let chunk = chunk?;
            share.newest.store(chunk.len() as u64, Ordering::Release);
            share.take(chunk.len() as u64).map_err(|error| axum::Error::new(Status::from(error)))?;
            Ok::<_, axum::Error>(chunk)
        }))
    }

    /// Bytes that came in are a message of this size now, with a share of its own. To be called before the next message
    /// is read.
    pub fn made_into(&self, bytes: usize) -> Result<Share, ServerError> {
        let bytes = bytes as u64;
        let came_in = self.bytes.load(Ordering::Acquire);
        // What is not read yet came with the newest chunk. All else went with its messages: the frames around them, and
        // fields that nobody knows, or a long stream would take the whole budget by and by.
        let unread = came_in.saturating_sub(bytes).min(self.newest.load(Ordering::Acquire));
        self.bytes.fetch_sub(came_in - unread, Ordering::AcqRel);
        self.budget.used.fetch_sub(came_in - unread, Ordering::AcqRel);
        let share = self.budget.nothing();
        share.take(bytes)?;
        Ok(share)
    }

    fn take(&self, bytes: u64) -> Result<(), ServerError> {
        let before = self.budget.used.fetch_add(bytes, Ordering::AcqRel);
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        if before.saturating_add(bytes) > self.budget.limit {
            // Dropping the share gives back what was just taken as well.
            return Err(overloaded("the memory for messages is taken"));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes.load(Ordering::Acquire), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::stream;

    fn used(budget: &Budget) -> u64 {
        budget.used.load(Ordering::Acquire)
    }

    async fn all(body: Body) -> Result<usize, axum::Error> {
        let mut read = 0;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            read += chunk?.len();
        }
        Ok(read)
    }

    fn body(chunks: usize, bytes: usize) -> Body {
        Body::from_stream(stream::iter((0..chunks).map(move |_| Ok::<_, axum::Error>(Bytes::from(vec![0; bytes])))))
    }

    #[test]
    fn bytes_are_counted_until_they_are_dropped() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let budget = Budget::new(1 << 20);
        let share = budget.share();
        assert_eq!(runtime.block_on(all(share.counted(body(3, 1000)))).unwrap(), 3000);
        assert_eq!(used(&budget), 3000);
        let message = share.made_into(2500).unwrap();
        assert_eq!(used(&budget), 3000, "what came in is what the message takes");
        drop(message);
        assert_eq!(used(&budget), 500);
        drop(share);
        assert_eq!(used(&budget), 0);
    }

    /// A message is less than the bytes that it came as.
    #[test]
    fn a_long_stream_takes_no_more_than_a_short_one() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let budget = Budget::new(1 << 20);
        let share = budget.share();
        for _ in 0..1000 {
            runtime.block_on(all(share.counted(body(1, 1000)))).unwrap();
            drop(share.made_into(900).unwrap());
        }
        assert!(used(&budget) <= 1000, "{}", used(&budget));
        drop(share);
        assert_eq!(used(&budget), 0);
    }

    /// Many callers with large messages must not take all memory together.
    #[test]
    fn what_goes_past_the_budget_is_refused_and_given_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let budget = Budget::new(1 << 20);
        let first = budget.share();
        assert!(runtime.block_on(all(first.counted(body(11, 1 << 20)))).is_ok());
        let second = budget.share();
        let error = runtime.block_on(all(second.counted(body(2, 1 << 20)))).unwrap_err();
        assert!(error.to_string().contains("memory for messages"), "{error}");
        assert!(second.made_into(64 << 20).is_err());
        drop((first, second));
        assert_eq!(used(&budget), 0);
    }
}
