//! The one mapping of errors to gRPC: a status code, and `google.rpc` details with which a program decides what to do.

use super::limits::{ERROR_BYTES, RETRY_AFTER_MS, VIOLATION_BYTES};
use crate::error::ServerError;
use prost::Message;
use std::collections::HashMap;
use std::time::Duration;
use thalweg_definition::Problem;
use thalweg_engine::EngineError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt, pb};

/// Whose reasons they are.
const DOMAIN: &str = "thalweg";

impl From<ServerError> for Status {
    fn from(error: ServerError) -> Self {
        described(error, None)
    }
}

/// The error of one push of a stream: its index is in the message and in the `ErrorInfo`.
pub fn of_push(error: ServerError, push: u64) -> Status {
    described(error, Some(push))
}

/// A bound of the door was met.
pub fn overloaded(what: &str) -> ServerError {
    EngineError::Overloaded { what: what.to_owned(), retry_after_ms: RETRY_AFTER_MS }.into()
}

/// A status as it stands inside an answer.
pub fn inside(status: &Status) -> pb::Status {
    let whole = pb::Status::decode(status.details()).ok().filter(|_| !status.details().is_empty());
    whole.unwrap_or_else(|| pb::Status {
        code: status.code() as i32,
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

fn described(error: ServerError, push: Option<u64>) -> Status {
    let code = error.code();
    let grpc = grpc_code(code);
    if grpc == Code::Internal {
        tracing::error!(code, "{error}");
    }
    let mut details = ErrorDetails::new();
    let metadata: HashMap<String, String> =
        push.map(|push| ("push".to_owned(), push.to_string())).into_iter().collect();
    details.set_error_info(code, DOMAIN, metadata);
    if let Some(wait) = error.retry_after_ms() {
        details.set_retry_info(Some(Duration::from_millis(wait)));
    }
    if let Some(problems) = error.problems() {
        details.set_bad_request(violations(problems));
    }
    let message = match push {
        Some(push) => format!("push {push} of the stream: {error}"),
        None => error.to_string(),
    };
    Status::with_error_details(grpc, shortened(&message, ERROR_BYTES), details)
}

fn grpc_code(code: &str) -> Code {
    match code {
        "NOT_FOUND" => Code::NotFound,
        "INVALID" => Code::InvalidArgument,
        "BREAKING" => Code::FailedPrecondition,
        "CANCELLED" => Code::Aborted,
        "UNAUTHENTICATED" => Code::Unauthenticated,
        "FORBIDDEN" => Code::PermissionDenied,
        "OVERLOADED" | "RATE_LIMITED" => Code::ResourceExhausted,
        "DEADLINE" => Code::DeadlineExceeded,
        "UNAVAILABLE" => Code::Unavailable,
        _ => Code::Internal,
    }
}

/// The first broken rules, as far as there is room.
fn violations(problems: &[Problem]) -> Vec<FieldViolation> {
    let mut room = VIOLATION_BYTES;
    let mut listed = Vec::new();
    for problem in problems {
        let place = problem.origin.as_ref().map_or_else(String::new, |origin| format!(" ({origin})"));
        let description = format!("{}; {}{place}", problem.rule, problem.mend);
        let Some(rest) = room.checked_sub(problem.object.len() + description.len()) else { break };
        room = rest;
        listed.push(FieldViolation::new(problem.object.clone(), description));
    }
    listed
}

fn shortened(text: &str, bytes: usize) -> String {
    const MORE: &str = " ..";
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes - MORE.len()).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}{MORE}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_definition::DefinitionError;

    #[test]
    fn every_code_has_its_status() {
        let code = |error: ServerError| Status::from(error).code();
        let text = String::new;
        assert_eq!(code(ServerError::NotFound(text())), Code::NotFound);
        assert_eq!(code(ServerError::Invalid(text())), Code::InvalidArgument);
        assert_eq!(code(ServerError::Breaking(text())), Code::FailedPrecondition);
        assert_eq!(code(ServerError::Unauthenticated(text())), Code::Unauthenticated);
        assert_eq!(code(ServerError::Forbidden(text())), Code::PermissionDenied);
        assert_eq!(code(ServerError::Deadline(text())), Code::DeadlineExceeded);
        assert_eq!(code(ServerError::Unavailable(text())), Code::Unavailable);
        assert_eq!(code(ServerError::Internal(text())), Code::Internal);
        assert_eq!(code(EngineError::Storage(text()).into()), Code::Internal);
        assert_eq!(code(overloaded("the queue is full")), Code::ResourceExhausted);
        assert_eq!(code(ServerError::RateLimited { what: text(), retry_after_ms: 1 }), Code::ResourceExhausted);
        assert_eq!(grpc_code("CANCELLED"), Code::Aborted);
    }

    #[test]
    fn details_say_what_a_program_needs() {
        let status = Status::from(ServerError::RateLimited { what: "slow down".to_owned(), retry_after_ms: 1500 });
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("RATE_LIMITED", "thalweg"));
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(1500)));
        assert!(details.bad_request().is_none());

        let status = of_push(ServerError::NotFound("there is no source `x`".to_owned()), 7);
        assert_eq!(status.message(), "push 7 of the stream: there is no source `x`");
        assert_eq!(status.get_error_details().error_info().unwrap().metadata["push"], "7");
    }

    #[test]
    fn broken_rules_are_field_violations_within_bounds() {
        let problem = |index: usize| Problem::new(format!("view:v{index}"), "a rule", "a mend".repeat(20));
        let problems: Vec<Problem> = (0..100).map(problem).collect();
        let status = Status::from(ServerError::Definition(DefinitionError(problems)));
        assert!(status.message().len() <= ERROR_BYTES && status.message().ends_with(" .."));
        let details = status.get_error_details();
        let listed = &details.bad_request().unwrap().field_violations;
        assert_eq!(listed[0].field, "view:v0");
        assert!(listed[0].description.starts_with("a rule; a mend"));
        assert!(listed.len() > 5 && listed.len() < 20, "{}", listed.len());
        assert!(status.details().len() < 6 * 1024, "{} bytes", status.details().len());
    }

    #[test]
    fn a_status_inside_an_answer_has_the_same_details() {
        let status = Status::from(ServerError::NotFound("no".to_owned()));
        let inside_answer = inside(&status);
        assert_eq!((inside_answer.code, inside_answer.message.as_str()), (5, "no"));
        assert_eq!(inside_answer.details[0].type_url, "type.googleapis.com/google.rpc.ErrorInfo");
        let bare = inside(&Status::internal("why"));
        assert_eq!((bare.code, bare.message.as_str(), bare.details.len()), (13, "why", 0));
    }
}
