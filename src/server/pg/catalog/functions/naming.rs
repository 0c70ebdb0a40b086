//! Names of things to their ids and back: `::regclass` and its like, `to_regclass`, and what a name without a schema sees.

use datafusion::error::Result;
use datafusion::scalar::ScalarValue;

use super::body::{Function, any_text, boolean, failed, maybe_text, number, object_id, oid, row, string, text};
use crate::server::pg::catalog::objects::{Objects, SCHEMAS, role_oid, schema_oid};
use crate::server::pg::catalog::procs::Proc;
use crate::server::pg::catalog::spec::{self, PG_CATALOG};
use crate::server::pg::catalog::world::World;
use crate::server::pg::{names, types};

/// A kind of things with ids and names: how a name is looked up, how an id is printed, what a missing one is called.
struct Kind {
    find: fn(&World, &str) -> Result<Option<u32>>,
    print: fn(&World, u32) -> Result<Option<String>>,
    missing: (&'static str, &'static str),
}

const CLASS: Kind = Kind { find: class_oid, print: class_name, missing: ("42P01", "relation") };
const TYPE: Kind = Kind { find: type_oid, print: type_name, missing: ("42704", "type") };
const NAMESPACE: Kind = Kind { find: namespace_oid, print: namespace_name, missing: ("3F000", "schema") };
const ROLE: Kind = Kind { find: known_role, print: role_name, missing: ("42704", "role") };
const PROC: Kind = Kind { find: proc_oid, print: proc_name, missing: ("42883", "function") };
const PROCEDURE: Kind = Kind { find: procedure_oid, print: procedure_name, missing: ("42883", "function") };
const OPERATOR: Kind = Kind { find: |_, _| Ok(None), print: |_, _| Ok(None), missing: ("42883", "operator") };
const COLLATION: Kind = Kind { find: collation_oid, print: collation_name, missing: ("42704", "collation") };

pub const FUNCTIONS: &[Function] = &[
    row("regclassin", "cstring", "regclass", |w, a| read(w, a, &CLASS)),
    row("regclassout", "regclass", "text", |w, a| print(w, a, &CLASS)),
    row("to_regclass", "text", "regclass", |w, a| look(w, a, &CLASS)),
    row("regtypein", "cstring", "regtype", |w, a| read(w, a, &TYPE)),
    row("regtypeout", "regtype", "text", |w, a| print(w, a, &TYPE)),
    row("to_regtype", "text", "regtype", |w, a| look(w, a, &TYPE)),
    row("regnamespacein", "cstring", "regnamespace", |w, a| read(w, a, &NAMESPACE)),
    row("regnamespaceout", "regnamespace", "text", |w, a| print(w, a, &NAMESPACE)),
    row("to_regnamespace", "text", "regnamespace", |w, a| look(w, a, &NAMESPACE)),
    row("regrolein", "cstring", "regrole", |w, a| read(w, a, &ROLE)),
    row("regroleout", "regrole", "text", |w, a| print(w, a, &ROLE)),
    row("to_regrole", "text", "regrole", |w, a| look(w, a, &ROLE)),
    row("regprocin", "cstring", "regproc", |w, a| read(w, a, &PROC)),
    row("regprocout", "regproc", "text", |w, a| print(w, a, &PROC)),
    row("to_regproc", "text", "regproc", |w, a| look(w, a, &PROC)),
    row("regprocedurein", "cstring", "regprocedure", |w, a| read(w, a, &PROCEDURE)),
    row("regprocedureout", "regprocedure", "text", |w, a| print(w, a, &PROCEDURE)),
    row("to_regprocedure", "text", "regprocedure", |w, a| look(w, a, &PROCEDURE)),
    row("regoperin", "cstring", "regoper", |w, a| read(w, a, &OPERATOR)),
    row("regoperout", "regoper", "text", |w, a| print(w, a, &OPERATOR)),
    row("to_regoper", "text", "regoper", |w, a| look(w, a, &OPERATOR)),
    row("regoperatorin", "cstring", "regoperator", |w, a| read(w, a, &OPERATOR)),
    row("regoperatorout", "regoperator", "text", |w, a| print(w, a, &OPERATOR)),
    row("to_regoperator", "text", "regoperator", |w, a| look(w, a, &OPERATOR)),
    row("regcollationin", "cstring", "regcollation", |w, a| read(w, a, &COLLATION)),
    row("regcollationout", "regcollation", "text", |w, a| print(w, a, &COLLATION)),
    row("to_regcollation", "text", "regcollation", |w, a| look(w, a, &COLLATION)),
    row("oidin", "cstring", "oid", |_, a| match object_id(a, 0) {
        Some(id) => oid(Some(id)),
        None if a.iter().all(ScalarValue::is_null) => oid(None),
        None => Err(failed("22P02", "invalid input syntax for type oid")),
    }),
    row("format_type", "oid, int4", "text", |_, a| {
        let modifier = number(a, 1).and_then(|m| i32::try_from(m).ok());
        maybe_text(object_id(a, 0).map(|oid| spec::format_type(oid, modifier)))
    }),
    row("pg_typeof", "any", "regtype", |_, a| oid(a.first().map(|v| types::pg_type(&v.data_type()).oid()))),
    row("pg_get_userbyid", "oid", "name", owner),
    row("pg_table_is_visible", "oid", "bool", table_visible),
    row("pg_type_is_visible", "oid", "bool", |_, a| seen(a, |oid| spec::type_of(oid).is_some())),
    row("pg_function_is_visible", "oid", "bool", function_visible),
    row("pg_collation_is_visible", "oid", "bool", |_, a| seen(a, |oid| COLLATIONS.iter().any(|c| c.0 == oid))),
    row("pg_conversion_is_visible", "oid", "bool", |_, a| seen(a, |_| false)),
    row("pg_operator_is_visible", "oid", "bool", |_, a| seen(a, |_| false)),
    row("pg_opclass_is_visible", "oid", "bool", |_, a| seen(a, |_| false)),
    row("pg_opfamily_is_visible", "oid", "bool", |_, a| seen(a, |_| false)),
    row("pg_statistics_obj_is_visible", "oid", "bool", |_, a| seen(a, |_| false)),
    row("pg_ts_config_is_visible", "oid", "bool", |_, a| seen(a, |_| false)),
    row("pg_ts_dict_is_visible", "oid", "bool", |_, a| seen(a, |_| false)),
    row("pg_ts_parser_is_visible", "oid", "bool", |_, a| seen(a, |_| false)),
    row("pg_ts_template_is_visible", "oid", "bool", |_, a| seen(a, |_| false)),
];

/// `x::reg…`: an id stays one, a name has to be one of something.
fn read(world: &World, arguments: &[ScalarValue], kind: &Kind) -> Result<ScalarValue> {
    if let Some(id) = object_id(arguments, 0) {
        return oid(Some(id));
    }
    let Some(name) = string(arguments, 0) else { return oid(None) };
    if name == "-" {
        return oid(Some(0));
    }
    match (kind.find)(world, &name)? {
        Some(id) => oid(Some(id)),
        None => Err(failed(kind.missing.0, format!("{} \"{name}\" does not exist", kind.missing.1))),
    }
}

/// `to_reg…`: NULL for what there is not.
fn look(world: &World, arguments: &[ScalarValue], kind: &Kind) -> Result<ScalarValue> {
    match string(arguments, 0) {
        Some(name) => oid((kind.find)(world, &name)?),
        None => oid(object_id(arguments, 0)),
    }
}

/// An id as a name, or as a number where there is none.
fn print(world: &World, arguments: &[ScalarValue], kind: &Kind) -> Result<ScalarValue> {
    let Some(id) = object_id(arguments, 0) else { return maybe_text(arguments.first().and_then(any_text)) };
    if id == 0 {
        return text("-");
    }
    text((kind.print)(world, id)?.unwrap_or_else(|| id.to_string()))
}

/// The parts of a name as SQL writes it; `None` for what is no name.
pub fn parts(name: &str) -> Option<Vec<String>> {
    let mut parts = vec![];
    let mut rest = name.trim();
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next()? {
                    (at, '"') if quoted[at + 1..].starts_with('"') => {
                        chars.next();
                        part.push('"');
                    }
                    (at, '"') => break at + 1,
                    (_, c) => part.push(c),
                }
            };
            parts.push(part);
            rest = quoted[end..].trim_start();
        } else {
            let end = rest.find(['.', '"', ' ']).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            parts.push(rest[..end].to_ascii_lowercase());
            rest = rest[end..].trim_start();
        }
        match rest.strip_prefix('.') {
            Some(more) => rest = more.trim_start(),
            None => return rest.is_empty().then_some(parts),
        }
    }
}

/// The schemas a name may be in: its own, or those of the path, `pg_catalog` first.
fn path(world: &World, schema: Option<&str>) -> Vec<String> {
    match schema {
        Some(schema) => vec![schema.to_string()],
        None => {
            let path = world.session.search_path().into_iter().map(String::from);
            std::iter::once(PG_CATALOG.to_string()).chain(path).collect()
        }
    }
}

fn split(name: &str) -> Option<(Option<String>, String)> {
    let mut parts = parts(name)?;
    let last = parts.pop()?;
    // A database may stand before the schema.
    Some((parts.pop(), last))
}

fn class_oid(world: &World, name: &str) -> Result<Option<u32>> {
    let Some((schema, table)) = split(name) else { return Ok(None) };
    let objects = world.known()?;
    let path = path(world, schema.as_deref());
    let find = |objects: &Objects| path.iter().find_map(|schema| objects.named(schema, &table).map(|o| o.oid));
    if let Some(found) = find(&objects) {
        return Ok(Some(found));
    }
    // A metric may be newer than what was last read.
    let listed = world.listed()?;
    Ok(find(&listed))
}

fn class_name(world: &World, id: u32) -> Result<Option<String>> {
    let objects = world.known()?;
    let Some(object) = objects.by_oid(id) else { return Ok(None) };
    let name = names::quoted(&object.name);
    let path = path(world, None);
    let first = path.iter().find(|schema| objects.named(schema, &object.name).is_some());
    let is_seen = first.is_some_and(|schema| schema == object.schema);
    Ok(Some(if is_seen { name } else { format!("{}.{name}", names::quoted(object.schema)) }))
}

fn type_oid(_: &World, name: &str) -> Result<Option<u32>> {
    Ok(spec::type_named(name).map(|t| t.oid))
}

fn type_name(_: &World, id: u32) -> Result<Option<String>> {
    Ok(spec::type_of(id).map(|t| spec::format_type(t.oid, None)))
}

fn namespace_oid(_: &World, name: &str) -> Result<Option<u32>> {
    let Some((None, name)) = split(name) else { return Ok(None) };
    Ok(SCHEMAS.contains(&name.as_str()).then(|| schema_oid(&name)))
}

fn namespace_name(_: &World, id: u32) -> Result<Option<String>> {
    Ok(SCHEMAS.iter().find(|schema| schema_oid(schema) == id).map(|schema| names::quoted(schema)))
}

fn known_role(world: &World, name: &str) -> Result<Option<u32>> {
    let Some((None, name)) = split(name) else { return Ok(None) };
    Ok(world.roles().contains(&name).then(|| role_oid(&name)))
}

fn role_name(world: &World, id: u32) -> Result<Option<String>> {
    Ok(world.roles().into_iter().find(|role| role_oid(role) == id).map(|role| names::quoted(&role)))
}

fn proc_oid(world: &World, name: &str) -> Result<Option<u32>> {
    let Some((_, name)) = split(name) else { return Ok(None) };
    Ok(Some(world.procs().oid_of(&name)).filter(|id| *id != 0))
}

fn proc_name(world: &World, id: u32) -> Result<Option<String>> {
    Ok(world.procs().by_oid(id).map(|proc| names::quoted(&proc.name)))
}

/// `name(type, type)`
fn procedure_oid(world: &World, name: &str) -> Result<Option<u32>> {
    let Some((name, arguments)) = name.trim().strip_suffix(')').and_then(|n| n.split_once('(')) else {
        return Ok(None);
    };
    let Some((_, name)) = split(name) else { return Ok(None) };
    let arguments = arguments.split(',').map(str::trim).filter(|a| !a.is_empty());
    let arguments: Vec<u32> = arguments.map(|a| spec::type_named(a).map_or(0, |t| t.oid)).collect();
    Ok(world.procs().named(&name).iter().find(|proc| proc.arguments == arguments).map(|proc| proc.oid))
}

fn procedure_name(world: &World, id: u32) -> Result<Option<String>> {
    let name = |proc: &Proc| {
        let types: Vec<String> = proc.arguments.iter().map(|oid| spec::format_type(*oid, None)).collect();
        format!("{}({})", names::quoted(&proc.name), types.join(","))
    };
    Ok(world.procs().by_oid(id).map(name))
}

/// Those of `pg_collation`.
const COLLATIONS: &[(u32, &str)] = &[(100, "default"), (950, "C"), (951, "POSIX")];

fn collation_oid(_: &World, name: &str) -> Result<Option<u32>> {
    let Some((_, name)) = split(name) else { return Ok(None) };
    Ok(COLLATIONS.iter().find(|(_, known)| *known == name).map(|(id, _)| *id))
}

fn collation_name(_: &World, id: u32) -> Result<Option<String>> {
    Ok(COLLATIONS.iter().find(|(known, _)| *known == id).map(|(_, name)| names::quoted(name)))
}

fn owner(world: &World, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(id) = object_id(arguments, 0) else { return Ok(ScalarValue::Utf8(None)) };
    let role = world.roles().into_iter().find(|role| role_oid(role) == id);
    text(role.unwrap_or_else(|| format!("unknown (OID={id})")))
}

fn seen(arguments: &[ScalarValue], is_there: impl Fn(u32) -> bool) -> Result<ScalarValue> {
    Ok(ScalarValue::Boolean(object_id(arguments, 0).filter(|id| is_there(*id)).map(|_| true)))
}

/// What `\d` and tab completion list: the schemas a name is looked up in without being told.
fn table_visible(world: &World, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(id) = object_id(arguments, 0) else { return Ok(ScalarValue::Boolean(None)) };
    let objects = world.known()?;
    let Some(object) = objects.by_oid(id) else { return Ok(ScalarValue::Boolean(None)) };
    boolean(object.schema == PG_CATALOG || world.session.search_path().contains(&object.schema))
}

fn function_visible(world: &World, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(id) = object_id(arguments, 0) else { return Ok(ScalarValue::Boolean(None)) };
    let procs = world.procs();
    let Some(proc) = procs.by_oid(id) else { return Ok(ScalarValue::Boolean(None)) };
    boolean(proc.schema == PG_CATALOG || world.session.search_path().contains(&proc.schema))
}

#[cfg(test)]
mod tests {
    use super::parts;

    #[test]
    fn names_have_parts() {
        let check = |name: &str, want: Option<&[&str]>| {
            let got = parts(name);
            let got: Option<Vec<&str>> = got.as_ref().map(|p| p.iter().map(String::as_str).collect());
            assert_eq!(got.as_deref(), want, "{name}");
        };
        check("Up", Some(&["up"]));
        check("\"Up\"", Some(&["Up"]));
        check("public.\"a \"\"b\"\".c\"", Some(&["public", "a \"b\".c"]));
        check("a . b", Some(&["a", "b"]));
        check("a b", None);
        check("a.", None);
        check("\"a", None);
        check("", None);
    }
}
