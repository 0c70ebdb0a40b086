use super::AlertState::{Firing, Inactive, Pending};
use super::*;

const TERMS: Terms = Terms { hold_ms: 20_000, keep_firing_for_ms: 0, limit: 0, blind: false };

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("alertname", "A"), ("n", name)])
}

fn element(name: &str, value: f64) -> Element {
    Element {
        source: labels(name),
        labels: labels(name),
        annotations: vec![("v".into(), value.to_string())],
        value,
    }
}

/// Evaluates every ten seconds; a result is names of alerts. Yields the states of the active ones.
fn run(alerts: &mut Alerts, from: i64, terms: Terms, results: &[&[&str]]) -> Vec<Vec<(String, AlertState)>> {
    let states = results.iter().zip(0..).map(|(names, n)| {
        let result = names.iter().map(|name| element(name, n as f64)).collect();
        let active = alerts.step(result, from + 10_000 * n, terms).active.unwrap();
        active.iter().map(|(l, alert)| (l.get("n").unwrap().to_string(), alert.state)).collect()
    });
    states.collect()
}

fn states(pairs: &[(&str, AlertState)]) -> Vec<(String, AlertState)> {
    pairs.iter().map(|(name, state)| (name.to_string(), *state)).collect()
}

#[test]
fn an_alert_waits_fires_and_is_resolved() {
    let mut alerts = Alerts::default();
    let got = run(&mut alerts, 0, TERMS, &[&["a"], &["a", "b"], &["a"], &["a"], &[], &["a"]]);
    let expected = [
        states(&[("a", Pending)]),
        states(&[("a", Pending), ("b", Pending)]),
        states(&[("a", Firing)]),
        states(&[("a", Firing)]),
        vec![],
        states(&[("a", Pending)]),
    ];
    assert_eq!(got, expected);
    let (_, alert) = alerts.active().next().unwrap();
    assert_eq!((alert.active_at, alert.value, alert.annotations[0].1.as_str()), (50_000, 5.0, "5"));
    assert_eq!(alerts.state(), Pending);
}

#[test]
fn one_that_keeps_firing() {
    let mut alerts = Alerts::default();
    let terms = Terms { hold_ms: 0, keep_firing_for_ms: 20_000, limit: 0, blind: false };
    let got = run(&mut alerts, 0, terms, &[&["a"], &[], &["a"], &[], &[], &[]]);
    let firing = states(&[("a", Firing)]);
    assert_eq!(got, [firing.clone(), firing.clone(), firing.clone(), firing.clone(), firing, vec![]]);
    assert_eq!(alerts.state(), Inactive);
    // It began with the evaluation that lacked it for good.
    assert_eq!(alerts.0[&labels("a")].resolved_at, Some(50_000));
}

#[test]
fn what_is_not_seen_has_not_ended() {
    let mut alerts = Alerts::default();
    run(&mut alerts, 0, TERMS, &[&["a"], &["a"], &["a", "b"]]);
    let blind = Terms { blind: true, ..TERMS };
    let step = alerts.step(vec![element("c", 1.0)], 30_000, blind);
    let held = states(&[("a", Firing), ("b", Pending), ("c", Pending)]);
    let names = |active: Vec<(Labels, Alert)>| -> Vec<(String, AlertState)> {
        active.into_iter().map(|(l, alert)| (l.get("n").unwrap().to_string(), alert.state)).collect()
    };
    assert_eq!((step.held, step.changes.len(), names(step.active.unwrap())), (2, 1, held));
    // It was not seen for `for`, so it does not fire for the time alone.
    let step = alerts.step(vec![element("a", 1.0)], 90_000, blind);
    assert_eq!(
        (step.held, names(step.active.unwrap())),
        (2, states(&[("a", Firing), ("b", Pending), ("c", Pending)]))
    );
    assert_eq!(run(&mut alerts, 100_000, TERMS, &[&["c"]]), [states(&[("c", Firing)])]);
}

/// As of a template with the value in a label: the element is there, under other labels.
#[test]
fn what_is_seen_under_other_labels_is_not_held() {
    let mut alerts = Alerts::default();
    let blind = Terms { hold_ms: 0, limit: 1, blind: true, ..TERMS };
    for (n, name) in ["1", "2", "3"].into_iter().zip(0..) {
        let element = Element { source: labels("same"), ..element(n, 1.0) };
        let step = alerts.step(vec![element], name * 10_000, blind);
        assert_eq!((step.held, step.active.unwrap().len()), (0, 1));
    }
    // One that is held is none of those that `limit` counts.
    let step = alerts.step(vec![element("other", 1.0)], 30_000, blind);
    assert_eq!((step.held, step.active.unwrap().len()), (1, 2));
}

#[test]
fn limits_clear_all() {
    let mut alerts = Alerts::default();
    let terms = Terms { limit: 1, ..TERMS };
    assert!(alerts.step(vec![element("a", 1.0)], 0, terms).active.is_ok());
    let error = alerts.step(vec![element("a", 1.0), element("b", 1.0)], 1, terms).active.unwrap_err();
    assert_eq!(error.to_string(), "exceeded limit of 1 with 2 alerts");
    assert_eq!(alerts.active().count(), 0);
}

#[test]
fn what_is_told_and_when() {
    let mut alerts = Alerts::default();
    let terms = Terms { hold_ms: 10_000, ..TERMS };
    let told = |alerts: &mut Alerts, at: i64, names: &[&str]| -> Vec<(i64, i64)> {
        alerts.step(names.iter().map(|name| element(name, 1.0)).collect(), at, terms).active.unwrap();
        let due = alerts.to_send(at, 60_000, 10_000, &|| "http://x/graph".to_string());
        assert!(due.iter().all(|alert| alert.generator_url == "http://x/graph"));
        due.iter().map(|alert| (alert.starts_at_ms, alert.ends_at_ms)).collect()
    };
    assert_eq!(told(&mut alerts, 0, &["a"]), []);
    assert_eq!(told(&mut alerts, 10_000, &["a"]), [(10_000, 250_000)]);
    assert_eq!(told(&mut alerts, 70_000, &["a"]), [], "a minute later, not more");
    assert_eq!(told(&mut alerts, 80_000, &["a"]), [(10_000, 320_000)]);
    assert_eq!(told(&mut alerts, 90_000, &[]), [(10_000, 90_000)], "resolved, at once");
    assert_eq!(told(&mut alerts, 100_000, &[]), []);
    assert_eq!(told(&mut alerts, 160_000, &[]), [(10_000, 90_000)], "and again");
    let last = 90_000 + RESOLVED_RETENTION_MS;
    assert_eq!(told(&mut alerts, last, &[]), [(10_000, 90_000)]);
    assert_eq!(told(&mut alerts, last + 100_000, &[]), []);
    assert!(alerts.0.is_empty());
}

#[test]
fn a_longer_for_makes_it_wait_again() {
    let mut alerts = Alerts::default();
    run(&mut alerts, 0, TERMS, &[&["a"], &["a"], &["a"]]);
    alerts.to_send(20_000, 60_000, 10_000, &|| "".to_string());
    let longer = Terms { hold_ms: 60_000, ..TERMS };
    assert_eq!(run(&mut alerts, 30_000, longer, &[&["a"]]), [states(&[("a", Pending)])]);
    assert_eq!(alerts.0[&labels("a")].fired_at, None);
    assert_eq!(run(&mut alerts, 60_000, longer, &[&["a"]]), [states(&[("a", Firing)])]);
    assert_eq!(alerts.to_send(60_000, 60_000, 10_000, &|| "".to_string()).len(), 1, "it counts as new");
}

#[test]
fn a_clock_that_was_set_changes_no_distance() {
    let mut alerts = Alerts::default();
    run(&mut alerts, 0, TERMS, &[&["a"], &["a"], &["a"]]);
    let first = alerts.to_send(20_000, 60_000, 10_000, &|| "".to_string());
    assert_eq!((first[0].starts_at_ms, first[0].ends_at_ms), (20_000, 260_000));
    let hour = 3_600_000;
    for step in [hour, -hour] {
        let mut alerts = alerts.clone();
        alerts.shift(step);
        assert_eq!(run(&mut alerts, 30_000 + step, TERMS, &[&["a"]]), [states(&[("a", Firing)])]);
        assert_eq!(alerts.to_send(30_000 + step, 60_000, 10_000, &|| "".to_string()).len(), 0);
        assert_eq!(
            alerts.to_send(90_000 + step, 60_000, 10_000, &|| "".to_string())[0].starts_at_ms,
            20_000 + step
        );
    }
}

/// The changes of each evaluation: name, states, value. Evaluates as [`run`] does.
fn changes(
    alerts: &mut Alerts,
    terms: Terms,
    results: &[&[&str]],
) -> Vec<Vec<(String, AlertState, AlertState, f64)>> {
    let evaluated = results.iter().zip(0..).map(|(names, n)| {
        let result = names.iter().map(|name| element(name, n as f64)).collect();
        let changes = alerts.step(result, 10_000 * n, terms).changes;
        let shown = changes.into_iter().map(|change| {
            assert_eq!(change.at, 10_000 * n);
            assert_eq!(change.annotations, [("v".to_string(), change.value.to_string())]);
            (change.labels.get("n").unwrap().to_string(), change.from, change.to, change.value)
        });
        shown.collect()
    });
    evaluated.collect()
}

fn changed(name: &str, from: AlertState, to: AlertState, value: f64) -> (String, AlertState, AlertState, f64) {
    (name.to_string(), from, to, value)
}

#[test]
fn every_change_of_state_is_told_once() {
    let results: &[&[&str]] = &[&["a", "b"], &["a"], &["a"], &["a"], &[], &[], &["a"]];
    let got = changes(&mut Alerts::default(), TERMS, results);
    let expected = [
        vec![changed("a", Inactive, Pending, 0.0), changed("b", Inactive, Pending, 0.0)],
        // One that waited and is gone, with what it was like when it was there.
        vec![changed("b", Pending, Inactive, 0.0)],
        vec![changed("a", Pending, Firing, 2.0)],
        vec![],
        vec![changed("a", Firing, Inactive, 3.0)],
        vec![],
        vec![changed("a", Inactive, Pending, 6.0)],
    ];
    assert_eq!(got, expected);
}

#[test]
fn without_a_for_it_fires_at_once_and_keeps_firing_is_no_change() {
    let terms = Terms { hold_ms: 0, keep_firing_for_ms: 20_000, limit: 0, blind: false };
    let got = changes(&mut Alerts::default(), terms, &[&["a"], &[], &["a"], &[], &[], &[]]);
    let (begin, end) = (vec![changed("a", Inactive, Firing, 0.0)], vec![changed("a", Firing, Inactive, 2.0)]);
    assert_eq!(got, [begin, vec![], vec![], vec![], vec![], end]);
}

#[test]
fn a_longer_for_and_an_end_are_changes() {
    let mut alerts = Alerts::default();
    changes(&mut alerts, TERMS, &[&["a"], &["a"], &["a"]]);
    let longer = Terms { hold_ms: 60_000, ..TERMS };
    let step = alerts.step(vec![element("a", 7.0), element("b", 7.0)], 30_000, longer);
    let shown: Vec<_> = step.changes.iter().map(|change| (change.from, change.to)).collect();
    assert_eq!(shown, [(Firing, Pending), (Inactive, Pending)]);
    let ended = alerts.end(40_000);
    let shown: Vec<_> = ended.iter().map(|change| (change.from, change.to, change.at, change.value)).collect();
    assert_eq!(shown, [(Pending, Inactive, 40_000, 7.0), (Pending, Inactive, 40_000, 7.0)]);
    assert_eq!(alerts.end(50_000), []);
}

/// Those that were active are not any more; those that come with the evaluation never were.
#[test]
fn a_limit_ends_what_was_active() {
    let mut alerts = Alerts::default();
    let terms = Terms { limit: 2, ..TERMS };
    let results: &[&[&str]] = &[&["a", "x"], &["a", "b"], &["a", "b", "c"], &["a"]];
    let got = changes(&mut alerts, terms, results);
    let expected = [
        vec![changed("a", Inactive, Pending, 0.0), changed("x", Inactive, Pending, 0.0)],
        vec![changed("b", Inactive, Pending, 1.0), changed("x", Pending, Inactive, 0.0)],
        vec![changed("a", Pending, Inactive, 2.0), changed("b", Pending, Inactive, 2.0)],
        vec![changed("a", Inactive, Pending, 3.0)],
    ];
    assert_eq!(got, expected);
}
