//! The document is held against itself, against the routes there are, and against what they answer.

use super::schema::{faults, resolved};
use super::whole;
use crate::http::router;
use crate::instance::Instance;
use crate::settings::Settings;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use tower::ServiceExt;

/// An operation of the document, with where it stands.
#[derive(Clone, Copy)]
struct Operation<'a> {
    method: &'a str,
    path: &'a str,
    says: &'a Json,
}

fn members(object: &Json) -> impl Iterator<Item = (&String, &Json)> {
    object.as_object().into_iter().flatten()
}

fn items(list: &Json) -> impl Iterator<Item = &Json> {
    list.as_array().into_iter().flatten()
}

fn operations(document: &Json) -> Vec<Operation<'_>> {
    let of_path = |(path, item)| members(item).map(move |(method, says)| Operation { method, path, says });
    members(&document["paths"]).flat_map(of_path).collect()
}

/// Every object in the document, with where it is.
fn objects<'a>(place: String, thing: &'a Json, found: &mut Vec<(String, &'a Map<String, Json>)>) {
    if let Some(object) = thing.as_object() {
        found.push((place.clone(), object));
    }
    for (name, member) in members(thing) {
        objects(format!("{place}/{name}"), member, found);
    }
    for (index, item) in items(thing).enumerate() {
        objects(format!("{place}/{index}"), item, found);
    }
}

#[test]
fn the_document_is_whole() {
    let document = whole();
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!(env!("CARGO_PKG_VERSION"))));
    let mut all = Vec::new();
    objects(String::new(), &document, &mut all);
    // One that refers to nothing panics.
    let referred: BTreeSet<&str> = all
        .iter()
        .filter_map(|(_, object)| object.get("$ref")?.as_str())
        .inspect(|reference| assert!(!resolved(&document, &json!({ "$ref": reference })).is_null()))
        .collect();
    for (kind, components) in members(&document["components"]).filter(|(kind, _)| *kind != "securitySchemes") {
        for (name, _) in members(components) {
            let reference = format!("#/components/{kind}/{name}");
            assert!(referred.contains(reference.as_str()), "nobody refers to {reference}");
        }
    }
}

#[test]
fn every_operation_says_what_it_is() {
    let document = whole();
    let tags: BTreeSet<&str> = items(&document["tags"]).filter_map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    for Operation { method, path, says } in operations(&document) {
        let id = says["operationId"].as_str().unwrap_or_default();
        assert!(!id.is_empty() && ids.insert(id), "{method} {path}: `{id}`");
        assert!(says["summary"].as_str().is_some_and(|text| text.ends_with('.')), "{method} {path}: its summary");
        assert!(items(&says["tags"]).all(|tag| tags.contains(tag.as_str().unwrap())), "{method} {path}: its tags");
        assert!(members(&says["responses"]).any(|(status, _)| status.starts_with('2')), "{method} {path}: no success");
        let named: BTreeSet<&str> = items(&says["parameters"])
            .map(|parameter| resolved(&document, parameter))
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(named, in_path, "{method} {path}");
    }
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = whole();
    let mut all = Vec::new();
    objects(String::new(), &document, &mut all);
    let mut held = 0;
    for (place, object) in all {
        let (schema, examples) = match (object.get("schema"), object.get("examples")) {
            (Some(schema), more) => {
                let named = members(more.unwrap_or(&Json::Null)).map(|(_, example)| &example["value"]);
                (schema.clone(), object.get("example").into_iter().chain(named).collect::<Vec<_>>())
            }
            (None, Some(Json::Array(examples))) => (Json::Object(object.clone()), examples.iter().collect()),
            _ => continue,
        };
        for example in examples {
            held += 1;
            let faults = faults(&document, &schema, example);
            assert!(faults.is_empty(), "{place}: {}", faults.join("; "));
        }
    }
    assert!(held > 50, "only {held} examples were found");
}

/// The routes that the door's own code names, as `METHOD /path`.
fn routes_in(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            routes_in(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let code = std::fs::read_to_string(&path).unwrap();
            let code = code.split("#[cfg(test)]").next().unwrap();
            for route in code.split(".route(").skip(1) {
                let (path, handlers) = route.trim_start().strip_prefix('"').unwrap().split_once('"').unwrap();
                let handlers = handlers.split([';', '\n']).next().unwrap();
                for method in ["get", "post", "put", "patch", "delete"] {
                    if handlers.contains(&format!(" {method}(")) || handlers.contains(&format!(".{method}(")) {
                        found.insert(format!("{} {path}", method.to_uppercase()));
                    }
                }
            }
        }
    }
}

#[test]
fn every_route_is_in_the_document_and_the_other_way_round() {
    let mut routes = BTreeSet::new();
    routes_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut routes);
    // One route for five operations, which the document has one by one.
    assert!(routes.remove("POST /v1/direct/{selector}/{operation}"), "{routes:?}");
    routes.extend(["get", "set", "append", "incr", "update"].map(|one| format!("POST /v1/direct/{{selector}}/{one}")));
    let document = whole();
    let documented: BTreeSet<String> = operations(&document)
        .into_iter()
        .map(|operation| format!("{} {}", operation.method.to_uppercase(), operation.path))
        .collect();
    assert_eq!(routes, documented);
}

/// A server that has the project of the examples.
struct Server {
    runtime: tokio::runtime::Runtime,
    router: Router,
    instance: Arc<Instance>,
    document: Json,
    _directory: tempfile::TempDir,
}

struct Answer {
    status: String,
    content_type: String,
    body: Vec<u8>,
}

impl Server {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { data: directory.path().join("data"), ..Settings::default() };
        let instance = Instance::open(settings).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let router = router(instance.clone());
        Self { runtime, router, instance, document: whole(), _directory: directory }
    }

    /// The manifest of the document, with the direct features of the other examples.
    fn define(&self) {
        let requests = &self.document["components"]["requestBodies"]["Manifest"]["content"]["application/json"];
        let mut body = requests["example"].clone();
        let entities = body["manifest"]["entities"].as_array_mut().unwrap();
        entities.push(json!({"name": "user", "keys": [{"name": "user", "type": "string"}]}));
        let direct = |name: &str, primitive: &str| {
            json!({"name": name, "entity": "user", "primitive": primitive, "about": {"namespace": "users"}})
        };
        let mut spend = direct("spend", "float");
        spend["aggregations"] = json!(["count", "sum"]);
        spend["over"] = json!("1h");
        body["manifest"]["direct_features"] = json!([direct("clicks", "int"), direct("seen", "[string]"), spend]);
        let answer = self.ask("post", "/v1/apply", &[], body.to_string());
        assert_eq!(answer.status, "200", "{}", String::from_utf8_lossy(&answer.body));
    }

    fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        self.runtime.block_on(async {
            let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
            let content_type = parts.headers.get(header::CONTENT_TYPE).map_or("", |value| value.to_str().unwrap());
            let content_type = content_type.split(';').next().unwrap_or_default().to_owned();
            let status = parts.status.as_str().to_owned();
            Answer { status, content_type, body: to_bytes(body, usize::MAX).await.unwrap().to_vec() }
        })
    }

    /// Holds an answer against what the document says of it.
    fn hold(&self, operation: Operation<'_>, answer: &Answer) -> Result<(), String> {
        let body = String::from_utf8_lossy(&answer.body);
        let response = operation.says["responses"].get(&answer.status).ok_or(format!("{} {body}", answer.status))?;
        let content = &resolved(&self.document, response)["content"];
        if content.is_null() {
            return if body.is_empty() { Ok(()) } else { Err(format!("{}, with a body: {body}", answer.status)) };
        }
        let kind = content.get(&answer.content_type).ok_or(format!("{} as {}", answer.status, answer.content_type))?;
        if answer.content_type != "application/json" {
            return Ok(());
        }
        let json: Json = serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {body}"))?;
        match faults(&self.document, &kind["schema"], &json) {
            faults if faults.is_empty() => Ok(()),
            faults => Err(format!("{}: {}", answer.status, faults.join("; "))),
        }
    }

    /// The target and headers of an operation with the examples of its parameters.
    fn example_of(&self, operation: Operation<'_>) -> (String, Vec<(&str, &str)>) {
        let (mut target, mut query, mut headers) = (operation.path.to_owned(), Vec::new(), Vec::new());
        for parameter in items(&operation.says["parameters"]) {
            let parameter = resolved(&self.document, parameter);
            let Some(example) = parameter.get("example") else { continue };
            let name = parameter["name"].as_str().unwrap();
            let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            match parameter["in"].as_str().unwrap() {
                "path" => target = target.replace(&format!("{{{name}}}"), &text),
                "query" => query.push(format!("{name}={text}")),
                _ => headers.push((name, example.as_str().unwrap())),
            }
        }
        if !query.is_empty() {
            target = format!("{target}?{}", query.join("&"));
        }
        // Found again in the document, which outlives the operation.
        let headers = headers.into_iter().map(|(name, value)| (self.kept(name), self.kept(value))).collect();
        (target, headers)
    }

    /// The examples of a request's body, with their content types; one without a body where it takes none.
    fn bodies_of(&self, operation: Operation<'_>) -> Vec<(String, String)> {
        let content = &resolved(&self.document, &operation.says["requestBody"])["content"];
        let mut bodies = Vec::new();
        for (kind, says) in members(content) {
            let named = members(&says["examples"]).map(|(_, example)| &example["value"]);
            for example in says.get("example").into_iter().chain(named) {
                let text = if kind == "application/json" { None } else { example.as_str() };
                bodies.push((kind.clone(), text.map_or_else(|| example.to_string(), str::to_owned)));
            }
        }
        if bodies.is_empty() && content.is_null() {
            bodies.push((String::new(), String::new()));
        }
        bodies
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.instance.close();
    }
}

#[test]
fn every_example_is_answered_as_the_document_says() {
    let server = Server::new();
    server.define();
    let mut all = operations(&server.document);
    // The first key closes the door for those that have none.
    all.sort_by_key(|operation| operation.says["operationId"] == "createKey");
    for operation in all {
        let (target, mut headers) = server.example_of(operation);
        for (kind, body) in server.bodies_of(operation) {
            headers.retain(|(name, _)| *name != "content-type");
            if !kind.is_empty() {
                headers.push(("content-type", kind.as_str()));
            }
            let answer = server.ask(operation.method, &target, &headers, body);
            let line = format!("{} {target}", operation.method);
            server.hold(operation, &answer).unwrap_or_else(|why| panic!("{line}: {why}"));
            // Training sets and keys have the ids that they are given.
            let text = String::from_utf8_lossy(&answer.body);
            assert!(answer.status.starts_with('2') || target.contains("/{id}"), "{line}: {} {text}", answer.status);
        }
    }
}

#[test]
fn refusals_are_as_the_document_says() {
    let server = Server::new();
    server.define();
    for operation in operations(&server.document) {
        let path = operation.path;
        let unknown = path.replace("{version}", "7").replace("{selector}", "users.nobody");
        let unknown = unknown.replace("{name}", "nobody").replace("{id}", "nobody");
        let mut asked = vec![(unknown.clone(), "application/json", "{}"), (unknown.clone(), "application/json", "[1")];
        if operation.says.get("requestBody").is_some() {
            asked.push((unknown.clone(), "text/plain", "{}"));
        }
        if let Some((before, rest)) = path.split_once('{') {
            let after = rest.split_once('}').map_or("", |(_, after)| after);
            asked.push((format!("{before}%FF{after}"), "application/json", "{}"));
        }
        if path.contains("/v1/") && items(&operation.says["parameters"]).any(|one| one["in"] == "query") {
            asked.push((format!("{unknown}?nobody=1"), "application/json", "{}"));
        }
        for (target, kind, body) in asked {
            let answer = server.ask(operation.method, &target, &[("content-type", kind)], body);
            server.hold(operation, &answer).unwrap_or_else(|why| panic!("{} {target}: {why}", operation.method));
        }
        let answer = server.ask(operation.method, path, &[("host", "evil.example")], "");
        assert_eq!(answer.status, "403", "{path}");
        server.hold(operation, &answer).unwrap_or_else(|why| panic!("{} {path}: {why}", operation.method));
    }
}
