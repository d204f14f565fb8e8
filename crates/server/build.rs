//! Makes the gRPC services of the protobuf files, and their descriptors for reflection. Needs no protoc. The messages of
//! definitions are made in `wire`: a manifest travels as JSON here.

use std::error::Error;
use std::path::PathBuf;

/// The files with services.
const FILES: [&str; 4] =
    ["thalweg/v1/features.proto", "thalweg/v1/events.proto", "thalweg/v1/admin.proto", "thalweg/v1/direct.proto"];
/// What they import besides each other.
const STATUS: &str = "google/rpc/status.proto";

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    for file in FILES.iter().chain([&STATUS]) {
        println!("cargo::rerun-if-changed={}", root.join(file).display());
    }
    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_imports(true).include_source_info(true).open_files(FILES.map(|file| root.join(file)))?;
    std::fs::write(out.join("thalweg.v1.descriptors"), compiler.encode_file_descriptor_set())?;
    // The comments are for readers of the proto files; as Rust documentation they would be linted.
    let plain = compiler.include_source_info(false).file_descriptor_set();
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .bytes(".thalweg.v1.PushRequest")
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds(plain)?;
    Ok(())
}
