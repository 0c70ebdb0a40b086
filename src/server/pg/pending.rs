//! Samples that wait to be written: those of a transaction for its end, which may be that nothing of it happens, and those of a
//! COPY until there are enough of them. They are bounded, and of the memory of queries.

use std::collections::HashMap;

use pgwire::error::{PgWireError, PgWireResult};

use super::errors;
use crate::engine::door::Memory;
use crate::model::labels::Labels;
use crate::past::insert::Statement;

/// What samples of a transaction may take.
pub const MOST_BYTES: usize = 64 << 20;
/// Memory is asked for in such pieces.
const PIECE_BYTES: usize = 256 << 10;
/// What a series costs beside its labels.
const SERIES_BYTES: usize = 160;

/// Where samples of a statement go.
pub trait Samples {
    /// Adds a sample of a series, whose labels have passed [`crate::ingest::labels::checked`].
    ///
    /// # Errors
    /// Where there is no room, or the time is none.
    fn add(&mut self, labels: &Labels, timestamp: i64, value: f64) -> PgWireResult<()>;

    /// What they take that is not counted where they are.
    fn uncounted(&self) -> usize;
}

impl Samples for Statement {
    fn add(&mut self, labels: &Labels, timestamp: i64, value: f64) -> PgWireResult<()> {
        let series = self.series(labels)?;
        Ok(self.push(series, timestamp, value)?)
    }

    fn uncounted(&self) -> usize {
        self.bytes()
    }
}

/// Samples in the order they came in.
pub struct Pending {
    numbers: HashMap<Labels, u32>,
    series: Vec<Labels>,
    rows: Vec<(u32, i64, f64)>,
    label_bytes: usize,
    held: usize,
    memory: Memory,
}

impl Pending {
    pub fn new(memory: Memory) -> Self {
        Self { numbers: HashMap::new(), series: vec![], rows: vec![], label_bytes: 0, held: 0, memory }
    }

    /// How many samples there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// What they take.
    pub fn bytes(&self) -> usize {
        self.label_bytes + self.rows.capacity() * size_of::<(u32, i64, f64)>()
    }

    /// Only so many are left, the first.
    pub fn truncate(&mut self, count: usize) {
        self.rows.truncate(count);
    }

    /// Adds those of another one.
    ///
    /// # Errors
    /// Where there is no room.
    pub fn join(&mut self, other: &Self) -> PgWireResult<()> {
        other.rows.iter().try_for_each(|(series, timestamp, value)| {
            self.add(&other.series[*series as usize], *timestamp, *value)
        })
    }

    /// Takes all of them, to be written.
    ///
    /// # Errors
    /// 22023 for a time that has no date.
    pub fn take(&mut self) -> PgWireResult<Statement> {
        let mut statement = Statement::default();
        for (series, timestamp, value) in std::mem::take(&mut self.rows) {
            statement.add(&self.series[series as usize], timestamp, value)?;
        }
        self.numbers.clear();
        self.series.clear();
        self.label_bytes = 0;
        self.memory.shrink(std::mem::take(&mut self.held));
        Ok(statement)
    }
}

impl Samples for Pending {
    fn add(&mut self, labels: &Labels, timestamp: i64, value: f64) -> PgWireResult<()> {
        let series = match self.numbers.get(labels) {
            Some(series) => *series,
            None => {
                let series = u32::try_from(self.series.len()).map_err(|_| too_many())?;
                self.label_bytes += 2 * (labels.as_bytes().len() + SERIES_BYTES);
                self.numbers.insert(labels.clone(), series);
                self.series.push(labels.clone());
                series
            }
        };
        self.rows.push((series, timestamp, value));
        let bytes = self.bytes();
        if bytes > MOST_BYTES {
            return Err(too_many());
        }
        if bytes > self.held {
            let more = bytes - self.held + PIECE_BYTES;
            self.memory.grow(more).map_err(|e| errors::error("53200", e.to_string()))?;
            self.held += more;
        }
        Ok(())
    }

    fn uncounted(&self) -> usize {
        0
    }
}

fn too_many() -> PgWireError {
    let limit = MOST_BYTES >> 20;
    errors::error(
        "54000",
        format!("samples of a transaction have at most {limit} MiB until it ends; write fewer in one"),
    )
}

/// What waits for the end of a transaction: samples that contradict nothing that is stored, and those that may, which then are
/// passed over.
pub struct Writes {
    pub strict: Pending,
    pub lenient: Pending,
}

impl Writes {
    pub fn of(&mut self, keeps_others: bool) -> &mut Pending {
        if keeps_others { &mut self.lenient } else { &mut self.strict }
    }

    /// What a savepoint goes back to.
    pub fn point(&self) -> (usize, usize) {
        (self.strict.len(), self.lenient.len())
    }

    pub fn go_back(&mut self, (strict, lenient): (usize, usize)) {
        self.strict.truncate(strict);
        self.lenient.truncate(lenient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_wait_within_bounds() {
        let mut pending = Pending::new(Memory::unbounded("a test"));
        let labels = Labels::from_pairs([("__name__", "m"), ("a", "b")]);
        pending.add(&labels, 1, 1.0).unwrap();
        pending.add(&labels, 2, 2.0).unwrap();
        let mut other = Pending::new(Memory::unbounded("a test"));
        other.join(&pending).unwrap();
        assert_eq!((other.len(), other.series.len()), (2, 1));
        pending.truncate(1);
        assert_eq!(pending.len(), 1);
        assert!(pending.take().is_ok());
        assert_eq!(pending.len(), 0);
        let full = (0..10_000_000).find_map(|at| pending.add(&labels, at, 0.0).err());
        assert_eq!(full.unwrap().code(), "54000");
    }
}
