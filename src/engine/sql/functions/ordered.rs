//! Aggregates of values in their order: `mode()` and `percentile_disc(fraction)`, both `WITHIN GROUP (ORDER BY …)`. All
//! values of a group are kept, and counted against the memory of the query.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, new_empty_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{SortOptions, concat, filter, is_not_null, sort};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use datafusion::physical_expr::expressions::Literal;
use datafusion::scalar::ScalarValue;

use super::plain::type_name;
use crate::engine::sql::state::raised;

pub fn functions() -> Vec<AggregateUDF> {
    [Which::Mode, Which::Percentile]
        .map(|which| {
            let signature = Signature::user_defined(Volatility::Immutable);
            AggregateUDF::new_from_impl(Ordered { which, signature })
        })
        .to_vec()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Which {
    /// The value there is most of, the first of several.
    Mode,
    /// The first value that so many are not above.
    Percentile,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Ordered {
    which: Which,
    signature: Signature,
}

impl AggregateUDFImpl for Ordered {
    fn name(&self) -> &str {
        match self.which {
            Which::Mode => "mode",
            Which::Percentile => "percentile_disc",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What is sorted comes first.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match (self.which, types) {
            (Which::Mode, [of]) => Ok(vec![of.clone()]),
            (Which::Percentile, [of, fraction]) if fraction.is_numeric() || fraction.is_null() => {
                Ok(vec![of.clone(), DataType::Float64])
            }
            (_, types) => {
                let types: Vec<String> = types.iter().map(type_name).collect();
                Err(raised("42883", format!("function {}({}) does not exist", self.name(), types.join(", "))))
            }
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first() {
            Some(of) => Ok(of.clone()),
            None => plan_err!("{}() takes WITHIN GROUP (ORDER BY …)", self.name()),
        }
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    /// Values are sorted here, so that two of these in one SELECT may have two orders.
    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Beneficial
    }

    fn with_beneficial_ordering(self: Arc<Self>, _: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        Ok(Some(self))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let fraction = match self.which {
            Which::Mode => None,
            Which::Percentile => {
                let literal = args.exprs.get(1).and_then(|expr| expr.downcast_ref::<Literal>());
                match literal.map(Literal::value) {
                    Some(ScalarValue::Float64(fraction)) => Some(*fraction),
                    _ => return Err(raised("0A000", "the fraction of percentile_disc() must be a constant")),
                }
            }
        };
        if let Some(Some(fraction)) = fraction
            && !(0.0..=1.0).contains(&fraction)
        {
            return Err(raised("22003", format!("percentile value {fraction} is not between 0 and 1")));
        }
        let descending = args.order_bys.first().is_some_and(|by| by.options.descending);
        let of = args.return_field.data_type().clone();
        Ok(Box::new(Values { of, fraction, descending, parts: vec![] }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let list = DataType::new_list(args.return_field.data_type().clone(), true);
        Ok(vec![Arc::new(Field::new(format!("{}[values]", args.name), list, true))])
    }
}

/// All values of a group but NULL.
#[derive(Debug)]
struct Values {
    of: DataType,
    /// Of `percentile_disc`, where it may be NULL.
    fraction: Option<Option<f64>>,
    descending: bool,
    parts: Vec<ArrayRef>,
}

impl Values {
    fn sorted(&self) -> Result<ArrayRef> {
        let parts: Vec<&dyn Array> = self.parts.iter().map(AsRef::as_ref).collect();
        let all = if parts.is_empty() { new_empty_array(&self.of) } else { concat(&parts)? };
        Ok(sort(&all, Some(SortOptions { descending: self.descending, nulls_first: false }))?)
    }

    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        let values = filter(values, &is_not_null(values)?)?;
        if !values.is_empty() {
            self.parts.push(values);
        }
        Ok(())
    }
}

/// Where the longest run of equal values begins.
fn longest_run(sorted: &ArrayRef) -> Result<usize> {
    let converter = RowConverter::new(vec![SortField::new(sorted.data_type().clone())])?;
    let rows = converter.convert_columns(&[Arc::clone(sorted)])?;
    let (mut best, mut most, mut begin) = (0, 0, 0);
    for at in 1..=rows.num_rows() {
        if at == rows.num_rows() || rows.row(at) != rows.row(begin) {
            if at - begin > most {
                (best, most) = (begin, at - begin);
            }
            begin = at;
        }
    }
    Ok(best)
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        match values.first() {
            Some(values) => self.add(values),
            None => internal_err!("an aggregate of nothing"),
        }
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(lists) = states.first() else { return internal_err!("an aggregate without a state") };
        for list in lists.as_list::<i32>().iter().flatten() {
            self.add(&list)?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.sorted()?;
        let field = Arc::new(Field::new_list_field(self.of.clone(), true));
        let list = ListArray::new(field, OffsetBuffer::from_lengths([values.len()]), values, None);
        Ok(vec![ScalarValue::List(Arc::new(list))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sorted = self.sorted()?;
        let null = || ScalarValue::try_from(&self.of);
        if sorted.is_empty() {
            return null();
        }
        match self.fraction {
            None => ScalarValue::try_from_array(&sorted, longest_run(&sorted)?),
            Some(None) => null(),
            Some(Some(fraction)) => {
                let rows = (fraction * sorted.len() as f64).ceil() as usize;
                ScalarValue::try_from_array(&sorted, rows.saturating_sub(1).min(sorted.len() - 1))
            }
        }
    }

    fn size(&self) -> usize {
        let parts: usize = self.parts.iter().map(|part| part.get_array_memory_size()).sum();
        size_of_val(self) + self.parts.capacity() * size_of::<ArrayRef>() + parts
    }
}
