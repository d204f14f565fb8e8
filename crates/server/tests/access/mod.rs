//! The way of API keys over HTTP, from none at all to one that was taken back, and what the audit log says of it.

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;
use thalweg_definition::AsOf;
use thalweg_server::{Door, Instance, Session, Settings, Spine, TrainingSetRequest, router};
use tower::ServiceExt;

/// A server with two sources, each in a namespace of its own.
struct House {
    runtime: tokio::runtime::Runtime,
    router: Router,
    instance: Arc<Instance>,
    _directory: tempfile::TempDir,
}

fn source(name: &str, namespace: &str) -> Json {
    json!({"name": name, "kind": "SOURCE_KIND_EVENT", "timestamp": "at", "about": {"namespace": namespace},
        "columns": [{"name": "user", "type": "string", "required": true},
            {"name": "at", "type": "timestamp", "required": true}]})
}

struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: Json,
}

impl House {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { data: directory.path().join("data"), ..Settings::default() };
        let instance = Instance::open(settings).unwrap();
        let router = router(instance.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let house = Self { runtime, router, instance, _directory: directory };
        let manifest = json!({"project": "p", "sources": [source("clicks", "web"), source("calls", "phone")]});
        assert_eq!(house.ask(None, "POST /v1/apply", Some(manifest)).status, 200);
        house
    }

    fn ask(&self, key: Option<&str>, line: &str, body: Option<Json>) -> Answer {
        self.ask_as(key, "127.0.0.1:8765", line, body)
    }

    fn ask_as(&self, key: Option<&str>, host: &str, line: &str, body: Option<Json>) -> Answer {
        let (method, target) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(target).header("host", host);
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let body = body.map_or_else(Body::empty, |json| Body::from(json.to_string()));
        let request = request.body(body).unwrap();
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let bytes = to_bytes(body, usize::MAX).await.unwrap();
            let retry_after = parts.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned());
            let body = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
            Answer { status: parts.status.as_u16(), retry_after, body }
        })
    }

    fn make(&self, admin: Option<&str>, request: Json) -> (String, String) {
        let made = self.ask(admin, "POST /v1/keys", Some(request));
        assert_eq!(made.status, 200, "{}", made.body);
        (made.body["id"].as_str().unwrap().to_owned(), made.body["key"].as_str().unwrap().to_owned())
    }

    fn describe(&self, key: Option<&str>, source: &str) -> Answer {
        self.ask(key, &format!("GET /v1/sources/{source}"), None)
    }

    fn push(&self, key: Option<&str>, source: &str) -> Answer {
        let rows = json!([{"user": "u", "at": "2024-05-01T00:00:00Z"}]);
        self.ask(key, &format!("POST /v1/sources/{source}/events"), Some(rows))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.instance.close();
    }
}

impl Answer {
    /// The status, and whether the message says this.
    fn says(&self, status: u16, part: &str) {
        let message = self.body["error"]["message"].as_str().unwrap_or_default();
        assert!(self.status == status && message.contains(part), "{} {}", self.status, self.body);
    }
}

#[test]
fn from_no_key_to_one_that_was_taken_back() {
    let house = House::new();
    // No key was ever made: none is asked for, but only of this machine.
    assert_eq!(house.push(None, "clicks").status, 200);
    house.ask_as(None, "evil.example", "GET /v1/sources", None).says(403, "evil.example");

    let (_, admin) = house.make(None, json!({"name": "ops", "namespaces": ["*"], "scopes": ["admin"]}));
    let admin = Some(admin.as_str());
    // One was made: everybody needs one, under any name of the host; whether it lives can be asked without.
    house.push(None, "clicks").says(401, "no API key was presented");
    assert_eq!(house.ask(None, "GET /healthz", None).status, 200);
    assert_eq!(house.ask(None, "GET /readyz", None).status, 200);
    assert_eq!(house.ask_as(admin, "features.example", "GET /v1/sources", None).status, 200);
    house.push(Some("tw_wrong"), "clicks").says(401, "not a key that is known");

    let (id, reader) = house.make(admin, json!({"name": "web", "namespaces": ["web"], "scopes": ["read"]}));
    assert_eq!(house.describe(Some(&reader), "clicks").status, 200);
    house.push(Some(&reader), "clicks").says(403, "needs the scope write");
    house.describe(Some(&reader), "calls").says(403, "the namespace `phone`");
    house.ask(Some(&reader), "GET /v1/keys", None).says(403, "needs the scope admin");
    let seen = house.ask(Some(&reader), "GET /v1/sources", None).body;
    assert_eq!(seen.as_array().unwrap().len(), 1);

    let rotate = format!("POST /v1/keys/{id}/rotate");
    let rotated = house.ask(admin, &rotate, Some(json!({"grace": "1h"}))).body["key"].as_str().unwrap().to_owned();
    assert_eq!(house.describe(Some(&reader), "clicks").status, 200);
    assert_eq!(house.describe(Some(&rotated), "clicks").status, 200);
    let last = house.ask(admin, &rotate, None).body["key"].as_str().unwrap().to_owned();
    house.describe(Some(&rotated), "clicks").says(401, "was rotated");
    assert_eq!(house.ask(admin, &format!("DELETE /v1/keys/{id}"), None).body["state"], "revoked");
    house.describe(Some(&last), "clicks").says(401, "was revoked at");

    let brief = json!({"name": "brief", "namespaces": ["web"], "scopes": ["write"], "expires": "1ms"});
    let (_, brief) = house.make(admin, brief);
    std::thread::sleep(Duration::from_millis(5));
    house.push(Some(&brief), "clicks").says(401, "expired at");

    told(&house, admin, &id);
}

/// What the audit log has of all that, the newest first.
fn told(house: &House, admin: Option<&str>, id: &str) {
    let answer = house.ask(admin, "GET /v1/audit?limit=1000", None).body;
    let entries = answer["entries"].as_array().unwrap();
    assert_eq!(answer["next_before"], Json::Null);
    let count = |operation: &str, code: Option<&str>| {
        entries.iter().filter(|entry| entry["operation"] == operation && entry["code"].as_str() == code).count()
    };
    assert_eq!(count("authenticate", Some("UNAUTHENTICATED")), 5);
    assert_eq!(count("push", Some("FORBIDDEN")), 1);
    assert_eq!(count("describe", Some("FORBIDDEN")), 1);
    assert_eq!(count("keys", Some("FORBIDDEN")), 1);
    assert_eq!(count("change_keys", None), 6);
    assert_eq!(count("apply", None), 1);
    assert_eq!(entries.last().unwrap()["operation"], "apply");
    let denied = entries.iter().find(|entry| entry["operation"] == "push").unwrap();
    assert_eq!((&denied["key"], &denied["name"], &denied["outcome"]), (&json!(id), &json!("web"), &json!("denied")));
    assert_eq!((&denied["object"], &denied["door"]), (&json!("clicks"), &json!("http")));

    // The same, page by page.
    let mut paged = Vec::new();
    let mut line = "GET /v1/audit?limit=4".to_owned();
    loop {
        let page = house.ask(admin, &line, None).body;
        paged.extend(page["entries"].as_array().unwrap().clone());
        let Some(next) = page["next_before"].as_str() else { break };
        line = format!("GET /v1/audit?limit=4&before={next}");
    }
    assert_eq!(&paged, entries);
    house.ask(admin, "GET /v1/audit?before=yesterday", None).says(400, "next_before");
}

#[test]
fn a_key_is_bound_to_its_rate() {
    let house = House::new();
    let (_, key) = house.make(None, json!({"name": "r", "namespaces": ["*"], "scopes": ["read"], "rate": "1/s"}));
    let answers: Vec<Answer> = (0..2).map(|_| house.describe(Some(&key), "clicks")).collect();
    assert_eq!(answers[0].status, 200);
    answers[1].says(429, "may send 1 requests a second");
    assert_eq!(answers[1].retry_after.as_deref(), Some("1"));
}

#[test]
fn what_is_listed_and_kept_has_no_secret() {
    let house = House::new();
    let (id, key) = house.make(None, json!({"name": "ops", "namespaces": ["*"], "scopes": ["admin"]}));
    let listed = house.ask(Some(&key), "GET /v1/keys", None).body;
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&json!(id), &json!("active")));
    let secret = key.rsplit('_').next().unwrap();
    assert!(!listed.to_string().contains(secret));
    house.instance.close();
    for file in std::fs::read_dir(&house.instance.settings().data).unwrap() {
        let path = file.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

/// Two namespaces, of which `web` has a service and an on-demand feature over a view of `phone`.
fn mixed(services: &Json) -> Json {
    json!({"project": "p",
        "entities": [{"name": "user", "keys": [{"name": "user", "type": "string"}]}],
        "sources": [source("clicks", "web"), source("calls", "phone")],
        "views": [{"name": "user_calls", "entity": "user", "sources": ["calls"], "about": {"namespace": "phone"},
            "features": [{"name": "calls", "aggregation": "count", "windows": [{"kind": "sliding", "over": "7d"}]}]}],
        "on_demand": [{"name": "twice", "expression": "user_calls.calls_7d * 2", "about": {"namespace": "web"}}],
        "services": services})
}

#[test]
fn a_key_sees_and_reads_its_own_namespaces() {
    let house = House::new();
    let service = json!([{"name": "risk", "features": ["user_calls.calls_7d"], "about": {"namespace": "web"}}]);
    let applied = house.ask(None, "POST /v1/apply", Some(mixed(&service)));
    assert_eq!(applied.status, 200, "{}", applied.body);
    let (_, admin) = house.make(None, json!({"name": "ops", "namespaces": ["*"], "scopes": ["admin"]}));
    let (_, web) = house.make(Some(&admin), json!({"name": "web", "namespaces": ["web"], "scopes": ["read"]}));

    let names = |key: &str, kind: &str| -> Vec<String> {
        let answer = house.ask(Some(key), "GET /v1/manifest", None);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let objects = answer.body["manifest"][kind].as_array().cloned().unwrap_or_default();
        objects.iter().map(|object| object["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&admin, "sources"), ["calls", "clicks"]);
    assert_eq!(names(&web, "sources"), ["clicks"]);
    assert!(names(&web, "views").is_empty());
    assert_eq!(names(&web, "on_demand"), ["twice"]);
    assert_eq!(names(&web, "services"), ["risk"]);
    // With which requests for the service are written.
    assert_eq!(names(&web, "entities"), ["user"]);

    let read = |mut wanted: Json| {
        wanted["entities"] = json!({"user": ["u"]});
        house.ask(Some(&web), "POST /v1/features", Some(wanted))
    };
    assert_eq!(read(json!({"service": "risk"})).status, 200);
    read(json!({"features": ["user_calls.calls_7d"]})).says(403, "the namespace `phone`");
    read(json!({"features": ["twice"]})).says(403, "the namespace `phone`");
}

#[test]
fn a_service_that_is_gone_stays_its_owners() {
    let house = House::new();
    let service = json!([{"name": "risk", "features": ["user_calls.calls_7d"], "about": {"namespace": "web"}}]);
    let applied = house.ask(None, "POST /v1/apply", Some(mixed(&service)));
    assert_eq!(applied.status, 200, "{}", applied.body);
    let applied = house.ask(None, "POST /v1/apply?allow_breaking=true", Some(mixed(&json!([]))));
    assert_eq!(applied.status, 200, "{}", applied.body);
    let (_, admin) = house.make(None, json!({"name": "ops", "namespaces": ["*"], "scopes": ["admin"]}));
    let session = |namespace: &str| {
        let wanted = json!({"name": namespace, "namespaces": [namespace], "scopes": ["read"]});
        let (_, key) = house.make(Some(&admin), wanted);
        Session::enter(&house.instance, Door::Http, Some(&key), None).unwrap()
    };
    let (web, phone) = (session("web"), session("phone"));
    let request = || TrainingSetRequest {
        service: "risk".to_owned(),
        spine: Spine::Batches(vec![RecordBatch::new_empty(Arc::new(Schema::empty()))]),
        timestamp: "timestamp".to_owned(),
        as_of: AsOf::EventTime,
        statuses: false,
        manifest_version: Some(2),
        recreate: None,
    };
    assert_eq!(phone.start_training_set(request()).unwrap_err().code(), "FORBIDDEN");
    let job = web.start_training_set(request()).unwrap();
    assert_eq!(phone.training_job(&job).unwrap_err().code(), "FORBIDDEN");
    assert_eq!(phone.cancel_training(&job).unwrap_err().code(), "FORBIDDEN");
    let every = Session::enter(&house.instance, Door::Http, Some(&admin), None).unwrap();
    assert_eq!(every.training_job(&job).unwrap().id, job);
}
