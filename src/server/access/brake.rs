//! Slows those who guess passwords: the answer to a wrong one waits, longer with each, and while it does nobody else from
//! the same address is checked for the same user. So many connections at once guess no faster than one. An address from which
//! many names were tried is slowed as a whole. A right password waits only behind wrong ones, and others' addresses, where
//! the user may really be, are not concerned.
//!
//! Failures are forgotten with time, one every [`FORGOTTEN_AFTER`]. What is kept is bounded; where there is no more room those
//! who failed least are forgotten first.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};

/// After the first failure, and at most.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// Users who may fail from an address before it is slowed as a whole: people share addresses, behind a proxy above all.
const FREE_OF_ADDRESS: u32 = 20;
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);
/// Users of addresses, and addresses.
const MAX_KEPT: usize = 2048;
/// Who may wait for the answer to another attempt, of one user and address.
const MAX_WAITING: usize = 4;
/// Bits of an IPv6 address that one client may have for itself.
const OWN_BITS: u32 = 64;

/// From where, and as whom; `None` for the address as a whole.
type Key = (IpAddr, Option<[u8; 16]>);

#[derive(Default)]
pub struct Brake {
    kept: Mutex<HashMap<Key, Kept>>,
}

struct Kept {
    failures: u32,
    /// When `failures` was right.
    at: Instant,
    gate: Arc<Gate>,
}

/// Where attempts wait for one another.
struct Gate {
    one: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// Too many attempts wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The right to check a password now.
pub struct Turn<'a> {
    brake: &'a Brake,
    keys: [Key; 2],
    permits: Vec<OwnedSemaphorePermit>,
}

impl Brake {
    /// Waits for the attempts before this one, where some of the same client have failed.
    ///
    /// # Errors
    /// Where too many wait.
    pub async fn turn(&self, address: IpAddr, user: &[u8]) -> Result<Turn<'_>, Refused> {
        let address = network(address);
        let keys = [(address, None), (address, Some(print(user)))];
        let mut permits = vec![];
        for (key, free) in keys.into_iter().zip([FREE_OF_ADDRESS, 0]) {
            let Some(gate) = self.gate(key, free) else { continue };
            let _waiting = Waiting::enter(&gate).ok_or(Refused)?;
            // It is never closed.
            permits.extend(gate.one.clone().acquire_owned().await);
        }
        Ok(Turn { brake: self, keys, permits })
    }

    /// Nothing to wait at while there were no more failures than these.
    fn gate(&self, key: Key, free: u32) -> Option<Arc<Gate>> {
        let (kept, now) = (self.kept.lock(), Instant::now());
        kept.get(&key).filter(|kept| kept.left(now) > free).map(|kept| kept.gate.clone())
    }

    fn left(&self, key: Key, now: Instant) -> u32 {
        self.kept.lock().get(&key).map_or(0, |kept| kept.left(now))
    }

    /// Counts a failure; how many there are now.
    fn count(&self, key: Key, now: Instant) -> u32 {
        let mut kept = self.kept.lock();
        if !kept.contains_key(&key) && kept.len() >= MAX_KEPT {
            make_room(&mut kept, now);
        }
        let entry = kept.entry(key).or_insert_with(|| Kept::new(now));
        entry.failures = entry.left(now).saturating_add(1);
        entry.at = now;
        entry.failures
    }
}

impl Turn<'_> {
    /// The password was wrong: returns when the client may be told so. The next attempt waits as long, whether or not
    /// anybody waits here.
    pub async fn failed(self) {
        let now = Instant::now();
        let [address, user] = self.keys;
        let of_user = self.brake.count(user, now);
        // A client that has a wrong password counts once, however often it comes.
        let of_address = if of_user == 1 { self.brake.count(address, now) } else { self.brake.left(address, now) };
        let wait = delay(of_user).max(delay(of_address.saturating_sub(FREE_OF_ADDRESS)));
        let permits = self.permits;
        let waiting = tokio::spawn(async move {
            sleep(wait).await;
            drop(permits);
        });
        // It does not panic, and is not aborted but with the whole process.
        let _ = waiting.await;
    }
}

impl Kept {
    fn new(now: Instant) -> Self {
        let gate = Gate { one: Arc::new(Semaphore::new(1)), waiting: AtomicUsize::new(0) };
        Self { failures: 0, at: now, gate: Arc::new(gate) }
    }

    fn left(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.at).as_secs() / FORGOTTEN_AFTER.as_secs();
        self.failures.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }
}

/// A place among those who wait, given back also where nobody waits any more.
struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn enter(gate: &'a Gate) -> Option<Self> {
        let place = Self(gate);
        let before = gate.waiting.fetch_add(1, Ordering::AcqRel);
        (before <= MAX_WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

fn make_room(kept: &mut HashMap<Key, Kept>, now: Instant) {
    kept.retain(|_, kept| kept.left(now) > 0);
    if kept.len() >= MAX_KEPT {
        let least = kept.iter().min_by_key(|(_, kept)| (kept.left(now), kept.at)).map(|(key, _)| *key);
        least.and_then(|key| kept.remove(&key));
    }
}

fn delay(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => SHORTEST.saturating_mul(1 << doublings.min(16)).min(LONGEST),
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> OWN_BITS << OWN_BITS).into(),
        address => address,
    }
}

/// A user by what is as long for each.
fn print(user: &[u8]) -> [u8; 16] {
    let mut print = [0; 16];
    print.iter_mut().zip(digest(&SHA256, user).as_ref()).for_each(|(to, from)| *to = *from);
    print
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn delays_grow_to_a_limit() {
        let ms = |failures| delay(failures).as_millis();
        assert_eq!([0, 1, 2, 3, 6].map(ms), [0, 100, 200, 400, 3200]);
        assert_eq!([7, 20, u32::MAX].map(ms), [5000; 3]);
    }

    #[test]
    fn networks() {
        let check = |address: &str, expected: &str| {
            assert_eq!(network(address.parse().unwrap()).to_string(), expected, "{address}");
        };
        check("192.0.2.1", "192.0.2.1");
        check("::ffff:192.0.2.1", "192.0.2.1");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    }

    #[tokio::test]
    async fn wrong_ones_wait_for_each_other_and_right_ones_do_not() {
        let brake = Arc::new(Brake::default());
        let fail = async |user: &[u8]| {
            let start = Instant::now();
            brake.turn(HERE, user).await.unwrap().failed().await;
            start.elapsed()
        };
        assert!(fail(b"ada").await >= SHORTEST);
        assert!(fail(b"ada").await >= 2 * SHORTEST);
        // After that, whoever knows the password does not wait.
        let start = Instant::now();
        for _ in 0..20 {
            drop(brake.turn(HERE, b"ada").await.unwrap());
        }
        assert!(start.elapsed() < SHORTEST);
        assert!(fail(b"bob").await < 2 * SHORTEST);
        // While one fails, in the 400 ms that it takes, others wait, and not too many.
        let slow = tokio::spawn({
            let brake = brake.clone();
            async move { brake.turn(HERE, b"ada").await.unwrap().failed().await }
        });
        tokio::task::yield_now().await;
        let start = Instant::now();
        let turns: Vec<_> = (0..MAX_WAITING + 3)
            .map(|_| {
                let brake = brake.clone();
                tokio::spawn(async move { brake.turn(HERE, b"ada").await.map(|_| ()) })
            })
            .collect();
        drop(brake.turn(HERE, b"bob").await.unwrap());
        drop(brake.turn("192.0.2.2".parse().unwrap(), b"ada").await.unwrap());
        assert!(start.elapsed() < SHORTEST, "other users and addresses do not wait");
        let mut refused = 0;
        for turn in turns {
            refused += usize::from(turn.await.unwrap() == Err(Refused));
        }
        assert!((1..=3).contains(&refused), "{refused}");
        assert!(start.elapsed() >= 3 * SHORTEST);
        slow.await.unwrap();
    }

    /// A client that goes away, so as not to wait, wins nothing.
    #[tokio::test]
    async fn who_goes_away_is_waited_for() {
        let brake = Brake::default();
        for _ in 0..3 {
            brake.count((HERE, Some(print(b"ada"))), Instant::now());
        }
        let turn = brake.turn(HERE, b"ada").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(1), turn.failed()).await.is_err());
        let start = Instant::now();
        drop(brake.turn(HERE, b"ada").await.unwrap());
        assert!(start.elapsed() >= 7 * SHORTEST);
    }

    #[test]
    fn what_is_kept_is_bounded_and_forgotten() {
        let (brake, now) = (Brake::default(), Instant::now());
        let guessed = (HERE, Some(print(b"ada")));
        for _ in 0..5 {
            brake.count(guessed, now);
        }
        for n in 0..3 * MAX_KEPT {
            brake.count((HERE, Some(print(&n.to_be_bytes()))), now);
        }
        assert_eq!(brake.kept.lock().len(), MAX_KEPT);
        assert_eq!(brake.count(guessed, now), 6, "who failed often is kept");
        assert_eq!(brake.count(guessed, now + 3 * FORGOTTEN_AFTER), 4);
        assert_eq!(brake.count(guessed, now + 99 * FORGOTTEN_AFTER), 1);
        brake.count((HERE, None), now + 99 * FORGOTTEN_AFTER);
        assert_eq!(brake.kept.lock().len(), 2, "the others are forgotten");
    }

    #[tokio::test]
    async fn an_address_that_tries_many_names_is_slowed() {
        let (brake, now) = (Brake::default(), Instant::now());
        for _ in 0..FREE_OF_ADDRESS + 2 {
            brake.count((HERE, None), now);
        }
        let start = Instant::now();
        brake.turn(HERE, b"new").await.unwrap().failed().await;
        assert!(start.elapsed() >= 4 * SHORTEST);
    }
}
