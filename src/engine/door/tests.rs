use std::future::pending;

use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::SessionContext;
use futures::StreamExt;

use super::*;
use crate::engine::query::EngineOptions;
use crate::engine::runtime::QueryRuntime;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

fn door(slots: usize) -> Arc<Door> {
    Arc::new(Door::new(slots, Arc::new(GreedyMemoryPool::new(1_000))))
}

/// The kind of error an answer ends with.
fn kind<T>(answer: Result<T>) -> Option<ErrorKind> {
    answer.err().map(|e| e.kind)
}

async fn until_idle(door: &Door) {
    let deadline = Instant::now() + LONG;
    while door.running() > 0 {
        assert!(Instant::now() < deadline, "work still runs after a minute");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A panic or an abort of the task that works, as the threads of queries tell of it.
async fn on_a_task<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let mut task = AbortOnDrop(tokio::spawn(work));
    (&mut task.0).await.unwrap_or_else(|_| Err(panicked()))
}

/// All parts and how they ended.
async fn read(mut answer: Answer<u32, Error>) -> (Vec<u32>, Option<ErrorKind>) {
    let mut parts = vec![];
    loop {
        match answer.next().await {
            Some(Ok(part)) => parts.push(part),
            Some(Err(error)) => return (parts, Some(error.kind)),
            None => return (parts, None),
        }
    }
}

#[tokio::test]
async fn who_waits_for_a_slot_heeds_deadline_and_cancellation() {
    let door = door(1);
    let held = door.admit(Cancel::default()).await.unwrap();
    let never = |_: Pass| async { Ok::<(), Error>(()) };
    assert_eq!(kind(door.run(&Limits::within(SHORT), never).await), Some(ErrorKind::Timeout));
    let limits = Limits::within(LONG);
    limits.canceled.cancel();
    assert_eq!(kind(door.run(&limits, never).await), Some(ErrorKind::Canceled));
    drop(held);
    assert_eq!(kind(door.run(&Limits::within(LONG), never).await), None);
    assert_eq!(door.running(), 0);
}

#[tokio::test]
async fn a_slot_stays_with_work_that_was_given_up_until_it_ends() {
    let door = door(1);
    let limits = Limits::within(SHORT);
    let (end, ended) = oneshot::channel::<()>();
    // Work that looks at nothing, as the planning of a statement does.
    let deaf = |pass: Pass| async {
        tokio::spawn(async move {
            let _ = ended.await;
            drop(pass);
        });
        pending::<Result<()>>().await
    };
    assert_eq!(kind(door.run(&limits, deaf).await), Some(ErrorKind::Timeout));
    assert!(limits.flag.check().is_err(), "the flag is raised");
    assert_eq!(door.running(), 1);
    let next = |_: Pass| async { Ok::<(), Error>(()) };
    assert_eq!(kind(door.run(&Limits::within(SHORT), next).await), Some(ErrorKind::Timeout));
    end.send(()).unwrap();
    assert_eq!(kind(door.run(&Limits::within(LONG), next).await), None);
}

#[tokio::test]
async fn the_flag_of_work_that_is_done_stays_down() {
    let limits = Limits::within(LONG);
    let done = |_: Pass| async { Ok::<(), Error>(()) };
    assert_eq!(kind(door(1).run(&limits, done).await), None);
    // It may be another run's by now.
    assert!(limits.flag.check().is_ok());
}

/// A statement whose task panicked used to end as a success with the rows so far: its channel was closed, and that
/// was taken for the end.
#[tokio::test]
async fn an_answer_is_at_its_end_only_when_its_work_says_so() {
    let done = Answer::start(2, |parts| async move {
        on_a_task(async move {
            for part in 0..5 {
                parts.send(part).await.expect("a reader");
            }
            Ok(())
        })
        .await
    });
    assert_eq!(read(done).await, (vec![0, 1, 2, 3, 4], None));

    let (read_one, one_is_read) = oneshot::channel::<()>();
    let mut panicking: Answer<u32, Error> = Answer::start(2, |parts| async move {
        on_a_task(async move {
            parts.send(1).await.expect("a reader");
            one_is_read.await.expect("read");
            panic!("as an operator may");
        })
        .await
    });
    assert_eq!(panicking.next().await.unwrap().unwrap(), 1);
    read_one.send(()).unwrap();
    assert_eq!(read(panicking).await, (vec![], Some(ErrorKind::Internal)));

    let lost: Answer<u32, Error> = Answer::start(2, |parts| async move {
        drop(parts);
        panic!("not even how it ended");
    });
    assert_eq!(read(lost).await, (vec![], Some(ErrorKind::Internal)));
}

#[tokio::test]
async fn a_reader_that_does_not_read_keeps_a_slot_until_the_deadline() {
    let door = door(1);
    let (at_the_door, limits) = (Arc::clone(&door), Limits::within(SHORT));
    let mut answer: Answer<u32, Error> = Answer::start(1, |parts| async move {
        let endless = |pass: Pass| {
            on_a_task(async move {
                let _pass = pass;
                while parts.send(0).await.is_ok() {}
                Ok(())
            })
        };
        at_the_door.run(&limits, endless).await
    });
    assert_eq!(answer.next().await.unwrap().unwrap(), 0);
    until_idle(&door).await;
    // What waited is not an answer any more.
    assert_eq!(read(answer).await, (vec![], Some(ErrorKind::Timeout)));
}

#[tokio::test]
async fn dropping_an_answer_ends_its_work() {
    let door = door(1);
    let (at_the_door, limits) = (Arc::clone(&door), Limits::within(LONG));
    let flag = limits.flag.clone();
    let mut answer: Answer<u32, Error> = Answer::start(1, |parts| async move {
        let stuck = |pass: Pass| {
            on_a_task(async move {
                let _pass = pass;
                parts.send(0).await.expect("a reader");
                pending().await
            })
        };
        at_the_door.run(&limits, stuck).await
    });
    assert_eq!(answer.next().await.unwrap().unwrap(), 0);
    drop(answer);
    until_idle(&door).await;
    assert!(flag.check().is_err());
}

#[tokio::test]
async fn memory_is_that_of_the_pool() {
    let door = door(2);
    let pass = door.admit(Cancel::default()).await.unwrap();
    let memory = pass.memory("labels");
    memory.grow(900).unwrap();
    assert_eq!(kind(pass.memory("others").grow(200)), Some(ErrorKind::Limit));
    memory.shrink(5_000);
    assert_eq!(door.reserved_bytes(), 0);
    memory.grow(900).unwrap();
    drop(memory);
    assert_eq!(door.reserved_bytes(), 0);
}

/// Passes through numbers, and panics at 50,000.
fn explosive() -> ScalarUDF {
    let explode = |arguments: &[ColumnarValue]| {
        let numbers = ColumnarValue::values_to_arrays(arguments)?;
        let last = numbers[0].as_primitive::<Int64Type>().iter().flatten().max();
        assert!(last < Some(50_000), "as a function may");
        Ok(ColumnarValue::Array(Arc::clone(&numbers[0])))
    };
    create_udf("explosive", vec![DataType::Int64], DataType::Int64, Volatility::Volatile, Arc::new(explode))
}

/// Numbers of rows of a SQL statement's batches, as they come.
async fn rows(sql: &'static str) -> (Vec<u32>, Option<ErrorKind>) {
    let runtime = Arc::new(QueryRuntime::new(&EngineOptions::default()).unwrap());
    let context = SessionContext::new_with_state(runtime.sql_state());
    context.register_udf(explosive());
    let limits = Limits::within(LONG);
    let threads = Arc::clone(&runtime);
    let door = runtime.door(20);
    let passed = Arc::clone(&door);
    let answer: Answer<u32, Error> = Answer::start(2, |parts| async move {
        let select = |pass: Pass| {
            threads.spawn(async move {
                let _pass = pass;
                let frame = context.sql(sql).await.map_err(from_datafusion)?;
                let mut batches = frame.execute_stream().await.map_err(from_datafusion)?;
                while let Some(batch) = batches.next().await {
                    parts.send(batch.map_err(from_datafusion)?.num_rows() as u32).await.expect("a reader");
                }
                Ok::<(), Error>(())
            })
        };
        passed.run(&limits, select).await
    });
    let read = read(answer).await;
    until_idle(&door).await;
    read
}

#[tokio::test]
async fn a_function_that_panics_is_an_error_wherever_it_runs() {
    let (parts, error) = rows("SELECT explosive(value) FROM generate_series(1, 49999)").await;
    assert_eq!((parts.iter().sum::<u32>(), error), (49_999, None));
    for sql in [
        "SELECT explosive(value) FROM generate_series(1, 100000)",
        "SELECT count(*) FROM generate_series(1, 100000) GROUP BY explosive(value) % 10",
        "SELECT explosive(value) FROM generate_series(1, 100000) ORDER BY 1",
        "SELECT explosive(a.value) FROM generate_series(1, 100000) a JOIN generate_series(1, 100000) b USING (value)",
        "SELECT explosive(value) FROM generate_series(1, 1000) UNION ALL SELECT explosive(value) FROM generate_series(1, 100000)",
    ] {
        assert_eq!(rows(sql).await.1, Some(ErrorKind::Internal), "{sql}");
    }
}
