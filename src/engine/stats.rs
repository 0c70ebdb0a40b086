//! What a query took, and its form in JSON, which the HTTP API and the log of queries show.

use std::fmt::Write;
use std::time::Duration;

use crate::engine::promql::tally::steps::{BySteps, SampleStats};

#[derive(Clone, Debug, Default)]
pub struct QueryStats {
    /// Waiting for one of `--query.max-concurrency` slots.
    pub queue: Duration,
    pub prepare: Duration,
    pub execute: Duration,
    pub sort: Duration,
    /// Where they were asked for.
    pub samples: Option<SampleStats>,
}

impl QueryStats {
    /// Prometheus' `stats`, in its order; seconds of timers, samples as [`tally`] counts them. With `step_time`, which tells
    /// when a step is (in milliseconds), also the samples of each step.
    ///
    /// [`tally`]: crate::engine::promql::tally
    pub fn write_json(&self, out: &mut String, step_time: Option<&dyn Fn(usize) -> i64>) {
        let evaluated = self.prepare + self.execute + self.sort;
        out.push_str("{\"timings\":{");
        let timings = [
            ("evalTotalTime", evaluated),
            ("resultSortTime", self.sort),
            ("queryPreparationTime", self.prepare),
            ("innerEvalTime", self.execute),
            ("execQueueTime", self.queue),
            ("execTotalTime", self.queue + evaluated),
        ];
        for (i, (name, time)) in timings.into_iter().enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\"{name}\":{}", time.as_secs_f64());
        }
        out.push('}');
        if let Some(samples) = &self.samples {
            let BySteps { queryable, read } = &samples.by_step;
            let steps = |values: &[u64], at: &dyn Fn(usize) -> i64| {
                let step = |(k, samples): (usize, &u64)| format!("[{},{samples}]", at(k) as f64 / 1000.0);
                values.iter().enumerate().map(step).collect::<Vec<_>>().join(",")
            };
            out.push_str(",\"samples\":{");
            if let Some(at) = step_time.filter(|_| !queryable.is_empty()) {
                let _ = write!(out, "\"totalQueryableSamplesPerStep\":[{}],", steps(queryable, at));
            }
            let _ = write!(out, "\"totalQueryableSamples\":{},", queryable.iter().sum::<u64>());
            if let Some(at) = step_time.filter(|_| !read.is_empty()) {
                let _ = write!(out, "\"samplesReadPerStep\":[{}],", steps(read, at));
            }
            let _ = write!(out, "\"samplesRead\":{},\"peakSamples\":{}}}", read.iter().sum::<u64>(), samples.peak);
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_that_of_prometheus() {
        let ms = Duration::from_millis;
        let by_step = BySteps { queryable: vec![3, 4], read: vec![3, 1] };
        let samples = Some(SampleStats { by_step, peak: 5 });
        let stats = QueryStats { queue: ms(1), prepare: ms(20), execute: ms(300), sort: ms(4), samples };
        let written = |step_time: Option<&dyn Fn(usize) -> i64>| {
            let mut out = String::new();
            stats.write_json(&mut out, step_time);
            out
        };
        let timings = concat!(
            r#""timings":{"evalTotalTime":0.324,"resultSortTime":0.004,"queryPreparationTime":0.02,"#,
            r#""innerEvalTime":0.3,"execQueueTime":0.001,"execTotalTime":0.325}"#
        );
        let totals = r#""samples":{"totalQueryableSamples":7,"samplesRead":4,"peakSamples":5}"#;
        assert_eq!(written(None), format!("{{{timings},{totals}}}"));
        let all = concat!(
            r#""samples":{"totalQueryableSamplesPerStep":[[0.5,3],[1.5,4]],"totalQueryableSamples":7,"#,
            r#""samplesReadPerStep":[[0.5,3],[1.5,1]],"samplesRead":4,"peakSamples":5}"#
        );
        assert_eq!(written(Some(&|step| 500 + 1000 * step as i64)), format!("{{{timings},{all}}}"));
    }
}
