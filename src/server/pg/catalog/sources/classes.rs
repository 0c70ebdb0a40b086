//! Tables and views. A metric is a table: it has columns of its own and takes INSERT, so `\dt`, `pg_tables` and
//! `information_schema.tables` list it as one, as they do system tables; the views of schema `promlake` are views.

use std::sync::Arc;

use datafusion::error::Result;

use super::attributes::columns_of;
use crate::engine::sql::views::VIEWS;
use crate::server::pg::catalog::objects::{OWNER, OWNER_OID, Object, schema_oid};
use crate::server::pg::catalog::rows::{Rows, maybe_texts, oids, same, smalls, texts};
use crate::server::pg::catalog::spec::{INFORMATION_SCHEMA, PG_CATALOG};
use crate::server::pg::catalog::wanted::Wanted;
use crate::server::pg::catalog::world::World;
use crate::server::pg::session::DATABASE;

/// `pg_am`'s `heap`.
const HEAP_OID: u32 = 2;

/// Objects by an id and a name that a reader wants.
async fn objects(world: &World, wanted: &Wanted, oid: &str, name: &str) -> Result<Vec<Object>> {
    let (oids, names) = (wanted.oids(oid), wanted.texts(name));
    Ok(world.wanted(oids.as_deref(), names.as_deref()).await?.1)
}

/// PostgreSQL's own are not `user` tables.
fn is_own(object: &Object) -> bool {
    object.schema == PG_CATALOG || object.schema == INFORMATION_SCHEMA
}

pub async fn pg_class(world: World, wanted: Wanted) -> Result<Rows> {
    let mut objects = objects(&world, &wanted, "oid", "relname").await?;
    if let Some(schemas) = wanted.oids("relnamespace") {
        objects.retain(|o| schemas.contains(&schema_oid(o.schema)));
    }
    // How many columns each has is looked up only where few are asked for: a table is opened for it.
    let few = objects.len() <= 100;
    let mut columns = vec![0i16; objects.len()];
    if few {
        for (count, object) in columns.iter_mut().zip(&objects) {
            *count = columns_of(&world, object).await?.len() as i16;
        }
    }
    Ok(Rows::new(objects.len(), move |name| {
        let all = objects.iter();
        Some(match name {
            "oid" | "relfilenode" => oids(all.map(|o| if name == "oid" || !o.is_view { o.oid } else { 0 })),
            "relname" => texts(all.map(|o| &*o.name)),
            "relnamespace" => oids(all.map(|o| schema_oid(o.schema))),
            "relowner" => oids(all.map(|_| OWNER_OID)),
            "relam" => oids(all.map(|o| if o.is_view { 0 } else { HEAP_OID })),
            "reltuples" => Arc::new(datafusion::arrow::array::Float32Array::from(vec![-1.0; objects.len()])),
            "relpersistence" => same("p", objects.len()),
            "relkind" => texts(all.map(|o| if o.is_view { "v" } else { "r" })),
            "relnatts" => smalls(columns.iter().copied()),
            "relispopulated" => Arc::new(datafusion::arrow::array::BooleanArray::from(vec![true; objects.len()])),
            "relreplident" => texts(all.map(|o| if o.is_view { "n" } else { "d" })),
            _ => return None,
        })
    }))
}

pub async fn pg_tables(world: World, wanted: Wanted) -> Result<Rows> {
    let mut objects = objects(&world, &wanted, "", "tablename").await?;
    objects.retain(|o| !o.is_view);
    Ok(Rows::new(objects.len(), move |name| {
        let all = objects.iter();
        Some(match name {
            "schemaname" => texts(all.map(|o| o.schema)),
            "tablename" => texts(all.map(|o| &*o.name)),
            "tableowner" => same(OWNER, objects.len()),
            "hasindexes" | "hasrules" | "hastriggers" | "rowsecurity" => {
                Arc::new(datafusion::arrow::array::BooleanArray::from(vec![false; objects.len()]))
            }
            _ => return None,
        })
    }))
}

pub async fn pg_views(world: World, wanted: Wanted) -> Result<Rows> {
    let mut objects = objects(&world, &wanted, "", "viewname").await?;
    objects.retain(|o| o.is_view);
    Ok(Rows::new(objects.len(), move |name| {
        let all = objects.iter();
        Some(match name {
            "schemaname" => texts(all.map(|o| o.schema)),
            "viewname" => texts(all.map(|o| &*o.name)),
            "viewowner" => same(OWNER, objects.len()),
            "definition" => maybe_texts(all.map(definition)),
            _ => return None,
        })
    }))
}

/// The SQL of a view of ours.
fn definition(object: &Object) -> Option<&'static str> {
    VIEWS.iter().find(|view| object.schema == "promlake" && view.name == &*object.name).map(|view| view.sql)
}

/// Nothing is counted for one table.
pub async fn pg_stat_tables(world: World, wanted: Wanted) -> Result<Rows> {
    stat_tables(objects(&world, &wanted, "relid", "relname").await?)
}

pub async fn pg_stat_user_tables(world: World, wanted: Wanted) -> Result<Rows> {
    let mut objects = objects(&world, &wanted, "relid", "relname").await?;
    objects.retain(|o| !is_own(o));
    stat_tables(objects)
}

fn stat_tables(mut objects: Vec<Object>) -> Result<Rows> {
    objects.retain(|o| !o.is_view);
    Ok(Rows::new(objects.len(), move |name| {
        let all = objects.iter();
        Some(match name {
            "relid" => oids(all.map(|o| o.oid)),
            "schemaname" => texts(all.map(|o| o.schema)),
            "relname" => texts(all.map(|o| &*o.name)),
            _ => return None,
        })
    }))
}

/// Of `information_schema`, by the name of the table.
async fn by_name(world: &World, wanted: &Wanted) -> Result<Vec<Object>> {
    let mut objects = objects(world, wanted, "", "table_name").await?;
    if let Some(schemas) = wanted.texts("table_schema") {
        objects.retain(|o| schemas.iter().any(|schema| schema == o.schema));
    }
    Ok(objects)
}

pub async fn tables(world: World, wanted: Wanted) -> Result<Rows> {
    let objects = by_name(&world, &wanted).await?;
    let writes = world.session.settings().may_write();
    Ok(Rows::new(objects.len(), move |name| {
        let all = objects.iter();
        Some(match name {
            "table_catalog" => same(DATABASE, objects.len()),
            "table_schema" => texts(all.map(|o| o.schema)),
            "table_name" => texts(all.map(|o| &*o.name)),
            "table_type" => texts(all.map(|o| if o.is_view { "VIEW" } else { "BASE TABLE" })),
            "is_insertable_into" => texts(all.map(|o| if writes && o.schema == "public" { "YES" } else { "NO" })),
            "is_typed" => same("NO", objects.len()),
            _ => return None,
        })
    }))
}

pub async fn views(world: World, wanted: Wanted) -> Result<Rows> {
    let mut objects = by_name(&world, &wanted).await?;
    objects.retain(|o| o.is_view);
    Ok(Rows::new(objects.len(), move |name| {
        let all = objects.iter();
        Some(match name {
            "table_catalog" => same(DATABASE, objects.len()),
            "table_schema" => texts(all.map(|o| o.schema)),
            "table_name" => texts(all.map(|o| &*o.name)),
            "view_definition" => maybe_texts(all.map(definition)),
            "check_option" => same("NONE", objects.len()),
            "is_updatable"
            | "is_insertable_into"
            | "is_trigger_updatable"
            | "is_trigger_deletable"
            | "is_trigger_insertable_into" => same("NO", objects.len()),
            _ => return None,
        })
    }))
}

/// Everybody reads everything, and inserts samples where that is allowed.
pub async fn table_privileges(world: World, wanted: Wanted) -> Result<Rows> {
    let writes = world.session.settings().may_write();
    let mut granted: Vec<(Object, &str)> = vec![];
    for object in by_name(&world, &wanted).await? {
        if writes && object.schema == "public" {
            granted.push((object.clone(), "INSERT"));
        }
        granted.push((object, "SELECT"));
    }
    Ok(Rows::new(granted.len(), move |name| {
        let all = granted.iter();
        Some(match name {
            "grantor" => same(OWNER, granted.len()),
            "grantee" => same("PUBLIC", granted.len()),
            "table_catalog" => same(DATABASE, granted.len()),
            "table_schema" => texts(all.map(|(o, _)| o.schema)),
            "table_name" => texts(all.map(|(o, _)| &*o.name)),
            "privilege_type" => texts(all.map(|(_, privilege)| privilege)),
            "is_grantable" => same("NO", granted.len()),
            "with_hierarchy" => texts(all.map(|(_, privilege)| if *privilege == "SELECT" { "YES" } else { "NO" })),
            _ => return None,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_of_ours_have_definitions() {
        let view = |schema, name: &str| Object { oid: 1, schema, name: Arc::from(name), is_view: true };
        assert!(definition(&view("promlake", VIEWS[0].name)).is_some_and(|sql| sql.contains("SELECT")));
        assert_eq!(definition(&view(PG_CATALOG, "pg_views")), None);
    }
}
