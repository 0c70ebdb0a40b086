//! What clients asked lately, and what they ask now: `promlake.queries`. In memory and bounded, since it is there always; the log
//! of queries (`query_log`) is what lasts. What rules ask is left out: it is always the same, and `promlake.rules` has it.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::door::canceled;
use crate::error::{Error, ErrorKind};
use crate::storage::store::Clock;

/// Questions, and bytes of their texts.
const MAX_QUESTIONS: usize = 10_000;
const MAX_BYTES: usize = 8 << 20;
/// Of one text, and of an error. What is longer is cut.
const MAX_TEXT: usize = 8 << 10;
const MAX_ERROR: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    Promql,
    Sql,
}

impl Language {
    pub fn as_str(self) -> &'static str {
        match self {
            Language::Promql => "promql",
            Language::Sql => "sql",
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    pub language: Language,
    pub text: String,
    /// Who asks: an address, or the name of a user or application.
    pub client: String,
    /// Where: a path of the HTTP API, or a database.
    pub by: String,
    /// Whose it is, where that is known.
    pub user: Option<String>,
    /// Start, end and step in milliseconds, of which an instant query has one time and no step.
    pub range: Option<[i64; 3]>,
}

/// A question as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    pub question: Arc<Question>,
    pub at_ms: i64,
    pub took: Duration,
    /// `None` while it runs.
    pub end: Option<Result<(), ErrorKind>>,
    pub error: Option<String>,
}

pub struct Recent {
    clock: Clock,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// By their beginning.
    all: VecDeque<Arc<Entry>>,
    bytes: usize,
}

struct Entry {
    question: Arc<Question>,
    at_ms: i64,
    began: Instant,
    end: OnceLock<End>,
}

struct End {
    took: Duration,
    error: Option<(ErrorKind, String)>,
}

impl Entry {
    fn bytes(&self) -> usize {
        let question = &self.question;
        let user = question.user.as_ref().map_or(0, String::len);
        question.text.len() + question.client.len() + question.by.len() + user
    }
}

/// A question until it is answered. One that nobody waits for any more was canceled.
pub struct Ticket(Arc<Entry>);

impl Recent {
    pub fn new(clock: Clock) -> Self {
        Self { clock, kept: Mutex::default() }
    }

    pub fn begin(&self, mut question: Question) -> Ticket {
        let Question { text, client, by, user, .. } = &mut question;
        for text in [text, client, by].into_iter().chain(user) {
            cut(text, MAX_TEXT);
        }
        let entry = Entry {
            question: Arc::new(question),
            at_ms: (self.clock)(),
            began: Instant::now(),
            end: OnceLock::new(),
        };
        let entry = Arc::new(entry);
        let mut kept = self.kept.lock();
        kept.bytes += entry.bytes();
        kept.all.push_back(entry.clone());
        while kept.all.len() > MAX_QUESTIONS || kept.bytes > MAX_BYTES {
            let Some(oldest) = kept.all.pop_front() else { break };
            kept.bytes -= oldest.bytes();
        }
        Ticket(entry)
    }

    /// All that are kept, the newest first.
    pub fn shown(&self) -> Vec<Shown> {
        let all: Vec<Arc<Entry>> = self.kept.lock().all.iter().rev().cloned().collect();
        let shown = |entry: &Arc<Entry>| {
            let end = entry.end.get();
            let error = end.and_then(|end| end.error.as_ref());
            Shown {
                question: entry.question.clone(),
                at_ms: entry.at_ms,
                took: end.map_or_else(|| entry.began.elapsed(), |end| end.took),
                end: end.map(|_| error.map_or(Ok(()), |(kind, _)| Err(*kind))),
                error: error.map(|(_, message)| message.clone()),
            }
        };
        all.iter().map(shown).collect()
    }
}

impl Ticket {
    pub fn finish(self, outcome: Result<(), &Error>) {
        self.ended(outcome.err().map(|error| (error.kind, error.to_string())));
    }

    /// The same with the kind of an error and what the client was told.
    pub fn ended(self, error: Option<(ErrorKind, String)>) {
        self.end(error);
    }

    /// The first word counts.
    fn end(&self, error: Option<(ErrorKind, String)>) {
        let error = error.map(|(kind, mut message)| {
            cut(&mut message, MAX_ERROR);
            (kind, message)
        });
        let _ = self.0.end.set(End { took: self.0.began.elapsed(), error });
    }
}

/// So much of a text as is kept, for those who copy it.
pub fn kept(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

/// What is cut off takes no memory either.
fn cut(text: &mut String, most: usize) {
    text.truncate(text.floor_char_boundary(most));
    text.shrink_to_fit();
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.0.end.get().is_none() {
            let error = canceled();
            self.end(Some((error.kind, error.to_string())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: impl Into<String>) -> Question {
        let (client, by) = ("::1".to_string(), "/api/v1/query".to_string());
        Question { language: Language::Promql, text: text.into(), client, by, user: None, range: None }
    }

    #[test]
    fn what_is_asked_is_shown() {
        let recent = Recent::new(Arc::new(|| 7));
        recent.begin(question("right")).finish(Ok(()));
        recent.begin(question("wrong")).finish(Err(&Error::bad_input("it is wrong")));
        drop(recent.begin(question("given up")));
        let _running = recent.begin(question("running"));
        let shown: Vec<_> =
            recent.shown().into_iter().map(|shown| (shown.question.text.clone(), shown.end, shown.error)).collect();
        assert_eq!(shown[0], ("running".to_string(), None, None));
        assert_eq!((shown[1].0.as_str(), shown[1].1), ("given up", Some(Err(ErrorKind::Canceled))));
        assert_eq!((shown[2].1, shown[2].2.as_deref()), (Some(Err(ErrorKind::BadInput)), Some("it is wrong")));
        assert_eq!(shown[3], ("right".to_string(), Some(Ok(())), None));
    }

    #[test]
    fn it_is_bounded() {
        let recent = Recent::new(Arc::new(|| 7));
        for _ in 0..MAX_BYTES / MAX_TEXT + 10 {
            recent.begin(question("é".repeat(MAX_TEXT))).finish(Ok(()));
        }
        let kept = recent.kept.lock();
        assert!(kept.bytes <= MAX_BYTES && kept.all.len() <= MAX_BYTES / MAX_TEXT, "{} bytes", kept.bytes);
        let memory: usize = kept.all.iter().map(|entry| entry.question.text.capacity()).sum();
        assert!(memory <= MAX_BYTES, "{memory} bytes are kept");
        drop(kept);
        for at in 0..MAX_QUESTIONS + 10 {
            recent.begin(question(at.to_string())).finish(Ok(()));
        }
        let shown = recent.shown();
        assert_eq!((shown.len(), shown[0].question.text.as_str()), (MAX_QUESTIONS, "10009"));
    }
}
