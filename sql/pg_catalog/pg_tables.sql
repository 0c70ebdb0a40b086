-- Metabase, dbt: SELECT ... FROM pg_tables
SELECT n.nspname AS schemaname, c.relname AS tablename, 'promlake' AS tableowner, CAST(NULL AS TEXT) AS tablespace,
       c.relhasindex AS hasindexes, c.relhasrules AS hasrules, c.relhastriggers AS hastriggers, c.relrowsecurity AS rowsecurity
FROM promlake.pg_catalog.pg_class c JOIN promlake.pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r'
