//! After a restart: the log objects the lake does not contain yet, in order, into registry, memtable and index.

use crate::error::{Error, ErrorKind, Result};
use crate::storage::head::memtable::Memtable;
use crate::storage::head::registry::Registry;
use crate::storage::index::series_index::SeriesIndex;
use crate::storage::store::gate::Gate;
use crate::storage::types::LogRows;
use crate::storage::wal::log::Log;

/// What a replay leaves behind.
pub struct Replayed {
    /// The first number that is free.
    pub next_sequence: u64,
    pub objects: usize,
    pub samples: usize,
}

/// Replays objects after `applied`, the last one the lake contains, and deletes those up to it.
pub async fn replay(
    log: &Log,
    applied: u64,
    gate: &mut Gate,
    memtable: &Memtable,
    index: &mut SeriesIndex,
) -> Result<Replayed> {
    let all = log.list().await?;
    let (done, todo): (Vec<u64>, Vec<u64>) = all.into_iter().partition(|sequence| *sequence <= applied);
    if let Err(error) = log.delete(done.into_iter()).await {
        tracing::warn!("flushed log objects stay for now: {error}");
    }
    let mut replayed = Replayed { next_sequence: applied + 1, objects: 0, samples: 0 };
    let last = todo.last().copied();
    for sequence in todo {
        if sequence != replayed.next_sequence {
            let missing = log.path(replayed.next_sequence);
            return Err(Error::internal(format!(
                "the write-ahead log has {} but lacks {missing}",
                log.path(sequence)
            )));
        }
        let rows = match log.read(sequence).await? {
            Ok(decoded) => decoded.rows,
            // A version of tomorrow is not a torn write; it must not be deleted.
            Err(reason) if Some(sequence) == last && reason.kind == ErrorKind::Internal => {
                tracing::warn!("{} was never acknowledged and is deleted: {reason}", log.path(sequence));
                log.delete(std::iter::once(sequence)).await?;
                break;
            }
            Err(reason) => {
                return Err(
                    Error::new(reason.kind, format!("cannot replay {}", log.path(sequence))).with_source(reason)
                );
            }
        };
        let rows = resolve(rows, &mut gate.registry, gate.generation)
            .map_err(|e| Error::internal(format!("cannot replay {}", log.path(sequence))).with_source(e))?;
        gate.registry.replay(&rows);
        gate.metadata.extend(rows.metadata.iter().cloned());
        gate.dirty = true;
        for (series, day) in memtable.apply(&rows) {
            index.insert(&series, day);
        }
        replayed.objects += 1;
        replayed.samples += rows.samples.slots.len() + rows.histograms.len();
        replayed.next_sequence = sequence + 1;
    }
    Ok(replayed)
}

/// Fills in the slots of rows that come from the log.
fn resolve(mut rows: LogRows, registry: &mut Registry, generation: u32) -> Result<LogRows> {
    for (slot, series) in &mut rows.series {
        *slot = registry.restore(series, generation);
    }
    let slot_of = |id: i64| {
        registry.slot_of(id).ok_or_else(|| Error::internal(format!("it uses series {id} before its labels")))
    };
    for (slot, id) in rows.samples.slots.iter_mut().zip(&rows.samples.series_ids) {
        *slot = slot_of(*id)?;
    }
    for row in &mut rows.histograms {
        row.slot = slot_of(row.series_id)?;
    }
    for row in &mut rows.exemplars {
        row.slot = slot_of(row.series_id)?;
    }
    Ok(rows)
}
