//! Names of the columns of vectors: those that queries make for themselves, and those of labels beside them. A label
//! may have any name, the ones used inside too, so such a label gets another column: its name behind a sign.

use std::borrow::Cow;

pub const VALUES: &str = "__values__";
pub const HISTOGRAMS: &str = "__histograms__";
pub const TIMESTAMPS: &str = "__timestamps__";
pub const START_TIMESTAMPS: &str = "__start_timestamps__";
/// Whether `__name__` of a row goes at the end of the query (delayed name removal).
pub const DROP_NAME: &str = "__drop_name__";
/// Columns of scalars that vary by step begin with this.
pub const SCALAR_PREFIX: &str = "__scalar_";

/// The label that tells apart the series of queries that are asked together. Unlike the others it is a column as those of
/// labels are, for grouping and matching by it; and no label of a series has it.
pub const ASKER: &str = "__asker__";

/// Before the name of a label that would be taken for a column of ours, or for such a label.
const SIGN: char = '$';

/// Whether a column of a vector is a label.
pub fn is_label(column: &str) -> bool {
    // Nearly all labels begin with a letter.
    !column.starts_with("__")
        || !matches!(column, VALUES | HISTOGRAMS | DROP_NAME | TIMESTAMPS | START_TIMESTAMPS)
            && !column.starts_with(SCALAR_PREFIX)
}

fn is_like_ours(name: &str) -> bool {
    let bare = name.trim_start_matches(SIGN);
    bare == ASKER || !is_label(bare)
}

/// The column of a label: another one for each name, and none of those used inside.
pub fn of_label(name: &str) -> Cow<'_, str> {
    if is_like_ours(name) { Cow::Owned(format!("{SIGN}{name}")) } else { Cow::Borrowed(name) }
}

/// The name of the label that a column holds.
pub fn label_of(column: &str) -> &str {
    match column.strip_prefix(SIGN) {
        Some(name) if is_like_ours(name) => name,
        _ => column,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_has_a_column_of_ours() {
        let check = |name: &str, column: &str| {
            assert_eq!(of_label(name), column);
            assert!(is_label(column), "{column}");
            assert_eq!(label_of(column), name);
        };
        check("job", "job");
        check("__name__", "__name__");
        check("$job", "$job");
        for name in [VALUES, HISTOGRAMS, TIMESTAMPS, START_TIMESTAMPS, DROP_NAME, "__scalar_1__", "__scalar_x"] {
            check(name, &format!("${name}"));
            check(&format!("${name}"), &format!("$${name}"));
            assert!(!is_label(name));
        }
        check(ASKER, "$__asker__");
        check("$__asker__", "$$__asker__");
    }
}
