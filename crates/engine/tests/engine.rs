//! The engine on a disk that crashes, fills up and decays, under a clock that the test sets. Every run of chance is
//! a seed; a failure prints it.

#[path = "engine/builds.rs"]
mod builds;
#[path = "engine/changes.rs"]
mod changes;
#[path = "engine/crash.rs"]
mod crash;
#[path = "engine/disk.rs"]
mod disk;
#[path = "engine/expressions.rs"]
mod expressions;
#[path = "engine/hostile.rs"]
mod hostile;
#[path = "engine/middleware.rs"]
mod middleware;
#[path = "engine/newest.rs"]
mod newest;
#[path = "engine/push.rs"]
mod push;
#[path = "engine/regressions.rs"]
mod regressions;
#[path = "engine/restart.rs"]
mod restart;
#[path = "engine/steps.rs"]
mod steps;
#[path = "engine/support.rs"]
mod support;
#[path = "engine/timeline.rs"]
mod timeline;
#[path = "engine/trace.rs"]
mod trace;
