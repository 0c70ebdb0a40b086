//! `TABLE name`, which is `SELECT * FROM name`.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Word};

/// Puts the long form in the place of the short one, wherever a query may begin.
pub fn written_out(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    if !tokens.iter().any(|token| is_keyword(&token.token, Keyword::TABLE)) {
        return tokens;
    }
    let words: Vec<usize> =
        (0..tokens.len()).filter(|at| !matches!(tokens[*at].token, Token::Whitespace(_))).collect();
    let begins: Vec<usize> = words
        .iter()
        .enumerate()
        .filter(|(at, word)| {
            let before = at.checked_sub(1).map(|before| &tokens[words[before]].token);
            let after = words.get(at + 1).map(|after| &tokens[*after].token);
            is_keyword(&tokens[**word].token, Keyword::TABLE)
                && before.is_none_or(may_precede)
                && matches!(after, Some(Token::Word(_)))
        })
        .map(|(_, word)| *word)
        .collect();
    let mut out = Vec::with_capacity(tokens.len() + 6 * begins.len());
    for (at, token) in tokens.into_iter().enumerate() {
        if begins.binary_search(&at).is_err() {
            out.push(token);
            continue;
        }
        for written in [keyword("SELECT", Keyword::SELECT), Token::Mul, keyword("FROM", Keyword::FROM)] {
            out.push(TokenWithSpan { token: written, span: token.span });
        }
    }
    out
}

fn keyword(value: &str, keyword: Keyword) -> Token {
    Token::Word(Word { value: value.into(), quote_style: None, keyword })
}

fn is_keyword(token: &Token, keyword: Keyword) -> bool {
    matches!(token, Token::Word(word) if word.quote_style.is_none() && word.keyword == keyword)
}

/// What stands before a query.
fn may_precede(token: &Token) -> bool {
    use Keyword::{ALL, ANALYZE, AS, DISTINCT, EXCEPT, EXPLAIN, FOR, INTERSECT, UNION, VERBOSE};
    let words = [UNION, EXCEPT, INTERSECT, ALL, DISTINCT, EXPLAIN, ANALYZE, VERBOSE, AS, FOR];
    matches!(token, Token::SemiColon | Token::LParen | Token::RParen)
        || words.iter().any(|word| is_keyword(token, *word))
}
