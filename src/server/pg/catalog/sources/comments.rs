//! HELP, type and unit of metrics, and what functions say of themselves, as comments.

use datafusion::error::Result;

use crate::server::pg::catalog::rows::{Rows, numbers, oids, texts};
use crate::server::pg::catalog::wanted::Wanted;
use crate::server::pg::catalog::world::World;

/// `pg_class` and `pg_proc`, in which the commented things are.
pub const CLASS_OID: u32 = 1259;
pub const PROC_OID: u32 = 1255;

struct Comment {
    of: u32,
    class: u32,
    column: i32,
    text: String,
}

pub async fn pg_description(world: World, wanted: Wanted) -> Result<Rows> {
    let asked = wanted.oids("objoid");
    let (objects, found) = world.wanted(asked.as_deref(), None).await?;
    let mut comments = vec![];
    for object in &found {
        // Comments are of the relation and of its second column, the value.
        for column in [0, 2] {
            let text = objects.comment(object, column);
            comments.extend(text.map(|text| Comment {
                of: object.oid,
                class: CLASS_OID,
                column: column as i32,
                text,
            }));
        }
    }
    for proc in world.procs().all() {
        if asked.as_ref().is_none_or(|asked| asked.contains(&proc.oid)) {
            let comment = |text: &String| Comment { of: proc.oid, class: PROC_OID, column: 0, text: text.clone() };
            comments.extend(proc.comment.as_ref().map(comment));
        }
    }
    Ok(Rows::new(comments.len(), move |name| {
        let all = comments.iter();
        Some(match name {
            "objoid" => oids(all.map(|c| c.of)),
            "classoid" => oids(all.map(|c| c.class)),
            "objsubid" => numbers(all.map(|c| c.column)),
            "description" => texts(all.map(|c| &c.text)),
            _ => return None,
        })
    }))
}
