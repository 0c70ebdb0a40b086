//! PREPARE and EXECUTE. What they name are the same prepared statements that Parse makes.

use std::sync::Arc;

use datafusion::common::ParamValues;
use datafusion::common::metadata::ScalarAndMetadata;
use datafusion::sql::sqlparser::ast::{self, DataType, Ident, ObjectName};
use pgwire::api::Type;
use pgwire::error::PgWireResult;

use super::conversation::Conversation;
use super::names::folded;
use super::run::Clock;
use super::statement::{self, Work};
use super::statements::Statement;
use super::{arguments, errors, params};

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
            return Err(errors::unsupported(format!("PREPARE of anything but a query or an INSERT: {named}")));
        }
        let declared = types.iter().map(declared).collect::<PgWireResult<Vec<_>>>()?;
        let text = named.to_string();
        let prepared = statement::prepare(&self.shared.engine, self.session, named.clone(), clock).await?;
        self.statements.check(&name)?;
        self.statements.add(&name, &text, Some(prepared), declared, self.message)
    }

    /// The statement that an EXECUTE runs, which is one that is planned: one EXECUTE never leads to another.
    ///
    /// # Errors
    /// 26000 for one that there is not, 0A000 for one that is no query.
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
        match statement.prepared.as_ref().map(|prepared| &prepared.work) {
            Some(Work::Query { .. } | Work::Explain { .. } | Work::Insert { .. }) => Ok(statement),
            _ => {
                Err(errors::unsupported(format!("EXECUTE of \"{name}\", which is neither a query nor an INSERT,")))
            }
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
    ) -> PgWireResult<Option<ParamValues>> {
        let ast::Statement::Execute { name, parameters, .. } = execute else { return Ok(None) };
        let Some(prepared) = &statement.prepared else { return Ok(None) };
        let inferred = prepared.parameter_types()?;
        let (got, want) = (parameters.len(), inferred.len().max(statement.declared.len()));
        if got != want {
            let name = name.as_ref().map(ObjectName::to_string).unwrap_or_default();
            let text = format!(
                "wrong number of parameters for prepared statement \"{name}\": expected {want} parameters but got {got}"
            );
            return Err(errors::error("42601", text));
        }
        let given = arguments::values(&self.shared.engine, self.session, parameters, clock).await?;
        let mut values = Vec::with_capacity(inferred.len());
        for (i, (inferred, given)) in inferred.iter().zip(given).enumerate() {
            let declared = statement.declared.get(i).and_then(Option::as_ref);
            values.push(ScalarAndMetadata::from(params::converted(i, given, declared, inferred.as_ref())?));
        }
        Ok((!values.is_empty()).then_some(ParamValues::List(values)))
    }
}

/// What PREPARE says of a parameter.
fn declared(named: &DataType) -> PgWireResult<Option<Type>> {
    let name = named.to_string().to_lowercase();
    let (element, is_array) = match name.strip_suffix("[]") {
        Some(element) => (element, true),
        None => (name.as_str(), false),
    };
    let bare = element.split('(').next().unwrap_or_default().trim();
    let rest = element.split_once(')').map_or("", |(_, rest)| rest.trim());
    let known = match (bare, rest) {
        ("unknown", _) => return Ok(None),
        ("int" | "integer" | "int4", _) => (Type::INT4, Type::INT4_ARRAY),
        ("bigint" | "int8", _) => (Type::INT8, Type::INT8_ARRAY),
        ("smallint" | "int2", _) => (Type::INT2, Type::INT2_ARRAY),
        ("bool" | "boolean", _) => (Type::BOOL, Type::BOOL_ARRAY),
        ("double precision" | "float8" | "float" | "double", _) => (Type::FLOAT8, Type::FLOAT8_ARRAY),
        ("real" | "float4", _) => (Type::FLOAT4, Type::FLOAT4_ARRAY),
        ("numeric" | "decimal" | "dec", _) => (Type::NUMERIC, Type::NUMERIC_ARRAY),
        ("text", _) => (Type::TEXT, Type::TEXT_ARRAY),
        ("varchar" | "character varying" | "char varying", _) => (Type::VARCHAR, Type::VARCHAR_ARRAY),
        ("char" | "character" | "bpchar", _) => (Type::BPCHAR, Type::BPCHAR_ARRAY),
        ("name", _) => (Type::NAME, Type::NAME_ARRAY),
        ("bytea", _) => (Type::BYTEA, Type::BYTEA_ARRAY),
        ("date", _) => (Type::DATE, Type::DATE_ARRAY),
        ("timestamptz" | "timestamp with time zone", _) | ("timestamp", "with time zone") => {
            (Type::TIMESTAMPTZ, Type::TIMESTAMPTZ_ARRAY)
        }
        ("timestamp" | "timestamp without time zone", _) => (Type::TIMESTAMP, Type::TIMESTAMP_ARRAY),
        ("interval", _) => (Type::INTERVAL, Type::INTERVAL_ARRAY),
        ("oid", _) => (Type::OID, Type::OID_ARRAY),
        ("json", _) => (Type::JSON, Type::JSON_ARRAY),
        ("jsonb", _) => (Type::JSONB, Type::JSONB_ARRAY),
        ("uuid", _) => (Type::UUID, Type::UUID_ARRAY),
        _ => return Err(errors::error("42704", format!("type \"{name}\" does not exist"))),
    };
    Ok(Some(if is_array { known.1 } else { known.0 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    #[test]
    fn types_of_parameters() {
        let check = |name: &str, want: Option<Type>| {
            let sql = format!("PREPARE p({name}) AS SELECT 1");
            let ast::Statement::Prepare { data_types, .. } =
                Parser::parse_sql(&PostgreSqlDialect {}, &sql).unwrap().remove(0)
            else {
                panic!("{sql}");
            };
            assert_eq!(declared(&data_types[0]).ok().flatten(), want, "{name}");
        };
        check("int", Some(Type::INT4));
        check("double precision", Some(Type::FLOAT8));
        check("character varying(20)", Some(Type::VARCHAR));
        check("timestamp with time zone", Some(Type::TIMESTAMPTZ));
        check("timestamptz(3)", Some(Type::TIMESTAMPTZ));
        check("timestamp(3) with time zone", Some(Type::TIMESTAMPTZ));
        check("timestamp", Some(Type::TIMESTAMP));
        check("text[]", Some(Type::TEXT_ARRAY));
        check("unknown", None);
        check("nosuch", None);
    }
}
