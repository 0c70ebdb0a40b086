//! Warnings and infos of PromQL on their way to the client: `WARNING` and `NOTICE` messages between the last row of
//! a statement and its completion, in the words and the number the HTTP API has.

use std::collections::BTreeSet;

use futures::{Sink, SinkExt};
use parking_lot::Mutex;
use pgwire::error::ErrorInfo;
use pgwire::messages::PgWireBackendMessage;

use super::session::Session;
use crate::engine::promql::annotations::{Level, shorten};
use crate::engine::sql::promql::StatementPromql;

/// Messages that wait for the end of their statement.
#[derive(Default)]
pub struct Notices(Mutex<Vec<(Level, String)>>);

impl Notices {
    /// Takes over what the PromQL of a statement had to say; the same text is said once.
    pub fn add(&self, promql: &[StatementPromql]) {
        let (mut warnings, mut infos) = (BTreeSet::new(), BTreeSet::new());
        for query in promql {
            let (warned, informed) = query.annotations();
            warnings.extend(warned);
            infos.extend(informed);
        }
        let mut waiting = self.0.lock();
        for (level, texts) in [(Level::Warning, warnings), (Level::Info, infos)] {
            let mut texts: Vec<String> = texts.into_iter().collect();
            shorten(&mut texts, level);
            waiting.extend(texts.into_iter().map(|text| (level, text)));
        }
    }
}

impl Notices {
    /// Adds a warning, if there is one.
    pub fn warn(&self, text: Option<String>) {
        self.0.lock().extend(text.map(|text| (Level::Warning, text)));
    }
}

/// Sends what waits, as far as the client wants it.
pub async fn send<C>(client: &mut C, session: &Session) -> Result<(), C::Error>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
{
    let waiting = std::mem::take(&mut *session.notices.0.lock());
    for (level, text) in waiting {
        let (severity, code) = match level {
            Level::Warning => ("WARNING", "01000"),
            Level::Info => ("NOTICE", "00000"),
        };
        if session.wants(&severity.to_ascii_lowercase()) {
            let notice = ErrorInfo::new(severity.into(), code.into(), text);
            client.feed(PgWireBackendMessage::NoticeResponse(notice.into())).await?;
        }
    }
    Ok(())
}
