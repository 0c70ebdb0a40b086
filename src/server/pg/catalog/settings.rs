//! `pg_settings`: what the table of settings says, and what holds for the session.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, ListBuilder, RecordBatch, StringArray, StringBuilder};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::Result;

use crate::server::pg::session::Session;
use crate::server::pg::settings::check::milliseconds;
use crate::server::pg::settings::table::{Kind, SETTINGS, Setting};

pub const NAME: &str = "pg_settings";
/// The most milliseconds of a time.
const MOST_MS: i64 = i32::MAX as i64;

/// All settings as they are now.
pub fn table(session: &Session) -> Result<Arc<dyn TableProvider>> {
    let settings = session.settings();
    let text = |of: &dyn Fn(&'static Setting) -> Option<String>| -> ArrayRef {
        Arc::new(SETTINGS.iter().map(of).collect::<StringArray>())
    };
    let some = |text: &str| Some(text.to_string());
    let bounds = |setting: &Setting| match setting.kind {
        Kind::Whole { least, most } => Some((least, most)),
        Kind::Time => Some((0, MOST_MS)),
        _ => None,
    };
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", text(&|s| some(s.name))),
        ("setting", text(&|s| Some(bare(s, settings.value(s))))),
        ("unit", text(&|s| (s.kind == Kind::Time).then(|| "ms".to_string()))),
        ("category", text(&|_| some("Client Connection Defaults"))),
        ("short_desc", text(&|s| some(s.about))),
        ("extra_desc", text(&|_| None)),
        ("context", text(&|s| some(if s.kind == Kind::Shown { "internal" } else { "user" }))),
        ("vartype", text(&|s| some(s.kind.type_name()))),
        ("source", text(&|s| some(if settings.value(s) == s.default { "default" } else { "session" }))),
        ("min_val", text(&|s| bounds(s).map(|(least, _)| least.to_string()))),
        ("max_val", text(&|s| bounds(s).map(|(_, most)| most.to_string()))),
        ("enumvals", words()),
        ("boot_val", text(&|s| some(s.default))),
        ("reset_val", text(&|s| Some(bare(s, settings.reset_value(s))))),
        ("sourcefile", text(&|_| None)),
        ("sourceline", Arc::new(datafusion::arrow::array::Int32Array::new_null(SETTINGS.len()))),
        ("pending_restart", Arc::new(BooleanArray::from(vec![false; SETTINGS.len()]))),
    ];
    let field = |(name, array): &(&str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(schema.clone(), columns.into_iter().map(|(_, array)| array).collect())?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// Without its unit, which has a column of its own.
fn bare(setting: &Setting, value: String) -> String {
    match setting.kind {
        Kind::Time => milliseconds(&value).map_or(value, |time| time.as_millis().to_string()),
        _ => value,
    }
}

fn words() -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for setting in SETTINGS {
        if let Kind::Words { all, built } = setting.kind {
            all.iter().take(built).for_each(|word| lists.values().append_value(word));
        }
        lists.append(matches!(setting.kind, Kind::Words { .. }));
    }
    Arc::new(lists.finish())
}
