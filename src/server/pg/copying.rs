//! The data of a COPY from the client, on its way to be written.

use std::sync::Arc;

use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::CopyInResponse;
use tokio::time::{Instant, sleep_until};

use super::conversation::Conversation;
use super::copy_in::CopyIn;
use super::copy_rows::{MOST_ROW_BYTES, Rows};
use super::pending::Pending;
use super::receive::Frame;
use super::{errors, message};

/// So much is taken apart before it is seen whether the data is still wanted.
const PIECE_BYTES: usize = 64 << 10;
/// Outside of a transaction so much is gathered before it is written.
const PART_BYTES: usize = 16 << 20;

impl Conversation<'_> {
    /// Takes the data of a COPY from the client, and writes it; how many rows there were.
    pub async fn copy_in(&mut self, copy: Arc<CopyIn>) -> PgWireResult<u64> {
        self.check_writes("COPY FROM")?;
        let code = i16::from(copy.form.is_binary());
        let columns = copy.target.columns().len();
        // Columns are those of a statement, of which a text has no more than messages have room for.
        let formats = vec![code; columns];
        let response = CopyInResponse::new(code as i8, columns as i16, formats);
        self.client.send(PgWireBackendMessage::CopyInResponse(response)).await?;
        let _room = self.holder.hold(MOST_ROW_BYTES)?;
        let mut rows = Rows::new(copy.form.clone());
        let mut samples = Pending::new(self.shared.engine.memory("a COPY"));
        let mut durable = 0;
        match self.take_rows(&copy, &mut rows, &mut samples, &mut durable).await {
            Ok(()) => Ok(rows.count()),
            Err(error) if durable > 0 => Err(errors::with_detail(
                error,
                format!("The first {durable} rows of this COPY are written, and stay."),
            )),
            Err(error) => Err(error),
        }
    }

    async fn take_rows(
        &mut self,
        copy: &CopyIn,
        rows: &mut Rows,
        samples: &mut Pending,
        durable: &mut u64,
    ) -> PgWireResult<()> {
        let until = self.session.statement_timeout().map(|timeout| Instant::now() + timeout);
        loop {
            let frame = self.next_frame(until).await?;
            let is_end = match frame.kind() {
                message::COPY_DATA => false,
                message::COPY_DONE => true,
                message::COPY_FAIL => {
                    let text = frame.bytes.get(message::HEADER_BYTES..).unwrap_or_default();
                    let text = String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(text)).into_owned();
                    return Err(errors::error("57014", format!("COPY from stdin failed: {text}")));
                }
                // They were sent before it was known that data is wanted.
                message::FLUSH | message::SYNC => continue,
                kind => {
                    let text = format!("unexpected message type 0x{kind:02X} during COPY from stdin");
                    return Err(errors::error("08P01", text));
                }
            };
            if is_end {
                self.take_piece(copy, rows, &[], true, (samples, durable)).await?;
                break;
            }
            for piece in frame.bytes.get(message::HEADER_BYTES..).unwrap_or_default().chunks(PIECE_BYTES) {
                self.check_wanted(until)?;
                self.take_piece(copy, rows, piece, false, (samples, durable)).await?;
                tokio::task::yield_now().await;
            }
        }
        match self.is_in_transaction() {
            true => self.keep(samples, false),
            false => self.write(samples, false).await.map(drop),
        }
    }

    /// Takes a piece of the data apart, and writes what is enough for a part.
    async fn take_piece(
        &mut self,
        copy: &CopyIn,
        rows: &mut Rows,
        piece: &[u8],
        is_end: bool,
        (samples, durable): (&mut Pending, &mut u64),
    ) -> PgWireResult<()> {
        let now = self.session.now();
        rows.push(piece);
        while let Some(row) = rows.next(is_end).map_err(|error| placed(error, copy, rows))? {
            copy.add(&row, now, samples).map_err(|error| placed(error, copy, rows))?;
            if samples.bytes() >= PART_BYTES && !self.is_in_transaction() {
                self.write(samples, false).await?;
                *durable = rows.count();
            }
        }
        Ok(())
    }

    fn check_wanted(&self, until: Option<Instant>) -> PgWireResult<()> {
        if self.session.open_message().is_cancelled() {
            return Err(errors::canceled());
        }
        match until.is_some_and(|until| until <= Instant::now()) {
            true => Err(too_late()),
            false => Ok(()),
        }
    }

    /// The next message of the client.
    ///
    /// # Errors
    /// 57014 where the statement is not to go on, and why the connection ends.
    pub async fn next_frame(&mut self, until: Option<Instant>) -> PgWireResult<Frame> {
        if let Some(frame) = self.peeked.take() {
            return Ok(frame);
        }
        let canceled = self.session.open_message();
        let timeout = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.shared.shutdown.cancelled() => {
                Err(errors::fatal("57P01", "terminating connection due to administrator command"))
            }
            () = canceled.cancelled() => Err(errors::canceled()),
            () = timeout => Err(too_late()),
            next = self.messages.recv() => match next {
                Some(frame) => frame,
                None => Err(PgWireError::IoError(std::io::ErrorKind::UnexpectedEof.into())),
            },
        }
    }
}

fn too_late() -> PgWireError {
    errors::error("57014", "canceling statement due to statement timeout")
}

/// An error of a row, and which row that is.
fn placed(error: PgWireError, copy: &CopyIn, rows: &Rows) -> PgWireError {
    match error {
        PgWireError::UserError(mut info) => {
            info.where_context = Some(format!("COPY {}, line {}", copy.target.metric(), rows.line()));
            PgWireError::UserError(info)
        }
        error => error,
    }
}
