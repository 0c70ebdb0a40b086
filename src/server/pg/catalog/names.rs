//! What relations there are in `pg_catalog`.

/// Views over nothing or over constants, each with the client query that needs it.
pub const SHIMS: &[(&str, &str)] = &[
    ("pg_am", include_str!("../../../../sql/pg_catalog/pg_am.sql")),
    ("pg_attrdef", include_str!("../../../../sql/pg_catalog/pg_attrdef.sql")),
    ("pg_collation", include_str!("../../../../sql/pg_catalog/pg_collation.sql")),
    ("pg_constraint", include_str!("../../../../sql/pg_catalog/pg_constraint.sql")),
    ("pg_database", include_str!("../../../../sql/pg_catalog/pg_database.sql")),
    ("pg_description", include_str!("../../../../sql/pg_catalog/pg_description.sql")),
    ("pg_extension", include_str!("../../../../sql/pg_catalog/pg_extension.sql")),
    ("pg_foreign_server", include_str!("../../../../sql/pg_catalog/pg_foreign_server.sql")),
    ("pg_foreign_table", include_str!("../../../../sql/pg_catalog/pg_foreign_table.sql")),
    ("pg_index", include_str!("../../../../sql/pg_catalog/pg_index.sql")),
    ("pg_inherits", include_str!("../../../../sql/pg_catalog/pg_inherits.sql")),
    ("pg_policy", include_str!("../../../../sql/pg_catalog/pg_policy.sql")),
    ("pg_publication", include_str!("../../../../sql/pg_catalog/pg_publication.sql")),
    ("pg_publication_namespace", include_str!("../../../../sql/pg_catalog/pg_publication_namespace.sql")),
    ("pg_publication_rel", include_str!("../../../../sql/pg_catalog/pg_publication_rel.sql")),
    ("pg_rewrite", include_str!("../../../../sql/pg_catalog/pg_rewrite.sql")),
    ("pg_roles", include_str!("../../../../sql/pg_catalog/pg_roles.sql")),
    ("pg_statistic_ext", include_str!("../../../../sql/pg_catalog/pg_statistic_ext.sql")),
    ("pg_tables", include_str!("../../../../sql/pg_catalog/pg_tables.sql")),
    ("pg_trigger", include_str!("../../../../sql/pg_catalog/pg_trigger.sql")),
    ("pg_views", include_str!("../../../../sql/pg_catalog/pg_views.sql")),
];

/// Names of every relation, for resolving them without their schema as Postgres does.
pub fn is_relation(name: &str) -> bool {
    super::relations::NAMES.contains(&name)
        || name == super::settings::NAME
        || SHIMS.iter().any(|(shim, _)| *shim == name)
}
