//! What is in each relation: a row of the table here, and a function or the rows themselves. Relations that are not in it are
//! empty: there is nothing of the kind here.

/// `pg_stat_activity` and other views of sessions.
mod activity;
/// `pg_attribute`, `information_schema.columns`.
pub mod attributes;
/// `pg_class` and the views of it.
mod classes;
/// `pg_description`.
mod comments;
/// Databases, schemas, roles.
mod places;
/// `pg_proc` and the views of it.
mod routines;
/// `pg_settings`.
mod settings;
/// `pg_type`.
mod types;

use std::future::Future;

use datafusion::error::Result;
use futures::future::BoxFuture;

use super::rows::Rows;
use super::spec::{INFORMATION_SCHEMA, PG_CATALOG};
use super::wanted::Wanted;
use super::world::World;

type Made = BoxFuture<'static, Result<Rows>>;

/// Where rows come from.
enum Source {
    /// A line of columns, and their words; `~` is NULL. What is not said is zero or NULL.
    Fixed(&'static str, &'static [&'static str]),
    Made(fn(World) -> Result<Rows>),
    /// Only those that are wanted.
    Looked(fn(World, Wanted) -> Made),
}

use Source::{Fixed, Looked, Made as MadeAtOnce};

/// Schema, name, rows.
const SOURCES: &[(&str, &str, Source)] = &[
    (PG_CATALOG, "pg_aggregate", MadeAtOnce(routines::pg_aggregate)),
    (PG_CATALOG, "pg_am", Fixed("oid amname amtype", &["2 heap t"])),
    (PG_CATALOG, "pg_attribute", Looked(|w, wanted| made(attributes::pg_attribute(w, wanted)))),
    (PG_CATALOG, "pg_auth_members", MadeAtOnce(places::pg_auth_members)),
    (PG_CATALOG, "pg_authid", MadeAtOnce(places::pg_roles)),
    (PG_CATALOG, "pg_class", Looked(|w, wanted| made(classes::pg_class(w, wanted)))),
    (
        PG_CATALOG,
        "pg_collation",
        Fixed(
            "oid collname collnamespace collowner collprovider collisdeterministic collencoding collcollate collctype",
            &["100 default 11 10 d t -1 ~ ~", "950 C 11 10 c t -1 C C", "951 POSIX 11 10 c t -1 POSIX POSIX"],
        ),
    ),
    (PG_CATALOG, "pg_database", MadeAtOnce(places::pg_database)),
    (PG_CATALOG, "pg_description", Looked(|w, wanted| made(comments::pg_description(w, wanted)))),
    (
        PG_CATALOG,
        "pg_language",
        Fixed("oid lanname lanowner lanispl lanpltrusted", &["12 internal 10 f f", "13 c 10 f f", "14 sql 10 f t"]),
    ),
    (PG_CATALOG, "pg_namespace", MadeAtOnce(places::pg_namespace)),
    (PG_CATALOG, "pg_proc", MadeAtOnce(routines::pg_proc)),
    (PG_CATALOG, "pg_roles", MadeAtOnce(places::pg_roles)),
    (PG_CATALOG, "pg_settings", MadeAtOnce(settings::pg_settings)),
    (PG_CATALOG, "pg_shadow", MadeAtOnce(places::pg_user)),
    (PG_CATALOG, "pg_stat_activity", MadeAtOnce(activity::pg_stat_activity)),
    (PG_CATALOG, "pg_stat_all_tables", Looked(|w, wanted| made(classes::pg_stat_tables(w, wanted)))),
    (PG_CATALOG, "pg_stat_database", MadeAtOnce(activity::pg_stat_database)),
    (PG_CATALOG, "pg_stat_gssapi", MadeAtOnce(activity::pg_stat_gssapi)),
    (PG_CATALOG, "pg_stat_ssl", MadeAtOnce(activity::pg_stat_ssl)),
    (PG_CATALOG, "pg_stat_user_tables", Looked(|w, wanted| made(classes::pg_stat_user_tables(w, wanted)))),
    (PG_CATALOG, "pg_tables", Looked(|w, wanted| made(classes::pg_tables(w, wanted)))),
    (PG_CATALOG, "pg_tablespace", Fixed("oid spcname spcowner", &["1663 pg_default 10", "1664 pg_global 10"])),
    (PG_CATALOG, "pg_type", MadeAtOnce(types::pg_type)),
    (PG_CATALOG, "pg_user", MadeAtOnce(places::pg_user)),
    (PG_CATALOG, "pg_views", Looked(|w, wanted| made(classes::pg_views(w, wanted)))),
    (INFORMATION_SCHEMA, "applicable_roles", MadeAtOnce(places::applicable_roles)),
    (INFORMATION_SCHEMA, "character_sets", MadeAtOnce(places::character_sets)),
    (INFORMATION_SCHEMA, "column_privileges", Looked(|w, wanted| made(attributes::column_privileges(w, wanted)))),
    (INFORMATION_SCHEMA, "columns", Looked(|w, wanted| made(attributes::columns(w, wanted)))),
    (INFORMATION_SCHEMA, "enabled_roles", MadeAtOnce(places::enabled_roles)),
    (INFORMATION_SCHEMA, "information_schema_catalog_name", MadeAtOnce(places::catalog_name)),
    (INFORMATION_SCHEMA, "role_column_grants", Looked(|w, wanted| made(attributes::column_privileges(w, wanted)))),
    (INFORMATION_SCHEMA, "role_table_grants", Looked(|w, wanted| made(classes::table_privileges(w, wanted)))),
    (INFORMATION_SCHEMA, "routines", MadeAtOnce(routines::routines)),
    (INFORMATION_SCHEMA, "schemata", MadeAtOnce(places::schemata)),
    (INFORMATION_SCHEMA, "table_privileges", Looked(|w, wanted| made(classes::table_privileges(w, wanted)))),
    (INFORMATION_SCHEMA, "tables", Looked(|w, wanted| made(classes::tables(w, wanted)))),
    (INFORMATION_SCHEMA, "views", Looked(|w, wanted| made(classes::views(w, wanted)))),
];

fn made(rows: impl Future<Output = Result<Rows>> + Send + 'static) -> Made {
    Box::pin(rows)
}

fn source(schema: &str, name: &str) -> Option<&'static Source> {
    SOURCES.iter().find(|(s, n, _)| *s == schema && *n == name).map(|(.., source)| source)
}

/// Whether there can be no rows of a relation of `pg_catalog`.
pub fn is_always_empty(name: &str) -> bool {
    super::spec::is_relation(name) && source(PG_CATALOG, name).is_none()
}

/// The rows of a relation, or at least those wanted.
pub async fn rows(world: World, schema: &str, name: &str, wanted: Wanted) -> Result<Rows> {
    match source(schema, name) {
        None => Ok(Rows::none()),
        Some(Fixed(names, rows)) => Ok(Rows::fixed(names, rows)),
        Some(MadeAtOnce(make)) => make(world),
        Some(Looked(look)) => look(world, wanted).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::pg::catalog::spec;

    #[test]
    fn sources_are_of_relations_and_in_order() {
        for (schema, name, source) in SOURCES {
            let relation = spec::relation(schema, name).unwrap_or_else(|| panic!("no relation {name}"));
            if let Fixed(names, rows) = source {
                let names: Vec<&str> = names.split(' ').collect();
                assert!(names.iter().all(|n| relation.columns.iter().any(|c| c.name == *n)), "{name}: {names:?}");
                assert!(rows.iter().all(|row| row.split(' ').count() == names.len()), "{name}");
                let batch =
                    Rows::fixed(names.join(" ").leak(), rows).batch(relation, &relation.arrow_schema(), None);
                assert_eq!(batch.unwrap().num_rows(), rows.len(), "{name}");
            }
        }
        let keys: Vec<_> = SOURCES.iter().map(|(schema, name, _)| (*schema != PG_CATALOG, *name)).collect();
        assert!(keys.is_sorted(), "the table of sources is not sorted");
        assert!(is_always_empty("pg_trigger") && !is_always_empty("pg_class") && !is_always_empty("up"));
    }
}
