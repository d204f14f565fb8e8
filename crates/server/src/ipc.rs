//! Arrow IPC streams that callers send, for every door. The checks are the engine's, whose log has such streams too.

pub use thalweg_engine::ipc::batches;
