//! Settings of a session: one table says what there is, one value says what holds. SET, SHOW, `current_setting`,
//! `set_config`, `pg_settings` and ParameterStatus all read these two.

/// What of a value is written down, and what is refused.
pub mod check;
/// What there is to be set.
pub mod table;
/// What holds now, after the transaction, and after RESET.
pub mod values;
/// Time zones as PostgreSQL spells them.
pub mod zone;
