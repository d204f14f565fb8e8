//! The Feast door: the HTTP API of Feast's feature server, so that what reads and writes features through it, Feast's
//! own client included, does so here unchanged.
//!
//! ```text
//! {"features": ["view:feature"], "entities": {..}} ─ form ─▶ FeatureRequest ─▶ Session ─▶ {"results", "metadata"}
//! {"push_source_name": .., "df": {column: [..]}}   ─ form ─▶ frame (rows)   ─▶ Session ─▶ 200
//!                      errors: one mapping to a FeastError as JSON text, or to FastAPI's {"detail": ..}
//! ```

mod answer;
mod errors;
pub(crate) mod form;
pub(crate) mod frame;
mod limits;
mod push;
mod read;
mod values;

use super::App;
use crate::session::Door;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Router};

/// Feast's routes, under the paths that its clients know.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/get-online-features", post(read::online_features))
        .route("/push", post(push::push))
        .route("/write-to-online-store", post(push::write_to_online_store))
        .route("/health", get(health))
        .layer(Extension(Door::Feast))
}

/// Whether reads can be answered; Feast's server says it without a body.
async fn health(State(app): State<App>) -> StatusCode {
    match app.instance.ready() {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
