//! `pg_settings`: what the table of settings says, and what holds for the session.

use datafusion::arrow::array::ArrayRef;
use datafusion::error::Result;

use crate::server::pg::catalog::rows::{Rows, booleans, maybe_texts, same, text_lists, texts};
use crate::server::pg::catalog::world::World;
use crate::server::pg::session::Session;
use crate::server::pg::settings::check::milliseconds;
use crate::server::pg::settings::table::{Kind, SETTINGS, Setting};

/// The most milliseconds of a time.
const MOST_MS: i64 = i32::MAX as i64;

/// All settings as they are now.
pub fn pg_settings(world: World) -> Result<Rows> {
    let session = world.session;
    Ok(Rows::new(SETTINGS.len(), move |name| column(&session, name)))
}

fn column(session: &Session, name: &str) -> Option<ArrayRef> {
    let settings = session.settings();
    let all = SETTINGS.iter();
    let bounds = |setting: &Setting| match setting.kind {
        Kind::Whole { least, most } => Some((least.to_string(), most.to_string())),
        Kind::Time => Some(("0".to_string(), MOST_MS.to_string())),
        _ => None,
    };
    Some(match name {
        "name" => texts(all.map(|s| s.name)),
        "setting" => texts(all.map(|s| bare(s, settings.value(s)))),
        "unit" => maybe_texts(all.map(|s| (s.kind == Kind::Time).then_some("ms"))),
        "category" => same("Client Connection Defaults", SETTINGS.len()),
        "short_desc" => texts(all.map(|s| s.about)),
        "context" => texts(all.map(|s| if s.kind == Kind::Shown { "internal" } else { "user" })),
        "vartype" => texts(all.map(|s| s.kind.type_name())),
        "source" => texts(all.map(|s| if settings.value(s) == s.default { "default" } else { "session" })),
        "min_val" => maybe_texts(all.map(|s| bounds(s).map(|(least, _)| least))),
        "max_val" => maybe_texts(all.map(|s| bounds(s).map(|(_, most)| most))),
        "enumvals" => text_lists(all.map(words)),
        "boot_val" => texts(all.map(|s| s.default)),
        "reset_val" => texts(all.map(|s| bare(s, settings.reset_value(s)))),
        "pending_restart" => booleans(all.map(|_| false)),
        _ => return None,
    })
}

/// Without its unit, which has a column of its own.
fn bare(setting: &Setting, value: String) -> String {
    match setting.kind {
        Kind::Time => milliseconds(&value).map_or(value, |time| time.as_millis().to_string()),
        _ => value,
    }
}

fn words(setting: &Setting) -> Option<Vec<String>> {
    match setting.kind {
        Kind::Words { all, built } => Some(all.iter().take(built).map(|word| (*word).to_string()).collect()),
        _ => None,
    }
}
