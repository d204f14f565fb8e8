//! The lake from outside.

mod expressions;
mod faulty_store;
mod files;
mod history;
mod history_faults;
mod support;
mod training;
