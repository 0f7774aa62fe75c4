//! How images are cut into pieces of work: by their sizes alone.

use std::ops::Range;

use crate::lanes::BLOCK;

/// Words of a panel that stay in the second-level cache beside the results.
const PANEL_WORDS: usize = 160 * 1024;
/// Positions below which images share a piece, so that weights are read for many positions at a time.
const FEW_POSITIONS: usize = 64;
/// Rows that a piece has at least: each shares two rows with its neighbours.
const LEAST_ROWS: usize = 4;
/// Rows of the largest tile of results.
const TILE_ROWS: usize = 4;

/// Rows of one image, or several whole images, on the coarse grid.
///
/// Rows lie one after another with one column of zeros behind each, and one row of zeros between images, before the
/// first and behind the last: a panel. A shift by (dy, dx) is then a shift by one number of positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) images: Range<usize>,
    pub(crate) rows: Range<usize>,
    /// Width of the coarse grid.
    pub(crate) width: usize,
    /// Height of the coarse grid.
    height: usize,
}

/// A row of a panel that is not zero by definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Counted over the batch.
    pub(crate) image: usize,
    /// Row of the coarse grid; −1 and the height are possible, and zero.
    pub(crate) row: isize,
}

impl Chunk {
    /// Cuts `images` images into chunks whose panels have `words` words for each position.
    pub(crate) fn cut(images: usize, [height, width]: [usize; 2], words: usize) -> Vec<Self> {
        let positions = height * (width + 1);
        if positions <= FEW_POSITIONS {
            let together = (2 * FEW_POSITIONS / positions).max(1);
            let whole = |start: usize| start..(start + together).min(images);
            let starts = (0..images).step_by(together);
            return starts
                .map(|start| Self { images: whole(start), rows: 0..height, width, height })
                .collect();
        }
        let rows = (PANEL_WORDS / (words * (width + 1)))
            .saturating_sub(2)
            .clamp(LEAST_ROWS, height.max(LEAST_ROWS));
        let pieces = height.div_ceil(rows);
        // Tiles should not be cut.
        let whole = |row: usize| row.next_multiple_of(TILE_ROWS).min(height);
        let of_image = |image| {
            (0..pieces).map(move |i| Self {
                images: image..image + 1,
                rows: whole(i * height / pieces)..whole((i + 1) * height / pieces),
                width,
                height,
            })
        };
        (0..images).flat_map(of_image).collect()
    }

    /// Positions from one row to the next.
    pub(crate) fn pitch(&self) -> usize {
        self.width + 1
    }

    /// Rows of the panel.
    pub(crate) fn panel_rows(&self) -> usize {
        self.images.len() * (self.rows.len() + 1) + 1
    }

    /// Positions of the panel, with room for blocks and tiles that reach beyond the last row.
    pub(crate) fn panel_positions(&self) -> usize {
        let beyond = self.rows.len().next_multiple_of(TILE_ROWS) - self.rows.len();
        let rows = self.panel_rows() + beyond;
        (rows * self.pitch() + 2 + 2 * BLOCK).next_multiple_of(2)
    }

    /// Position of the first pixel of the results.
    pub(crate) fn first(&self) -> usize {
        self.pitch() + 1
    }

    /// Position that a tap of the first pixel reads: one row and one column away at most.
    pub(crate) fn shifted(&self, dy: isize, dx: isize) -> usize {
        self.first().wrapping_add_signed(dy * self.pitch() as isize + dx)
    }

    /// Positions from the first pixel of the results to the last.
    pub(crate) fn positions(&self) -> usize {
        (self.panel_rows() - 2) * self.pitch() - 1
    }

    /// Row of an image that lies in a row of the panel; none between images.
    pub(crate) fn panel_row(&self, index: usize) -> Option<Row> {
        let period = self.rows.len() + 1;
        if self.images.len() == 1 {
            let row = self.rows.start as isize + index as isize - 1;
            return Some(Row { image: self.images.start, row });
        }
        let (image, row) = (index / period, index % period);
        let inside = row > 0 && image < self.images.len();
        inside.then(|| Row { image: self.images.start + image, row: row as isize - 1 })
    }

    /// The rows of results with the position at which each starts, counted from the first pixel.
    pub(crate) fn result_rows(&self) -> impl Iterator<Item = (usize, Row)> + '_ {
        let rows = (1..self.panel_rows() - 1).map(|index| (index, self.panel_row(index)));
        rows.filter_map(|(index, row)| Some(((index - 1) * self.pitch(), row?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_every_image_is_in_one_chunk() {
        for size in [[1, 1], [4, 4], [5, 9], [16, 16], [33, 128]] {
            let chunks = Chunk::cut(5, size, 320);
            let rows = chunks.iter().flat_map(|chunk| chunk.result_rows().map(|(_, row)| row));
            let rows: Vec<_> = rows.map(|row| (row.image, row.row)).collect();
            let all = (0..5).flat_map(|image| (0..size[0] as isize).map(move |row| (image, row)));
            assert_eq!(rows, all.collect::<Vec<_>>());
        }
    }

    #[test]
    fn small_images_share_a_chunk_with_zeros_between_them() {
        let chunks = Chunk::cut(9, [4, 4], 256);
        assert_eq!(chunks.len(), 2);
        let rows: Vec<_> =
            (0..chunks[0].panel_rows()).map(|row| chunks[0].panel_row(row)).collect();
        assert_eq!(rows.len(), 6 * 5 + 1);
        assert!(rows.iter().step_by(5).all(Option::is_none));
        assert_eq!(rows[6], Some(Row { image: 1, row: 0 }));
    }

    #[test]
    fn the_chunk_of_an_image_does_not_depend_on_the_batch() {
        let alone = Chunk::cut(1, [128, 128], 32);
        assert!(alone.len() > 1);
        let third: Vec<_> =
            Chunk::cut(4, [128, 128], 32).into_iter().filter(|c| c.images.start == 2).collect();
        assert!(alone.iter().zip(&third).all(|(a, b)| a.rows == b.rows));
        assert_eq!(alone.len(), third.len());
    }
}
