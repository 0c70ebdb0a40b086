//! The language of Prometheus' PromQL tests, `promqltest`: a script is loads and evaluations, and a run holds
//! each result against what the script expects. Nothing here uses promlake's own histogram arithmetic, so
//! that a mistake there cannot hide itself.
//!
//! script → (load → store) and (eval → engine → compare), once for each storage state.

/// What an evaluation expects, and the comparison with its tolerances.
pub mod expect;
/// Further executions of an instant query that must give the same result.
pub mod hidden;
/// The histogram notation `{{...}}`.
pub mod histogram;
/// Native histograms made from classic ones, for `load_with_nhcb`.
pub mod nhcb;
/// Runs a script against a store in one of its states.
pub mod run;
/// The commands of a script.
pub mod script;
/// Series lines: labels and sequences of values.
pub mod series;
