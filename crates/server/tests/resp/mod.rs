//! The Redis door over connections in memory, with a real instance behind it.

mod client;
mod direct;
mod keys;
mod pipelines;
mod protocol;
mod reads;
mod world;
