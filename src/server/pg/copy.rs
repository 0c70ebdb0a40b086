//! `COPY … TO STDOUT`: the rows of a table or a query in PostgreSQL's three formats. No file and no program is written to.

use bytes::{BufMut, BytesMut};
use datafusion::sql::sqlparser::ast::{
    CopyLegacyCsvOption, CopyLegacyOption, CopyOption, CopySource, CopyTarget, Ident, Statement,
};
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::error::{PgWireError, PgWireResult};

use super::encode::{Rows, close};
use super::errors;
use super::names::folded;

/// What a row, or a part of a COPY, begins with.
const COPY_DATA: u8 = b'd';
/// What the binary format begins with, flags and the length of nothing behind it; and what it ends with.
pub const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const TRAILER: &[u8] = b"\xff\xff";

/// How rows are written.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    Text { delimiter: u8, null: String, header: bool },
    Csv { delimiter: u8, null: String, header: bool, quote: u8, escape: u8, force: Vec<String> },
    Binary,
}

/// A COPY as it is written.
#[derive(Debug)]
pub struct Parts {
    /// What it is the rows of, to be parsed and planned by itself.
    pub query: Query,
    pub form: Form,
}

#[derive(Debug)]
pub enum Query {
    Parsed(Box<Statement>),
    Text(String),
}

/// Takes a statement apart.
///
/// # Errors
/// 42501 for files and programs, 0A000 for what is not built, those of the options.
pub fn parts(statement: Statement) -> PgWireResult<Parts> {
    let Statement::Copy { source, to, target, options, legacy_options, .. } = statement else {
        return Err(errors::unsupported(statement));
    };
    match target {
        CopyTarget::File { .. } | CopyTarget::Program { .. } => {
            return Err(errors::error(
                "42501",
                "COPY is to STDOUT only; no statement reads or writes the server's files",
            ));
        }
        CopyTarget::Stdout if to => {}
        CopyTarget::Stdin | CopyTarget::Stdout => {
            return Err(errors::error("42601", "syntax error at or near \"STDIN\""));
        }
    }
    let form = form(&options, &legacy_options, "COPY TO")?;
    let query = match source {
        CopySource::Query(query) => Query::Parsed(Box::new(Statement::Query(query))),
        CopySource::Table { table_name, columns } if columns.is_empty() => {
            Query::Text(format!("SELECT * FROM {table_name}"))
        }
        CopySource::Table { table_name, columns } => {
            let columns: Vec<String> = columns.iter().map(Ident::to_string).collect();
            Query::Text(format!("SELECT {} FROM {table_name}", columns.join(", ")))
        }
    };
    Ok(Parts { query, form })
}

/// What the options of both spellings say, before it is known which of them go together.
#[derive(Default)]
struct Options {
    format: Option<String>,
    delimiter: Option<char>,
    null: Option<String>,
    header: Option<bool>,
    quote: Option<char>,
    escape: Option<char>,
    force: Option<Vec<String>>,
}

/// What the data of a COPY FROM is written in.
///
/// # Errors
/// 0A000 for options that are of COPY TO, or are not built; those of the others.
pub fn form_in(options: &[CopyOption], legacy: &[CopyLegacyOption]) -> PgWireResult<Form> {
    let form = form(options, legacy, "COPY FROM")?;
    match &form {
        Form::Csv { force, .. } if !force.is_empty() => {
            Err(errors::error("0A000", "COPY force quote only available using COPY TO"))
        }
        _ => Ok(form),
    }
}

fn form(options: &[CopyOption], legacy: &[CopyLegacyOption], what: &str) -> PgWireResult<Form> {
    let mut said = Options::default();
    for option in options {
        match option {
            CopyOption::Format(name) => once("format", &mut said.format, folded(name))?,
            CopyOption::Delimiter(c) => once("delimiter", &mut said.delimiter, *c)?,
            CopyOption::Null(text) => once("null", &mut said.null, text.clone())?,
            CopyOption::Header(on) => once("header", &mut said.header, *on)?,
            CopyOption::Quote(c) => once("quote", &mut said.quote, *c)?,
            CopyOption::Escape(c) => once("escape", &mut said.escape, *c)?,
            CopyOption::ForceQuote(columns) => once("force_quote", &mut said.force, force(columns))?,
            CopyOption::Encoding(name) if name.to_ascii_lowercase().replace(['-', '_'], "") == "utf8" => {}
            other => return Err(errors::unsupported(format!("{what} with {other}"))),
        }
    }
    for option in legacy {
        match option {
            CopyLegacyOption::Binary => once("format", &mut said.format, "binary".into())?,
            CopyLegacyOption::Delimiter(c) => once("delimiter", &mut said.delimiter, *c)?,
            CopyLegacyOption::Null(text) => once("null", &mut said.null, text.clone())?,
            CopyLegacyOption::Header => once("header", &mut said.header, true)?,
            CopyLegacyOption::Csv(options) => {
                once("format", &mut said.format, "csv".into())?;
                for option in options {
                    match option {
                        CopyLegacyCsvOption::Header => once("header", &mut said.header, true)?,
                        CopyLegacyCsvOption::Quote(c) => once("quote", &mut said.quote, *c)?,
                        CopyLegacyCsvOption::Escape(c) => once("escape", &mut said.escape, *c)?,
                        CopyLegacyCsvOption::ForceQuote(columns) => {
                            once("force_quote", &mut said.force, force(columns))?;
                        }
                        other => return Err(errors::unsupported(format!("{what} with {other}"))),
                    }
                }
            }
            other => return Err(errors::unsupported(format!("{what} with {other}"))),
        }
    }
    said.form()
}

fn once<T>(name: &str, place: &mut Option<T>, value: T) -> PgWireResult<()> {
    if place.replace(value).is_some() {
        return Err(syntax(format!("conflicting or redundant options: {name}")));
    }
    Ok(())
}

fn force(columns: &[Ident]) -> Vec<String> {
    columns.iter().map(folded).collect()
}

fn syntax(text: impl Into<String>) -> PgWireError {
    errors::error("42601", text)
}

fn wrong(text: impl Into<String>) -> PgWireError {
    errors::error("22023", text)
}

impl Options {
    fn form(self) -> PgWireResult<Form> {
        let format = self.format.as_deref().unwrap_or("text");
        if format != "csv" {
            let csv = [
                (self.quote.is_some(), "QUOTE"),
                (self.escape.is_some(), "ESCAPE"),
                (self.force.is_some(), "FORCE_QUOTE"),
            ];
            if let Some((_, name)) = csv.iter().find(|(said, _)| *said) {
                return Err(errors::error("0A000", format!("COPY {name} requires CSV mode")));
            }
        }
        let header = self.header.unwrap_or(false);
        match format {
            "binary" => {
                let text = [
                    (self.delimiter.is_some(), "DELIMITER"),
                    (self.null.is_some(), "NULL"),
                    (self.header.is_some(), "HEADER"),
                ];
                match text.iter().find(|(said, _)| *said) {
                    Some((_, "HEADER")) => Err(errors::error("0A000", "cannot specify HEADER in BINARY mode")),
                    Some((_, name)) => Err(syntax(format!("cannot specify {name} in BINARY mode"))),
                    None => Ok(Form::Binary),
                }
            }
            "text" => {
                let delimiter = byte("delimiter", self.delimiter.unwrap_or('\t'))?;
                if delimiter == b'\\' || delimiter == b'.' || delimiter.is_ascii_alphanumeric() {
                    return Err(wrong(format!("COPY delimiter cannot be \"{}\"", char::from(delimiter))));
                }
                let null = self.null.unwrap_or_else(|| "\\N".into());
                check_null(&null, delimiter)?;
                Ok(Form::Text { delimiter, null, header })
            }
            "csv" => {
                let delimiter = byte("delimiter", self.delimiter.unwrap_or(','))?;
                let quote = byte("quote", self.quote.unwrap_or('"'))?;
                let escape = byte("escape", self.escape.unwrap_or(char::from(quote)))?;
                if delimiter == quote {
                    return Err(wrong("COPY delimiter and quote must be different"));
                }
                let null = self.null.unwrap_or_default();
                check_null(&null, delimiter)?;
                if null.as_bytes().contains(&quote) {
                    return Err(wrong("CSV quote character must not appear in the NULL specification"));
                }
                let force = self.force.unwrap_or_default();
                Ok(Form::Csv { delimiter, null, header, quote, escape, force })
            }
            other => Err(wrong(format!("COPY format \"{other}\" not recognized"))),
        }
    }
}

fn byte(name: &str, c: char) -> PgWireResult<u8> {
    match u8::try_from(c) {
        Ok(b'\n' | b'\r') => Err(wrong(format!("COPY {name} cannot be newline or carriage return"))),
        Ok(byte) if byte.is_ascii() => Ok(byte),
        _ => Err(errors::error("0A000", format!("COPY {name} must be a single one-byte character"))),
    }
}

fn check_null(null: &str, delimiter: u8) -> PgWireResult<()> {
    if null.contains(['\n', '\r']) {
        return Err(wrong("COPY null representation cannot use newline or carriage return"));
    }
    if null.as_bytes().contains(&delimiter) {
        return Err(wrong("COPY delimiter character must not appear in the NULL specification"));
    }
    Ok(())
}

impl Form {
    /// Whether values are written in the binary format.
    pub fn is_binary(&self) -> bool {
        *self == Form::Binary
    }

    /// Whether rows of these fields can be written.
    ///
    /// # Errors
    /// 0A000 for a type that has no binary format here, 42703 for a forced column that there is not.
    pub fn check(&self, fields: &[FieldInfo]) -> PgWireResult<()> {
        if self.is_binary()
            && let Some(field) = fields.iter().find(|field| field.format() == FieldFormat::Text)
        {
            let name = field.datatype().name();
            return Err(errors::unsupported(format!("the binary format of type {name}")));
        }
        if let Form::Csv { force, .. } = self
            && let Some(name) = force.iter().find(|name| fields.iter().all(|field| field.name() != **name))
        {
            return Err(errors::error("42703", format!("column \"{name}\" does not exist")));
        }
        Ok(())
    }

    /// What comes before the rows of a text, as a whole message.
    pub fn head(&self, fields: &[FieldInfo]) -> PgWireResult<BytesMut> {
        let mut out = BytesMut::new();
        match self {
            Form::Text { header: true, .. } | Form::Csv { header: true, .. } => {
                let names = fields.iter().map(|field| Some(field.name()));
                message(&mut out, |out| self.line(names, |_| false, out))?;
            }
            _ => {}
        }
        Ok(out)
    }

    /// What comes behind so many rows.
    pub fn tail(&self, rows: u64) -> PgWireResult<BytesMut> {
        let mut out = BytesMut::new();
        if self.is_binary() {
            let signature = if rows == 0 { SIGNATURE } else { &[] };
            message(&mut out, |out| {
                out.put_slice(signature);
                out.put_slice(TRAILER);
            })?;
        }
        Ok(out)
    }

    /// Appends a row as a whole message; with the first one comes what the binary format begins with, which clients look for
    /// there. `texts` is scratch space.
    pub fn put_message(
        &self,
        rows: &mut Rows,
        (row, is_first): (usize, bool),
        fields: &[FieldInfo],
        texts: &mut Vec<Option<String>>,
        out: &mut BytesMut,
    ) -> PgWireResult<()> {
        if self.is_binary() {
            let at = begin(out);
            if is_first {
                out.put_slice(SIGNATURE);
            }
            rows.put_fields(row, out)?;
            return close(out, at + 1, at + 1);
        }
        rows.texts(row, texts);
        let is_forced = |column: usize| match self {
            Form::Csv { force, .. } => force.iter().any(|name| name == fields[column].name()),
            _ => false,
        };
        message(out, |out| self.line(texts.iter().map(Option::as_deref), is_forced, out))
    }

    fn line<'a>(
        &self,
        values: impl ExactSizeIterator<Item = Option<&'a str>>,
        is_forced: impl Fn(usize) -> bool,
        out: &mut BytesMut,
    ) {
        let count = values.len();
        for (column, value) in values.enumerate() {
            match self {
                Form::Text { delimiter, null, .. } => {
                    if column > 0 {
                        out.put_u8(*delimiter);
                    }
                    match value {
                        Some(value) => put_escaped(value, *delimiter, out),
                        None => out.put_slice(null.as_bytes()),
                    }
                }
                Form::Csv { delimiter, null, quote, escape, .. } => {
                    if column > 0 {
                        out.put_u8(*delimiter);
                    }
                    let Some(value) = value else {
                        out.put_slice(null.as_bytes());
                        continue;
                    };
                    let special = |b: u8| b == *delimiter || b == *quote || b == b'\n' || b == b'\r';
                    // A line of two characters would be the end of the data.
                    let ends = count == 1 && value == "\\.";
                    if is_forced(column) || value == null || ends || value.bytes().any(special) {
                        put_quoted(value, *quote, *escape, out);
                    } else {
                        out.put_slice(value.as_bytes());
                    }
                }
                Form::Binary => {}
            }
        }
        out.put_u8(b'\n');
    }
}

fn begin(out: &mut BytesMut) -> usize {
    let at = out.len();
    out.put_u8(COPY_DATA);
    out.put_i32(0);
    at
}

fn message(out: &mut BytesMut, write: impl FnOnce(&mut BytesMut)) -> PgWireResult<()> {
    let at = begin(out);
    write(out);
    close(out, at + 1, at + 1)
}

fn put_escaped(value: &str, delimiter: u8, out: &mut BytesMut) {
    for byte in value.bytes() {
        let escaped = match byte {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            byte if byte == delimiter => byte,
            byte => {
                out.put_u8(byte);
                continue;
            }
        };
        out.put_slice(&[b'\\', escaped]);
    }
}

fn put_quoted(value: &str, quote: u8, escape: u8, out: &mut BytesMut) {
    out.put_u8(quote);
    for byte in value.bytes() {
        if byte == quote || byte == escape {
            out.put_u8(escape);
        }
        out.put_u8(byte);
    }
    out.put_u8(quote);
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    fn parsed(sql: &str) -> PgWireResult<Parts> {
        parts(Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().remove(0))
    }

    fn line(options: &str, values: &[Option<&str>]) -> String {
        let form = parsed(&format!("COPY a TO STDOUT {options}")).unwrap().form;
        let mut out = BytesMut::new();
        form.line(values.iter().copied(), |_| false, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn lines_are_as_postgres_writes_them() {
        let check = |options: &str, values: &[Option<&str>], want: &str| {
            assert_eq!(line(options, values), want, "{options} {values:?}");
        };
        check("", &[Some("a\tb\\c\nd"), None, Some("")], "a\\tb\\\\c\\nd\t\\N\t\n");
        check("(DELIMITER '|', NULL '')", &[Some("a|b"), None], "a\\|b|\n");
        check(
            "CSV",
            &[Some("a,b"), None, Some(""), Some("x\"y"), Some("a\nb")],
            "\"a,b\",,\"\",\"x\"\"y\",\"a\nb\"\n",
        );
        check("(FORMAT csv, NULL 'n')", &[Some("n"), None, Some("")], "\"n\",n,\n");
        check("(FORMAT csv, QUOTE '''', ESCAPE '\\')", &[Some("a'b\\,")], "'a\\'b\\\\,'\n");
        check("CSV", &[Some("\\.")], "\"\\.\"\n");
    }

    #[test]
    fn options_that_do_not_go_together() {
        let check = |sql: &str, want: &str| {
            let got = parsed(sql).map_or_else(|e| e.code().to_string(), |_| "fine".into());
            assert_eq!(got, want, "{sql}");
        };
        check("COPY a TO STDOUT", "fine");
        check("COPY (SELECT 1) TO STDOUT WITH (FORMAT csv, HEADER, FORCE_QUOTE (a))", "fine");
        check("COPY a TO STDOUT (FORMAT \"binary\")", "fine");
        check("COPY a TO STDOUT (FORMAT json)", "22023");
        check("COPY a TO STDOUT (FORMAT csv, FORMAT text)", "42601");
        check("COPY a TO STDOUT (FORMAT binary, HEADER)", "0A000");
        check("COPY a TO STDOUT (FORMAT binary, NULL '')", "42601");
        check("COPY a TO STDOUT (QUOTE 'x')", "0A000");
        check("COPY a TO STDOUT (DELIMITER 'x')", "22023");
        check("COPY a TO STDOUT (FORMAT csv, DELIMITER '\"')", "22023");
        check("COPY a TO STDOUT (NULL 'a\tb')", "22023");
        check("COPY a TO '/tmp/x'", "42501");
        check("COPY a TO PROGRAM 'cat'", "42501");
    }
}
