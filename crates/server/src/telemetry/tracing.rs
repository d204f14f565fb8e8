//! The log of the process, and its traces: each request is a span, a child of what its caller is doing, and spans go by
//! OTLP over HTTP to a collector. Where no collector is named, a span is a look at a flag.

use super::counts::is_fault;
use crate::session::{Door, Operation};
use crate::settings::{LogFormat, Settings};
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter,
};
use parking_lot::Mutex;
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// The target of the spans that make a trace, here as in the engine. Nothing else goes to the collector, and they are no
/// part of the log.
const TARGET: &str = thalweg_engine::TRACE_TARGET;
/// Where a collector takes spans, unless its address says otherwise.
const SPANS_PATH: &str = "/v1/traces";
/// Spans that wait to be sent; past it they are dropped.
const QUEUED_SPANS: usize = 8192;
/// Spans in one request to the collector.
const SPANS_AT_ONCE: usize = 1024;
/// How long a span waits for others to be sent with it.
const SEND_EVERY: Duration = Duration::from_secs(1);
/// How long a request to the collector may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the process waits for the last spans.
const LAST_SPANS: Duration = Duration::from_secs(6);
/// How often a collector that takes no spans is complained of.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Keeps the traces going; what waits is sent when it is dropped. Not to be dropped on a thread of an async runtime.
#[must_use]
pub struct Guard {
    provider: Option<SdkTracerProvider>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(provider) = self.provider.take() else { return };
        if let Err(error) = provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!("the last spans could not be sent: {error}");
        }
    }
}

/// Starts the log of the process and, where a collector is named, its traces; once: a process that has a log already
/// keeps it. The error says which setting is wrong, and how to mend it.
pub fn start(settings: &Settings) -> Result<Guard, String> {
    let filter = log_filter(&settings.log_level)?;
    let registry = tracing_subscriber::registry();
    let Some(endpoint) = &settings.trace_endpoint else {
        let _ = registry.with(filter).with(lines(settings.log_format)).try_init();
        return Ok(Guard { provider: None });
    };
    let provider = provider(endpoint, settings.trace_sample)?;
    // Children find their parents by the spans of `tracing`, which the engine carries from thread to thread.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("thalweg"))
        .with_context_activation(false)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_filter(Targets::new().with_target(TARGET, LevelFilter::INFO));
    let _ = registry.with(spans).with(lines(settings.log_format).with_filter(filter)).try_init();
    Ok(Guard { provider: Some(provider) })
}

fn lines<S>(format: LogFormat) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}

fn log_filter(level: &str) -> Result<EnvFilter, String> {
    // A bare level is about this program; of the libraries under it only warnings are wanted.
    let wanted = match level.contains(['=', ',']) {
        true => level.to_owned(),
        false => {
            format!("warn,thalweg_server={level},thalweg_engine={level},thalweg_lake={level},thalweg_store={level}")
        }
    };
    EnvFilter::try_new(format!("{wanted},{TARGET}=off"))
        .map_err(|error| format!("`log_level` is not a filter: {error}; write info, or info,thalweg_lake=debug"))
}

/// The spans' way to the collector. It has a thread of its own, as its HTTP client blocks.
fn provider(endpoint: &str, share: f64) -> Result<SdkTracerProvider, String> {
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(spans_address(endpoint))
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(SEND_TIMEOUT)
        .build()
        .map_err(|error| format!("`trace_endpoint`: {error}; write one such as http://127.0.0.1:4318"))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUED_SPANS)
        .with_max_export_batch_size(SPANS_AT_ONCE)
        .with_scheduled_delay(SEND_EVERY)
        .build();
    let exporter = Complaining { exporter, last: Mutex::new(None) };
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let resource = Resource::builder()
        .with_service_name("thalweg")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    Ok(SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
        .with_resource(resource)
        .build())
}

/// A bare address stands for the collector's usual path.
fn spans_address(endpoint: &str) -> String {
    let bare = endpoint.trim_end_matches('/');
    let host = bare.split_once("://").map_or(bare, |(_, rest)| rest);
    if host.contains('/') { endpoint.to_owned() } else { format!("{bare}{SPANS_PATH}") }
}

/// The exporter, and a line in the log where the collector takes no spans; the library itself is silent.
#[derive(Debug)]
struct Complaining {
    exporter: opentelemetry_otlp::SpanExporter,
    last: Mutex<Option<Instant>>,
}

impl Complaining {
    fn complain(&self, spans: usize, error: &OTelSdkError) {
        let mut last = self.last.lock();
        if last.is_none_or(|last| last.elapsed() >= COMPLAIN_EVERY) {
            *last = Some(Instant::now());
            tracing::warn!(spans, "the collector of `trace_endpoint` takes no spans, these are lost: {error}");
        }
    }
}

impl SpanExporter for Complaining {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.exporter.export(batch).await;
        if let Err(error) = &outcome {
            self.complain(spans, error);
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// What a caller is doing, of which its request here is a part.
#[derive(Clone)]
pub struct Parent(Context);

/// Reads what a caller says of its trace by the headers `traceparent` and `tracestate` of W3C. None where that says
/// nothing, or no traces are made.
pub fn parent_of(traceparent: &str, tracestate: Option<&str>) -> Option<Parent> {
    if !tracing::span_enabled!(target: TARGET, tracing::Level::INFO) {
        return None;
    }
    let said = Said { traceparent, tracestate };
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &said);
    let valid = context.span().span_context().is_valid();
    valid.then(|| Parent(context))
}

struct Said<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl Extractor for Said<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.traceparent),
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// The span of one request, to be entered while it is worked on. A request within another is the other's child, else
/// it is the caller's.
pub fn span(door: Door, operation: Operation, object: &str, parent: Option<&Parent>) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = operation.name(),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        thalweg.door = door.name(),
        thalweg.object = object,
        thalweg.code = tracing::field::Empty,
    );
    if let Some(Parent(context)) = parent
        && !span.is_disabled()
        && Span::current().metadata().is_none_or(|outer| outer.target() != TARGET)
    {
        // It fails only where traces were never started, and then the span is disabled.
        let _ = span.set_parent(context.clone());
    }
    span
}

/// Writes the outcome of a request to its span; `error` is the code of its failure.
pub fn ended(span: &Span, error: Option<&'static str>) {
    let Some(code) = error else { return };
    span.record("thalweg.code", code);
    if is_fault(code) {
        span.record("otel.status_code", "ERROR");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_collector_gets_the_usual_path() {
        assert_eq!(spans_address("http://c:4318"), "http://c:4318/v1/traces");
        assert_eq!(spans_address("http://c:4318/"), "http://c:4318/v1/traces");
        assert_eq!(spans_address("https://c/otlp/v1/traces"), "https://c/otlp/v1/traces");
    }

    #[test]
    fn levels_and_filters_are_read() {
        for level in ["info", "debug", "info,thalweg_lake=debug", "thalweg_server=trace"] {
            assert!(log_filter(level).is_ok(), "{level}");
        }
        let error = log_filter("thalweg_server=loud").unwrap_err();
        assert!(error.starts_with("`log_level` is not a filter"), "{error}");
    }

    #[test]
    fn without_a_collector_there_are_no_parents_and_no_spans() {
        assert!(parent_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None).is_none());
        assert!(span(Door::Http, Operation::Read, "risk", None).is_disabled());
    }
}
