use super::*;

fn score(terms: &[&str], algorithm: Algorithm, threshold: u8, value: &str) -> Option<f64> {
    Filter::new(terms, algorithm, threshold, true).unwrap().score(value)
}

fn is_near(got: Option<f64>, expected: f64) -> bool {
    got.is_some_and(|got| (got - expected).abs() < 1e-9)
}

/// By the formula: squares of runs, less leading and inner gaps by the length, less half of what is behind.
#[test]
fn subsequences() {
    let check = |term: &str, value: &str, expected: f64| {
        let got = score(&[term], Algorithm::Subsequence, 0, value);
        assert!(is_near(got, expected), "{term} in {value}: {got:?}, not {expected}");
    };
    check("up", "up", 1.0);
    check("http", "http_requests_total", 1.0);
    // One run of 8 behind 5 of 19, and 6 behind it.
    check("requests", "http_requests_total", (64.0 - 5.0 / 19.0 - 3.0 / 19.0) / 64.0 * 0.999);
    // Runs of 1, 1 and 2 with gaps of 2 and 1, and one character behind: h..t.tp_ of 7.
    check("httt", "hxxtxtt_", (1.0 - 2.0 / 8.0 + 1.0 - 1.0 / 8.0 + 4.0 - 0.5 / 8.0) / 16.0 * 0.999);
    // The later begin is the better one.
    check("bac", "babac", (9.0 - 2.0 / 5.0) / 9.0 * 0.999);
    check("é", "aé", (1.0 - 1.0 / 2.0) * 0.999);
    check("ab", "éab", (4.0 - 1.0 / 3.0) / 4.0 * 0.999);
    for (term, value) in [("xyz", "up"), ("upup", "up"), ("é", "up"), ("abc", "éé"), ("pu", "up"), ("a", "")] {
        assert_eq!(score(&[term], Algorithm::Subsequence, 0, value), None, "{term} {value}");
    }
}

/// The textbook's pairs, to the four digits they are printed with.
#[test]
fn similar_texts() {
    let check = |term: &str, value: &str, expected: f64| {
        for (a, b) in [(term, value), (value, term)] {
            let term = Term { text: a.into(), chars: a.chars().collect() };
            let got = jaro_winkler(&term, b);
            assert!((got - expected).abs() < 5e-5, "{a} {b}: {got}, not {expected}");
        }
    };
    check("martha", "marhta", 0.9611);
    check("dwayne", "duane", 0.8400);
    check("dixon", "dicksonx", 0.8133);
    check("màrthà", "màrhtà", 0.9611);
    check("abc", "xyz", 0.0);
    check("a", "b", 0.0);
    check("up", "", 0.0);
    check("same", "same", 1.0);
}

#[test]
fn words_within() {
    let check = |term: &str, value: &str, expected: Option<f64>| {
        let got = score(&[term], Algorithm::JaroWinkler, 0, value);
        assert!(got == expected || is_near(got, expected.unwrap_or(-1.0)), "{term} in {value}: {got:?}");
    };
    check("node", "node_cpu", Some(1.0));
    check("cpu", "node_cpu", Some(0.1));
    check("de", "node_cpu", Some(1.0 - 0.9 * 2.0 / 6.0));
    // Characters are counted, not bytes.
    check("b", "éébé", Some(1.0 - 0.9 * 2.0 / 3.0));
    check("marhta", "martha", None);
    let similar = |threshold| score(&["marhta"], Algorithm::JaroWinkler, threshold, "martha");
    assert!(is_near(similar(96), 0.961_111_111_111_111_1));
    assert_eq!(similar(97), None);
}

#[test]
fn thresholds_words_and_case() {
    let of = |terms: &[&str], threshold, case_sensitive, value: &str| {
        Filter::new(terms, Algorithm::Subsequence, threshold, case_sensitive).unwrap().score(value)
    };
    // 43/45 of the best, scaled.
    assert!(of(&["bac"], 95, true, "babac").is_some());
    assert_eq!(of(&["bac"], 96, true, "babac"), None);
    assert_eq!(of(&["nothing", "", "up"], 0, true, "up"), Some(1.0));
    assert_eq!(of(&["UP"], 0, true, "up"), None);
    assert_eq!(of(&["UP"], 0, false, "Up_total"), Some(1.0));
    assert_eq!(of(&["ÀÉ"], 0, false, "àé"), Some(1.0));
    // Go knows neither a last sigma nor a letter that becomes two.
    assert_eq!((lower("ΣΑΣ"), lower("İ")), ("σασ".to_string(), "i".to_string()));
    assert!(Filter::new(&["", ""], Algorithm::Subsequence, 0, true).is_none());
}

/// What is very long costs no more than what is long.
#[test]
fn long_values() {
    let value = "a".repeat(1 << 20);
    let term = format!("{}b", "a".repeat(MAX_TERM_BYTES - 1));
    let started = std::time::Instant::now();
    assert_eq!(score(&[&term], Algorithm::Subsequence, 0, &value), None);
    assert!(score(&[&term], Algorithm::JaroWinkler, 1, &value).is_some());
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "{:?}", started.elapsed());
}
