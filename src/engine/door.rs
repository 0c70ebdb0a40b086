//! The one door to the engine: whatever a client asks for (a query, a statement, the names of labels) goes through it
//! from planning to its last byte, with a slot, a deadline, a flag that ends it, and the memory of queries.
//!
//! The work and the wait for it are two things. A deadline, a cancellation or a client that went away ends the wait
//! at once and raises the flag; the work ends at its next look at the flag or its next await, and its slot, which
//! is in its [`Pass`], stays taken until then. So slots tell what really runs.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::RuntimeEnv;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::engine::error::from_datafusion;
use crate::engine::promql::cancel::{Cancel, CancelOnDrop};
use crate::engine::share::Share;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::telemetry::spans;

/// Prometheus' words.
const TOO_LATE: &str = "query timed out in expression evaluation";

/// What ends a piece of work, whatever it is.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the call to the last byte of the answer; the wait for a slot is a part of it.
    pub timeout: Duration,
    /// What is said when it is over.
    pub too_late: &'static str,
    /// Ends the work when it is cancelled. Dropping the wait for the answer does so as well.
    pub canceled: CancellationToken,
    /// Raised when the work is given up. A plan that was made before it runs has its own.
    pub flag: Cancel,
}

impl Limits {
    /// A time, and nothing else.
    pub fn within(timeout: Duration) -> Self {
        Self { timeout, too_late: TOO_LATE, canceled: CancellationToken::new(), flag: Cancel::default() }
    }
}

/// Slots and memory of all work of an engine.
#[derive(Clone)]
pub struct Door {
    slots: Arc<Semaphore>,
    running: Arc<AtomicUsize>,
    pool: Arc<dyn MemoryPool>,
    /// Bytes of it that one piece of work may take.
    share: Option<usize>,
}

/// What the work holds while it runs: its slot is free again when this is dropped.
pub struct Pass {
    /// How long it waited.
    pub queued: Duration,
    pub flag: Cancel,
    pool: Arc<dyn MemoryPool>,
    _slot: OwnedSemaphorePermit,
    _running: Running,
}

/// What passes a door at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    pub queries: usize,
    pub reserved_bytes: usize,
}

/// Counts a piece of work that runs or waits for a slot.
struct Running(Arc<AtomicUsize>);

impl Running {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Door {
    pub fn new(slots: usize, pool: Arc<dyn MemoryPool>) -> Self {
        Self { slots: Arc::new(Semaphore::new(slots.max(1))), running: Arc::default(), pool, share: None }
    }

    /// The same door, with so many bytes at most for each piece of work.
    pub fn with_share(&self, bytes: usize) -> Self {
        Self { share: Some(bytes), ..self.clone() }
    }

    /// Work that runs or waits for a slot, and the bytes that all work has reserved.
    pub fn load(&self) -> Load {
        Load { queries: self.running(), reserved_bytes: self.reserved_bytes() }
    }

    /// Work that runs or waits for a slot.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    /// Memory of the query pool, for what is kept between pieces of work; given back when it is dropped.
    pub fn memory(&self, name: &str) -> Memory {
        Memory::of(&self.pool, name)
    }

    /// Bytes that work has reserved.
    pub fn reserved_bytes(&self) -> usize {
        self.pool.reserved()
    }

    /// Waits for a slot and for the work, until a limit ends the wait. `work` takes the pass to where it runs.
    ///
    /// # Errors
    /// `Timeout` and `Canceled` by the limits, and those of the work.
    pub async fn run<T, E, F>(&self, limits: &Limits, work: impl FnOnce(Pass) -> F) -> Result<T, E>
    where
        E: From<Error>,
        F: Future<Output = Result<T, E>>,
    {
        // A time that is over before it begins; the first poll would answer a small query all the same.
        if limits.timeout.is_zero() {
            return Err(Error::new(ErrorKind::Timeout, limits.too_late).into());
        }
        let given_up = CancelOnDrop::new(limits.flag.clone());
        let whole = async {
            let pass = self.admit(limits.flag.clone()).await?;
            work(pass).await
        };
        let answer = tokio::select! {
            // What is answered where it arrives is answered by the first poll.
            biased;
            answer = tokio::time::timeout(limits.timeout, whole) => match answer {
                Ok(answer) => answer,
                Err(_) => return Err(Error::new(ErrorKind::Timeout, limits.too_late).into()),
            },
            () = limits.canceled.cancelled() => return Err(canceled().into()),
        };
        // The work is gone, and its flag may be that of another run by now.
        given_up.disarm();
        answer
    }

    async fn admit(&self, flag: Cancel) -> Result<Pass> {
        let running = Running::new(&self.running);
        let asked = Instant::now();
        let slot = spans::span("execQueue").around(Arc::clone(&self.slots).acquire_owned()).await;
        let slot = slot.context(ErrorKind::Unavailable, || "shutting down".into())?;
        let pool: Arc<dyn MemoryPool> = match self.share {
            Some(bytes) => Arc::new(Share::new(Arc::clone(&self.pool), bytes)),
            None => Arc::clone(&self.pool),
        };
        Ok(Pass { queued: asked.elapsed(), flag, pool, _slot: slot, _running: running })
    }
}

impl Pass {
    /// For long loops: whether the work is still wanted.
    pub fn check(&self) -> Result<()> {
        self.flag.check().map_err(from_datafusion)
    }

    /// Memory of the query pool, given back when it is dropped.
    pub fn memory(&self, name: &str) -> Memory {
        Memory::of(&self.pool, name)
    }

    /// What a plan runs in, with the memory that this work may take.
    pub fn context(&self, context: Arc<TaskContext>) -> Arc<TaskContext> {
        if Arc::ptr_eq(&self.pool, context.memory_pool()) {
            return context;
        }
        let environment = context.runtime_env();
        let pool = Arc::clone(&self.pool);
        let environment = RuntimeEnv { memory_pool: pool, ..RuntimeEnv::clone(&environment) };
        Arc::new(TaskContext::new(
            context.task_id(),
            context.session_id(),
            context.session_config().clone(),
            context.scalar_functions().clone(),
            context.higher_order_functions().clone(),
            context.aggregate_functions().clone(),
            context.window_functions().clone(),
            Arc::new(environment),
        ))
    }
}

/// Bytes that work accounts for before it takes them.
pub struct Memory(MemoryReservation);

impl Memory {
    pub(super) fn of(pool: &Arc<dyn MemoryPool>, name: &str) -> Self {
        Self(MemoryConsumer::new(name).register(pool))
    }

    /// Of a pool that has as much as is asked for.
    #[cfg(test)]
    pub fn unbounded(name: &str) -> Self {
        let pool: Arc<dyn MemoryPool> =
            Arc::new(datafusion::execution::memory_pool::UnboundedMemoryPool::default());
        Self::of(&pool, name)
    }

    /// # Errors
    /// `Limit` where the pool has no more.
    pub fn grow(&self, bytes: usize) -> Result<()> {
        self.0.try_grow(bytes).map_err(from_datafusion)
    }

    /// Gives some of it back.
    pub fn shrink(&self, bytes: usize) {
        self.0.shrink(bytes.min(self.0.size()));
    }
}

/// An answer in parts, of which few wait for a slow reader. What it ends with is told apart from the parts, so that
/// work that panicked or was lost is never taken for work that is done.
pub struct Answer<T, E> {
    parts: mpsc::Receiver<T>,
    end: End<E>,
    _keeper: AbortOnDrop<()>,
}

enum End<E> {
    Open(oneshot::Receiver<Result<(), E>>),
    Done,
}

impl<T, E: From<Error>> Answer<T, E> {
    /// Sends what `keep` makes; `keep` gets where to, and says how it ended. It is polled on the caller's runtime, which
    /// has threads to look at the clock when all those of queries compute.
    pub fn start<F>(waiting: usize, keep: impl FnOnce(mpsc::Sender<T>) -> F) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Send + 'static,
    {
        let (sender, parts) = mpsc::channel(waiting);
        let (ended, end) = oneshot::channel();
        let kept = spans::carried(keep(sender));
        let keeper = tokio::spawn(async move {
            // Nobody may wait any more.
            let _ = ended.send(kept.await);
        });
        Self { parts, end: End::Open(end), _keeper: AbortOnDrop(keeper) }
    }

    /// The next part. `None` only at the end of work that says it is done. An error is the last thing there is, and
    /// comes before parts that nobody has read.
    pub async fn next(&mut self) -> Option<Result<T, E>> {
        let End::Open(end) = &mut self.end else {
            return self.parts.recv().await.map(Ok);
        };
        let ended = tokio::select! {
            biased;
            ended = &mut *end => ended,
            Some(part) = self.parts.recv() => return Some(Ok(part)),
        };
        self.end = End::Done;
        match ended {
            Ok(Ok(())) => self.parts.recv().await.map(Ok),
            Ok(Err(error)) => self.failed(error),
            Err(_) => self.failed(lost().into()),
        }
    }

    fn failed(&mut self, error: E) -> Option<Result<T, E>> {
        self.parts.close();
        while self.parts.try_recv().is_ok() {}
        Some(Err(error))
    }
}

/// Aborts the task when the caller loses interest.
pub(super) struct AbortOnDrop<T>(pub(super) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Protocols that answer in DataFusion's errors get ours within one.
impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}

/// Prometheus' words.
pub fn canceled() -> Error {
    Error::new(ErrorKind::Canceled, "query was canceled in expression evaluation")
}

/// What is said of work that did not say how it ended.
pub fn panicked() -> Error {
    Error::internal("a query panicked")
}

fn lost() -> Error {
    Error::internal("a query ended without saying how")
}

#[cfg(test)]
mod tests;
