//! Stored samples of series, from files and memory, read through the leaf that queries read through.

use std::collections::HashSet;
use std::sync::Arc;

use futures::FutureExt;

use crate::engine::door::Pass;
use crate::engine::session::Engine;
use crate::error::Result;
use crate::ingest::import::existing::{Existing, Stored};
use crate::model::matcher::Matcher;
use crate::model::sample::TimeRange;
use crate::storage::types::{Run, RunSlice};

/// Memory of a sample that is looked at, about; that of histograms comes on top.
const SAMPLE_BYTES: usize = 16;

/// Looks samples up in what an engine reads. Each call passes the engine's door, and holds its samples within the memory of
/// queries until it has found all of them.
pub fn stored(engine: &Engine) -> Existing {
    let engine = engine.clone();
    Arc::new(move |series, range| {
        let engine = engine.clone();
        async move {
            let limits = engine.limits(None);
            let asked = engine.clone();
            engine.run(&limits, move |pass| async move { look_up(&asked, &pass, &series, range).await }).await
        }
        .boxed()
    })
}

async fn look_up(engine: &Engine, pass: &Pass, series: &[(Arc<str>, i64)], range: TimeRange) -> Result<Stored> {
    let memory = pass.memory("stored samples");
    let mut found = Stored::new();
    for of_metric in series.chunk_by(|a, b| a.0 == b.0) {
        let ids: HashSet<i64> = of_metric.iter().map(|(_, id)| *id).collect();
        let name = Matcher::metric(&*of_metric[0].0);
        let raw = engine.raw(pass, range, &[vec![name]]).await?;
        let wanted = raw.series().iter().enumerate().filter(|(_, series)| ids.contains(&series.id));
        let places: Vec<usize> = wanted.map(|(place, _)| place).collect();
        raw.visit(&places, |place, run| {
            memory.grow(run.timestamps.len() * SAMPLE_BYTES)?;
            let series = &raw.series()[place];
            found.insert(series.id, (series.labels.clone(), owned(run)));
            Ok(())
        })
        .await?;
    }
    Ok(found)
}

fn owned(run: RunSlice<'_>) -> Run {
    Run {
        timestamps: run.timestamps.to_vec(),
        values: run.values.to_vec(),
        histograms: run.histograms.to_vec(),
        start_timestamps: run.start_timestamps.to_vec(),
    }
}
