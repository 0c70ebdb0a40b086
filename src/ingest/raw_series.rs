//! Maps by the hash of a series' raw bytes, whether those are a line of an exposition or labels on the wire.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Takes the key for its own hash.
#[derive(Default, Clone, Copy)]
pub struct KeepHash(u64);

impl Hasher for KeepHash {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut low = [0; 8];
        let len = bytes.len().min(8);
        low[..len].copy_from_slice(&bytes[..len]);
        self.0 ^= u64::from_le_bytes(low);
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

pub type HashedMap<V> = HashMap<u128, V, BuildHasherDefault<KeepHash>>;
