//! `sum` and `avg` of intervals; of anything else they are DataFusion's.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, AggregateFunctionSimplification, StateFieldsArgs};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Expr, GroupsAccumulator, Operator, ReversedUDAF,
    SetMonotonicity, Signature, StatisticsArgs, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::intervals::INTERVAL;
use crate::engine::sql::datetime::interval;
use crate::engine::sql::state::raised;

/// In the place of DataFusion's.
pub fn functions() -> Vec<AggregateUDF> {
    [sum_udaf(), avg_udaf()]
        .map(|inner| {
            let signature = Signature::user_defined(Volatility::Immutable);
            AggregateUDF::new_from_impl(OrIntervals { inner, signature })
        })
        .to_vec()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrIntervals {
    inner: Arc<AggregateUDF>,
    signature: Signature,
}

fn is_interval(of: &DataType) -> bool {
    matches!(of, DataType::Interval(_) | DataType::Duration(_))
}

impl AggregateUDFImpl for OrIntervals {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if let [of] = types
            && is_interval(of)
        {
            return Ok(vec![INTERVAL]);
        }
        let fields: Vec<FieldRef> = types.iter().map(|of| Arc::new(Field::new("", of.clone(), true))).collect();
        let fields = fields_with_udf(&fields, self.inner.as_ref())?;
        Ok(fields.iter().map(|field| field.data_type().clone()).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [of] if is_interval(of) => Ok(INTERVAL),
            types => self.inner.return_type(types),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match is_interval(args.return_field.data_type()) {
            true if args.is_distinct => Err(raised("0A000", format!("{}(DISTINCT interval)", self.name()))),
            true => Ok(Box::new(Sum { averages: self.name() == "avg", ..Sum::default() })),
            false => self.inner.accumulator(args),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        if !is_interval(args.return_field.data_type()) {
            return self.inner.state_fields(args);
        }
        let field = |what: &str, of: DataType| Arc::new(Field::new(format!("{}[{what}]", args.name), of, true));
        Ok(vec![
            field("months", DataType::Int64),
            field("days", DataType::Int64),
            field("time", DataType::Decimal128(38, 0)),
            field("count", DataType::Int64),
        ])
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        !is_interval(args.return_field.data_type()) && self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        self.inner.create_groups_accumulator(args)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        match is_interval(args.return_field.data_type()) {
            true => self.accumulator(args),
            false => self.inner.create_sliding_accumulator(args),
        }
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn simplify(&self) -> Option<AggregateFunctionSimplification> {
        self.inner.simplify()
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        literal: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        self.inner.simplify_expr_op_literal(function, arg, op, literal, arg_is_left)
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.inner().reverse_expr()
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs) -> Option<ScalarValue> {
        self.inner.value_from_stats(statistics)
    }

    fn default_value(&self, of: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(of)
    }

    fn is_nullable(&self) -> bool {
        self.inner.is_nullable()
    }

    fn set_monotonicity(&self, of: &DataType) -> SetMonotonicity {
        if is_interval(of) { SetMonotonicity::NotMonotonic } else { self.inner.inner().set_monotonicity(of) }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

/// Of each part by itself.
#[derive(Debug, Default)]
struct Sum {
    averages: bool,
    months: i64,
    days: i64,
    nanoseconds: i128,
    count: i64,
}

impl Sum {
    fn add(&mut self, values: &[ArrayRef], sign: i64) -> Result<()> {
        let Some(values) = values.first() else { return internal_err!("an aggregate of nothing") };
        for of in values.as_primitive::<IntervalMonthDayNanoType>().iter().flatten() {
            self.months = self.months.saturating_add(sign * i64::from(of.months));
            self.days = self.days.saturating_add(sign * i64::from(of.days));
            self.nanoseconds = self.nanoseconds.saturating_add(i128::from(sign) * i128::from(of.nanoseconds));
            self.count = self.count.saturating_add(sign);
        }
        Ok(())
    }
}

impl Accumulator for Sum {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, 1)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values, -1)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [months, days, times, counts] = states else {
            return internal_err!("a sum of intervals has four parts");
        };
        let total = |array: &ArrayRef, of: i64| {
            array.as_primitive::<Int64Type>().iter().flatten().fold(of, i64::saturating_add)
        };
        self.months = total(months, self.months);
        self.days = total(days, self.days);
        let times = times.as_primitive::<Decimal128Type>().iter().flatten();
        self.nanoseconds = times.fold(self.nanoseconds, i128::saturating_add);
        self.count = total(counts, self.count);
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![
            ScalarValue::Int64(Some(self.months)),
            ScalarValue::Int64(Some(self.days)),
            ScalarValue::Decimal128(Some(self.nanoseconds), 38, 0),
            ScalarValue::Int64(Some(self.count)),
        ])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::IntervalMonthDayNano(None));
        }
        let parts = (self.months.try_into(), self.days.try_into(), self.nanoseconds.try_into());
        let (Ok(months), Ok(days), Ok(nanoseconds)) = parts else {
            return Err(raised("22008", "interval out of range"));
        };
        let sum = IntervalMonthDayNano { months, days, nanoseconds };
        let of = if self.averages { interval::divided(sum, self.count as f64)? } else { sum };
        Ok(ScalarValue::IntervalMonthDayNano(Some(of)))
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}
