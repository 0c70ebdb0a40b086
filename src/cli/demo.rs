//! `promlake demo`: a small shop that is measured, and the server beside it, in one process and one folder.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind as IoErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;

use crate::cli::print::errln;
use crate::error::{Context, Error, ErrorKind, Result};

/// What is measured.
mod shop;

const CONFIG: &str = include_str!("demo/prometheus.yml");
const RULES: &str = include_str!("demo/rules.yml");
/// In the configuration.
const SHOP_ADDRESS: &str = "SHOP_ADDRESS";

#[derive(Args, Debug)]
pub struct Demo {
    /// Folder for the configuration, the rules and the data; files that are there are left as they are
    #[arg(default_value = "demo")]
    dir: PathBuf,
    /// Address of the shop: its page has a button that makes it slow, and so does `POST /slow` (`POST /fast` ends it)
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8080")]
    shop_address: SocketAddr,
    /// Flags of the server, behind `--`
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<OsString>,
}

/// Opens the shop, which is there as long as the process, and returns the command line of the server.
pub fn open(demo: Demo) -> Result<Vec<OsString>> {
    let failed =
        || format!("the shop cannot be served at {}: --shop-address is another address", demo.shop_address);
    let listener = TcpListener::bind(demo.shop_address).context(ErrorKind::Unavailable, failed)?;
    let address = listener.local_addr().context(ErrorKind::Unavailable, failed)?;
    let folder = || format!("the folder {} cannot be used", demo.dir.display());
    fs::create_dir_all(&demo.dir).context(ErrorKind::Unavailable, folder)?;
    write_new(&demo.dir.join("prometheus.yml"), &CONFIG.replace(SHOP_ADDRESS, &address.to_string()))?;
    write_new(&demo.dir.join("rules.yml"), RULES)?;
    listener.set_nonblocking(true).context(ErrorKind::Internal, failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(ErrorKind::Internal, || "cannot start a runtime".into())?;
    let shop = move || {
        if let Err(error) = runtime.block_on(shop::serve(listener)) {
            errln!("promlake: the shop is closed: {error}");
        }
    };
    thread::Builder::new().name("shop".into()).spawn(shop).context(ErrorKind::Internal, failed)?;
    errln!(
        "the shop is open: http://{address}/ has a button that makes it slow, http://{address}/metrics its metrics"
    );
    let flag = |name: &str, file: &str| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(demo.dir.join(file));
        flag
    };
    let mut args = vec!["promlake".into(), flag("config.file", "prometheus.yml"), flag("storage.url", "data")];
    // So that other engines soon see what is there.
    const FLUSH: &str = "--storage.flush-interval";
    if !demo.flags.iter().any(|given| given.to_string_lossy().starts_with(FLUSH)) {
        args.push(format!("{FLUSH}=30s").into());
    }
    args.extend(demo.flags);
    Ok(args)
}

/// Writes a file unless there is one.
fn write_new(path: &Path, text: &str) -> Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).context(ErrorKind::Unavailable, failed),
        Err(error) if error.kind() == IoErrorKind::AlreadyExists => {
            errln!("{} is there and is used as it is", path.display());
            Ok(())
        }
        Err(error) => Err(Error::new(ErrorKind::Unavailable, failed()).with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::Config;
    use crate::config::protocol::NameValidation;
    use crate::config::rules::RuleFile;
    use crate::promql::parse::ParseOptions;

    #[test]
    fn the_files_are_right() {
        let config = Config::parse(&CONFIG.replace(SHOP_ADDRESS, "127.0.0.1:8080")).unwrap();
        assert_eq!(config.scrape_configs.len(), 2);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), RULES).unwrap();
        let rules = RuleFile::load(file.path(), NameValidation::default(), &ParseOptions::default()).unwrap();
        assert_eq!(rules.groups[0].rules.len(), 3);
    }

    #[test]
    fn files_that_are_there_stay() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f");
        write_new(&file, "a").unwrap();
        write_new(&file, "b").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "a");
        let error = write_new(&dir.path().join("no/f"), "a").unwrap_err();
        assert!(error.to_string().contains("no/f cannot be written"), "{error}");
    }
}
