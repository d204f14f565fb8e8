//! Feature requests and answers as JSON. Knows no HTTP: the engine in the process speaks the same.
//!
//! ```text
//! {"service": "s" | "features": [..], "entities": {column: [..]}, "request": {column: [..]}, "as_of": time}
//! {"as_of": time, "entities": {..}, "results": [{"name", "type", "values", "event_times", "statuses", "errors"?}]}
//! ```

mod direct;
mod read;
mod write;

pub use direct::{direct_get, direct_write};
pub use read::parse_feature_request;
pub use read::point_in_time;
pub(crate) use read::{expected, unexpected};
pub use write::feature_response;
pub(crate) use write::{plain_text, separate, write_text, write_value};
