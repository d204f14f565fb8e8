//! Feature requests and answers as JSON. Knows no HTTP: the engine in the process speaks the same.
//!
//! ```text
//! {"service": "s" | "features": [..], "entities": {column: [..]}, "request": {column: [..]}, "as_of": time}
//! {"as_of": time, "entities": {..}, "results": [{"name", "type", "values", "event_times", "statuses", "errors"?}]}
//! ```

mod direct;
mod read;
mod write;

use serde::Deserialize;

pub use direct::{direct_get, direct_write};
pub use read::parse_feature_request;
pub use read::point_in_time;
pub(crate) use read::{expected, unexpected};
pub use write::feature_response;
pub(crate) use write::{plain_text, separate, write_map, write_text, write_value};

/// What a JSON object says. A list is refused, though its items may be in the order of the members.
pub(crate) fn from_object<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, String> {
    if !text.trim_ascii_start().starts_with(b"{") {
        return Err("it is no JSON object".to_owned());
    }
    serde_json::from_slice(text).map_err(|error| error.to_string())
}
