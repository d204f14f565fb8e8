//! The OpenAPI document of everything on the HTTP port, for whoever generates clients or tests from one.
//!
//! It is written by hand, a file for each group of routes in `openapi/`, and put together once. What a route may answer
//! because of what it takes (a key, input, a body) is written nowhere but here.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value as Json, json};
use std::sync::OnceLock;

/// The parts by their files. None says what another says.
const PARTS: [(&str, &str); 10] = [
    ("base.json", include_str!("openapi/base.json")),
    ("refusals.json", include_str!("openapi/refusals.json")),
    ("features.json", include_str!("openapi/features.json")),
    ("sources.json", include_str!("openapi/sources.json")),
    ("direct.json", include_str!("openapi/direct.json")),
    ("training_sets.json", include_str!("openapi/training_sets.json")),
    ("definitions.json", include_str!("openapi/definitions.json")),
    ("feast.json", include_str!("openapi/feast.json")),
    ("keys.json", include_str!("openapi/keys.json")),
    ("operations.json", include_str!("openapi/operations.json")),
];

/// The tag of the routes whose refusals are in Feast's forms: components of the same names, after this word.
const FEAST: &str = "feast";

/// The document, which is the same for everybody.
pub async fn document() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(|| whole().to_string()).as_str();
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

/// The parts in one, with the version and with what routes have in common.
fn whole() -> Json {
    let mut document = Map::new();
    for (file, text) in PARTS {
        let part: Json = serde_json::from_str(text).expect("a test reads every part");
        let Json::Object(part) = part else { unreachable!("{file} is an object, which a test holds") };
        merge(&mut document, part, file);
    }
    let mut document = Json::Object(document);
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    for operation in operations(&mut document) {
        add_refusals(operation);
        each(&mut operation["responses"], add_request_id);
    }
    each(&mut document["components"]["responses"], add_request_id);
    document
}

/// Adds a part to what is there. Objects are joined; anything else that two parts say is a mistake in them.
fn merge(into: &mut Map<String, Json>, part: Map<String, Json>, file: &str) {
    for (name, value) in part {
        let Some(there) = into.get_mut(&name) else {
            into.insert(name, value);
            continue;
        };
        match (there, value) {
            (Json::Object(there), Json::Object(more)) => merge(there, more, file),
            _ => unreachable!("{file} says `{name}` again, which a test holds"),
        }
    }
}

fn operations(document: &mut Json) -> impl Iterator<Item = &mut Json> {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    paths.filter_map(Json::as_object_mut).flat_map(Map::values_mut)
}

fn each(members: &mut Json, change: fn(&mut Json)) {
    members.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(change);
}

/// Says how a route may refuse a request, where it does not say so itself.
fn add_refusals(operation: &mut Json) {
    let is_feasts = operation["tags"][0] == FEAST;
    let has = |name: &str| operation.get(name).is_some();
    let mut refusals = vec![("403", "Forbidden")];
    if !has("security") {
        // It asks for a key, and does work.
        refusals.extend([("401", "Unauthenticated"), ("429", "Busy"), ("500", "Failed"), ("503", "Unavailable")]);
    }
    if has("parameters") || has("requestBody") {
        refusals.push((if is_feasts { "422" } else { "400" }, "Invalid"));
    }
    if has("requestBody") {
        refusals.extend([("408", "TooSlow"), ("413", "TooLarge"), ("415", "Unsupported")]);
    }
    let door = if is_feasts { "Feast" } else { "" };
    for (status, name) in refusals {
        let said = &mut operation["responses"][status];
        if said.is_null() {
            *said = json!({ "$ref": format!("#/components/responses/{door}{name}") });
        }
    }
}

/// Every answer has the request's identifier.
fn add_request_id(response: &mut Json) {
    if response.get("$ref").is_none() {
        response["headers"]["X-Request-Id"] = json!({ "$ref": "#/components/headers/RequestId" });
    }
}

#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;
