//! What a rule finds at some times, as the samples that a server would have written: with the name and the labels of the rule, a
//! staleness marker where a series ends, and nothing at times at which an evaluation fails.

use std::collections::{HashMap, HashSet};

use crate::config::rules::Rule;
use crate::engine::session::{Point, ResultSeries};
use crate::model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::model::sample::STALE_NAN;
use crate::rules::backfill::times::Steps;

/// Points of a series in time order.
pub type Samples = (Labels, Vec<(i64, Point)>);

/// What is known of a rule from the times before.
#[derive(Debug, Default)]
pub struct Track {
    /// The series of the last evaluation that did not fail.
    before: HashSet<Labels>,
    pub told: Told,
    /// Of the part that is being evaluated, which may have to be evaluated again.
    part: Told,
}

/// What is told of a rule in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub failures: Failures,
    /// Histograms that none can be, which arithmetic makes.
    pub invalid: u64,
}

/// Evaluations that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: u64,
    /// When, and why.
    pub first: Option<(i64, String)>,
}

impl Track {
    /// A part begins, with a time before it.
    pub fn begin(&mut self) {
        self.before.clear();
    }

    /// What was told of a part holds.
    pub fn keep_part(&mut self) {
        let part = std::mem::take(&mut self.part);
        self.told.invalid += part.invalid;
        self.told.failures.count += part.failures.count;
        self.told.failures.first = self.told.failures.first.take().or(part.failures.first);
    }

    /// It is evaluated again.
    pub fn forget_part(&mut self) {
        self.part = Told::default();
    }

    /// The evaluation at a time failed.
    pub fn fail(&mut self, at: i64, why: impl FnOnce() -> String) {
        self.part.failures.count += 1;
        self.part.failures.first.get_or_insert_with(|| (at, why()));
    }

    /// The samples of times that follow those before; `found` is what the query found at them. What is before `from` is only
    /// looked at, to know which series there were.
    pub fn samples(
        &mut self,
        rule: &Rule,
        limit: usize,
        steps: Steps,
        from: i64,
        found: Vec<ResultSeries>,
    ) -> Vec<Samples> {
        let mut fails: Vec<Option<String>> = vec![None; steps.count];
        let mut series = labelled(rule, found, steps, &mut fails);
        if limit > 0 {
            refuse_too_many(&series, limit, steps, &mut fails);
        }
        for (place, why) in fails.iter().enumerate().filter(|(place, _)| steps.at(*place) >= from) {
            if let Some(why) = why {
                self.fail(steps.at(place), || why.clone());
            }
        }
        let next = next_of(&fails);
        let Some(first) = fails.iter().position(Option::is_none) else { return Vec::new() };
        let last = fails.iter().rposition(Option::is_none).unwrap_or(first);
        let before = std::mem::take(&mut self.before);
        let mut out = Vec::new();
        let mut ended: HashSet<&Labels> = before.iter().collect();
        for (labels, points) in &mut series {
            ended.remove(&*labels);
            let mut samples = Vec::with_capacity(points.len() + 1);
            let kept = std::mem::take(points).into_iter().filter(|(at, point)| {
                fails[steps.place(*at)].is_none() && (is_storable(point) || self.count_invalid(*at >= from))
            });
            // Where the series has to go on.
            let mut due = before.contains(labels).then_some(first);
            for (at, point) in kept {
                let place = steps.place(at);
                if let Some(due) = due.filter(|due| *due < place) {
                    samples.push((steps.at(due), Point::Float(STALE_NAN)));
                }
                samples.push((at, point));
                due = Some(next[place]);
            }
            match due {
                Some(due) if due < steps.count => samples.push((steps.at(due), Point::Float(STALE_NAN))),
                Some(_) => {
                    self.before.insert(labels.clone());
                }
                None => {}
            }
            samples.retain(|(at, _)| *at >= from);
            if !samples.is_empty() {
                out.push((labels.clone(), samples));
            }
        }
        debug_assert!(next[last] == steps.count, "nothing follows the last");
        if steps.at(first) >= from {
            let end = |labels: &Labels| (labels.clone(), vec![(steps.at(first), Point::Float(STALE_NAN))]);
            out.extend(ended.into_iter().map(end));
        }
        out
    }

    fn count_invalid(&mut self, counts: bool) -> bool {
        self.part.invalid += u64::from(counts);
        false
    }
}

/// The series under the name and labels of the rule. Times at which two of them are the same one fail.
fn labelled(rule: &Rule, found: Vec<ResultSeries>, steps: Steps, fails: &mut [Option<String>]) -> Vec<Samples> {
    let mut series: Vec<Samples> = Vec::with_capacity(found.len());
    let mut places: HashMap<Labels, usize> = HashMap::with_capacity(found.len());
    for one in found {
        let mut labels = LabelsBuilder::from_labels(&one.labels);
        labels.set(METRIC_NAME, rule.name());
        for (name, value) in &rule.labels {
            labels.set(name, value);
        }
        let labels = labels.build();
        match places.get(&labels) {
            None => {
                places.insert(labels.clone(), series.len());
                series.push((labels, one.points));
            }
            Some(place) => {
                let points = &mut series[*place].1;
                points.extend(one.points);
                points.sort_by_key(|(at, _)| *at);
                points.dedup_by(|later, first| {
                    let is_twice = later.0 == first.0;
                    if is_twice {
                        let why = "vector contains metrics with the same labelset after applying rule labels";
                        fails[steps.place(first.0)] = Some(why.to_string());
                    }
                    is_twice
                });
            }
        }
    }
    series
}

fn refuse_too_many(series: &[Samples], limit: usize, steps: Steps, fails: &mut [Option<String>]) {
    let mut counts = vec![0; steps.count];
    for (at, _) in series.iter().flat_map(|(_, points)| points) {
        counts[steps.place(*at)] += 1;
    }
    for (count, fails) in counts.into_iter().zip(fails).filter(|(count, fails)| *count > limit && fails.is_none()) {
        *fails = Some(format!("exceeded limit of {limit} with {count} series"));
    }
}

/// For each time the next one at which the evaluation did not fail; the number of times where there is none.
fn next_of(fails: &[Option<String>]) -> Vec<usize> {
    let mut next = vec![fails.len(); fails.len()];
    let mut following = fails.len();
    for place in (0..fails.len()).rev() {
        next[place] = following;
        if fails[place].is_none() {
            following = place;
        }
    }
    next
}

fn is_storable(point: &Point) -> bool {
    match point {
        Point::Float(_) => true,
        Point::Histogram(histogram) => histogram.validate().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::protocol::NameValidation;
    use crate::config::rules::RuleFile;
    use crate::model::sample::is_stale;
    use crate::promql::parse::ParseOptions;

    fn rule(labels: &str) -> Rule {
        let text = format!("groups: [{{name: g, rules: [{{record: r, expr: up, labels: {labels}}}]}}]");
        let file = RuleFile::parse(&text, NameValidation::Utf8, &ParseOptions::default()).unwrap();
        file.groups[0].rules[0].clone()
    }

    /// Series by a letter each, with a value at each time, `_` for none.
    fn found(series: &[(&str, &str)], steps: Steps) -> Vec<ResultSeries> {
        let of = |(name, values): &(&str, &str)| ResultSeries {
            labels: Labels::from_pairs([("__name__", "up"), ("s", name)]),
            points: values
                .chars()
                .enumerate()
                .filter(|(_, c)| *c != '_')
                .map(|(at, c)| (steps.at(at), Point::Float(f64::from(c.to_digit(10).unwrap()))))
                .collect(),
        };
        series.iter().map(of).collect()
    }

    /// The samples of each series as digits, `.` where there is none and `x` for a marker.
    fn shown(samples: &[Samples], steps: Steps) -> Vec<String> {
        let show = |(labels, points): &Samples| {
            let mut text = vec!['.'; steps.count];
            for (at, point) in points {
                let Point::Float(value) = point else { panic!("a float") };
                text[steps.place(*at)] =
                    if is_stale(*value) { 'x' } else { char::from_digit(*value as u32, 10).unwrap() };
            }
            format!("{labels} {}", text.into_iter().collect::<String>())
        };
        let mut shown: Vec<String> = samples.iter().map(show).collect();
        shown.sort_unstable();
        shown
    }

    const STEPS: Steps = Steps { first: 1_000, step: 100, count: 6 };

    #[test]
    fn series_end_with_markers() {
        let mut track = Track::default();
        let first = found(&[("a", "123456"), ("b", "1_3___"), ("c", "__1__6")], STEPS);
        let samples = track.samples(&rule("{}"), 0, STEPS, 0, first);
        assert_eq!(shown(&samples, STEPS), [r#"r{s="a"} 123456"#, r#"r{s="b"} 1x3x.."#, r#"r{s="c"} ..1x.6"#]);
        let next = Steps { first: 1_600, ..STEPS };
        let samples = track.samples(&rule("{}"), 0, next, 0, found(&[("c", "_1____"), ("b", "1_____")], next));
        assert_eq!(shown(&samples, next), [r#"r{s="a"} x....."#, r#"r{s="b"} 1x...."#, r#"r{s="c"} x1x..."#]);
    }

    #[test]
    fn what_was_before_is_looked_at_and_not_written() {
        let mut track = Track::default();
        let of = found(&[("a", "12____"), ("b", "1_____")], STEPS);
        let samples = track.samples(&rule("{}"), 0, STEPS, 1_100, of);
        assert_eq!(shown(&samples, STEPS), [r#"r{s="a"} .2x..."#, r#"r{s="b"} .x...."#]);
    }

    #[test]
    fn evaluations_that_fail_leave_a_gap() {
        let mut track = Track::default();
        let of = found(&[("a", "111111"), ("b", "1_1___"), ("c", "1_____")], STEPS);
        let samples = track.samples(&rule("{}"), 1, STEPS, 0, of);
        // The limit is one series; at the first and third time there are more.
        assert_eq!(shown(&samples, STEPS), [r#"r{s="a"} .1.111"#]);
        let why = "exceeded limit of 1 with 3 series".to_string();
        track.keep_part();
        assert_eq!(track.told.failures, Failures { count: 2, first: Some((1_000, why)) });
        // A series from before ends at the first time that does not fail.
        let next = Steps { first: 1_600, ..STEPS };
        let samples = track.samples(&rule("{}"), 1, next, 0, found(&[("b", "11____"), ("c", "1_____")], next));
        assert_eq!(shown(&samples, next), [r#"r{s="a"} .x...."#, r#"r{s="b"} .1x..."#]);
    }

    #[test]
    fn labels_of_the_rule_may_make_series_the_same() {
        let mut track = Track::default();
        let of = found(&[("a", "11_1__"), ("b", "_2_22_")], STEPS);
        let samples = track.samples(&rule("{s: x}"), 0, STEPS, 0, of);
        assert_eq!(shown(&samples, STEPS), [r#"r{s="x"} 1.x.2x"#]);
        track.keep_part();
        let failures = track.told.failures;
        assert_eq!((failures.count, failures.first.as_ref().unwrap().0), (2, 1_100));
        let why = failures.first.unwrap().1;
        assert_eq!(why, "vector contains metrics with the same labelset after applying rule labels");
    }

    #[test]
    fn nothing_is_said_where_all_fail() {
        let mut track = Track::default();
        track.samples(&rule("{}"), 0, STEPS, 0, found(&[("a", "111111")], STEPS));
        let next = Steps { first: 1_600, ..STEPS };
        assert!(
            track.samples(&rule("{}"), 1, next, 0, found(&[("b", "111111"), ("c", "111111")], next)).is_empty()
        );
        let after = Steps { first: 2_200, ..STEPS };
        let samples = track.samples(&rule("{}"), 0, after, 0, vec![]);
        assert_eq!(shown(&samples, after), [r#"r{s="a"} x....."#]);
    }
}
