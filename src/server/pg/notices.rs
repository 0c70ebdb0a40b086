//! What a statement has to say besides its rows, on its way to the client: `WARNING` and `NOTICE` messages between the last
//! row and the completion. Those of PromQL are in the words and the number the HTTP API has.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::engine::promql::annotations::{Level, shorten};
use crate::engine::sql::promql::StatementPromql;

/// A function may warn in each row.
const MAX_WARNINGS: usize = 100;

/// A message that waits for the end of its statement.
pub struct Notice {
    pub severity: &'static str,
    pub code: &'static str,
    pub text: String,
}

#[derive(Default)]
pub struct Notices(Mutex<Vec<Notice>>);

impl Notices {
    /// Takes over what the PromQL of a statement had to say; the same text is said once.
    pub fn add(&self, promql: &[StatementPromql]) {
        let (mut warnings, mut infos) = (BTreeSet::new(), BTreeSet::new());
        for query in promql {
            let (warned, informed) = query.annotations();
            warnings.extend(warned);
            infos.extend(informed);
        }
        for (level, texts) in [(Level::Warning, warnings), (Level::Info, infos)] {
            let mut texts: Vec<String> = texts.into_iter().collect();
            shorten(&mut texts, level);
            let (severity, code) = match level {
                Level::Warning => ("WARNING", "01000"),
                Level::Info => ("NOTICE", "00000"),
            };
            self.0.lock().extend(texts.into_iter().map(|text| Notice { severity, code, text }));
        }
    }

    /// Adds a warning.
    pub fn warn(&self, code: &'static str, text: impl Into<String>) {
        let mut waiting = self.0.lock();
        if waiting.len() < MAX_WARNINGS {
            waiting.push(Notice { severity: "WARNING", code, text: text.into() });
        }
    }

    /// What waits.
    pub fn take(&self) -> Vec<Notice> {
        std::mem::take(&mut self.0.lock())
    }
}
