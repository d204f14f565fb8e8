//! The arithmetic of features against slow references: exact sums, edges of windows, accumulators, entities with
//! thousands of rows, sketches. Every run of chance is a seed; a failure prints it.

#[path = "aggregate/accumulators.rs"]
mod accumulators;
#[path = "aggregate/entity.rs"]
mod entity;
#[path = "aggregate/exact.rs"]
mod exact;
#[path = "aggregate/expiry.rs"]
mod expiry;
#[path = "aggregate/moments.rs"]
mod moments;
#[path = "aggregate/sketches.rs"]
mod sketches;
#[path = "aggregate/stored.rs"]
mod stored;
#[path = "aggregate/support.rs"]
mod support;
#[path = "aggregate/windows.rs"]
mod windows;
