//! `promlake check`, in promtool's words and with its exit codes: 0 where all is right, 1 where something is not.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use crate::config::file::Config;

#[derive(Debug, Subcommand)]
pub enum Check {
    /// Read configuration files, and say all that is wrong with them and with the files they name
    Config {
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

pub fn run(check: &Check) -> ExitCode {
    let Check::Config { files } = check;
    // Not `all`, so that every file is looked at.
    let right = files.iter().filter(|file| config(file)).count() == files.len();
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a file is right.
fn config(file: &Path) -> bool {
    println!("Checking {}", file.display());
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("  FAILED:\n{error}\n");
            return false;
        }
    };
    let missing = config.missing_files(&file.display().to_string());
    if !missing.is_empty() {
        eprintln!("  FAILED:\n{}\n", missing.join("\n"));
        return false;
    }
    let rules = config.rule_paths();
    if !rules.is_empty() {
        println!("  SUCCESS: {} rule files found", rules.len());
    }
    println!(" SUCCESS: {} is valid prometheus config file syntax\n", file.display());
    true
}
