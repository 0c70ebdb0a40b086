//! Data of a COPY to rows, in whatever pieces it comes.

use bytes::{Buf, BytesMut};
use pgwire::error::{PgWireError, PgWireResult};

use super::copy::{Form, SIGNATURE};
use super::errors;

/// The longest row, and the most fields of one.
pub const MOST_ROW_BYTES: usize = 4 << 20;
const MOST_FIELDS: usize = 1_664;

/// A value as it was sent; `None` for NULL.
pub type Field = Option<Vec<u8>>;

/// Rows of what has come so far.
pub struct Rows {
    form: Form,
    data: BytesMut,
    /// Bytes of the row that begins the data which were looked at; of the binary format, which it has at least.
    looked_at: usize,
    /// The byte behind those is within quotes.
    is_quoted: bool,
    /// The binary format's beginning, or a line with names, has been read.
    has_begun: bool,
    /// What comes is no row any more.
    has_ended: bool,
    line: u64,
    count: u64,
}

impl Rows {
    pub fn new(form: Form) -> Self {
        Self {
            form,
            data: BytesMut::new(),
            looked_at: 0,
            is_quoted: false,
            has_begun: false,
            has_ended: false,
            line: 0,
            count: 0,
        }
    }

    pub fn push(&mut self, data: &[u8]) {
        if !self.has_ended {
            self.data.extend_from_slice(data);
        }
    }

    /// The number of the row that was read last, as a line of the data.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// How many rows were read.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The next whole row. At the end a line needs no end of its own.
    ///
    /// # Errors
    /// 22P04 for what is no row, 54000 for one that is too long.
    pub fn next(&mut self, is_end: bool) -> PgWireResult<Option<Vec<Field>>> {
        if self.has_ended {
            self.data.clear();
            return Ok(None);
        }
        let row = match self.form {
            Form::Binary => self.tuple(is_end)?,
            _ => self.line_of_text(is_end)?,
        };
        self.count += u64::from(row.is_some());
        Ok(row)
    }

    fn line_of_text(&mut self, is_end: bool) -> PgWireResult<Option<Vec<Field>>> {
        loop {
            let Some(line) = self.cut(is_end)? else { return Ok(None) };
            self.line += 1;
            let (is_csv, header) = match &self.form {
                Form::Csv { header, .. } => (true, *header),
                Form::Text { header, .. } => (false, *header),
                Form::Binary => (false, false),
            };
            if header && !std::mem::replace(&mut self.has_begun, true) {
                continue;
            }
            // It is the end of the data in the old protocol, and clients still send it.
            if line == b"\\." {
                self.has_ended = true;
                return Ok(None);
            }
            let fields = if is_csv { self.csv(&line)? } else { self.text(&line)? };
            if fields.len() > MOST_FIELDS {
                return Err(malformed("extra data after last expected column"));
            }
            return Ok(Some(fields));
        }
    }

    /// The next line without its end.
    fn cut(&mut self, is_end: bool) -> PgWireResult<Option<Vec<u8>>> {
        let mut at = self.looked_at;
        let mut end = None;
        while let Some(byte) = self.data.get(at).copied() {
            match &self.form {
                Form::Text { .. } if byte == b'\\' => {
                    if at + 1 >= self.data.len() && !is_end {
                        break;
                    }
                    at += 1;
                }
                Form::Csv { quote, escape, .. } if self.is_quoted && byte == *escape && escape != quote => {
                    if at + 1 >= self.data.len() && !is_end {
                        break;
                    }
                    at += 1;
                }
                Form::Csv { quote, .. } if byte == *quote => self.is_quoted = !self.is_quoted,
                _ if byte == b'\n' && !self.is_quoted => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
            at += 1;
        }
        self.looked_at = at.min(self.data.len());
        if self.looked_at > MOST_ROW_BYTES {
            return Err(too_long());
        }
        let mut line = match end {
            Some(end) => {
                let line = self.data.split_to(end).to_vec();
                self.data.advance(1);
                line
            }
            None if is_end && !self.data.is_empty() => {
                if self.is_quoted {
                    return Err(malformed("unterminated CSV quoted field"));
                }
                self.data.split().to_vec()
            }
            None => return Ok(None),
        };
        self.looked_at = 0;
        self.is_quoted = false;
        // Lines of Windows.
        if line.last() == Some(&b'\r') && !line.ends_with(b"\\\r") {
            line.pop();
        }
        Ok(Some(line))
    }

    fn text(&self, line: &[u8]) -> PgWireResult<Vec<Field>> {
        let Form::Text { delimiter, null, .. } = &self.form else { return Ok(vec![]) };
        let mut fields = vec![];
        let mut rest = line;
        loop {
            let mut end = 0;
            while end < rest.len() && rest[end] != *delimiter {
                end += if rest[end] == b'\\' { 2 } else { 1 };
            }
            let end = end.min(rest.len());
            let field = &rest[..end];
            fields.push((field != null.as_bytes()).then(|| unescaped(field)));
            if end == rest.len() {
                return Ok(fields);
            }
            rest = &rest[end + 1..];
        }
    }

    fn csv(&self, line: &[u8]) -> PgWireResult<Vec<Field>> {
        let Form::Csv { delimiter, null, quote, escape, .. } = &self.form else { return Ok(vec![]) };
        let mut fields = vec![];
        let mut bytes = line.iter().copied().peekable();
        loop {
            let (mut field, mut was_quoted) = (vec![], false);
            let mut is_last = true;
            while let Some(byte) = bytes.next() {
                if byte == *delimiter {
                    is_last = false;
                    break;
                }
                if byte != *quote {
                    field.push(byte);
                    continue;
                }
                was_quoted = true;
                loop {
                    let Some(byte) = bytes.next() else { return Err(malformed("unterminated CSV quoted field")) };
                    let next = bytes.peek().copied();
                    if byte == *escape && next.is_some_and(|next| next == *quote || next == *escape) {
                        field.extend(bytes.next());
                    } else if byte == *quote {
                        break;
                    } else {
                        field.push(byte);
                    }
                }
            }
            fields.push((was_quoted || field != null.as_bytes()).then_some(field));
            if is_last {
                return Ok(fields);
            }
        }
    }

    fn tuple(&mut self, is_end: bool) -> PgWireResult<Option<Vec<Field>>> {
        if !self.has_begun {
            const HEAD: usize = SIGNATURE.len();
            // The signature, flags, and how long an extension is that is passed over.
            let fixed = HEAD - 8;
            if self.data.len() < HEAD {
                return if is_end { Err(malformed("COPY file signature not recognized")) } else { Ok(None) };
            }
            if self.data[..fixed] != SIGNATURE[..fixed] {
                return Err(malformed("COPY file signature not recognized"));
            }
            let mut head = &self.data[fixed..HEAD];
            let (flags, extension) = (head.get_u32(), head.get_u32() as usize);
            if flags & 0xffff_0000 != 0 || extension > MOST_ROW_BYTES {
                return Err(malformed("invalid COPY file header"));
            }
            if self.data.len() < HEAD + extension {
                return if is_end { Err(malformed("invalid COPY file header (missing length)")) } else { Ok(None) };
            }
            self.data.advance(HEAD + extension);
            self.has_begun = true;
        }
        let partial = |is_end: bool| if is_end { Err(malformed("unexpected EOF in COPY data")) } else { Ok(None) };
        // The end may be without what marks it.
        if self.data.is_empty() {
            return Ok(None);
        }
        // What is known to be missing is not looked for, and nothing is copied before all of a row is there.
        if self.data.len() < self.looked_at.max(2) {
            return partial(is_end);
        }
        let count = i16::from_be_bytes([self.data[0], self.data[1]]);
        if count == -1 {
            self.has_ended = true;
            return Ok(None);
        }
        let count = usize::try_from(count).ok().filter(|count| *count <= MOST_FIELDS);
        let count = count.ok_or_else(|| malformed("row field count is out of range"))?;
        let mut places = Vec::with_capacity(count);
        let mut end = 2;
        for _ in 0..count {
            let Some(mut length) = self.data.get(end..end + 4) else {
                self.looked_at = end + 4;
                return partial(is_end);
            };
            end += 4;
            match length.get_i32() {
                -1 => places.push(None),
                length => {
                    let length = usize::try_from(length).map_err(|_| malformed("invalid field size"))?;
                    places.push(Some(end..end + length));
                    end += length;
                }
            }
            if end > MOST_ROW_BYTES {
                return Err(too_long());
            }
        }
        if self.data.len() < end {
            self.looked_at = end;
            return partial(is_end);
        }
        let row = self.data.split_to(end);
        self.looked_at = 0;
        self.line += 1;
        Ok(Some(places.into_iter().map(|place| place.map(|place| row[place].to_vec())).collect()))
    }
}

fn too_long() -> PgWireError {
    errors::error("54000", format!("a row of a COPY has at most {} MiB", MOST_ROW_BYTES >> 20))
}

fn malformed(text: &str) -> PgWireError {
    errors::error("22P04", text)
}

/// A field of the text format as it was before it was written.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut bytes = field.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        let Some(escaped) = bytes.next() else {
            out.push(b'\\');
            break;
        };
        out.push(match escaped {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            b'0'..=b'7' => {
                let mut code = u32::from(escaped - b'0');
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(|digit| (b'0'..=b'7').contains(digit)) else { break };
                    code = code << 3 | u32::from(digit - b'0');
                }
                code as u8
            }
            b'x' if bytes.peek().is_some_and(u8::is_ascii_hexdigit) => {
                let mut code = 0;
                for _ in 0..2 {
                    let Some(digit) = bytes.next_if(u8::is_ascii_hexdigit) else { break };
                    code = code << 4 | char::from(digit).to_digit(16).unwrap_or(0);
                }
                code as u8
            }
            other => other,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &Form, data: &[u8], piece: usize) -> Result<Vec<Vec<Option<String>>>, String> {
        let mut rows = Rows::new(form.clone());
        let mut found = vec![];
        let pieces: Vec<&[u8]> = data.chunks(piece).collect();
        for (at, piece) in pieces.iter().enumerate() {
            rows.push(piece);
            let is_end = at + 1 == pieces.len();
            while let Some(row) = rows.next(is_end).map_err(|e| e.code().to_string())? {
                let text = |field: Field| field.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                found.push(row.into_iter().map(text).collect());
            }
        }
        Ok(found)
    }

    /// In whatever pieces.
    fn check(form: &Form, data: &[u8], want: Result<&[&[Option<&str>]], &str>) {
        let want = want.map_err(String::from).map(|rows| {
            let row = |row: &&[Option<&str>]| row.iter().map(|field| field.map(String::from)).collect();
            rows.iter().map(row).collect::<Vec<Vec<_>>>()
        });
        for piece in [1, 2, 3, 7, 1_000] {
            assert_eq!(read(form, data, piece), want, "{data:?} by {piece}");
        }
    }

    #[test]
    fn text() {
        let form = Form::Text { delimiter: b'\t', null: "\\N".into(), header: false };
        check(&form, b"a\tb\\tc\\\\\n\\N\t\n", Ok(&[&[Some("a"), Some("b\tc\\")], &[None, Some("")]]));
        check(&form, b"a\\\nb\r\nc", Ok(&[&[Some("a\nb")], &[Some("c")]]));
        check(&form, b"a\n\\.\nb\n", Ok(&[&[Some("a")]]));
        check(&form, b"\\x41\\101\\q\n", Ok(&[&[Some("AAq")]]));
        let form = Form::Text { delimiter: b'|', null: String::new(), header: true };
        check(&form, b"x|y\n1||2\\|3\n", Ok(&[&[Some("1"), None, Some("2|3")]]));
    }

    #[test]
    fn csv() {
        let form = Form::Csv {
            delimiter: b',',
            null: String::new(),
            header: true,
            quote: b'"',
            escape: b'"',
            force: vec![],
        };
        check(
            &form,
            b"h,i\n1,\"a,\"\"b\"\"\nc\"\n,\"\"",
            Ok(&[&[Some("1"), Some("a,\"b\"\nc")], &[None, Some("")]]),
        );
        check(&form, b"h\n\"a\n", Err("22P04"));
        let form = Form::Csv {
            delimiter: b';',
            null: "n".into(),
            header: false,
            quote: b'\'',
            escape: b'\\',
            force: vec![],
        };
        check(&form, b"'a\\'b';n;'n'\r\n", Ok(&[&[Some("a'b"), None, Some("n")]]));
    }

    /// Once, rows of the binary format were bounded by their fields alone, and each piece of one was taken apart from its beginning.
    #[test]
    fn rows_are_bounded_before_they_are_kept() {
        let csv = Form::Csv {
            delimiter: b',',
            null: String::new(),
            header: false,
            quote: b'"',
            escape: b'"',
            force: vec![],
        };
        let text = Form::Text { delimiter: b'\t', null: "\\N".into(), header: false };
        let field = [&(1i32 << 20).to_be_bytes()[..], &[b'a'; 1 << 20]].concat();
        let endless: [(&Form, Vec<u8>, &[u8]); 3] = [
            (&text, vec![], b"a\tb\\"),
            (&csv, b"\"".to_vec(), b"a\n"),
            (&Form::Binary, [SIGNATURE, b"\0\x20"].concat(), &field),
        ];
        for (form, begin, more) in endless {
            let mut rows = Rows::new(form.clone());
            rows.push(&begin);
            let piece = more.repeat((1usize << 16).div_ceil(more.len()));
            let refused = (0..1_000).find_map(|_| {
                rows.push(&piece);
                rows.next(false).err()
            });
            assert_eq!(refused.unwrap().code(), "54000", "{form:?}");
            assert!(rows.data.len() <= MOST_ROW_BYTES + 2 * piece.len(), "{form:?}");
        }
    }

    #[test]
    fn binary() {
        let data = |rows: &[u8]| [SIGNATURE, rows].concat();
        check(&Form::Binary, &data(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff\xff\xff"), Ok(&[&[Some("a"), None]]));
        check(&Form::Binary, &data(b"\0\x01\0\0\0\0"), Ok(&[&[Some("")]]));
        check(&Form::Binary, &data(b"\0\x01\0\0\0\x05a"), Err("22P04"));
        check(&Form::Binary, &data(b"\xff\xfe"), Err("22P04"));
        check(&Form::Binary, &data(b"\0\x01\x7f\xff\xff\xff"), Err("54000"));
        check(&Form::Binary, &data(b"\0\x01\xff\xff\xff\xfe"), Err("22P04"));
        check(&Form::Binary, b"PGCOPX\n\xff\r\n\0\0\0\0\0\0\0\0\0", Err("22P04"));
    }
}
