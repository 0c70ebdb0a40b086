//! Alerts that waited before a restart go on waiting, by what `ALERTS_FOR_STATE` says of them. Prometheus' rule: those whose
//! `for` is below the grace period begin anew, since they would wait longer otherwise; of the others who was down for a
//! while counts as if it had not been, and still waits for at least the grace period.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::config::rules::RuleKind;
use crate::error::Result;
use crate::model::labels::{Labels, METRIC_NAME};
use crate::model::matcher::{MatchOp, Matcher};
use crate::model::sample::{TimeRange, is_stale};
use crate::rules::dependencies::{ALERT_NAME, ALERTS_FOR_STATE};
use crate::rules::environment::Environment;
use crate::rules::group::Group;
use crate::rules::rule::Rule;

/// Looks up the alerts of a group, once behind a start, after two evaluations.
pub async fn restore(group: &Group, environment: &Environment) {
    let started = Instant::now();
    let now = environment.now_ms();
    let ms = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    let (grace_ms, tolerance_ms) = (ms(environment.options.grace_period), ms(environment.options.outage_tolerance));
    for rule in &group.rules {
        let RuleKind::Alerting { alert, hold_ms, .. } = &rule.config.kind else { continue };
        if *hold_ms >= grace_ms {
            let range = TimeRange::new(now.saturating_sub(tolerance_ms), now);
            match last_samples(environment, rule, alert, range).await {
                Ok(samples) => go_on(rule, &samples, *hold_ms, grace_ms, now),
                // Nothing would ask again; it fires in the end.
                Err(error) => {
                    let (group, alert) = (&group.name, rule.name());
                    tracing::error!(group, alert, %error, "how long alerts waited before the start cannot be looked up");
                }
            }
        }
        rule.state.lock().restored = true;
    }
    group.stats.last_restore_us.store(started.elapsed().as_micros() as u64, Ordering::Relaxed);
}

/// The last sample of each alert, by its labels.
async fn last_samples(
    environment: &Environment,
    rule: &Arc<Rule>,
    alert: &str,
    range: TimeRange,
) -> Result<HashMap<Labels, (i64, f64)>> {
    let mut matchers = vec![matcher(METRIC_NAME, ALERTS_FOR_STATE)?, matcher(ALERT_NAME, alert)?];
    // The others are not known before they are expanded.
    let fixed = rule.config.labels.iter().filter(|(name, text)| name != ALERT_NAME && !text.contains("{{"));
    for (name, text) in fixed {
        matchers.push(matcher(name, text)?);
    }
    let samples = environment.engine().last_samples(matchers, range).await?;
    Ok(samples.into_iter().map(|(labels, last)| (labels.without(&[METRIC_NAME]), last)).collect())
}

fn matcher(name: &str, value: &str) -> Result<Matcher> {
    Matcher::new(name, MatchOp::Equal, value)
}

fn go_on(rule: &Rule, samples: &HashMap<Labels, (i64, f64)>, hold_ms: i64, grace_ms: i64, now: i64) {
    let mut state = rule.state.lock();
    for (labels, alert) in state.alerts.iter_mut() {
        let Some((down_at, since_seconds)) = samples.get(labels) else { continue };
        // It was not active at the end.
        if is_stale(*since_seconds) {
            continue;
        }
        alert.active_at = active_since(*down_at, *since_seconds as i64 * 1000, hold_ms, grace_ms, now);
        tracing::debug!(alert = rule.name(), active_at = alert.active_at, "an alert goes on waiting");
    }
}

/// Since when an alert counts as active that was active since `since` when the server went down, in milliseconds.
fn active_since(down_at: i64, since: i64, hold_ms: i64, grace_ms: i64, now: i64) -> i64 {
    let down_at = down_at.div_euclid(1000) * 1000;
    let left_ms = hold_ms - (down_at - since);
    match left_ms {
        // It fired, and will again with the next evaluation.
        ..=0 => since,
        left_ms if left_ms < grace_ms => now + grace_ms - hold_ms,
        _ => since + (now - down_at),
    }
}

#[cfg(test)]
mod tests {
    use super::active_since;

    #[test]
    fn waiting_goes_on() {
        let minute = 60_000;
        let check = |waited: i64, hold: i64, down: i64, expected_left: i64| {
            let now = 1_700_000_000_000;
            let down_at = now - down * minute;
            let since = active_since(down_at, down_at - waited * minute, hold * minute, 10 * minute, now);
            assert_eq!((since + hold * minute - now) / minute, expected_left, "{waited} {hold} {down}");
        };
        // What fired fires: it has been active for as long as it was, and while the server was down.
        check(20, 15, 5, -10);
        check(15, 15, 5, -5);
        // Less than the grace period is left.
        check(10, 15, 5, 10);
        check(14, 15, 50, 10);
        // The time that the server was down does not count.
        check(2, 15, 5, 13);
        check(5, 60, 30, 55);
    }
}
