//! `ExportTraceServiceRequest` of OTLP 1.x and its answer, as much of them as we have: no events and no links.

use std::time::{SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{SpanId, SpanKind as Kind, Status as State};
use opentelemetry::{Array, KeyValue as Attribute, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub struct Request {
    #[prost(message, repeated, tag = "1")]
    pub resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Attributes>,
    #[prost(message, repeated, tag = "2")]
    pub scope_spans: Vec<ScopeSpans>,
}

/// A `Resource`.
#[derive(Clone, PartialEq, Message)]
pub struct Attributes {
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Scope {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub version: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct Span {
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    pub parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(int32, tag = "6")]
    pub kind: i32,
    #[prost(fixed64, tag = "7")]
    pub start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    #[prost(uint32, tag = "10")]
    pub dropped_attributes_count: u32,
    #[prost(message, optional, tag = "15")]
    pub status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    pub flags: u32,
}

#[derive(Clone, PartialEq, Message)]
pub struct Status {
    #[prost(string, tag = "2")]
    pub message: String,
    #[prost(int32, tag = "3")]
    pub code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct KeyValue {
    #[prost(string, tag = "1")]
    pub key: String,
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 2, 3, 4, 5")]
    pub value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    List(List),
}

#[derive(Clone, PartialEq, Message)]
pub struct List {
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

/// `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub struct Answer {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// One request for a batch, whose spans all have the scope of the first.
pub fn request(resource: &Resource, batch: Vec<SpanData>) -> Request {
    let scope = batch.first().map(|span| Scope {
        name: span.instrumentation_scope.name().to_string(),
        version: span.instrumentation_scope.version().unwrap_or_default().to_string(),
    });
    let attributes = resource
        .iter()
        .map(|(key, value)| KeyValue { key: key.as_str().to_string(), value: Some(any(value.clone())) });
    Request {
        resource_spans: vec![ResourceSpans {
            resource: Some(Attributes { attributes: attributes.collect() }),
            scope_spans: vec![ScopeSpans { scope, spans: batch.into_iter().map(span).collect() }],
        }],
    }
}

fn span(data: SpanData) -> Span {
    let parent = data.parent_span_id;
    // The second byte says whether we know where the parent is, and that.
    let remote = 0x100 | if data.parent_span_is_remote { 0x200 } else { 0 };
    Span {
        trace_id: data.span_context.trace_id().to_bytes().to_vec(),
        span_id: data.span_context.span_id().to_bytes().to_vec(),
        trace_state: data.span_context.trace_state().header(),
        parent_span_id: if parent == SpanId::INVALID { vec![] } else { parent.to_bytes().to_vec() },
        name: data.name.into_owned(),
        kind: match data.span_kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
            Kind::Producer => 4,
            Kind::Consumer => 5,
        },
        start_time_unix_nano: nanoseconds(data.start_time),
        end_time_unix_nano: nanoseconds(data.end_time),
        attributes: data.attributes.into_iter().map(key_value).collect(),
        dropped_attributes_count: data.dropped_attributes_count,
        status: match data.status {
            State::Unset => None,
            State::Ok => Some(Status { message: String::new(), code: 1 }),
            State::Error { description } => Some(Status { message: description.into_owned(), code: 2 }),
        },
        flags: u32::from(data.span_context.trace_flags().to_u8()) | remote,
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn key_value(attribute: Attribute) -> KeyValue {
    KeyValue { key: attribute.key.into(), value: Some(any(attribute.value)) }
}

fn any(value: Value) -> AnyValue {
    AnyValue {
        value: Some(match value {
            Value::Bool(value) => Any::Bool(value),
            Value::I64(value) => Any::Int(value),
            Value::F64(value) => Any::Double(value),
            Value::String(value) => Any::Text(value.into()),
            Value::Array(values) => Any::List(List { values: list(values) }),
            // Kinds that a later version of the library may have, as it would print them.
            other => Any::Text(other.to_string()),
        }),
    }
}

fn list(values: Array) -> Vec<AnyValue> {
    match values {
        Array::Bool(values) => values.into_iter().map(|value| any(value.into())).collect(),
        Array::I64(values) => values.into_iter().map(|value| any(value.into())).collect(),
        Array::F64(values) => values.into_iter().map(|value| any(value.into())).collect(),
        Array::String(values) => values.into_iter().map(|value| any(value.into())).collect(),
        other => vec![any(other.to_string().into())],
    }
}
