//! The live relations. Object ids are hashes of names, so they are the same after a restart and on every
//! replica; the rare clash is probed in name order.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::*;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{CatalogProvider, Session, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;
use pgwire::api::Type;

use crate::server::pg::types;

pub const NAMES: &[&str] = &["pg_attribute", "pg_class", "pg_namespace", "pg_type"];

/// Object ids Postgres fixes; clients have them built in.
const PG_CATALOG_OID: u32 = 11;
const PUBLIC_OID: u32 = 2200;
const INFORMATION_SCHEMA_OID: u32 = 13_000;
/// Ids below are Postgres' own.
const FIRST_OID: u32 = 16_384;
/// The only owner: `pg_roles` lists it.
pub const OWNER_OID: u32 = 10;
/// `pg_am`'s `heap`.
const HEAP_OID: u32 = 2;

/// A live relation by name.
pub fn table(name: &str, catalog: &Arc<dyn CatalogProvider>) -> Option<Arc<dyn TableProvider>> {
    let relation = match name {
        "pg_namespace" => Relation::Namespace,
        "pg_class" => Relation::Class,
        "pg_attribute" => Relation::Attribute,
        "pg_type" => Relation::Type,
        _ => return None,
    };
    Some(Arc::new(LiveTable { relation, schema: relation.schema(), catalog: catalog.clone() }))
}

/// The id of a schema.
pub fn schema_oid(name: &str) -> u32 {
    match name {
        "pg_catalog" => PG_CATALOG_OID,
        "public" => PUBLIC_OID,
        "information_schema" => INFORMATION_SCHEMA_OID,
        _ => hashed(name),
    }
}

fn hashed(name: &str) -> u32 {
    let space = u64::from(i32::MAX as u32 - FIRST_OID);
    FIRST_OID + (xxhash_rust::xxh3::xxh3_64(name.as_bytes()) % space) as u32
}

/// Every table by id: `(schema, table)`.
pub fn tables(catalog: &Arc<dyn CatalogProvider>) -> BTreeMap<u32, (String, String)> {
    let mut names = Vec::new();
    for schema in catalog.schema_names() {
        if let Some(provider) = catalog.schema(&schema) {
            names.extend(provider.table_names().into_iter().map(|t| (schema.clone(), t)));
        }
    }
    names.sort();
    let mut taken = HashSet::new();
    names
        .into_iter()
        .map(|(schema, table)| {
            let mut oid = hashed(&format!("{schema}.{table}"));
            while !taken.insert(oid) {
                oid = if oid == i32::MAX as u32 { FIRST_OID } else { oid + 1 };
            }
            (oid, (schema, table))
        })
        .collect()
}

#[derive(Clone, Copy, Debug)]
enum Relation {
    Namespace,
    Class,
    Attribute,
    Type,
}

fn columns(fields: &[(&str, DataType)]) -> SchemaRef {
    let field = |(name, data_type): &(&str, DataType)| Field::new(*name, data_type.clone(), true);
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

impl Relation {
    fn schema(self) -> SchemaRef {
        use DataType::{Boolean as B, Float32 as F4, Int16 as I2, Int32 as I4, UInt32 as Oid, Utf8 as T};
        match self {
            Relation::Namespace => columns(&[("oid", Oid), ("nspname", T), ("nspowner", Oid), ("nspacl", T)]),
            Relation::Class => columns(&[
                ("oid", Oid),
                ("relname", T),
                ("relnamespace", Oid),
                ("reltype", Oid),
                ("reloftype", Oid),
                ("relowner", Oid),
                ("relam", Oid),
                ("relfilenode", Oid),
                ("reltablespace", Oid),
                ("relpages", I4),
                ("reltuples", F4),
                ("relallvisible", I4),
                ("reltoastrelid", Oid),
                ("relhasindex", B),
                ("relisshared", B),
                ("relpersistence", T),
                ("relkind", T),
                ("relchecks", I2),
                ("relhasrules", B),
                ("relhastriggers", B),
                ("relhassubclass", B),
                ("relrowsecurity", B),
                ("relforcerowsecurity", B),
                ("relispopulated", B),
                ("relreplident", T),
                ("relispartition", B),
                ("relacl", T),
                ("reloptions", T),
                ("relpartbound", T),
            ]),
            Relation::Attribute => columns(&[
                ("attrelid", Oid),
                ("attname", T),
                ("atttypid", Oid),
                ("attlen", I2),
                ("attnum", I2),
                ("atttypmod", I4),
                ("attndims", I2),
                ("attnotnull", B),
                ("atthasdef", B),
                ("attidentity", T),
                ("attgenerated", T),
                ("attisdropped", B),
                ("attislocal", B),
                ("attinhcount", I2),
                ("attcollation", Oid),
                ("attstorage", T),
                ("attcompression", T),
                ("attstattarget", I2),
                ("attacl", T),
                ("attoptions", T),
                ("attfdwoptions", T),
                ("atthasmissing", B),
            ]),
            Relation::Type => columns(&[
                ("oid", Oid),
                ("typname", T),
                ("typnamespace", Oid),
                ("typowner", Oid),
                ("typlen", I2),
                ("typtype", T),
                ("typcategory", T),
                ("typisdefined", B),
                ("typdelim", T),
                ("typrelid", Oid),
                ("typelem", Oid),
                ("typarray", Oid),
                ("typnotnull", B),
                ("typbasetype", Oid),
                ("typtypmod", I4),
                ("typcollation", Oid),
                ("typinput", T),
                ("typreceive", T),
            ]),
        }
    }
}

/// Computed whenever it is scanned.
struct LiveTable {
    relation: Relation,
    schema: SchemaRef,
    catalog: Arc<dyn CatalogProvider>,
}

impl fmt::Debug for LiveTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LiveTable({:?})", self.relation)
    }
}

#[async_trait]
impl TableProvider for LiveTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters are only hints (which table's columns to open); DataFusion applies them again.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut rows = Rows::new(self.schema.clone());
        match self.relation {
            Relation::Namespace => namespaces(&mut rows, &self.catalog),
            Relation::Class => classes(&mut rows, &self.catalog),
            Relation::Attribute => attributes(&mut rows, &self.catalog, wanted_oid(filters)).await?,
            Relation::Type => pg_types(&mut rows),
        }
        MemTable::try_new(self.schema.clone(), vec![vec![rows.finish()?]])?
            .scan(state, projection, &[], limit)
            .await
    }
}

/// The table a filter `attrelid = …` names.
fn wanted_oid(filters: &[Expr]) -> Option<u32> {
    filters.iter().find_map(|filter| match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (&**left, &**right) {
            (Expr::Column(c), value) | (value, Expr::Column(c)) if c.name == "attrelid" => oid_value(value),
            (Expr::Cast(cast), value) if matches!(&*cast.expr, Expr::Column(c) if c.name == "attrelid") => {
                oid_value(value)
            }
            _ => None,
        },
        _ => None,
    })
}

fn oid_value(e: &Expr) -> Option<u32> {
    let Expr::Literal(value, _) = e else { return None };
    match value.cast_to(&DataType::UInt32).ok()? {
        ScalarValue::UInt32(oid) => oid,
        _ => None,
    }
}

/// Rows of loosely typed values under a schema.
struct Rows {
    schema: SchemaRef,
    values: Vec<Vec<ScalarValue>>,
}

fn t(text: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(text.to_string()))
}

fn oid(value: u32) -> ScalarValue {
    ScalarValue::UInt32(Some(value))
}

fn i2(value: i16) -> ScalarValue {
    ScalarValue::Int16(Some(value))
}

fn i4(value: i32) -> ScalarValue {
    ScalarValue::Int32(Some(value))
}

fn b(value: bool) -> ScalarValue {
    ScalarValue::Boolean(Some(value))
}

const NULL_TEXT: ScalarValue = ScalarValue::Utf8(None);

impl Rows {
    fn new(schema: SchemaRef) -> Self {
        let values = vec![Vec::new(); schema.fields().len()];
        Self { schema, values }
    }

    fn push<const N: usize>(&mut self, row: [ScalarValue; N]) {
        debug_assert_eq!(N, self.values.len());
        for (column, value) in self.values.iter_mut().zip(row) {
            column.push(value);
        }
    }

    fn finish(self) -> Result<RecordBatch> {
        let build = |(values, field): (Vec<ScalarValue>, &Arc<Field>)| {
            if values.is_empty() {
                Ok(new_empty_array(field.data_type()))
            } else {
                ScalarValue::iter_to_array(values)
            }
        };
        let arrays: Vec<ArrayRef> =
            self.values.into_iter().zip(self.schema.fields()).map(build).collect::<Result<_>>()?;
        Ok(RecordBatch::try_new(self.schema, arrays)?)
    }
}

fn namespaces(rows: &mut Rows, catalog: &Arc<dyn CatalogProvider>) {
    let mut names = catalog.schema_names();
    names.push("information_schema".into());
    names.sort();
    names.dedup();
    for name in names {
        rows.push([oid(schema_oid(&name)), t(&name), oid(OWNER_OID), NULL_TEXT]);
    }
}

fn classes(rows: &mut Rows, catalog: &Arc<dyn CatalogProvider>) {
    for (id, (schema, table)) in tables(catalog) {
        // A metric is a read-only relation over the samples, which is what Postgres calls a view; clients then do not
        // ask for the keys, policies and publications of a table.
        let kind = if schema == "pg_catalog" { "r" } else { "v" };
        let access_method = if kind == "r" { HEAP_OID } else { 0 };
        rows.push([
            oid(id),
            t(&table),
            oid(schema_oid(&schema)),
            oid(0),
            oid(0),
            oid(OWNER_OID),
            oid(access_method),
            oid(id),
            oid(0),
            i4(0),
            ScalarValue::Float32(Some(-1.0)),
            i4(0),
            oid(0),
            b(false),
            b(false),
            t("p"),
            t(kind),
            i2(0),
            b(false),
            b(false),
            b(false),
            b(false),
            b(false),
            b(true),
            t("d"),
            b(false),
            NULL_TEXT,
            NULL_TEXT,
            NULL_TEXT,
        ]);
    }
}

async fn attributes(rows: &mut Rows, catalog: &Arc<dyn CatalogProvider>, only: Option<u32>) -> Result<()> {
    for (id, (schema, table)) in tables(catalog) {
        if only.is_some_and(|wanted| wanted != id) {
            continue;
        }
        let Some(provider) = catalog.schema(&schema) else { continue };
        let Some(table) = provider.table(&table).await? else { continue };
        for (i, field) in table.schema().fields().iter().enumerate() {
            let pg = types::pg_type(field.data_type());
            let storage = if types::type_size(&pg) < 0 { "x" } else { "p" };
            let collation = if is_text(&pg) { 100 } else { 0 };
            rows.push([
                oid(id),
                t(field.name()),
                oid(pg.oid()),
                i2(types::type_size(&pg)),
                i2(i as i16 + 1),
                i4(-1),
                i2(0),
                b(!field.is_nullable()),
                b(false),
                t(""),
                t(""),
                b(false),
                b(true),
                i2(0),
                oid(collation),
                t(storage),
                t(""),
                i2(-1),
                NULL_TEXT,
                NULL_TEXT,
                NULL_TEXT,
                b(false),
            ]);
        }
    }
    Ok(())
}

fn is_text(pg: &Type) -> bool {
    matches!(*pg, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME)
}

fn pg_types(rows: &mut Rows) {
    // (type, category, its array type)
    const TYPES: &[(Type, &str, Option<Type>)] = &[
        (Type::BOOL, "B", Some(Type::BOOL_ARRAY)),
        (Type::BYTEA, "U", Some(Type::BYTEA_ARRAY)),
        (Type::CHAR, "Z", Some(Type::CHAR_ARRAY)),
        (Type::NAME, "S", Some(Type::NAME_ARRAY)),
        (Type::INT8, "N", Some(Type::INT8_ARRAY)),
        (Type::INT2, "N", Some(Type::INT2_ARRAY)),
        (Type::INT4, "N", Some(Type::INT4_ARRAY)),
        (Type::TEXT, "S", Some(Type::TEXT_ARRAY)),
        (Type::OID, "N", Some(Type::OID_ARRAY)),
        (Type::JSON, "U", Some(Type::JSON_ARRAY)),
        (Type::FLOAT4, "N", Some(Type::FLOAT4_ARRAY)),
        (Type::FLOAT8, "N", Some(Type::FLOAT8_ARRAY)),
        (Type::BPCHAR, "S", Some(Type::BPCHAR_ARRAY)),
        (Type::VARCHAR, "S", Some(Type::VARCHAR_ARRAY)),
        (Type::DATE, "D", Some(Type::DATE_ARRAY)),
        (Type::TIME, "D", Some(Type::TIME_ARRAY)),
        (Type::TIMESTAMP, "D", Some(Type::TIMESTAMP_ARRAY)),
        (Type::TIMESTAMPTZ, "D", Some(Type::TIMESTAMPTZ_ARRAY)),
        (Type::INTERVAL, "T", Some(Type::INTERVAL_ARRAY)),
        (Type::NUMERIC, "N", Some(Type::NUMERIC_ARRAY)),
        (Type::UUID, "U", Some(Type::UUID_ARRAY)),
        (Type::JSONB, "U", Some(Type::JSONB_ARRAY)),
        (Type::UNKNOWN, "X", None),
    ];
    for (pg, category, array) in TYPES {
        let array_oid = array.as_ref().map_or(0, Type::oid);
        rows.push(type_row(pg, category, 0, array_oid));
        if let Some(array) = array {
            rows.push(type_row(array, "A", pg.oid(), 0));
        }
    }
}

fn type_row(pg: &Type, category: &str, element: u32, array: u32) -> [ScalarValue; 18] {
    let (input, receive) = if element == 0 {
        (format!("{}in", pg.name()), format!("{}recv", pg.name()))
    } else {
        ("array_in".into(), "array_recv".into())
    };
    let collation = if is_text(pg) { 100 } else { 0 };
    let kind = if *pg == Type::UNKNOWN { "p" } else { "b" };
    [
        oid(pg.oid()),
        t(pg.name()),
        oid(PG_CATALOG_OID),
        oid(OWNER_OID),
        i2(types::type_size(pg)),
        t(kind),
        t(category),
        b(true),
        t(","),
        oid(0),
        oid(element),
        oid(array),
        b(false),
        oid(0),
        i4(-1),
        oid(collation),
        t(&input),
        t(&receive),
    ]
}
