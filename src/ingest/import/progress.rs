//! How far an import is, as numbers that anybody may look at meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// See the module. All numbers are of this run.
#[derive(Debug, Default)]
pub struct Progress {
    pub series: AtomicU64,
    pub samples: AtomicU64,
    /// Bytes of committed files.
    pub bytes: AtomicU64,
    pub days: AtomicU64,
    /// Samples there will be, about; 0 while that is not known.
    pub expected_samples: AtomicU64,
    /// Of work whose samples nobody can tell before: so much is done, of so much.
    pub work: AtomicU64,
    pub expected_work: AtomicU64,
    doing: Mutex<String>,
}

/// The numbers at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub series: u64,
    pub samples: u64,
    pub bytes: u64,
    pub days: u64,
    pub expected_samples: u64,
    pub work: u64,
    pub expected_work: u64,
    pub doing: String,
}

impl Progress {
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    /// What is done now, for people.
    pub fn doing(&self, what: impl Into<String>) {
        *self.doing.lock() = what.into();
    }

    pub fn seen(&self) -> Seen {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen {
            series: load(&self.series),
            samples: load(&self.samples),
            bytes: load(&self.bytes),
            days: load(&self.days),
            expected_samples: load(&self.expected_samples),
            work: load(&self.work),
            expected_work: load(&self.expected_work),
            doing: self.doing.lock().clone(),
        }
    }
}
