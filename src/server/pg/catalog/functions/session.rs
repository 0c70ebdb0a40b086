//! What the session is and what holds in it, and the server it is on.

use datafusion::error::{DataFusionError, Result};
use datafusion::scalar::ScalarValue;

use super::body::{Function, boolean, failed, maybe_text, number, oid, row, string, text, texts};
use crate::server::pg::catalog::world::World;
use crate::server::pg::session::DATABASE;
use crate::server::pg::settings::table::SERVER_VERSION;
use crate::server::pg::settings::values::Scope;

pub const FUNCTIONS: &[Function] = &[
    row("version", "", "text", |_, _| {
        text(format!("PostgreSQL {SERVER_VERSION} (promlake {})", env!("CARGO_PKG_VERSION")))
    }),
    row("current_database", "", "name", |_, _| text(DATABASE)),
    row("current_catalog", "", "name", |_, _| text(DATABASE)),
    row("current_schema", "", "name", |w, _| {
        Ok(ScalarValue::Utf8(w.session.search_path().first().map(|schema| schema.to_string())))
    }),
    row("current_schemas", "bool", "_name", current_schemas),
    row("current_user", "", "name", |w, _| text(&w.session.user)),
    row("session_user", "", "name", |w, _| text(&w.session.user)),
    row("user", "", "name", |w, _| text(&w.session.user)),
    row("current_role", "", "name", |w, _| text(&w.session.user)),
    row("current_setting", "text, bool", "text", setting),
    row("set_config", "text, text, bool", "text", set_config),
    row("pg_backend_pid", "", "int4", |w, _| Ok(ScalarValue::Int32(Some(w.session.process_id)))),
    row("pg_cancel_backend", "int4", "bool", |w, a| signal(w, a, |session| session.cancel())),
    row("pg_terminate_backend", "int4, int8", "bool", |w, a| signal(w, a, |session| session.terminate())),
    row("pg_is_in_recovery", "", "bool", |_, _| boolean(false)),
    row("pg_is_wal_replay_paused", "", "bool", |_, _| boolean(false)),
    row("pg_my_temp_schema", "", "oid", |_, _| oid(Some(0))),
    row("pg_is_other_temp_schema", "oid", "bool", |_, _| boolean(false)),
    row("pg_postmaster_start_time", "", "timestamptz", |w, _| time(since_start(w))),
    row("pg_conf_load_time", "", "timestamptz", |w, _| time(since_start(w))),
    row("txid_current", "", "int8", |w, _| Ok(ScalarValue::Int64(Some(w.now_micros())))),
    row("txid_current_if_assigned", "", "int8", |_, _| Ok(ScalarValue::Int64(None))),
    row("pg_xid_age", "xid", "int4", |_, a| Ok(ScalarValue::Int32(number(a, 0).map(|_| 0)))),
    // Of our own address functions know nothing; PostgreSQL says NULL of connections without one.
    row("inet_server_addr", "", "inet", super::body::no_text),
    row("inet_client_addr", "", "inet", |w, _| {
        maybe_text(w.session.activity.peer().map(|peer| peer.ip().to_string()))
    }),
    row("inet_server_port", "", "int4", |_, _| Ok(ScalarValue::Int32(None))),
    row("inet_client_port", "", "int4", |w, _| {
        Ok(ScalarValue::Int32(w.session.activity.peer().map(|peer| peer.port().into())))
    }),
    row("getdatabaseencoding", "", "name", |_, _| text("UTF8")),
    row("pg_client_encoding", "", "name", |_, _| text("UTF8")),
    row("pg_encoding_to_char", "int4", "name", |_, a| encoding_name(a)),
    row("pg_char_to_encoding", "name", "int4", |_, a| encoding_number(a)),
    row("pg_stat_get_numscans", "oid", "int8", |_, _| Ok(ScalarValue::Int64(Some(0)))),
    row("pg_stat_get_backend_pid", "int4", "int4", |_, _| Ok(ScalarValue::Int32(None))),
    row("pg_tablespace_location", "oid", "text", |_, _| text("")),
    row("row_security_active", "oid", "bool", |_, _| boolean(false)),
];

fn current_schemas(world: &World, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let implicit = matches!(arguments.first(), Some(ScalarValue::Boolean(Some(true))));
    let path = world.session.search_path();
    let first = (implicit && !path.contains(&"pg_catalog")).then_some("pg_catalog");
    texts(first.into_iter().chain(path).map(String::from))
}

fn since_start(world: &World) -> i64 {
    world.now_micros() - world.instance.started.elapsed().as_micros() as i64
}

fn time(micros: i64) -> Result<ScalarValue> {
    Ok(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
}

fn setting(world: &World, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(name) = string(arguments, 0) else { return Ok(ScalarValue::Utf8(None)) };
    match world.session.show(&name) {
        // The number that clients compute with is the version's.
        Ok(value) => text(value),
        Err(_) if arguments.get(1) == Some(&ScalarValue::Boolean(Some(true))) => Ok(ScalarValue::Utf8(None)),
        Err(error) => Err(DataFusionError::External(Box::new(error))),
    }
}

fn set_config(world: &World, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let (Some(name), [_, _, local]) = (string(arguments, 0), arguments) else {
        return Err(DataFusionError::Plan("set_config() takes a name, a value and whether it is local".into()));
    };
    let scope = match local {
        ScalarValue::Boolean(Some(true)) => Scope::Transaction,
        _ => Scope::Session,
    };
    let mut settings = world.session.settings();
    // NULL resets it.
    let set = settings.set(&name, string(arguments, 1).as_deref(), scope);
    let shown = set.and_then(|()| settings.show(&name));
    text(shown.map_err(|error| DataFusionError::External(Box::new(error)))?)
}

/// Does something to another session of the same user.
fn signal(
    world: &World,
    arguments: &[ScalarValue],
    send: fn(&crate::server::pg::session::Session),
) -> Result<ScalarValue> {
    let Some(pid) = number(arguments, 0) else { return Ok(ScalarValue::Boolean(None)) };
    let sessions = world.instance.sessions.all();
    let mut sessions = sessions.iter().filter_map(std::sync::Weak::upgrade);
    let Some(session) = sessions.find(|session| i64::from(session.process_id) == pid) else {
        world.session.notices.warn("01000", format!("PID {pid} is not a PostgreSQL server process"));
        return boolean(false);
    };
    if !world.session.sees(&session) {
        return Err(failed("42501", "permission denied to signal a session of another user"));
    }
    send(&session);
    boolean(true)
}

/// PostgreSQL's numbers of encodings that clients ask for.
const ENCODINGS: &[(i64, &str)] = &[(0, "SQL_ASCII"), (6, "UTF8"), (8, "LATIN1")];

fn encoding_name(arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(asked) = number(arguments, 0) else { return Ok(ScalarValue::Utf8(None)) };
    text(ENCODINGS.iter().find(|(number, _)| *number == asked).map_or("", |(_, name)| name))
}

fn encoding_number(arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(asked) = string(arguments, 0) else { return Ok(ScalarValue::Int32(None)) };
    let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_uppercase();
    let found = ENCODINGS.iter().find(|(_, name)| plain(name) == plain(&asked));
    Ok(ScalarValue::Int32(Some(found.map_or(-1, |(number, _)| *number as i32))))
}
