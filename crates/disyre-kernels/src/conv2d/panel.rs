//! Chunks of images in the order in which products read them.

use super::chunk::{Chunk, Row};
use super::lattice::Side;
use super::product::BLOCK;
use super::source::{BlockTransform, ConvInput, InputTransform};
use crate::lanes::Lanes;

/// Words of a panel of `chunk`: (grid, block of channels, position, channel).
pub(crate) fn panel_len(side: &Side, chunk: &Chunk) -> usize {
    side.grids() * side.channels.div_ceil(BLOCK) * chunk.panel_positions() * BLOCK
}

/// Channels of one part that lie in one block.
#[derive(Debug, Clone, Copy)]
struct Segment<'a> {
    values: &'a [f32],
    /// Channels of its images.
    stride: usize,
    /// First channel within its images, and over all parts.
    first: usize,
    overall: usize,
    len: usize,
}

/// The parts cut at multiples of [`BLOCK`] channels.
fn segments<'a>(source: &ConvInput<'a>) -> impl Iterator<Item = Segment<'a>> {
    let mut overall = 0;
    source.parts.iter().flat_map(move |part| {
        let start = overall;
        overall += part.channels;
        let mut cuts = vec![start];
        cuts.extend(
            (start / BLOCK + 1..)
                .map(|block| block * BLOCK)
                .take_while(|&cut| cut < start + part.channels),
        );
        let part = *part;
        (0..cuts.len()).map(move |i| {
            let end = cuts.get(i + 1).copied().unwrap_or(start + part.channels);
            Segment {
                values: part.values,
                stride: part.stride,
                first: part.first + cuts[i] - start,
                overall: cuts[i],
                len: end - cuts[i],
            }
        })
    })
}

/// Fills a panel: pixels of the chunk, around them those of neighbouring rows (zeros if `halo` is not set), and zeros
/// elsewhere. Channels of the side that the source lacks are zero.
#[inline(always)]
pub(crate) fn fill<L: Lanes>(
    source: &ConvInput<'_>,
    side: &Side,
    chunk: &Chunk,
    halo: bool,
    panel: &mut [f32],
) {
    let plane = chunk.panel_positions() * BLOCK;
    let blocks = side.channels.div_ceil(BLOCK);
    if source.channels() != blocks * BLOCK {
        panel.fill(0.0);
    }
    for panel in panel.chunks_exact_mut(plane) {
        panel[..BLOCK].fill(0.0);
        panel[(1 + chunk.panel_rows() * chunk.pitch()) * BLOCK..].fill(0.0);
    }
    let segments: Vec<Segment<'_>> = segments(source).collect();
    // Row by row, not block by block: of images larger than a cache each line is then read once.
    for index in 0..chunk.panel_rows() {
        let row =
            chunk.panel_row(index).filter(|row| halo || chunk.rows.contains(&(row.row as usize)));
        for segment in &segments {
            for grid in 0..side.grids() {
                let block = grid * blocks + segment.overall / BLOCK;
                let start = block * plane + (1 + index * chunk.pitch()) * BLOCK;
                let line = &mut panel[start..][..chunk.pitch() * BLOCK];
                fill_line::<L>(source.transform, side, row, grid, segment, line);
            }
        }
    }
}

#[inline(always)]
fn fill_line<L: Lanes>(
    transform: Option<InputTransform<'_>>,
    side: &Side,
    row: Option<Row>,
    grid: usize,
    segment: &Segment<'_>,
    line: &mut [f32], // (column, channel)
) {
    let [oy, ox] = side.offset(grid);
    let y = row.and_then(|row| {
        let y = usize::try_from(row.row).ok()? * side.fineness + oy;
        (y < side.height).then_some((row.image, y))
    });
    let columns = (side.width - ox.min(side.width)).div_ceil(side.fineness);
    let Some((image, y)) = y.filter(|_| columns > 0) else {
        line.fill(0.0);
        return;
    };
    let start = (image * side.pixels() + y * side.width + ox) * segment.stride + segment.first;
    let step = side.fineness * segment.stride;
    let (inner, outer) = line.split_at_mut(columns * BLOCK);
    outer.fill(0.0);
    let first = image * side.channels + segment.overall;
    let values = &segment.values[start..];
    if segment.len == BLOCK {
        fill_blocks::<L>(transform.map(|t| t.block(first)), values, step, inner);
        return;
    }
    let lane = segment.overall % BLOCK;
    for (column, out) in inner.chunks_exact_mut(BLOCK).enumerate() {
        let values = &values[column * step..][..segment.len];
        let out = &mut out[lane..lane + segment.len];
        match transform {
            None => out.copy_from_slice(values),
            Some(transform) => transform.apply::<L>(first, values, out),
        }
    }
}

/// Fills the columns of a row with whole blocks of channels, which lie `step` numbers apart.
#[inline(always)]
fn fill_blocks<L: Lanes>(
    transform: Option<BlockTransform>,
    values: &[f32],
    step: usize,
    out: &mut [f32],
) {
    let pixels = values.chunks(step).filter_map(|pixel| pixel.first_chunk::<BLOCK>());
    let blocks = out.chunks_exact_mut(BLOCK).filter_map(|out| out.first_chunk_mut::<BLOCK>());
    match transform {
        None => blocks.zip(pixels).for_each(|(out, values)| *out = *values),
        Some(transform) if transform.silu => {
            blocks.zip(pixels).for_each(|(out, values)| transform.apply::<L, true>(values, out));
        }
        Some(transform) => {
            blocks.zip(pixels).for_each(|(out, values)| transform.apply::<L, false>(values, out));
        }
    }
}

/// An `f32` as the nearest bf16, in the lower 16 bits; finite numbers only.
#[inline(always)]
pub(crate) fn bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16
}

/// InputPart `part` of a number as a sum of bf16: the nearest bf16, or the nearest to what that leaves.
#[inline(always)]
pub(crate) fn bf16_part(value: f32, part: usize) -> u32 {
    let nearest = bf16(value);
    if part == 0 { nearest } else { bf16(value - f32::from_bits(nearest << 16)) }
}

/// Two bf16 as one word.
#[inline(always)]
pub(crate) fn pair(low: u32, high: u32) -> f32 {
    f32::from_bits(low | high << 16)
}

/// Words of a panel in pairs of channels: (part, grid, block of 2·16 channels, position, pair).
pub(crate) fn channel_pairs_len(side: &Side, chunk: &Chunk, parts: usize) -> usize {
    parts * side.grids() * side.channels.div_ceil(2 * BLOCK) * chunk.panel_positions() * BLOCK
}

/// Turns a panel into pairs of channels.
#[inline(always)]
pub(crate) fn channel_pairs(side: &Side, chunk: &Chunk, panel: &[f32], pairs: &mut [f32]) {
    let (singles, doubles) = (side.channels.div_ceil(BLOCK), side.channels.div_ceil(2 * BLOCK));
    let plane = chunk.panel_positions() * BLOCK;
    let of_part = side.grids() * doubles;
    for (index, out) in pairs.chunks_exact_mut(plane).enumerate() {
        let (part, grid, block) =
            (index / of_part, index / doubles % side.grids(), index % doubles);
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
                    *word = pair(bf16_part(two[0], part), bf16_part(two[1], part));
                }
            }
        }
    }
}

/// Words from one channel to the next where positions are paired: rows of tiles then fall on different cache lines.
pub(crate) fn paired_row(chunk: &Chunk) -> usize {
    (chunk.panel_positions() / 2).div_ceil(BLOCK) / 2 * 2 * BLOCK + BLOCK
}

/// Words of a panel in pairs of positions: (part, grid, channel, pair).
pub(crate) fn position_pairs_len(side: &Side, chunk: &Chunk, parts: usize) -> usize {
    parts * side.grids() * side.channels.next_multiple_of(2 * BLOCK) * paired_row(chunk)
}

/// Turns a panel into pairs of positions, channel by channel: the left factor of the gradient by the weights.
#[inline(always)]
pub(crate) fn position_pairs(side: &Side, chunk: &Chunk, panel: &[f32], pairs: &mut [f32]) {
    let singles = side.channels.div_ceil(BLOCK);
    let plane = chunk.panel_positions() * BLOCK;
    let (row, rows) = (paired_row(chunk), side.channels.next_multiple_of(2 * BLOCK));
    for (index, out) in pairs.chunks_exact_mut(BLOCK * row).enumerate() {
        let of_grid = rows / BLOCK;
        let (part, grid, block) =
            (index / of_grid / side.grids(), index / of_grid % side.grids(), index % of_grid);
        if block >= singles {
            out.fill(0.0);
            continue;
        }
        let values = &panel[(grid * singles + block) * plane..][..plane];
        for (k, two) in values.chunks_exact(2 * BLOCK).enumerate() {
            let mut words = [0.0; BLOCK];
            for (c, word) in words.iter_mut().enumerate() {
                *word = pair(bf16_part(two[c], part), bf16_part(two[BLOCK + c], part));
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

/// Words of the results' panel in pairs of positions: (part, grid, block of 16 channels, pair, channel).
pub(crate) fn result_pairs_len(side: &Side, chunk: &Chunk, parts: usize) -> usize {
    let blocks = side.channels.div_ceil(2 * BLOCK) * 2;
    parts * side.grids() * blocks * result_pairs(chunk) * BLOCK
}

/// Turns the results' panel into pairs of positions: the right factor of the gradient by the weights.
#[inline(always)]
pub(crate) fn result_position_pairs(side: &Side, chunk: &Chunk, panel: &[f32], pairs: &mut [f32]) {
    let (singles, blocks) = (side.channels.div_ceil(BLOCK), side.channels.div_ceil(2 * BLOCK) * 2);
    let plane = chunk.panel_positions() * BLOCK;
    for (index, out) in pairs.chunks_exact_mut(result_pairs(chunk) * BLOCK).enumerate() {
        let (part, grid, block) =
            (index / blocks / side.grids(), index / blocks % side.grids(), index % blocks);
        if block >= singles {
            out.fill(0.0);
            continue;
        }
        let values = &panel[(grid * singles + block) * plane..][..plane];
        let values = values[chunk.first() * BLOCK..].chunks_exact(2 * BLOCK);
        for (out, two) in out.chunks_exact_mut(BLOCK).zip(values) {
            for (c, word) in out.iter_mut().enumerate() {
                *word = pair(bf16_part(two[c], part), bf16_part(two[BLOCK + c], part));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::source::InputPart;
    use crate::lanes::Portable;

    #[test]
    fn a_number_is_nearly_the_sum_of_its_parts() {
        for value in [1.0f32, -0.3, 1e-3, 123.456, -7e4] {
            let parts = [0, 1].map(|part| f32::from_bits(bf16_part(value, part) << 16));
            assert!((parts[0] - value).abs() <= value.abs() / 256.0);
            assert!((parts[0] + parts[1] - value).abs() <= value.abs() / 65536.0);
        }
        assert_eq!(bf16(1.0), 0x3f80);
        // Half-way between two bf16: to the even one.
        assert_eq!(bf16(f32::from_bits(0x3f80_8000)), 0x3f80);
        assert_eq!(bf16(f32::from_bits(0x3f81_8000)), 0x3f82);
    }

    #[test]
    fn two_parts_lie_one_behind_the_other_with_zeros_around() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0]); // 1×2 pixels of 2 and 1 channels
        let parts = [InputPart::new(&a, 2), InputPart::new(&b, 1)];
        let source = ConvInput { parts: &parts, transform: None };
        let side = Side { fineness: 1, height: 1, width: 2, channels: 3 };
        let chunk = &Chunk::cut(1, [1, 2], 16)[0];
        let mut panel = vec![9.0; panel_len(&side, chunk)];
        fill::<Portable>(&source, &side, chunk, true, &mut panel);
        let first = chunk.first() * BLOCK;
        assert_eq!(panel[first..first + 4], [1.0, 2.0, 5.0, 0.0]);
        assert_eq!(panel[first + BLOCK..first + BLOCK + 4], [3.0, 4.0, 6.0, 0.0]);
        assert_eq!(panel.iter().sum::<f32>(), 21.0);
    }
}
