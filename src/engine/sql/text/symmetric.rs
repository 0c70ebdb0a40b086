//! `x BETWEEN SYMMETRIC a AND b`, which the parser does not know.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};
use datafusion::sql::sqlparser::dialect::{Dialect, Precedence};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Operands are written twice, so one within another grows as powers of two.
const MOST_TEXT_BYTES: usize = 2_000;

/// Reads the rest of the comparison, if it is one and says which of both kinds it is.
pub fn parse(dialect: &dyn Dialect, parser: &mut Parser<'_>, expr: &Expr) -> Option<Result<Expr, ParserError>> {
    let is_word = |parser: &Parser<'_>, at: usize, word: &str| {
        matches!(&parser.peek_nth_token_ref(at).token, Token::Word(found)
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    };
    let negated = is_word(parser, 0, "NOT");
    let at = usize::from(negated);
    if !is_word(parser, at, "BETWEEN") {
        return None;
    }
    let symmetric = is_word(parser, at + 1, "SYMMETRIC");
    if !symmetric && !is_word(parser, at + 1, "ASYMMETRIC") {
        return None;
    }
    // A column may be called so.
    if is_word(parser, at + 2, "AND") {
        return None;
    }
    for _ in 0..at + 2 {
        parser.next_token();
    }
    Some(rest(dialect, parser, expr, negated, symmetric))
}

fn rest(
    dialect: &dyn Dialect,
    parser: &mut Parser<'_>,
    expr: &Expr,
    negated: bool,
    symmetric: bool,
) -> Result<Expr, ParserError> {
    let precedence = dialect.prec_value(Precedence::Between);
    let low = parser.parse_subexpr(precedence)?;
    parser.expect_keyword_is(Keyword::AND)?;
    let high = parser.parse_subexpr(precedence)?;
    let between = |low: &Expr, high: &Expr, negated: bool| Expr::Between {
        expr: Box::new(expr.clone()),
        negated,
        low: Box::new(low.clone()),
        high: Box::new(high.clone()),
    };
    if !symmetric {
        return Ok(between(&low, &high, negated));
    }
    let bytes: usize = [expr, &low, &high].into_iter().map(|part| part.to_string().len()).sum();
    if bytes > MOST_TEXT_BYTES {
        return Err(ParserError::RecursionLimitExceeded);
    }
    let either = Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(between(&low, &high, false)),
        op: BinaryOperator::Or,
        right: Box::new(between(&high, &low, false)),
    }));
    Ok(match negated {
        true => Expr::Nested(Box::new(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(either) })),
        false => either,
    })
}
