//! Panels of bf16, two in a word of 32 bits: the layout of the input of products in bf16.

use super::chunk::Chunk;
use super::lattice::Side;
use crate::lanes::BLOCK;

/// An `f32` as the nearest bf16, in the lower 16 bits; finite numbers only.
#[inline(always)]
pub(crate) fn bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16
}

/// Term `term` of a number as a sum of bf16: the nearest bf16, or the nearest to the rest.
#[inline(always)]
pub(crate) fn bf16_term(value: f32, term: usize) -> u32 {
    let nearest = bf16(value);
    if term == 0 { nearest } else { bf16(value - f32::from_bits(nearest << 16)) }
}

/// Two bf16 as one word.
#[inline(always)]
pub(crate) fn pair(low: u32, high: u32) -> f32 {
    f32::from_bits(low | high << 16)
}

/// Words of a panel in pairs of channels: (term, grid, block of 2·16 channels, position, pair).
pub(crate) fn channel_pairs_len(side: &Side, chunk: &Chunk, terms: usize) -> usize {
    terms * side.grids() * side.channels.div_ceil(2 * BLOCK) * chunk.panel_positions() * BLOCK
}

/// Turns a panel into pairs of channels.
#[inline(always)]
pub(crate) fn channel_pairs(side: &Side, chunk: &Chunk, panel: &[f32], pairs: &mut [f32]) {
    let (singles, doubles) = (side.channels.div_ceil(BLOCK), side.channels.div_ceil(2 * BLOCK));
    let plane = chunk.panel_positions() * BLOCK;
    let of_term = side.grids() * doubles;
    for (index, out) in pairs.chunks_exact_mut(plane).enumerate() {
        let (term, grid, block) =
            (index / of_term, index / doubles % side.grids(), index % doubles);
        for half in 0..2 {
            let source = 2 * block + half;
            let out =
                out.chunks_exact_mut(BLOCK).map(|out| &mut out[half * BLOCK / 2..][..BLOCK / 2]);
            if source >= singles {
                out.for_each(|out| out.fill(0.0));
                continue;
            }
            let values = &panel[(grid * singles + source) * plane..][..plane];
            for (out, values) in out.zip(values.chunks_exact(BLOCK)) {
                for (word, two) in out.iter_mut().zip(values.chunks_exact(2)) {
                    *word = pair(bf16_term(two[0], term), bf16_term(two[1], term));
                }
            }
        }
    }
}

/// Words from one channel to the next where positions are paired: rows of tiles then fall on different cache lines.
pub(crate) fn paired_row(chunk: &Chunk) -> usize {
    (chunk.panel_positions() / 2).div_ceil(BLOCK) / 2 * 2 * BLOCK + BLOCK
}

/// Words of a panel in pairs of positions: (term, grid, channel, pair).
pub(crate) fn position_pairs_len(side: &Side, chunk: &Chunk, terms: usize) -> usize {
    terms * side.grids() * side.channels.next_multiple_of(2 * BLOCK) * paired_row(chunk)
}

/// Turns a panel into pairs of positions, channel by channel: the left factor of the gradient by the weights.
#[inline(always)]
pub(crate) fn position_pairs(side: &Side, chunk: &Chunk, panel: &[f32], pairs: &mut [f32]) {
    let singles = side.channels.div_ceil(BLOCK);
    let plane = chunk.panel_positions() * BLOCK;
    let (row, rows) = (paired_row(chunk), side.channels.next_multiple_of(2 * BLOCK));
    for (index, out) in pairs.chunks_exact_mut(BLOCK * row).enumerate() {
        let of_grid = rows / BLOCK;
        let (term, grid, block) =
            (index / of_grid / side.grids(), index / of_grid % side.grids(), index % of_grid);
        if block >= singles {
            out.fill(0.0);
            continue;
        }
        let values = &panel[(grid * singles + block) * plane..][..plane];
        for (k, two) in values.chunks_exact(2 * BLOCK).enumerate() {
            let mut words = [0.0; BLOCK];
            for (c, word) in words.iter_mut().enumerate() {
                *word = pair(bf16_term(two[c], term), bf16_term(two[BLOCK + c], term));
            }
            for (c, word) in words.into_iter().enumerate() {
                out[c * row + k] = word;
            }
        }
    }
}

/// Pairs of positions of results, a multiple of [`BLOCK`].
pub(crate) fn result_pairs(chunk: &Chunk) -> usize {
    chunk.positions().div_ceil(2).next_multiple_of(BLOCK)
}

/// Words of the results' panel in pairs of positions: (term, grid, block of 16 channels, pair, channel).
pub(crate) fn result_pairs_len(side: &Side, chunk: &Chunk, terms: usize) -> usize {
    let blocks = side.channels.div_ceil(2 * BLOCK) * 2;
    terms * side.grids() * blocks * result_pairs(chunk) * BLOCK
}

/// Turns the results' panel into pairs of positions: the right factor of the gradient by the weights.
#[inline(always)]
pub(crate) fn result_position_pairs(side: &Side, chunk: &Chunk, panel: &[f32], pairs: &mut [f32]) {
    let (singles, blocks) = (side.channels.div_ceil(BLOCK), side.channels.div_ceil(2 * BLOCK) * 2);
    let plane = chunk.panel_positions() * BLOCK;
    for (index, out) in pairs.chunks_exact_mut(result_pairs(chunk) * BLOCK).enumerate() {
        let (term, grid, block) =
            (index / blocks / side.grids(), index / blocks % side.grids(), index % blocks);
        if block >= singles {
            out.fill(0.0);
            continue;
        }
        let values = &panel[(grid * singles + block) * plane..][..plane];
        let values = values[chunk.first() * BLOCK..].chunks_exact(2 * BLOCK);
        for (out, two) in out.chunks_exact_mut(BLOCK).zip(values) {
            for (c, word) in out.iter_mut().enumerate() {
                *word = pair(bf16_term(two[c], term), bf16_term(two[BLOCK + c], term));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_nearly_the_sum_of_its_terms() {
        for value in [1.0f32, -0.3, 1e-3, 123.456, -7e4] {
            let terms = [0, 1].map(|term| f32::from_bits(bf16_term(value, term) << 16));
            assert!((terms[0] - value).abs() <= value.abs() / 256.0);
            assert!((terms[0] + terms[1] - value).abs() <= value.abs() / 65536.0);
        }
        assert_eq!(bf16(1.0), 0x3f80);
        // Half-way between two bf16: to the even one.
        assert_eq!(bf16(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(bf16(f32::from_bits(0x3f81_8000)), 0x3f82);
    }
}
