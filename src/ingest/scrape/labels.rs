//! The labels under which a scraped series is stored.

use std::borrow::Cow;

use crate::config::scrape::ScrapeConfig;
use crate::ingest::exposition::series::Pairs;
use crate::ingest::labels::checked;
use crate::model::labels::{Labels, LabelsBuilder, METRIC_NAME};
use crate::model::relabel;

/// Joins scraped and target labels (`honor_labels` decides who wins), relabels and checks the result; `None` where
/// relabelling drops it.
pub(super) fn series_labels(
    pairs: &mut Pairs<'_>,
    target: &Labels,
    config: &ScrapeConfig,
) -> Result<Option<Labels>, String> {
    let twice = take_twice(pairs);
    join_labels(pairs, target, config.honor_labels);
    if !config.metric_relabel_configs.is_empty() {
        let mut builder = LabelsBuilder::new();
        for (name, value) in pairs.iter() {
            builder.set(name, value);
        }
        if !relabel::apply(&config.metric_relabel_configs, &mut builder) {
            return Ok(None);
        }
        pairs.clear();
        pairs.extend(builder.iter().map(|(name, value)| (name.to_string().into(), value.to_string().into())));
    }
    let labels = checked(pairs).map_err(|e| e.to_string())?;
    // What relabelling drops, or a label of the target takes the place of, may be there twice.
    let stays = |name: &str| labels.get(name).is_some() && (config.honor_labels || target.get(name).is_none());
    if let Some(name) = twice.filter(|name| stays(name)) {
        return Err(format!("label name {name:?} is not unique"));
    }
    let names = config.name_validation;
    let valid = names.is_valid_metric_name(labels.metric())
        && labels.iter().all(|(name, _)| name == METRIC_NAME || names.is_valid_label_name(name));
    if !valid {
        return Err(format!("invalid metric name or label names: {labels}"));
    }
    Ok(Some(labels))
}

/// Leaves one of the labels that are there several times, an empty one if there is one, as all of them are none then.
/// Yields the name of others.
fn take_twice(pairs: &mut Pairs<'_>) -> Option<String> {
    let is_twice = |at: usize| pairs[..at].iter().any(|(name, _)| *name == pairs[at].0);
    if !(1..pairs.len()).any(is_twice) {
        return None;
    }
    let mut twice = None;
    let mut kept = Pairs::with_capacity(pairs.len());
    for (name, value) in pairs.drain(..) {
        match kept.iter_mut().find(|(other, _)| *other == name) {
            None => kept.push((name, value)),
            Some((_, other)) if value.is_empty() || other.is_empty() => *other = Cow::Borrowed(""),
            Some(_) => twice = Some(name.into_owned()),
        }
    }
    *pairs = kept;
    twice
}

fn join_labels(pairs: &mut Pairs<'_>, target: &Labels, honor_labels: bool) {
    let mut clashing = Vec::new();
    for (name, value) in target.iter() {
        let value = Cow::Owned(value.to_string());
        match pairs.iter_mut().find(|(other, _)| other == name) {
            // An empty scraped label wins as well, and is no label.
            Some(_) if honor_labels => {}
            Some(pair) => {
                let scraped = std::mem::replace(&mut pair.1, value);
                if !scraped.is_empty() {
                    clashing.push((name.to_string(), scraped.into_owned()));
                }
            }
            None => pairs.push((Cow::Owned(name.to_string()), value)),
        }
    }
    clashing.sort_by_key(|(name, _)| name.len());
    for (mut name, value) in clashing {
        loop {
            name.insert_str(0, "exported_");
            match pairs.iter_mut().find(|(other, _)| *other == name) {
                Some(pair) if pair.1.is_empty() => pair.1 = Cow::Owned(value),
                Some(_) => continue,
                None => pairs.push((Cow::Owned(name), Cow::Owned(value))),
            }
            break;
        }
    }
}

/// Of the job, as Prometheus tells them.
pub(super) fn check_label_limits(labels: &Labels, config: &ScrapeConfig) -> Result<(), String> {
    let limits = &config.limits;
    let metric = shortened(labels.metric());
    let count = labels.len() as u64;
    if limits.label_limit != 0 && count > limits.label_limit {
        let limit = limits.label_limit;
        return Err(format!("label_limit exceeded (metric: {metric}, number of labels: {count}, limit: {limit})"));
    }
    if limits.label_name_length_limit == 0 && limits.label_value_length_limit == 0 {
        return Ok(());
    }
    for (name, value) in labels.iter() {
        let (len, limit) = (name.len() as u64, limits.label_name_length_limit);
        if limit != 0 && len > limit {
            let name = shortened(name);
            return Err(format!(
                "label_name_length_limit exceeded (metric: {metric}, label name: {name}, length: {len}, limit: {limit})"
            ));
        }
        let (len, limit) = (value.len() as u64, limits.label_value_length_limit);
        if limit != 0 && len > limit {
            let (name, value) = (shortened(name), shortened(value));
            return Err(format!(
                "label_value_length_limit exceeded (metric: {metric}, label name: {name}, value: {value:?}, \
                 length: {len}, limit: {limit})"
            ));
        }
    }
    Ok(())
}

/// For error messages, at most 50 characters.
fn shortened(text: &str) -> &str {
    text.char_indices().nth(50).map_or(text, |(at, _)| &text[..at])
}
