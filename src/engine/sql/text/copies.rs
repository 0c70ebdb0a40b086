//! Statements behind a COPY, which the parser would take for its data.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// The tokens of a text in parts, of which each but the last ends with a COPY.
pub fn apart(tokens: Vec<TokenWithSpan>) -> Vec<Vec<TokenWithSpan>> {
    let mut parts = vec![vec![]];
    let (mut begins, mut copies) = (true, false);
    for token in tokens {
        match &token.token {
            Token::Whitespace(_) => {}
            Token::SemiColon if copies => {
                (begins, copies) = (true, false);
                parts.push(vec![]);
                continue;
            }
            Token::SemiColon => begins = true,
            Token::Word(word) if begins => {
                (begins, copies) = (false, word.quote_style.is_none() && word.keyword == Keyword::COPY);
            }
            _ => begins = false,
        }
        parts.last_mut().expect("there is one from the beginning").push(token);
    }
    parts
}
