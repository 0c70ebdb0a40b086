//! Requests whose rows are on their way into the log though their senders were told to come back, or went away. They do
//! come back, with the same bytes, and get the answer of the first time: judged again, a request with several samples
//! of a series would be refused for what it brought itself.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::ingest::appender::Appended;
use crate::ingest::remote_write::negotiate::Message;
use crate::ingest::remote_write::outcome::{WriteError, Written};

/// The oldest is forgotten beyond it.
const MAX_KEPT: usize = 256;

/// A request that the store has taken, and its answer once that is durable.
#[derive(Debug)]
pub struct Submitted {
    pub appended: Appended,
    pub outcome: Result<Written, WriteError>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Unanswered(Mutex<VecDeque<(u128, Submitted)>>);

impl Unanswered {
    /// The request that had this body.
    pub fn take(&self, message: Message, body: &[u8]) -> Option<Submitted> {
        let mut kept = self.0.lock();
        if kept.is_empty() {
            return None;
        }
        let key = key(message, body);
        let at = kept.iter().position(|(other, _)| *other == key)?;
        kept.remove(at).map(|(_, submitted)| submitted)
    }

    fn keep(&self, message: Message, body: &[u8], submitted: Submitted) {
        let key = key(message, body);
        let mut kept = self.0.lock();
        if kept.len() == MAX_KEPT {
            kept.pop_front();
        }
        kept.push_back((key, submitted));
    }
}

fn key(message: Message, body: &[u8]) -> u128 {
    xxh3_128_with_seed(body, message as u64)
}

/// A request while its sender waits.
#[derive(Debug)]
pub struct Waiting<'r> {
    unanswered: &'r Unanswered,
    message: Message,
    body: Bytes,
    submitted: Option<Submitted>,
}

impl<'r> Waiting<'r> {
    pub fn new(unanswered: &'r Unanswered, message: Message, body: Bytes, submitted: Submitted) -> Self {
        Self { unanswered, message, body, submitted: Some(submitted) }
    }

    /// Returns the answer, or why there is none yet.
    pub async fn answer(mut self) -> Result<Written, WriteError> {
        let submitted = self.submitted.as_mut().expect("it is taken below, and on the way out");
        submitted.appended.durable().await?;
        let submitted = self.submitted.take().expect("it was there a line ago");
        submitted.outcome
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(submitted) = self.submitted.take() {
            self.unanswered.keep(self.message, &self.body, submitted);
        }
    }
}
