use std::sync::Arc;

use object_store::memory::InMemory;

use super::*;
use crate::model::sample::TimeRange;
use crate::storage::types::LogRows;
use crate::storage::wal::log::Log;

fn objects() -> Objects {
    Objects::new(Arc::new(InMemory::new()), "n").unwrap()
}

/// A start, as the store does it: the epoch, what it found, and the log it goes on with.
async fn start(objects: &Objects, writer: u64, applied: Stamp) -> (u64, Sealed, Log) {
    let epoch = claim(objects, writer, 0).await.unwrap();
    let sealed = seal_older(objects, Origin { writer, epoch, sequence: 0 }, applied).await.unwrap();
    let log = Log::new(objects.clone(), writer, epoch, sealed.last_sequence + 1, sealed.objects.clone());
    (epoch, sealed, log)
}

async fn put(log: &Log, sequence: u64) -> Attempt {
    let mut rows = LogRows::default();
    rows.samples.push(0, 1, sequence as i64, 0.5, 0);
    log.attempt(sequence, &log.encode(&rows, sequence).unwrap(), 0, TimeRange::NONE).await
}

async fn write(log: &Log, sequences: std::ops::RangeInclusive<u64>) {
    for sequence in sequences {
        assert!(matches!(put(log, sequence).await, Attempt::Durable), "{sequence}");
    }
}

fn numbers(sealed: &Sealed) -> Vec<(u64, u64)> {
    sealed.to_replay().iter().map(|key| (key.epoch, key.sequence)).collect()
}

/// A process that comes back from a pause finds a seal where it would write, also when all it wrote has been flushed
/// and deleted since.
#[tokio::test]
async fn a_paused_process_cannot_write_any_more() {
    let objects = objects();
    let (first, _, paused) = start(&objects, 1, Stamp::default()).await;
    write(&paused, 1..=3).await;
    let (second, sealed, log) = start(&objects, 2, Stamp::default()).await;
    assert_eq!((first, second), (1, 2));
    assert_eq!((numbers(&sealed), log.first_sequence()), (vec![(1, 1), (1, 2), (1, 3)], 4));
    assert!(matches!(put(&paused, 4).await, Attempt::Taken));
    write(&log, 4..=5).await;
    // All is flushed, and trimmed; the seal of the paused process stays.
    log.delete(5).await.unwrap();
    assert!(matches!(put(&paused, 4).await, Attempt::Taken));
    let (_, sealed, log) = start(&objects, 3, Stamp { epoch: 2, sequence: 5 }).await;
    assert_eq!((numbers(&sealed), log.first_sequence()), (vec![], 6));
    assert!(matches!(put(&paused, 4).await, Attempt::Taken));
}

/// The next number of an epoch that has nothing left is known from what the lake has.
#[tokio::test]
async fn an_epoch_that_was_trimmed_is_sealed_at_its_next_number() {
    let objects = objects();
    let (_, _, paused) = start(&objects, 1, Stamp::default()).await;
    write(&paused, 1..=7).await;
    paused.delete(7).await.unwrap();
    let (_, sealed, log) = start(&objects, 2, Stamp { epoch: 1, sequence: 7 }).await;
    assert_eq!((numbers(&sealed), log.first_sequence()), (vec![], 8));
    assert!(matches!(put(&paused, 8).await, Attempt::Taken));
}

/// Starts that crash before they write anything leave epochs without objects behind.
#[tokio::test]
async fn epochs_without_objects_are_sealed_too() {
    let objects = objects();
    let (_, _, one) = start(&objects, 1, Stamp::default()).await;
    write(&one, 1..=2).await;
    let (_, _, idle) = start(&objects, 2, Stamp::default()).await;
    let (_, sealed, log) = start(&objects, 3, Stamp::default()).await;
    assert_eq!((numbers(&sealed), log.first_sequence()), (vec![(1, 1), (1, 2)], 3));
    assert!(matches!(put(&idle, 3).await, Attempt::Taken));
    write(&log, 3..=3).await;
    let (_, sealed, _) = start(&objects, 4, Stamp::default()).await;
    assert_eq!(numbers(&sealed), vec![(1, 1), (1, 2), (3, 3)]);
}

/// What the lake contains and a crash kept from being deleted is told apart from what it lacks.
#[tokio::test]
async fn flushed_objects_are_told_apart() {
    let objects = objects();
    let (_, _, log) = start(&objects, 1, Stamp::default()).await;
    write(&log, 1..=4).await;
    let (_, sealed, _) = start(&objects, 2, Stamp { epoch: 1, sequence: 2 }).await;
    assert_eq!(numbers(&sealed), vec![(1, 3), (1, 4)]);
    assert_eq!(sealed.objects.iter().map(|kept| kept.key.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

/// A promlake without epochs wrote directly below the node, and may still do so.
#[tokio::test]
async fn a_log_without_epochs_is_taken_over() {
    let objects = objects();
    let old = Log::new(objects.clone(), 9, 0, 1, Vec::new());
    write(&old, 1..=2).await;
    let (_, sealed, log) = start(&objects, 1, Stamp::default()).await;
    assert_eq!((numbers(&sealed), log.first_sequence()), (vec![(0, 1), (0, 2)], 3));
    assert!(matches!(put(&old, 3).await, Attempt::Taken));

    let emptied = self::objects();
    let old = Log::new(emptied.clone(), 9, 0, 1, Vec::new());
    start(&emptied, 1, Stamp { epoch: 0, sequence: 8 }).await;
    assert!(matches!(put(&old, 9).await, Attempt::Taken));
}

/// The number of an object that was moved aside stays taken.
#[tokio::test]
async fn what_is_set_aside_leaves_a_void() {
    let objects = objects();
    let (_, _, torn) = start(&objects, 1, Stamp::default()).await;
    write(&torn, 1..=1).await;
    let key = Key { epoch: 1, sequence: 2 };
    objects.overwrite(&objects.path(key), Bytes::from_static(b"half an obj")).await.unwrap();
    let (_, sealed, log) = start(&objects, 2, Stamp::default()).await;
    assert_eq!((numbers(&sealed), log.first_sequence()), (vec![(1, 1), (1, 2)], 3));
    let aside = set_aside(&objects, key, Origin { writer: 2, epoch: 2, sequence: 0 }).await.unwrap();
    assert_eq!(objects.find(&aside).await.unwrap().unwrap(), Bytes::from_static(b"half an obj"));
    assert!(matches!(put(&torn, 2).await, Attempt::Taken));
    assert!(matches!(put(&torn, 3).await, Attempt::Taken));
}

#[test]
fn stamps_are_ordered_and_read_the_numbers_of_old_lakes() {
    let stamp = |epoch, sequence| Stamp { epoch, sequence };
    assert_eq!(Stamp::of_version(17), stamp(0, 17));
    assert_eq!(Stamp::of_version(-1), stamp(0, 0));
    for stamp in [stamp(0, 0), stamp(1, 0), stamp(7, 123_456), stamp(MAX_EPOCH, (1 << 40) - 1)] {
        assert!(stamp.version() >= 0);
        assert_eq!(Stamp::of_version(stamp.version()), stamp);
    }
    assert!(stamp(1, 900) < stamp(2, 3) && stamp(1, 900).version() < stamp(2, 3).version());
}
