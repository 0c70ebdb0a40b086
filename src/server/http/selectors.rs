//! The `match[]` parameters: series selectors, each of which must ask for something.

use crate::error::{Error, Result};
use crate::model::matcher::Matcher;
use crate::promql::parse::parse_selector;
use crate::promql::selectors::matches_anything;

/// One matcher set per selector. A selector whose matchers all accept an absent label would name every series
/// there is, which is an error.
pub fn parse_all(selectors: &[&str]) -> Result<Vec<Vec<Matcher>>> {
    let sets = selectors.iter().map(|text| Ok(parse_selector(text)?)).collect::<Result<Vec<_>>>()?;
    if sets.iter().any(|set| matches_anything(set)) {
        return Err(Error::bad_input("match[] must contain at least one non-empty matcher"));
    }
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors() {
        let check = |selectors: &[&str], sets: Option<usize>| {
            assert_eq!(parse_all(selectors).ok().map(|s| s.len()), sets, "{selectors:?}");
        };
        check(&[], Some(0));
        check(&["up"], Some(1));
        check(&["up", r#"{job=~"a.+"}"#], Some(2));
        check(&["{}"], None);
        check(&[r#"{job=~".*"}"#], None);
        check(&["up", r#"{job=""}"#], None);
        check(&[r#"{job="",instance="x"}"#], Some(1));
        check(&["up["], None);
        check(&["sum(up)"], None);
    }
}
