//! Which rules of a group need what others before them write. By it a rule waits for what it needs and for nothing else, and
//! rules that need nothing of each other may be evaluated side by side.

use std::ops::Range;

use crate::config::rules::{Rule, RuleKind};
use crate::model::labels::METRIC_NAME;
use crate::model::matcher::Matcher;
use crate::promql::selectors;

pub const ALERTS: &str = "ALERTS";
pub const ALERTS_FOR_STATE: &str = "ALERTS_FOR_STATE";
pub const ALERT_NAME: &str = "alertname";

/// For each rule the earlier ones that it needs, by their places, ascending; `None` where it may need any: by a selector
/// without a name, or a query in a template. As Prometheus' dependency map, by names of metrics.
pub fn needed(rules: &[&Rule]) -> Vec<Option<Vec<usize>>> {
    let of = |place: usize| {
        let mut needed = (!asks_in_templates(rules[place])).then(Vec::new);
        selectors::for_each(&rules[place].expr, &mut |selector| {
            let Some(all) = &mut needed else { return };
            match selector.matchers.iter().find(|m| m.name == METRIC_NAME) {
                Some(name) => {
                    all.extend((0..place).filter(|other| reads(name, &selector.matchers, rules[*other])));
                }
                None => needed = None,
            }
        });
        needed.map(|mut all| {
            all.sort_unstable();
            all.dedup();
            all
        })
    };
    (0..rules.len()).map(of).collect()
}

/// Whether a template may run a query; a text that only speaks of one counts as well.
fn asks_in_templates(rule: &Rule) -> bool {
    let RuleKind::Alerting { annotations, .. } = &rule.kind else { return false };
    rule.labels.iter().chain(annotations).any(|(_, text)| text.contains("{{") && text.contains("query"))
}

/// Whether a selector may read what a rule writes.
fn reads(name: &Matcher, matchers: &[Matcher], rule: &Rule) -> bool {
    if name.matches(rule.name()) {
        return true;
    }
    let of_alerts = name.matches(ALERTS) || name.matches(ALERTS_FOR_STATE);
    let alert = matchers.iter().find(|m| m.name == ALERT_NAME);
    matches!(rule.kind, RuleKind::Alerting { .. })
        && of_alerts
        && alert.is_none_or(|matcher| matcher.matches(rule.name()))
}

/// Places of rules in batches, each of which may be evaluated side by side when those before it are done: Prometheus' order,
/// first what needs nothing, then in turn what needs something and is needed, last what nobody needs. One by one where
/// a selector may read anything.
pub fn batches(needed: &[Option<Vec<usize>>]) -> Vec<Vec<usize>> {
    let Some(needed) = needed.iter().cloned().collect::<Option<Vec<Vec<usize>>>>() else {
        return (0..needed.len()).map(|place| vec![place]).collect();
    };
    let is_needed = |place: usize| needed.iter().any(|places| places.contains(&place));
    let (mut first, mut between, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (place, needs) in needed.iter().enumerate() {
        match (needs.is_empty(), is_needed(place)) {
            (true, _) => first.push(place),
            (false, true) => between.push(vec![place]),
            (false, false) => last.push(place),
        }
    }
    let all = std::iter::once(first).chain(between).chain(std::iter::once(last));
    all.filter(|batch| !batch.is_empty()).collect()
}

/// Places in their order, cut into parts of at most `most` that need nothing of their own: when what was before a part is done
/// its expressions may be asked at once.
pub fn parts(needed: &[Option<Vec<usize>>], most: usize) -> Vec<Range<usize>> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (place, needs) in needed.iter().enumerate() {
        let joins = |part: &Range<usize>| {
            let is_free = |needs: &Option<Vec<usize>>| {
                needs.as_ref().is_some_and(|needs| needs.iter().all(|other| *other < part.start))
            };
            part.len() < most && is_free(needs) && is_free(&needed[part.start])
        };
        match parts.last_mut().filter(|part| joins(part)) {
            Some(part) => part.end += 1,
            None => parts.push(place..place + 1),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::protocol::NameValidation;
    use crate::config::rules::RuleFile;
    use crate::promql::parse::ParseOptions;

    fn of(rules: &[(&str, &str)]) -> Vec<Option<Vec<usize>>> {
        let rules: Vec<String> =
            rules.iter().map(|(name, expr)| format!("  - {name}\n    expr: '{expr}'\n")).collect();
        let text = format!("groups:\n- name: g\n  rules:\n{}", rules.concat());
        let file = RuleFile::parse(&text, NameValidation::Utf8, &ParseOptions::default()).unwrap();
        needed(&file.groups[0].rules.iter().collect::<Vec<_>>())
    }

    #[test]
    fn rules_need_what_earlier_ones_write() {
        let needed = of(&[
            ("record: a", "sum(up)"),
            ("record: b", "a + rate(a[5m]) + c"),
            ("record: c", "{__name__=~\"a|b\"} offset 5m"),
            ("alert: D", "c > 1"),
            ("alert: E", "ALERTS{alertname=~\"D|F\"} or ALERTS_FOR_STATE{alertname=\"F\"}"),
            ("alert: F", "ALERTS"),
            ("record: g", "up"),
        ]);
        let places: Vec<Vec<usize>> = needed.iter().map(|places| places.clone().unwrap()).collect();
        assert_eq!(places, [vec![], vec![0], vec![0, 1], vec![2], vec![3], vec![3, 4], vec![]]);
        assert_eq!(batches(&needed), [vec![0, 6], vec![1], vec![2], vec![3], vec![4], vec![5]]);
        assert_eq!(parts(&needed, 9), [0..1, 1..2, 2..3, 3..4, 4..5, 5..7]);
    }

    #[test]
    fn a_part_needs_nothing_of_its_own() {
        let needed = [Some(vec![]), Some(vec![]), Some(vec![0]), Some(vec![1]), Some(vec![]), Some(vec![3])];
        assert_eq!(parts(&needed, 9), [0..2, 2..5, 5..6]);
        assert_eq!(parts(&needed, 2), [0..2, 2..4, 4..6]);
        assert_eq!(parts(&[Some(vec![]), None, Some(vec![]), Some(vec![1])], 9), [0..1, 1..2, 2..4]);
        assert!(parts(&[], 9).is_empty());
    }

    #[test]
    fn a_query_in_a_template_needs_all() {
        let alert = "alert: b\n    annotations: {c: \"{{ query `a` | first | value }}\"}";
        assert_eq!(of(&[("record: a", "up"), (alert, "up")]), [Some(vec![]), None]);
    }

    #[test]
    fn a_selector_without_a_name_needs_all() {
        let needed = of(&[("record: a", "up"), ("record: b", "{job=\"x\"}"), ("record: c", "up")]);
        assert_eq!(needed, [Some(vec![]), None, Some(vec![])]);
        assert_eq!(batches(&needed), [[0], [1], [2]]);
    }
}
