//! A rule at some times: one query for all of them where that works, and for fewer where it does not, down to a single time, at
//! which a rule fails as it would have then.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::config::rules::Rule;
use crate::engine::session::{Engine, EvalTime, Point, QueryRequest, QueryValue, ResultSeries};
use crate::error::{Error, ErrorKind, Result};
use crate::model::labels::Labels;
use crate::rules::backfill::results::{Samples, Track};
use crate::rules::backfill::times::Steps;

/// Times of one query, at most.
const MAX_STEPS: usize = 11_000;

/// A rule on its way through time.
#[derive(Debug)]
pub struct Evaluation {
    rule: Rule,
    limit: usize,
    /// Times of one query; less where more of them have turned out to be too much.
    most_steps: usize,
    pub track: Track,
}

impl Evaluation {
    /// `limit` is that of the group, 0 for none.
    pub fn new(rule: Rule, limit: usize) -> Self {
        Self { rule, limit, most_steps: MAX_STEPS, track: Track::default() }
    }

    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Shows the samples of times that follow those before, those of a few queries at a time. What is before `from` is only
    /// looked at. `by_range`: a query for a range may be asked.
    ///
    /// # Errors
    /// Those of `take`, and those that another time would have as well.
    pub async fn samples(
        &mut self,
        engine: &Engine,
        steps: Steps,
        from: i64,
        by_range: bool,
        mut take: impl FnMut(Vec<Samples>) -> Result<()>,
    ) -> Result<()> {
        let mut left = VecDeque::from([steps]);
        while let Some(steps) = left.pop_front() {
            if steps.count == 0 {
                continue;
            }
            let (now, rest) = steps.split(if by_range { self.most_steps } else { 1 });
            left.push_front(rest);
            match self.ask(engine, now).await {
                Ok(found) => take(self.track.samples(&self.rule, self.limit, now, from, found))?,
                Err(error) if !may_be_of_the_times(&error) => return Err(self.named(error)),
                Err(error) if now.count > 1 => {
                    let half = now.count.div_ceil(2);
                    if error.kind != ErrorKind::Execution {
                        self.most_steps = half;
                    }
                    let (first, second) = now.split(half);
                    left.push_front(second);
                    left.push_front(first);
                }
                Err(error) if error.kind == ErrorKind::Timeout => return Err(self.named(error)),
                Err(error) if now.first >= from => self.track.fail(now.first, || error.to_string()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn named(&self, error: Error) -> Error {
        Error::new(error.kind, format!("rule {}", self.rule.name())).with_source(error)
    }

    async fn ask(&self, engine: &Engine, steps: Steps) -> Result<Vec<ResultSeries>> {
        let time = match steps.count {
            1 => EvalTime::Instant { at: steps.first },
            _ => EvalTime::Range { start: steps.first, end_inclusive: steps.last(), step: steps.step },
        };
        let request = QueryRequest {
            parsed: Some(Arc::clone(&self.rule.expr)),
            ..QueryRequest::new(self.rule.query.as_str(), time)
        };
        match engine.promql(request, |response| response.value).await? {
            QueryValue::Matrix(series) | QueryValue::Vector(series) => Ok(series),
            QueryValue::Scalar(at, value) => {
                Ok(vec![ResultSeries { labels: Labels::empty(), points: vec![(at, Point::Float(value))] }])
            }
            QueryValue::String(..) => Err(Error::bad_input("rule result is not a vector or scalar")),
        }
    }
}

/// Whether a query for other times, or for fewer, may go well.
fn may_be_of_the_times(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Execution | ErrorKind::Limit | ErrorKind::Timeout)
}
