//! What the corpus does not have: bounds, and notations at their edges.

use super::super::value::Value;
use super::{print, printf, println};

const LIMIT: usize = 1 << 20;

fn check(format: &str, values: &[Value], expected: &str) {
    let text = printf(format.as_bytes(), values, LIMIT).unwrap();
    assert_eq!(String::from_utf8_lossy(&text), expected, "{format}");
}

#[test]
fn floats_at_their_edges() {
    let check = |format: &str, number: f64, expected: &str| check(format, &[Value::Float(number)], expected);
    check("%v", f64::MAX, "1.7976931348623157e+308");
    check("%v", 5e-324, "5e-324");
    check("%x", 5e-324, "0x1p-1074");
    check("%.3x", 5e-324, "0x1.000p-1074");
    check("%b", 5e-324, "1p-1074");
    check("%.1x", 1.999, "0x1.0p+01");
    check("%X", -0.1, "-0X1.999999999999AP-04");
    check("%.20e", 0.1, "1.00000000000000005551e-01");
    check("%.0f", 0.5, "0");
    check("%.0f", 1.5, "2");
    check("%.3g", 99_950.0, "1e+05");
    check("%#.3g", 100.0, "100.");
    check("%#g", 0.0, "0.00000");
    check("%+08.2f", -0.0, "-0000.00");
}

#[test]
fn widths_and_precisions_that_are_large() {
    let length = |format: &str, value: Value| printf(format.as_bytes(), &[value], LIMIT).map(|text| text.len());
    assert_eq!(length("%1000000d", Value::int(1)), Some(1_000_000));
    assert_eq!(length("%.1000000d", Value::int(1)), Some(1_000_000));
    assert_eq!(length("%.1000000f", Value::Float(1.5)), Some(1_000_002));
    assert_eq!(length("%.1000000e", Value::Float(1.5)), Some(1_000_006));
    assert_eq!(length("%.1000000g", Value::Float(0.1)), Some(57));
    assert_eq!(length("%.1000000x", Value::Float(1.5)), Some(1_000_008));
    assert_eq!(length("%.1000000U", Value::int(1)), Some(1_000_002));
    assert_eq!(length("%1000000v", Value::text("x")), Some(1_000_000));
    assert_eq!(length("%9999999d", Value::int(1)), None);
    assert_eq!(length("%99999999d", Value::int(1)), Some("%!(NOVERB)%!(EXTRA int=1)".len()));
}

#[test]
fn what_is_printed_without_a_format() {
    let values =
        [Value::int(1), Value::int(2), Value::text("a"), Value::int(3), Value::Any(None), Value::Bool(true)];
    assert_eq!(print(&values, LIMIT).unwrap(), b"1 2a3 <nil> true");
    assert_eq!(println(&values, LIMIT).unwrap(), b"1 2 a 3 <nil> true\n");
    assert_eq!(print(&values, 10), None);
}
