use std::time::Duration;

use datafusion::execution::memory_pool::GreedyMemoryPool;

use super::*;
use crate::engine::door::{Door, Limits};

/// What a search among values sends, with so much memory.
async fn parts(
    values: &[&str],
    term: &str,
    order: Order,
    limit: usize,
    batch: usize,
    bytes: usize,
) -> Result<Vec<Part>> {
    let door = Door::new(1, Arc::new(GreedyMemoryPool::new(bytes)));
    let (sender, mut receiver) = mpsc::channel(1000);
    let search = |pass: Pass| async move {
        let filter = Filter::new(&[term], Algorithm::JaroWinkler, 0, true);
        let mut found = Found::new(&pass, filter, order, Some(limit));
        values.iter().try_for_each(|value| found.add(&pass, value))?;
        found.send(batch, &sender).await
    };
    door.run(&Limits::within(Duration::from_secs(60)), search).await?;
    assert_eq!(door.reserved_bytes(), 0);
    let mut parts = vec![];
    receiver.recv_many(&mut parts, 1000).await;
    Ok(parts)
}

fn shown(parts: &[Part]) -> String {
    let of = |part: &Part| match part {
        Part::Batch(hits) => hits.iter().map(|hit| hit.value.as_str()).collect::<Vec<_>>().join(","),
        Part::End { has_more } => format!("more: {has_more}"),
    };
    parts.iter().map(of).collect::<Vec<_>>().join(" | ")
}

#[tokio::test]
async fn orders_limits_and_batches() {
    let values = ["c_up", "a", "up", "b_x_up", "up", "c_up", "down"];
    let check = async |order, limit, batch, expected: &str| {
        let parts = parts(&values, "up", order, limit, batch, 1 << 20).await.unwrap();
        assert_eq!(shown(&parts), expected, "{order:?} {limit} {batch}");
    };
    check(Order::Value, 10, 10, "b_x_up,c_up,up | more: false").await;
    check(Order::ValueDescending, 10, 10, "up,c_up,b_x_up | more: false").await;
    // 1 in front, 0.1 at the end, and of equal ones by value.
    check(Order::Score, 10, 10, "up,b_x_up,c_up | more: false").await;
    check(Order::Value, 3, 2, "b_x_up,c_up | up | more: false").await;
    check(Order::Value, 2, 2, "b_x_up,c_up | more: true").await;
    check(Order::ValueDescending, 1, 2, "up | more: true").await;
    check(Order::Score, 1, 1, "up | more: true").await;
    let nothing = parts(&["a"], "up", Order::Value, 1, 1, 1 << 20).await.unwrap();
    assert_eq!(nothing, [Part::Batch(vec![]), Part::End { has_more: false }]);
}

/// The same value of many series is one, and no sign that there are more.
#[tokio::test]
async fn values_are_told_once() {
    for term in ["up", ""] {
        let parts = parts(&["up"; 50], term, Order::Value, 1, 10, 1 << 20).await.unwrap();
        assert_eq!(shown(&parts), "up | more: false");
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let values: Vec<String> = (0..1000).map(|i| format!("up_{i:04}")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let error = parts(&values, "", Order::Value, 1000, 10, 10_000).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Limit, "{error}");
    // Of a few that are kept there are few.
    let few = parts(&values, "", Order::ValueDescending, 2, 10, 1_000).await.unwrap();
    assert_eq!(shown(&few), "up_0999,up_0998 | more: true");
}
