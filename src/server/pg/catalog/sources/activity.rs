//! The sessions there are.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, TimestampMicrosecondArray};
use datafusion::error::Result;

use crate::server::pg::catalog::objects::{DATABASE_OID, role_oid};
use crate::server::pg::catalog::rows::{Rows, booleans, longs, numbers, oids, same, texts};
use crate::server::pg::catalog::world::World;
use crate::server::pg::session::{DATABASE, Session};

/// By process id.
fn sessions(world: &World) -> Vec<Arc<Session>> {
    let mut sessions: Vec<Arc<Session>> =
        world.instance.sessions.all().iter().filter_map(std::sync::Weak::upgrade).collect();
    sessions.sort_by_key(|session| session.process_id);
    sessions
}

pub fn pg_stat_activity(world: World) -> Result<Rows> {
    let now = world.now_micros();
    // Sessions are not kept by the rows.
    let rows: Vec<(i32, String, String, i64, bool)> = sessions(&world)
        .iter()
        .map(|session| {
            let name = session.show("application_name").unwrap_or_default();
            let began = now - session.began.elapsed().as_micros() as i64;
            (session.process_id, session.user.clone(), name, began, session.is_active())
        })
        .collect();
    Ok(Rows::new(rows.len(), move |name| {
        let all = rows.iter();
        Some(match name {
            "datid" => oids(all.map(|_| DATABASE_OID)),
            "datname" => same(DATABASE, rows.len()),
            "pid" => numbers(all.map(|row| row.0)),
            "usesysid" => oids(all.map(|row| role_oid(&row.1))),
            "usename" => texts(all.map(|row| &row.1)),
            "application_name" => texts(all.map(|row| &row.2)),
            "backend_start" => {
                let times = TimestampMicrosecondArray::from_iter_values(all.map(|row| row.3));
                Arc::new(times.with_timezone("UTC")) as ArrayRef
            }
            "state" => texts(all.map(|row| if row.4 { "active" } else { "idle" })),
            "backend_type" => same("client backend", rows.len()),
            _ => return None,
        })
    }))
}

pub fn pg_stat_database(world: World) -> Result<Rows> {
    let backends = sessions(&world).len() as i32;
    Ok(Rows::new(1, move |name| {
        Some(match name {
            "datid" => oids([DATABASE_OID].into_iter()),
            "datname" => same(DATABASE, 1),
            "numbackends" => numbers([backends].into_iter()),
            "deadlocks" | "conflicts" | "temp_files" | "temp_bytes" => longs([0].into_iter()),
            _ => return None,
        })
    }))
}

/// Nobody comes by GSSAPI.
pub fn pg_stat_gssapi(world: World) -> Result<Rows> {
    let pids: Vec<i32> = sessions(&world).iter().map(|session| session.process_id).collect();
    Ok(Rows::new(pids.len(), move |name| {
        Some(match name {
            "pid" => numbers(pids.iter().copied()),
            "gss_authenticated" | "encrypted" => booleans(pids.iter().map(|_| false)),
            _ => return None,
        })
    }))
}
