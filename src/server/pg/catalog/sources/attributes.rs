//! Columns of tables and views.

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;

use crate::server::pg::catalog::objects::{OWNER, Object};
use crate::server::pg::catalog::rows::{Rows, booleans, maybe_texts, numbers, oids, same, smalls, texts};
use crate::server::pg::catalog::spec::{self, Type};
use crate::server::pg::catalog::wanted::Wanted;
use crate::server::pg::catalog::world::World;
use crate::server::pg::session::DATABASE;
use crate::server::pg::types;

/// A column of a table or view.
#[derive(Clone)]
pub struct Attribute {
    pub name: String,
    /// From 1.
    pub number: i16,
    pub type_: &'static Type,
    pub not_null: bool,
}

/// The columns of a relation, none if it is gone.
pub async fn columns_of(world: &World, object: &Object) -> Result<Vec<Attribute>> {
    if let Some(relation) = spec::relation(object.schema, &object.name) {
        let column = |(at, column): (usize, &spec::Column)| Attribute {
            name: column.name.to_string(),
            number: at as i16 + 1,
            type_: spec::type_named(column.type_name).unwrap_or(text_type()),
            not_null: !column.nullable,
        };
        return Ok(relation.columns.iter().enumerate().map(column).collect());
    }
    let Some(schema) = world.catalog()?.schema(object.schema) else { return Ok(vec![]) };
    let table = match schema.table(&object.name).await {
        // A file that is missing hides its columns, and no others.
        Err(_) if object.schema == "external" => None,
        table => table?,
    };
    let Some(table) = table else { return Ok(vec![]) };
    let schema = table.schema();
    // Numbers have 16 bits with a sign; a metric has not so many labels.
    let fields = schema.fields().iter().take(i16::MAX as usize).enumerate();
    let column = |(at, field): (usize, &std::sync::Arc<datafusion::arrow::datatypes::Field>)| Attribute {
        name: field.name().clone(),
        number: at as i16 + 1,
        type_: spec::type_of(types::pg_type(field.data_type()).oid()).unwrap_or(text_type()),
        not_null: !field.is_nullable(),
    };
    Ok(fields.map(column).collect())
}

fn text_type() -> &'static Type {
    spec::type_named("text").expect("the table of types has text")
}

/// Columns with their tables.
async fn all(world: &World, objects: Vec<Object>) -> Result<Vec<(Object, Attribute)>> {
    let mut found = vec![];
    for object in objects {
        let columns = columns_of(world, &object).await?;
        found.extend(columns.into_iter().map(|column| (object.clone(), column)));
    }
    Ok(found)
}

pub async fn pg_attribute(world: World, wanted: Wanted) -> Result<Rows> {
    let objects = world.wanted(wanted.oids("attrelid").as_deref(), None).await?.1;
    let found = all(&world, objects).await?;
    Ok(Rows::new(found.len(), move |name| {
        let all = found.iter();
        Some(match name {
            "attrelid" => oids(all.map(|(o, _)| o.oid)),
            "attname" => texts(all.map(|(_, a)| &a.name)),
            "atttypid" => oids(all.map(|(_, a)| a.type_.oid)),
            "attstattarget" | "attcacheoff" | "atttypmod" => numbers(all.map(|_| -1)),
            "attlen" => smalls(all.map(|(_, a)| a.type_.len)),
            "attnum" => smalls(all.map(|(_, a)| a.number)),
            "attndims" => numbers(all.map(|(_, a)| i32::from(a.type_.is_array()))),
            "attbyval" => booleans(all.map(|(_, a)| a.type_.by_value)),
            "attalign" => texts(all.map(|(_, a)| a.type_.align)),
            "attstorage" => texts(all.map(|(_, a)| a.type_.storage)),
            "attnotnull" => booleans(all.map(|(_, a)| a.not_null)),
            "attislocal" => booleans(all.map(|_| true)),
            "attcollation" => oids(all.map(|(_, a)| a.type_.collation)),
            _ => return None,
        })
    }))
}

async fn by_name(world: &World, wanted: &Wanted) -> Result<Vec<(Object, Attribute)>> {
    let mut objects = world.wanted(None, wanted.texts("table_name").as_deref()).await?.1;
    if let Some(schemas) = wanted.texts("table_schema") {
        objects.retain(|o| schemas.iter().any(|schema| schema == o.schema));
    }
    all(world, objects).await
}

pub async fn columns(world: World, wanted: Wanted) -> Result<Rows> {
    let found = by_name(&world, &wanted).await?;
    Ok(Rows::new(found.len(), move |name| {
        let all = found.iter();
        let of_type = |of: fn(&Type) -> Option<i32>| -> ArrayRef {
            std::sync::Arc::new(
                found.iter().map(|(_, a)| of(a.type_)).collect::<datafusion::arrow::array::Int32Array>(),
            )
        };
        Some(match name {
            "table_catalog" | "udt_catalog" => same(DATABASE, found.len()),
            "table_schema" => texts(all.map(|(o, _)| o.schema)),
            "table_name" => texts(all.map(|(o, _)| &*o.name)),
            "column_name" => texts(all.map(|(_, a)| &a.name)),
            "ordinal_position" => numbers(all.map(|(_, a)| i32::from(a.number))),
            "is_nullable" => texts(all.map(|(_, a)| if a.not_null { "NO" } else { "YES" })),
            "data_type" => texts(all.map(|(_, a)| data_type(a.type_))),
            "character_octet_length" => of_type(octets),
            "numeric_precision" => of_type(numeric_precision),
            "numeric_precision_radix" => of_type(numeric_radix),
            "numeric_scale" => of_type(|t| matches!(t.name, "int2" | "int4" | "int8").then_some(0)),
            "datetime_precision" => of_type(datetime_precision),
            "udt_schema" => same(spec::PG_CATALOG, found.len()),
            "udt_name" => texts(all.map(|(_, a)| a.type_.name)),
            "dtd_identifier" => texts(all.map(|(_, a)| a.number.to_string())),
            "is_self_referencing" | "is_identity" | "identity_cycle" => same("NO", found.len()),
            "is_generated" => same("NEVER", found.len()),
            "is_updatable" => texts(all.map(|(o, _)| if o.is_view { "NO" } else { "YES" })),
            _ => return None,
        })
    }))
}

fn data_type(t: &Type) -> String {
    if t.is_array() { "ARRAY".into() } else { spec::format_type(t.oid, None) }
}

/// Of texts, a gigabyte.
fn octets(t: &Type) -> Option<i32> {
    matches!(t.name, "text" | "varchar" | "bpchar").then_some(1 << 30)
}

/// Bits of a whole number or a float.
pub fn numeric_precision(t: &Type) -> Option<i32> {
    match t.name {
        "int2" => Some(16),
        "int4" => Some(32),
        "int8" => Some(64),
        "float4" => Some(24),
        "float8" => Some(53),
        _ => None,
    }
}

fn numeric_radix(t: &Type) -> Option<i32> {
    match t.name {
        "numeric" => Some(10),
        _ => numeric_precision(t).map(|_| 2),
    }
}

/// Digits of a second.
pub fn datetime_precision(t: &Type) -> Option<i32> {
    match t.name {
        "date" => Some(0),
        "time" | "timetz" | "timestamp" | "timestamptz" | "interval" => Some(6),
        _ => None,
    }
}

/// Everybody reads everything.
pub async fn column_privileges(world: World, wanted: Wanted) -> Result<Rows> {
    let found = by_name(&world, &wanted).await?;
    Ok(Rows::new(found.len(), move |name| {
        let all = found.iter();
        Some(match name {
            "grantor" => same(OWNER, found.len()),
            "grantee" => same("PUBLIC", found.len()),
            "table_catalog" => same(DATABASE, found.len()),
            "table_schema" => texts(all.map(|(o, _)| o.schema)),
            "table_name" => texts(all.map(|(o, _)| &*o.name)),
            "column_name" => maybe_texts(all.map(|(_, a)| Some(&a.name))),
            "privilege_type" => same("SELECT", found.len()),
            "is_grantable" => same("NO", found.len()),
            _ => return None,
        })
    }))
}
