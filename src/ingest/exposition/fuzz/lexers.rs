//! Prometheus' `promlex.l` and `openmetricslex.l` with the parsers on top of them, as slow and plain as can be: rules in
//! the order of the files, the longest match wins, and of equal ones the first.

use super::super::number;
use super::super::series::unescape;
use crate::model::metadata::MetricType;
use std::borrow::Cow;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Init,
    Comment,
    Meta1,
    Meta2,
    Labels,
    LValue,
    Value,
    Timestamp,
    Exemplar,
    EValue,
    ETimestamp,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token {
    Eof,
    Invalid,
    Linebreak,
    Whitespace,
    Help,
    Type,
    Unit,
    EofWord,
    Text,
    Comment,
    MName,
    QString,
    BraceOpen,
    BraceClose,
    LName,
    LValue,
    Comma,
    Equal,
    Timestamp,
    Value,
}

type Rule = (&'static [State], fn(&[u8]) -> Option<usize>, Option<Token>, Option<State>);

struct Lexer<'a> {
    body: &'a [u8],
    at: usize,
    start: usize,
    state: State,
    rules: &'static [Rule],
    is_text: bool,
}

const ALL: &[State] = &[
    State::Init,
    State::Comment,
    State::Meta1,
    State::Meta2,
    State::Labels,
    State::LValue,
    State::Value,
    State::Timestamp,
];

static TEXT: &[Rule] = &[
    (&[State::Init], |t| literal(t, b"\0"), Some(Token::Eof), None),
    (&[State::Init], |t| literal(t, b"\n"), Some(Token::Linebreak), Some(State::Init)),
    (ALL, |t| some(run(t, |b| b == b' ' || b == b'\t')), Some(Token::Whitespace), None),
    (
        &[State::Init],
        |t| behind(t, b"#", |t| some(run(t, |b| b == b' ' || b == b'\t'))),
        None,
        Some(State::Comment),
    ),
    (&[State::Init], |t| literal(t, b"#"), Some(Token::Comment), None),
    (&[State::Comment], |t| behind(t, b"HELP", |t| some(run(t, is_blank))), Some(Token::Help), Some(State::Meta1)),
    (&[State::Comment], |t| behind(t, b"TYPE", |t| some(run(t, is_blank))), Some(Token::Type), Some(State::Meta1)),
    (&[State::Meta1], |t| quoted(t, true, false), Some(Token::MName), Some(State::Meta2)),
    (&[State::Meta1], |t| name(t, true), Some(Token::MName), Some(State::Meta2)),
    // A zero byte is passed over, but not at the start.
    (
        &[State::Meta2],
        |t| Some(run(t, |b| b != b'\n')).map(|len| if t.first() == Some(&0) { 0 } else { len }),
        Some(Token::Text),
        Some(State::Init),
    ),
    (&[State::Init], |t| name(t, true), Some(Token::MName), Some(State::Value)),
    (&[State::Value, State::Init], |t| literal(t, b"{"), Some(Token::BraceOpen), Some(State::Labels)),
    (&[State::Labels], |t| name(t, false), Some(Token::LName), None),
    (&[State::Labels], |t| quoted(t, true, false), Some(Token::QString), None),
    (&[State::Labels], |t| literal(t, b"}"), Some(Token::BraceClose), Some(State::Value)),
    (&[State::Labels], |t| literal(t, b"="), Some(Token::Equal), Some(State::LValue)),
    (&[State::Labels], |t| literal(t, b","), Some(Token::Comma), None),
    (&[State::LValue], |t| quoted(t, true, true), Some(Token::LValue), Some(State::Labels)),
    (
        &[State::Value],
        |t| some(run(t, |b| !matches!(b, b'{' | b' ' | b'\t' | b'\n' | 0))),
        Some(Token::Value),
        Some(State::Timestamp),
    ),
    (&[State::Timestamp], |t| some(run(t, |b| b.is_ascii_digit())), Some(Token::Timestamp), None),
    (&[State::Timestamp], |t| literal(t, b"\n"), Some(Token::Linebreak), Some(State::Init)),
];

static OPENMETRICS: &[Rule] = &[
    (&[State::Init], |t| literal(t, b"# "), None, Some(State::Comment)),
    (&[State::Comment], |t| literal(t, b"HELP "), Some(Token::Help), Some(State::Meta1)),
    (&[State::Comment], |t| literal(t, b"TYPE "), Some(Token::Type), Some(State::Meta1)),
    (&[State::Comment], |t| literal(t, b"UNIT "), Some(Token::Unit), Some(State::Meta1)),
    (
        &[State::Comment],
        |t| literal(t, b"EOF\n").or_else(|| literal(t, b"EOF")),
        Some(Token::EofWord),
        Some(State::Init),
    ),
    (&[State::Meta1], |t| quoted(t, true, false), Some(Token::MName), Some(State::Meta2)),
    (&[State::Meta1], |t| name(t, true), Some(Token::MName), Some(State::Meta2)),
    (
        &[State::Meta2],
        |t| behind(t, b" ", |t| Some(run(t, |b| b != b'\n')).filter(|n| t.get(*n) == Some(&b'\n')).map(|n| n + 1)),
        Some(Token::Text),
        Some(State::Init),
    ),
    (&[State::Init], |t| name(t, true), Some(Token::MName), Some(State::Value)),
    (&[State::Value, State::Init], |t| literal(t, b"{"), Some(Token::BraceOpen), Some(State::Labels)),
    (&[State::Labels], |t| name(t, false), Some(Token::LName), None),
    (&[State::Labels], |t| quoted(t, true, false), Some(Token::QString), None),
    (&[State::Labels], |t| literal(t, b"}"), Some(Token::BraceClose), Some(State::Value)),
    (&[State::Labels], |t| literal(t, b"="), Some(Token::Equal), Some(State::LValue)),
    (&[State::Labels, State::Exemplar], |t| literal(t, b","), Some(Token::Comma), None),
    (&[State::LValue], |t| quoted(t, false, true), Some(Token::LValue), Some(State::Labels)),
    (&[State::Value], spaced, Some(Token::Value), Some(State::Timestamp)),
    (&[State::Timestamp], spaced, Some(Token::Timestamp), None),
    (&[State::Timestamp], |t| literal(t, b"\n"), Some(Token::Linebreak), Some(State::Init)),
    (&[State::Timestamp], |t| literal(t, b" # {"), Some(Token::Comment), Some(State::Exemplar)),
    (&[State::Exemplar], |t| name(t, false), Some(Token::LName), None),
    (&[State::Exemplar], |t| quoted(t, false, false), Some(Token::QString), None),
    (&[State::Exemplar], |t| literal(t, b"}"), Some(Token::BraceClose), Some(State::EValue)),
    (&[State::Exemplar], |t| literal(t, b"="), Some(Token::Equal), Some(State::EValue)),
    (&[State::EValue], |t| quoted(t, false, false), Some(Token::LValue), Some(State::Exemplar)),
    (&[State::EValue], spaced, Some(Token::Value), Some(State::ETimestamp)),
    (&[State::ETimestamp], spaced, Some(Token::Timestamp), None),
    (&[State::ETimestamp], |t| literal(t, b"\n"), Some(Token::Linebreak), Some(State::Init)),
];

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

fn run(text: &[u8], pass: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| pass(**byte)).count()
}

fn some(len: usize) -> Option<usize> {
    Some(len).filter(|len| *len > 0)
}

fn literal(text: &[u8], word: &[u8]) -> Option<usize> {
    text.starts_with(word).then_some(word.len())
}

fn behind(text: &[u8], word: &[u8], rest: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
    Some(word.len() + rest(text.strip_prefix(word)?)?)
}

fn name(text: &[u8], colons: bool) -> Option<usize> {
    let first = |b: u8| b.is_ascii_alphabetic() || b == b'_' || (colons && b == b':');
    text.first().filter(|b| first(**b))?;
    Some(run(text, |b| first(b) || b.is_ascii_digit()))
}

fn spaced(text: &[u8]) -> Option<usize> {
    behind(text, b" ", |t| some(run(t, |b| b != b' ' && b != b'\n' && b != 0)))
}

/// `"(\\.|[^\\"])*"`; zero bytes are skipped by the lexer where `zeros` says so, and in no class else.
fn quoted(text: &[u8], line_feeds: bool, zeros: bool) -> Option<usize> {
    let mut at = 1;
    if text.first() != Some(&b'"') {
        return None;
    }
    let skip = |mut at: usize| {
        while zeros && text.get(at) == Some(&0) {
            at += 1;
        }
        at
    };
    loop {
        at = skip(at);
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => {
                at = skip(at + 1);
                match text.get(at)? {
                    b'\n' | 0 => return None,
                    _ => at += 1,
                }
            }
            b'\n' if !line_feeds => return None,
            0 => return None,
            _ => at += 1,
        }
    }
}

impl Lexer<'_> {
    fn lex(&mut self) -> Token {
        self.start = self.at;
        loop {
            let text = &self.body[self.at.min(self.body.len())..];
            if text.is_empty() && self.at == self.start {
                return Token::Eof;
            }
            let mut best: Option<(usize, &Rule)> = None;
            for rule in self.rules.iter().filter(|rule| rule.0.contains(&self.state)) {
                if let Some(len) = rule.1(text)
                    && best.is_none_or(|(longest, _)| len > longest)
                {
                    best = Some((len, rule));
                }
            }
            let Some((len, (_, _, token, state))) = best else {
                return match self.state {
                    State::Comment if self.is_text => self.consume_comment(),
                    _ => Token::Invalid,
                };
            };
            self.at += len;
            self.state = state.unwrap_or(self.state);
            match token {
                // Glued to its hash.
                Some(Token::Comment) if self.is_text => return self.consume_comment(),
                Some(token) => return *token,
                None => {}
            }
        }
    }

    fn consume_comment(&mut self) -> Token {
        let mut first = true;
        while let Some(byte) = self.body.get(self.at) {
            match byte {
                0 if first || self.state != State::Comment => return Token::Eof,
                b'\n' => {
                    self.state = State::Init;
                    return Token::Comment;
                }
                _ => (self.at, first) = (self.at + 1, false),
            }
        }
        Token::Eof
    }

    fn token(&mut self) -> Token {
        loop {
            let token = self.lex();
            if token != Token::Whitespace {
                return token;
            }
        }
    }

    fn text(&self) -> &[u8] {
        &self.body[self.start..self.at]
    }
}

#[derive(Default)]
struct Series {
    name: Option<Vec<u8>>,
    labels: Vec<(Vec<u8>, Vec<u8>)>,
}

type Parsed<T> = Result<T, ()>;

/// The events of a body in the text format, as `render` prints them.
pub(super) fn text(body: &[u8]) -> Vec<String> {
    let body = [body, b"\n"].concat();
    events(Lexer { body: &body, at: 0, start: 0, state: State::Init, rules: TEXT, is_text: true })
}

/// The same of OpenMetrics.
pub(super) fn openmetrics(body: &[u8]) -> Vec<String> {
    events(Lexer { body, at: 0, start: 0, state: State::Init, rules: OPENMETRICS, is_text: false })
}

fn events(mut lexer: Lexer<'_>) -> Vec<String> {
    let (mut out, mut kind) = (Vec::new(), MetricType::Unknown);
    loop {
        match event(&mut lexer, &mut kind) {
            Ok(Some(line)) => out.extend(line),
            Ok(None) => return out,
            Err(()) => {
                out.push("error".to_string());
                return out;
            }
        }
    }
}

/// `Ok(None)` at the end, an empty line for what is no event.
fn event(lexer: &mut Lexer<'_>, kind: &mut MetricType) -> Parsed<Option<Option<String>>> {
    let start = lexer.at;
    let token = lexer.token();
    match token {
        Token::Eof if lexer.is_text => Ok(None),
        Token::EofWord => match lexer.token() {
            Token::Eof => Ok(None),
            _ => Err(()),
        },
        Token::Linebreak if lexer.is_text => Ok(Some(None)),
        Token::Comment if lexer.is_text => match lexer.token() {
            Token::Linebreak => Ok(Some(None)),
            _ => Err(()),
        },
        Token::Help | Token::Type | Token::Unit => metadata(lexer, token, kind).map(|line| Some(Some(line))),
        Token::MName | Token::BraceOpen => {
            let mut series = Series::default();
            let mut next = token;
            if token == Token::MName {
                series.name = Some(lexer.body[start..lexer.at].to_vec());
                next = lexer.token();
            }
            if next == Token::BraceOpen {
                labels(lexer, &mut series, false)?;
                next = lexer.token();
            }
            sample(lexer, series, next, *kind).map(|line| Some(Some(line)))
        }
        _ => Err(()),
    }
}

fn metadata(lexer: &mut Lexer<'_>, token: Token, kind: &mut MetricType) -> Parsed<String> {
    if lexer.token() != Token::MName {
        return Err(());
    }
    let name = lexer.text();
    let name = name.strip_prefix(b"\"").map_or(name, |name| &name[..name.len() - 1]);
    let family = String::from_utf8_lossy(name).into_owned();
    if lexer.token() != Token::Text {
        return Err(());
    }
    let text = lexer.text();
    let text = match lexer.is_text {
        true => text.get(1..).unwrap_or_default(),
        false => &text[1..text.len() - 1],
    };
    let text = text.to_vec();
    if lexer.is_text && lexer.token() != Token::Linebreak {
        // A wrong type is found before.
        return Err(());
    }
    let text = std::str::from_utf8(&text).map_err(drop)?;
    match token {
        Token::Help => Ok(format!("help {family} {:?}", unescape(text, !lexer.is_text))),
        Token::Type => {
            let known = match lexer.is_text {
                true => ["counter", "gauge", "histogram", "summary", "untyped"].contains(&text),
                false => text != "untyped",
            };
            *kind = MetricType::parse(text).filter(|_| known).ok_or(())?;
            Ok(format!("type {family} {}", kind.as_str()))
        }
        _ => {
            let divided = |stem: &str| stem.ends_with('_');
            match text.is_empty() || family.strip_suffix(text).is_some_and(divided) {
                true => Ok(format!("unit {family} {text}")),
                false => Err(()),
            }
        }
    }
}

fn labels(lexer: &mut Lexer<'_>, series: &mut Series, of_exemplar: bool) -> Parsed<()> {
    let mut token = lexer.token();
    loop {
        let is_quoted = match token {
            Token::BraceClose => return Ok(()),
            Token::LName => false,
            Token::QString => true,
            _ => return Err(()),
        };
        let text = lexer.text();
        let name = if is_quoted { text[1..text.len() - 1].to_vec() } else { text.to_vec() };
        token = lexer.token();
        if is_quoted && matches!(token, Token::Comma | Token::BraceClose) {
            if of_exemplar || series.name.is_some() {
                return Err(());
            }
            series.name = Some(name);
            if token == Token::BraceClose {
                return Ok(());
            }
            token = lexer.token();
            continue;
        }
        if token != Token::Equal || lexer.token() != Token::LValue {
            return Err(());
        }
        let text = lexer.text();
        std::str::from_utf8(text).map_err(drop)?;
        series.labels.push((name, text[1..text.len() - 1].to_vec()));
        token = lexer.token();
        match token {
            Token::Comma => token = lexer.token(),
            Token::BraceClose => {}
            _ if lexer.is_text => {}
            _ => return Err(()),
        }
    }
}

fn sample(lexer: &mut Lexer<'_>, series: Series, token: Token, kind: MetricType) -> Parsed<String> {
    let name = series.name.as_ref().ok_or(())?;
    if token != Token::Value {
        return Err(());
    }
    let value = float(lexer)?;
    let (mut timestamp, mut exemplar) = (None, None);
    let mut next = lexer.token();
    if next == Token::Timestamp {
        timestamp = Some(match lexer.is_text {
            true => std::str::from_utf8(lexer.text()).map_err(drop)?.parse::<i64>().map_err(drop)?,
            false => milliseconds(lexer)?,
        });
        next = lexer.token();
    }
    if next == Token::Comment && !lexer.is_text {
        exemplar = Some(read_exemplar(lexer)?);
    } else if next != Token::Linebreak {
        // OpenMetrics would find it with the next line.
        return Err(());
    }
    let mut line = vec![format!("__name__={:?}", unescaped(name)?)];
    for (name, value) in &series.labels {
        let (name, mut value) = (unescaped(name)?, unescaped(value)?.into_owned());
        let is_number =
            (kind == MetricType::Histogram && name == "le") || (kind == MetricType::Summary && name == "quantile");
        if let Some(number) = number::parse_label(value.as_bytes()).filter(|_| is_number) {
            value = number::format_openmetrics(number);
        }
        line.push(format!("{name}={value:?}"));
    }
    line.push(value.to_string());
    line.extend(timestamp.map(|t| format!("@{t}")));
    line.extend(exemplar);
    Ok(line.join(" "))
}

fn read_exemplar(lexer: &mut Lexer<'_>) -> Parsed<String> {
    let mut series = Series::default();
    labels(lexer, &mut series, true)?;
    if lexer.token() != Token::Value {
        return Err(());
    }
    let value = float(lexer)?;
    let mut timestamp = None;
    let mut next = lexer.token();
    if next == Token::Timestamp {
        timestamp = Some(milliseconds(lexer)?);
        next = lexer.token();
    }
    if next != Token::Linebreak {
        return Err(());
    }
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(drop);
    let labels: Vec<(String, String)> =
        series.labels.iter().map(|(name, value)| Ok((utf8(name)?, utf8(value)?))).collect::<Parsed<_>>()?;
    Ok(format!("exemplar {labels:?} {value} {timestamp:?}"))
}

fn float(lexer: &Lexer<'_>) -> Parsed<f64> {
    let text = if lexer.is_text { lexer.text() } else { &lexer.text()[1..] };
    number::parse(text).ok_or(())
}

fn milliseconds(lexer: &Lexer<'_>) -> Parsed<i64> {
    let seconds = float(lexer)?;
    if seconds.is_finite() { Ok((seconds * 1000.0) as i64) } else { Err(()) }
}

fn unescaped(bytes: &[u8]) -> Parsed<Cow<'_, str>> {
    std::str::from_utf8(bytes).map(|text| unescape(text, true)).map_err(drop)
}
