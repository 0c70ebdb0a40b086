//! EXPLAIN with PostgreSQL's options. Of its formats there are text, which is the engine's, and JSON.

use datafusion::common::format::ExplainFormat;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{AnalyzeFormat, AnalyzeFormatKind, Expr, Statement, UtilityOption, Value};
use pgwire::error::{PgWireError, PgWireResult};

use super::errors;
use super::source::Shape;

/// Options that change what PostgreSQL tells of a plan, and nothing that is told here.
const OTHERS: &[&str] =
    &["costs", "settings", "generic_plan", "buffers", "wal", "timing", "summary", "memory", "serialize"];

/// Makes the options of a statement what the engine reads.
///
/// # Errors
/// 42601 for an option that there is not, 22023 for a value that is none of one, 0A000 for other formats.
pub fn apply(statement: &mut Statement) -> PgWireResult<()> {
    let is_json = shape(statement) == Shape::ExplainJson;
    let Statement::Explain { analyze, verbose, format, options, .. } = statement else { return Ok(()) };
    match format.take() {
        None
        | Some(
            AnalyzeFormatKind::Keyword(AnalyzeFormat::TEXT) | AnalyzeFormatKind::Assignment(AnalyzeFormat::TEXT),
        ) => {}
        Some(
            AnalyzeFormatKind::Keyword(AnalyzeFormat::JSON) | AnalyzeFormatKind::Assignment(AnalyzeFormat::JSON),
        ) => {}
        Some(other) => return Err(errors::unsupported(format!("EXPLAIN ({other})"))),
    }
    for option in options.take().unwrap_or_default() {
        let name = option.name.value.to_ascii_lowercase();
        match name.as_str() {
            "analyze" => *analyze = is_on(&option)?,
            "verbose" => *verbose = is_on(&option)?,
            "format" => match word(&option).as_deref() {
                Some("text" | "json") => {}
                Some(other @ ("xml" | "yaml")) => {
                    return Err(errors::unsupported(format!("EXPLAIN (FORMAT {})", other.to_uppercase())));
                }
                other => return Err(unrecognized(&name, other)),
            },
            "serialize" if matches!(word(&option).as_deref(), Some("none" | "text" | "binary")) => {}
            name if OTHERS.contains(&name) => drop(is_on(&option)?),
            name => return Err(errors::error("42601", format!("unrecognized EXPLAIN option \"{name}\""))),
        }
    }
    // JSON is one text, however much is told.
    *verbose = *verbose && !is_json;
    Ok(())
}

/// How what is explained becomes rows.
pub fn shape(statement: &Statement) -> Shape {
    let Statement::Explain { format, options, .. } = statement else { return Shape::Explain };
    let is_json = |option: &UtilityOption| {
        option.name.value.eq_ignore_ascii_case("format") && word(option).as_deref() == Some("json")
    };
    let json = matches!(
        format,
        Some(AnalyzeFormatKind::Keyword(AnalyzeFormat::JSON) | AnalyzeFormatKind::Assignment(AnalyzeFormat::JSON))
    );
    match json || options.iter().flatten().any(is_json) {
        true => Shape::ExplainJson,
        false => Shape::Explain,
    }
}

/// The plan that tells in the format that is asked for.
pub fn formatted(plan: LogicalPlan, shape: Shape) -> LogicalPlan {
    match plan {
        LogicalPlan::Explain(mut explain) if shape == Shape::ExplainJson => {
            explain.explain_format = ExplainFormat::PostgresJSON;
            LogicalPlan::Explain(explain)
        }
        LogicalPlan::Analyze(mut analyze) if shape == Shape::ExplainJson => {
            analyze.format = ExplainFormat::PostgresJSON;
            LogicalPlan::Analyze(analyze)
        }
        plan => plan,
    }
}

fn word(option: &UtilityOption) -> Option<String> {
    match option.arg.as_ref()? {
        Expr::Identifier(ident) => Some(ident.value.to_ascii_lowercase()),
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.to_ascii_lowercase()),
            Value::Number(digits, _) => Some(digits.clone()),
            Value::Boolean(on) => Some(on.to_string()),
            _ => None,
        },
        _ => None,
    }
}

fn is_on(option: &UtilityOption) -> PgWireResult<bool> {
    if option.arg.is_none() {
        return Ok(true);
    }
    match word(option).as_deref() {
        Some("true" | "on" | "1") => Ok(true),
        Some("false" | "off" | "0") => Ok(false),
        _ => {
            let name = option.name.value.to_ascii_lowercase();
            Err(errors::error("42601", format!("{name} requires a Boolean value")))
        }
    }
}

fn unrecognized(name: &str, value: Option<&str>) -> PgWireError {
    let value = value.unwrap_or_default();
    errors::error("22023", format!("unrecognized value for EXPLAIN option \"{name}\": \"{value}\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn options() {
        let check = |sql: &str, want: Result<(bool, bool, Shape), &str>| {
            let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
            let shape = shape(&statement);
            let got = apply(&mut statement).map_err(|e| e.code().to_string()).map(|()| {
                let Statement::Explain { analyze, verbose, .. } = statement else { panic!("{sql}") };
                (analyze, verbose, shape)
            });
            assert_eq!(got, want.map_err(String::from), "{sql}");
        };
        check("EXPLAIN SELECT 1", Ok((false, false, Shape::Explain)));
        check("EXPLAIN ANALYZE SELECT 1", Ok((true, false, Shape::Explain)));
        // Once, these were passed over.
        check("EXPLAIN (ANALYZE, VERBOSE on) SELECT 1", Ok((true, true, Shape::Explain)));
        check("EXPLAIN (ANALYZE off, COSTS, FORMAT text) SELECT 1", Ok((false, false, Shape::Explain)));
        check("EXPLAIN (ANALYZE, BUFFERS, VERBOSE, FORMAT JSON) SELECT 1", Ok((true, false, Shape::ExplainJson)));
        check("EXPLAIN (FORMAT YAML) SELECT 1", Err("0A000"));
        check("EXPLAIN (FORMAT pictures) SELECT 1", Err("22023"));
        check("EXPLAIN (NOSUCH) SELECT 1", Err("42601"));
        check("EXPLAIN (COSTS perhaps) SELECT 1", Err("42601"));
    }
}
