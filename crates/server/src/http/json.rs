//! Feature requests and answers as JSON. Knows no HTTP: the engine in the process speaks the same.
//!
//! ```text
//! {"service": "s" | "features": [..], "entities": {column: [..]}, "request": {column: [..]}, "as_of": time}
//! {"as_of": time, "entities": {..}, "results": [{"name", "type", "values", "event_times", "statuses", "errors"?}]}
//! ```

mod read;
mod write;

pub use read::parse_feature_request;
pub(crate) use read::{expected, point_in_time, unexpected};
pub use write::feature_response;
pub(crate) use write::{plain_text, separate, write_text, write_value};
