//! The gRPC door: messages are read into the engine's own types, answered by a [`crate::session::Session`], and written
//! back. Served on the HTTP port; the protobuf files in `proto/thalweg/v1` are the truth of it.
//!
//! ```text
//! HTTP/2 ─ gate (key, deadline, room) ─▶ service (typed request) ─▶ Session ─▶ message
//!                                             errors: one mapping to a status with google.rpc details
//! ```

mod admin;
mod arrow_bytes;
mod budget;
pub(crate) mod columns;
mod deadline;
mod direct;
mod documents;
mod errors;
mod events;
mod features;
mod gate;
mod health;
mod limits;

use crate::instance::Instance;
use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use gate::Gate;
use limits::SMALL_MESSAGE;
use std::any::Any;
use std::sync::Arc;
use tonic::Status;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic_health::pb::health_server;
use tower_http::catch_panic::CatchPanicLayer;

/// The messages and services of `proto/thalweg/v1`, but for definitions, which are in `wire`.
#[allow(clippy::all, dead_code)]
pub(crate) mod v1 {
    include!(concat!(env!("OUT_DIR"), "/thalweg.v1.rs"));
}

/// The protobuf files, for those who ask the server what it speaks.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/thalweg.v1.descriptors"));

const SERVICES: [&str; 4] = [
    v1::features_server::SERVICE_NAME,
    v1::events_server::SERVICE_NAME,
    v1::admin_server::SERVICE_NAME,
    v1::direct_server::SERVICE_NAME,
];

/// A service that reads and, for those who compress, writes gzip and zstd.
macro_rules! compressed {
    ($server:expr) => {
        $server.accept_compressed(Gzip).accept_compressed(Zstd).send_compressed(Gzip).send_compressed(Zstd)
    };
}

/// A compressed service with messages up to a size.
macro_rules! bounded {
    ($server:expr, $bytes:expr) => {
        compressed!($server).max_decoding_message_size($bytes)
    };
}

/// Everything that can be asked over gRPC, to be merged with the routes of HTTP.
pub fn router(instance: Arc<Instance>) -> Router {
    let large = usize::try_from(instance.settings().max_body.bytes()).unwrap_or(usize::MAX);
    let gate = Gate::new(instance.clone());
    let features = v1::features_server::FeaturesServer::new(features::FeatureReads);
    let events = v1::events_server::EventsServer::new(events::EventPushes);
    let admin = v1::admin_server::AdminServer::new(admin::AdminCalls);
    let direct = v1::direct_server::DirectServer::new(direct::DirectCalls);
    let well_formed = "the descriptors are made by the build";
    let behind_the_gate = Routes::from(Router::new())
        .add_service(bounded!(features, SMALL_MESSAGE))
        .add_service(bounded!(events, large))
        .add_service(bounded!(admin, large))
        .add_service(bounded!(direct, SMALL_MESSAGE))
        .add_service(compressed!(reflection().build_v1().expect(well_formed)))
        .add_service(compressed!(reflection().build_v1alpha().expect(well_formed)))
        .into_axum_router()
        .route_layer(from_fn_with_state(gate, gate::enter));
    let health = compressed!(health_server::HealthServer::new(health::HealthDoor::new(instance, &SERVICES)));
    let open = Routes::from(Router::new()).add_service(health).into_axum_router();
    behind_the_gate.merge(open).route_layer(CatchPanicLayer::custom(panicked))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

/// What is answered at a path that is gRPC's, by its name, and is not there.
pub fn no_service(path: &str) -> Option<Response> {
    let is_grpc = path.starts_with("/thalweg.v1.") || path.starts_with("/grpc.");
    is_grpc.then(|| {
        let known = SERVICES.join(", ");
        Status::unimplemented(format!("there is no service at {path}; there are: {known}")).into_http()
    })
}

/// What is answered where the server's own code failed.
fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a call panicked");
    Status::internal("the call could not be finished; the server's log says why").into_http()
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn paths_of_grpc_are_answered_in_its_form() {
        let response = no_service("/thalweg.v1.Feature/Get").unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["grpc-status"], "12");
        assert!(no_service("/grpc.channelz.v1.Channelz/GetServers").is_some());
        assert!(no_service("/v1/features").is_none());
    }

    #[test]
    fn the_descriptors_have_every_service_and_what_it_needs() {
        let files = prost_types::FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
        let services: Vec<String> = files
            .iter()
            .flat_map(|file| file.service.iter().map(|service| format!("{}.{}", file.package(), service.name())))
            .collect();
        for service in SERVICES {
            assert!(services.iter().any(|own| own == service), "{service} is not among {services:?}");
        }
        for dependency in files.iter().flat_map(|file| &file.dependency) {
            assert!(files.iter().any(|file| file.name() == dependency), "{dependency} is missing");
        }
        assert!(reflection().build_v1().is_ok() && reflection().build_v1alpha().is_ok());
    }
}
