//! `promtool promql`: expressions printed over several lines, and with other matchers.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli::language::Language;
use crate::cli::print::{errln, outln};
use crate::model::matcher::{MatchOp, Matcher};
use crate::promql::edit::{remove_matchers, set_matcher};
use crate::promql::parse::parse;
use crate::promql::print::pretty;

#[derive(Args, Debug)]
pub struct Editing {
    #[command(subcommand)]
    edit: Edit,
    #[command(flatten)]
    language: Language,
    /// Has to be given, as with promtool
    #[arg(long, global = true)]
    experimental: bool,
}

#[derive(Debug, Subcommand)]
enum Edit {
    /// Print an expression over several lines
    Format { query: String },
    /// Change the label matchers of an expression
    LabelMatchers(Matchers),
}

#[derive(Args, Debug)]
struct Matchers {
    #[command(subcommand)]
    change: Change,
}

#[derive(Debug, Subcommand)]
enum Change {
    /// Set a label matcher in all selectors
    Set {
        /// The type of the matcher
        #[arg(short = 't', long = "type", default_value = "=", value_parser = ["=", "!=", "=~", "!~"])]
        kind: String,
        query: String,
        /// Of the label
        name: String,
        /// Of the matcher
        value: String,
    },
    /// Delete the matchers of a label from all selectors
    Delete {
        query: String,
        /// Of the label
        name: String,
    },
}

pub fn run(editing: &Editing) -> ExitCode {
    if !editing.experimental {
        errln!("This command is experimental and requires the --experimental flag to be set.");
        return ExitCode::FAILURE;
    }
    match editing.run() {
        Ok(text) => {
            outln!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            errln!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Editing {
    fn run(&self) -> Result<String, String> {
        let (Edit::Format { query }
        | Edit::LabelMatchers(Matchers { change: Change::Set { query, .. } | Change::Delete { query, .. } })) =
            &self.edit;
        let mut expr = parse(query, &self.language.features().language()).map_err(|error| error.to_string())?;
        match &self.edit {
            Edit::Format { .. } => {}
            Edit::LabelMatchers(Matchers { change: Change::Set { kind, name, value, .. } }) => {
                let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
                let op = ops.into_iter().find(|op| op.as_str() == kind).expect("clap lets no other pass");
                let matcher = Matcher::new(name, op, value).map_err(|error| error.to_string())?;
                set_matcher(&mut expr, &matcher);
            }
            Edit::LabelMatchers(Matchers { change: Change::Delete { name, .. } }) => {
                remove_matchers(&mut expr, name)
            }
        }
        Ok(pretty(&expr))
    }
}
