//! `COPY metric FROM STDIN`, where the server allows it: lines of text or CSV, or rows of the binary format, become samples as
//! those of an INSERT do. In a transaction they wait for its end; outside of one they are written in parts, and a COPY that
//! fails says how many of its rows are there to stay.

use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{CopySource, CopyTarget, Ident, ObjectName, Statement};
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::copy::CopyInResponse;
use tokio::time::{Instant, sleep_until};

use super::conversation::Conversation;
use super::copy::{self, Form};
use super::copy_rows::{Field, Rows};
use super::insert::{self, Column, Target};
use super::params;
use super::pending::Pending;
use super::receive::Frame;
use super::session::Session;
use super::settings::zone::Zone;
use super::shared::DATABASE;
use super::{errors, message};
use crate::engine::session::Engine;

/// Outside of a transaction so much is gathered before it is written.
const PART_BYTES: usize = 16 << 20;

/// A COPY as it is written.
#[derive(Debug)]
pub struct Parts {
    metric: ObjectName,
    columns: Vec<Ident>,
    form: Form,
}

/// A COPY into a metric that is known, or will be.
pub struct CopyIn {
    target: Target,
    form: Form,
}

/// Takes a statement apart.
///
/// # Errors
/// 42501 for files and programs, those of the options.
pub fn parts(statement: &Statement) -> PgWireResult<Parts> {
    let Statement::Copy { source, target, options, legacy_options, .. } = statement else {
        return Err(errors::unsupported(statement));
    };
    match target {
        CopyTarget::Stdin => {}
        CopyTarget::Stdout => return Err(errors::error("42601", "syntax error at or near \"STDOUT\"")),
        CopyTarget::File { .. } | CopyTarget::Program { .. } => {
            let text = "COPY is from STDIN only; no statement reads or writes the server's files";
            return Err(errors::error("42501", text));
        }
    }
    let form = copy::form_in(options, legacy_options)?;
    match source {
        CopySource::Table { table_name, columns } => {
            Ok(Parts { metric: table_name.clone(), columns: columns.clone(), form })
        }
        CopySource::Query(_) => Err(errors::error("42601", "COPY FROM is into a metric, not a query")),
    }
}

impl Parts {
    /// Finds the columns of the metric, where none are named.
    ///
    /// # Errors
    /// 42P01 where that is no metric that there is, 42501 for what is no metric, those of the columns.
    pub async fn known(self, engine: &Engine, session: &Session) -> PgWireResult<CopyIn> {
        let metric = insert::metric_of(&self.metric)?;
        let name = insert::known_metric(engine, &metric).await?;
        let columns: Vec<String> = match self.columns.is_empty() {
            false => self.columns.iter().map(super::names::folded).collect(),
            true => {
                let schema = session.context.catalog(DATABASE).and_then(|catalog| catalog.schema("public"));
                let table = match schema {
                    Some(schema) => schema.table(&name).await.map_err(errors::datafusion)?,
                    None => None,
                };
                let missing =
                    || errors::error("42P01", format!("relation \"{name}\" does not exist: name its columns"));
                let table = table.ok_or_else(missing)?;
                table.schema().fields().iter().map(|field| field.name().clone()).collect()
            }
        };
        Ok(CopyIn { target: Target::of(name, &columns)?, form: self.form })
    }
}

impl CopyIn {
    /// Adds a row.
    fn add(&self, row: &[Field], zone: Zone, samples: &mut Pending) -> PgWireResult<()> {
        let columns = self.target.columns();
        if row.len() != columns.len() {
            let text = match row.get(columns.len()) {
                Some(_) => "extra data after last expected column".to_string(),
                None => format!("missing data for column \"{}\"", columns[row.len()].name()),
            };
            return Err(errors::error("22P04", text));
        }
        let (mut timestamp, mut value, mut labels) = (None, None, Vec::new());
        for (column, field) in columns.iter().zip(row) {
            let Some(field) = field else { continue };
            match column {
                Column::Timestamp => {
                    if let ScalarValue::TimestampMicrosecond(micros, _) =
                        self.read(field, &Type::TIMESTAMPTZ, zone)?
                    {
                        timestamp = micros.map(|micros| micros.div_euclid(1_000));
                    }
                }
                Column::Value => {
                    if let ScalarValue::Float64(read) = self.read(field, &Type::FLOAT8, zone)? {
                        value = read;
                    }
                }
                Column::Label(name) => {
                    if let ScalarValue::Utf8(Some(text)) = self.read(field, &Type::TEXT, zone)? {
                        labels.push((name.as_str(), text));
                    }
                }
                Column::Histogram => return Err(errors::unsupported("COPY of histograms")),
                Column::Ignored => {}
            }
        }
        let labels: Vec<(&str, &str)> = labels.iter().map(|(name, text)| (*name, text.as_str())).collect();
        self.target.sample(timestamp, value, &labels, samples)
    }

    fn read(&self, field: &[u8], of: &Type, zone: Zone) -> PgWireResult<ScalarValue> {
        match self.form.is_binary() {
            true => params::binary::read(0, &bytes::Bytes::copy_from_slice(field), of),
            false => params::text::read(params::utf8(0, field)?, of, zone),
        }
    }
}

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
        let zone = self.session.zone();
        let until = self.session.statement_timeout().map(|timeout| Instant::now() + timeout);
        loop {
            let frame = self.copied(until).await?;
            let is_end = match frame.kind() {
                message::COPY_DATA => {
                    rows.push(frame.bytes.get(message::HEADER_BYTES..).unwrap_or_default());
                    false
                }
                message::COPY_DONE => true,
                message::COPY_FAIL => {
                    let text = frame.bytes.get(message::HEADER_BYTES..).unwrap_or_default();
                    let text = String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(text)).into_owned();
                    return Err(errors::error("57014", format!("COPY from stdin failed: {text}")));
                }
                // They were sent before it was known that data is wanted.
                message::FLUSH | message::SYNC => false,
                kind => {
                    let text = format!("unexpected message type 0x{kind:02X} during COPY from stdin");
                    return Err(errors::error("08P01", text));
                }
            };
            drop(frame);
            while let Some(row) = rows.next(is_end).map_err(|error| placed(error, copy, rows))? {
                copy.add(&row, zone, samples).map_err(|error| placed(error, copy, rows))?;
                if samples.bytes() >= PART_BYTES && !self.is_in_transaction() {
                    self.write(samples, false).await?;
                    *durable = rows.count();
                }
            }
            if is_end {
                break;
            }
        }
        match self.is_in_transaction() {
            true => self.keep(samples, false),
            false => self.write(samples, false).await.map(drop),
        }
    }

    /// The next message of the client.
    async fn copied(&mut self, until: Option<Instant>) -> PgWireResult<Frame> {
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
            () = timeout => Err(errors::error("57014", "canceling statement due to statement timeout")),
            next = self.messages.recv() => match next {
                Some(frame) => frame,
                None => Err(PgWireError::IoError(std::io::ErrorKind::UnexpectedEof.into())),
            },
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn statements_are_taken_apart() {
        let check = |sql: &str, want: &str| {
            let statement = Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0);
            let got = parts(&statement).map_or_else(|e| e.code().to_string(), |parts| format!("{:?}", parts.form));
            assert!(got.starts_with(want), "{sql}: {got}");
        };
        check("COPY m FROM STDIN", "Text");
        check("COPY m (timestamp, value) FROM STDIN WITH (FORMAT csv, HEADER)", "Csv");
        check("COPY m FROM STDIN (FORMAT binary)", "Binary");
        check("COPY m FROM STDIN CSV HEADER", "Csv");
        check("COPY m FROM STDIN (FORMAT csv, FORCE_QUOTE (a))", "0A000");
        check("COPY m FROM '/etc/passwd'", "42501");
        check("COPY m FROM PROGRAM 'cat'", "42501");
    }

    #[test]
    fn rows_become_samples() {
        let check = |columns: &[&str], row: &[Option<&str>], want: &str| {
            let columns: Vec<String> = columns.iter().map(|name| name.to_string()).collect();
            let form = Form::Text { delimiter: b'\t', null: "\\N".into(), header: false };
            let copy = CopyIn { target: Target::of("m".into(), &columns).unwrap(), form };
            let row: Vec<Field> = row.iter().map(|field| field.map(|text| text.as_bytes().to_vec())).collect();
            let mut samples = Pending::new(crate::engine::door::Memory::unbounded("a test"));
            let got = copy.add(&row, Zone::UTC, &mut samples);
            assert_eq!(got.map_or_else(|e| e.code().to_string(), |()| "fine".into()), want, "{row:?}");
        };
        let all = &["timestamp", "value", "host"];
        check(all, &[Some("2026-01-01 00:00Z"), Some("1.5"), Some("a")], "fine");
        check(all, &[Some("2026-01-01 00:00Z"), Some("1.5"), None], "fine");
        check(all, &[Some("2026-01-01 00:00Z"), Some("1.5")], "22P04");
        check(all, &[Some("2026-01-01 00:00Z"), Some("1.5"), None, None], "22P04");
        check(all, &[None, Some("1.5"), None], "23502");
        check(all, &[Some("2026-01-01"), Some("x"), None], "22P02");
        check(all, &[Some("someday"), Some("1"), None], "22007");
    }
}
