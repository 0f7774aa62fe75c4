//! Random numbers by name: the only source of randomness of the workspace.

use std::fmt;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// The private generator that a [`Key`] yields.
pub type KeyRng = Xoshiro256PlusPlus;

/// Seed of one draw: the seed of the run and a path of stages and indices below it.
///
/// Equal paths give equal numbers, on every computer and in every order of draws. Keys are cheap values: pass them down,
/// derive a child for every independent draw, and make a generator only at the leaf.
///
/// # Source
/// Ours: SipHash-1-3 with 128 bits, keyed by the parent; the generator is xoshiro256++. Both are fixed by their
/// published definitions, so results survive an update of the compiler or of a dependency.
///
/// ```
/// use disyre_core::{Key, rand::RngExt};
/// let sample = Key::new(1).child("dag").child("sub-01").child(42u64);
/// let shape: u64 = sample.child("shape").rng().random();
/// let bias: u64 = sample.child("bias").rng().random();
/// assert_ne!(shape, bias);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Key {
    high: u64,
    low: u64,
}

impl Key {
    /// The root of a run.
    pub fn new(seed: u64) -> Self {
        Self { high: 0, low: 0 }.child("seed").child(seed)
    }

    /// The key of one part: a stage or a case by name, a sample by index.
    #[must_use]
    pub fn child(self, part: impl KeyPart) -> Self {
        let mut hasher = SipHasher13::new_with_keys(self.high, self.low);
        part.write(&mut hasher);
        let hash = hasher.finish128();
        Self { high: hash.h1, low: hash.h2 }
    }

    /// A generator of its own; every call returns the same one from the start.
    pub fn rng(self) -> KeyRng {
        let mut seed = [0u8; 32];
        for (index, half) in seed.chunks_exact_mut(16).enumerate() {
            let Self { high, low } = self.child(index as u64);
            half[..8].copy_from_slice(&high.to_le_bytes());
            half[8..].copy_from_slice(&low.to_le_bytes());
        }
        KeyRng::from_seed(seed)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.high, self.low)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.to_string()
    }
}

impl TryFrom<String> for Key {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let value = u128::from_str_radix(&text, 16)?;
        Ok(Self { high: (value >> 64) as u64, low: value as u64 })
    }
}

/// Name of a child of a [`Key`]: a string (stage, case) or an index. Text and numbers never collide.
pub trait KeyPart: sealed::Sealed {
    #[doc(hidden)]
    fn write(&self, hasher: &mut SipHasher13);
}

impl KeyPart for &str {
    fn write(&self, hasher: &mut SipHasher13) {
        hasher.write(b"s");
        hasher.write(self.as_bytes());
    }
}

impl KeyPart for u64 {
    fn write(&self, hasher: &mut SipHasher13) {
        hasher.write(b"n");
        hasher.write(&self.to_le_bytes());
    }
}

impl KeyPart for usize {
    fn write(&self, hasher: &mut SipHasher13) {
        (*self as u64).write(hasher);
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for &str {}
    impl Sealed for u64 {}
    impl Sealed for usize {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::RngExt;

    #[test]
    fn the_stream_of_a_key_is_fixed_for_good() {
        // A change here changes every published result: it would be a breaking release.
        let key = Key::new(2024).child("stage").child(5u64);
        assert_eq!(key.to_string(), "d23cad40f895d0fcc2dc6136c5a54fa2");
        assert_eq!(key.rng().random::<u64>(), 2_697_531_625_050_505_400);
    }

    #[test]
    fn text_and_number_are_different_children() {
        let root = Key::new(0);
        let number = u64::from_le_bytes(*b"abcdefgh");
        assert_ne!(root.child("abcdefgh"), root.child(number));
        assert_eq!(root.child(3u64), root.child(3usize));
    }

    #[test]
    fn ten_million_siblings_are_distinct() {
        // Half of a key is distinct already, and is sorted in half the time.
        let parent = Key::new(1).child("sample");
        let mut halves: Vec<u64> =
            (0..10_000_000u64).map(|index| parent.child(index).high).collect();
        halves.sort_unstable();
        assert!(halves.windows(2).all(|pair| pair[0] != pair[1]));
    }

    proptest! {
        #[test]
        fn serde_gives_the_key_back(seed: u64, index: u64) {
            let key = Key::new(seed).child(index);
            let text = serde_json::to_string(&key).unwrap();
            prop_assert_eq!(serde_json::from_str::<Key>(&text).unwrap(), key);
        }
    }
}
