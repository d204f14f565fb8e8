//! The command line's HTTP client: one kept-alive agent, and errors that say what to do.

use clap::Args;
use serde_json::Value as Json;
use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::Agent;
use ureq::http::{Method, Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub const JSON: &str = "application/json";
pub const LINES: &str = "application/x-ndjson";
pub const ARROW: &str = "application/vnd.apache.arrow.stream";

pub struct Client {
    agent: Agent,
    url: String,
    /// As the header has it.
    authorization: Option<String>,
}

// What opens the door of a server. (No doc comments here: they would become the help of the commands.)
#[derive(Args, Default)]
pub struct Credentials {
    /// The API key to send; better set in the environment, as other users of the machine can see flags
    #[arg(long, value_name = "KEY", env = "THALWEG_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// A PEM file with the certificate of the authority to trust, instead of those that browsers trust
    #[arg(long, value_name = "FILE", env = "THALWEG_CA_CERT")]
    ca_cert: Option<PathBuf>,
}

/// What is sent.
pub struct Body<'a> {
    pub content_type: &'a str,
    pub bytes: Vec<u8>,
    pub idempotency_key: Option<&'a str>,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct ClientError {
    pub code: String,
    message: String,
    problems: Vec<String>,
    pub retry_after: Option<Duration>,
}

impl Client {
    pub fn new(url: &str, credentials: &Credentials) -> Result<Self, ClientError> {
        let url = url.trim_end_matches('/').to_owned();
        let Some(rest) = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")) else {
            let mend = "write one such as http://127.0.0.1:8765, or with https://";
            return Err(ClientError::new("INVALID", format!("`{url}` is not the address of a server: {mend}")));
        };
        let config = Agent::config_builder().http_status_as_error(false).timeout_connect(Some(CONNECT_TIMEOUT));
        // A proxy from the environment would look for this machine's loopback on its own.
        let here = ["127.", "localhost", "[::1]"].iter().any(|start| rest.starts_with(start));
        let config = if here { config.proxy(None) } else { config };
        let config = match &credentials.ca_cert {
            Some(path) => config.tls_config(TlsConfig::builder().root_certs(authority(path)?).build()),
            None => config,
        };
        let key = credentials.api_key.as_deref().map(str::trim).filter(|key| !key.is_empty());
        let authorization = key.map(|key| format!("Bearer {key}"));
        Ok(Self { agent: config.build().new_agent(), url, authorization })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn get(&self, path: &str) -> Result<Json, ClientError> {
        self.json(self.send(Method::GET, path, &[], None)?)
    }

    pub fn delete(&self, path: &str) -> Result<Json, ClientError> {
        self.json(self.send(Method::DELETE, path, &[], None)?)
    }

    /// Posts JSON text.
    pub fn post(&self, path: &str, query: &[(&str, &str)], bytes: Vec<u8>) -> Result<Json, ClientError> {
        self.post_body(path, query, &Body { content_type: JSON, bytes, idempotency_key: None })
    }

    pub fn post_body(&self, path: &str, query: &[(&str, &str)], body: &Body<'_>) -> Result<Json, ClientError> {
        self.json(self.send(Method::POST, path, query, Some(body))?)
    }

    /// Writes what comes to `out`.
    pub fn download(&self, path: &str, query: &[(&str, &str)], out: &mut impl Write) -> Result<u64, ClientError> {
        let mut reader =
            self.send(Method::GET, path, query, None)?.into_body().into_with_config().limit(u64::MAX).reader();
        io::copy(&mut reader, out)
            .map_err(|error| ClientError::new("UNREACHABLE", format!("the answer of {} broke off: {error}", self.url)))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Body<'_>>,
    ) -> Result<Response<ureq::Body>, ClientError> {
        let mut target = format!("{}{path}", self.url);
        for (index, (name, value)) in query.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(&format!("{name}={}", encode(value)));
        }
        let mut request = Request::builder().method(method).uri(target).header("accept", "*/*");
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        if let Some(body) = body {
            request = request.header("content-type", body.content_type);
            if let Some(key) = body.idempotency_key {
                request = request.header("idempotency-key", key);
            }
        }
        let wrong = |error: ureq::http::Error| ClientError::new("INVALID", format!("{}: {error}", self.url));
        let sent = match body {
            Some(body) => self.agent.run(request.body(body.bytes.as_slice()).map_err(wrong)?),
            None => self.agent.run(request.body(()).map_err(wrong)?),
        };
        let response = sent.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(response) } else { Err(self.refusal(response)) }
    }

    fn json(&self, response: Response<ureq::Body>) -> Result<Json, ClientError> {
        let text = self.text(response)?;
        if text.trim_ascii().is_empty() {
            return Ok(Json::Null);
        }
        serde_json::from_slice(&text).map_err(|_| {
            ClientError::new("PROTOCOL", format!("{} does not answer in JSON: is it a thalweg server?", self.url))
        })
    }

    fn text(&self, response: Response<ureq::Body>) -> Result<Vec<u8>, ClientError> {
        let mut text = Vec::new();
        let mut reader = response.into_body().into_with_config().limit(u64::MAX).reader();
        match reader.read_to_end(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => {
                Err(ClientError::new("UNREACHABLE", format!("the answer of {} broke off: {error}", self.url)))
            }
        }
    }

    fn refusal(&self, response: Response<ureq::Body>) -> ClientError {
        let status = response.status().as_u16();
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<f64>().ok());
        let retry_after = header.filter(|seconds| (0.0..3600.0).contains(seconds)).map(Duration::from_secs_f64);
        let text = self.text(response).unwrap_or_default();
        let answer: Json = serde_json::from_slice(&text).unwrap_or_default();
        let error = &answer["error"];
        let (Some(code), Some(message)) = (error["code"].as_str(), error["message"].as_str()) else {
            let message = format!("{} answered with status {status}: is it a thalweg server?", self.url);
            return ClientError { retry_after, ..ClientError::new("PROTOCOL", message) };
        };
        let problems = error["problems"].as_array().map(|all| all.iter().map(problem).collect()).unwrap_or_default();
        ClientError { retry_after, problems, ..ClientError::new(code, message.to_owned()) }
    }

    fn unreachable(&self, error: &ureq::Error) -> ClientError {
        let url = &self.url;
        let nobody = || format!("no server at {url}: start one with `thalweg serve`, or name another with --url");
        let message = match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => nobody(),
            ureq::Error::ConnectionFailed => nobody(),
            ureq::Error::HostNotFound => format!("there is no host as in {url}: name another with --url"),
            error if url.starts_with("https://") => {
                format!("no answer from {url}: {error}; an authority of your own is named with --ca-cert")
            }
            error => format!("no answer from {url}: {error}"),
        };
        ClientError::new("UNREACHABLE", message)
    }
}

/// The certificates of a file, to be trusted.
fn authority(path: &Path) -> Result<RootCerts, ClientError> {
    let wrong = |why: String| ClientError::new("INVALID", format!("--ca-cert {}: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let items = parse_pem(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| wrong(error.to_string()))?;
    let certificates: Vec<Certificate<'static>> = items
        .into_iter()
        .filter_map(|item| match item {
            PemItem::Certificate(certificate) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(wrong("there is no certificate in it: name a PEM file".to_owned()));
    }
    Ok(RootCerts::new_with_certs(&certificates))
}

/// `file:line: object: rule; mend`.
fn problem(problem: &Json) -> String {
    let text = |name: &str| problem[name].as_str().unwrap_or_default();
    let origin = problem["origin"].as_str().map(|origin| format!("{origin}: ")).unwrap_or_default();
    format!("{origin}{}: {}; {}", text("object"), text("rule"), text("mend"))
}

/// A part of a path or of a query.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl ClientError {
    fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), problems: Vec::new(), retry_after: None }
    }

    /// Sending it again changes nothing: the request itself is wrong.
    pub fn is_misuse(&self) -> bool {
        matches!(self.code.as_str(), "INVALID" | "BREAKING" | "TOO_LARGE" | "UNSUPPORTED")
    }

    /// The server asks to wait.
    pub fn is_overload(&self) -> bool {
        matches!(self.code.as_str(), "OVERLOADED" | "RATE_LIMITED")
    }

    /// It may work the next time.
    pub fn is_lost(&self) -> bool {
        matches!(self.code.as_str(), "UNREACHABLE" | "UNAVAILABLE" | "TIMEOUT")
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.problems.is_empty() { f.write_str(&self.message) } else { f.write_str(&self.problems.join("\n")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_encoded() {
        assert_eq!(encode("a b/ü~"), "a%20b%2F%C3%BC~");
    }

    #[test]
    fn addresses_and_absent_servers_are_explained() {
        let new = |url: &str| Client::new(url, &Credentials::default());
        let error = new("localhost:8765").err().unwrap();
        assert!(error.to_string().contains("http://127.0.0.1:8765"), "{error}");
        assert!(new("https://features.example:8765").is_ok());
        // Port 1 of loopback: nobody listens there.
        let error = new("http://127.0.0.1:1").unwrap().get("/v1/status").unwrap_err();
        assert!(error.to_string().contains("start one with `thalweg serve`"), "{error}");
    }

    #[test]
    fn a_file_without_certificates_is_refused_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        std::fs::write(&path, "nothing").unwrap();
        let credentials = Credentials { ca_cert: Some(path), ..Credentials::default() };
        let error = Client::new("https://127.0.0.1:8765", &credentials).err().unwrap();
        assert!(error.to_string().contains("ca.pem: there is no certificate in it"), "{error}");
    }
}
