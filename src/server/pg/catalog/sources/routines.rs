//! The functions there are.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Float32Array};
use datafusion::error::Result;

use crate::server::pg::catalog::objects::{OWNER_OID, schema_oid};
use crate::server::pg::catalog::procs::Procs;
use crate::server::pg::catalog::rows::{Rows, booleans, maybe_texts, oid_lists, oids, same, smalls, texts};
use crate::server::pg::catalog::spec;
use crate::server::pg::catalog::world::World;
use crate::server::pg::session::DATABASE;

/// `internal`.
const LANGUAGE_OID: u32 = 12;
const ANY: u32 = 2276;

pub fn pg_proc(world: World) -> Result<Rows> {
    let procs = world.procs();
    Ok(Rows::new(procs.all().len(), move |name| pg_proc_column(&procs, name)))
}

fn pg_proc_column(procs: &Procs, name: &str) -> Option<ArrayRef> {
    let all = procs.all().iter();
    let count = procs.all().len();
    Some(match name {
        "oid" => oids(all.map(|p| p.oid)),
        "proname" | "prosrc" => texts(all.map(|p| &p.name)),
        "pronamespace" => oids(all.map(|p| schema_oid(p.schema))),
        "proowner" => oids(all.map(|_| OWNER_OID)),
        "prolang" => oids(all.map(|_| LANGUAGE_OID)),
        "procost" => Arc::new(Float32Array::from(vec![1.0; count])),
        "prorows" => Arc::new(all.map(|p| if p.returns_set { 1000.0 } else { 0.0 }).collect::<Float32Array>()),
        "provariadic" => oids(all.map(|p| if p.variadic { ANY } else { 0 })),
        "prokind" => texts(all.map(|p| p.kind)),
        "proretset" => booleans(all.map(|p| p.returns_set)),
        "provolatile" => texts(all.map(|p| p.volatility)),
        "proparallel" => same("s", count),
        "pronargs" => smalls(all.map(|p| p.arguments.len() as i16)),
        "prorettype" => oids(all.map(|p| p.result)),
        "proargtypes" => oid_lists(all.map(|p| p.arguments.clone())),
        _ => return None,
    })
}

pub fn pg_aggregate(world: World) -> Result<Rows> {
    let procs = world.procs();
    let found: Vec<u32> = procs.all().iter().filter(|p| p.kind == "a").map(|p| p.oid).collect();
    Ok(Rows::new(found.len(), move |name| {
        Some(match name {
            "aggfnoid" => oids(found.iter().copied()),
            "aggkind" => same("n", found.len()),
            _ => return None,
        })
    }))
}

pub fn routines(world: World) -> Result<Rows> {
    let procs = world.procs();
    Ok(Rows::new(procs.all().len(), move |name| {
        let all = procs.all().iter();
        let count = procs.all().len();
        Some(match name {
            "specific_catalog" | "routine_catalog" | "type_udt_catalog" => same(DATABASE, count),
            "specific_schema" | "routine_schema" => texts(all.map(|p| p.schema)),
            "specific_name" => texts(all.map(|p| format!("{}_{}", p.name, p.oid))),
            "routine_name" => texts(all.map(|p| &p.name)),
            // Aggregates and window functions are none of SQL's two kinds.
            "routine_type" => maybe_texts(all.map(|p| (p.kind == "f").then_some("FUNCTION"))),
            "data_type" => texts(all.map(|p| spec::format_type(p.result, None))),
            "type_udt_schema" => same(spec::PG_CATALOG, count),
            "type_udt_name" => maybe_texts(all.map(|p| spec::type_of(p.result).map(|t| t.name))),
            "routine_body" => same("EXTERNAL", count),
            "external_language" => same("INTERNAL", count),
            "parameter_style" => same("GENERAL", count),
            "is_deterministic" => texts(all.map(|p| if p.volatility == "i" { "YES" } else { "NO" })),
            "security_type" => same("INVOKER", count),
            _ => return None,
        })
    }))
}
