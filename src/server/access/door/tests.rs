use super::*;

struct World {
    folder: tempfile::TempDir,
    access: Access,
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const USERS: &str = "basic_auth_users:\n  ada: $2y$04$";

impl World {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
        for name in ["server.crt", "server.key", "renewed.crt", "renewed.key"] {
            std::fs::copy(tests.join(name), folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("web.yml"), text).unwrap();
        let access = Access::open(Some(&folder.path().join("web.yml"))).unwrap();
        Self { folder, access }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
    }

    /// As if the time for it had come.
    async fn rules(&self) -> Result<Arc<Rules>, Closed> {
        self.access.file.as_ref().unwrap().look_again_ms.store(0, Ordering::Release);
        self.access.rules().await.map(|rules| rules.expect("a file"))
    }
}

fn users(password: &str) -> String {
    format!("basic_auth_users:\n  ada: {}\n", bcrypt::hash(password, 4).unwrap())
}

#[tokio::test]
async fn without_a_file_everyone_may_come() {
    let access = Access::open(None).unwrap();
    assert!(access.rules().await.unwrap().is_none());
    assert!(!access.has_tls() && !access.asks_who());
    assert!(access.http_acceptor().await.is_err());
    assert!(access.families().is_empty());
}

#[tokio::test]
async fn a_changed_file_holds_at_once() {
    let world = World::new(&users("one"));
    assert!(world.access.asks_who());
    let check = async |password: &[u8]| {
        let rules = world.rules().await.unwrap();
        world.access.check_password(&rules, HERE, b"ada", password).await
    };
    assert_eq!(check(b"one").await, Verdict::Right);
    world.write("web.yml", users("two"));
    assert_eq!(check(b"one").await, Verdict::Wrong);
    assert_eq!(check(b"two").await, Verdict::Right);

    // What is wrong lets nobody in, however often one asks.
    for wrong in [USERS, "basic_auth_users: {", "no: such\n"] {
        world.write("web.yml", wrong);
        for _ in 0..2 {
            assert_eq!(world.rules().await.err(), Some(Closed), "{wrong}");
        }
        assert!(world.access.asks_who());
    }
    std::fs::remove_file(world.folder.path().join("web.yml")).unwrap();
    assert_eq!(world.rules().await.err(), Some(Closed));
    world.write("web.yml", users("three"));
    assert_eq!(check(b"three").await, Verdict::Right);
    world.write("web.yml", "");
    assert!(world.rules().await.unwrap().is_open());
    assert!(!world.access.asks_who());
}

#[tokio::test]
async fn a_file_is_not_looked_at_for_each_request() {
    let world = World::new("");
    world.write("web.yml", users("one"));
    assert!(world.access.rules().await.unwrap().unwrap().is_open(), "a second has not passed");
    assert!(!world.rules().await.unwrap().is_open());
}

#[tokio::test]
async fn a_renewed_certificate_is_served() {
    let world = World::new("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n");
    assert!(world.access.has_tls());
    let served = async || world.rules().await.map(|rules| rules.tls.clone().map(|served| served.http));
    let first = served().await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &served().await.unwrap().unwrap()), "nothing has changed");

    let renewed = |kind: &str| std::fs::read(world.folder.path().join(format!("renewed.{kind}"))).unwrap();
    world.write("server.crt", renewed("crt"));
    assert_eq!(served().await.err(), Some(Closed), "its key is not there yet");
    assert!(world.access.http_acceptor().await.is_err());
    world.write("server.key", renewed("key"));
    assert!(!Arc::ptr_eq(&first, &served().await.unwrap().unwrap()));
    world.access.postgres_acceptor().await.ok().unwrap();

    // To take TLS away does not make what clients send readable.
    world.write("web.yml", "");
    assert!(served().await.unwrap().is_none());
    assert!(world.access.has_tls());
    assert!(world.access.http_acceptor().await.is_err());
}

#[tokio::test]
async fn tls_that_comes_later_waits_for_a_start() {
    let world = World::new("");
    world.write("web.yml", "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n");
    world.rules().await.unwrap();
    assert!(!world.access.has_tls());
}

#[tokio::test]
async fn tokens_outlive_a_change_of_something_else() {
    const RATE: &str = "rate_limit:\n  burst: 1\n  interval: 1h\n";
    let world = World::new(RATE);
    let ask = async || world.rules().await.unwrap().allows_request();
    assert!(ask().await);
    assert!(!ask().await);
    world.write("web.yml", format!("{RATE}http_server_config:\n  http2: false\n"));
    assert!(!ask().await);
    world.write("web.yml", RATE.replace("burst: 1", "burst: 2"));
    assert!(ask().await && ask().await && !ask().await);
}

#[test]
fn what_is_wrong_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    let told = || Access::open(Some(&path)).err().unwrap().to_string();
    assert_eq!(told(), format!("open {}: no such file or directory", path.display()));
    std::fs::write(&path, "basic_auth_users:\n  ada: hunter2\n").unwrap();
    let expected = format!(
        "{}:2: basic_auth_users.ada: crypto/bcrypt: hashedSecret too short to be a bcrypted password",
        path.display()
    );
    assert_eq!(told(), expected);
    assert_eq!(check(&path).unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn roles_are_asked_for_by_user() {
    let roles = "promlake:\n  roles:\n    writer:\n      users: [ada]\n      statement_timeout: 2s\n";
    let world = World::new(&(users("one") + roles));
    let rules = world.rules().await.unwrap();
    let timeout = Some(Duration::from_secs(2));
    assert_eq!(
        rules.grant(b"ada"),
        Some(Grant { role: Role::Writer, allowed: Allowed { statement_timeout: timeout, ..Allowed::default() } })
    );
    assert_eq!(rules.grant(b"nobody").map(|grant| grant.role), Some(Role::Reader));
    // A file without roles, and one that is wrong.
    world.write("web.yml", users("one"));
    assert_eq!(world.rules().await.unwrap().grant(b"ada"), None);
    world.write("web.yml", users("one") + "promlake:\n  roles: {admin: {users: [eve]}}\n");
    assert_eq!(world.rules().await.err(), Some(Closed));
}

/// The same wrong password again is no guess, and keeps nobody waiting; guesses are counted for their address and user.
#[tokio::test]
async fn guesses_wait_and_repetitions_do_not_count() {
    let world = World::new(&users("one"));
    let rules = world.rules().await.unwrap();
    let check = async |from: IpAddr, password: &[u8]| {
        let start = Instant::now();
        let verdict = world.access.check_password(&rules, from, b"ada", password).await;
        (verdict, start.elapsed())
    };
    for guess in [b"a", b"b"] {
        assert_eq!(check(HERE, guess).await.0, Verdict::Wrong);
    }
    for _ in 0..5 {
        assert_eq!(check(HERE, b"a").await.0, Verdict::Wrong);
    }
    let (verdict, waited) = check(HERE, b"c").await;
    assert!(verdict == Verdict::Wrong && waited >= Duration::from_millis(400), "{waited:?}");
    assert_eq!(check("192.0.2.1".parse().unwrap(), b"one").await.0, Verdict::Right);
    assert_eq!(check(HERE, b"one").await.0, Verdict::Right);
}
