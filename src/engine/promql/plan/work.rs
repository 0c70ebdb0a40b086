//! What an operator that gathers does beside its own work: reserve the memory it takes in the pool of queries, and look
//! at whether anybody still waits.

use std::cell::Cell;
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch, StringViewArray};
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation, UnboundedMemoryPool};

use crate::engine::promql::cancel::Cancel;

/// Elements between two looks at the flag: less than a millisecond of the cheapest loops.
const ELEMENTS_PER_CHECK: usize = 1 << 16;

/// The pool is shared by all queries, so that it is asked for much at once and not for each row.
const RESERVED_AT_ONCE: usize = 64 << 10;

/// The memory of one operator, given back when it is dropped, and the flag of its query.
#[derive(Debug)]
pub struct Work {
    pub(super) cancel: Cancel,
    reservation: MemoryReservation,
    /// Elements since the last look.
    spent: Cell<usize>,
    /// Of the reservation, what nothing was allocated for so far.
    free: Cell<usize>,
}

impl Work {
    pub fn new(cancel: &Cancel, reservation: MemoryReservation) -> Self {
        Self { cancel: cancel.clone(), reservation, spent: Cell::new(0), free: Cell::new(0) }
    }

    /// Fails if the query was given up.
    pub fn check(&self) -> Result<()> {
        self.cancel.check()
    }

    /// Tells that so many elements are gone through, and fails now and then if the query was given up.
    pub fn spend(&self, elements: usize) -> Result<()> {
        let spent = self.spent.get().saturating_add(elements);
        if spent < ELEMENTS_PER_CHECK {
            self.spent.set(spent);
            return Ok(());
        }
        self.spent.set(0);
        self.check()
    }

    /// Takes memory before it is allocated. Fails where the pool has no more.
    pub fn reserve(&self, bytes: usize) -> Result<()> {
        let free = self.free.get();
        if bytes <= free {
            self.free.set(free - bytes);
            return Ok(());
        }
        // A pool adds what it is asked for to what it has, and must not go round.
        let needed = (bytes - free).min(isize::MAX as usize);
        if needed < RESERVED_AT_ONCE && self.reservation.try_grow(RESERVED_AT_ONCE).is_ok() {
            self.free.set(RESERVED_AT_ONCE - needed);
            return Ok(());
        }
        self.reservation.try_grow(needed)?;
        self.free.set(0);
        Ok(())
    }

    /// [`Work::reserve`] for `count` items of a type.
    pub fn reserve_items<T>(&self, count: usize) -> Result<()> {
        self.reserve(count.saturating_mul(size_of::<T>()))
    }

    /// What was reserved and is gone, for what is made next.
    pub fn release(&self, bytes: usize) {
        self.free.set(self.free.get().saturating_add(bytes));
    }

    /// From now on holds only so much: what was taken on the way is gone.
    pub fn settle(self, bytes: usize) -> Result<MemoryReservation> {
        self.reservation.try_resize(bytes)?;
        Ok(self.reservation)
    }

    /// For what is bounded already.
    pub fn unbounded(cancel: &Cancel) -> Self {
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        Self::new(cancel, MemoryConsumer::new("bounded").register(&pool))
    }

    #[cfg(test)]
    pub fn reserved(&self) -> usize {
        self.reservation.size()
    }

    #[cfg(test)]
    pub fn with_limit(bytes: usize) -> Self {
        use datafusion::execution::memory_pool::GreedyMemoryPool;
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes));
        Self::new(&Cancel::default(), MemoryConsumer::new("test").register(&pool))
    }
}

/// The memory of the rows of a batch. Batches may be parts of one, so the size of their buffers would count it again
/// and again.
pub fn rows_bytes(batch: &RecordBatch) -> Result<usize> {
    let mut bytes = 0usize;
    for column in batch.columns() {
        bytes = bytes.saturating_add(column.to_data().get_slice_memory_size()?);
        // Of texts that counts their views alone.
        if let Some(texts) = column.as_any().downcast_ref::<StringViewArray>() {
            bytes = bytes.saturating_add(texts.total_buffer_bytes_used());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_limited_and_never_goes_round() {
        let work = Work::with_limit(100);
        work.reserve_items::<u64>(12).unwrap();
        work.reserve(5).unwrap_err();
        work.reserve(usize::MAX).unwrap_err();
        work.reserve_items::<u64>(usize::MAX).unwrap_err();
        work.reserve(4).unwrap();
        assert_eq!(work.settle(10).unwrap().size(), 10);
    }

    #[test]
    fn a_query_that_was_given_up_ends_within_many_elements() {
        let work = Work::with_limit(0);
        work.spend(ELEMENTS_PER_CHECK * 2).unwrap();
        work.cancel.raise();
        work.spend(1).unwrap();
        work.spend(ELEMENTS_PER_CHECK).unwrap_err();
    }
}
