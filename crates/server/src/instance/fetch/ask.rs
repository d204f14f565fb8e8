//! Asking the service for one key: the request, what counts as its answer, and writing that down.

use super::guard::Health;
use super::{json_of, url};
use crate::instance::Instance;
use serde_json::Value as Json;
use std::sync::Weak;
use std::time::{Duration, Instant};
use thalweg_aggregate::Value;
use thalweg_definition::{Entity, Fetch};
use ureq::Agent;

/// Bytes of an answer.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
/// How long an answer that came in time may take to become durable; the read does not wait for longer than it would.
const WRITE_PATIENCE: Duration = Duration::from_secs(5);
/// Connections kept for the next request to the same host.
const IDLE_CONNECTIONS: usize = 16;
/// What a header's value begins with that stands in the server's environment.
const ENVIRONMENT: &str = "env:";

/// One key to be asked for.
pub struct Ask {
    pub instance: Weak<Instance>,
    pub selector: String,
    pub fetch: Fetch,
    pub entity: Entity,
    pub key: Vec<(String, Value)>,
    pub deadline: Instant,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The answer is written, and the next read sees it.
    Fetched,
    Failed {
        why: String,
        health: Health,
    },
    TimedOut {
        health: Health,
    },
}

/// What requests are sent with. Services on this machine are asked without a proxy.
pub struct Agents {
    here: Agent,
    elsewhere: Agent,
}

impl Agents {
    pub fn new() -> Self {
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                // A redirect could lead to a host that nobody named.
                .max_redirects(0)
                .max_idle_connections_per_host(IDLE_CONNECTIONS)
        };
        Self { here: config().proxy(None).build().new_agent(), elsewhere: config().build().new_agent() }
    }

    fn for_address(&self, address: &str) -> &Agent {
        if url::is_here(address) { &self.here } else { &self.elsewhere }
    }
}

impl Ask {
    /// Asks, and writes the answer. Blocks: until the deadline for the answer, and then for as long as a commit takes.
    pub fn carry_out(&self, agents: &Agents) -> Outcome {
        let answer = match self.answer(agents) {
            Ok(answer) => answer,
            Err(outcome) => return outcome,
        };
        let Some(value) = answer.pointer(&self.fetch.field) else {
            return bad_key(format!("the answer has no `{}`", self.fetch.field));
        };
        let Some(instance) = self.instance.upgrade() else { return unknown("the server is shutting down") };
        let key: Vec<Value> = self.key.iter().map(|(_, value)| value.clone()).collect();
        match instance.write_fetched(&self.selector, &key, value, WRITE_PATIENCE) {
            Ok(_) => Outcome::Fetched,
            Err(error) if error.code() == "INVALID" => bad_key(error.to_string()),
            Err(error) => unknown(error.to_string()),
        }
    }

    fn answer(&self, agents: &Agents) -> Result<Json, Outcome> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Outcome::TimedOut { health: Health::Unknown });
        }
        let address = self.address().map_err(bad_key)?;
        let agent = agents.for_address(&address);
        let request = agent.get(&address).config().timeout_global(Some(left)).build();
        let mut request = request.header("accept", "application/json");
        for (name, value) in &self.fetch.headers {
            request = request.header(name.as_str(), resolved(value).map_err(unknown)?);
        }
        let response = request.call().map_err(|error| lost(&error))?;
        let status = response.status().as_u16();
        if status != 200 {
            let health = if status >= 500 || status == 429 { Health::Bad } else { Health::BadKey };
            return Err(Outcome::Failed { why: format!("the service answered with status {status}"), health });
        }
        // One more than is taken, so that a body of just so many bytes is not one too long.
        let body = response.into_body().into_with_config().limit(MAX_ANSWER_BYTES + 1);
        let bytes = body.read_to_vec().map_err(|error| lost(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| bad_key(format!("the answer is not JSON: {error}")))
    }

    fn address(&self) -> Result<String, String> {
        let text = |(name, value): &(String, Value)| {
            let key = self.entity.keys.iter().find(|key| key.name == *name);
            let json = key.map_or(Json::Null, |key| json_of(value, &key.data_type));
            (name.clone(), json.as_str().map_or_else(|| json.to_string(), str::to_owned))
        };
        let keys: Vec<(String, String)> = self.key.iter().map(text).collect();
        url::filled(&self.fetch.url, &keys)
    }
}

/// A header's value, literal or from the environment. Neither is ever shown.
fn resolved(value: &str) -> Result<String, String> {
    match value.strip_prefix(ENVIRONMENT) {
        None => Ok(value.to_owned()),
        Some(name) => std::env::var(name)
            .map_err(|_| format!("the server's environment has no `{name}`, which a header is to be taken from")),
    }
}

fn bad_key(why: impl Into<String>) -> Outcome {
    Outcome::Failed { why: why.into(), health: Health::BadKey }
}

/// A failure of which the service is innocent.
fn unknown(why: impl Into<String>) -> Outcome {
    Outcome::Failed { why: why.into(), health: Health::Unknown }
}

/// No whole answer came.
fn lost(error: &ureq::Error) -> Outcome {
    match error {
        ureq::Error::Timeout(_) => Outcome::TimedOut { health: Health::Bad },
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Outcome::TimedOut { health: Health::Bad }
        }
        ureq::Error::BodyExceedsLimit(_) => bad_key(format!("the answer has more than {MAX_ANSWER_BYTES} bytes")),
        ureq::Error::BadUri(_) | ureq::Error::Http(_) => unknown(format!("the request cannot be made: {error}")),
        error => Outcome::Failed { why: format!("no answer: {error}"), health: Health::Bad },
    }
}
