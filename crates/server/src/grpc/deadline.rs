//! How long the caller waits (`grpc-timeout`). A call past its time is answered DEADLINE_EXCEEDED and no longer waited
//! for; what was begun may still be finished: a push that is in the log stays.

use crate::error::ServerError;
use axum::http::HeaderMap;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, future, stream};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::Status;

/// The end of a call's time, if it has one.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Of the headers of a call, counted from now.
    pub fn of(headers: &HeaderMap) -> Result<Self, ServerError> {
        let Some(value) = headers.get("grpc-timeout") else { return Ok(Self(None)) };
        let text = value.to_str().unwrap_or("?");
        let time = timeout(text).ok_or_else(|| {
            ServerError::Invalid(format!("`grpc-timeout` is `{text}`: write up to 8 digits and one of H M S m u n"))
        })?;
        Ok(Self(Instant::now().checked_add(time)))
    }

    /// Refuses what nobody waits for any longer.
    pub fn check(self) -> Result<(), ServerError> {
        if self.0.is_some_and(|end| end <= Instant::now()) { Err(over()) } else { Ok(()) }
    }

    /// The outcome of what is done in time.
    pub async fn limit<T>(self, work: impl Future<Output = T>) -> Result<T, ServerError> {
        match self.0 {
            None => Ok(work.await),
            Some(end) => timeout_at(end, work).await.map_err(|_| over()),
        }
    }

    /// A stream of answers that ends with DEADLINE_EXCEEDED when its time is over.
    pub fn until<T: Send + 'static>(
        self,
        answers: impl Stream<Item = Result<T, Status>> + Send + 'static,
    ) -> BoxStream<'static, Result<T, Status>> {
        let Some(end) = self.0 else { return answers.boxed() };
        let answers = answers.map(Some).chain(stream::once(future::ready(None)));
        let late = stream::once(sleep_until(end)).map(|()| Some(Err(Status::from(over()))));
        let both = stream::select(answers, late).take_while(|item| future::ready(item.is_some()));
        both.filter_map(future::ready).boxed()
    }
}

fn over() -> ServerError {
    ServerError::Deadline(
        "the time that the caller gave was over: what had been begun may still be finished; give it more time"
            .to_owned(),
    )
}

fn timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(amount * 3600),
        'M' => Duration::from_secs(amount * 60),
        'S' => Duration::from_secs(amount),
        'm' => Duration::from_millis(amount),
        'u' => Duration::from_micros(amount),
        'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn given(text: &str) -> Result<Deadline, ServerError> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        Deadline::of(&headers)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
    }

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(timeout("3H"), Some(Duration::from_secs(10_800)));
        assert_eq!(timeout("2M"), Some(Duration::from_secs(120)));
        assert_eq!(timeout("10S"), Some(Duration::from_secs(10)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("1u"), Some(Duration::from_micros(1)));
        assert_eq!(timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for wrong in ["", "S", "10", "100000000S", "-1S", "1.5S", "1s", "1ü"] {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
        assert!(given("soon").unwrap_err().to_string().contains("up to 8 digits"));
        assert!(Deadline::of(&HeaderMap::new()).unwrap().check().is_ok());
    }

    #[test]
    fn what_is_late_is_refused_and_given_up() {
        runtime().block_on(async {
            assert_eq!(given("0n").unwrap().check().unwrap_err().code(), "DEADLINE");
            let slow = given("5m").unwrap().limit(future::pending::<()>()).await;
            assert_eq!(slow.unwrap_err().code(), "DEADLINE");
            assert_eq!(given("1H").unwrap().limit(future::ready(7)).await.unwrap(), 7);
        });
    }

    #[test]
    fn a_stream_ends_with_its_last_answer_or_when_its_time_is_over() {
        runtime().block_on(async {
            let two = || stream::iter([Ok::<i32, Status>(1), Ok(2)]);
            let all: Vec<_> = given("1H").unwrap().until(two()).collect().await;
            assert_eq!(all.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [1, 2]);
            let endless = two().chain(stream::pending());
            let mut late = given("5m").unwrap().until(endless);
            let mut code = Code::Ok;
            while let Some(item) = late.next().await {
                if let Err(status) = item {
                    code = status.code();
                    break;
                }
            }
            assert_eq!(code, Code::DeadlineExceeded);
        });
    }
}
