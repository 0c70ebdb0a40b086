//! What of the language there is, and what of that is switched on: words, operators and functions, for those who offer only
//! what a server knows. The categories are those of Prometheus' `/api/v1/features`.

use super::functions::FUNCTIONS;
use super::operators::BinaryOp;
use super::parse::ParseOptions;
use super::parse::token::{Keyword, Kind, WORDS};

/// A category, a name in it, and whether it is on.
pub type Feature = (&'static str, &'static str, bool);

/// What stands in matchers and behind selectors, which Prometheus counts as operators.
const IN_SELECTORS: &[&str] = &["=~", "!~", "@"];

pub fn features(options: &ParseOptions) -> Vec<Feature> {
    const OPERATORS: &str = "promql_operators";
    let words = WORDS.iter().filter_map(|(word, kind)| match kind {
        Kind::Keyword(keyword) => Some(("promql", *word, is_on(*keyword, options))),
        Kind::Aggregate(op) => Some((OPERATORS, *word, !op.is_experimental() || options.experimental_functions)),
        _ => None,
    });
    let operators = BinaryOp::ALL.iter().map(|op| op.as_str()).chain(IN_SELECTORS.iter().copied());
    let functions = FUNCTIONS.iter().map(|function| {
        ("promql_functions", function.name, !function.experimental || options.experimental_functions)
    });
    words
        .chain(operators.map(|operator| (OPERATORS, operator, true)))
        .chain(functions)
        .chain([("promql", "duration_expr", true)])
        .collect()
}

fn is_on(keyword: Keyword, options: &ParseOptions) -> bool {
    match keyword {
        Keyword::Fill | Keyword::FillLeft | Keyword::FillRight => options.binop_fill_modifiers,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(category: &str, options: &ParseOptions) -> Vec<(&'static str, bool)> {
        let mut found: Vec<(&str, bool)> = features(options)
            .into_iter()
            .filter(|(known, ..)| *known == category)
            .map(|(_, name, on)| (name, on))
            .collect();
        found.sort_unstable();
        found
    }

    /// The lists of a Prometheus without feature flags.
    #[test]
    fn names_are_those_of_prometheus() {
        let plain = ParseOptions::default();
        let names = |category, on| -> Vec<&str> {
            of(category, &plain).into_iter().filter(|(_, is_on)| *is_on == on).map(|(name, _)| name).collect()
        };
        let operators = "!= !~ % * + - / < </ <= == =~ > >/ >= @ ^ and atan2 avg bottomk count count_values group max min \
                         or quantile stddev stdvar sum topk unless";
        assert_eq!(names("promql_operators", true).join(" "), operators);
        assert_eq!(names("promql_operators", false), ["limit_ratio", "limitk"]);
        let words = "anchored bool by duration_expr group_left group_right ignoring offset on smoothed without";
        assert_eq!(names("promql", true).join(" "), words);
        assert_eq!(names("promql", false), ["fill", "fill_left", "fill_right"]);
        assert_eq!(names("promql_functions", true).len() + names("promql_functions", false).len(), FUNCTIONS.len());
        let is_stable = |name: &&str| FUNCTIONS.iter().any(|f| f.name == *name && !f.experimental);
        assert!(names("promql_functions", true).iter().all(is_stable));
    }

    #[test]
    fn everything_may_be_on() {
        assert!(features(&ParseOptions::all()).iter().all(|(_, _, on)| *on));
    }
}
