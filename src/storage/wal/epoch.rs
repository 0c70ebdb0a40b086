//! Epochs: a start claims the next one by put-if-absent, and seals all older ones of its node by putting a seal where
//! each would write next. What was written before its seal counts, and nothing can be written after it.

use bytes::Bytes;
use serde_json::json;

use crate::error::{Error, ErrorKind, Result};
use crate::storage::types::{MAX_EPOCH, Stamp};
use crate::storage::wal::codec::{self, Content, MAX_MARK_BYTES, Origin};
use crate::storage::wal::objects::{Attempt, Kept, Key, Objects};
use crate::storage::wal::pauses::Pauses;

/// Attempts at a put of a start before it fails; the longest pause is three seconds.
const ATTEMPTS: usize = 8;
/// A process that goes on writing while it is sealed is this many objects ahead at most; it gives up sooner.
const MAX_CHASE: usize = 10_000;

/// Claims the next epoch of a node. `writer` is drawn once per process.
pub async fn claim(objects: &Objects, writer: u64, now_ms: i64) -> Result<u64> {
    let newest = objects.list().await?.epochs.last_key_value().map_or(0, |(epoch, _)| *epoch);
    // Others may start at the same moment; each of them takes one.
    for epoch in newest + 1..newest + 1 + MAX_CHASE as u64 {
        if epoch > MAX_EPOCH {
            return Err(Error::internal(format!("node {:?} has no epoch left", objects.node())));
        }
        let claim = json!({"writer": format!("{writer:016x}"), "pid": std::process::id(), "claimed_ms": now_ms});
        match put(objects, &objects.claim_path(epoch), claim.to_string().into()).await? {
            Outcome::Ours => return Ok(epoch),
            Outcome::Theirs => {}
        }
    }
    Err(Error::new(ErrorKind::Unavailable, format!("others keep claiming epochs of node {:?}", objects.node())))
}

/// What the log holds once all older epochs are sealed.
#[derive(Debug, Default)]
pub struct Sealed {
    /// Objects with rows, in order.
    pub objects: Vec<Kept>,
    /// The last number the lake contains.
    pub applied: u64,
    /// The last number any older epoch used.
    pub last_sequence: u64,
}

impl Sealed {
    /// The objects that the lake does not contain.
    pub fn to_replay(&self) -> Vec<Key> {
        self.objects.iter().map(|kept| kept.key).filter(|key| key.sequence > self.applied).collect()
    }
}

/// Seals every epoch before `own.epoch`. `applied` is what the lake contains after no older epoch can commit any more:
/// then an older epoch has deleted no object above it, so its next number can be told from what is left.
pub async fn seal_older(objects: &Objects, own: Origin, applied: Stamp) -> Result<Sealed> {
    let listing = objects.list().await?;
    let mut sealed = Sealed { applied: applied.sequence, last_sequence: applied.sequence, ..Sealed::default() };
    let mut epochs: Vec<(u64, Vec<Kept>)> =
        listing.epochs.into_iter().filter(|(epoch, _)| *epoch < own.epoch).collect();
    // A promlake without epochs leaves nothing behind when all is flushed, but may still be there.
    if applied.epoch == 0 && applied.sequence > 0 && epochs.first().is_none_or(|(epoch, _)| *epoch > 0) {
        epochs.insert(0, (0, Vec::new()));
    }
    for (epoch, mut found) in epochs {
        if is_sealed(objects, found.last()).await? {
            found.pop();
        } else {
            seal(objects, own, epoch, sealed.last_sequence, &mut found).await?;
        }
        let last = found.last().map_or(0, |kept| kept.key.sequence);
        sealed.last_sequence = last.max(sealed.last_sequence);
        sealed.objects.extend(found);
    }
    Ok(sealed)
}

/// Whether the last object of an epoch is a seal. Objects with rows are larger, and not read for this.
async fn is_sealed(objects: &Objects, last: Option<&Kept>) -> Result<bool> {
    match last {
        Some(kept) if kept.bytes <= MAX_MARK_BYTES => {
            let found = objects.read(kept.key).await?;
            Ok(found.is_ok_and(|decoded| matches!(decoded.content, Content::Seal { .. })))
        }
        _ => Ok(false),
    }
}

/// Puts the seal at the next number of an epoch; whatever its process writes meanwhile is added to `found`.
async fn seal(objects: &Objects, own: Origin, epoch: u64, before: u64, found: &mut Vec<Kept>) -> Result<()> {
    let newest = found.last().copied();
    let first = newest.map_or(0, |kept| kept.key.sequence).max(before) + 1;
    for sequence in first..first + MAX_CHASE as u64 {
        let key = Key { epoch, sequence };
        let seal = codec::encode_seal(Origin { writer: own.writer, epoch, sequence }, own.epoch);
        if let Outcome::Ours = put(objects, &objects.path(key), seal).await? {
            return Ok(());
        }
        let other = objects.read(key).await?;
        if other.is_ok_and(|decoded| matches!(decoded.content, Content::Seal { .. })) {
            return Ok(());
        }
        // Its size is not known, and it is a moment younger than what was listed.
        found.push(Kept { key, bytes: 0, put_ms: newest.map_or(0, |kept| kept.put_ms), times: None });
    }
    Err(Error::new(
        ErrorKind::Unavailable,
        format!("another process writes as node {:?} faster than it can be stopped", objects.node()),
    ))
}

/// Takes an unreadable object out of the way of the replay: a copy goes to `quarantine/`, and a void takes its place,
/// so that its number never becomes free.
pub async fn set_aside(objects: &Objects, key: Key, own: Origin) -> Result<object_store::path::Path> {
    let aside = objects.quarantine(key).await?;
    let origin = Origin { writer: own.writer, epoch: key.epoch, sequence: key.sequence };
    objects.overwrite(&objects.path(key), codec::encode_void(origin, own.epoch)).await?;
    Ok(aside)
}

enum Outcome {
    Ours,
    Theirs,
}

async fn put(objects: &Objects, path: &object_store::path::Path, bytes: Bytes) -> Result<Outcome> {
    let mut last = None;
    for pause in Pauses::default().take(ATTEMPTS) {
        match objects.attempt(path, &bytes).await {
            Attempt::Durable => return Ok(Outcome::Ours),
            Attempt::Taken => return Ok(Outcome::Theirs),
            Attempt::Unknown(error) => last = Some(error),
        }
        tokio::time::sleep(pause).await;
    }
    Err(last.expect("the loop ends only after an error"))
}

#[cfg(test)]
mod tests;
