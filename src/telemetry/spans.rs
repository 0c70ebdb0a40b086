//! Spans of what the server does, as OpenTelemetry has them. Who sends them installs a tracer; without one a span is a look at
//! a flag, and nothing else.
//!
//! A span is current while a future that it is put [`Span::around`] is polled, and those that begin meanwhile are its children.
//! Work that goes to other threads takes it along with [`carried`].

use std::borrow::Cow;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{
    FutureExt, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer, WithContext,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;
use parking_lot::RwLock;

/// Of a text in a span; queries may be as long as a request.
const MAX_TEXT_BYTES: usize = 2048;

static INSTALLED: AtomicBool = AtomicBool::new(false);
static TRACER: RwLock<Option<SdkTracer>> = RwLock::new(None);

/// Spans begin with this tracer from now on; with `None` there are no more of them.
pub fn install(tracer: Option<SdkTracer>) {
    let mut installed = TRACER.write();
    INSTALLED.store(tracer.is_some(), Ordering::Relaxed);
    *installed = tracer;
}

/// Whether there is anybody to send spans to.
fn is_on() -> bool {
    INSTALLED.load(Ordering::Relaxed)
}

/// Something the server does; it ends when this is dropped.
#[derive(Clone, Debug, Default)]
pub struct Span(Option<Context>);

/// A span within the current one.
pub fn span(name: &'static str) -> Span {
    Span::begin(|| SpanBuilder::from_name(name), Context::current)
}

/// The same of a request to another server.
pub fn client_span(name: &'static str) -> Span {
    Span::begin(|| SpanBuilder::from_name(name).with_kind(SpanKind::Client), Context::current)
}

/// The span of a request to us, within that of whoever asks, if the headers tell it.
pub fn server_span(method: &str, route: &str, headers: &HeaderMap) -> Span {
    let builder = || {
        SpanBuilder::from_name(format!("{method} {route}")).with_kind(SpanKind::Server).with_attributes([
            KeyValue::new("http.request.method", method.to_string()),
            KeyValue::new("http.route", route.to_string()),
        ])
    };
    Span::begin(builder, || TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers)))
}

impl Span {
    fn begin(builder: impl FnOnce() -> SpanBuilder, parent: impl FnOnce() -> Context) -> Self {
        if !is_on() {
            return Self(None);
        }
        let Some(tracer) = TRACER.read().clone() else { return Self(None) };
        let parent = parent();
        let span = tracer.build_with_context(builder(), &parent);
        Self(Some(parent.with_span(span)))
    }

    /// Whether anybody will see it: what is costly to tell need not be told otherwise.
    pub fn is_recorded(&self) -> bool {
        self.0.as_ref().is_some_and(|context| context.span().is_recording())
    }

    /// Long texts are cut.
    pub fn text(&self, key: &'static str, text: &str) {
        self.attribute(key, || bounded(text).to_string().into());
    }

    pub fn number(&self, key: &'static str, number: i64) {
        self.attribute(key, || number.into());
    }

    fn attribute(&self, key: &'static str, value: impl FnOnce() -> Value) {
        if let Some(context) = &self.0
            && context.span().is_recording()
        {
            context.span().set_attribute(KeyValue::new(key, value()));
        }
    }

    /// It did not end well.
    pub fn failed(&self, why: impl FnOnce() -> String) {
        if let Some(context) = &self.0
            && context.span().is_recording()
        {
            let why: Cow<'static, str> = bounded(&why()).to_string().into();
            context.span().set_status(Status::error(why));
        }
    }

    /// Makes it the current one of the future.
    pub fn around<F: Future>(&self, future: F) -> Either<WithContext<F>, F> {
        match &self.0 {
            Some(context) => Either::Left(future.with_context(context.clone())),
            None => Either::Right(future),
        }
    }
}

/// The ids of a span and its trace, as they are written; zeros for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ids {
    pub trace: String,
    pub span: String,
}

/// Of the current span.
pub fn current_ids() -> Ids {
    let context = if is_on() { Context::current().span().span_context().clone() } else { SpanContext::NONE };
    Ids { trace: context.trace_id().to_string(), span: context.span_id().to_string() }
}

/// A future that goes to another thread, and takes the current span along.
pub fn carried<F: Future>(future: F) -> Either<WithContext<F>, F> {
    match is_on() {
        true => Either::Left(future.with_current_context()),
        false => Either::Right(future),
    }
}

/// Tells whoever gets the request which span it is a part of.
pub fn inject(headers: &mut HeaderMap) {
    if is_on() {
        TraceContextPropagator::new().inject_context(&Context::current(), &mut HeadersMut(headers));
    }
}

fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        // The state of a trace is empty where nobody has one.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value))
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        let text = format!("{}é", "a".repeat(MAX_TEXT_BYTES - 1));
        assert_eq!(bounded(&text).len(), MAX_TEXT_BYTES - 1);
        assert_eq!(bounded("é"), "é");
    }
}
