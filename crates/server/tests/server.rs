//! Scenarios over HTTP, as data: each file of `scenarios/` is a list of requests and of what must come back, sent one
//! after the other to a server of its own. See `scenarios/README.md` for how they are written.

mod access;
mod direct;
mod middleware;
mod resp;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::Value as Json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thalweg_server::{Instance, Settings, router};
use tower::ServiceExt;

#[test]
fn scenarios() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "json"));
    files.sort();
    assert!(!files.is_empty(), "there are no scenarios");
    let failures: Vec<String> = files.iter().flat_map(|file| run(file)).collect();
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n\n"));
}

/// Runs one file; what went wrong.
fn run(file: &Path) -> Vec<String> {
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let scenario: Json =
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let directory = tempfile::tempdir().unwrap();
    let settings = scenario.get("settings").cloned().unwrap_or_else(|| serde_json::json!({"clock": "events"}));
    let settings: Settings = serde_json::from_value(settings).unwrap_or_else(|e| panic!("{name}: {e}"));
    let settings = Settings { data: directory.path().join("data"), ..settings };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Instances are opened and closed outside the runtime, as `thalweg serve` does.
    let mut instance = Instance::open(settings.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let mut server = router(instance.clone());
    let mut failures = Vec::new();
    for (number, step) in scenario["steps"].as_array().expect("steps").iter().enumerate() {
        if step.get("restart").is_some() {
            drop(server);
            close(instance);
            instance = Instance::open(settings.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
            server = router(instance.clone());
            continue;
        }
        let answer = runtime.block_on(send(&server, &scenario, step));
        if let Err(why) = answer.matches(&step["expect"]) {
            let what = step["what"].as_str().unwrap_or_default();
            failures.push(format!("{name}, step {number} ({what}): {why}\n  got {} {}", answer.status, answer.body));
        }
    }
    drop(server);
    close(instance);
    failures
}

fn close(instance: Arc<Instance>) {
    instance.close();
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Json,
}

async fn send(server: &Router, scenario: &Json, step: &Json) -> Answer {
    let request = &step["request"];
    let (method, target) = request["line"].as_str().expect("line").split_once(' ').expect("METHOD /path");
    let mut builder = Request::builder().method(method).uri(target);
    let mut content_type = None;
    let body = if let Some(json) = request.get("json") {
        content_type = Some("application/json");
        json.to_string().into_bytes()
    } else if let Some(name) = request["fixture"].as_str() {
        content_type = Some("application/json");
        scenario["fixtures"][name].to_string().into_bytes()
    } else if let Some(lines) = request["lines"].as_array() {
        content_type = Some("application/x-ndjson");
        lines
            .iter()
            .map(|line| line.as_str().map_or_else(|| line.to_string(), str::to_owned) + "\n")
            .collect::<String>()
            .into()
    } else if let Some(bytes) = request["padded"].as_u64() {
        format!("[{:1$}]", "", bytes as usize - 2).into_bytes()
    } else {
        request["text"].as_str().unwrap_or_default().as_bytes().to_vec()
    };
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        if name == "content-type" {
            content_type = None;
        }
        builder = builder.header(name, value.as_str().expect("a header is text"));
    }
    if let Some(content_type) = content_type {
        builder = builder.header("content-type", content_type);
    }
    let body = match request["compress"].as_str() {
        Some("gzip") => {
            builder = builder.header("content-encoding", "gzip");
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(&body).unwrap();
            encoder.finish().unwrap()
        }
        Some("zstd") => {
            builder = builder.header("content-encoding", "zstd");
            zstd::encode_all(body.as_slice(), 3).unwrap()
        }
        _ => body,
    };
    let response = server.clone().oneshot(builder.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    // An answer that is not JSON is known by its size.
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| serde_json::json!({ "bytes": bytes.len() }));
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

impl Answer {
    fn matches(&self, expected: &Json) -> Result<(), String> {
        let status = expected["status"].as_u64().unwrap_or(200);
        if u64::from(self.status) != status {
            return Err(format!("expected status {status}"));
        }
        for (name, value) in expected["headers"].as_object().into_iter().flatten() {
            let got = self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
            matches(value, &Json::from(got), name)?;
        }
        match expected.get("json") {
            Some(json) => matches(json, &self.body, "$"),
            None => Ok(()),
        }
    }
}

/// Whether `got` has at least what is expected.
fn matches(expected: &Json, got: &Json, place: &str) -> Result<(), String> {
    let differs = || Err(format!("at {place}: expected {expected}"));
    match (expected, got) {
        (Json::Object(expected), Json::Object(got)) => expected.iter().try_for_each(|(name, value)| {
            matches(value, got.get(name).unwrap_or(&Json::Null), &format!("{place}.{name}"))
        }),
        (Json::Array(expected), Json::Array(got)) if expected.len() == got.len() => expected
            .iter()
            .zip(got)
            .enumerate()
            .try_for_each(|(at, (expected, got))| matches(expected, got, &format!("{place}[{at}]"))),
        (Json::String(expected), got) if expected.starts_with('~') => {
            let text = got.as_str().map_or_else(|| got.to_string(), str::to_owned);
            if text.contains(&expected[1..]) { Ok(()) } else { differs() }
        }
        (Json::Number(a), Json::Number(b)) if a.as_f64() == b.as_f64() => Ok(()),
        (a, b) if a == b => Ok(()),
        _ => differs(),
    }
}
