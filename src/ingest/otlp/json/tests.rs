use super::*;
use crate::ingest::wire::{Reader, Value};

/// Fields of a message, nested messages by a path of numbers.
fn at(bytes: &[u8], path: &[u32]) -> Vec<(u32, Value<'static>)> {
    let mut reader = Reader::new(bytes);
    let mut fields = vec![];
    while let Some((number, value)) = reader.field().unwrap() {
        match (path.split_first(), value) {
            (Some((first, rest)), Value::Bytes(inner)) if *first == number => return at(inner, rest),
            (None, value) => fields.push((
                number,
                match value {
                    Value::Bytes(bytes) => Value::Bytes(bytes.to_vec().leak()),
                    Value::Varint(n) => Value::Varint(n),
                    Value::Fixed64(n) => Value::Fixed64(n),
                    Value::Skipped => Value::Skipped,
                },
            )),
            _ => {}
        }
    }
    fields
}

fn number_point(json: &str) -> Vec<(u32, Value<'static>)> {
    let request = format!(
        r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":{{"dataPoints":[{json}]}}}}]}}]}}]}}"#
    );
    at(&to_protobuf(request.as_bytes()).unwrap(), &[1, 2, 2, 5, 1])
}

#[test]
fn numbers_and_names() {
    let point = number_point(r#"{"timeUnixNano":"1700000000000000000","asInt":"-5","flags":1}"#);
    let minus_five = Value::Fixed64((-5i64).cast_unsigned());
    assert_eq!(point, [(3, Value::Fixed64(1_700_000_000_000_000_000)), (6, minus_five), (8, Value::Varint(1))]);
    let point = number_point(r#"{"time_unix_nano":7,"as_double":2,"unknown":{"a":[1,{"b":null}]},"flags":null}"#);
    assert_eq!(point, [(3, Value::Fixed64(7)), (4, Value::Fixed64(2f64.to_bits()))]);
    let point = number_point(r#"{"asDouble":"-Infinity"}"#);
    assert_eq!(point, [(4, Value::Fixed64(f64::NEG_INFINITY.to_bits()))]);
    let exemplar = number_point(r#"{"exemplars":[{"traceId":"0aFF","asInt":1}]}"#);
    let Value::Bytes(exemplar) = exemplar[0].1 else { panic!() };
    assert_eq!(at(exemplar, &[])[0], (5, Value::Bytes(&[0x0a, 0xff])));
}

#[test]
fn enums_and_nothing() {
    let sum = |json: &str| {
        let request = format!(r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"sum":{json}}}]}}]}}]}}"#);
        at(&to_protobuf(request.as_bytes()).unwrap(), &[1, 2, 2, 7])
    };
    assert_eq!(sum(r#"{"aggregationTemporality":2}"#), [(2, Value::Varint(2))]);
    assert_eq!(sum(r#"{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA"}"#), [(2, Value::Varint(1))]);
    assert_eq!(sum(r#"{"isMonotonic":true,"dataPoints":[]}"#), [(3, Value::Varint(1))]);
    assert_eq!(to_protobuf(b"{}").unwrap(), b"");
    assert_eq!(to_protobuf(b"null").unwrap(), b"");
}

#[test]
fn what_is_no_request() {
    let check = |json: &str, expected: &str| {
        let error = to_protobuf(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    };
    check("", "EOF");
    check("[]", "expected an object");
    check("{} x", "trailing");
    check(r#"{"resourceMetrics":{}}"#, "expected a list, got an object");
    check(r#"{"resourceMetrics":[5]}"#, "expected an object, got a number");
    let point = |json: &str| {
        format!(
            r#"{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":{{"dataPoints":[{json}]}}}}]}}]}}]}}"#
        )
    };
    check(&point(r#"{"asInt":"x"}"#), "expected a number, got \"x\"");
    check(&point(r#"{"asInt":1.5}"#), "expected a number, got a number with a fraction");
    check(&point(r#"{"asInt":"18446744073709551616"}"#), "outside of 64 bits");
    check(&point(r#"{"flags":-1}"#), "outside of 32 bits");
    check(&point(r#"{"exemplars":[{"traceId":"abc"}]}"#), "expected a text in hex");
    check(&"[".repeat(1000), "expected an object");
    let nested = r#"{"arrayValue":{"values":["#.repeat(100);
    let nested = format!(r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"value":{nested}"#);
    check(&nested, "recursion limit");
}
