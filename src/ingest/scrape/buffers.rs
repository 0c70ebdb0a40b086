//! Buffers for bodies, shared by all targets: one is held from the request to the end of parsing, so that there are as
//! many as scrapes at a time, not as targets.

use parking_lot::Mutex;

/// One that a single large answer has grown beyond this is not kept.
const LARGEST_BYTES: usize = 16 << 20;

/// Kept at a time; more are rarely in use at once.
const MAX_BUFFERS: usize = 64;

#[derive(Debug)]
pub struct Buffers {
    budget_bytes: usize,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl Buffers {
    /// `budget_bytes` is for those that nobody uses.
    pub fn new(budget_bytes: usize) -> Self {
        Self { budget_bytes, idle: Mutex::default() }
    }

    /// An empty buffer, of about the size that is expected if there is one.
    pub fn take(&self, expected_bytes: usize) -> Vec<u8> {
        let mut idle = self.idle.lock();
        let fits = |buffer: &Vec<u8>| buffer.capacity() >= expected_bytes;
        let best = idle.buffers.iter().enumerate().min_by_key(|(_, buffer)| match fits(buffer) {
            true => (false, buffer.capacity()),
            false => (true, usize::MAX - buffer.capacity()),
        });
        let Some(at) = best.map(|(at, _)| at) else { return Vec::with_capacity(expected_bytes) };
        let buffer = idle.buffers.swap_remove(at);
        idle.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps a buffer for the next scrape, if there is room for it.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut idle = self.idle.lock();
        let has_room = idle.bytes + buffer.capacity() <= self.budget_bytes && idle.buffers.len() < MAX_BUFFERS;
        if has_room && buffer.capacity() <= LARGEST_BYTES {
            idle.bytes += buffer.capacity();
            idle.buffers.push(buffer);
        }
    }

    /// Bytes of the buffers that nobody uses.
    pub fn idle_bytes(&self) -> usize {
        self.idle.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_within_their_budget() {
        let buffers = Buffers::new(1000);
        let given = |bytes: usize| buffers.give(Vec::with_capacity(bytes));
        given(400);
        given(100);
        given(600);
        assert_eq!(buffers.idle_bytes(), 500);
        assert_eq!(buffers.take(50).capacity(), 100);
        assert_eq!(buffers.take(500).capacity(), 400);
        assert_eq!((buffers.idle_bytes(), buffers.take(70).capacity()), (0, 70));
        let large = Buffers::new(usize::MAX);
        large.give(Vec::with_capacity(LARGEST_BYTES + 1));
        assert_eq!(large.idle_bytes(), 0);
    }
}
