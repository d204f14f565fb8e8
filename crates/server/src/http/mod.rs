//! The HTTP door: requests are read into the engine's own types, answered by a [`Session`], and written back. It
//! decides nothing about features.
//!
//! ```text
//! bytes ─ body (size, compression) ─▶ resource (typed request) ─▶ Session ─▶ JSON or Arrow
//!                                                     errors: one mapping to status and {"error": ..}
//! ```

mod admin;
mod arrow_request;
mod arrow_response;
mod audit;
mod background;
mod body;
mod caller;
mod direct;
mod errors;
pub(crate) mod feast;
mod features;
pub mod json;
mod keys;
mod limits;
mod manifests;
mod metrics;
mod openapi;
mod path;
mod serve;
mod sources;
mod stream;
mod training_sets;
mod watch;

use crate::instance::Instance;
use crate::session::Session;
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use body::BodyBudget;
use errors::{HttpError, JsonAnswer};
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;

pub use arrow_request::columnar_request;
pub use arrow_response::feature_batch;
pub(crate) use arrow_response::feature_stream;
pub use background::BackgroundServer;
pub use serve::{serve, stop_signal};
pub use sources::quarantined;

/// What every handler has at hand.
#[derive(Clone)]
struct App {
    instance: Arc<Instance>,
    bodies: BodyBudget,
}

/// Everything that can be asked over HTTP.
pub fn router(instance: Arc<Instance>) -> Router {
    let settings = instance.settings();
    let app = App { bodies: BodyBudget::new(settings.max_body.bytes()), instance: instance.clone() };
    let router = Router::new()
        .route("/v1/sources", get(sources::list))
        .route("/v1/sources/{name}", get(sources::describe))
        .route("/v1/sources/{name}/events", post(sources::push))
        .route("/v1/sources/{name}/quarantine", get(sources::quarantine))
        .route("/v1/sources/{name}/quarantine/replay", post(sources::replay))
        .route("/v1/features", post(features::read))
        .route("/v1/views/{name}", get(features::view))
        .route("/v1/training-sets", post(training_sets::start).get(training_sets::list))
        .route("/v1/training-sets/{id}", get(training_sets::describe).delete(training_sets::cancel))
        .route("/v1/training-sets/{id}/data", get(training_sets::data))
        .route("/v1/plan", post(manifests::plan))
        .route("/v1/apply", post(manifests::apply))
        .route("/v1/manifest", get(manifests::current))
        .route("/v1/manifests", get(manifests::list))
        .route("/v1/manifests/{version}", get(manifests::version))
        .route("/v1/check", post(admin::check))
        .route("/v1/flush", post(admin::flush))
        .route("/v1/status", get(admin::status))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/keys/{id}/rotate", post(keys::rotate))
        .route("/v1/audit", get(audit::list))
        .route("/v1/objectives", get(metrics::objectives))
        .route("/metrics", get(metrics::metrics))
        .route("/openapi.json", get(openapi::document))
        .route("/healthz", get(admin::healthy))
        .route("/readyz", get(admin::ready))
        .merge(feast::routes())
        .merge(direct::routes())
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app)
        .merge(crate::grpc::router(instance.clone()));
    let router = router.layer(CatchPanicLayer::custom(errors::panicked));
    let router = router.layer(from_fn_with_state(instance, watch::only_from_here));
    router.layer(from_fn(watch::observe))
}

async fn no_route(request: axum::extract::Request) -> Response {
    let path = request.uri().path();
    if let Some(answer) = crate::grpc::no_service(path) {
        return answer;
    }
    HttpError::not_found(format!("there is no route {path}: GET /openapi.json says which there are")).into_response()
}

async fn wrong_method(request: axum::extract::Request) -> HttpError {
    let (method, path) = (request.method(), request.uri().path());
    HttpError::wrong_method(format!("{method} is not for {path}: `Allow` says which are"))
}

impl App {
    /// Does what blocks on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        session: Session,
        work: impl FnOnce(&Session) -> Result<T, HttpError> + Send + 'static,
    ) -> Result<T, HttpError> {
        match tokio::task::spawn_blocking(move || work(&session)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(HttpError::internal("the request could not be finished; the server's log says why")),
        }
    }

    /// As `blocking`, for what is answered with JSON.
    async fn answer<T: serde::Serialize + Send + 'static>(
        &self,
        session: Session,
        work: impl FnOnce(&Session) -> Result<T, HttpError> + Send + 'static,
    ) -> Result<JsonAnswer, HttpError> {
        self.blocking(session, move |session| JsonAnswer::of(&work(session)?)).await
    }
}
