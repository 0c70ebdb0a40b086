//! Parameters in the arguments of table functions, `promql($1, $2)`: what columns a function has depends on them, and they are
//! known when values are bound. Before that a statement is planned with others in their place, which tells what there is to
//! tell: which parameters it has, and most often which columns.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArg, FunctionArgExpr, Statement, TableFactor, TimezoneInfo, UnaryOperator, Value,
    Visitor, VisitorMut,
};
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};

use super::errors;
use super::params::Parameter;
use super::params::known::{cast, parameter, written};
use super::settings::zone::Zone;
use crate::engine::sql::datetime::write as datetime;
use crate::engine::sql::text::walk::{walk, walk_mut};

/// Labels that a statement may name of PromQL that is not known yet.
const MAX_LABELS: usize = 64;

/// What stands for parameters until they are known.
pub struct Sketch {
    known: Vec<Option<Type>>,
    /// Labels that the statement names.
    labels: Vec<String>,
}

impl Sketch {
    /// `None` where no parameter is in such a place. Types that their places tell are added to those that are known.
    pub fn of(statement: &Statement, known: &mut Vec<Option<Type>>) -> Option<Self> {
        let found = places(statement);
        for (number, of) in &found {
            if known.len() < *number {
                known.resize(*number, None);
            }
            known[number - 1].get_or_insert_with(|| of.clone());
        }
        (!found.is_empty()).then(|| Self { known: known.clone(), labels: vec![] })
    }

    /// The statement to be planned.
    pub fn statement(&self, statement: &Statement) -> Statement {
        let mut statement = statement.clone();
        let stand_in = |number: usize| {
            let known = self.known.get(number - 1).and_then(Option::as_ref);
            self.stand_in(known.unwrap_or(&Type::TEXT))
        };
        let _ = walk_mut(&mut statement, &mut Fill { inside: 0, of: &stand_in });
        statement
    }

    fn stand_in(&self, of: &Type) -> Expr {
        match *of {
            Type::TIMESTAMPTZ | Type::TIMESTAMP | Type::DATE => {
                cast(text("2000-01-01"), written(of).unwrap_or(DataType::Text))
            }
            Type::INTERVAL => cast(text("1 minute"), DataType::Interval { fields: None, precision: None }),
            Type::BOOL => Expr::Value(Value::Boolean(true).into()),
            Type::INT2 | Type::INT4 | Type::INT8 | Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC | Type::OID => {
                Expr::Value(Value::Number("1".into(), false).into())
            }
            _ => {
                let quote = |name: &str| name.replace('\\', "\\\\").replace('"', "\\\"");
                let with = |inner: String, label: &String| {
                    format!("label_replace({inner}, \"{}\", \"x\", \"\", \"\")", quote(label))
                };
                text(&self.labels.iter().fold("vector(0)".to_string(), with))
            }
        }
    }

    /// Whether an error is that a label is missing which now is there.
    pub fn gets_label(&mut self, error: &PgWireError) -> bool {
        let PgWireError::UserError(info) = error else { return false };
        let name = info.message.strip_prefix("column \"").and_then(|rest| rest.strip_suffix("\" does not exist"));
        let name = name.map(|name| name.rsplit('.').next().unwrap_or(name).to_string());
        match name.filter(|name| info.code == "42703" && !self.labels.contains(name)) {
            Some(name) if self.labels.len() < MAX_LABELS => {
                self.labels.push(name);
                true
            }
            _ => false,
        }
    }
}

/// The statement with values in those places.
///
/// # Errors
/// 0A000 for a value of a type that has no place there.
pub fn filled(statement: &Statement, parameters: &[Parameter], values: &[ScalarValue]) -> PgWireResult<Statement> {
    let places = places(statement);
    let mut literals = BTreeMap::new();
    for (number, _) in places {
        if let (Some(parameter), Some(value)) = (parameters.get(number - 1), values.get(number - 1)) {
            literals.insert(number, literal(&parameter.pg, value)?);
        }
    }
    let of = |number| literals.get(&number).cloned().unwrap_or_else(|| Expr::Value(Value::Null.into()));
    let mut statement = statement.clone();
    let _ = walk_mut(&mut statement, &mut Fill { inside: 0, of: &of });
    Ok(statement)
}

/// Parameters in arguments of table functions, with the types they would have.
fn places(statement: &Statement) -> Vec<(usize, Type)> {
    let mut places = Places::default();
    let _ = walk(statement, &mut places);
    places.found
}

fn text(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_string()).into())
}

/// A value as it would be written.
fn literal(pg: &Type, value: &ScalarValue) -> PgWireResult<Expr> {
    let number = |text: String| {
        let plain = |text: &str| Expr::Value(Value::Number(text.to_string(), false).into());
        match text.strip_prefix('-') {
            Some(size) => Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(plain(size)) },
            None => plain(&text),
        }
    };
    if value.is_null() {
        return Ok(Expr::Value(Value::Null.into()));
    }
    let mut written = String::new();
    Ok(match value {
        ScalarValue::Utf8(Some(of)) | ScalarValue::Utf8View(Some(of)) | ScalarValue::LargeUtf8(Some(of)) => {
            text(of)
        }
        ScalarValue::Boolean(Some(on)) => Expr::Value(Value::Boolean(*on).into()),
        ScalarValue::Int16(Some(n)) => number(n.to_string()),
        ScalarValue::Int32(Some(n)) => number(n.to_string()),
        ScalarValue::Int64(Some(n)) => number(n.to_string()),
        ScalarValue::UInt32(Some(n)) => number(n.to_string()),
        ScalarValue::Float64(Some(x)) if x.is_finite() => number(format!("{x:e}")),
        ScalarValue::Float32(Some(x)) if x.is_finite() => number(format!("{x:e}")),
        ScalarValue::Date32(Some(days)) => {
            datetime::date(&mut written, *days);
            cast(text(&written), DataType::Date)
        }
        ScalarValue::TimestampMicrosecond(Some(micros), zone) => {
            let info = match zone {
                Some(_) => {
                    datetime::timestamptz(&mut written, *micros, Zone::UTC);
                    TimezoneInfo::WithTimeZone
                }
                None => {
                    datetime::timestamp(&mut written, *micros);
                    TimezoneInfo::None
                }
            };
            cast(text(&written), DataType::Timestamp(None, info))
        }
        ScalarValue::IntervalMonthDayNano(Some(of)) => {
            let words = format!("{} months {} days {} nanoseconds", of.months, of.days, of.nanoseconds);
            cast(text(&words), DataType::Interval { fields: None, precision: None })
        }
        _ => return Err(errors::unsupported(format!("a value of type {} for a table function", pg.name()))),
    })
}

#[derive(Default)]
struct Places {
    inside: usize,
    of_promql: bool,
    found: Vec<(usize, Type)>,
}

impl Visitor for Places {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, args: Some(arguments), .. } = factor else {
            return ControlFlow::Continue(());
        };
        self.inside += 1;
        let last = name.0.last().and_then(|part| part.as_ident());
        self.of_promql = last.is_some_and(|ident| ident.value.eq_ignore_ascii_case("promql"));
        let count = arguments.args.len();
        for (at, argument) in arguments.args.iter().enumerate() {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = argument else { continue };
            let Some(number) = parameter(expr) else { continue };
            let of = match (self.of_promql, at, count) {
                (true, 0, _) => Type::TEXT,
                (true, 3, 4) => Type::INTERVAL,
                (true, ..) => Type::TIMESTAMPTZ,
                (false, ..) => Type::INT8,
            };
            self.found.push((number, of));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { args: Some(_), .. } = factor {
            self.inside -= 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let (1.., Some(number)) = (self.inside, parameter(expr)) {
            // As in `now() - $1`.
            self.found.push((number, if self.of_promql { Type::INTERVAL } else { Type::INT8 }));
        }
        ControlFlow::Continue(())
    }
}

struct Fill<'a> {
    inside: usize,
    of: &'a dyn Fn(usize) -> Expr,
}

impl VisitorMut for Fill<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { args: Some(_), .. } = factor {
            self.inside += 1;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { args: Some(_), .. } = factor {
            self.inside -= 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let (1.., Some(number)) = (self.inside, parameter(expr)) {
            *expr = (self.of)(number);
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn parsed(sql: &str) -> Statement {
        Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0)
    }

    #[test]
    fn stand_ins_and_values() {
        let statement = parsed("SELECT host FROM promql($1, now() - $2, $3, '1m') WHERE value > $4");
        let mut known = vec![];
        let mut sketch = Sketch::of(&statement, &mut known).unwrap();
        assert_eq!(known, [Some(Type::TEXT), Some(Type::INTERVAL), Some(Type::TIMESTAMPTZ)]);
        let label = errors::error("42703", "column \"host\" does not exist");
        assert!(sketch.gets_label(&label) && !sketch.gets_label(&label));
        assert_eq!(
            sketch.statement(&statement).to_string(),
            "SELECT host FROM promql('label_replace(vector(0), \"host\", \"x\", \"\", \"\")', \
             now() - CAST('1 minute' AS INTERVAL), CAST('2000-01-01' AS TIMESTAMP WITH TIME ZONE), '1m') WHERE value > $4"
        );
        let parameters: Vec<Parameter> = [Type::TEXT, Type::INTERVAL, Type::TIMESTAMPTZ, Type::FLOAT8]
            .iter()
            .map(|of| Parameter::new(Some(of), super::super::types::arrow_type(of)))
            .collect();
        let values = [
            ScalarValue::from("up{a='b'}"),
            ScalarValue::new_interval_mdn(0, 1, 1_500_000_000),
            ScalarValue::TimestampMicrosecond(Some(1_000_000), Some("UTC".into())),
            ScalarValue::Float64(Some(1.0)),
        ];
        assert_eq!(
            filled(&statement, &parameters, &values).unwrap().to_string(),
            "SELECT host FROM promql('up{a=''b''}', now() - CAST('0 months 1 days 1500000000 nanoseconds' AS INTERVAL), \
             CAST('1970-01-01 00:00:01+00' AS TIMESTAMP WITH TIME ZONE), '1m') WHERE value > $4"
        );
        assert!(Sketch::of(&parsed("SELECT $1 FROM promql('up')"), &mut vec![]).is_none());
        let mut numbers = vec![];
        Sketch::of(&parsed("SELECT * FROM generate_series(1, $1)"), &mut numbers).unwrap();
        assert_eq!(numbers, [Some(Type::INT8)]);
    }
}
