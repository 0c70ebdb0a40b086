//! Several blocks as one: a series is then found once and has its fixed part once, and its numbers fill their frames.

use std::sync::Arc;

use super::{Builder, NONE, PackedBlock, PackedRun, Values, position};
use crate::model::sample::TimeRange;
use crate::storage::runs::combine;
use crate::storage::types::{MemorySource, Run};

/// A run and the block it lies in.
type Part<'a> = (&'a PackedBlock, &'a PackedRun);

/// One block with the samples of all; of equal timestamps those of the later block.
/// `None` where it would be too large.
pub fn join(blocks: &[Arc<PackedBlock>]) -> Option<PackedBlock> {
    let mut builder = with_room_for(blocks);
    let mut heads = vec![0; blocks.len()];
    let (mut parts, mut scratch): (Vec<Part<'_>>, _) = (Vec::with_capacity(blocks.len()), Run::default());
    while let Some(series_id) = next_series(&builder, blocks, &mut heads) {
        parts.clear();
        parts.extend(blocks.iter().filter_map(|block| {
            let at = block.by_id.get(&series_id)?;
            Some((block.as_ref(), &block.runs[*at as usize]))
        }));
        push(&mut builder, series_id, &parts, &mut scratch);
        if builder.is_full() {
            return None;
        }
    }
    Some(builder.finish())
}

/// What is joined takes no more room than its parts, but for frames that begin elsewhere.
fn with_room_for(blocks: &[Arc<PackedBlock>]) -> Builder {
    let mut builder = Builder::default();
    let room = |length: fn(&PackedBlock) -> usize| blocks.iter().map(|block| length(block)).sum::<usize>();
    let most = |length: fn(&PackedBlock) -> usize| blocks.iter().map(|block| length(block)).max().unwrap_or(0);
    builder.block.by_id.reserve(most(|block| block.runs.len()));
    builder.block.runs.reserve(most(|block| block.runs.len()));
    builder.block.ints.frames.reserve(most(|block| block.ints.frames.len()));
    builder.block.ints.bytes.reserve_exact(room(|block| block.ints.bytes.len()));
    builder.block.raw.reserve_exact(room(|block| block.raw.len()));
    builder
}

/// The series that comes next in the order of all blocks, which is that of metric and id although a block knows no
/// metrics: one that no other block has further down. `heads` are the first runs that may not be joined yet.
fn next_series(builder: &Builder, blocks: &[Arc<PackedBlock>], heads: &mut [usize]) -> Option<i64> {
    for (block, head) in blocks.iter().zip(heads.iter_mut()) {
        let is_joined = |run: &&PackedRun| builder.block.by_id.contains_key(&run.series_id);
        *head += block.runs[*head..].iter().take_while(is_joined).count();
    }
    let heads: Vec<Option<i64>> =
        blocks.iter().zip(heads).map(|(block, head)| Some(block.runs.get(*head)?.series_id)).collect();
    let is_next = |id: &i64| {
        let mut others = blocks.iter().zip(&heads);
        others.all(|(block, head)| *head == Some(*id) || !block.by_id.contains_key(id))
    };
    let mut candidates = heads.iter().copied().flatten();
    // Were the orders at odds, any would do: a series is looked up wherever it lies.
    candidates.clone().find(is_next).or_else(|| candidates.next())
}

fn push(builder: &mut Builder, series_id: i64, parts: &[Part<'_>], run: &mut Run) {
    run.timestamps.clear();
    parts
        .iter()
        .for_each(|(block, part)| block.extend_timestamps(part, 0..part.rows as usize, &mut run.timestamps));
    if !run.timestamps.is_sorted_by(|a, b| a < b) {
        let read = |(block, _): &Part<'_>| {
            let mut run = Run::default();
            block.read(series_id, TimeRange::ALL, &mut run);
            run
        };
        return builder.push(series_id, (&combine(parts.iter().map(read).collect())).into());
    }
    read_rest(parts, run);
    run.values.clear();
    match scale_of(parts) {
        Some(scale) => {
            let values = push_scaled(builder, scale, parts);
            builder.push_with(series_id, (&*run).into(), values);
        }
        None => {
            let values = &mut run.values;
            parts.iter().for_each(|(block, part)| block.extend_values(part, 0..part.rows as usize, values));
            builder.push(series_id, (&*run).into());
        }
    }
}

/// Histograms and start timestamps of all parts, if one of them has any.
fn read_rest(parts: &[Part<'_>], run: &mut Run) {
    run.histograms.clear();
    run.start_timestamps.clear();
    let with_histograms = parts.iter().any(|(_, part)| part.histograms != NONE);
    let with_starts = parts.iter().any(|(_, part)| part.start_timestamps != NONE);
    let mut rows = 0;
    for (block, part) in parts {
        block.extend_rest(part, 0..part.rows as usize, run);
        rows += part.rows as usize;
        if with_histograms {
            run.histograms.resize(rows, None);
        }
        if with_starts {
            run.start_timestamps.resize(rows, 0);
        }
    }
}

/// The scale of all parts.
fn scale_of(parts: &[Part<'_>]) -> Option<u8> {
    let mut scales = parts.iter().map(|(_, part)| match part.values {
        Values::Scaled { scale, .. } => Some(scale),
        Values::Raw(_) => None,
    });
    let first = scales.next()??;
    scales.all(|scale| scale == Some(first)).then_some(first)
}

/// Integers of one scale need not be floats in between.
fn push_scaled(builder: &mut Builder, scale: u8, parts: &[Part<'_>]) -> Values {
    let mut numbers = std::mem::take(&mut builder.numbers);
    numbers.clear();
    let before = position(builder.block.exceptions.len());
    for (block, part) in parts {
        let Values::Scaled { first, exceptions: (from, to), .. } = part.values else {
            unreachable!("all parts have a scale")
        };
        let row = position(numbers.len());
        let exceptions = &block.exceptions[from as usize..to as usize];
        builder.block.exceptions.extend(exceptions.iter().map(|(at, value)| (row + at, *value)));
        block.ints.for_each_part(first, 0..part.rows as usize, |part| numbers.extend_from_slice(part));
    }
    let exceptions = (before, position(builder.block.exceptions.len()));
    let first = builder.block.ints.push(&numbers, true);
    builder.numbers = numbers;
    Values::Scaled { scale, first, exceptions }
}

#[cfg(test)]
mod tests;
