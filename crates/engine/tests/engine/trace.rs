//! The spans of a push and of a read: whose child each is, and that none is made where nobody asked.

use crate::support::{NEW_YEAR, World, counted, order, push, read, request};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::thread;
use thalweg_engine::TRACE_TARGET;
use tracing::dispatcher::{Dispatch, get_default, with_default};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Level, Subscriber, info_span};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// Writes down what begins, with its parent and fields, and what ends.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("nobody holds it"))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Recorder {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).expect("it was just made");
        let metadata = attributes.metadata();
        assert_eq!(*metadata.level(), Level::INFO);
        assert!(span.name() == "request" || metadata.target() == TRACE_TARGET);
        let mut fields = Fields(String::new());
        attributes.record(&mut fields);
        let parent = span.parent().map_or("nothing", |parent| parent.name());
        self.0.lock().expect("nobody holds it").push(format!("{} in {parent}:{}", span.name(), fields.0));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let span = context.span(&id).expect("it is just ending");
        self.0.lock().expect("nobody holds it").push(format!("{} ends", span.name()));
    }
}

struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

#[test]
fn a_push_is_shown_as_log_and_then_apply_and_a_read_as_serve() {
    let world = World::new();
    let engine = world.start(counted());
    let recorder = Recorder::default();
    let listening = Dispatch::new(tracing_subscriber::registry().with(recorder.clone()));
    with_default(&listening, || {
        // Other tests, which nobody listens to, may just have been the first to pass by these spans.
        tracing::callsite::rebuild_interest_cache();
        push(&engine, "orders", &order("ann", 1, NEW_YEAR - 5));
        assert_eq!(recorder.told(), [""; 0], "it was made outside any span");

        let asked = info_span!(target: "test", "request");
        let body = order("ann", 2, NEW_YEAR - 5).to_string();
        let ticket = asked.in_scope(|| engine.submit(request("orders", body.as_bytes(), None))).expect("taken");
        // The commit happens elsewhere, and is still shown as part of the push.
        let here = get_default(Dispatch::clone);
        thread::scope(|scope| {
            scope.spawn(|| with_default(&here, || engine.commit_pending()));
        });
        let ack = ticket.wait().expect("acknowledged");
        let fields = format!(r#" thalweg.source="orders" thalweg.rows=1 thalweg.sequence={}"#, ack.first_sequence);
        let told = recorder.told();
        assert_eq!(
            told,
            [
                "request in nothing:".to_owned(),
                format!("log in request:{fields}"),
                "log ends".to_owned(),
                format!("apply in request:{fields}"),
                "apply ends".to_owned(),
            ]
        );
        tracing::callsite::rebuild_interest_cache();
        asked.in_scope(|| read(&engine, "v.ids", "ann"));
        drop(asked);
        let served = r#"serve in request: thalweg.service="" thalweg.rows=1"#;
        assert_eq!(recorder.told(), [served, "serve ends", "request ends"]);
    });
}
