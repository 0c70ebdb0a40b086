//! Selectors of Kubernetes' API, which are sent as they are: only whether the API would understand them. The grammars
//! are those of `k8s.io/apimachinery`, `pkg/fields/selector.go` and `pkg/labels/selector.go`.

/// `metadata.name=a,status.phase!=b`; a value has `\` before a comma, an equals sign or another `\`.
pub(super) fn fields(text: &str) -> Result<(), String> {
    for term in terms(text).into_iter().filter(|term| !term.is_empty()) {
        let at = term.find("!=").into_iter().chain(term.find('=')).min();
        let Some(at) = at else { return Err(format!("invalid selector: '{text}'; can't understand '{term}'")) };
        let operator = if term[at..].starts_with("!=") || term[at..].starts_with("==") { 2 } else { 1 };
        check_escapes(&term[at + operator..])?;
    }
    Ok(())
}

/// Between commas that have no `\` before them.
fn terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (vec![], 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn check_escapes(value: &str) -> Result<(), String> {
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\\' | ',' | '=') => {}
                Some(other) => return Err(format!("invalid field selector: invalid escape sequence: \\{other}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".to_string()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {c}")),
            _ => {}
        }
    }
    Ok(())
}

/// `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1`.
pub(super) fn labels(text: &str) -> Result<(), String> {
    let mut tokens = Tokens { rest: text.trim_start_matches(BLANK) };
    if tokens.peek().is_empty() {
        return Ok(());
    }
    loop {
        requirement(&mut tokens).map_err(|message| format!("unable to parse requirement: {message}"))?;
        match tokens.next() {
            "" => return Ok(()),
            "," => {}
            other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
        }
    }
}

const BLANK: [char; 4] = [' ', '\t', '\r', '\n'];
const SYMBOLS: [char; 7] = ['=', '!', '(', ')', ',', '>', '<'];

fn is_symbol(token: &str) -> bool {
    token.starts_with(SYMBOLS)
}

/// What is left of a text that has no blanks at its beginning.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// A symbol or a word; empty at the end.
    fn peek(&self) -> &'a str {
        let symbol = ["==", "!="].into_iter().find(|symbol| self.rest.starts_with(symbol));
        let length = match symbol {
            Some(symbol) => symbol.len(),
            None if is_symbol(self.rest) => 1,
            None => self.rest.find(|c| SYMBOLS.contains(&c) || BLANK.contains(&c)).unwrap_or(self.rest.len()),
        };
        &self.rest[..length]
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.rest = self.rest[token.len()..].trim_start_matches(BLANK);
        token
    }

    fn word(&mut self) -> Result<&'a str, String> {
        match self.next() {
            token if token.is_empty() || is_symbol(token) => Err(format!("found '{token}', expected: identifier")),
            word => Ok(word),
        }
    }
}

fn requirement(tokens: &mut Tokens<'_>) -> Result<(), String> {
    let absent = tokens.peek() == "!";
    if absent {
        tokens.next();
    }
    let key = tokens.word()?;
    if !is_key(key) {
        return Err(format!("{key:?} is not a valid label key"));
    }
    if absent || matches!(tokens.peek(), "" | ",") {
        return Ok(());
    }
    match tokens.next() {
        "in" | "notin" => values(tokens),
        "=" | "==" | "!=" if matches!(tokens.peek(), "" | ",") => Ok(()),
        "=" | "==" | "!=" => check_value(tokens.word()?),
        ">" | "<" => match tokens.word()? {
            number if number.parse::<i64>().is_ok() => check_value(number),
            other => Err(format!("for 'Gt', 'Lt' operators, the value must be an integer, got {other:?}")),
        },
        other => Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
    }
}

/// `(a,b)`, where any may be empty.
fn values(tokens: &mut Tokens<'_>) -> Result<(), String> {
    match tokens.next() {
        "(" => {}
        other => return Err(format!("found '{other}' expected: '('")),
    }
    loop {
        if !is_symbol(tokens.peek()) {
            check_value(tokens.word()?)?;
        }
        match tokens.next() {
            "," => {}
            ")" => return Ok(()),
            other => return Err(format!("found '{other}', expected: ',' or ')'")),
        }
    }
}

fn check_value(value: &str) -> Result<(), String> {
    if is_name(value) { Ok(()) } else { Err(format!("{value:?} is not a valid label value")) }
}

/// A name, maybe below a domain: `app.kubernetes.io/name`.
fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((domain, name)) => is_domain(domain) && is_name(name),
        None => is_name(key),
    }
}

fn is_name(name: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let is_outer = |c: char| c.is_ascii_alphanumeric();
    name.len() <= 63 && name.starts_with(is_outer) && name.ends_with(is_outer) && name.bytes().all(is_inner)
}

fn is_domain(domain: &str) -> bool {
    let is_outer = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(is_outer) && label.ends_with(is_outer) && label.chars().all(|c| c == '-' || is_outer(c))
    };
    domain.len() <= 253 && domain.split('.').all(is_label)
}
