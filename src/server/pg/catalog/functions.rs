//! Scalar functions of `pg_catalog`. They answer one row at a time from scalars: catalog queries are small.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::relations;
use crate::server::pg::session::Session;
use crate::server::pg::settings::table::SERVER_VERSION;
use crate::server::pg::settings::values::Scope;
use crate::server::pg::shared::DATABASE;
use crate::server::pg::{names, types};

type Body = fn(&Session, &[ScalarValue]) -> Result<ScalarValue>;

/// Name, result type, body. All take any arguments; bodies look at those they need.
const FUNCTIONS: &[(&str, DataType, Body)] = &[
    ("version", DataType::Utf8, |_, _| {
        text(&format!("PostgreSQL {SERVER_VERSION} (promlake {})", env!("CARGO_PKG_VERSION")))
    }),
    ("current_database", DataType::Utf8, |_, _| text(DATABASE)),
    ("current_catalog", DataType::Utf8, |_, _| text(DATABASE)),
    ("current_schema", DataType::Utf8, |s, _| {
        Ok(ScalarValue::Utf8(s.search_path().first().map(|schema| schema.to_string())))
    }),
    ("current_user", DataType::Utf8, |s, _| text(&s.user)),
    ("session_user", DataType::Utf8, |s, _| text(&s.user)),
    ("user", DataType::Utf8, |s, _| text(&s.user)),
    ("current_role", DataType::Utf8, |s, _| text(&s.user)),
    ("pg_backend_pid", DataType::Int32, |s, _| Ok(ScalarValue::Int32(Some(s.process_id)))),
    ("current_setting", DataType::Utf8, |s, a| setting(s, a)),
    ("set_config", DataType::Utf8, |s, a| set_config(s, a)),
    // There are no advisory locks, so nobody has one.
    ("pg_advisory_unlock_all", DataType::Utf8, |_, _| text("")),
    ("pg_advisory_unlock", DataType::Boolean, |s, _| not_locked(s, "ExclusiveLock")),
    ("pg_advisory_unlock_shared", DataType::Boolean, |s, _| not_locked(s, "ShareLock")),
    ("pg_is_in_recovery", DataType::Boolean, |_, _| boolean(false)),
    ("pg_table_is_visible", DataType::Boolean, |s, a| visible(s, a)),
    ("pg_type_is_visible", DataType::Boolean, |_, _| boolean(true)),
    ("pg_function_is_visible", DataType::Boolean, |_, _| boolean(true)),
    ("pg_get_userbyid", DataType::Utf8, |s, a| owner(s, a)),
    ("pg_encoding_to_char", DataType::Utf8, |_, _| text("UTF8")),
    ("format_type", DataType::Utf8, |_, a| {
        Ok(ScalarValue::Utf8(number(a, 0).map(|o| types::type_name(o as u32).to_string())))
    }),
    ("pg_get_expr", DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
    ("pg_get_constraintdef", DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
    ("pg_get_indexdef", DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
    ("pg_get_viewdef", DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
    ("pg_get_statisticsobjdef_columns", DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
    ("obj_description", DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
    ("col_description", DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
    ("shobj_description", DataType::Utf8, |_, _| Ok(ScalarValue::Utf8(None))),
    ("pg_relation_is_publishable", DataType::Boolean, |_, _| boolean(false)),
    ("has_table_privilege", DataType::Boolean, |_, a| boolean(reads(a))),
    ("has_schema_privilege", DataType::Boolean, |_, a| boolean(reads(a))),
    ("has_database_privilege", DataType::Boolean, |_, a| boolean(reads(a))),
    ("has_column_privilege", DataType::Boolean, |_, a| boolean(reads(a))),
    ("to_regclass", DataType::UInt32, |s, a| regclass(s, a)),
    ("to_regtype", DataType::Utf8, |_, a| regtype(a)),
    ("to_regnamespace", DataType::UInt32, |_, a| {
        Ok(ScalarValue::UInt32(string(a, 0).map(|n| relations::schema_oid(&n))))
    }),
    ("quote_ident", DataType::Utf8, |_, a| Ok(ScalarValue::Utf8(string(a, 0).map(|n| names::quoted(&n))))),
];

/// Those that do something, and so are called whenever they are to be.
const VOLATILE: &[&str] =
    &["set_config", "pg_advisory_unlock_all", "pg_advisory_unlock", "pg_advisory_unlock_shared"];

/// All functions, bound to a session.
pub fn all(session: &Arc<Session>) -> impl Iterator<Item = ScalarUDF> {
    // The context holds the functions, so they must not hold the context's owner.
    let session = Arc::downgrade(session);
    FUNCTIONS.iter().enumerate().map(move |(row, (name, ..))| {
        let volatility = if VOLATILE.contains(name) { Volatility::Volatile } else { Volatility::Stable };
        ScalarUDF::new_from_impl(CatalogFunction {
            row,
            session: session.clone(),
            signature: Signature::variadic_any(volatility).with_zero_arguments(),
        })
    })
}

/// Lets a signature accept no argument besides any number of them.
trait ZeroArguments {
    fn with_zero_arguments(self) -> Self;
}

impl ZeroArguments for Signature {
    fn with_zero_arguments(self) -> Self {
        use datafusion::logical_expr::TypeSignature;
        Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], self.volatility)
    }
}

struct CatalogFunction {
    row: usize,
    session: std::sync::Weak<Session>,
    signature: Signature,
}

impl fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(FUNCTIONS[self.row].0)
    }
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.row == other.row && self.session.ptr_eq(&other.session)
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.row.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        FUNCTIONS[self.row].0
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(FUNCTIONS[self.row].1.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session =
            self.session.upgrade().ok_or_else(|| DataFusionError::Execution("the connection has ended".into()))?;
        let body = FUNCTIONS[self.row].2;
        let scalars: Option<Vec<ScalarValue>> = args
            .args
            .iter()
            .map(|a| if let ColumnarValue::Scalar(s) = a { Some(s.clone()) } else { None })
            .collect();
        if let Some(scalars) = scalars {
            return Ok(ColumnarValue::Scalar(body(&session, &scalars)?));
        }
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let row = |i: usize| {
            let values: Vec<ScalarValue> =
                arrays.iter().map(|a| ScalarValue::try_from_array(a, i)).collect::<Result<_>>()?;
            body(&session, &values)
        };
        let values: Vec<ScalarValue> = (0..args.number_rows).map(row).collect::<Result<_>>()?;
        if values.is_empty() {
            let empty = datafusion::arrow::array::new_empty_array(&FUNCTIONS[self.row].1);
            return Ok(ColumnarValue::Array(empty));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(values)?))
    }
}

fn text(value: &str) -> Result<ScalarValue> {
    Ok(ScalarValue::Utf8(Some(value.to_string())))
}

fn boolean(value: bool) -> Result<ScalarValue> {
    Ok(ScalarValue::Boolean(Some(value)))
}

fn string(arguments: &[ScalarValue], i: usize) -> Option<String> {
    arguments.get(i)?.try_as_str().flatten().map(String::from)
}

fn number(arguments: &[ScalarValue], i: usize) -> Option<i64> {
    match arguments.get(i)?.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}

fn setting(session: &Session, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(name) = string(arguments, 0) else { return Ok(ScalarValue::Utf8(None)) };
    match session.show(&name) {
        Ok(value) => text(&value),
        Err(_) if arguments.get(1) == Some(&ScalarValue::Boolean(Some(true))) => Ok(ScalarValue::Utf8(None)),
        Err(error) => Err(DataFusionError::External(Box::new(error))),
    }
}

fn set_config(session: &Session, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let (Some(name), [_, _, local]) = (string(arguments, 0), arguments) else {
        return Err(DataFusionError::Plan("set_config() takes a name, a value and whether it is local".into()));
    };
    let scope = match local {
        ScalarValue::Boolean(Some(true)) => Scope::Transaction,
        _ => Scope::Session,
    };
    let mut settings = session.settings();
    // NULL resets it.
    let set = settings.set(&name, string(arguments, 1).as_deref(), scope);
    let shown = set.and_then(|()| settings.show(&name));
    text(&shown.map_err(|error| DataFusionError::External(Box::new(error)))?)
}

fn not_locked(session: &Session, kind: &str) -> Result<ScalarValue> {
    session.notices.warn("01000", format!("you don't own a lock of type {kind}"));
    boolean(false)
}

/// What `\d` and tab completion list: the schemas a name is looked up in without being told.
fn visible(session: &Session, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    let Some(oid) = number(arguments, 0) else { return Ok(ScalarValue::Boolean(None)) };
    let catalog = session.context().catalog(DATABASE);
    let found = catalog.and_then(|c| relations::tables(&c).remove(&(oid as u32)));
    boolean(
        found.is_some_and(|(schema, _)| schema == "pg_catalog" || session.search_path().contains(&schema.as_str())),
    )
}

fn owner(_session: &Session, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    match number(arguments, 0) {
        Some(id) if id == i64::from(relations::OWNER_OID) => text("promlake"),
        Some(id) => text(&format!("unknown (OID={id})")),
        None => Ok(ScalarValue::Utf8(None)),
    }
}

/// Everybody may read everything; nobody may write.
fn reads(arguments: &[ScalarValue]) -> bool {
    let asked = arguments.last().and_then(|a| a.try_as_str().flatten()).unwrap_or("");
    let granted = |p: &str| matches!(p.trim().to_ascii_uppercase().as_str(), "SELECT" | "USAGE" | "CONNECT");
    asked.split(',').any(granted)
}

fn regclass(session: &Session, arguments: &[ScalarValue]) -> Result<ScalarValue> {
    if let Some(oid) = number(arguments, 0) {
        return Ok(ScalarValue::UInt32(Some(oid as u32)));
    }
    let Some(name) = string(arguments, 0) else { return Ok(ScalarValue::UInt32(None)) };
    let parts: Vec<String> = name.split('.').map(|p| p.trim_matches('"').to_string()).collect();
    let (path, table) = match parts.as_slice() {
        [schema, table] => (vec![schema.as_str()], table),
        [table] if super::names::is_relation(table) => (vec!["pg_catalog"], table),
        [table] => (session.search_path(), table),
        _ => return Ok(ScalarValue::UInt32(None)),
    };
    let tables = session.context().catalog(DATABASE).map(|c| relations::tables(&c)).unwrap_or_default();
    let find = |schema: &&str| tables.iter().find(|(_, (s, t))| s == schema && t == table);
    match path.iter().find_map(find) {
        Some((oid, _)) => Ok(ScalarValue::UInt32(Some(*oid))),
        None => Err(DataFusionError::Plan(format!("table '{name}' not found"))),
    }
}

/// An id as the name of its type (what `::regtype` is cast to text for), or a name unchanged.
fn regtype(arguments: &[ScalarValue]) -> Result<ScalarValue> {
    if let Some(oid) = number(arguments, 0) {
        return text(if oid == 0 { "-" } else { types::type_name(oid as u32) });
    }
    Ok(ScalarValue::Utf8(string(arguments, 0)))
}
