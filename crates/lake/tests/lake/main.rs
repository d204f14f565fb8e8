//! The lake from outside.

mod expressions;
mod files;
mod history;
mod support;
mod training;
