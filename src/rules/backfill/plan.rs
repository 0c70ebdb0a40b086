//! Which rule reads what which other one writes, over all groups, and the order that follows. Rules that need each other, which
//! includes one that reads what it or a later rule of its group wrote before, take turns at each time; all others are
//! evaluated one after the other for many times at once.

use std::collections::HashMap;

use crate::config::rules::Rule;
use crate::model::labels::METRIC_NAME;
use crate::promql::ast::{At, Duration, DurationExpr, DurationNode, Expr, VectorSelector};
use crate::promql::selectors;

/// A recording rule, by its group and its place in it.
#[derive(Clone, Debug)]
pub struct Job {
    pub group: usize,
    pub place: usize,
    pub rule: Rule,
}

/// Rules that are evaluated next, by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// For many times at once.
    Alone(usize),
    /// At each time in this order.
    Together(Vec<usize>),
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub jobs: Vec<Job>,
    pub turns: Vec<Turn>,
    /// For each job, whether another one reads what it writes, or itself.
    pub is_read: Vec<bool>,
}

impl Plan {
    /// Of jobs by group and place.
    pub fn of(jobs: Vec<Job>) -> Self {
        let mut reads = reads(&jobs);
        let mut is_read = vec![false; jobs.len()];
        reads.iter().flatten().for_each(|read| is_read[*read] = true);
        let mut is_alone: Vec<bool> = jobs.iter().map(|job| !asks_for_its_range(&job.rule.expr)).collect();
        for job in 0..jobs.len() {
            for read in reads[job].clone() {
                let is_later = jobs[read].group == jobs[job].group && jobs[read].place >= jobs[job].place;
                if is_later {
                    // As of the time before: only side by side is that known.
                    reads[read].push(job);
                    is_alone[job] = false;
                }
            }
        }
        let turns = components(&reads).into_iter().map(|mut members| {
            // That of the jobs is the order of groups, and within them of rules.
            members.sort_unstable();
            match members[..] {
                [job] if is_alone[job] => Turn::Alone(job),
                _ => Turn::Together(members),
            }
        });
        let turns = turns.collect();
        Self { jobs, turns, is_read }
    }

    /// How many rules are evaluated time by time.
    pub fn together(&self) -> usize {
        let members = |turn: &Turn| match turn {
            Turn::Alone(_) => 0,
            Turn::Together(members) => members.len(),
        };
        self.turns.iter().map(members).sum()
    }
}

/// For each job those whose results it may read, itself included.
fn reads(jobs: &[Job]) -> Vec<Vec<usize>> {
    let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
    for (number, job) in jobs.iter().enumerate() {
        by_name.entry(job.rule.name()).or_default().push(number);
    }
    let of = |job: &Job| {
        let mut found = Vec::new();
        selectors::for_each(&job.rule.expr, &mut |selector| match selectors::metric(selector) {
            Some(name) => {
                let named = by_name.get(name).into_iter().flatten();
                found.extend(named.filter(|number| may_read(selector, &jobs[**number].rule)));
            }
            None => found.extend((0..jobs.len()).filter(|number| may_read(selector, &jobs[*number].rule))),
        });
        found.sort_unstable();
        found.dedup();
        found
    };
    jobs.iter().map(of).collect()
}

/// Whether a selector may match what a rule writes: by its name, and by the labels that it gives.
fn may_read(selector: &VectorSelector, rule: &Rule) -> bool {
    selector.matchers.iter().all(|matcher| match matcher.name.as_str() {
        METRIC_NAME => matcher.matches(rule.name()),
        name => {
            let given = rule.labels.iter().find(|(label, _)| label == name);
            given.is_none_or(|(_, value)| matcher.matches(value))
        }
    })
}

/// Whether an expression means something else as an instant query, which rules are, than as one for a range.
fn asks_for_its_range(expr: &Expr) -> bool {
    let is_end = |at: &Option<At>| matches!(at, Some(At::Start | At::End));
    let of_selector = |selector: &VectorSelector| is_end(&selector.at) || is_computed(&selector.offset);
    let own = match expr {
        Expr::Vector(selector) => of_selector(selector),
        Expr::Matrix(matrix) => of_selector(&matrix.selector) || is_computed(&matrix.range),
        Expr::Subquery(subquery) => {
            is_end(&subquery.at)
                || is_computed(&subquery.offset)
                || is_computed(&subquery.range)
                || subquery.step.as_ref().is_some_and(is_computed)
        }
        _ => false,
    };
    let mut found = own;
    expr.for_each_child(&mut |child| found = found || asks_for_its_range(child));
    found
}

/// Of the step or the range.
fn is_computed(duration: &Duration) -> bool {
    match duration {
        Duration::Literal(_) => false,
        Duration::Expr(expr) => names_range(expr),
    }
}

fn names_range(expr: &DurationExpr) -> bool {
    match &expr.node {
        DurationNode::Number { .. } => false,
        DurationNode::Step | DurationNode::Range => true,
        DurationNode::Unary { inner, .. } => names_range(inner),
        DurationNode::Binary { left: a, right: b, .. } | DurationNode::MinOf(a, b) | DurationNode::MaxOf(a, b) => {
            names_range(a) || names_range(b)
        }
    }
}

/// The strongly connected components of a graph, each behind all that it leads to: Tarjan's algorithm, without recursion, as
/// chains of rules may be long.
fn components(edges: &[Vec<usize>]) -> Vec<Vec<usize>> {
    const NEW: usize = usize::MAX;
    let mut search = Search {
        number: vec![NEW; edges.len()],
        lowest: vec![NEW; edges.len()],
        is_open: vec![false; edges.len()],
        open: Vec::new(),
        found: Vec::new(),
    };
    for root in 0..edges.len() {
        if search.number[root] != NEW {
            continue;
        }
        let mut next_number = search.number.iter().filter(|number| **number != NEW).count();
        // A node, and the next of its edges.
        let mut path = vec![(root, 0)];
        search.enter(root, next_number);
        while let Some((node, edge)) = path.last_mut() {
            let (node, target) = (*node, edges[*node].get(*edge).copied());
            *edge += 1;
            match target {
                Some(target) if search.number[target] == NEW => {
                    next_number += 1;
                    search.enter(target, next_number);
                    path.push((target, 0));
                }
                Some(target) if search.is_open[target] => {
                    search.lowest[node] = search.lowest[node].min(search.number[target]);
                }
                Some(_) => {}
                None => {
                    path.pop();
                    search.leave(node);
                    if let Some((parent, _)) = path.last() {
                        search.lowest[*parent] = search.lowest[*parent].min(search.lowest[node]);
                    }
                }
            }
        }
    }
    search.found
}

struct Search {
    number: Vec<usize>,
    /// The lowest number that a node leads to.
    lowest: Vec<usize>,
    is_open: Vec<bool>,
    open: Vec<usize>,
    found: Vec<Vec<usize>>,
}

impl Search {
    fn enter(&mut self, node: usize, number: usize) {
        (self.number[node], self.lowest[node], self.is_open[node]) = (number, number, true);
        self.open.push(node);
    }

    /// All edges of a node were followed.
    fn leave(&mut self, node: usize) {
        if self.lowest[node] != self.number[node] {
            return;
        }
        let at =
            self.open.iter().rposition(|open| *open == node).expect("a node is open until its component is found");
        let members = self.open.split_off(at);
        members.iter().for_each(|member| self.is_open[*member] = false);
        self.found.push(members);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::protocol::NameValidation;
    use crate::config::rules::RuleFile;
    use crate::promql::parse::ParseOptions;

    /// Rules as `name: expression`, a list for each group.
    fn plan(groups: &[&[(&str, &str)]]) -> Plan {
        let mut jobs = Vec::new();
        for (group, rules) in groups.iter().enumerate() {
            let rules: Vec<String> = rules
                .iter()
                .map(|(name, expr)| {
                    let (name, labels) = name.split_once(' ').unwrap_or((name, "{}"));
                    format!("  - {{record: '{name}', expr: '{expr}', labels: {labels}}}\n")
                })
                .collect();
            let text = format!("groups:\n- name: g\n  rules:\n{}", rules.concat());
            let file = RuleFile::parse(&text, NameValidation::Utf8, &ParseOptions::all()).unwrap();
            let rules = file.groups[0].rules.iter().enumerate();
            jobs.extend(rules.map(|(place, rule)| Job { group, place, rule: rule.clone() }));
        }
        Plan::of(jobs)
    }

    use Turn::{Alone, Together};

    #[test]
    fn what_is_read_comes_first() {
        let check = |groups: &[&[(&str, &str)]], turns: &[Turn]| {
            assert_eq!(plan(groups).turns, turns, "{groups:?}");
        };
        check(&[&[("a", "up"), ("b", "a"), ("c", "rate(b[5m]) + a")]], &[Alone(0), Alone(1), Alone(2)]);
        // Another group, before or behind.
        check(&[&[("a", "b")], &[("b", "up")]], &[Alone(1), Alone(0)]);
        check(&[&[("a", "{__name__=~\"b|c\"}")], &[("b", "c")], &[("c", "up")]], &[Alone(2), Alone(1), Alone(0)]);
        // As of the time before.
        check(&[&[("a", "b"), ("b", "up")]], &[Together(vec![0, 1])]);
        check(&[&[("a", "up"), ("n", "n + 1 or vector(0)"), ("c", "n")]], &[Alone(0), Together(vec![1]), Alone(2)]);
        check(&[&[("a", "d")], &[("b", "a"), ("c", "b")], &[("d", "c")]], &[Together(vec![0, 1, 2, 3])]);
        check(&[&[("a", "up"), ("b", "count({job=\"x\"})")]], &[Alone(0), Together(vec![1])]);
        // Labels that a rule gives tell more.
        check(&[&[("a {job: y}", "up"), ("b {job: z}", "count({job=\"x\"})")]], &[Alone(0), Alone(1)]);
        check(&[&[("a {x: p}", "up"), ("a {x: q}", "a{x=\"p\"}")]], &[Alone(0), Alone(1)]);
    }

    #[test]
    fn what_depends_on_the_range_is_evaluated_time_by_time() {
        let check = |expr: &str, expected: &Turn| assert_eq!(plan(&[&[("a", expr)]]).turns[0], *expected, "{expr}");
        for expr in
            ["up @ end()", "rate(up[5m] @ start())", "rate(up[range()])", "max_over_time(up[1h:min_of(step(),1m)])"]
        {
            check(expr, &Together(vec![0]));
        }
        for expr in ["up @ 100", "rate(up[5m] offset 1h)", "rate(up[2 * 5m])", "max_over_time(up[1h:])"] {
            check(expr, &Alone(0));
        }
    }

    #[test]
    fn who_is_read() {
        assert_eq!(plan(&[&[("a", "up"), ("b", "a"), ("c", "c")]]).is_read, [true, false, true]);
        assert_eq!(plan(&[&[("a", "up"), ("b", "a"), ("c", "c")]]).together(), 1);
    }

    /// Each component is behind what it leads to, and two nodes are in one exactly where each leads to the other.
    #[test]
    fn components_of_random_graphs() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..200 {
            let nodes = random.usize(1..12);
            let edges: Vec<Vec<usize>> =
                (0..nodes).map(|_| (0..random.usize(0..3)).map(|_| random.usize(0..nodes)).collect()).collect();
            let leads: Vec<Vec<bool>> = (0..nodes)
                .map(|from| {
                    let (mut reached, mut left) = (vec![false; nodes], vec![from]);
                    while let Some(node) = left.pop() {
                        if !std::mem::replace(&mut reached[node], true) {
                            left.extend(&edges[node]);
                        }
                    }
                    reached
                })
                .collect();
            let found = components(&edges);
            let place = |node: usize| found.iter().position(|members| members.contains(&node)).unwrap();
            assert_eq!(found.iter().map(Vec::len).sum::<usize>(), nodes);
            for (a, b) in (0..nodes).flat_map(|a| (0..nodes).map(move |b| (a, b))) {
                assert_eq!(place(a) == place(b), leads[a][b] && leads[b][a], "{edges:?}");
                assert!(!leads[a][b] || place(b) <= place(a), "{edges:?}");
            }
        }
    }
}
