//! Debian's Prometheus on a free port with a database of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to start. Generous, since the machine may be busy building.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running Prometheus. Dropping it kills it.
pub struct Prometheus {
    child: Child,
    _dir: tempfile::TempDir,
    /// `http://127.0.0.1:port`
    pub http: String,
    pub version: String,
}

impl Prometheus {
    /// Starts the program that `PROMETHEUS` names, or the one of `tests/peers`, or one on the path.
    pub async fn start() -> Result<Self, String> {
        let program = program();
        let version = version(&program)?;
        let major = version.split('.').next().and_then(|major| major.parse().ok());
        // Before 3.0 ranges and the lookback include both their ends, and half of the functions are missing.
        if major.is_none_or(|major: u32| major < 3) {
            return Err(format!(
                "{} is version {version}, 3.5 or newer is needed; run tests/peers",
                program.display()
            ));
        }
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let config = dir.path().join("prometheus.yml");
        std::fs::write(&config, "scrape_configs: []\n").map_err(|e| e.to_string())?;
        // It cannot be asked which port it took, so one is chosen for it.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let address = listener.map_err(|e| format!("no free port: {e}"))?;
        let child = Command::new(&program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=100y"])
            .args([
                "--enable-feature=native-histograms,promql-experimental-functions",
                "--query.max-concurrency=20",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{} does not start: {e}", program.display()))?;
        let server = Self { child, _dir: dir, http: format!("http://{address}"), version };
        server.wait_until_ready().await?;
        Ok(server)
    }

    async fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + DEADLINE;
        let url = format!("{}/-/ready", self.http);
        while !reqwest::get(&url).await.is_ok_and(|response| response.status().is_success()) {
            if Instant::now() > deadline {
                return Err("prometheus did not become ready".to_string());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("PROMETHEUS") {
        return program.into();
    }
    let home = std::env::var_os("HOME").unwrap_or_default();
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map_or_else(|| PathBuf::from(home).join(".cache"), PathBuf::from);
    let installed = cache.join("promlake/prometheus/usr/bin/prometheus");
    if installed.is_file() { installed } else { "prometheus".into() }
}

/// Of `prometheus, version 3.5.3+ds1 (…`, the number.
fn version(program: &PathBuf) -> Result<String, String> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|e| format!("{}: {e}; run tests/peers", program.display()))?;
    // Versions 2 print it on stderr.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let version = text.split_once("version ").and_then(|(_, rest)| rest.split_whitespace().next());
    version.map(str::to_string).ok_or_else(|| format!("{} --version says {text:?}", program.display()))
}
