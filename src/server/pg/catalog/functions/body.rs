//! A row of the tables of functions, how it becomes a function of DataFusion, and what bodies are written with.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use datafusion::arrow::array::new_empty_array;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, DocSection, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;

use crate::server::pg::catalog::procs::SECTION;
use crate::server::pg::catalog::spec;
use crate::server::pg::catalog::world::{Instance, World};
use crate::server::pg::errors;
use crate::server::pg::session::Session;

pub type Body = fn(&World, &[ScalarValue]) -> Result<ScalarValue>;

/// A function takes any arguments; its body looks at those it needs.
pub struct Function {
    pub name: &'static str,
    /// Types, as `pg_proc` lists them.
    pub arguments: &'static str,
    pub returns: Returns,
    pub body: Body,
}

/// The type of a result.
pub enum Returns {
    /// By PostgreSQL's name.
    Type(&'static str),
    /// By the types of the arguments.
    Of(fn(&[DataType]) -> Result<DataType>),
}

pub const fn row(name: &'static str, arguments: &'static str, returns: &'static str, body: Body) -> Function {
    Function { name, arguments, returns: Returns::Type(returns), body }
}

pub struct CatalogFunction {
    row: &'static Function,
    session: Weak<Session>,
    instance: Arc<Instance>,
    signature: Signature,
    documentation: Documentation,
}

impl CatalogFunction {
    pub fn new(
        row: &'static Function,
        session: Weak<Session>,
        instance: Arc<Instance>,
        volatility: Volatility,
    ) -> Self {
        let signature = Signature::one_of(vec![TypeSignature::VariadicAny, TypeSignature::Nullary], volatility);
        let section = DocSection { include: false, label: SECTION, description: None };
        let documentation = Documentation::builder(section, "", row.arguments).build();
        Self { row, session, instance, signature, documentation }
    }
}

impl fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row.name)
    }
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.row.name == other.row.name && self.session.ptr_eq(&other.session)
    }
}

impl Eq for CatalogFunction {}

impl Hash for CatalogFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.row.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.row.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match self.row.returns {
            Returns::Type(name) => Ok(spec::arrow_type(name)),
            Returns::Of(data_type) => data_type(arguments),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        if let Returns::Type(name) = self.row.returns {
            return Ok(Arc::new(spec::field(self.row.name, name)));
        }
        let types: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.row.name, self.return_type(&types)?, true)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let session =
            self.session.upgrade().ok_or_else(|| DataFusionError::Execution("the connection has ended".into()))?;
        let world = World { session, instance: Arc::clone(&self.instance) };
        let scalars: Option<Vec<ScalarValue>> = args
            .args
            .iter()
            .map(|a| if let ColumnarValue::Scalar(s) = a { Some(s.clone()) } else { None })
            .collect();
        if let Some(scalars) = scalars {
            return Ok(ColumnarValue::Scalar((self.row.body)(&world, &scalars)?));
        }
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let row = |i: usize| {
            let values: Vec<ScalarValue> =
                arrays.iter().map(|a| ScalarValue::try_from_array(a, i)).collect::<Result<_>>()?;
            (self.row.body)(&world, &values)
        };
        let values: Vec<ScalarValue> = (0..args.number_rows).map(row).collect::<Result<_>>()?;
        if values.is_empty() {
            return Ok(ColumnarValue::Array(new_empty_array(args.return_field.data_type())));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(values)?))
    }
}

pub fn text(value: impl Into<String>) -> Result<ScalarValue> {
    Ok(ScalarValue::Utf8(Some(value.into())))
}

pub fn maybe_text(value: Option<impl Into<String>>) -> Result<ScalarValue> {
    Ok(ScalarValue::Utf8(value.map(Into::into)))
}

pub fn boolean(value: bool) -> Result<ScalarValue> {
    Ok(ScalarValue::Boolean(Some(value)))
}

pub fn no_text(_: &World, _: &[ScalarValue]) -> Result<ScalarValue> {
    Ok(ScalarValue::Utf8(None))
}

pub fn oid(value: Option<u32>) -> Result<ScalarValue> {
    Ok(ScalarValue::UInt32(value))
}

pub fn texts(values: impl Iterator<Item = String>) -> Result<ScalarValue> {
    let values: Vec<ScalarValue> = values.map(|text| ScalarValue::Utf8(Some(text))).collect();
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&values, &DataType::Utf8)))
}

pub fn string(arguments: &[ScalarValue], i: usize) -> Option<String> {
    arguments.get(i)?.try_as_str().flatten().map(String::from)
}

/// An argument as text, whatever its type.
pub fn any_text(argument: &ScalarValue) -> Option<String> {
    match argument.cast_to(&DataType::Utf8).ok()? {
        ScalarValue::Utf8(text) => text,
        _ => None,
    }
}

/// A whole number, also where it is written as text.
pub fn number(arguments: &[ScalarValue], i: usize) -> Option<i64> {
    match arguments.get(i)?.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(value) => value,
        _ => None,
    }
}

pub fn object_id(arguments: &[ScalarValue], i: usize) -> Option<u32> {
    u32::try_from(number(arguments, i)?).ok()
}

/// An error with a SQLSTATE.
pub fn failed(code: &str, message: impl Into<String>) -> DataFusionError {
    DataFusionError::External(Box::new(errors::error(code, message)))
}
