//! `COPY metric FROM STDIN`, where the server allows it: lines of text or CSV, or rows of the binary format, become samples as
//! those of an INSERT do. In a transaction they wait for its end; outside of one they are written in parts, and a COPY that
//! fails says how many of its rows are there to stay.

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{CopySource, CopyTarget, Ident, ObjectName, Statement};
use pgwire::api::Type;
use pgwire::error::PgWireResult;

use super::copy::{self, Form};
use super::copy_rows::Field;
use super::errors;
use super::insert::{self, Column, Target};
use super::params;
use super::pending::Pending;
use super::session::{DATABASE, Session};
use crate::engine::session::Engine;
use crate::engine::sql::datetime::read::Now;

/// A COPY as it is written.
#[derive(Debug)]
pub struct Parts {
    metric: ObjectName,
    columns: Vec<Ident>,
    form: Form,
}

/// A COPY into a metric that is known, or will be.
pub struct CopyIn {
    pub target: Target,
    pub form: Form,
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
                let schema = session.context().catalog(DATABASE).and_then(|catalog| catalog.schema("public"));
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
    ///
    /// # Errors
    /// 22P04 for another number of fields, those of values and labels.
    pub fn add(&self, row: &[Field], now: Now, samples: &mut Pending) -> PgWireResult<()> {
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
                        self.read(field, &Type::TIMESTAMPTZ, now)?
                    {
                        timestamp = micros.map(|micros| micros.div_euclid(1_000));
                    }
                }
                Column::Value => {
                    if let ScalarValue::Float64(read) = self.read(field, &Type::FLOAT8, now)? {
                        value = read;
                    }
                }
                Column::Label(name) => {
                    if let ScalarValue::Utf8(Some(text)) = self.read(field, &Type::TEXT, now)? {
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

    fn read(&self, field: &[u8], of: &Type, now: Now) -> PgWireResult<ScalarValue> {
        match self.form.is_binary() {
            true => params::binary::read(0, &bytes::Bytes::copy_from_slice(field), of),
            false => params::text::read(params::text::utf8(0, field)?, of, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::pg::settings::zone::Zone;
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
            let got = copy.add(&row, Now { zone: Zone::UTC, micros: 0 }, &mut samples);
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
