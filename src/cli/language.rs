//! Features of PromQL for the commands that read rules and expressions, under promtool's flag.

use clap::Args;

use crate::cli::print::outln;
use crate::engine::session::Features;

#[derive(Args, Clone, Debug, Default)]
pub struct Language {
    /// Features of PromQL that rules may use: promql-experimental-functions, promql-delayed-name-removal,
    /// promql-binop-fill-modifiers
    #[arg(long = "enable-feature", value_name = "NAME", value_delimiter = ',', global = true)]
    enable_feature: Vec<String>,
}

impl Language {
    /// Tells of names that nobody knows, as promtool does.
    pub fn features(&self) -> Features {
        let mut features = Features::default();
        for name in &self.enable_feature {
            match name.as_str() {
                "promql-experimental-functions" => features.experimental_functions = true,
                "promql-delayed-name-removal" => features.delayed_name_removal = true,
                "promql-binop-fill-modifiers" => features.binop_fill_modifiers = true,
                // In the language without being asked for.
                "promql-duration-expr" | "promql-extended-range-selectors" | "" => {}
                unknown => outln!("  WARNING: Unknown feature passed to --enable-feature: {unknown}"),
            }
        }
        features
    }
}
