//! Seeded damage to files.

use disyre::core::Key;
use disyre::core::rand::{Rng, RngExt};

use crate::Target;

/// Values that readers of lengths and numbers get wrong.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1e308",
    "-1e-320",
    "nan",
    "1e999",
    "18446744073709551615",
    "9007199254740993",
    "4294967296",
    "0.5",
    "null",
    "\"\"",
];

/// The file number `index` of a target: one of its whole files with one to six damages.
pub fn mutate(target: &Target, seed: u64, index: u64) -> Vec<u8> {
    let mut rng = Key::new(seed).child(target.name).child(index).rng();
    let mut bytes = target.seeds[rng.random_range(0..target.seeds.len())].clone();
    // Several damages are mostly refused for the first of them.
    let damages = if rng.random_bool(0.6) { 1 } else { rng.random_range(2..=6) };
    for _ in 0..damages {
        if target.is_text && rng.random_bool(0.6) {
            bytes = with_other_number(&bytes, &mut rng);
        } else {
            damage(&mut bytes, target.front, &mut rng);
        }
    }
    bytes
}

/// One damage to bytes, two times of three among the first `front`.
fn damage(bytes: &mut Vec<u8>, front: usize, rng: &mut impl Rng) {
    if bytes.is_empty() {
        bytes.push(rng.random());
        return;
    }
    let end = if rng.random_bool(0.67) { front.min(bytes.len()) } else { bytes.len() };
    let at = rng.random_range(0..end);
    let rest = bytes.len() - at;
    let some = rng.random_range(1..=rest.min(40));
    match rng.random_range(0..9) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5)],
        2 => put(
            bytes,
            at,
            &[0i16, 1, -1, i16::MAX, i16::MIN, 7, 348][rng.random_range(0..7)].to_le_bytes(),
        ),
        3 => put(
            bytes,
            at,
            &[0i32, -1, i32::MAX, i32::MIN, 348, 1 << 24][rng.random_range(0..6)].to_le_bytes(),
        ),
        4 => put(
            bytes,
            at,
            &[f32::NAN, f32::INFINITY, -1.0, 0.0, 1e-38, 1e38, 0.999][rng.random_range(0..7)]
                .to_le_bytes(),
        ),
        5 => put(
            bytes,
            at,
            &[u64::MAX, 1 << 63, 1 << 40, 8, 0][rng.random_range(0..5)].to_le_bytes(),
        ),
        6 => bytes.truncate(at),
        7 => drop(bytes.drain(at..at + some)),
        _ => {
            let copy = bytes[at..at + some].to_vec();
            let to = rng.random_range(0..=bytes.len());
            bytes.splice(to..to, copy);
        }
    }
}

/// Writes over what is there, as far as it goes.
fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..].iter_mut().zip(value).for_each(|(byte, value)| *byte = *value);
}

/// The same text with another number in place of one of its numbers.
fn with_other_number(bytes: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || b".-+e".contains(byte);
    let starts = (0..bytes.len())
        .filter(|&at| bytes[at].is_ascii_digit() && (at == 0 || !is_part(&bytes[at - 1])));
    let starts: Vec<usize> = starts.collect();
    if starts.is_empty() {
        return bytes.to_vec();
    }
    let start = starts[rng.random_range(0..starts.len())];
    let len = bytes[start..].iter().take_while(|byte| is_part(byte)).count();
    let number = NUMBERS[rng.random_range(0..NUMBERS.len())].as_bytes();
    [&bytes[..start], number, &bytes[start + len..]].concat()
}
