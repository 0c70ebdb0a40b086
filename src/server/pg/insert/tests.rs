use super::*;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

fn parsed(sql: &str) -> PgWireResult<Parts> {
    let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop();
    let Some(SqlStatement::Insert(insert)) = statement else { panic!("{sql} is an INSERT") };
    parts(insert)
}

fn code<T>(result: PgWireResult<T>) -> String {
    match result {
        Err(PgWireError::UserError(info)) => info.code.clone(),
        Err(error) => panic!("{error}"),
        Ok(_) => "fine".to_string(),
    }
}

#[test]
fn statements_are_taken_apart() {
    let parts =
        parsed("INSERT INTO Public.\"A:b\" (Timestamp, \"X\", value) VALUES (1, 2, 3) ON CONFLICT DO NOTHING")
            .unwrap();
    assert_eq!((parts.metric.value.as_str(), parts.keeps_others), ("A:b", true));
    assert_eq!(parts.columns, ["timestamp", "X", "value"]);
    assert_eq!(parts.query.to_string(), "VALUES (1, 2, 3)");
    for (sql, expected) in [
        ("INSERT INTO a SELECT 1", "fine"),
        ("INSERT INTO promlake.public.a VALUES (1)", "fine"),
        ("INSERT INTO promlake.samples SELECT 1", "42501"),
        ("INSERT INTO pg_catalog.pg_class SELECT 1", "42501"),
        ("INSERT INTO a SELECT 1 RETURNING value", "0A000"),
        ("INSERT INTO a AS b SELECT 1", "0A000"),
        ("INSERT INTO a DEFAULT VALUES", "0A000"),
        ("INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET value = 1", "0A000"),
    ] {
        assert_eq!(code(parsed(sql)), expected, "{sql}");
    }
}

#[test]
fn names_of_columns() {
    let names = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<Vec<_>>();
    let label = |name: &str| Column::Label(name.to_string());
    let check = |given: &[&str], expected: &[Column]| {
        assert_eq!(columns(&names(given)).unwrap(), expected, "{given:?}");
    };
    let (timestamp, value) = (Column::Timestamp, Column::Value);
    check(&["value", "job", "timestamp"], &[value.clone(), label("job"), timestamp.clone()]);
    check(
        &["__name__", "timestamp", "value", "histogram", "value_label", "my_label"],
        &[Column::Ignored, timestamp.clone(), value.clone(), Column::Histogram, label("value"), label("my_label")],
    );
    // As the table of a metric that has both labels.
    check(
        &["timestamp", "value", "value_label", "value_label_label"],
        &[timestamp, value, label("value_label"), label("value")],
    );
    assert_eq!(code(columns(&names(&["timestamp", "job"]))), "42703");
    assert_eq!(code(columns(&names(&["timestamp", "value", "a", "a"]))), "42701");
}

#[test]
fn types_that_are_taken() {
    let time = DataType::Timestamp(TimeUnit::Nanosecond, None);
    let list = DataType::new_list(DataType::Utf8, true);
    let label = Column::Label("x".to_string());
    for (column, from, expected) in [
        (&Column::Timestamp, &time, "fine"),
        (&Column::Timestamp, &DataType::Utf8, "fine"),
        (&Column::Timestamp, &DataType::Int64, "42804"),
        (&Column::Value, &DataType::Int32, "fine"),
        (&Column::Value, &DataType::Decimal128(10, 2), "fine"),
        (&Column::Value, &time, "42804"),
        (&label, &DataType::Boolean, "fine"),
        (&label, &DataType::Utf8View, "fine"),
        (&label, &list, "42804"),
    ] {
        assert_eq!(code(check_type(column, "c", from)), expected, "{column:?} from {from}");
    }
}
