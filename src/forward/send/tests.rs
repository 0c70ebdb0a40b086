use super::*;

fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
    pairs.iter().map(pair).collect()
}

fn sent() -> Counts {
    Counts { samples: 3, histograms: 1, exemplars: 2 }
}

/// The statuses are those of the specification's text and of Prometheus' compliance suite for senders.
#[test]
fn which_failures_are_tried_again() {
    let check = |status: u16, retry_429: bool, retried: bool| {
        let status = StatusCode::from_u16(status).unwrap();
        let outcome = judge_failure(status, &HeaderMap::new(), "why", retry_429, 0);
        match outcome {
            Outcome::Retry { why, after: None } => assert!(retried && why.contains("why"), "{status}"),
            Outcome::Refused { why, written, whole } => {
                assert_eq!(whole, status == StatusCode::BAD_REQUEST);
                assert!(!retried && why.contains("why") && written == Counts::default(), "{status}");
            }
            other => panic!("{status} {other:?}"),
        }
    };
    for status in [500, 502, 503, 504, 599] {
        check(status, false, true);
    }
    for status in [300, 304, 400, 401, 403, 404, 409, 413, 415, 422] {
        check(status, true, false);
    }
    check(429, false, false);
    check(429, true, true);
}

#[test]
fn what_success_means() {
    let written = |message, pairs: &[(&'static str, &str)]| match judge_success(message, &map(pairs), sent()) {
        Outcome::Written(counts) => Some((counts.samples, counts.histograms, counts.exemplars)),
        Outcome::Refused { why, .. } => {
            assert!(why.contains("1.0"), "{why}");
            None
        }
        other => panic!("{other:?}"),
    };
    let all = [(SAMPLES_WRITTEN, "3"), (HISTOGRAMS_WRITTEN, "1"), (EXEMPLARS_WRITTEN, "2")];
    assert_eq!(written(Message::V2, &all), Some((3, 1, 2)));
    // One that is missing is 0, and so is one that is no number.
    assert_eq!(written(Message::V2, &all[..1]), Some((3, 0, 0)));
    assert_eq!(written(Message::V2, &[(SAMPLES_WRITTEN, "3"), (HISTOGRAMS_WRITTEN, "x")]), Some((3, 0, 0)));
    // None at all is a receiver of 1.0, and so are zeros.
    assert_eq!(written(Message::V2, &[]), None);
    assert_eq!(written(Message::V2, &[(SAMPLES_WRITTEN, "0")]), None);
    // Of 1.0 they need not come, and count where they do.
    assert_eq!(written(Message::V1, &[]), Some((3, 1, 2)));
    assert_eq!(written(Message::V1, &all[..1]), Some((3, 0, 0)));
}

#[test]
fn partial_writes_count() {
    let headers = map(&[(SAMPLES_WRITTEN, "2")]);
    match judge_failure(StatusCode::BAD_REQUEST, &headers, "", false, 0) {
        Outcome::Refused { written, .. } => assert_eq!(written.samples, 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn retry_after_in_seconds_or_as_a_date() {
    // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110.
    let now_ms = 784_111_777_000;
    let check = |text: &str, expected: Option<u64>| {
        let wait = retry_after(&map(&[("retry-after", text)]), now_ms);
        assert_eq!(wait, expected.map(Duration::from_secs), "{text}");
    };
    check("7", Some(7));
    check("0", None);
    check("-1", None);
    check("soon", None);
    check("999999999999", Some(3600));
    check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
    check("Sun, 06 Nov 1994 08:48:37 GMT", None);
}

#[test]
fn pauses_double_up_to_the_longest() {
    let ms = Duration::from_millis;
    let mut backoff = Backoff::new(ms(30), ms(5000));
    for most in [30, 60, 120, 240, 480, 960, 1920, 3840, 5000, 5000] {
        let pause = backoff.pause(None);
        assert!(pause >= ms(most / 2) && pause <= ms(most), "{most} {pause:?}");
    }
    // What the receiver asks for may be longer than our longest, and is not shortened.
    let pause = backoff.pause(Some(ms(60_000)));
    assert!(pause >= ms(60_000) && pause <= ms(66_001), "{pause:?}");
    assert!(backoff.pause(None) <= ms(5000));
    assert!(Backoff::new(Duration::ZERO, Duration::ZERO).pause(None) > Duration::ZERO);
}
