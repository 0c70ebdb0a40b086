//! PREPARE and EXECUTE. What they name are the same prepared statements that Parse makes.

use std::sync::Arc;

use datafusion::scalar::ScalarValue;
use datafusion::sql::sqlparser::ast::{self, DataType, Ident, ObjectName};
use pgwire::api::Type;
use pgwire::error::PgWireResult;

use super::conversation::Conversation;
use super::names::folded;
use super::run::Clock;
use super::statement::{self, Prepared, Work};
use super::statements::Statement;
use super::{arguments, errors, params, type_names};

impl Conversation<'_> {
    /// Keeps a statement under its name.
    pub async fn keep_named(
        &mut self,
        name: &Ident,
        types: &[DataType],
        named: &ast::Statement,
        clock: &Clock,
    ) -> PgWireResult<()> {
        let name = folded(name);
        if !matches!(named, ast::Statement::Query(_) | ast::Statement::Insert(_)) {
            let text = named.to_string();
            let word = text.split_whitespace().next().unwrap_or_default();
            return Err(errors::error("42601", format!("syntax error at or near \"{word}\"")));
        }
        let declared = types.iter().map(declared).collect::<PgWireResult<Vec<_>>>()?;
        let text = named.to_string();
        let engine = &self.shared.engine;
        let prepared = statement::prepare(engine, self.session, named.clone(), &declared, clock).await?;
        self.statements.check(&name)?;
        self.statements.add(&name, &text, Some(prepared), declared, self.message)
    }

    /// The statement that an EXECUTE runs, which is one that is planned: one EXECUTE never leads to another.
    ///
    /// # Errors
    /// 26000 for one that there is not, 0A000 for one that runs another one.
    pub fn executed(&self, execute: &ast::Statement) -> PgWireResult<Arc<Statement>> {
        let name =
            match execute {
                ast::Statement::Execute {
                    name: Some(ObjectName(parts)), immediate: false, into, using, ..
                } if into.is_empty() && using.is_empty() => match parts.as_slice() {
                    [one] => one.as_ident().map(folded),
                    _ => None,
                },
                _ => None,
            };
        let name = name.ok_or_else(|| errors::error("42601", format!("{execute} names no prepared statement")))?;
        let statement = self.statements.get(&name)?;
        match &statement.prepared {
            Some(prepared) if leads_nowhere(prepared) => Ok(statement),
            _ => Err(errors::unsupported(format!("EXECUTE of \"{name}\", which runs another statement,"))),
        }
    }

    /// The values of an EXECUTE, of the types its statement wants.
    ///
    /// # Errors
    /// 42601 for another number of them, and those of the expressions.
    pub async fn executed_values(
        &mut self,
        execute: &ast::Statement,
        statement: &Statement,
        clock: &Clock,
    ) -> PgWireResult<Vec<ScalarValue>> {
        let ast::Statement::Execute { name, parameters, .. } = execute else { return Ok(vec![]) };
        let Some(prepared) = &statement.prepared else { return Ok(vec![]) };
        let wanted = prepared.parameters.clone();
        let (got, want) = (parameters.len(), wanted.len());
        if got != want {
            let name = name.as_ref().map(ObjectName::to_string).unwrap_or_default();
            let text = format!(
                "wrong number of parameters for prepared statement \"{name}\": expected {want} parameters but got {got}"
            );
            return Err(errors::error("42601", text));
        }
        let given = arguments::values(&self.shared.engine, self.session, parameters, clock).await?;
        let now = self.session.now();
        let converted = wanted.iter().zip(given).enumerate();
        converted.map(|(i, (wanted, given))| params::converted(i, given, wanted, now)).collect()
    }
}

/// Whether running a statement runs no other one that has a name.
fn leads_nowhere(prepared: &Prepared) -> bool {
    use ast::Statement::{Execute, Fetch, Prepare};
    match prepared.work {
        Work::Command => !matches!(&*prepared.statement, Execute { .. } | Prepare { .. } | Fetch { .. }),
        Work::Query { .. } | Work::Explain { .. } | Work::Insert { .. } => true,
        Work::Copy { .. } | Work::CopyIn { .. } | Work::Declare { .. } => false,
    }
}

/// What PREPARE says of a parameter.
fn declared(named: &DataType) -> PgWireResult<Option<Type>> {
    let name = named.to_string().to_lowercase();
    match type_names::named(named) {
        Some(known) => Ok(Some(known)),
        None if name == "unknown" => Ok(None),
        None => Err(errors::error("42704", format!("type \"{name}\" does not exist"))),
    }
}
