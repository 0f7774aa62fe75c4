//! The conditioning as numbers: sinusoids of the level.

use crate::Conditioning;

/// Longest period of the sinusoid, in levels.
const LONGEST_PERIOD: f32 = 10_000.0;

/// `[cos(t w_k), sin(t w_k)]` with `w_k = exp(-ln(10000) k / half)`, for each item in turn.
pub(crate) fn sinusoids(conditioning: &Conditioning, length: usize) -> Vec<f32> {
    let half = length / 2;
    let angle = |level: u32, k: usize| {
        let frequency = (-LONGEST_PERIOD.ln() * k as f32 / half as f32).exp();
        level as f32 * frequency
    };
    let of_level = |&level: &u32| {
        let cosines = (0..half).map(move |k| angle(level, k).cos());
        cosines.chain((0..half).map(move |k| angle(level, k).sin()))
    };
    conditioning.levels().iter().flat_map(of_level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Golden, assert_close};

    #[test]
    fn level_zero_is_ones_then_zeros() {
        assert_eq!(sinusoids(&Conditioning::from_levels(vec![0]), 4), [1.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn sinusoids_equal_those_of_the_published_code() {
        let golden = Golden::load("timestep_embedding.safetensors");
        let levels = golden.integers("t").into_iter().map(|t| t as u32).collect();
        let conditioning = Conditioning::from_levels(levels);
        for length in [32, 64] {
            let (_, expected) = golden.floats(&format!("emb{length}"));
            assert_close("sinusoid", &sinusoids(&conditioning, length), &expected, 1e-5);
        }
    }
}
