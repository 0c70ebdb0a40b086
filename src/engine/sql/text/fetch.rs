//! FETCH and MOVE in all of PostgreSQL's forms, of which the parser knows some: a direction, a signed number and FROM may each
//! be left out.

use datafusion::sql::sqlparser::ast::{
    FetchDirection, FetchPosition, Ident, ObjectName, Statement, Value, ValueWithSpan,
};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, Token};

/// What a MOVE is fetched into: the syntax tree has no place for it.
const NOWHERE: &str = "MOVE";

/// Whether a FETCH is a MOVE.
pub fn is_move(into: Option<&ObjectName>) -> bool {
    into.is_some()
}

/// Reads the statement, if it is one of the two.
pub fn parse(parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
    let moves = match word(parser)?.as_str() {
        "fetch" => false,
        "move" => true,
        _ => return None,
    };
    parser.next_token();
    Some(rest(parser, moves))
}

fn rest(parser: &mut Parser<'_>, moves: bool) -> Result<Statement, ParserError> {
    let direction = direction(parser)?;
    let position = match word(parser).as_deref() {
        Some("in") => {
            parser.next_token();
            FetchPosition::In
        }
        Some("from") => {
            parser.next_token();
            FetchPosition::From
        }
        _ => FetchPosition::From,
    };
    let name = parser.parse_identifier()?;
    let into = moves.then(|| ObjectName::from(vec![Ident::new(NOWHERE)]));
    Ok(Statement::Fetch { name, direction, position, into })
}

fn direction(parser: &mut Parser<'_>) -> Result<FetchDirection, ParserError> {
    if let Some(limit) = number(parser)? {
        return Ok(FetchDirection::Count { limit });
    }
    let Some(found) = word(parser) else { return Ok(FetchDirection::Next) };
    // A cursor may be called like a direction.
    if matches!(parser.peek_nth_token(1).token, Token::EOF | Token::SemiColon) {
        return Ok(FetchDirection::Next);
    }
    if !["next", "prior", "first", "last", "absolute", "relative", "all", "forward", "backward"]
        .contains(&found.as_str())
    {
        return Ok(FetchDirection::Next);
    }
    parser.next_token();
    Ok(match found.as_str() {
        "next" => FetchDirection::Next,
        "prior" => FetchDirection::Prior,
        "first" => FetchDirection::First,
        "last" => FetchDirection::Last,
        "all" => FetchDirection::All,
        "absolute" => FetchDirection::Absolute { limit: needed(parser)? },
        "relative" => FetchDirection::Relative { limit: needed(parser)? },
        forward_or_back => {
            let all = word(parser).is_some_and(|word| word == "all");
            if all {
                parser.next_token();
            }
            let limit = if all { None } else { number(parser)? };
            match (forward_or_back, all) {
                ("forward", true) => FetchDirection::ForwardAll,
                ("forward", false) => FetchDirection::Forward { limit },
                (_, true) => FetchDirection::BackwardAll,
                (_, false) => FetchDirection::Backward { limit },
            }
        }
    })
}

/// The next word, if it is one and not a quoted name.
fn word(parser: &Parser<'_>) -> Option<String> {
    match &parser.peek_token_ref().token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_lowercase()),
        _ => None,
    }
}

/// A whole number with or without a sign, if there is one.
fn number(parser: &mut Parser<'_>) -> Result<Option<ValueWithSpan>, ParserError> {
    let sign = match parser.peek_token_ref().token {
        Token::Minus => "-",
        Token::Plus => "",
        Token::Number(..) => return digits(parser, "").map(Some),
        _ => return Ok(None),
    };
    parser.next_token();
    digits(parser, sign).map(Some)
}

fn needed(parser: &mut Parser<'_>) -> Result<ValueWithSpan, ParserError> {
    match number(parser)? {
        Some(number) => Ok(number),
        None => parser.expected("a number", parser.peek_token()),
    }
}

fn digits(parser: &mut Parser<'_>, sign: &str) -> Result<ValueWithSpan, ParserError> {
    let found = parser.next_token();
    match &found.token {
        Token::Number(digits, _) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let value = Value::Number(format!("{sign}{digits}"), false);
            Ok(ValueWithSpan { value, span: Span::empty() })
        }
        _ => parser.expected("a whole number", found),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse as statements;
    use super::*;

    #[test]
    fn all_forms() {
        let check = |sql: &str, want: &str| {
            let parsed = statements(sql).unwrap_or_else(|e| panic!("{sql}: {e:?}"));
            let [Statement::Fetch { name, direction, into, .. }] = parsed.as_slice() else {
                panic!("{sql}: {parsed:?}");
            };
            let what = if is_move(into.as_ref()) { "MOVE" } else { "FETCH" };
            assert_eq!(format!("{what} {direction} {}", name.value), want, "{sql}");
        };
        check("FETCH c", "FETCH NEXT c");
        check("FETCH FROM c", "FETCH NEXT c");
        check("fetch 2 in \"C\"", "FETCH 2 C");
        check("FETCH -3 c", "FETCH -3 c");
        check("FETCH FORWARD c", "FETCH FORWARD c");
        check("FETCH FORWARD 5 FROM c", "FETCH FORWARD 5 c");
        check("FETCH FORWARD ALL FROM c", "FETCH FORWARD ALL c");
        check("FETCH BACKWARD -5 FROM c;", "FETCH BACKWARD -5 c");
        check("FETCH ABSOLUTE +5 IN c", "FETCH ABSOLUTE 5 c");
        check("FETCH RELATIVE -1 c", "FETCH RELATIVE -1 c");
        check("MOVE ALL c", "MOVE ALL c");
        check("MOVE LAST IN c", "MOVE LAST c");
        check("FETCH next", "FETCH NEXT next");
        check("MOVE \"next\"", "MOVE NEXT next");
        assert!(statements("FETCH ABSOLUTE FROM c").is_err());
        assert!(statements("FETCH 1.5 FROM c").is_err());
        assert!(statements("FETCH FROM").is_err());
        assert!(statements("SELECT 1 FETCH FIRST 1 ROWS ONLY; MOVE c").is_ok());
    }
}
