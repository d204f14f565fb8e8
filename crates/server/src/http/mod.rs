//! The HTTP door: requests are read into the engine's own types, answered by an [`Instance`], and written back. It
//! decides nothing about features.
//!
//! ```text
//! bytes ─ body (size, compression) ─▶ resource (typed request) ─▶ Instance ─▶ JSON or Arrow
//!                                                     errors: one mapping to status and {"error": ..}
//! ```

mod admin;
mod arrow_request;
mod arrow_response;
mod background;
mod body;
mod caller;
mod errors;
mod features;
pub mod json;
mod limits;
mod manifests;
mod serve;
mod sources;
mod stream;
mod training_sets;
mod watch;

use crate::instance::Instance;
use crate::session::Session;
use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};
use body::BodyBudget;
use errors::{HttpError, JsonAnswer};
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;

pub use background::BackgroundServer;
pub use serve::{listen, serve, stop_signal};
pub use sources::quarantined;

/// What every handler has at hand.
#[derive(Clone)]
struct App {
    instance: Arc<Instance>,
    bodies: BodyBudget,
}

/// The routes as one text, for whoever missed one.
const ROUTES: &str = "POST /v1/sources/{name}/events, POST /v1/features, POST /v1/training-sets, \
    GET|DELETE /v1/training-sets/{id}, GET /v1/training-sets/{id}/data, POST /v1/plan, POST /v1/apply, \
    GET /v1/manifest, GET /v1/manifests/{version}, GET /v1/sources/{name}, GET /v1/sources/{name}/quarantine, \
    POST /v1/sources/{name}/quarantine/replay, GET /v1/views/{name}, POST /v1/check, POST /v1/flush, GET /v1/status, \
    GET /healthz, GET /readyz";

/// Everything that can be asked over HTTP.
pub fn router(instance: Arc<Instance>) -> Router {
    let settings = instance.settings();
    let loopback_only = !settings.insecure_listen;
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
        .route("/healthz", get(admin::healthy))
        .route("/readyz", get(admin::ready))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app);
    let router = router.layer(CatchPanicLayer::custom(errors::panicked));
    let router = if loopback_only { router.layer(from_fn(watch::only_from_here)) } else { router };
    router.layer(from_fn(watch::observe))
}

async fn no_route(request: axum::extract::Request) -> HttpError {
    HttpError::not_found(format!("there is no route {}; there are: {ROUTES}", request.uri().path()))
}

async fn wrong_method(request: axum::extract::Request) -> HttpError {
    let (method, path) = (request.method(), request.uri().path());
    HttpError::wrong_method(format!("{method} is not for {path}; there are: {ROUTES}"))
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
