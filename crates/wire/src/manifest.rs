//! The manifest on the wire: read with all its problems at once, written in one canonical form.

mod read;
mod write;

use crate::v1;
use prost::Message;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use thalweg_definition::{DefinitionError, Manifest, Problem};

pub use read::from_proto;
pub use write::to_proto;

/// A manifest as it is stored, hashed and compared.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    pub manifest: Manifest,
    /// Canonical JSON, indented, with a newline at the end.
    pub json: String,
    pub protobuf: Vec<u8>,
    /// SHA-256 of the protobuf bytes, in hex.
    pub hash: String,
}

/// The canonical forms of a manifest. What they are read back to is the manifest in `Compiled`, sorted, without what
/// direct features were expanded into.
pub fn compile(manifest: &Manifest) -> Compiled {
    let proto = to_proto(manifest);
    let mut json = serde_json::to_string_pretty(&proto).expect("every field of a manifest has a JSON form");
    json.push('\n');
    let protobuf = proto.encode_to_vec();
    let hash = Sha256::digest(&protobuf).iter().map(|byte| format!("{byte:02x}")).collect();
    let manifest = read::sorted(manifest.clone());
    Compiled { manifest, json, protobuf, hash }
}

/// Reads a manifest; a field that there is not is refused by name.
pub fn parse_json(text: &str) -> Result<v1::Manifest, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// Reads `{"manifest": .., "origins": {object: place}}`, or a manifest alone.
pub fn parse_request(text: &str) -> Result<(Manifest, BTreeMap<String, String>), DefinitionError> {
    let (proto, origins) = request(text).map_err(|reason| {
        let mend = "send a manifest, or an object of `manifest` and `origins`";
        DefinitionError(vec![Problem::new("manifest", reason, mend)])
    })?;
    match from_proto(proto) {
        Ok(manifest) => Ok((manifest, origins)),
        Err(problems) => Err(DefinitionError(problems.into_iter().map(|problem| problem.located(&origins)).collect())),
    }
}

fn request(text: &str) -> Result<(v1::Manifest, BTreeMap<String, String>), String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let Value::Object(mut fields) = value else { return Err("it is not a JSON object".to_owned()) };
    let Some(manifest) = fields.remove("manifest") else {
        return Ok((parse_json(text)?, BTreeMap::new()));
    };
    let manifest = serde_json::from_value(manifest).map_err(|error| error.to_string())?;
    let origins = match fields.remove("origins") {
        Some(origins) => serde_json::from_value(origins).map_err(|error| format!("`origins`: {error}"))?,
        None => BTreeMap::new(),
    };
    match fields.keys().next() {
        Some(other) => Err(format!("unknown field `{other}`")),
        None => Ok((manifest, origins)),
    }
}
