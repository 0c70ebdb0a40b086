//! Memory of what a client leaves with the server between messages: counted for each connection, and within the memory
//! of queries for all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pgwire::error::PgWireResult;

use super::errors;
use crate::engine::door::Memory;

/// What a connection may leave.
const MOST_BYTES: usize = 64 << 20;

/// What is counted of one connection.
pub struct Holder {
    memory: Memory,
    used: AtomicUsize,
}

impl Holder {
    pub fn new(memory: Memory) -> Arc<Self> {
        Arc::new(Self { memory, used: AtomicUsize::new(0) })
    }

    /// Counts so many bytes until what this returns is dropped.
    ///
    /// # Errors
    /// 54000 beyond what a connection may leave, 53200 where there is no memory.
    pub fn hold(self: &Arc<Self>, bytes: usize) -> PgWireResult<Held> {
        // Only the connection itself adds to it, one at a time.
        if self.used.load(Ordering::Relaxed).saturating_add(bytes) > MOST_BYTES {
            let limit = MOST_BYTES >> 20;
            let text =
                format!("prepared statements, portals and savepoints of a connection have at most {limit} MiB");
            return Err(errors::error("54000", text));
        }
        self.memory.grow(bytes).map_err(|e| errors::error("53200", e.to_string()))?;
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Ok(Held { holder: self.clone(), bytes })
    }
}

/// Bytes that are counted as long as this is there.
pub struct Held {
    holder: Arc<Holder>,
    bytes: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.holder.memory.shrink(self.bytes);
        self.holder.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn holder() -> Arc<Holder> {
        Holder::new(Memory::unbounded("a test"))
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let holder = holder();
        let all = holder.hold(MOST_BYTES).unwrap();
        assert_eq!(holder.hold(1).err().unwrap().code(), "54000");
        drop(all);
        assert!(holder.hold(MOST_BYTES).is_ok());
        assert!(holder.hold(usize::MAX).is_err());
    }
}
