//! Requests to the HTTP port, gRPC among them, through the router: whatever is sent, the server's own code does not
//! fail, and what it answers is in the form that the route has.

use super::world::with;
use crate::input::Input;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, Version};
use serde_json::Value as Json;
use thalweg_server::router;
use tower::ServiceExt;

/// Bytes of an answer that are looked at.
const ANSWER_BYTES: usize = 64 << 20;

/// What a request goes to, and what its body is said to be.
struct Route {
    method: &'static str,
    path: &'static str,
    content: &'static str,
}

const fn post(path: &'static str, content: &'static str) -> Route {
    Route { method: "POST", path, content }
}

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const ARROW: &str = "application/vnd.apache.arrow.stream";
const GRPC: &str = "application/grpc";

/// Inputs name them by their place: new ones come last.
const ROUTES: [Route; 22] = [
    post("/v1/sources/payments/events", JSON),
    post("/v1/sources/payments/events", LINES),
    post("/v1/sources/payments/events", ARROW),
    post("/v1/sources/visits/events?backfill=true", JSON),
    post("/v1/features", JSON),
    post("/v1/features?service=cards", ARROW),
    post("/v1/plan", JSON),
    post("/get-online-features", JSON),
    post("/push", JSON),
    post("/write-to-online-store", JSON),
    post("/v1/direct/users.clicks/get", JSON),
    post("/v1/direct/users.clicks/set", JSON),
    post("/v1/direct/users.seen/append", JSON),
    post("/v1/direct/users.clicks/incr", JSON),
    post("/v1/direct/users.spend/update", JSON),
    post("/thalweg.v1.Features/GetFeatures", GRPC),
    post("/thalweg.v1.Features/StreamFeatures", GRPC),
    post("/thalweg.v1.Events/Push", GRPC),
    post("/thalweg.v1.Events/PushAll", GRPC),
    post("/thalweg.v1.Direct/Get", GRPC),
    post("/thalweg.v1.Direct/Update", GRPC),
    // The rest of the path and the query are the input's.
    Route { method: "GET", path: "", content: JSON },
];

/// The route, how the body is compressed, whether the answer is to be Arrow, then the body.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (route, flags) = (input.pick(&ROUTES), input.byte());
    let is_grpc = route.content == GRPC;
    let rest = input.rest();
    let (path, body) = match route.path {
        "" => (format!("/{}", String::from_utf8_lossy(rest)), [].as_slice()),
        path => (path.to_owned(), rest),
    };
    let version = if is_grpc { Version::HTTP_2 } else { Version::HTTP_11 };
    let mut request = Request::builder().method(route.method).uri(path).version(version);
    request = request.header("content-type", route.content);
    let encoding = ["identity", "gzip", "zstd", "identity"][usize::from(flags & 3)];
    request = request.header(if is_grpc { "grpc-encoding" } else { "content-encoding" }, encoding);
    if flags & 4 != 0 {
        request = request.header("accept", ARROW);
    }
    let body = if is_grpc { framed(body, encoding != "identity") } else { body.to_vec() };
    // A path that is none is not sent.
    let Ok(request) = request.body(Body::from(body)) else { return };
    with(|world| {
        let server: Router = router(world.instance.clone());
        let (status, content, bytes) = world.tokio.block_on(async {
            let answered = server.oneshot(request).await.unwrap_or_else(|never| match never {});
            told(answered).await
        });
        assert!(status < 500 || status == 503, "{}: {status} {}", route.path, bytes.escape_ascii());
        if content.starts_with(JSON) {
            let read = serde_json::from_slice::<Json>(&bytes);
            assert!(read.is_ok(), "{}: {status} {}", route.path, bytes.escape_ascii());
        }
    });
}

async fn told(response: Response<Body>) -> (u16, String, Vec<u8>) {
    let content = response.headers().get("content-type").and_then(|value| value.to_str().ok());
    let (status, content) = (response.status().as_u16(), content.unwrap_or_default().to_owned());
    let bytes = to_bytes(response.into_body(), ANSWER_BYTES).await.expect("the answer ends");
    (status, content, bytes.to_vec())
}

/// A body as one message of gRPC.
fn framed(message: &[u8], compressed: bool) -> Vec<u8> {
    let mut bytes = vec![u8::from(compressed)];
    bytes.extend((message.len() as u32).to_be_bytes());
    bytes.extend(message);
    bytes
}
