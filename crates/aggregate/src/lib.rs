//! Accumulators, windows, tiles, and the reading of them: all arithmetic that makes a feature's value.
//!
//! ```text
//! FeatureView ──ViewPlan──▶ which expressions, which accumulators, which windows
//! row ──RowLayout──▶ packed row ──▶ EntityState (rows and tiles) ──read(q, cut)──▶ Answer (value, event time, status)
//! ```
//! The live path and the training set both build [`EntityState`]s and read them, so that there is one
//! implementation of a value. Nothing here does I/O, reads a clock or knows where rows come from.

mod accumulator;
mod arrays;
mod cell;
mod entity;
mod exact;
mod feature_plan;
mod layout;
mod nesting;
mod reduce;
mod slide;
mod view_plan;
mod window;

pub use accumulator::{Accumulator, AccumulatorSpec, Kind, Reading, ValueError};
pub use arrays::{ColumnReader, array_from_values, arrow_field, arrow_type, data_type_of};
pub use cell::{Cell, Value};
pub use entity::{Answer, DecodeError, EntityState, Status};
pub use exact::ExactSum;
pub use feature_plan::{Evaluated, FeatureColumn, FeaturePlan, ViewUse};
pub use layout::{NEVER, RowLayout, RowRef, SlotKind, Stamp};
pub use reduce::{Expression, Expressions, KeyEncoder, ReducedRows, Reducer, RowExpression, encode_key};
pub use slide::Slider;
pub use view_plan::{Output, Slot, ViewPlan};
pub use window::{Span, floor, span};
