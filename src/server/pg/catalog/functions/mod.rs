//! Scalar functions of `pg_catalog`, a family a file. They answer one row at a time from scalars: catalog queries are small.

/// Lists, and texts of names.
mod arrays;
/// What a row of the tables of functions is, and what bodies use.
mod body;
/// `pg_get_…def`, comments, sizes.
mod definitions;
/// Names of things to their ids and back, and what is visible.
mod naming;
/// `has_…_privilege`.
mod privileges;
/// The session, its settings, the server.
mod session;
/// `pg_sleep`.
mod sleep;
/// Functions with rows.
mod tables;

use std::sync::{Arc, Weak};

use datafusion::logical_expr::{ScalarUDF, Volatility};

use super::world::Instance;
use crate::server::pg::session::Session;
use body::{CatalogFunction, Function};

const FAMILIES: &[&[Function]] =
    &[arrays::FUNCTIONS, definitions::FUNCTIONS, naming::FUNCTIONS, privileges::FUNCTIONS, session::FUNCTIONS];

/// Those that do something, or differ from call to call, and so are called whenever they are to be.
const VOLATILE: &[&str] = &["pg_cancel_backend", "pg_terminate_backend", "set_config"];

/// Adds all functions to a session, bound to it.
pub fn register(session: &Arc<Session>, instance: &Arc<Instance>) {
    // The context holds the functions, so they must not hold the context's owner.
    let owner: Weak<Session> = Arc::downgrade(session);
    for row in FAMILIES.iter().copied().flatten() {
        let volatility = if VOLATILE.contains(&row.name) { Volatility::Volatile } else { Volatility::Stable };
        let function = CatalogFunction::new(row, owner.clone(), Arc::clone(instance), volatility);
        session.context().register_udf(ScalarUDF::new_from_impl(function));
    }
    session.context().register_udf(sleep::pg_sleep());
    tables::register(session);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_stands_once() {
        let mut names: Vec<&str> = FAMILIES.iter().copied().flatten().map(|f| f.name).collect();
        names.sort_unstable();
        let twice: Vec<_> = names.windows(2).filter(|pair| pair[0] == pair[1]).collect();
        assert!(twice.is_empty(), "{twice:?}");
        for name in VOLATILE {
            assert!(names.contains(name), "{name}");
        }
    }
}
