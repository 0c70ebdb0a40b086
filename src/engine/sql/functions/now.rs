//! The time at which a statement began, in its forms: `now()` is DataFusion's; these are the other names it has, and what
//! clocks of the session's zone show then. `clock_timestamp()` is that time as well, since a plan has no clock.

use std::sync::LazyLock;

use arrow::datatypes::{DataType, TimeUnit};
use chrono::{DateTime, Utc};
use datafusion::common::internal_err;
use datafusion::error::Result;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::scalar::ScalarValue;

use super::zoned::utc;
use crate::engine::sql::datetime::read::{DAY_US, local};
use crate::engine::sql::zone;

pub fn functions() -> Vec<ScalarUDF> {
    [
        ("statement_timestamp", Form::Moment),
        ("transaction_timestamp", Form::Moment),
        ("clock_timestamp", Form::Moment),
        ("localtimestamp", Form::Local),
        ("current_date", Form::Date),
    ]
    .map(|(name, form)| {
        ScalarUDF::new_from_impl(Now { name, form, signature: Signature::nullary(Volatility::Stable) })
    })
    .to_vec()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Form {
    Moment,
    Local,
    Date,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Now {
    name: &'static str,
    form: Form,
    signature: Signature,
}

impl Now {
    fn at(&self, time: DateTime<Utc>, zone: zone::Zone) -> ScalarValue {
        let shown = local(time.timestamp_micros(), zone);
        match self.form {
            Form::Moment => ScalarValue::TimestampNanosecond(time.timestamp_nanos_opt(), utc()),
            Form::Local => {
                let away = (shown - time.timestamp_micros()) * 1_000;
                let local = time.timestamp_nanos_opt().and_then(|time| time.checked_add(away));
                ScalarValue::TimestampNanosecond(local, None)
            }
            Form::Date => ScalarValue::Date32(i32::try_from(shown.div_euclid(DAY_US)).ok()),
        }
    }
}

impl ScalarUDFImpl for Now {
    fn name(&self) -> &str {
        self.name
    }

    /// DataFusion's has that as well, and would take the name back when a session is made of another.
    fn aliases(&self) -> &[String] {
        static TODAY: LazyLock<[String; 1]> = LazyLock::new(|| ["today".to_string()]);
        if self.form == Form::Date { &*TODAY } else { &[] }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.form {
            Form::Moment => DataType::Timestamp(TimeUnit::Nanosecond, utc()),
            Form::Local => DataType::Timestamp(TimeUnit::Nanosecond, None),
            Form::Date => DataType::Date32,
        })
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        match info.query_execution_start_time() {
            Some(start) => {
                let value = self.at(start, zone::of(info.config_options()));
                Ok(ExprSimplifyResult::Simplified(Expr::Literal(value, None)))
            }
            None => Ok(ExprSimplifyResult::Original(args)),
        }
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        internal_err!("{}() is a constant before it runs", self.name)
    }
}
