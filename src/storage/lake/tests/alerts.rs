//! Changes of alerts: written once, read back, merged, dropped, and what the history ends with.

use std::sync::atomic::Ordering;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, TimestampMillisecondType};

use super::{DAY, DAY_START, Flaky, Lake, Objects, clock, object};
use crate::model::labels::Labels;
use crate::model::sample::{DAY_MS, TimeRange};
use crate::storage::lake::alerts::AlertChange;
use crate::storage::lake::schema;

/// Of an alert of a group `g`, in a hall, with a value of 1.5.
pub(super) fn change(alert: &str, time: i64, from: &'static str, to: &'static str) -> AlertChange {
    AlertChange {
        time,
        alert: alert.to_string(),
        labels: Labels::from_pairs([("alertname", alert), ("room", "hall")]),
        annotations: vec![("runbook".to_string(), String::new()), ("summary".to_string(), "is hot".to_string())],
        from_state: from.into(),
        to_state: to.into(),
        value: Some(1.5),
        rule_group: "g".to_string(),
        file: "rules.yml".to_string(),
    }
}

/// A lake of a node that has begun for the nth time.
async fn open(objects: &Objects, node: &str, epoch: u64, now_ms: i64) -> Lake {
    let lake = Lake::open(objects, node, clock(now_ms)).await.unwrap();
    lake.take_over(epoch).await.unwrap();
    lake
}

async fn batches(lake: &Lake, range: TimeRange) -> Vec<RecordBatch> {
    let mut all = Vec::new();
    for file in lake.alert_files(range) {
        all.extend(lake.read_alert_file(&file).await.unwrap().map(Result::unwrap));
    }
    all
}

/// Time of the day, alert and both states of every row, by time.
async fn rows(lake: &Lake) -> Vec<String> {
    let mut shown = Vec::new();
    for batch in batches(lake, TimeRange::ALL).await {
        let times = batch.column_by_name("time").unwrap().as_primitive::<TimestampMillisecondType>();
        let text = |name: &str, row: usize| batch.column_by_name(name).unwrap().as_string::<i32>().value(row);
        for row in 0..batch.num_rows() {
            let at = times.value(row) - DAY_START;
            shown.push((
                at,
                format!("{at} {} {}>{}", text("alert", row), text("from_state", row), text("to_state", row)),
            ));
        }
    }
    shown.sort();
    shown.into_iter().map(|(_, text)| text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_read_back() {
    let objects = object::open("memory://").unwrap();
    let lake = open(&objects, "a", 1, DAY_START).await;
    let gone =
        AlertChange { value: None, annotations: vec![], ..change("Hot", DAY_START + DAY_MS, "firing", "inactive") };
    let changes =
        [gone, change("Hot", DAY_START + 7, "pending", "firing"), change("Hot", DAY_START, "inactive", "pending")];
    lake.commit_alert_changes(1, &changes, false).await.unwrap();
    assert_eq!(
        lake.alert_files(TimeRange::ALL).iter().map(|file| (file.day, file.rows)).collect::<Vec<_>>(),
        [(DAY, 2), (DAY + 1, 1)]
    );
    let second = TimeRange::new(DAY_START + DAY_MS, i64::MAX);
    assert_eq!(lake.alert_files(second).len(), 1);
    assert_eq!(lake.alert_files(TimeRange::new(DAY_START - 5, DAY_START - 1)).len(), 0);

    let lake = open(&objects, "a", 2, DAY_START).await;
    assert_eq!(
        rows(&lake).await,
        ["0 Hot inactive>pending", "7 Hot pending>firing", "86400000 Hot firing>inactive"]
    );
    let all = batches(&lake, TimeRange::ALL).await;
    assert_eq!(all[0].schema(), *schema::ALERT_HISTORY);
    let map = |name: &str, row: usize| {
        let pairs = all[0].column_by_name(name).unwrap().as_map().value(row);
        let (keys, values) =
            (pairs.column(0).as_string::<i32>().clone(), pairs.column(1).as_string::<i32>().clone());
        (0..keys.len()).map(|at| format!("{}={}", keys.value(at), values.value(at))).collect::<Vec<_>>()
    };
    assert_eq!(map("labels", 1), ["alertname=Hot", "room=hall"]);
    assert_eq!(map("annotations", 1), ["runbook=", "summary=is hot"]);
    let value = |batch: &RecordBatch| {
        let values = batch.column_by_name("value").unwrap().as_primitive::<Float64Type>().clone();
        values.is_valid(0).then(|| values.value(0))
    };
    assert_eq!((value(&all[0]), value(&all[1])), (Some(1.5), None));
}

/// A lake that knows nothing of alerts yet gets the table when it is opened.
#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_lake_is_migrated() {
    let objects = object::open("memory://").unwrap();
    crate::storage::lake::migrate::apply_first(&objects.store).await.unwrap();
    let lake = open(&objects, "a", 1, DAY_START).await;
    lake.commit_alert_changes(1, &[change("Hot", DAY_START, "inactive", "firing")], false).await.unwrap();
    assert_eq!(rows(&lake).await, ["0 Hot inactive>firing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_answer_is_lost_is_written_once() {
    for (before, after) in [(1, 0), (0, 1), (2, 3)] {
        let (store, objects) = Flaky::objects(0, 0);
        let lake = open(&objects, "a", 1, DAY_START).await;
        store.fail_before.store(before, Ordering::SeqCst);
        store.fail_after.store(after, Ordering::SeqCst);
        for sequence in 1..=4 {
            let changes = [change("Hot", DAY_START + sequence as i64, "inactive", "firing")];
            lake.commit_alert_changes(sequence, &changes, false).await.unwrap();
        }
        assert_eq!(rows(&lake).await.len(), 4, "{before} {after}");
    }
}

/// Whoever gave a commit up asks again, maybe when its file has been merged into another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_comes_again_is_written_once() {
    let objects = object::open("memory://").unwrap();
    let lake = open(&objects, "a", 1, DAY_START + DAY_MS).await;
    let first = [change("Hot", DAY_START, "inactive", "firing")];
    let second = [change("Hot", DAY_START + 5, "firing", "inactive")];
    lake.commit_alert_changes(1, &first, false).await.unwrap();
    lake.commit_alert_changes(1, &first, true).await.unwrap();
    lake.commit_alert_changes(2, &second, false).await.unwrap();
    assert_eq!(lake.merge_alert_history().await.unwrap(), 2);
    lake.commit_alert_changes(2, &second, true).await.unwrap();
    let expected = ["0 Hot inactive>firing", "5 Hot firing>inactive"];
    assert_eq!(rows(&lake).await, expected);

    // The next start counts from 1 again, another node for itself, and the process before cannot go on.
    let next = open(&objects, "a", 2, DAY_START).await;
    next.commit_alert_changes(1, &[change("Cold", DAY_START + 6, "inactive", "firing")], false).await.unwrap();
    let other = open(&objects, "b", 1, DAY_START).await;
    other.commit_alert_changes(1, &[change("Cold", DAY_START + 7, "inactive", "firing")], false).await.unwrap();
    let error = lake.commit_alert_changes(3, &second, false).await.unwrap_err();
    assert_eq!(error.kind, crate::error::ErrorKind::Poisoned);
    assert_eq!(rows(&other).await[2..], ["6 Cold inactive>firing", "7 Cold inactive>firing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_merged_swept_and_dropped() {
    let objects = object::open("memory://").unwrap();
    let lake = open(&objects, "a", 1, DAY_START).await;
    let write = async |lake: &Lake, sequence: u64, time: i64| {
        lake.commit_alert_changes(sequence, &[change("Hot", time, "inactive", "firing")], false).await.unwrap();
    };
    for sequence in 1..=31 {
        write(&lake, sequence, DAY_START + 1000 - sequence as i64).await;
    }
    assert_eq!(lake.merge_alert_history().await.unwrap(), 0, "a day that goes on has few files");
    write(&lake, 32, DAY_START).await;
    let before = rows(&lake).await;
    assert_eq!(lake.merge_alert_history().await.unwrap(), 32);
    assert_eq!((lake.alert_files(TimeRange::ALL).len(), rows(&lake).await), (1, before.clone()));
    let merged = batches(&lake, TimeRange::ALL).await;
    let times = merged[0].column(0).as_primitive::<TimestampMillisecondType>().values().to_vec();
    assert!(times.is_sorted() && times.len() == 32, "{times:?}");
    write(&lake, 33, DAY_START + 2000).await;
    write(&lake, 34, DAY_START + DAY_MS).await;

    // Two days later every day is over.
    let lake = open(&objects, "a", 2, DAY_START + 2 * DAY_MS).await;
    assert_eq!(lake.merge_alert_history().await.unwrap(), 2);
    assert_eq!(
        lake.alert_files(TimeRange::ALL).iter().map(|file| (file.day, file.rows)).collect::<Vec<_>>(),
        [(DAY, 33), (DAY + 1, 1)]
    );
    assert_eq!(lake.merge_alert_history().await.unwrap(), 0);
    let rows_before = rows(&lake).await;
    assert_eq!(lake.sweep().await.unwrap(), 32, "what was merged just now may still be read");
    assert_eq!(rows(&lake).await, rows_before);
    assert_eq!(lake.drop_days_before(DAY + 1).await.unwrap(), 1);
    assert_eq!(rows(&lake).await, ["86400000 Hot inactive>firing"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_history_ends_with() {
    let objects = object::open("memory://").unwrap();
    let (lake, other) = (open(&objects, "a", 1, DAY_START).await, open(&objects, "b", 1, DAY_START).await);
    let changes = [
        change("Over", DAY_START - 2 * DAY_MS, "inactive", "firing"),
        change("Over", DAY_START, "firing", "inactive"),
        change("On", DAY_START - DAY_MS, "inactive", "pending"),
        change("On", DAY_START - DAY_MS + 5, "pending", "firing"),
        change("Old", DAY_START - 40 * DAY_MS, "inactive", "firing"),
        AlertChange { rule_group: "h".to_string(), ..change("On", DAY_START + 3, "inactive", "pending") },
    ];
    lake.commit_alert_changes(1, &changes, false).await.unwrap();
    other.commit_alert_changes(1, &[change("On", DAY_START + 9, "firing", "inactive")], false).await.unwrap();
    let lake = open(&objects, "a", 2, DAY_START).await;
    let mut last = lake.last_alert_states().await.unwrap();
    last.sort_by(|a, b| a.rule_group.cmp(&b.rule_group));
    let shown: Vec<_> = last.iter().map(|s| (s.alert.as_str(), s.rule_group.as_str(), s.state.as_str())).collect();
    assert_eq!(shown, [("On", "g", "firing"), ("On", "h", "pending")]);
    assert_eq!(last[0].labels, Labels::from_pairs([("alertname", "On"), ("room", "hall")]));
}
