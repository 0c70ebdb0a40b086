use super::*;

#[test]
fn formats() {
    let check = |value: f64, plain: &str, json: &str, general: &str| {
        assert_eq!(format_plain(value), plain, "plain {value:e}");
        assert_eq!(format_json(value), json, "json {value:e}");
        assert_eq!(format_general(value), general, "general {value:e}");
    };
    check(0.0, "0", "0", "0");
    check(-0.0, "-0", "-0", "-0");
    check(1.5, "1.5", "1.5", "1.5");
    check(123456.0, "123456", "123456", "123456");
    check(1e6, "1000000", "1000000", "1e+06");
    check(1234567.5, "1234567.5", "1234567.5", "1.2345675e+06");
    check(0.0001, "0.0001", "0.0001", "0.0001");
    check(0.00001, "0.00001", "0.00001", "1e-05");
    check(1e-7, "0.0000001", "1e-07", "1e-07");
    check(1e21, "1000000000000000000000", "1e+21", "1e+21");
    check(1.5e300, &format!("15{}", "0".repeat(299)), "1.5e+300", "1.5e+300");
    check(f64::NAN, "NaN", "NaN", "NaN");
    check(f64::INFINITY, "+Inf", "+Inf", "+Inf");
    check(f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf");
}

#[test]
fn significant_digits() {
    for (value, text) in
        [(5.0, "5"), (20.0, "20"), (100.0, "1e+02"), (0.000012345, "1.2e-05"), (1.25, "1.2"), (0.0, "0")]
    {
        assert_eq!(format_general_digits(value, 2), text);
    }
}

#[test]
fn open_metrics_labels() {
    for (value, text) in [(1.0, "1.0"), (0.25, "0.25"), (1e6, "1e+06"), (f64::INFINITY, "+Inf"), (-3.0, "-3.0")] {
        assert_eq!(format_open_metrics(value), text);
    }
}

#[test]
fn parses_what_go_parses() {
    let good: &[(&str, f64)] = &[
        ("1", 1.0),
        ("+.5", 0.5),
        ("5.", 5.0),
        ("-1e-3", -0.001),
        ("1_000.5", 1000.5),
        ("Inf", f64::INFINITY),
        ("+inf", f64::INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
        ("0x1p-2", 0.25),
        ("0X1.8p1", 3.0),
        ("0x_1p0", 1.0),
        ("0x.8p0", 0.5),
        ("0x1p-1074", f64::from_bits(1)),
        ("0x1.fffffffffffff8p0", 2.0),
        ("0x1.fffffffffffffp1023", f64::MAX),
        ("1e-400", 0.0),
    ];
    for (text, value) in good {
        assert_eq!(parse(text), Some(*value), "{text}");
    }
    assert!(parse("nan").is_some_and(f64::is_nan));
    for text in [
        "", "+", "+nan", "1e400", "0x1", "0x1p1024", "1__0", "_1", "1_", "infinit", "1e", "1.2.3", "abc", " 1", "é",
    ] {
        assert_eq!(parse(text), None, "{text}");
    }
    assert_eq!(parse_exposition("0x1p0"), None);
    assert_eq!(parse_exposition("1_0"), None);
    assert_eq!(parse_exposition("1e3"), Some(1000.0));
}

#[test]
fn exponents() {
    let cases = [
        (1.0, "1e+00"),
        (0.0, "0e+00"),
        (-12.5, "-1.25e+01"),
        (1e-7, "1e-07"),
        (123456789.0, "1.23456789e+08"),
        (f64::MAX, "1.7976931348623157e+308"),
        (f64::INFINITY, "+Inf"),
        (f64::NAN, "NaN"),
    ];
    for (value, text) in cases {
        assert_eq!(format_exponent(value), text);
    }
}
