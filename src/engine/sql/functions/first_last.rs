//! `first(value, timestamp)` and `last(value, timestamp)`: TimescaleDB's short form of
//! `first_value(value ORDER BY timestamp)`, which they are rewritten to. Rows without a timestamp are left out.

use std::hash::Hash;

use arrow::datatypes::DataType;
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::functions_aggregate::first_last::{first_value_udaf, last_value_udaf};
use datafusion::logical_expr::expr::{AggregateFunction, Sort};
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility};

pub fn functions() -> Vec<AggregateUDF> {
    [End::First, End::Last].map(|end| AggregateUDF::new_from_impl(FirstLast::new(end))).to_vec()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum End {
    First,
    Last,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FirstLast {
    end: End,
    signature: Signature,
}

impl FirstLast {
    fn new(end: End) -> Self {
        Self { end, signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for FirstLast {
    fn name(&self) -> &str {
        match self.end {
            End::First => "first",
            End::Last => "last",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments[0].clone())
    }

    fn accumulator(&self, _args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        internal_err!("{}() is rewritten before it runs", self.name())
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        let end = self.end;
        Some(Box::new(move |function: AggregateFunction, _context| {
            let mut params = function.params;
            let [value, timestamp] = params.args.as_slice() else {
                return plan_err!("first() and last() take (value, timestamp)");
            };
            let known = timestamp.clone().is_not_null();
            let filter = match params.filter.take() {
                Some(filter) => filter.and(known),
                None => known,
            };
            let order = vec![Sort::new(timestamp.clone(), true, true)];
            let udaf = match end {
                End::First => first_value_udaf(),
                End::Last => last_value_udaf(),
            };
            let value = vec![value.clone()];
            let filter = Some(Box::new(filter));
            Ok(Expr::AggregateFunction(AggregateFunction::new_udf(udaf, value, false, filter, order, None)))
        }))
    }
}
