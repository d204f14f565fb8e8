//! Directly written features, through sessions, against an instance on a real directory.

mod concurrency;
mod fetching;
mod interplay;
mod operations;
mod service;
mod support;
mod time;
