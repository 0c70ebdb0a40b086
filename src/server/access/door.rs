//! The web configuration file in force. Before each request and each handshake it is looked at whether it, or a file
//! that it names, has changed, at most once a [`LOOK_AGAIN`] and never on a thread that serves. A file that became
//! wrong closes the door, with a line in the log, until it is mended: what it had said may be what was to be changed.
//!
//! Whether the listeners speak TLS at all is decided at the start, as in Prometheus.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::{Mutex, RwLock};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsAcceptor;

use crate::config::web::WebConfig;
use crate::config::web::access::Rule;
use crate::config::web::allowed::Allowed;
use crate::config::web::external::ExternalTable;
use crate::config::web::roles::Grants;
use crate::error::{Error, Result};
use crate::server::access::brake::Brake;
use crate::server::access::passwords::{Asked, Passwords, Users, Verdict};
use crate::server::access::rate::Bucket;
use crate::server::access::scram::{Exchange, Fault};
use crate::server::access::tls::{self, Served};
use crate::telemetry::metrics::Family;

pub use crate::config::web::access::Method;
pub use crate::config::web::roles::{Grant, Role};
pub use crate::server::access::passwords::{Asked as Challenged, Verdict as Password};
pub use crate::server::access::tls::POSTGRESQL;

/// How often files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Until a client is told again that its password is wrong.
const REPEATED: Duration = Duration::from_millis(100);
/// The longest file that is read: a bundle of all authorities there are has a quarter of a MiB.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Who may connect and ask.
pub struct Access {
    /// `None`: everyone, without TLS.
    file: Option<File>,
    passwords: Passwords,
    brake: Brake,
    bucket: Mutex<Option<Arc<Bucket>>>,
}

struct File {
    path: PathBuf,
    /// At the start, which holds for as long as the process runs.
    tls: bool,
    opened: Instant,
    /// Milliseconds after `opened` from which on it is looked at again.
    look_again_ms: AtomicU64,
    /// Of whoever looks.
    looking: tokio::sync::Mutex<()>,
    state: RwLock<State>,
}

#[derive(Clone)]
struct State {
    seen: Arc<Vec<Seen>>,
    /// `None`: the file is wrong.
    rules: Option<Arc<Rules>>,
}

/// A file that was read, and a digest of what was in it; `None` where it could not be read.
#[derive(PartialEq, Eq)]
struct Seen {
    path: PathBuf,
    digest: Option<Vec<u8>>,
}

/// What a file says.
pub struct Rules {
    tls: Option<Served>,
    users: Users,
    grants: Option<Grants>,
    access: Option<Vec<Rule>>,
    external: Vec<ExternalTable>,
    bucket: Option<Arc<Bucket>>,
    /// Names and values that every answer has.
    pub headers: Vec<(String, String)>,
}

/// What shakes hands with one client.
pub struct Accepting {
    pub acceptor: TlsAcceptor,
    /// What a login may be bound to, if anything.
    pub end_point: Option<Arc<[u8]>>,
    /// Whether a client's certificate is checked.
    pub verifies: bool,
}

/// How a user has to show who he is, by the rules of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    By(Method),
    /// There is no rule for him, and he is not let in.
    NoRule,
}

/// The file is wrong, so that nobody is let in. What is wrong is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

/// What is read of a file, and what it says.
struct Loaded {
    seen: Vec<Seen>,
    /// With what is to be told at the start.
    config: Result<(WebConfig, Option<Served>)>,
}

/// Reads a web configuration file and all files it names, and checks them.
///
/// # Errors
/// All that is wrong, a line each.
pub fn check(path: &Path) -> Result<()> {
    load(path).config.map(|_| ())
}

fn load(path: &Path) -> Loaded {
    let mut seen = vec![];
    let mut read = |path: &Path| {
        let content = content(path);
        seen.push(Seen { path: path.to_path_buf(), digest: content.as_ref().ok().map(|bytes| fingerprint(bytes)) });
        content
    };
    let config = parse(path, &mut read);
    Loaded { seen, config }
}

fn parse(path: &Path, read: &mut tls::Read<'_>) -> Result<(WebConfig, Option<Served>)> {
    let name = path.display().to_string();
    let bytes = read(path).map_err(|error| Error::bad_input(format!("open {name}: {}", tls::go_words(&error))))?;
    let text = String::from_utf8(bytes).map_err(|_| Error::bad_input(format!("{name}: invalid UTF-8")))?;
    let mut served = None;
    let mut notices = vec![];
    let config = WebConfig::parse(&text, path.parent().unwrap_or(Path::new("")), &mut |section| match tls::build(
        section, read,
    ) {
        Ok((built, told)) => {
            served = Some(built);
            notices = told;
            vec![]
        }
        Err(wrong) => wrong,
    });
    let mut config = config.map_err(|mistakes| mistakes.into_error(&name))?;
    config.notices.extend(notices);
    Ok((config, served))
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = vec![];
    std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let text = format!("the file has more than {} MiB", MAX_FILE_BYTES >> 20);
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(bytes)
}

fn fingerprint(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn has_changed(seen: &[Seen]) -> bool {
    seen.iter().any(|seen| content(&seen.path).ok().map(|bytes| fingerprint(&bytes)) != seen.digest)
}

impl Access {
    /// Without a file everyone may do everything.
    ///
    /// # Errors
    /// All that is wrong with the file and the files that it names.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let passwords = Passwords::new().map_err(Error::internal)?;
        let mut access = Self { file: None, passwords, brake: Brake::default(), bucket: Mutex::default() };
        let Some(path) = path else { return Ok(access) };
        let loaded = load(path);
        let (config, served) = loaded.config?;
        for notice in &config.notices {
            tracing::warn!(file = %path.display(), "{notice}");
        }
        let rules = access.rules_of(config, served);
        access.file = Some(File {
            path: path.to_path_buf(),
            tls: rules.tls.is_some(),
            opened: Instant::now(),
            look_again_ms: AtomicU64::new(LOOK_AGAIN.as_millis() as u64),
            looking: tokio::sync::Mutex::new(()),
            state: RwLock::new(State { seen: Arc::new(loaded.seen), rules: Some(Arc::new(rules)) }),
        });
        Ok(access)
    }

    /// Whether the listeners speak TLS.
    pub fn has_tls(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.tls)
    }

    /// Whether one has to say who one is, by password or certificate, as of the last look.
    pub fn asks_who(&self) -> bool {
        let Some(file) = &self.file else { return false };
        file.state.read().rules.as_ref().is_none_or(|rules| {
            // A rule that asks for nothing is for this machine only.
            !rules.is_open() || rules.wants_certificate() || rules.access.is_some()
        })
    }

    /// What the file says now; `None` where there is none.
    ///
    /// # Errors
    /// Where it is wrong.
    pub async fn rules(&self) -> Result<Option<Arc<Rules>>, Closed> {
        let Some(file) = &self.file else { return Ok(None) };
        if file.is_due() {
            self.look(file).await;
        }
        file.state.read().rules.clone().map(Some).ok_or(Closed)
    }

    /// The external tables, as of the last look; none where the file is wrong.
    pub fn external_tables(&self) -> Vec<ExternalTable> {
        let Some(file) = &self.file else { return vec![] };
        file.state.read().rules.as_ref().map(|rules| rules.external.clone()).unwrap_or_default()
    }

    /// For a handshake of HTTP.
    ///
    /// # Errors
    /// Where there is nothing to shake hands with: the file is wrong, or says nothing of TLS any more.
    pub async fn http_acceptor(&self) -> Result<Accepting, Closed> {
        let served = self.served().await?;
        let (acceptor, verifies) = (TlsAcceptor::from(served.http), served.verifies);
        Ok(Accepting { acceptor, end_point: served.end_point, verifies })
    }

    /// For a handshake of Postgres.
    ///
    /// # Errors
    /// As of HTTP.
    pub async fn postgres_acceptor(&self) -> Result<Accepting, Closed> {
        let served = self.served().await?;
        let (acceptor, verifies) = (TlsAcceptor::from(served.postgres), served.verifies);
        Ok(Accepting { acceptor, end_point: served.end_point, verifies })
    }

    async fn served(&self) -> Result<Served, Closed> {
        let rules = self.rules().await?.ok_or(Closed)?;
        rules.tls.clone().ok_or(Closed)
    }

    /// Whether this is a user's password. Whoever guesses waits.
    pub async fn check_password(&self, rules: &Rules, from: IpAddr, user: &[u8], password: &[u8]) -> Verdict {
        if self.passwords.is_known_wrong(&rules.users, user, password) {
            self.passwords.count(Verdict::Wrong);
            sleep(REPEATED).await;
            return Verdict::Wrong;
        }
        let Ok(turn) = self.brake.turn(from, user).await else {
            self.passwords.count(Verdict::Busy);
            return Verdict::Busy;
        };
        let verdict = self.passwords.check(&rules.users, user, password).await;
        if verdict == Verdict::Wrong {
            tell_wrong(from, user);
            turn.failed().await;
        }
        verdict
    }

    /// Whether the client's last message of SCRAM is that of one who knows the password; with the answer to it. Whoever
    /// guesses waits.
    ///
    /// # Errors
    /// Where the client does not keep to the protocol.
    pub async fn check_proof(
        &self,
        exchange: &Exchange,
        from: IpAddr,
        user: &[u8],
        message: &[u8],
    ) -> Result<(Verdict, String), Fault> {
        let Ok(turn) = self.brake.turn(from, user).await else {
            self.passwords.count(Verdict::Busy);
            return Ok((Verdict::Busy, String::new()));
        };
        let Some(answer) = exchange.finish(message)? else {
            self.passwords.count(Verdict::Wrong);
            tell_wrong(from, user);
            turn.failed().await;
            return Ok((Verdict::Wrong, String::new()));
        };
        self.passwords.count(Verdict::Right);
        Ok((Verdict::Right, answer))
    }

    /// Our own metrics; nothing where there is no file.
    pub fn families(&self) -> Vec<Family> {
        let Some(file) = &self.file else { return vec![] };
        let right = file.state.read().rules.is_some();
        let help = "Whether the web configuration file was right when it was read last";
        let mut families = vec![Family::gauge("promlake_web_config_valid", help, f64::from(u8::from(right)))];
        families.extend(self.passwords.families());
        families
    }

    /// Reads the files again, and what they say where they have changed. Whoever comes meanwhile waits for that.
    async fn look(&self, file: &File) {
        let _looking = file.looking.lock().await;
        if !file.is_due() {
            return;
        }
        let (path, seen) = (file.path.clone(), file.state.read().seen.clone());
        let look = tokio::task::spawn_blocking(move || has_changed(&seen).then(|| load(&path)));
        // It does not panic, and is not aborted but with the whole process.
        let Ok(loaded) = look.await else { return };
        if let Some(loaded) = loaded {
            self.changed(file, loaded);
        }
        let next = file.opened.elapsed() + LOOK_AGAIN;
        file.look_again_ms.store(u64::try_from(next.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }

    fn changed(&self, file: &File, loaded: Loaded) {
        let name = file.path.display();
        let rules = match loaded.config {
            Ok((config, served)) => {
                tracing::info!(file = %name, "the web configuration has changed and was read again");
                for notice in &config.notices {
                    tracing::warn!(file = %name, "{notice}");
                }
                match (file.tls, served.is_some()) {
                    (true, false) => tracing::error!(
                        file = %name,
                        "tls_server_config is gone: connections are refused until it is back, or a restart without TLS"
                    ),
                    (false, true) => {
                        tracing::warn!(file = %name, "tls_server_config takes effect at the next start")
                    }
                    _ => {}
                }
                Some(Arc::new(self.rules_of(config, served)))
            }
            Err(error) => {
                tracing::error!(
                    file = %name,
                    %error,
                    "the web configuration cannot be used: requests and connections are refused until it is mended"
                );
                None
            }
        };
        *file.state.write() = State { seen: Arc::new(loaded.seen), rules };
    }

    fn rules_of(&self, config: WebConfig, tls: Option<Served>) -> Rules {
        let mut bucket = self.bucket.lock();
        let kept = bucket.take().filter(|bucket| Some(bucket.limit()) == config.rate_limit);
        let made = || config.rate_limit.map(|limit| Arc::new(Bucket::new(limit, Instant::now())));
        *bucket = kept.or_else(made);
        let (users, bucket) = (Users::new(config.users), bucket.clone());
        Rules {
            tls,
            users,
            grants: config.grants,
            access: config.access,
            external: config.external,
            bucket,
            headers: config.headers,
        }
    }
}

impl File {
    fn is_due(&self) -> bool {
        self.opened.elapsed().as_millis() >= u128::from(self.look_again_ms.load(Ordering::Acquire))
    }
}

impl Rules {
    /// Whether no password is needed.
    pub fn is_open(&self) -> bool {
        self.users.is_empty() && self.access.is_none()
    }

    /// How a user who comes from there has to show who he is; `None` where the file has no rules of access.
    pub fn way(&self, from: IpAddr, encrypted: bool, user: &[u8]) -> Option<Way> {
        let rules = self.access.as_ref()?;
        let fits = |rule: &&Rule| self.fits(rule, from, encrypted) && self.is_for(rule, user);
        Some(rules.iter().find(fits).map_or(Way::NoRule, |rule| Way::By(rule.method)))
    }

    /// The same where no user was named, who may be one of the names of a certificate: with the name.
    pub fn way_of_nobody(&self, from: IpAddr, encrypted: bool, names: &[String]) -> Option<(Way, Option<String>)> {
        let rules = self.access.as_ref()?;
        for rule in rules.iter().filter(|rule| self.fits(rule, from, encrypted)) {
            let named = rule.users.is_some() || rule.roles.is_some();
            match rule.method {
                Method::Cert => {
                    let mut names = names.iter().filter(|name| self.is_for(rule, name.as_bytes()));
                    if let Some(name) = names.find(|name| self.knows(name.as_bytes())) {
                        return Some((Way::By(Method::Cert), Some(name.clone())));
                    }
                }
                // It may be for whoever comes, and is asked who he is.
                Method::Password | Method::Scram => return Some((Way::By(rule.method), None)),
                Method::Trust | Method::Reject if named => {}
                method => return Some((Way::By(method), None)),
            }
        }
        Some((Way::NoRule, None))
    }

    fn fits(&self, rule: &Rule, from: IpAddr, encrypted: bool) -> bool {
        rule.encrypted.is_none_or(|wanted| wanted == encrypted) && rule.addresses.have(from)
    }

    fn is_for(&self, rule: &Rule, user: &[u8]) -> bool {
        let role = || self.grants.as_ref()?.get(std::str::from_utf8(user).ok()?).map(|grant| grant.role);
        let is_named = rule.users.as_ref().is_none_or(|users| users.iter().any(|name| name.as_bytes() == user));
        is_named && rule.roles.as_ref().is_none_or(|roles| role().is_some_and(|role| roles.contains(&role)))
    }

    /// Whether a user who need not know a password is one: where there are roles, one who has a role.
    pub fn knows(&self, user: &[u8]) -> bool {
        let has_role = |grants: &Grants| std::str::from_utf8(user).is_ok_and(|user| grants.contains_key(user));
        self.grants.as_ref().is_none_or(has_role)
    }

    /// Users with their roles, by name.
    pub fn members(&self) -> Vec<(String, Role)> {
        let all = self.grants.iter().flatten().map(|(user, grant)| (user.clone(), grant.role));
        let mut all: Vec<(String, Role)> = all.collect();
        all.sort_unstable();
        all
    }

    /// Whether users have roles.
    pub fn has_roles(&self) -> bool {
        self.grants.is_some()
    }

    /// What a user was given; `None` where there are no roles, and every user may do everything.
    pub fn grant(&self, user: &[u8]) -> Option<Grant> {
        let grants = self.grants.as_ref()?;
        // Every user has one.
        let least = || Grant { role: Role::Reader, allowed: Allowed::default() };
        Some(std::str::from_utf8(user).ok().and_then(|user| grants.get(user).cloned()).unwrap_or_else(least))
    }

    /// How a user may show that he knows the password.
    pub fn ask(&self, user: &[u8]) -> Asked {
        self.users.ask(user)
    }

    /// Whether a client has to have a certificate.
    pub fn wants_certificate(&self) -> bool {
        self.tls.as_ref().is_some_and(|served| served.wants_certificate)
    }

    /// Whether a request may come now; it counts from then on.
    pub fn allows_request(&self) -> bool {
        self.bucket.as_ref().is_none_or(|bucket| bucket.take(Instant::now()))
    }
}

/// Never with the password; of a name so much as tells whose it is.
fn tell_wrong(address: IpAddr, user: &[u8]) {
    const SHOWN: usize = 64;
    let user: String = String::from_utf8_lossy(user).chars().take(SHOWN).collect();
    tracing::warn!(%address, ?user, "a wrong password, or a user that there is not");
}

#[cfg(test)]
#[path = "door/tests.rs"]
mod tests;
