//! DataFusion plans table functions and lists tables in synchronous callbacks; what they need is asynchronous.

use std::future::Future;

use datafusion::common::exec_err;
use datafusion::error::Result;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Waits for a future on this worker thread, after handing its other tasks to the runtime's other workers.
/// A single-threaded runtime has none, so there it is an error instead of a deadlock.
pub(super) fn wait<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() != RuntimeFlavor::CurrentThread => {
            tokio::task::block_in_place(|| handle.block_on(future))
        }
        _ => exec_err!("SQL is planned on a multi-threaded runtime only"),
    }
}
