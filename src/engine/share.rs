//! A part of the memory of queries, for one piece of work that may take no more of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use crate::config::size;

#[derive(Debug)]
pub struct Share {
    pool: Arc<dyn MemoryPool>,
    most: usize,
    reserved: AtomicUsize,
}

impl Share {
    /// So many bytes at most, of what the pool has.
    pub fn new(pool: Arc<dyn MemoryPool>, most: usize) -> Self {
        Self { pool, most, reserved: AtomicUsize::new(0) }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "share({})", size::format(self.most as u64))
    }
}

impl MemoryPool for Share {
    fn name(&self) -> &str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.pool.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.pool.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.reserved.fetch_add(additional, Ordering::Relaxed);
        self.pool.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.reserved.fetch_sub(shrink, Ordering::Relaxed);
        self.pool.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let more = |reserved: usize| reserved.checked_add(additional).filter(|sum| *sum <= self.most);
        if self.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            let most = size::format(self.most as u64);
            return Err(DataFusionError::ResourcesExhausted(format!(
                "the user's role has {most} for a query (memory)"
            )));
        }
        self.pool.try_grow(reservation, additional).inspect_err(|_| {
            self.reserved.fetch_sub(additional, Ordering::Relaxed);
        })
    }

    fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.most)
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    #[test]
    fn neither_more_than_the_share_nor_than_there_is() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(1000));
        let share: Arc<dyn MemoryPool> = Arc::new(Share::new(Arc::clone(&pool), 600));
        let other = MemoryConsumer::new("other").register(&pool);
        let own = MemoryConsumer::new("own").register(&share);
        let second = MemoryConsumer::new("second").register(&share);
        own.try_grow(500).unwrap();
        assert!(second.try_grow(101).unwrap_err().to_string().contains("600B for a query (memory)"));
        second.try_grow(100).unwrap();
        assert_eq!((share.reserved(), pool.reserved()), (600, 600));
        drop(second);
        own.shrink(400);
        other.try_grow(700).unwrap();
        // There is none left, and what was not had is not counted.
        own.try_grow(300).unwrap_err();
        assert_eq!((share.reserved(), pool.reserved()), (100, 800));
        drop(own);
        assert_eq!((share.reserved(), pool.reserved()), (0, 700));
    }
}
