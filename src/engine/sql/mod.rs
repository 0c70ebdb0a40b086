//! SQL: a table per metric, system tables and views, `promql()` and the functions time-series users expect.
//!
//! Statements are parsed and planned by DataFusion; this module gives it the names it can resolve. Everything
//! is read-only: `verify` refuses what would write or reach outside. (Of an INSERT the query is planned here, and no more.)

/// Changes of the states of alerts, from the lake.
mod alert_history;
/// Doubles by which rows are told apart.
pub mod alike;
/// Parts of syntax trees.
pub mod ast;
/// Constants in the arguments of table functions: times, durations, text.
pub mod arguments;
/// Arrays that are written as text.
pub mod array_text;
/// Schema `public`: metrics by name.
pub mod catalog;
/// Casts and comparisons of times.
pub mod coerce;
/// A session: catalog, functions, settings.
pub mod context;
/// Dates and times as text.
pub mod datetime;
/// Groups of intervals.
pub mod equal_intervals;
/// Numbers in plans.
pub mod floats;
/// Doubles as text.
pub mod float_text;
/// Rows for times that have none.
pub mod gapfill;
/// Scalar and aggregate functions.
pub mod functions;
/// What is written several times.
mod growth;
/// FETCH, and windows by name.
pub mod clauses;
/// Functions in FROM.
mod from_functions;
/// `generate_series` in FROM.
pub mod generate_series;
/// `JOIN … USING`
pub mod joins;
/// Tables that other parts of the process fill when they are read.
pub mod live;
/// Types that do not go together.
pub mod matching_types;
/// Comparisons of `timestamp` with finer constants.
pub mod milliseconds;
/// `EXCEPT ALL` and `INTERSECT ALL`.
pub mod multisets;
/// Numbers that are written with a point.
pub mod numerals;
/// Numbers of digits.
pub mod numeric;
/// Names in ORDER BY.
pub mod order;
/// Patterns of `LIKE` and `SIMILAR TO`.
pub mod patterns;
/// `promql(query, start, end, step)` and `promql(query [, at])`.
pub mod promql;
/// WHERE clauses to matchers and a time range.
pub mod pushdown;
/// `ANY` and `ALL` of subqueries.
pub mod quantified;
/// The table of one metric, or of all.
pub mod samples;
/// Counters of several series in a group.
pub mod series;
/// Comparisons of rows.
pub mod rows;
/// Errors with a SQLSTATE.
pub mod state;
/// Calls in the words of SQL.
pub mod spelled;
/// Subqueries that become joins.
pub mod subqueries;
/// Constructs that become calls of functions.
pub mod syntax;
/// Schema `promlake`: series, metrics, files, and what the application registers.
pub mod system;
/// Text to statements, with limits.
pub mod text;
/// Refuses statements that write or reach outside.
pub mod verify;
/// Files of the configuration as tables.
pub mod external;
/// Schema `promlake`: views, from `sql/views`.
pub mod views;
/// Time zones, and that of a session.
pub mod zone;
/// Aggregates that differ in a cast.
mod told_apart;
/// How wide integers are.
pub mod widths;
/// Waits for a future from a synchronous callback of DataFusion.
mod wait;

#[cfg(test)]
mod tests;
