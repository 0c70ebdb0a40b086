//! What Prometheus 3.16 holds for these, worked out by hand from its `promql/engine.go`.

use crate::engine::promql::lower::tests::{options, run_with};
use crate::engine::query::{EngineOptions, EvalTime, QueryResponse};
use crate::error::{ErrorKind, Result};

/// Three series with a sample each minute from 0 to 10.
const DATA: &str = "
    x{i=\"0\"} 0 1 2 3 4 5 6 7 8 9 10
    x{i=\"1\"} 0 1 2 3 4 5 6 7 8 9 10
    x{i=\"2\"} 0 1 2 3 4 5 6 7 8 9 10
";

const MINUTE: i64 = 60_000;
const AT_10: EvalTime = EvalTime::Instant { at: 10 * MINUTE };
/// Six steps.
const FROM_5_TO_10: EvalTime = EvalTime::Range { start: 5 * MINUTE, end_inclusive: 10 * MINUTE, step: MINUTE };

fn run(query: &str, time: EvalTime, max_samples: usize, stats: bool) -> Result<QueryResponse> {
    run_with(DATA, query, time, &EngineOptions { max_samples, ..options(true) }, stats)
}

#[test]
fn the_limit_is_on_what_is_held_at_a_time() {
    let check = |query: &str, time: EvalTime, held: usize| {
        run(query, time, held, false).unwrap_or_else(|e| panic!("{query} holds no more than {held}: {e}"));
        let refused = run(query, time, held - 1, false).expect_err(query);
        assert_eq!(refused.kind, ErrorKind::Limit, "{query}: {refused}");
        let text = "query processing would load too many samples into memory in query execution";
        assert_eq!(refused.message, text, "{query}");
        let stats = run(query, time, 1_000, true).unwrap().stats.samples.expect("asked for");
        assert_eq!(stats.peak, held as u64, "{query}");
    };
    // Points of the result; samples that are stepped over do not count.
    check("x", AT_10, 3);
    check("x", FROM_5_TO_10, 18);
    check("x @ 300", FROM_5_TO_10, 18);
    check("timestamp(x)", AT_10, 3);
    check("x[5m]", AT_10, 15);
    check("x[3m:1m]", AT_10, 9);
    // The points so far and the window of one series.
    check("sum_over_time(x[5m])", AT_10, 3 + 5);
    check("rate(x[5m])", FROM_5_TO_10, 18 + 5);
    check("sum_over_time(x[5m] offset 3m)", AT_10, 3 + 5);
    check("quantile_over_time(0.5, x[5m])", AT_10, 1 + 3 + 5);
    // A subquery is held while windows go over it.
    check("max_over_time(x[3m:1m])", AT_10, 9 + 3 + 3);
    check("max_over_time(rate(x[2m])[3m:1m])", AT_10, 9 + 3 + 3);
    check("max_over_time(x[3m:1m])", FROM_5_TO_10, 24 + 18 + 3);
    // Operands and the result; of one step also its vectors.
    check("abs(x)", AT_10, 3 + 3 + 3);
    check("x + 1", AT_10, 4 + 4 + 3);
    check("abs(x)", FROM_5_TO_10, 18 + 18);
    // The operands of an aggregation, and of both sides the one that is evaluated second holds the first.
    check("sum(x)", AT_10, 3);
    check("sum(rate(x[5m]))", FROM_5_TO_10, 18 + 5);
    check("x and x", AT_10, 6 + 6);
}

#[test]
fn stats_count_by_step() {
    let check = |query: &str, time: EvalTime, queryable: &[u64], read: &[u64]| {
        let stats = run(query, time, 1_000, true).unwrap().stats.samples.expect("asked for").by_step;
        assert_eq!((stats.queryable.as_slice(), stats.read.as_slice()), (queryable, read), "{query}");
    };
    check("x", AT_10, &[3], &[3]);
    check("x", FROM_5_TO_10, &[3; 6], &[3; 6]);
    check("x @ 300", FROM_5_TO_10, &[3; 6], &[3, 0, 0, 0, 0, 0]);
    check("x[5m]", AT_10, &[15], &[15]);
    check("sum(rate(x[5m])) + 1", FROM_5_TO_10, &[15; 6], &[15, 3, 3, 3, 3, 3]);
    check("rate(x[30s])", FROM_5_TO_10, &[3; 6], &[3; 6]);
    // The windows of the outer function, and what the inner expression read.
    check("max_over_time(x[3m:1m])", AT_10, &[9], &[9]);
    check("max_over_time(x[3m:1m])", FROM_5_TO_10, &[9; 6], &[9, 3, 3, 3, 3, 3]);
    check("x[3m:1m]", AT_10, &[9], &[9]);
    check("1 + 1", AT_10, &[0], &[0]);
}
