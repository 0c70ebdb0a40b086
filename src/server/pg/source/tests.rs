use datafusion::arrow::array::Int64Array;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};
use tokio::sync::mpsc;

use super::super::settings::zone::Zone;
use super::super::writer::Encoder;
use super::*;

fn batch(rows: impl Iterator<Item = i64>) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(rows))]).unwrap()
}

/// One to ten, three at a time.
fn source(scrolls: bool) -> Source {
    let batches = [batch(1..4), batch(4..7), batch(0..0), batch(7..10), batch(10..11)];
    let schema = batches[0].schema();
    let stream = futures::stream::iter(batches.map(Ok));
    Source::new(
        Box::pin(RecordBatchStreamAdapter::new(schema, stream)),
        Shape::AsIs,
        if scrolls { Back::Always } else { Back::Never },
    )
}

/// What is written on the way, and how many rows that is said to be; or the code of the error.
async fn went(source: &mut Source, motion: Motion) -> Result<(Vec<i64>, u64), String> {
    let (parts, mut written) = mpsc::channel(100);
    let field = FieldInfo::new("n".into(), None, None, Type::INT8, FieldFormat::Binary);
    let mut writer = Writer::new(Encoder { fields: Arc::new(vec![field]), zone: Zone::UTC, copy: None }, parts);
    let moved = source.go(motion, Some(&mut writer), None).await.map_err(|e| e.code().to_string())?;
    drop(writer);
    let mut rows = vec![];
    while let Some(part) = written.recv().await {
        // A kind, a length, the number of fields, the length of the only one, and the number.
        rows.extend(part.messages.chunks(19).map(|row| i64::from_be_bytes(row[11..].try_into().unwrap())));
    }
    Ok((rows, moved))
}

async fn check(scrolls: bool, steps: &[(Motion, Result<&[i64], &str>)]) {
    let mut source = source(scrolls);
    for (at, (motion, want)) in steps.iter().enumerate() {
        let want = want.map(|rows| (rows.to_vec(), rows.len() as u64)).map_err(String::from);
        assert_eq!(went(&mut source, *motion).await, want, "step {at}: {motion:?}");
    }
}

#[tokio::test]
async fn forward_as_they_come() {
    check(
        false,
        &[
            (Motion::Forward(Some(2)), Ok(&[1, 2])),
            (Motion::Forward(Some(3)), Ok(&[3, 4, 5])),
            (Motion::Relative(2), Ok(&[7])),
            (Motion::Absolute(9), Ok(&[9])),
            (Motion::Forward(None), Ok(&[10])),
            (Motion::Forward(None), Ok(&[])),
            (Motion::Backward(Some(1)), Err("55000")),
        ],
    )
    .await;
    for back in [Motion::Absolute(1), Motion::Absolute(0), Motion::Absolute(-1), Motion::Relative(0)] {
        check(false, &[(Motion::Forward(Some(1)), Ok(&[1])), (back, Err("55000"))]).await;
    }
}

/// As PostgreSQL goes through ten rows of a SCROLL cursor.
#[tokio::test]
async fn there_and_back() {
    check(
        true,
        &[
            (Motion::Backward(Some(1)), Ok(&[])),
            (Motion::Forward(Some(4)), Ok(&[1, 2, 3, 4])),
            (Motion::Relative(0), Ok(&[4])),
            (Motion::Backward(Some(2)), Ok(&[3, 2])),
            (Motion::Forward(Some(1)), Ok(&[3])),
            (Motion::Backward(None), Ok(&[2, 1])),
            (Motion::Backward(Some(1)), Ok(&[])),
            (Motion::Forward(Some(1)), Ok(&[1])),
            (Motion::Absolute(-1), Ok(&[10])),
            (Motion::Absolute(-11), Ok(&[])),
            (Motion::Forward(Some(1)), Ok(&[1])),
            (Motion::Absolute(5), Ok(&[5])),
            (Motion::Absolute(5), Ok(&[5])),
            (Motion::Relative(-2), Ok(&[3])),
            (Motion::Absolute(11), Ok(&[])),
            (Motion::Backward(Some(1)), Ok(&[10])),
            (Motion::Forward(None), Ok(&[])),
            (Motion::Backward(None), Ok(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1])),
            (Motion::Absolute(0), Ok(&[])),
            (Motion::Forward(Some(0)), Ok(&[])),
            (Motion::Absolute(i64::MIN), Ok(&[])),
            (Motion::Absolute(i64::MAX), Ok(&[])),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_to_come_is_kept() {
    let mut source = source(false);
    assert_eq!(went(&mut source, Motion::Forward(Some(4))).await.unwrap().0, [1, 2, 3, 4]);
    assert!(!source.is_whole());
    source.go(Motion::Keep, None, None).await.unwrap();
    assert!(source.is_whole());
    assert_eq!(went(&mut source, Motion::Forward(None)).await.unwrap().0, [5, 6, 7, 8, 9, 10]);
}

/// Ten slices of one batch are one batch, and a cursor keeps only so much.
#[tokio::test]
async fn buffers_are_counted_once_and_bounded() {
    let large = batch(0..100_000);
    let schema = large.schema();
    let slices: Vec<_> = (0..10).map(|i| Ok(large.slice(i * 10_000, 10_000))).collect();
    let stream = RecordBatchStreamAdapter::new(schema.clone(), futures::stream::iter(slices));
    let mut shared = Source::new(Box::pin(stream), Shape::AsIs, Back::Always);
    shared.memory = Some(Memory::unbounded("a test"));
    shared.go(Motion::Forward(None), None, None).await.unwrap();
    assert!((800_000..1_000_000).contains(&shared.counted), "{}", shared.counted);
    let own: Vec<_> = (0..50).map(|_| Ok(batch(0..100_000))).collect();
    let stream = RecordBatchStreamAdapter::new(schema, futures::stream::iter(own));
    let mut many = Source::new(Box::pin(stream), Shape::AsIs, Back::Always);
    many.memory = Some(Memory::unbounded("a test"));
    let error = many.go(Motion::Forward(None), None, None).await.unwrap_err();
    assert_eq!(error.code(), "54000");
}

/// PostgreSQL lets plans that can be run backwards go back, without a word of it.
#[tokio::test]
async fn few_rows_are_gone_back_to_unasked() {
    let batches = |rows: i64, count: usize| {
        // Each has a buffer of its own.
        let batches: Vec<_> = (0..count).map(|_| Ok(batch(0..rows))).collect();
        let stream = futures::stream::iter(batches);
        let stream = RecordBatchStreamAdapter::new(batch(0..0).schema(), stream);
        let source = Source::new(Box::pin(stream), Shape::AsIs, Back::WhileFew);
        Source { memory: Some(Memory::unbounded("a test")), ..source }
    };
    let mut few = batches(10, 3);
    assert_eq!(few.go(Motion::Forward(Some(15)), None, None).await.unwrap(), 15);
    assert_eq!(few.go(Motion::Backward(Some(20)), None, None).await.unwrap(), 14);
    let mut many = batches(100_000, 3);
    many.go(Motion::Forward(Some(250_000)), None, None).await.unwrap();
    assert_eq!(many.go(Motion::Backward(Some(1)), None, None).await.unwrap_err().code(), "55000");
    assert_eq!(many.go(Motion::Forward(None), None, None).await.unwrap(), 50_000);
}
