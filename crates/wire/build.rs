//! Makes Rust of the protobuf files, and the proto3 JSON mapping with original field names. Needs no protoc.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let manifest = root.join("thalweg/v1/manifest.proto");
    println!("cargo::rerun-if-changed={}", manifest.display());

    let descriptors = protox::compile([&manifest], [&root])?;
    let mut json = pbjson_build::Builder::new();
    json.preserve_proto_field_names();
    for file in &descriptors.file {
        json.register_file_descriptor(file.clone());
    }
    json.build(&[".thalweg"])?;
    // The comments are for readers of the proto files; as Rust documentation they would be linted.
    prost_build::Config::new().disable_comments(["."]).compile_fds(descriptors)?;
    Ok(())
}
