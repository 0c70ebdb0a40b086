//! What a reader of a relation asks for, as far as its filters say so by equality: which ids, which names. Filters are hints
//! to what need not be made; DataFusion applies them again.

use std::collections::HashMap;

use datafusion::arrow::datatypes::DataType;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

/// More alternatives than these are no hint.
const MOST: usize = 1_000;

/// Allowed values by column.
#[derive(Debug, Default)]
pub struct Wanted(HashMap<String, Vec<ScalarValue>>);

impl Wanted {
    pub fn of(filters: &[Expr]) -> Self {
        let mut wanted = Self::default();
        filters.iter().for_each(|filter| wanted.add(filter));
        wanted
    }

    fn add(&mut self, filter: &Expr) {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) = filter {
            self.add(left);
            return self.add(right);
        }
        if let Some((column, values)) = values(filter)
            && values.len() <= MOST
        {
            // Of two clauses about a column either is a hint.
            self.0.entry(column).or_insert(values);
        }
    }

    /// Ids that a column may have.
    pub fn oids(&self, column: &str) -> Option<Vec<u32>> {
        let number = |value: &ScalarValue| match value.cast_to(&DataType::UInt32) {
            Ok(ScalarValue::UInt32(Some(oid))) => Some(oid),
            _ => None,
        };
        Some(self.0.get(column)?.iter().filter_map(number).collect())
    }

    /// Texts that a column may have.
    pub fn texts(&self, column: &str) -> Option<Vec<String>> {
        let text = |value: &ScalarValue| value.try_as_str().flatten().map(str::to_string);
        self.0.get(column)?.iter().map(text).collect()
    }
}

/// A column and what it may be.
fn values(filter: &Expr) -> Option<(String, Vec<ScalarValue>)> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            let (column, value) = match (column(left), column(right)) {
                (Some(column), _) => (column, right),
                (_, Some(column)) => (column, left),
                _ => return None,
            };
            Some((column, vec![literal(value)?]))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let ((column, mut one), (other, two)) = (values(left)?, values(right)?);
            one.extend(two);
            (column == other).then_some((column, one))
        }
        Expr::InList(list) if !list.negated => {
            let values: Option<Vec<ScalarValue>> = list.list.iter().map(literal).collect();
            Some((column(&list.expr)?, values?))
        }
        _ => None,
    }
}

fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Column(column) => Some(column.name.clone()),
        Expr::Cast(cast) => column(&cast.expr),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => literal(&cast.expr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::logical_expr::{cast, col, lit};

    #[test]
    fn equality_and_lists_say_what_is_wanted() {
        let check = |filter: Expr, oids: Option<&[u32]>| {
            assert_eq!(Wanted::of(std::slice::from_ref(&filter)).oids("oid").as_deref(), oids, "{filter}");
        };
        check(col("oid").eq(lit(7u32)), Some(&[7]));
        check(lit(7i64).eq(cast(col("oid"), DataType::Int64)), Some(&[7]));
        check(col("oid").eq(lit("7")).and(col("x").gt(lit(1))), Some(&[7]));
        check(col("oid").in_list(vec![lit(1i64), lit(2i64)], false), Some(&[1, 2]));
        check(col("oid").eq(lit(1)).or(col("oid").eq(lit(2))), Some(&[1, 2]));
        check(col("oid").in_list(vec![lit(1i64)], true), None);
        check(col("oid").eq(lit(1)).or(col("x").eq(lit(2))), None);
        check(col("oid").gt(lit(1)), None);
        let names = Wanted::of(&[col("relname").eq(lit("up"))]);
        assert_eq!(names.texts("relname"), Some(vec!["up".to_string()]));
    }
}
