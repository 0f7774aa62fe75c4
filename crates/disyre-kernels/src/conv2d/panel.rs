//! Panels: chunks of images in the order in which products read them.

use super::chunk::{Chunk, Row};
use super::input::{BlockTransform, ConvInput, InputTransform};
use super::lattice::Side;
use crate::lanes::{BLOCK, Lanes};

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
        let y = usize::try_from(row.row).ok()? * side.phases + oy;
        (y < side.height).then_some((row.image, y))
    });
    let columns = (side.width - ox.min(side.width)).div_ceil(side.phases);
    let Some((image, y)) = y.filter(|_| columns > 0) else {
        line.fill(0.0);
        return;
    };
    let start = (image * side.pixels() + y * side.width + ox) * segment.stride + segment.first;
    let step = side.phases * segment.stride;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv2d::input::InputPart;
    use crate::lanes::Portable;

    #[test]
    fn two_parts_lie_one_behind_the_other_with_zeros_around() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0]); // 1×2 pixels of 2 and 1 channels
        let parts = [InputPart::new(&a, 2), InputPart::new(&b, 1)];
        let source = ConvInput { parts: &parts, transform: None };
        let side = Side { phases: 1, height: 1, width: 2, channels: 3 };
        let chunk = &Chunk::cut(1, [1, 2], 16)[0];
        let mut panel = vec![9.0; panel_len(&side, chunk)];
        fill::<Portable>(&source, &side, chunk, true, &mut panel);
        let first = chunk.first() * BLOCK;
        assert_eq!(panel[first..first + 4], [1.0, 2.0, 5.0, 0.0]);
        assert_eq!(panel[first + BLOCK..first + BLOCK + 4], [3.0, 4.0, 6.0, 0.0]);
        assert_eq!(panel.iter().sum::<f32>(), 21.0);
    }
}
