-- Metabase, dbt: SELECT ... FROM pg_views
SELECT n.nspname AS schemaname, c.relname AS viewname, 'promlake' AS viewowner, CAST(NULL AS TEXT) AS definition
FROM promlake.pg_catalog.pg_class c JOIN promlake.pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'v'
