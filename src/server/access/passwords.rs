//! Passwords against bcrypt hashes. To check one takes tens of milliseconds on purpose, so what came out is kept: not the
//! password, but a keyed hash of it with its user and the stored hash, so that a changed file makes it void. A user that
//! there is not takes as long as one that there is, and few are checked at once.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::hmac;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::telemetry::metrics::{Family, Kind};

/// Checks at once; each takes a core.
const AT_ONCE: usize = 2;
/// Checks that wait for their turn, some seconds of work.
const MAX_WAITING: usize = 64;
/// What came out of checks, right and wrong ones apart: whoever guesses drives out nothing but guesses.
const MAX_KNOWN: usize = 1024;

/// Users with their hashes, see [`crate::config::web::hash`].
#[derive(Default)]
pub struct Users {
    by_name: HashMap<Vec<u8>, Option<String>>,
    /// In the order of the file.
    hashes: Vec<String>,
}

impl Users {
    pub fn new(users: Vec<(String, Option<String>)>) -> Self {
        let hashes = users.iter().filter_map(|(_, hash)| hash.clone()).collect();
        let by_name = users.into_iter().map(|(name, hash)| (name.into_bytes(), hash)).collect();
        Self { by_name, hashes }
    }

    /// Then everyone may do everything.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
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

/// A keyed hash of a user, a password and a stored hash.
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
        let count = match verdict {
            Verdict::Right => &self.right,
            Verdict::Wrong => &self.wrong,
            Verdict::Busy => &self.busy,
        };
        count.fetch_add(1, Ordering::Relaxed);
        verdict
    }

    async fn look(&self, users: &Users, user: &[u8], password: &[u8]) -> Verdict {
        let (hash, exists) = match users.by_name.get(user) {
            Some(Some(hash)) => (hash, true),
            // That of anybody, always the same for a name, so that time tells no names: who is there may have any cost.
            _ => match self.anybody(users, user) {
                Some(hash) => (hash, false),
                None => return Verdict::Wrong,
            },
        };
        // What was right for a user is not when there is none of this name any more, whose hash ever is taken then.
        let known_as: &[u8] = if exists { b"user" } else { b"nobody" };
        let print = self.print([known_as, user, password, hash.as_bytes()]);
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
        let (password, hash) = (password.to_vec(), hash.clone());
        let work = tokio::task::spawn_blocking(move || {
            let right = bcrypt::verify(password, &hash).unwrap_or(false);
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

    fn recall(&self, print: &Print) -> Option<Verdict> {
        let known = self.known.lock();
        if known.right.all.contains(print) {
            Some(Verdict::Right)
        } else {
            known.wrong.all.contains(print).then_some(Verdict::Wrong)
        }
    }

    fn print(&self, parts: [&[u8]; 4]) -> Print {
        let mut context = hmac::Context::with_key(&self.key);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part);
        }
        print_of(&context.sign())
    }

    fn anybody<'a>(&self, users: &'a Users, user: &[u8]) -> Option<&'a String> {
        let print = print_of(&hmac::sign(&self.key, user));
        let (number, _) = print.split_first_chunk::<8>()?;
        let place = u64::from_be_bytes(*number).checked_rem(users.hashes.len() as u64)?;
        users.hashes.get(place as usize)
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

fn print_of(tag: &hmac::Tag) -> Print {
    let mut print = [0; 32];
    print.copy_from_slice(tag.as_ref());
    print
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::web::hash;

    /// Of "one", and another of "two"; cost 4.
    fn users(names: &[(&str, &str)]) -> Users {
        let hashed = |password: &str| bcrypt::hash(password, 4).unwrap();
        Users::new(
            names.iter().map(|(name, password)| (name.to_string(), hash(&hashed(password)).unwrap())).collect(),
        )
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
        let users = Users::new(vec![("ada".to_string(), hash(&bcrypt::hash(long, 4).unwrap()).unwrap())]);
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
