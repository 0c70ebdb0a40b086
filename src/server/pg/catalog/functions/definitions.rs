//! What things are defined as, what is said about them, and how large they are.

use datafusion::error::Result;
use datafusion::scalar::ScalarValue;

use super::body::{Function, maybe_text, no_text, number, object_id, row, string};
use crate::engine::sql::views::VIEWS;
use crate::server::pg::catalog::procs::Proc;
use crate::server::pg::catalog::sources::attributes;
use crate::server::pg::catalog::spec;
use crate::server::pg::catalog::world::World;
use crate::server::pg::names;

pub const FUNCTIONS: &[Function] = &[
    // There are no defaults, keys, indexes, rules, triggers and partitions.
    row("pg_get_expr", "pg_node_tree, oid, bool", "text", no_text),
    row("pg_get_constraintdef", "oid, bool", "text", no_text),
    row("pg_get_indexdef", "oid, int4, bool", "text", no_text),
    row("pg_get_ruledef", "oid, bool", "text", no_text),
    row("pg_get_triggerdef", "oid, bool", "text", no_text),
    row("pg_get_partkeydef", "oid", "text", no_text),
    row("pg_get_partition_constraintdef", "oid", "text", no_text),
    row("pg_get_statisticsobjdef", "oid", "text", no_text),
    row("pg_get_statisticsobjdef_columns", "oid", "text", no_text),
    row("pg_get_statisticsobjdef_expressions", "oid", "_text", |_, _| {
        ScalarValue::try_from(&spec::arrow_type("_text"))
    }),
    row("pg_get_serial_sequence", "text, text", "text", no_text),
    row("pg_relation_is_publishable", "regclass", "bool", |_, _| super::body::boolean(false)),
    row("pg_get_viewdef", "oid, bool", "text", view),
    row("pg_get_functiondef", "oid", "text", |w, a| function(w, a, definition)),
    row("pg_get_function_arguments", "oid", "text", |w, a| function(w, a, Proc::arguments_text)),
    row("pg_get_function_identity_arguments", "oid", "text", |w, a| function(w, a, Proc::arguments_text)),
    row("pg_get_function_result", "oid", "text", |w, a| function(w, a, Proc::result_text)),
    row("pg_get_function_sqlbody", "oid", "text", no_text),
    row("obj_description", "oid, name", "text", comment),
    row("shobj_description", "oid, name", "text", no_text),
    row("col_description", "oid, int4", "text", column_comment),
    // Samples of many metrics share files, so there is no size of one.
    row("pg_relation_size", "regclass, text", "int8", |_, _| Ok(ScalarValue::Int64(None))),
    row("pg_total_relation_size", "regclass", "int8", |_, _| Ok(ScalarValue::Int64(None))),
    row("pg_table_size", "regclass", "int8", |_, _| Ok(ScalarValue::Int64(None))),
    row("pg_indexes_size", "regclass", "int8", |_, _| Ok(ScalarValue::Int64(None))),
    row("pg_tablespace_size", "oid", "int8", |w, _| size(w)),
    row("pg_database_size", "name", "int8", |w, _| size(w)),
    row("pg_size_pretty", "int8", "text", |_, a| maybe_text(number(a, 0).map(pretty))),
    row("_pg_numeric_precision", "oid, int4", "int4", |_, a| precision(a, attributes::numeric_precision)),
    row("_pg_datetime_precision", "oid, int4", "int4", |_, a| precision(a, attributes::datetime_precision)),
    row("_pg_char_max_length", "oid, int4", "int4", |_, _| Ok(ScalarValue::Int32(None))),
    row("pg_column_size", "any", "int4", |_, a| {
        Ok(ScalarValue::Int32(a.first().filter(|v| !v.is_null()).map(|v| v.size().min(i32::MAX as usize) as i32)))
    }),
];

fn view(world: &World, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let objects = world.known()?;
    let object = match (object_id(arguments, 0), string(arguments, 0)) {
        (Some(oid), _) => objects.by_oid(oid),
        (None, Some(name)) => super::naming::parts(&name).and_then(|parts| match parts.as_slice() {
            [schema, table] => objects.named(schema, table),
            [table] => objects.of_name(table).into_iter().next(),
            _ => None,
        }),
        _ => None,
    };
    let sql = object.and_then(|o| VIEWS.iter().find(|v| o.schema == "promlake" && v.name == &*o.name));
    maybe_text(sql.map(|view| view.sql))
}

fn function(world: &World, arguments: &[ScalarValue], of: fn(&Proc) -> String) -> Result<ScalarValue> {
    maybe_text(object_id(arguments, 0).and_then(|oid| world.procs().by_oid(oid).map(of)))
}

/// As PostgreSQL prints its built-in functions.
fn definition(proc: &Proc) -> String {
    let volatility = match proc.volatility {
        "i" => " IMMUTABLE",
        "s" => " STABLE",
        _ => "",
    };
    let (schema, name) = (proc.schema, names::quoted(&proc.name));
    let (arguments, result) = (proc.arguments_text(), proc.result_text());
    format!(
        "CREATE OR REPLACE FUNCTION {schema}.{name}({arguments})\n RETURNS {result}\n LANGUAGE internal\n\
         {volatility} PARALLEL SAFE\nAS $function${name}$function$\n"
    )
}

/// By the catalog it is in, where that is said.
fn comment(world: &World, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(oid) = object_id(arguments, 0) else { return Ok(ScalarValue::Utf8(None)) };
    let catalog = string(arguments, 1);
    if matches!(catalog.as_deref(), None | Some("pg_class")) {
        let objects = world.known()?;
        if let Some(object) = objects.by_oid(oid) {
            return maybe_text(objects.comment(object, 0));
        }
    }
    if matches!(catalog.as_deref(), None | Some("pg_proc")) {
        return maybe_text(world.procs().by_oid(oid).and_then(|proc| proc.comment.clone()));
    }
    Ok(ScalarValue::Utf8(None))
}

fn column_comment(world: &World, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let (Some(oid), Some(column)) = (object_id(arguments, 0), number(arguments, 1)) else {
        return Ok(ScalarValue::Utf8(None));
    };
    let objects = world.known()?;
    let column = usize::try_from(column).ok().filter(|column| *column > 0);
    maybe_text(objects.by_oid(oid).zip(column).and_then(|(object, column)| objects.comment(object, column)))
}

/// Bytes of the live files of the lake.
fn size(world: &World) -> Result<ScalarValue> {
    Ok(ScalarValue::Int64(Some(world.instance.visible.whole().stats().file_bytes as i64)))
}

/// As PostgreSQL rounds: up to 10 kB in bytes, then up to 20 times a unit in halves.
fn pretty(bytes: i64) -> String {
    const UNITS: &[&str] = &["kB", "MB", "GB", "TB", "PB"];
    if bytes.unsigned_abs() < 10 * 1024 {
        return format!("{bytes} bytes");
    }
    // One bit more than the unit, to round by.
    let mut halves = bytes / (1 << 9);
    for (at, unit) in UNITS.iter().enumerate() {
        if halves.unsigned_abs() < 20 * 1024 - 1 || at == UNITS.len() - 1 {
            let rounded = (halves + if halves < 0 { -1 } else { 1 }) / 2;
            return format!("{rounded} {unit}");
        }
        halves /= 1 << 10;
    }
    unreachable!("the last unit takes all")
}

fn precision(arguments: &[ScalarValue], of: fn(&spec::Type) -> Option<i32>) -> Result<ScalarValue> {
    let t = object_id(arguments, 0).and_then(spec::type_of);
    let modifier = number(arguments, 1).filter(|m| *m >= 4);
    let numeric = t.filter(|t| t.name == "numeric").and(modifier).map(|m| (((m - 4) >> 16) & 0xffff) as i32);
    Ok(ScalarValue::Int32(numeric.or_else(|| t.and_then(of))))
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn sizes_are_rounded_as_postgres_rounds_them() {
        let cases = [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (-10_240, "-10 kB"),
            (20_479_999, "20 MB"),
            (20_971_520, "20 MB"),
            (1 << 40, "1024 GB"),
            (i64::MAX, "8192 PB"),
        ];
        for (bytes, want) in cases {
            assert_eq!(pretty(bytes), want, "{bytes}");
        }
    }
}
