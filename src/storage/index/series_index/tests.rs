use super::*;
use crate::model::labels::Labels;

const SERIES: &[(i64, &[(&str, &str)])] = &[
    (5, &[("__name__", "up"), ("job", "a"), ("instance", "1")]),
    (3, &[("__name__", "up"), ("job", "b"), ("instance", "1")]),
    (9, &[("__name__", "up"), ("job", "b")]),
    (1, &[("__name__", "up")]),
    (7, &[("__name__", "down"), ("job", "a"), ("zone", "x")]),
    (8, &[("job", "nameless")]),
];

fn all() -> Vec<Series> {
    SERIES
        .iter()
        .map(|(id, labels)| Series { id: *id, labels: Labels::from_pairs(labels.iter().copied()) })
        .collect()
}

fn matchers(specs: &[(&str, MatchOp, &str)]) -> Vec<Matcher> {
    specs.iter().map(|(name, op, value)| Matcher::new(*name, *op, *value).unwrap()).collect()
}

/// Both kinds of index find what a look at every series finds.
#[track_caller]
fn check(specs: &[(&str, MatchOp, &str)], expected: &[i64]) {
    let matchers = matchers(specs);
    let mut brute: Vec<_> =
        all().into_iter().filter(|s| matchers.iter().all(|m| m.matches_labels(&s.labels))).collect();
    brute.sort_by(|a, b| (a.labels.metric(), a.id).cmp(&(b.labels.metric(), b.id)));
    assert_eq!(brute.iter().map(|s| s.id).collect::<Vec<_>>(), expected, "the expectation itself");
    let mut head = SeriesIndex::default();
    all().into_iter().for_each(|s| head.insert(&Arc::new(s), 1));
    for index in [head, SeriesIndex::of_day(all())] {
        let mut out = Matches::default();
        index.select(&matchers, Some(Days { first: 0, last: 2 }), &mut out);
        let (series, names) = out.into_parts();
        assert_eq!(series.iter().map(|s| s.id).collect::<Vec<_>>(), expected);
        let brute: BTreeSet<&str> = brute.iter().flat_map(|s| s.labels.iter()).map(|(name, _)| name).collect();
        assert_eq!(names, Vec::from_iter(brute));
    }
}

#[test]
fn matchers_select() {
    use MatchOp::*;
    check(&[], &[8, 7, 1, 3, 5, 9]);
    check(&[("__name__", Equal, "up")], &[1, 3, 5, 9]);
    check(&[("__name__", Equal, "up"), ("__name__", NotEqual, "up")], &[]);
    check(&[("__name__", Regex, "u.|d.*")], &[7, 1, 3, 5, 9]);
    check(&[("__name__", NotRegex, "u.")], &[8, 7]);
    check(&[("__name__", Equal, "")], &[8]);
    check(&[("__name__", Equal, "none")], &[]);
    check(&[("job", Equal, "b")], &[3, 9]);
    check(&[("job", Equal, "")], &[1]);
    check(&[("job", NotEqual, "")], &[8, 7, 3, 5, 9]);
    check(&[("job", NotEqual, "b")], &[8, 7, 1, 5]);
    check(&[("instance", Equal, "")], &[8, 7, 1, 9]);
    check(&[("instance", Regex, "1?")], &[8, 7, 1, 3, 5, 9]);
    check(&[("instance", NotRegex, ".+"), ("job", Regex, "a|b")], &[7, 9]);
    check(&[("job", Equal, "b"), ("instance", NotEqual, "")], &[3]);
    check(&[("zone", NotEqual, "x"), ("__name__", Equal, "up"), ("job", Regex, "[ab]")], &[3, 5, 9]);
    check(&[("missing", Equal, "x")], &[]);
    check(&[("missing", Regex, ".*"), ("job", Equal, "a")], &[7, 5]);
}

#[test]
fn days_narrow_the_head() {
    let mut index = SeriesIndex::default();
    let [a, b] = [0, 1].map(|i| Arc::new(all()[i].clone()));
    index.insert(&a, 10);
    index.insert(&b, 12);
    index.insert(&a, 11);
    let select = |first, last| {
        let mut out = Matches::default();
        index.select(&[], Some(Days { first, last }), &mut out);
        out.into_parts().0.iter().map(|s| s.id).collect::<Vec<_>>()
    };
    assert!(select(0, 9).is_empty());
    assert_eq!(select(11, 11), [5]);
    assert_eq!(select(11, 12), [3, 5]);
    assert_eq!(index.metric_names(Some(Days { first: 13, last: 14 })).count(), 0);
}

#[test]
fn removed_series_are_gone_and_rows_still_lead_to_the_others() {
    let mut index = SeriesIndex::default();
    let series: Vec<_> = all().into_iter().map(Arc::new).collect();
    series.iter().for_each(|s| index.insert(s, 1));
    index.remove(&[series[0].clone(), series[4].clone()]);
    assert_eq!(index.len(), 4);
    index.insert(&series[2], 5);
    let mut out = Matches::default();
    index.select(&[], Some(Days { first: 5, last: 5 }), &mut out);
    assert_eq!(out.into_parts().0.iter().map(|s| s.id).collect::<Vec<_>>(), [9]);
    assert_eq!(index.metric_names(None).map(|m| &**m).collect::<Vec<_>>(), ["", "up"]);
}

#[test]
fn selections_add_up() {
    let mut random = fastrand::Rng::with_seed(17);
    for _ in 0..200 {
        let mut out = Matches::default();
        let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
        for part in 0..4 {
            // The head has its series in the order they came, a day by id.
            let mut index = SeriesIndex::default();
            for _ in 0..random.usize(0..60) {
                let id = random.i64(-40..40);
                let label = format!("l{}", id.rem_euclid(5));
                let pairs = [("__name__", "m"), (label.as_str(), "x")];
                let day = random.i32(0..3);
                index.insert(&Arc::new(Series { id, labels: Labels::from_pairs(pairs) }), day);
            }
            if part > 0 && random.bool() {
                let listed = index.metrics.values().flat_map(|table| table.series().iter().map(|s| (**s).clone()));
                index = SeriesIndex::of_day(listed.collect());
            }
            let days = Some(Days { first: random.i32(0..3), last: 2 });
            let mut alone = Matches::default();
            index.select(&[], days, &mut alone);
            let (series, found) = alone.into_parts();
            ids.extend(series.iter().map(|s| s.id));
            let expected: BTreeSet<&str> = series.iter().flat_map(|s| s.labels.iter()).map(|(n, _)| n).collect();
            assert_eq!(found, Vec::from_iter(expected));
            names.extend(found);
            index.select(&[], days, &mut out);
        }
        let (series, found) = out.into_parts();
        assert_eq!(series.iter().map(|s| s.id).collect::<Vec<_>>(), Vec::from_iter(ids));
        assert_eq!(found, Vec::from_iter(names));
    }
}

/// So many that they are looked at in blocks, with a rest.
#[test]
fn one_value_of_many() {
    use MatchOp::*;
    let labels = |id: i64| {
        let (host, cpu) = (format!("h{}", id / 40), format!("{}", id % 8));
        let all = [("__name__", "m"), ("host", host.as_str()), ("cpu", if id < 300 { cpu.as_str() } else { "" })];
        Labels::from_pairs(all)
    };
    let mut index = SeriesIndex::default();
    (0..333).for_each(|id| index.insert(&Arc::new(Series { id, labels: labels(id) }), 1));
    let select = |specs: &[(&str, MatchOp, &str)]| {
        let mut out = Matches::default();
        index.select(&matchers(specs), None, &mut out);
        out.into_parts().0.iter().map(|series| series.id).collect::<Vec<_>>()
    };
    for host in 0..9 {
        let ids: Vec<i64> = (0..333).filter(|id| id / 40 == host).collect();
        assert_eq!(select(&[("__name__", Equal, "m"), ("host", Equal, &format!("h{host}"))]), ids);
    }
    assert_eq!(select(&[("cpu", Equal, "3")]), (0..300).filter(|id| id % 8 == 3).collect::<Vec<_>>());
    assert_eq!(select(&[("cpu", Equal, "")]), (300..333).collect::<Vec<_>>());
    assert_eq!(select(&[("cpu", Equal, "9")]), [0; 0]);
}
