//! The real binary on free ports with a folder of its own, and an S3 server for it where one can be had.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::skip::skip;

/// How long anything here may take before the test fails. Generous, since the machine may be busy building.
const DEADLINE: Duration = Duration::from_secs(60);

/// A configuration that scrapes nothing.
pub const NO_TARGETS: &str = "scrape_configs: []\n";

/// Where a server keeps its data, outliving the server.
pub struct Home {
    pub dir: tempfile::TempDir,
    /// What of the command line says where.
    storage: Vec<String>,
    env: Vec<(String, String)>,
    /// The control group that the server is put into, by its folder.
    pub cgroup: Option<PathBuf>,
}

impl Home {
    pub fn on_disk() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let storage = vec![format!("--storage.url={}", dir.path().join("data").display())];
        Self { dir, storage, env: Vec::new(), cgroup: None }
    }

    /// In a folder that is there already, or in the default one below it, as these flags say.
    pub fn with_flags(dir: tempfile::TempDir, storage: &[&str]) -> Self {
        let storage = storage.iter().map(|flag| flag.to_string()).collect();
        Self { dir, storage, env: Vec::new(), cgroup: None }
    }

    pub fn on_s3(s3: &S3Server, bucket: &str) -> Self {
        s3.create_bucket(bucket);
        Self::on_bucket_at(&s3.endpoint, bucket)
    }

    /// At an endpoint that may be nobody's.
    pub fn on_bucket_at(endpoint: &str, bucket: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let env = [
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ALLOW_HTTP", "true"),
        ];
        let env = env.map(|(name, value)| (name.to_string(), value.to_string())).to_vec();
        Self { dir, storage: vec![format!("--storage.url=s3://{bucket}/lake")], env, cgroup: None }
    }

    /// Starts the server and waits until it is ready.
    pub fn start(&self, config: &str, flags: &[&str]) -> Promlake {
        let mut server = self.launch(config, flags);
        server.http = server.wait_for_line("HTTP API on ");
        server.pg = server.wait_for_line("Postgres protocol on ");
        server.wait_for_line("msg=ready");
        server
    }

    /// Starts it as an agent, in a folder `agent`, and waits until it is ready.
    pub fn start_agent(&self, config: &str, flags: &[&str]) -> Promlake {
        let file = self.dir.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("writing the configuration");
        let config = format!("--config.file={}", file.display());
        let folder = format!("--storage.agent.path={}", self.dir.path().join("agent").display());
        let own = ["--web.listen-address=127.0.0.1:0", "--agent", &config, &folder];
        let mut server = self.spawn(&[&own, flags].concat());
        server.http = server.wait_for_line("HTTP API on ");
        server.wait_for_line("msg=ready");
        server
    }

    /// Starts the demo in a folder `demo`, and waits until it is ready; with the URL of its shop.
    pub fn start_demo(&self) -> (String, Promlake) {
        let own = ["--web.listen-address=127.0.0.1:0", "--pg.listen-address=127.0.0.1:0"];
        let mut server = self.spawn(&[&["demo", "--shop-address=127.0.0.1:0", "--"], &own[..]].concat());
        let shop = server.wait_for_line("the shop is open: ");
        server.http = server.wait_for_line("HTTP API on ");
        server.wait_for_line("msg=ready");
        (shop, server)
    }

    /// Starts the server and does not wait.
    pub fn launch(&self, config: &str, flags: &[&str]) -> Promlake {
        let config_file = self.dir.path().join("prometheus.yml");
        std::fs::write(&config_file, config).expect("writing the configuration");
        let config_flag = format!("--config.file={}", config_file.display());
        self.launch_with(&[&[config_flag.as_str()], flags].concat())
    }

    fn launch_with(&self, flags: &[&str]) -> Promlake {
        let own = ["--web.listen-address=127.0.0.1:0", "--pg.listen-address=127.0.0.1:0"];
        let storage: Vec<&str> = self.storage.iter().map(String::as_str).collect();
        self.spawn(&[&own, storage.as_slice(), flags].concat())
    }

    fn spawn(&self, flags: &[&str]) -> Promlake {
        let mut child = self
            .command(env!("CARGO_BIN_EXE_promlake"))
            .args(flags)
            .envs(self.env.iter().cloned())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting the binary");
        let log = read_log(&mut child);
        Promlake { child, log, lines: Vec::new(), http: String::new(), pg: String::new() }
    }

    /// The program, in the control group from its first allocation on.
    fn command(&self, program: &str) -> Command {
        let Some(cgroup) = &self.cgroup else { return Command::new(program) };
        let mut command = Command::new("sh");
        command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(cgroup).arg(program);
        command
    }
}

/// A running server. Dropping it kills it.
pub struct Promlake {
    child: Child,
    log: mpsc::Receiver<String>,
    lines: Vec<String>,
    /// `http://127.0.0.1:port`
    pub http: String,
    /// `127.0.0.1:port`
    pub pg: String,
}

impl Promlake {
    /// The word behind `text` in the first log line that has it.
    pub fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        let mut seen = 0;
        loop {
            for line in &self.lines[seen..] {
                if let Some((_, rest)) = line.split_once(text) {
                    return rest.split([' ', '"']).next().unwrap_or("").to_string();
                }
            }
            seen = self.lines.len();
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.lines.push(line),
                Err(_) => {
                    let status = self.child.try_wait();
                    panic!("no {text:?} in the log, process {status:?}:\n{}", self.lines.join("\n"));
                }
            }
        }
    }

    /// Whether a line of the log up to the start has this in it.
    pub fn logged(&self, text: &str) -> bool {
        self.lines.iter().any(|line| line.contains(text))
    }

    /// All lines of the log so far.
    pub fn log(&mut self) -> &[String] {
        self.lines.extend(self.log.try_iter());
        &self.lines
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.http)
    }

    /// As a machine that loses power: no signal handler runs.
    pub fn kill(mut self) {
        self.child.kill().expect("killing the server");
        self.child.wait().expect("waiting for the server");
    }

    /// SIGTERM, and the exit status within the deadline.
    pub fn stop(self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// The exit status within the deadline.
    pub fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("waiting for the server") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("the server did not stop within {DEADLINE:?}:\n{}", self.lines.join("\n"));
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.expect("running kill").success());
    }
}

impl Drop for Promlake {
    fn drop(&mut self) {
        // Already gone where `kill` or `stop` was called.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the child's log in a thread, so that the pipe never fills up.
fn read_log(child: &mut Child) -> mpsc::Receiver<String> {
    let stderr = child.stderr.take().expect("stderr is piped");
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody listens any more once the server is dropped.
            let _ = send.send(line);
        }
    });
    receive
}

/// Sends a request body to `/api/v1/write`; the status, or `None` when there was no answer.
pub async fn write(client: &reqwest::Client, server: &str, body: Vec<u8>) -> Option<u16> {
    let response = client
        .post(format!("{server}/api/v1/write"))
        .header("Content-Type", "application/x-protobuf")
        .header("Content-Encoding", "snappy")
        .header("X-Prometheus-Remote-Write-Version", "0.1.0")
        .body(body)
        .send()
        .await
        .ok()?;
    Some(response.status().as_u16())
}

/// GET, as status and JSON.
pub async fn get_json(url: &str) -> (u16, Value) {
    let response = reqwest::get(url).await.expect("an answer");
    let status = response.status().as_u16();
    let body = response.text().await.expect("a body");
    let json = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{url}: {e}: {body}"));
    (status, json)
}

/// A URL with its query parameters encoded.
pub fn with_params(url: &str, params: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    format!("{url}?{query}")
}

/// moto's S3 server.
pub struct S3Server {
    child: Child,
    pub endpoint: String,
}

impl S3Server {
    /// `None`, with the reason on stderr, where it is not installed.
    pub fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(server) => Some(server),
            Err(reason) => {
                skip("on s3", &reason);
                None
            }
        }
    }

    /// From here on it takes connections and does not answer.
    pub fn pause(&self) {
        let status = Command::new("kill").arg("-STOP").arg(self.child.id().to_string()).status();
        assert!(status.expect("running kill").success());
    }

    fn try_start() -> Result<Self, String> {
        let program = Self::program()?;
        // The server cannot be asked which port it took, so one is chosen for it.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .map_err(|e| format!("no free port: {e}"))?
            .port();
        let child = Command::new(&program)
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{} does not start: {e}", program.display()))?;
        let server = Self { child, endpoint: format!("http://127.0.0.1:{port}") };
        let deadline = Instant::now() + DEADLINE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline {
                return Err("moto_server did not answer".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// `moto_server` of the test environment that `tests/peers` installs.
    fn program() -> Result<PathBuf, String> {
        let venv = std::env::var_os("PROMLAKE_VENV").map_or_else(
            || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache/promlake/venv"),
            PathBuf::from,
        );
        let program = venv.join("bin/moto_server");
        if program.is_file() {
            Ok(program)
        } else {
            Err(format!("{} is missing; run tests/peers", program.display()))
        }
    }

    fn create_bucket(&self, bucket: &str) {
        let url = format!("{}/{bucket}", self.endpoint);
        let request = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async { reqwest::Client::new().put(&url).send().await })
        };
        // A thread of its own, since tests run inside a runtime already.
        let status = std::thread::scope(|s| s.spawn(request).join());
        let response = status.expect("no panic").expect("an answer of the S3 server");
        assert!(response.status().is_success(), "creating {bucket}: {}", response.status());
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
