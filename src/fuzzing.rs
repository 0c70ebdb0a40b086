//! Random inputs for parsers, made by changing right ones. What a parser makes of them is compared with a second reading of
//! the format where there is one; else it must end, take no more memory than it may, and not panic.
//!
//! - `FUZZ_SECONDS`: how long each test tries new inputs; without it as many as the test asks for
//! - `FUZZ_SEED`: where the random numbers begin, which a failure tells

use std::time::{Duration, Instant};

use fastrand::Rng;

/// One run of a test.
pub struct Fuzz {
    pub random: Rng,
    /// Inputs so far.
    pub tried: u64,
    end: Option<Instant>,
    rounds: u64,
    seed: u64,
}

impl Fuzz {
    /// So many inputs, unless a time is asked for.
    pub fn new(rounds: u64) -> Self {
        let number = |name: &str| {
            let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
            Some(text.parse::<u64>().unwrap_or_else(|e| panic!("{name}={text}: {e}")))
        };
        let seed = number("FUZZ_SEED").unwrap_or(1);
        let end = number("FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
        Self { random: Rng::with_seed(seed), tried: 0, end, rounds, seed }
    }

    /// Whether there is to be another input.
    pub fn goes_on(&mut self) -> bool {
        let goes_on = match self.end {
            Some(end) => Instant::now() < end,
            None => self.tried < self.rounds,
        };
        self.tried += u64::from(goes_on);
        goes_on
    }

    /// One of some inputs, or two of them, changed at up to four places.
    pub fn input(&mut self, seeds: &[Vec<u8>], words: &[&[u8]]) -> Vec<u8> {
        let mut input = self.random.choice(seeds).expect("there are seeds").clone();
        if self.random.u8(..4) == 0 {
            input.extend_from_slice(self.random.choice(seeds).expect("there are seeds"));
        }
        for _ in 0..self.random.u8(1..5) {
            self.change(&mut input, seeds, words);
        }
        input
    }

    /// Changes one place.
    pub fn change(&mut self, input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&[u8]]) {
        let random = &mut self.random;
        let at = random.usize(..=input.len());
        let to = (at + random.usize(..12)).min(input.len());
        match random.u8(..10) {
            0 => drop(input.drain(at..to)),
            1 => input.truncate(at),
            2 if at < input.len() => input[at] = random.u8(..),
            3 if at < input.len() => input[at] ^= 1 << random.u8(..8),
            4 => {
                let copied = input[at..to].to_vec();
                let into = random.usize(..=input.len());
                input.splice(into..into, copied);
            }
            5 => {
                let Some(other) = random.choice(seeds) else { return };
                let from = random.usize(..=other.len());
                let until = (from + random.usize(..40)).min(other.len());
                input.splice(at..at, other[from..until].iter().copied());
            }
            6 => {
                let byte = *random.choice(&[0, 1, 0x0a, 0x12, 0x7f, 0x80, 0xfe, 0xff]).expect("not empty");
                input.insert(at, byte);
            }
            // A number as protobuf has it, small or large.
            7 => {
                let mut value = random.u64(..) >> random.u32(..64);
                let mut bytes = vec![];
                while value >= 0x80 {
                    bytes.push(value as u8 | 0x80);
                    value >>= 7;
                }
                bytes.push(value as u8);
                input.splice(at..at, bytes);
            }
            _ => {
                let Some(word) = random.choice(words) else { return };
                input.splice(at..at, word.iter().copied());
            }
        }
    }
}

impl Drop for Fuzz {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("input {} of FUZZ_SEED={}", self.tried, self.seed);
        }
    }
}
