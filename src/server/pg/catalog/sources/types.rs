//! The types there are.

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;

use crate::server::pg::catalog::objects::{OWNER_OID, schema_oid};
use crate::server::pg::catalog::rows::{Rows, booleans, numbers, oids, same, smalls, texts};
use crate::server::pg::catalog::spec::{self, PG_CATALOG, Type};
use crate::server::pg::catalog::world::World;

/// Columns that name functions, in the order of [`Type::functions`].
const FUNCTIONS: [&str; 7] =
    ["typinput", "typoutput", "typreceive", "typsend", "typsubscript", "typmodin", "typmodout"];

pub fn pg_type(world: World) -> Result<Rows> {
    let procs = world.procs();
    let types = spec::types();
    Ok(Rows::new(types.len(), move |name| {
        let all = types.iter();
        let text = |of: fn(&Type) -> &str| -> ArrayRef { texts(types.iter().map(of)) };
        if let Some(at) = FUNCTIONS.iter().position(|column| *column == name) {
            return Some(oids(all.map(|t| procs.oid_of(t.functions[at]))));
        }
        Some(match name {
            "oid" => oids(all.map(|t| t.oid)),
            "typname" => text(|t| t.name),
            "typnamespace" => oids(all.map(|_| schema_oid(PG_CATALOG))),
            "typowner" => oids(all.map(|_| OWNER_OID)),
            "typlen" => smalls(all.map(|t| t.len)),
            "typbyval" => booleans(all.map(|t| t.by_value)),
            "typtype" => text(|t| t.kind),
            "typcategory" => text(|t| t.category),
            "typispreferred" => booleans(all.map(|t| t.preferred)),
            "typisdefined" => booleans(all.map(|_| true)),
            "typdelim" => same(",", types.len()),
            "typelem" => oids(all.map(|t| t.element)),
            "typarray" => oids(all.map(|t| t.array)),
            "typalign" => text(|t| t.align),
            "typstorage" => text(|t| t.storage),
            "typtypmod" => numbers(all.map(|_| -1)),
            "typcollation" => oids(all.map(|t| t.collation)),
            _ => return None,
        })
    }))
}
