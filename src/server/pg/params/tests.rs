use super::*;
use crate::server::pg::settings::zone::Zone;

const NOW: Now = Now { zone: Zone::UTC, micros: 0 };

fn check(
    bytes: &[u8],
    binary: bool,
    declared: Option<Type>,
    inferred: Option<DataType>,
    want: Option<ScalarValue>,
) {
    let bytes = Bytes::copy_from_slice(bytes);
    let arrow =
        inferred.unwrap_or_else(|| super::super::types::arrow_type(declared.as_ref().unwrap_or(&Type::TEXT)));
    let got = decode(0, Some(&bytes), binary, &Parameter::new(declared.as_ref(), arrow), NOW);
    assert_eq!(got.ok(), want);
}

#[test]
fn decodes() {
    check(b"12", false, None, Some(DataType::Int64), Some(ScalarValue::Int64(Some(12))));
    check(b"x", false, None, Some(DataType::Int64), None);
    check(b"t", false, Some(Type::BOOL), None, Some(ScalarValue::Boolean(Some(true))));
    check(&5i32.to_be_bytes(), true, Some(Type::INT4), Some(DataType::Int64), Some(ScalarValue::Int64(Some(5))));
    check(&[1, 2], true, Some(Type::INT4), None, None);
    check(b"\\x01ff", false, Some(Type::BYTEA), None, Some(ScalarValue::Binary(Some(vec![1, 255]))));
    check(b"a", false, None, None, Some(ScalarValue::Utf8(Some("a".into()))));
    let infinity = ScalarValue::TimestampMicrosecond(Some(i64::MAX), None);
    check(&i64::MAX.to_be_bytes(), true, Some(Type::TIMESTAMP), None, Some(infinity));
}

#[test]
fn what_cannot_be_a_value_has_its_code() {
    let cases: &[(&[u8], bool, Type, &str)] = &[
        (&[], true, Type::INT4, "22P03"),
        (&[1, 2, 3], true, Type::INT8, "22P03"),
        (&[0; 9], true, Type::FLOAT8, "22P03"),
        (&[0; 15], true, Type::INTERVAL, "22P03"),
        (&i32::MAX.to_be_bytes(), true, Type::DATE, "22008"),
        (&(i64::MAX - 1).to_be_bytes(), true, Type::TIMESTAMPTZ, "22008"),
        (&[0x7f; 16], true, Type::INTERVAL, "22008"),
        (b"\xff", true, Type::TEXT, "22021"),
        (b"a\0b", false, Type::TEXT, "22021"),
        (b"x", false, Type::FLOAT8, "22P02"),
        (b"\\x0", false, Type::BYTEA, "22P02"),
        (&[0, 1], true, Type::NUMERIC, "22P03"),
        (&[0; 20], true, Type::INT4_ARRAY, "42804"),
        (&[2, 0], true, Type::JSONB, "22P03"),
        (&[0xff; 8], true, Type::TIME, "22008"),
        (&[0; 15], true, Type::UUID, "22P03"),
        (b"2026-01-01 nonsense", false, Type::TIMESTAMPTZ, "22007"),
    ];
    for (bytes, binary, declared, code) in cases {
        let wanted = Parameter::new(Some(declared), super::super::types::arrow_type(declared));
        let error = decode(0, Some(&Bytes::copy_from_slice(bytes)), *binary, &wanted, NOW).unwrap_err();
        assert_eq!(error.code(), *code, "{bytes:?} as {declared}: {error}");
    }
}

/// Any bytes as any type, for whatever the plan wants: a value or an error.
#[test]
fn random_bytes_are_values_or_errors() {
    let mut random = fastrand::Rng::with_seed(10);
    let wires: Vec<Type> = (16..4_100).filter_map(Type::from_oid).collect();
    let targets = [
        None,
        Some(DataType::Int16),
        Some(DataType::Int64),
        Some(DataType::Float64),
        Some(DataType::Utf8),
        Some(DataType::Boolean),
        Some(DataType::Date32),
        Some(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        Some(DataType::Timestamp(TimeUnit::Nanosecond, None)),
        Some(DataType::Decimal128(10, 2)),
        Some(DataType::Interval(datafusion::arrow::datatypes::IntervalUnit::MonthDayNano)),
        Some(DataType::new_list(DataType::Utf8, true)),
    ];
    for _ in 0..50_000 {
        let length =
            if random.bool() { *random.choice(&[1, 2, 4, 8, 16]).expect("some") } else { random.usize(..20) };
        let bytes: Vec<u8> = match random.u8(..3) {
            0 => (0..length).map(|_| random.u8(..)).collect(),
            1 => (0..length).map(|_| *random.choice(b"0123456789.-+:eTZ \\x{}\"").expect("some")).collect(),
            _ => vec![*random.choice(&[0, 0x7f, 0x80, 0xff]).expect("some"); length],
        };
        let wire = random.bool().then(|| random.choice(&wires).expect("some"));
        let target = random.choice(&targets).expect("some").clone();
        let arrow = target.unwrap_or_else(|| super::super::types::arrow_type(wire.unwrap_or(&Type::TEXT)));
        let _ = decode(0, Some(&Bytes::from(bytes)), random.bool(), &Parameter::new(wire, arrow), NOW);
    }
}

/// All that is sent of a value, both ways.
#[test]
fn numbers_of_any_size_keep_their_digits() {
    let decimal = DataType::Decimal128(38, 10);
    let mut bytes = bytes::BytesMut::new();
    super::super::numeric::put("-12345678901234567890.0000000001", &mut bytes);
    let want = ScalarValue::Decimal128(Some(-123_456_789_012_345_678_900_000_000_001), 38, 10);
    check(&bytes, true, Some(Type::NUMERIC), Some(decimal.clone()), Some(want.clone()));
    check(b"-12345678901234567890.0000000001", false, Some(Type::NUMERIC), Some(decimal), Some(want));
    check(b"1.5", false, Some(Type::NUMERIC), None, Some(ScalarValue::Float64(Some(1.5))));
    check(b"NaN", false, Some(Type::NUMERIC), None, Some(ScalarValue::Float64(Some(f64::NAN))));
}

#[test]
fn formats_and_counts() {
    let check = |codes: &[i16], values: usize, want: Option<&str>| {
        let got = check_formats(codes, values);
        assert_eq!(got.err().as_ref().map(PgWireError::code), want, "{codes:?} for {values}");
    };
    check(&[], 3, None);
    check(&[1], 3, None);
    check(&[1], 0, None);
    check(&[0, 1, 0], 3, None);
    check(&[1, 1], 3, Some("08P01"));
    check(&[1, 1, 1, 1], 3, Some("08P01"));
    check(&[2], 3, Some("22023"));
    check(&[0, -1], 2, Some("22023"));
    assert_eq!(check_count(DEFAULT_NAME, 1, 2).unwrap_err().code(), "08P01");
    assert!(check_count("s", 2, 2).is_ok());
}
