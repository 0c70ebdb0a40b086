//! Samples of statements: written at once, or kept until their transaction ends.

use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;
use pgwire::error::PgWireResult;

use super::conversation::Conversation;
use super::insert::{self, Target};
use super::pending::{Pending, Writes};
use super::run::Clock;
use super::{errors, message};
use crate::engine::sql::promql::StatementPromql;
use crate::past::insert::Inserter;

impl Conversation<'_> {
    /// Whether what is written waits for an end, which is that of a block, or of a message with several statements.
    pub fn is_in_transaction(&self) -> bool {
        self.transaction.is_block() || self.many || self.writes.is_some()
    }

    /// Whether a statement is the last of its message. In the extended protocol the client has to say what comes next before it
    /// is answered, and if that is not Sync, what follows may still fail, and take this with it.
    async fn is_last(&mut self) -> PgWireResult<bool> {
        if !self.is_extended {
            return Ok(true);
        }
        let next = self.next_frame(None).await?;
        let is_sync = next.kind() == message::SYNC;
        self.peeked = Some(next);
        Ok(is_sync)
    }

    /// Who writes.
    ///
    /// # Errors
    /// 25006 where nothing is to be written.
    pub fn check_writes(&self, what: &str) -> PgWireResult<Arc<Inserter>> {
        let inserter = self.shared.inserter.as_ref().filter(|_| self.session.writes());
        let refused = || errors::error("25006", format!("cannot execute {what} in a read-only transaction"));
        inserter.cloned().ok_or_else(refused)
    }

    /// Runs an INSERT; how many samples are new, or in a transaction, how many it has. From when the query has ended on, neither
    /// a cancellation nor a timeout ends it.
    pub async fn insert(
        &mut self,
        plan: LogicalPlan,
        target: Arc<Target>,
        promql: Arc<Vec<StatementPromql>>,
        clock: &Clock,
    ) -> PgWireResult<u64> {
        let inserter = self.check_writes("INSERT")?;
        let limits = clock.limits(&self.shared.engine, self.session.open_message());
        let keeps_others = target.keeps_others();
        let running = insert::Running { plan, target, promql };
        if !self.is_in_transaction() && self.is_last().await? {
            return insert::run(&self.shared.engine, self.session, &inserter, running, limits).await;
        }
        let samples = Pending::new(self.shared.engine.memory("an INSERT"));
        let read = insert::read(&self.shared.engine, self.session, running, limits, samples).await?;
        self.keep(&read, keeps_others)?;
        Ok(read.len() as u64)
    }

    /// Keeps samples until the transaction ends.
    ///
    /// # Errors
    /// 54000 and 53200 where there is no room.
    pub fn keep(&mut self, samples: &Pending, keeps_others: bool) -> PgWireResult<()> {
        let engine = &self.shared.engine;
        let empty = || Pending::new(engine.memory("a transaction"));
        let writes = self.writes.get_or_insert_with(|| Writes { strict: empty(), lenient: empty() });
        writes.of(keeps_others).join(samples)
    }

    /// Writes samples, which are none after that; how many were new.
    pub async fn write(&self, samples: &mut Pending, keeps_others: bool) -> PgWireResult<u64> {
        if samples.len() == 0 {
            return Ok(0);
        }
        let inserter = self.check_writes("INSERT")?;
        let limits = self.clock().limits(&self.shared.engine, self.session.open_message());
        let turn = insert::turn(&inserter, &limits).await?;
        insert::write(self.session, &inserter, turn, samples.take()?, keeps_others).await
    }

    /// Writes what was kept, as the transaction ends.
    ///
    /// # Errors
    /// Those of writing; what was kept is gone.
    pub async fn write_kept(&mut self) -> PgWireResult<()> {
        let Some(mut writes) = self.writes.take() else { return Ok(()) };
        let durable = self.write(&mut writes.strict, false).await?;
        match self.write(&mut writes.lenient, true).await {
            Err(error) if durable > 0 => Err(errors::with_detail(
                error,
                format!("{durable} samples of the transaction are written, and stay."),
            )),
            written => written.map(drop),
        }
    }
}
