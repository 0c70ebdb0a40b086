//! Passwords against what is kept of them. To check one takes tens of milliseconds on purpose, so what came out is kept: not
//! the password, but a keyed hash of it with its user and what is kept, so that a changed file makes it void. A user that
//! there is not takes as long as one that there is, and few are checked at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::config::web::verifier::{Scram, Verifier};
use crate::server::access::scram::{self, Challenge};
use crate::telemetry::metrics::{Family, Kind};

/// Checks at once; each takes a core.
const AT_ONCE: usize = 2;
/// Checks that wait for their turn, some seconds of work.
const MAX_WAITING: usize = 64;
/// What came out of checks, right and wrong ones apart: whoever guesses drives out nothing but guesses.
const MAX_KNOWN: usize = 1024;

/// Users with what is kept of their passwords.
pub struct Users {
    by_name: HashMap<Vec<u8>, Option<Verifier>>,
    /// In the order of the file.
    verifiers: Vec<Verifier>,
    /// Makes up what is told of users that there are not. It is the same after a restart, and after changes of other
    /// users than the first, as is what is told of users that there are.
    secret: hmac::Key,
}

/// How a user may show that he knows the password, where it need not be told.
pub enum Asked {
    /// Only by telling it.
    Password,
    Scram(Challenge),
}

impl Users {
    pub fn new(users: Vec<(String, Option<Verifier>)>) -> Self {
        let verifiers: Vec<Verifier> = users.iter().filter_map(|(_, verifier)| verifier.clone()).collect();
        let by_name = users.into_iter().map(|(name, verifier)| (name.into_bytes(), verifier)).collect();
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &verifiers.first().map(bytes_of).unwrap_or_default());
        Self { by_name, verifiers, secret }
    }

    /// Then everyone may do everything.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// What a user is asked. One that there is not is asked what anybody is, always the same.
    pub fn ask(&self, user: &[u8]) -> Asked {
        match self.of(user) {
            Some((Verifier::Scram(kept), true)) => Asked::Scram(Challenge { kept: kept.clone(), hopeless: false }),
            Some((Verifier::Scram(kept), false)) => {
                let length = kept.salt.len();
                let salt = [&b"salt"[..], b"more"].map(|part| self.made_up(user, part)).concat();
                let salt = salt.into_iter().take(length).collect();
                Asked::Scram(Challenge { kept: Scram { salt, ..kept.clone() }, hopeless: true })
            }
            Some((Verifier::Bcrypt(_), _)) | None => Asked::Password,
        }
    }

    /// What is kept of a user's password, or for one that there is not of anybody's, always the same for a name, so that
    /// time tells no names: who is there may have any cost. `None` where nothing is kept of anyone.
    fn of(&self, user: &[u8]) -> Option<(&Verifier, bool)> {
        if let Some(Some(verifier)) = self.by_name.get(user) {
            return Some((verifier, true));
        }
        let print = self.made_up(user, b"anybody");
        let (number, _) = print.split_first_chunk::<8>()?;
        let place = u64::from_be_bytes(*number).checked_rem(self.verifiers.len() as u64)?;
        self.verifiers.get(place as usize).map(|verifier| (verifier, false))
    }

    fn made_up(&self, user: &[u8], what: &[u8]) -> Print {
        print_of(&self.secret, &[what, user])
    }
}

/// A text that differs where verifiers do.
fn bytes_of(verifier: &Verifier) -> Vec<u8> {
    match verifier {
        Verifier::Bcrypt(hash) => hash.clone().into_bytes(),
        Verifier::Scram(kept) => kept.to_string().into_bytes(),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Right,
    Wrong,
    /// Nobody knows, as too many wait to be checked.
    Busy,
}

pub struct Passwords {
    key: hmac::Key,
    known: Mutex<Known>,
    turn: Arc<Semaphore>,
    /// Places to wait in, and to be checked in.
    places: Arc<Semaphore>,
    checked: AtomicU64,
    right: AtomicU64,
    wrong: AtomicU64,
    busy: AtomicU64,
}

/// A keyed hash, as of a user, a password and what is kept of it.
type Print = [u8; 32];

#[derive(Default)]
struct Known {
    right: Recent,
    wrong: Recent,
}

/// Of the newest [`MAX_KNOWN`].
#[derive(Default)]
struct Recent {
    all: HashSet<Print>,
    order: VecDeque<Print>,
}

impl Recent {
    fn add(&mut self, print: Print) {
        if !self.all.insert(print) {
            return;
        }
        self.order.push_back(print);
        if self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

impl Passwords {
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn new() -> Result<Self, String> {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).map_err(|_| "no random numbers".to_string())?;
        Ok(Self {
            key,
            known: Mutex::default(),
            turn: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + MAX_WAITING)),
            checked: AtomicU64::new(0),
            right: AtomicU64::new(0),
            wrong: AtomicU64::new(0),
            busy: AtomicU64::new(0),
        })
    }

    /// Whether this is the password of this user.
    pub async fn check(&self, users: &Users, user: &[u8], password: &[u8]) -> Verdict {
        let verdict = self.look(users, user, password).await;
        self.count(verdict);
        verdict
    }

    /// Counts what came of an exchange that was checked elsewhere.
    pub fn count(&self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Right => &self.right,
            Verdict::Wrong => &self.wrong,
            Verdict::Busy => &self.busy,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether this was found to be wrong lately. Then it is no guess, but a client that does not know better.
    pub fn is_known_wrong(&self, users: &Users, user: &[u8], password: &[u8]) -> bool {
        let Some((verifier, exists)) = users.of(user) else { return false };
        self.recall(&self.print(verifier, exists, user, password)) == Some(Verdict::Wrong)
    }

    async fn look(&self, users: &Users, user: &[u8], password: &[u8]) -> Verdict {
        let Some((verifier, exists)) = users.of(user) else { return Verdict::Wrong };
        let print = self.print(verifier, exists, user, password);
        if let Some(verdict) = self.recall(&print) {
            return verdict;
        }
        let Ok(place) = self.places.clone().try_acquire_owned() else { return Verdict::Busy };
        let Ok(turn) = self.turn.clone().acquire_owned().await else { return Verdict::Busy };
        // Several requests of a page come with the same password at once.
        if let Some(verdict) = self.recall(&print) {
            return verdict;
        }
        self.checked.fetch_add(1, Ordering::Relaxed);
        let (password, verifier) = (password.to_vec(), verifier.clone());
        let work = tokio::task::spawn_blocking(move || {
            let right = match verifier {
                Verifier::Bcrypt(hash) => bcrypt::verify(password, &hash).unwrap_or(false),
                Verifier::Scram(kept) => scram::is_password(&kept, &password),
            };
            // Not earlier, also where nobody waits any more.
            drop((place, turn));
            right
        });
        // It neither panics nor is it aborted, but with the whole process.
        let right = work.await.unwrap_or(false) && exists;
        let mut known = self.known.lock();
        if right {
            known.right.add(print);
            Verdict::Right
        } else {
            known.wrong.add(print);
            Verdict::Wrong
        }
    }

    fn print(&self, verifier: &Verifier, exists: bool, user: &[u8], password: &[u8]) -> Print {
        // What was right for a user is not when there is none of this name any more, whose hash ever is taken then.
        let known_as: &[u8] = if exists { b"user" } else { b"nobody" };
        print_of(&self.key, &[known_as, user, password, &bytes_of(verifier)])
    }

    fn recall(&self, print: &Print) -> Option<Verdict> {
        let known = self.known.lock();
        if known.right.all.contains(print) {
            Some(Verdict::Right)
        } else {
            known.wrong.all.contains(print).then_some(Verdict::Wrong)
        }
    }

    pub fn families(&self) -> Vec<Family> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let help = "Requests and sessions with user and password, by what came of it";
        let results = Family::labelled("promlake_password_checks", help, Kind::Counter)
            .with(&[("result", "right")], count(&self.right))
            .with(&[("result", "wrong")], count(&self.wrong))
            .with(&[("result", "busy")], count(&self.busy));
        let help = "Passwords that were hashed, as they were not known already";
        vec![results, Family::counter("promlake_password_hashes", help, count(&self.checked))]
    }
}

/// With the length of each part, so that no two lists of them are taken for one another.
fn print_of(key: &hmac::Key, parts: &[&[u8]]) -> Print {
    let mut context = hmac::Context::with_key(key);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut print = [0; 32];
    print.copy_from_slice(context.sign().as_ref());
    print
}

#[cfg(test)]
mod tests {
    use super::*;
    /// Of "one", and another of "two"; cost 4.
    fn users(names: &[(&str, &str)]) -> Users {
        let hashed = |password: &str| bcrypt::hash(password, 4).unwrap();
        let verifier = |password: &str| Verifier::parse(&hashed(password)).unwrap();
        Users::new(names.iter().map(|(name, password)| (name.to_string(), verifier(password))).collect())
    }

    fn scram(password: &str, salt: u8) -> Option<Verifier> {
        Some(Verifier::Scram(scram::verifier(password.as_bytes(), vec![salt; 16], 4096)))
    }

    /// Users of both kinds beside each other, in HTTP's way, and of neither is told who there is.
    #[tokio::test]
    async fn verifiers_of_scram() {
        let passwords = Passwords::new().unwrap();
        let bcrypt = || Verifier::parse(&bcrypt::hash("two", 4).unwrap()).unwrap();
        let users =
            Users::new(vec![("ada".into(), scram("one", 1)), ("bob".into(), bcrypt()), ("eve".into(), None)]);
        for (user, password, expected) in [
            ("ada", "one", Verdict::Right),
            ("ada", "two", Verdict::Wrong),
            ("bob", "two", Verdict::Right),
            ("bob", "one", Verdict::Wrong),
            ("eve", "one", Verdict::Wrong),
            ("nobody", "one", Verdict::Wrong),
        ] {
            let got = passwords.check(&users, user.as_bytes(), password.as_bytes()).await;
            assert_eq!(got, expected, "{user} {password}");
        }
        assert!(
            matches!(users.ask(b"ada"), Asked::Scram(Challenge { hopeless: false, kept }) if kept.salt == [1; 16])
        );
        assert!(matches!(users.ask(b"bob"), Asked::Password));
        // Those who are not there are asked as one or the other, and the same after a restart.
        let again = Users::new(vec![("ada".into(), scram("one", 1)), ("bob".into(), bcrypt())]);
        let mut kinds = [0, 0];
        let mut salts = HashSet::new();
        for n in 0..64 {
            let name = format!("nobody{n}");
            match (users.ask(name.as_bytes()), again.ask(name.as_bytes())) {
                (Asked::Password, Asked::Password) => kinds[0] += 1,
                (Asked::Scram(a), Asked::Scram(b)) => {
                    assert!(a.hopeless && b.hopeless && a.kept == b.kept, "{name}");
                    assert_eq!((a.kept.iterations, a.kept.salt.len()), (4096, 16));
                    salts.insert(a.kept.salt);
                    kinds[1] += 1;
                }
                _ => panic!("{name} is asked in two ways"),
            }
        }
        assert!(kinds[0] > 0 && kinds[1] == salts.len() && kinds[1] > 0, "{kinds:?}");
        assert!(matches!(Users::new(vec![("eve".into(), None)]).ask(b"eve"), Asked::Password));
    }

    #[tokio::test]
    async fn who_is_who() {
        let passwords = Passwords::new().unwrap();
        let users = users(&[("ada", "one"), ("bob", "two")]);
        for round in 0..2 {
            for (user, password, expected) in [
                ("ada", "one", Verdict::Right),
                ("bob", "two", Verdict::Right),
                ("ada", "two", Verdict::Wrong),
                ("ada", "", Verdict::Wrong),
                ("", "one", Verdict::Wrong),
                // A user that there is not is checked against somebody's hash, and right for none.
                ("eve", "one", Verdict::Wrong),
                ("eve", "two", Verdict::Wrong),
                ("adaone", "", Verdict::Wrong),
            ] {
                let got = passwords.check(&users, user.as_bytes(), password.as_bytes()).await;
                assert_eq!(got, expected, "{round} {user} {password}");
            }
        }
        assert_eq!(passwords.checked.load(Ordering::Relaxed), 8, "each is hashed once");
    }

    #[tokio::test]
    async fn a_changed_password_is_not_known() {
        let passwords = Passwords::new().unwrap();
        let check = async |users: &Users, password: &[u8]| passwords.check(users, b"ada", password).await;
        let old = users(&[("ada", "one")]);
        assert_eq!(check(&old, b"one").await, Verdict::Right);
        let new = users(&[("ada", "two")]);
        assert_eq!(check(&new, b"one").await, Verdict::Wrong);
        assert_eq!(check(&new, b"two").await, Verdict::Right);
        // One who was removed, and whose hash somebody else has.
        let hash = old.by_name.values().next().unwrap().clone();
        let renamed = Users::new(vec![("bob".to_string(), hash)]);
        assert_eq!(check(&old, b"one").await, Verdict::Right);
        assert_eq!(check(&renamed, b"one").await, Verdict::Wrong);
        assert_eq!(passwords.check(&renamed, b"bob", b"one").await, Verdict::Right);
        let damaged = Users::new(vec![("ada".to_string(), None)]);
        assert!(!damaged.is_empty());
        assert_eq!(check(&damaged, b"one").await, Verdict::Wrong);
    }

    /// 72 bytes count, and all of them may be anything, as in Go.
    #[tokio::test]
    async fn odd_passwords() {
        let passwords = Passwords::new().unwrap();
        let long = [b'a'; 72];
        let users =
            Users::new(vec![("ada".to_string(), Verifier::parse(&bcrypt::hash(long, 4).unwrap()).unwrap())]);
        let check = async |password: &[u8]| passwords.check(&users, b"ada", password).await;
        assert_eq!(check(&long).await, Verdict::Right);
        assert_eq!(check(&[b'a'; 90_000]).await, Verdict::Right);
        assert_eq!(check(&long[1..]).await, Verdict::Wrong);
        assert_eq!(check(&[0xff, 0, 0xfe]).await, Verdict::Wrong);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_is_told_to_come_again_and_drives_out_nothing() {
        let passwords = Arc::new(Passwords::new().unwrap());
        let users = Arc::new(users(&[("ada", "one")]));
        assert_eq!(passwords.check(&users, b"ada", b"one").await, Verdict::Right);
        let flood: Vec<_> = (0..4 * (AT_ONCE + MAX_WAITING))
            .map(|n| {
                let (passwords, users) = (passwords.clone(), users.clone());
                tokio::spawn(async move { passwords.check(&users, b"ada", n.to_string().as_bytes()).await })
            })
            .collect();
        assert_eq!(passwords.check(&users, b"ada", b"one").await, Verdict::Right, "known ones do not wait");
        let mut busy = 0;
        for guess in flood {
            busy += usize::from(guess.await.unwrap() == Verdict::Busy);
        }
        assert!(busy > 0, "more waited than may");
        assert_eq!(passwords.places.available_permits(), AT_ONCE + MAX_WAITING);
        assert_eq!(passwords.turn.available_permits(), AT_ONCE);
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut recent = Recent::default();
        for n in 0..3 * MAX_KNOWN as u64 {
            let mut print = [0; 32];
            print[..8].copy_from_slice(&n.to_be_bytes());
            recent.add(print);
            recent.add(print);
        }
        assert_eq!((recent.all.len(), recent.order.len()), (MAX_KNOWN, MAX_KNOWN));
    }
}
