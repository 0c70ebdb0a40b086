//! The template language of alerting rules: Go's `text/template` with Prometheus' functions.
//!
//! A [`Template`](source::Template) is parsed once and expanded for each alert. What it prints and how it fails is what
//! Prometheus makes of it, to the byte; `corpus.json` has its answers to some hundred templates. Expansion is pure: it
//! asks for queries and goes on when they were answered ([`expand`]), and takes bounded time and memory ([`limits`]).
//!
//! Of crates there are `gtmpl` and `gotmpl` (0.6.1, a careful port). Neither fits: values have no Go types, so that a
//! label that is missing is `<no value>` instead of nothing, `%T` and `%#v` are not there, and neither are structs and
//! methods (`(toTime $value).Year`); errors at execution have other words and no place; `%v` of 1e+21 is written out;
//! widths end at 65,535; texts are UTF-8 and can't be cut within a character; a function can't wait for a query; and
//! there is no limit of steps.

/// Templates, parsed.
pub mod source;
/// What they are expanded for.
pub mod subject;
/// Expansion, with queries on the way.
pub mod expand;
/// What a template may take.
mod limits;
/// Text to tokens.
mod lex;
/// Tokens.
mod token;
/// Tokens to trees.
mod parse;
/// Literals of numbers.
mod number;
/// Trees.
mod tree;
/// Trees executed: actions.
mod execute;
/// Pipelines to values: fields, variables, literals.
mod evaluate;
/// Functions and methods called.
mod call;
/// The functions, a row each.
pub mod functions;
/// What functions are, and what they need.
mod host;
/// Methods of times and durations.
mod methods;
/// Values with Go's types.
mod value;
/// Go's times and durations.
pub mod time;
/// Go's `fmt`.
mod format;
/// Go's literals of texts.
mod quote;
/// Go's characters.
mod characters;

#[cfg(test)]
mod tests;
