//! The end of a query before its result: a flag that computations look at between rows.
//!
//! Aborting a task takes effect where it yields, and a function over a batch does not yield. So whoever gives up
//! a query also raises its flag, and the next row fails.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::error::DataFusionError;

use crate::error::{Error, ErrorKind};

/// The flag of one query; clones share it. Equal to any other: all flags of a plan are one.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl PartialEq for Cancel {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Cancel {}

impl Hash for Cancel {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

impl Cancel {
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// For a plan that runs again.
    pub fn lower(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub fn check(&self) -> Result<(), DataFusionError> {
        if self.0.load(Ordering::Relaxed) {
            let error = Error::new(ErrorKind::Canceled, "query was canceled in expression evaluation");
            return Err(DataFusionError::External(Box::new(error)));
        }
        Ok(())
    }
}

/// Raises the flag when it is dropped, unless it was disarmed.
pub struct CancelOnDrop(Option<Cancel>);

impl CancelOnDrop {
    pub fn new(cancel: Cancel) -> Self {
        Self(Some(cancel))
    }

    pub fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(cancel) = &self.0 {
            cancel.raise();
        }
    }
}
