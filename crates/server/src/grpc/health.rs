//! `grpc.health.v1`: whether reads can be answered, looked up when it is asked. Open without a key, for balancers.

use super::limits::HEALTH_PERIOD;
use crate::instance::Instance;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::sync::Arc;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::Health;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

pub struct HealthDoor {
    instance: Arc<Instance>,
    services: Arc<[&'static str]>,
}

impl HealthDoor {
    /// The health of the server (by the empty name) and of these services: they are ready together.
    pub fn new(instance: Arc<Instance>, services: &[&'static str]) -> Self {
        Self { instance, services: services.into() }
    }

    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

#[tonic::async_trait]
impl Health for HealthDoor {
    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let service = &request.get_ref().service;
        if !self.knows(service) {
            let known = self.services.join(", ");
            return Err(Status::not_found(format!("there is no service `{service}`; there are: {known}")));
        }
        Ok(Response::new(HealthCheckResponse { status: serving(&self.instance).into() }))
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// What it is now, and then every change.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let known = self.knows(&request.get_ref().service);
        let instance = self.instance.clone();
        let changes = stream::unfold(None, move |said: Option<ServingStatus>| {
            let instance = instance.clone();
            async move {
                loop {
                    let now = if known { serving(&instance) } else { ServingStatus::ServiceUnknown };
                    if said != Some(now) {
                        return Some((Ok(HealthCheckResponse { status: now.into() }), Some(now)));
                    }
                    tokio::time::sleep(HEALTH_PERIOD).await;
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}

fn serving(instance: &Instance) -> ServingStatus {
    match instance.ready() {
        Ok(()) => ServingStatus::Serving,
        Err(_) => ServingStatus::NotServing,
    }
}
