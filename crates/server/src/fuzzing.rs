//! The decoders of the doors by name, for `thalweg-fuzz`, which feeds them with hostile bytes. Only with the feature
//! `fuzzing`; nothing here is for anybody else.

pub use crate::access::{Audit, AuditQuery, Position};
pub use crate::grpc::columns::{read_column, write_column};
pub use crate::grpc::v1::{DirectGetRequest, DirectWriteRequest, GetFeaturesRequest, PushRequest, ValueColumn};
pub use crate::http::feast::form::{Form, Members};
pub use crate::http::feast::frame::{Target, rows as feast_rows};
pub use crate::ipc::batches as arrow_batches;
pub use crate::resp::key::{Key, Points, unescape, unescape_text};
pub use crate::resp::parse::{Batch, Bounds, Command, Parser, Violation};
