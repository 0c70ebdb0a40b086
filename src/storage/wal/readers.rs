//! How far those who read the log behind its writer have come, kept beside it as one small object: after a restart they
//! go on from there, and what they have not read yet is not deleted. `FORMAT.md` says why it may lag behind the truth.

use std::collections::BTreeMap;

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::sample::TimeRange;
use crate::storage::wal::objects::Objects;

const VERSION: u32 = 1;

/// All up to here has been read and is done with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub sequence: u64,
    /// When the object of that number was put, milliseconds since the epoch.
    pub put_ms: i64,
}

/// Where a reader is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    #[serde(flatten)]
    pub position: Position,
    /// What was deleted before it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missed: Option<Missed>,
}

/// Objects that a reader will not find, and where in the lake their samples are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// The last of them.
    pub through: u64,
    /// Of their samples, milliseconds since the epoch, both inclusive; from above to where there are none.
    pub start_ms: i64,
    pub end_ms: i64,
}

impl Missed {
    pub fn times(&self) -> TimeRange {
        TimeRange::new(self.start_ms, self.end_ms)
    }
}

impl Place {
    /// Adds what is about to be deleted.
    pub fn miss(&mut self, through: u64, times: TimeRange) {
        let before = self.missed.map_or(TimeRange::NONE, |missed| missed.times());
        let TimeRange { start_inclusive: start_ms, end_inclusive: end_ms } = before.union(&times);
        self.missed = Some(Missed { through, start_ms, end_ms });
    }

    /// It has come this far.
    pub fn reach(&mut self, position: Position) {
        self.position = position;
        self.missed = self.missed.filter(|missed| missed.through > position.sequence);
    }
}

/// By the readers' names.
pub type Places = BTreeMap<String, Place>;

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    readers: Places,
}

fn path(objects: &Objects) -> Path {
    objects.below(&["readers"])
}

/// What was saved last; nothing where there is none. One that cannot be read is told, and its readers begin anew.
pub async fn load(objects: &Objects) -> Result<Places> {
    let path = path(objects);
    let Some(bytes) = objects.find(&path).await? else { return Ok(Places::new()) };
    match serde_json::from_slice::<Saved>(&bytes) {
        Ok(saved) if saved.version <= VERSION => Ok(saved.readers),
        Ok(saved) => Err(Error::unsupported(format!(
            "{path} has version {}, this promlake reads up to {VERSION}; start the promlake that wrote it, or delete it: \
             remote write then begins with what comes in from now on",
            saved.version
        ))),
        Err(error) => {
            tracing::error!("{path} cannot be read, remote write begins with what comes in from now on: {error}");
            Ok(Places::new())
        }
    }
}

pub async fn save(objects: &Objects, readers: &Places) -> Result<()> {
    let saved = Saved { version: VERSION, readers: readers.clone() };
    let text =
        serde_json::to_vec(&saved).map_err(|e| Error::internal(format!("positions have no JSON form: {e}")))?;
    objects.overwrite(&path(objects), text.into()).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn positions_come_back() {
        let objects = Objects::new(Arc::new(InMemory::new()), "n").unwrap();
        assert_eq!(load(&objects).await.unwrap(), Places::new());
        let position = Position { sequence: 7, put_ms: 1_700_000_000_123 };
        let mut behind = Place { position, missed: None };
        behind.miss(8, TimeRange::new(-5, 9));
        behind.miss(9, TimeRange::NONE);
        assert_eq!(behind.missed, Some(Missed { through: 9, start_ms: -5, end_ms: 9 }));
        let place = Place { position, missed: None };
        let readers = Places::from([("a".to_string(), place), ("b".to_string(), behind)]);
        save(&objects, &readers).await.unwrap();
        assert_eq!(load(&objects).await.unwrap(), readers);
        // It is no object of the log.
        assert!(objects.list().await.unwrap().epochs.is_empty());
    }

    #[tokio::test]
    async fn what_cannot_be_read() {
        let objects = Objects::new(Arc::new(InMemory::new()), "n").unwrap();
        objects.overwrite(&path(&objects), "{".into()).await.unwrap();
        assert_eq!(load(&objects).await.unwrap(), Places::new());
        objects.overwrite(&path(&objects), r#"{"version": 2, "readers": {}}"#.into()).await.unwrap();
        assert_eq!(load(&objects).await.unwrap_err().kind, ErrorKind::Unsupported);
    }
}
