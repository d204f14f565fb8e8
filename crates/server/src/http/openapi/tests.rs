//! The document is held against itself, against the routes there are, and against what they answer.

use super::schema::{faults, resolved};
use super::whole;
use crate::http::router;
use crate::instance::Instance;
use crate::settings::Settings;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
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
    members(&document["paths"])
        .flat_map(|(path, item)| members(item).map(move |(method, says)| Operation { method, path, says }))
        .collect()
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
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
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
                let named = more.into_iter().flat_map(members).map(|(_, example)| &example["value"]);
                (schema.clone(), object.get("example").into_iter().chain(named).collect::<Vec<&Json>>())
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

/// The routes that the door's own code adds, as `METHOD /path`.
fn routes_in(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("openapi") {
            routes_in(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let code = std::fs::read_to_string(&path).unwrap();
            let code = code.split("#[cfg(test)]").next().unwrap();
            for route in code.split(".route(").skip(1) {
                let route = route.trim_start().strip_prefix('"').expect("a path is written where its route is added");
                let (path, rest) = route.split_once('"').unwrap();
                let handlers = rest.split(';').next().unwrap().split("\n}").next().unwrap().replace('\n', " ");
                for method in ["get", "post", "put", "patch", "delete"] {
                    if [' ', '.'].iter().any(|before| handlers.contains(&format!("{before}{method}("))) {
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

    /// Applies the manifest of the document, with the direct features of the other examples.
    fn define(&self) {
        let manifest = &self.document["components"]["requestBodies"]["Manifest"]["content"]["application/json"];
        let mut body = manifest["example"].clone();
        let entities = body["manifest"]["entities"].as_array_mut().unwrap();
        entities.push(json!({"name": "user", "keys": [{"name": "user", "type": "string"}]}));
        let about = json!({"namespace": "users"});
        body["manifest"]["direct_features"] = json!([
            {"name": "clicks", "entity": "user", "primitive": "int", "about": about},
            {"name": "seen", "entity": "user", "primitive": "[string]", "about": about},
            {"name": "spend", "entity": "user", "primitive": "float", "about": about,
             "aggregations": ["count", "sum"], "over": "1h"}
        ]);
        let answer = self.ask("post", "/v1/apply", None, body.to_string());
        assert_eq!(answer.status, "200", "{}", String::from_utf8_lossy(&answer.body));
        let apply = operations(&self.document).into_iter().find(|operation| operation.path == "/v1/apply").unwrap();
        self.hold(apply, &answer).unwrap();
    }

    fn ask(&self, method: &str, target: &str, header: Option<(&str, &str)>, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method.to_uppercase().as_str()).uri(target);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let request = request.body(body.into()).unwrap();
        self.runtime.block_on(async {
            let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
            let content_type = parts.headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap());
            let content_type = content_type.split(';').next().unwrap_or_default().to_owned();
            let status = parts.status.as_str().to_owned();
            Answer { status, content_type, body: to_bytes(body, usize::MAX).await.unwrap().to_vec() }
        })
    }

    /// Holds an answer against what the document says of it.
    fn hold(&self, operation: Operation<'_>, answer: &Answer) -> Result<(), String> {
        let (status, kind) = (&answer.status, &answer.content_type);
        let body = String::from_utf8_lossy(&answer.body);
        let response = operation.says["responses"].get(status).ok_or_else(|| format!("{status} {body}"))?;
        let content = &resolved(&self.document, response)["content"];
        if content.is_null() {
            return if body.is_empty() { Ok(()) } else { Err(format!("{status}, with a body: {body}")) };
        }
        let says = content.get(kind).ok_or_else(|| format!("{status} as {kind}: {body}"))?;
        if kind != "application/json" {
            return Ok(());
        }
        let json: Json = serde_json::from_slice(&answer.body).map_err(|error| format!("{error}: {body}"))?;
        let faults = faults(&self.document, &says["schema"], &json);
        if faults.is_empty() { Ok(()) } else { Err(format!("{status}: {}", faults.join("; "))) }
    }

    /// The target of an operation, with the examples of its parameters.
    fn target_of(&self, operation: Operation<'_>) -> String {
        let (mut target, mut query) = (operation.path.to_owned(), Vec::new());
        for parameter in items(&operation.says["parameters"]) {
            let parameter = resolved(&self.document, parameter);
            let Some(example) = parameter.get("example") else { continue };
            let name = parameter["name"].as_str().unwrap();
            let text = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            if parameter["in"] == "path" {
                target = target.replace(&format!("{{{name}}}"), &text);
            } else if parameter["in"] == "query" {
                query.push(format!("{name}={text}"));
            }
        }
        if query.is_empty() { target } else { format!("{target}?{}", query.join("&")) }
    }

    /// The examples of a request's body, with their content types; none where it takes no body.
    fn bodies_of(&self, operation: Operation<'_>) -> Vec<(Option<String>, String)> {
        let content = &resolved(&self.document, &operation.says["requestBody"])["content"];
        if content.is_null() {
            return vec![(None, String::new())];
        }
        let mut bodies = Vec::new();
        for (kind, says) in members(content) {
            let named = members(&says["examples"]).map(|(_, example)| &example["value"]);
            for example in says.get("example").into_iter().chain(named) {
                let text = example.as_str().filter(|_| kind != "application/json");
                bodies.push((Some(kind.clone()), text.map_or_else(|| example.to_string(), str::to_owned)));
            }
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
    // More than its example was applied already; and the first key closes the door for those that have none.
    all.retain(|operation| operation.path != "/v1/apply");
    all.sort_by_key(|operation| operation.says["operationId"] == "createKey");
    for operation in all {
        let target = server.target_of(operation);
        for (kind, body) in server.bodies_of(operation) {
            let answer =
                server.ask(operation.method, &target, kind.as_deref().map(|kind| ("content-type", kind)), body);
            let (line, text) = (format!("{} {target}", operation.method), String::from_utf8_lossy(&answer.body));
            server.hold(operation, &answer).unwrap_or_else(|why| panic!("{line}: {why}"));
            // Training sets and keys have the ids that they are given.
            let succeeds = answer.status.starts_with('2') || operation.path.contains("{id}");
            assert!(succeeds, "{line}: {} {text}", answer.status);
        }
    }
}

#[test]
fn refusals_are_as_the_document_says() {
    let server = Server::new();
    server.define();
    for operation in operations(&server.document) {
        let Operation { method, path, says } = operation;
        let unknown = path.replace("{version}", "7").replace("{selector}", "users.nobody");
        let unknown = unknown.replace("{name}", "nobody").replace("{id}", "nobody");
        let mut asked = vec![(unknown.clone(), "application/json", "{}"), (unknown.clone(), "application/json", "[1")];
        if says.get("requestBody").is_some() {
            asked.push((unknown.clone(), "text/plain", "{}"));
        }
        if let Some((before, rest)) = path.split_once('{') {
            // No text.
            asked.push((format!("{before}%FF{}", rest.split_once('}').unwrap().1), "application/json", "{}"));
        }
        if items(&says["parameters"]).any(|parameter| parameter["in"] == "query") {
            asked.push((format!("{unknown}?nobody=1"), "application/json", "{}"));
        }
        for (target, kind, body) in asked {
            let answer = server.ask(method, &target, Some(("content-type", kind)), body);
            server.hold(operation, &answer).unwrap_or_else(|why| panic!("{method} {target} {body}: {why}"));
        }
        let answer = server.ask(method, &unknown, Some(("host", "evil.example")), "");
        assert_eq!(answer.status, "403", "{path}");
        server.hold(operation, &answer).unwrap_or_else(|why| panic!("{method} {path}: {why}"));
    }
}
