//! Errors in the words that Redis clients know: the first one says what kind it is.

use crate::error::ServerError;

pub const NOAUTH: &str = "NOAUTH Authentication required.";
pub const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
pub const WRONGTYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
pub const NOPROTO: &str = "NOPROTO unsupported protocol version";
pub const SYNTAX: &str = "ERR syntax error";
pub const NO_INTEGER: &str = "ERR value is not an integer or out of range";
pub const NO_FLOAT: &str = "ERR value is not a valid float";

/// An error as this door tells it. `TRYAGAIN` and `LOADING` are those after which clients try again by themselves.
pub fn line(error: &ServerError) -> String {
    match error.code() {
        "UNAUTHENTICATED" => NOAUTH.to_owned(),
        "FORBIDDEN" => format!("NOPERM {error}"),
        "OVERLOADED" | "RATE_LIMITED" => format!("TRYAGAIN {error}"),
        "UNAVAILABLE" => format!("LOADING {error}"),
        code => {
            if matches!(code, "STORAGE" | "INTERNAL") {
                tracing::error!(code, "{error}");
            }
            format!("ERR {error}")
        }
    }
}

/// A request that breaks a rule.
pub fn invalid(why: impl std::fmt::Display) -> String {
    format!("ERR {why}")
}

/// That a piece of work came to no end.
pub fn unfinished() -> String {
    "ERR the command could not be finished; the server's log says why".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use thalweg_engine::EngineError;

    #[test]
    fn every_kind_has_its_word() {
        let told = |error: ServerError| line(&error);
        assert_eq!(told(ServerError::Unauthenticated("no key".to_owned())), NOAUTH);
        assert_eq!(told(ServerError::Forbidden("not yours".to_owned())), "NOPERM not yours");
        assert_eq!(told(ServerError::Unavailable("soon".to_owned())), "LOADING soon");
        assert_eq!(told(ServerError::NotFound("no".to_owned())), "ERR no");
        let overloaded = EngineError::Overloaded { what: "full".to_owned(), retry_after_ms: 5 };
        assert_eq!(told(overloaded.into()), "TRYAGAIN full: send again in 5 ms");
    }
}
