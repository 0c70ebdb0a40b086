//! The sessions there are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int32Array, TimestampMicrosecondArray};
use datafusion::error::Result;

use crate::server::access::shown::Shown;
use crate::server::pg::activity::{Doing, State};
use crate::server::pg::catalog::objects::{DATABASE_OID, role_oid};
use crate::server::pg::catalog::rows::{Rows, booleans, longs, maybe_texts, numbers, oids, same, texts};
use crate::server::pg::catalog::world::World;
use crate::server::pg::session::{DATABASE, Session};

/// By process id.
fn sessions(world: &World) -> Vec<Arc<Session>> {
    let mut sessions: Vec<Arc<Session>> =
        world.instance.sessions.all().iter().filter_map(std::sync::Weak::upgrade).collect();
    sessions.sort_by_key(|session| session.process_id);
    sessions
}

/// A session, as far as the one that asks may see it.
struct Seen {
    pid: i32,
    user: String,
    application: String,
    /// Of somebody else's PostgreSQL tells who it is, and not what it does.
    more: Option<More>,
}

struct More {
    peer: Option<SocketAddr>,
    began: i64,
    doing: Doing,
}

/// What a query is of which nothing is told.
const HIDDEN: &str = "<insufficient privilege>";

pub fn pg_stat_activity(world: World) -> Result<Rows> {
    let now = world.now_micros();
    let seen = Instant::now();
    let at = move |then: Instant| {
        let passed = seen.saturating_duration_since(then).as_micros();
        now - i64::try_from(passed).unwrap_or(i64::MAX)
    };
    // Sessions are not kept by the rows.
    let rows: Vec<Seen> = sessions(&world)
        .iter()
        .map(|session| Seen {
            pid: session.process_id,
            user: session.user.clone(),
            application: session.show("application_name").unwrap_or_default(),
            more: world.session.sees(session).then(|| More {
                peer: session.activity.peer(),
                began: at(session.began),
                doing: session.activity.now(),
            }),
        })
        .collect();
    Ok(Rows::new(rows.len(), move |name| {
        let all = rows.iter();
        let more = rows.iter().map(|row| row.more.as_ref());
        let peers = more.clone().map(|more| more.and_then(|more| more.peer));
        let doing = more.clone().map(|more| more.map(|more| &more.doing));
        let times = |times: Vec<Option<i64>>| {
            let times: TimestampMicrosecondArray = times.into_iter().collect();
            Arc::new(times.with_timezone("UTC")) as ArrayRef
        };
        Some(match name {
            "datid" => oids(all.map(|_| DATABASE_OID)),
            "datname" => same(DATABASE, rows.len()),
            "pid" => numbers(all.map(|row| row.pid)),
            "usesysid" => oids(all.map(|row| role_oid(&row.user))),
            "usename" => texts(all.map(|row| &row.user)),
            "application_name" => texts(all.map(|row| &row.application)),
            "client_addr" => maybe_texts(peers.map(|peer| peer.map(|peer| peer.ip().to_string()))),
            "client_port" => {
                Arc::new(peers.map(|peer| peer.map(|peer| i32::from(peer.port()))).collect::<Int32Array>())
            }
            "backend_start" => times(more.map(|more| more.map(|more| more.began)).collect()),
            "xact_start" => times(doing.map(|doing| doing?.transaction_start.map(at)).collect()),
            "query_start" => times(doing.map(|doing| doing?.query_start.map(at)).collect()),
            "state_change" => times(doing.map(|doing| Some(at(doing?.state_change))).collect()),
            // Between two statements the client is waited for.
            "wait_event_type" => maybe_texts(doing.map(|doing| waits(doing?.state).then_some("Client"))),
            "wait_event" => maybe_texts(doing.map(|doing| waits(doing?.state).then_some("ClientRead"))),
            "state" => maybe_texts(doing.map(|doing| Some(doing?.state.name()))),
            "query" => texts(doing.map(|doing| doing.map_or(HIDDEN, |doing| doing.query.as_str()))),
            "backend_type" => same("client backend", rows.len()),
            _ => return None,
        })
    }))
}

fn waits(state: State) -> bool {
    state != State::Active
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

/// Of sessions of others only that they are there, as of their activity.
pub fn pg_stat_ssl(world: World) -> Result<Rows> {
    let seen = |session: &Arc<Session>| world.session.sees(session).then(|| session.activity.shown());
    let rows: Vec<(i32, Option<Option<Arc<Shown>>>)> =
        sessions(&world).iter().map(|session| (session.process_id, seen(session))).collect();
    Ok(Rows::new(rows.len(), move |name| {
        let shown = || rows.iter().map(|(_, seen)| seen.as_ref()?.as_deref());
        Some(match name {
            "pid" => numbers(rows.iter().map(|(pid, _)| *pid)),
            "ssl" => {
                let ssl = rows.iter().map(|(_, seen)| seen.as_ref().map(Option::is_some));
                Arc::new(ssl.collect::<BooleanArray>()) as ArrayRef
            }
            "version" => maybe_texts(shown().map(|shown| Some(shown?.version))),
            "cipher" => maybe_texts(shown().map(|shown| Some(shown?.cipher))),
            "bits" => Arc::new(shown().map(|shown| Some(shown?.bits())).collect::<Int32Array>()),
            "client_dn" => {
                maybe_texts(shown().map(|shown| shown?.common_name.as_ref().map(|name| format!("/CN={name}"))))
            }
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
