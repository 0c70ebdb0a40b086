//! The lake's own DDL: `migrations/NNNN_verb_noun.sql`, built into the binary and applied at start.
//!
//! The number of the last migration applied is a property of the `samples` table, which the first migration
//! creates last. Migrations only go forward, each statement can be run again, and two nodes that start at once
//! may both run them: a table is created by whoever is first, and a change of a table's schema that loses the
//! race is looked at again.

use serde_json::{Value, json};
use sqlparser::ast::{
    AlterTableOperation, ArrayElemTypeDef, ColumnDef, ColumnOption, CreateTable, DataType, HiveDistributionStyle,
    Statement,
};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::Parser;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::storage::lake::table::{Change, Table};
use crate::storage::lake::tables::Tables;

/// Number, file name, text.
type Migration = (u32, &'static str, &'static str);

const MIGRATIONS: &[Migration] = &[
    (1, "0001_create_tables.sql", include_str!("../../../migrations/0001_create_tables.sql")),
    (2, "0002_create_alert_history.sql", include_str!("../../../migrations/0002_create_alert_history.sql")),
    (3, "0003_create_deletes.sql", include_str!("../../../migrations/0003_create_deletes.sql")),
];

/// The table property with the number of the last migration.
const PROPERTY: &str = "promlake.migration";
/// Attempts at a schema change that others change too.
const ATTEMPTS: usize = 10;

/// Brings the tables up to the newest migration, and loads them.
pub async fn apply(tables: &Tables, now_ms: i64) -> Result<()> {
    apply_all(tables, MIGRATIONS, now_ms).await
}

async fn apply_all(tables: &Tables, migrations: &[Migration], now_ms: i64) -> Result<()> {
    let newest = migrations.last().map_or(0, |(number, ..)| *number);
    // Before it is looked which tables there are: another node may be making them, and says so when it has.
    let applied = if tables.samples.load().await? { applied(&tables.samples).await? } else { 0 };
    let mut missing = Vec::new();
    for table in tables.all() {
        if !table.load().await? {
            missing.push(table.name());
        }
    }
    if applied > newest {
        return Err(Error::unsupported(format!(
            "the lake is at migration {applied}, this promlake knows up to {newest}; use a newer promlake"
        )));
    }
    for name in created(&migrations[..migrations.partition_point(|(number, ..)| *number <= applied)])? {
        if missing.contains(&name.as_str()) {
            return Err(Error::internal(format!("the lake is at migration {applied} and lacks the table {name}")));
        }
    }
    for (number, name, text) in migrations.iter().filter(|(number, ..)| *number > applied) {
        for statement in parse(name, text)? {
            run(tables, &statement, *number, now_ms).await?;
        }
        set_applied(&tables.samples, *number, now_ms).await?;
        tracing::info!(migration = name, "migrated the lake");
    }
    Ok(())
}

/// The tables that these migrations create.
fn created(migrations: &[Migration]) -> Result<Vec<String>> {
    let mut tables = Vec::new();
    for (_, name, text) in migrations {
        tables.extend(parse(name, text)?.into_iter().filter_map(|step| match step {
            Step::Create { table, .. } => Some(table),
            Step::AddColumns { .. } => None,
        }));
    }
    Ok(tables)
}

async fn applied(samples: &Table) -> Result<u32> {
    let metadata = samples.metadata().await?;
    let number = metadata["configuration"][PROPERTY].as_str().and_then(|n| n.parse().ok());
    number.ok_or_else(|| {
        Error::unsupported("the samples table was not made by promlake: it has no promlake.migration")
    })
}

/// One statement of a migration, checked.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Create { table: String, schema: Value, partition_by: Vec<String> },
    AddColumns { table: String, fields: Vec<Value> },
}

fn parse(name: &str, text: &str) -> Result<Vec<Step>> {
    let bad = |what: String| Error::internal(format!("migration {name}: {what}"));
    let statements = Parser::parse_sql(&GenericDialect {}, text).map_err(|e| bad(e.to_string()))?;
    let step = |statement: &Statement| match statement {
        Statement::CreateTable(create) => create_step(create),
        Statement::AlterTable(alter) => {
            let fields = alter.operations.iter().map(|operation| match operation {
                AlterTableOperation::AddColumn { column_def, .. } => added_field(column_def),
                other => Err(format!("cannot apply {other}")),
            });
            Ok(Step::AddColumns { table: alter.name.to_string(), fields: fields.collect::<Result<_, _>>()? })
        }
        other => Err(format!("cannot apply {other}")),
    };
    statements.iter().map(|statement| step(statement).map_err(bad)).collect()
}

fn create_step(create: &CreateTable) -> Result<Step, String> {
    let fields = create.columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let partition_by = match &create.hive_distribution {
        HiveDistributionStyle::PARTITIONED { columns } => columns.iter().map(|c| c.name.value.clone()).collect(),
        _ => Vec::new(),
    };
    let schema = json!({"type": "struct", "fields": fields});
    Ok(Step::Create { table: create.name.to_string(), schema, partition_by })
}

fn field(column: &ColumnDef) -> Result<Value, String> {
    let required = column.options.iter().any(|o| o.option == ColumnOption::NotNull);
    Ok(json!({
        "name": column.name.value,
        "type": delta_type(&column.data_type)?,
        "nullable": !required,
        "metadata": {},
    }))
}

/// Files written before have no such column, so it must be nullable.
fn added_field(column: &ColumnDef) -> Result<Value, String> {
    let field = field(column)?;
    match field["nullable"] == json!(true) {
        true => Ok(field),
        false => Err(format!("an added column cannot be NOT NULL: {column}")),
    }
}

fn delta_type(kind: &DataType) -> Result<Value, String> {
    Ok(match kind {
        DataType::String(None) => json!("string"),
        DataType::BigInt(None) => json!("long"),
        DataType::Int(None) => json!("integer"),
        DataType::TinyInt(None) => json!("byte"),
        DataType::Double(_) => json!("double"),
        DataType::Boolean => json!("boolean"),
        DataType::Date => json!("date"),
        DataType::Timestamp(None, _) => json!("timestamp"),
        DataType::Array(ArrayElemTypeDef::AngleBracket(element)) => {
            json!({"type": "array", "elementType": delta_type(element)?, "containsNull": true})
        }
        DataType::Map(key, value) => json!({
            "type": "map",
            "keyType": delta_type(key)?,
            "valueType": delta_type(value)?,
            "valueContainsNull": true,
        }),
        DataType::Struct(fields, _) => {
            let fields = fields.iter().map(|field| {
                let name = field.field_name.as_ref().ok_or("a struct field has no name")?;
                let kind = delta_type(&field.field_type)?;
                Ok(json!({"name": name.value, "type": kind, "nullable": true, "metadata": {}}))
            });
            json!({"type": "struct", "fields": fields.collect::<Result<Vec<Value>, String>>()?})
        }
        other => return Err(format!("column type {other} has no Delta type here")),
    })
}

async fn run(tables: &Tables, step: &Step, number: u32, now_ms: i64) -> Result<()> {
    let find = |name: &str| {
        tables.by_name(name).ok_or_else(|| Error::internal(format!("a migration names the unknown table {name}")))
    };
    match step {
        Step::Create { table, schema, partition_by } => {
            let table = find(table)?;
            table.create(schema, partition_by, &properties(table.name(), number), now_ms).await
        }
        Step::AddColumns { table, fields } => {
            let missing = |metadata: &Value| -> Result<Option<Value>> {
                let text = metadata["schemaString"].as_str().unwrap_or_default();
                let mut schema: Value = serde_json::from_str(text)
                    .context(ErrorKind::Internal, || format!("schema of table {table}"))?;
                let present = schema["fields"].as_array_mut();
                let present = present.ok_or_else(|| Error::internal(format!("schema of table {table}")))?;
                let before = present.len();
                for field in fields {
                    if !present.iter().any(|p| p["name"] == field["name"]) {
                        present.push(field.clone());
                    }
                }
                if present.len() == before {
                    return Ok(None);
                }
                let mut changed = metadata.clone();
                changed["schemaString"] = json!(schema.to_string());
                Ok(Some(changed))
            };
            change_metadata(find(table)?, "ADD COLUMNS", missing, now_ms).await
        }
    }
}

async fn set_applied(samples: &Table, number: u32, now_ms: i64) -> Result<()> {
    let raise = |metadata: &Value| {
        let known = metadata["configuration"][PROPERTY].as_str().and_then(|n| n.parse::<u32>().ok()).unwrap_or(0);
        let mut changed = metadata.clone();
        changed["configuration"][PROPERTY] = json!(number.to_string());
        Ok((known < number).then_some(changed))
    };
    change_metadata(samples, "SET TBLPROPERTIES", raise, now_ms).await
}

/// Commits what `change` makes of the metadata in force; `None` says there is nothing to do.
async fn change_metadata(
    table: &Table,
    operation: &'static str,
    change: impl Fn(&Value) -> Result<Option<Value>>,
    now_ms: i64,
) -> Result<()> {
    for _ in 0..ATTEMPTS {
        table.refresh().await?;
        let Some(metadata) = change(&table.metadata().await?)? else { return Ok(()) };
        let commit = Change { operation, metadata: Some(metadata), ..Change::default() };
        match table.commit(&commit, now_ms).await {
            Err(e) if e.kind == ErrorKind::Conflict => {}
            other => return other.map(|_| ()),
        }
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("cannot change table {}: others keep changing it", table.name()),
    ))
}

fn properties(table: &str, number: u32) -> Value {
    let mut properties = json!({
        PROPERTY: number.to_string(),
        // Checkpoints and the clean-up of the log are our own doing, see `Table::checkpoint_if_due`.
        "delta.checkpointInterval": "1000000",
        "delta.logRetentionDuration": "interval 2 days",
        "delta.deletedFileRetentionDuration": "interval 1 days",
    });
    if table == "samples" {
        properties["delta.dataSkippingStatsColumns"] = json!("metric,series_id,timestamp");
    }
    properties
}

/// As the first release left a lake.
#[cfg(test)]
pub async fn apply_first(root: &std::sync::Arc<dyn object_store::ObjectStore>) -> Result<()> {
    apply_all(&Tables::new(root), &MIGRATIONS[..1], 0).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_and_parse() {
        for (at, (number, name, text)) in MIGRATIONS.iter().enumerate() {
            assert_eq!(*number as usize, at + 1, "{name}");
            assert!(name.starts_with(&format!("{number:04}_")), "{name}");
            assert!(!parse(name, text).expect(name).is_empty(), "{name}");
        }
    }

    #[test]
    fn samples_come_last_and_by_day() {
        let steps = parse(MIGRATIONS[0].1, MIGRATIONS[0].2).unwrap();
        let Some(Step::Create { table, schema, partition_by }) = steps.last() else { panic!("{steps:?}") };
        assert_eq!((table.as_str(), partition_by.as_slice()), ("samples", &["day".to_string()][..]));
        assert_eq!(schema["fields"][0], json!({"name": "day", "type": "date", "nullable": false, "metadata": {}}));
    }

    #[test]
    fn what_cannot_be_applied_is_named() {
        for (text, message) in [
            ("DROP TABLE samples", "cannot apply DROP TABLE samples"),
            ("ALTER TABLE samples ADD COLUMN a BIGINT NOT NULL", "an added column cannot be NOT NULL"),
            ("CREATE TABLE samples (a DECIMAL(3, 1))", "has no Delta type here"),
        ] {
            let error = parse("x", text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn forward_only_and_again() {
        let objects = crate::storage::object::open("memory://").unwrap();
        let more = (2, "0002_add_column.sql", "ALTER TABLE samples ADD COLUMN origin STRING");
        let migrations = [MIGRATIONS[0], more];
        let tables = || Tables::new(&objects.store);
        apply_all(&tables(), &MIGRATIONS[..1], 0).await.unwrap();
        apply_all(&tables(), &MIGRATIONS[..1], 0).await.unwrap();
        let (one, other) = (tables(), tables());
        let (a, b) = tokio::join!(apply_all(&one, &migrations, 0), apply_all(&other, &migrations, 0));
        a.unwrap();
        b.unwrap();
        let schema = one.samples.metadata().await.unwrap()["schemaString"].to_string();
        assert_eq!(schema.matches("origin").count(), 1, "{schema}");
        let error = apply_all(&tables(), &MIGRATIONS[..1], 0).await.unwrap_err();
        assert!(error.message.contains("migration 2"), "{error}");
    }

    /// Tables that later migrations bring are missing before them, and at no other time.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_table_may_be_missing_before_its_migration() {
        let objects = crate::storage::object::open("memory://").unwrap();
        let at_first = Tables::new(&objects.store);
        apply_all(&at_first, &MIGRATIONS[..1], 0).await.unwrap();
        assert!(!at_first.alert_history.load().await.unwrap());
        let now = Tables::new(&objects.store);
        apply_all(&now, MIGRATIONS, 0).await.unwrap();
        assert_eq!(applied(&now.samples).await.unwrap() as usize, MIGRATIONS.len());
        let metadata = now.alert_history.metadata().await.unwrap();
        assert_eq!(metadata["partitionColumns"], json!(["day"]));
        // A crash before the number was raised: the table is there already.
        let raced = Tables::new(&objects.store);
        raced.samples.load().await.unwrap();
        let lower = |metadata: &Value| {
            let mut changed = metadata.clone();
            changed["configuration"][PROPERTY] = json!("1");
            Ok(Some(changed))
        };
        change_metadata(&raced.samples, "SET TBLPROPERTIES", lower, 0).await.unwrap();
        apply_all(&Tables::new(&objects.store), MIGRATIONS, 0).await.unwrap();

        let log = object_store::path::Path::from("alert_history/_delta_log/00000000000000000000.json");
        object_store::ObjectStoreExt::delete(objects.store.as_ref(), &log).await.unwrap();
        let error = apply_all(&Tables::new(&objects.store), MIGRATIONS, 0).await.unwrap_err();
        let newest = MIGRATIONS.len();
        assert_eq!(error.message, format!("the lake is at migration {newest} and lacks the table alert_history"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_nodes_start_at_once() {
        let objects = crate::storage::object::open("memory://").unwrap();
        let (one, other) = (Tables::new(&objects.store), Tables::new(&objects.store));
        let (a, b) = tokio::join!(apply(&one, 0), apply(&other, 0));
        a.unwrap();
        b.unwrap();
        assert_eq!(one.samples.metadata().await.unwrap()["id"], other.samples.metadata().await.unwrap()["id"]);
    }
}
