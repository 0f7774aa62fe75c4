//! All four kinds of convolution as taps on one coarse grid: read by both passes over data and by the one over filters.
//!
//! A convolution of stride 2 reads, and one after doubling writes, a grid twice as fine as the other side. Split into
//! the four sub-grids of even and odd rows and columns, the fine side has the coarse grid's size too, and every kind is
//! a list of taps: output sub-grid b at position p sums input sub-grid a at p + (dy, dx), times a matrix of weights.
//! Exchanging the sides and negating the shifts gives the gradient by the input.

use super::kind::ConvKind;

/// Weights that are summed for each of the two rows of a pixel's copies, and the shift they belong to:
/// output row 2i + a sees input row i + dy through them.
const DOUBLED: [[(isize, &[usize]); 2]; 2] =
    [[(-1, &[0]), (0, &[1, 2])], [(0, &[0, 1]), (1, &[2])]];

impl ConvKind {
    /// The taps; `matrix` counts up from 0.
    pub fn taps(self) -> Vec<Tap> {
        let square = |n: usize| (0..n).flat_map(move |y| (0..n).map(move |x| (y, x)));
        let tap = |matrix, from, to, dy, dx| Tap { matrix, from, to, dy, dx };
        match self {
            Self::Pointwise => vec![tap(0, 0, 0, 0, 0)],
            Self::Conv3x3 => square(3)
                .map(|(y, x)| tap(3 * y + x, 0, 0, y as isize - 1, x as isize - 1))
                .collect(),
            Self::Strided => {
                // Row 2i + k − 1 for k = 0, 1, 2: odd and one up, even, odd.
                const PLACES: [(usize, isize); 3] = [(1, -1), (0, 0), (1, 0)];
                let places = |(y, x): (usize, usize)| (3 * y + x, PLACES[y], PLACES[x]);
                square(3)
                    .map(places)
                    .map(|(matrix, y, x)| tap(matrix, 2 * y.0 + x.0, 0, y.1, x.1))
                    .collect()
            }
            Self::Upsampled => square(2)
                .flat_map(|(a, b)| square(2).map(move |(y, x)| (a, b, y, x)))
                .enumerate()
                .map(|(matrix, (a, b, y, x))| {
                    tap(matrix, 0, 2 * a + b, DOUBLED[a][y].0, DOUBLED[b][x].0)
                })
                .collect(),
        }
    }

    /// For each tap the weights, as indices into the kernel, that its matrix is a sum of, with their factors.
    pub fn sums(self) -> Vec<Vec<(usize, f32)>> {
        if self != Self::Upsampled {
            return (0..self.weights()).map(|weight| vec![(weight, 1.0)]).collect();
        }
        let halves = || DOUBLED.iter().flat_map(|half| half.iter().map(|(_, rows)| *rows));
        let mut sums = Vec::new();
        for a in 0..2 {
            for b in 0..2 {
                for rows in halves().skip(2 * a).take(2) {
                    for columns in halves().skip(2 * b).take(2) {
                        let pairs =
                            rows.iter().flat_map(|y| columns.iter().map(move |x| (3 * y + x, 1.0)));
                        sums.push(pairs.collect());
                    }
                }
            }
        }
        sums
    }
}

/// One term of the sum at every position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// Which matrix of weights.
    pub matrix: usize,
    /// Sub-grid that is read: 2·(odd row) + (odd column).
    pub from: usize,
    /// Sub-grid that is written.
    pub to: usize,
    /// Rows between the position that is written and the one that is read.
    pub dy: isize,
    /// Columns between them.
    pub dx: isize,
}

impl Tap {
    /// The same term of the gradient by the input.
    pub fn transposed(self) -> Self {
        Self { from: self.to, to: self.from, dy: -self.dy, dx: -self.dx, ..self }
    }
}

/// One side of a convolution: images `(h, w, c)` over the coarse grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) phases: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Side {
    /// Sub-grids.
    pub(crate) fn grids(&self) -> usize {
        self.phases * self.phases
    }

    /// Height and width of the coarse grid.
    pub(crate) fn coarse(&self) -> [usize; 2] {
        [self.height.div_ceil(self.phases), self.width.div_ceil(self.phases)]
    }

    pub(crate) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// First row and column of a sub-grid.
    pub(crate) fn offset(&self, grid: usize) -> [usize; 2] {
        [grid / self.phases, grid % self.phases]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One row of the four kinds, worked out by hand from x = (1, 2, 4, 8) and the kernel (1, 10, 100).
    #[test]
    fn taps_give_the_convolution_that_they_stand_for() {
        let x = [1.0, 2.0, 4.0, 8.0];
        let kernel = [1.0, 10.0, 100.0];
        let expected: [(ConvKind, &[f64]); 3] = [
            (ConvKind::Conv3x3, &[210.0, 421.0, 842.0, 84.0]),
            (ConvKind::Strided, &[210.0, 842.0]),
            // Of 1 1 2 2 4 4 8 8.
            (ConvKind::Upsampled, &[110.0, 211.0, 221.0, 422.0, 442.0, 844.0, 884.0, 88.0]),
        ];
        for (kind, expected) in expected {
            let [fine_in, fine_out] = kind.phases();
            let mut y = vec![0.0; expected.len()];
            // The middle row of the kernel alone, on an image of one row.
            let sums = kind.sums();
            for tap in kind.taps() {
                let weight: f64 = sums[tap.matrix]
                    .iter()
                    .filter(|(w, _)| (3..6).contains(w))
                    .map(|(w, factor)| f64::from(*factor) * kernel[w - 3])
                    .sum();
                let rows = (tap.from / fine_in.max(1) / 2, tap.to / 2);
                if tap.dy != 0 || rows != (0, 0) || (fine_in == 2 && tap.from >= 2) {
                    continue;
                }
                for p in 0..x.len() / fine_in {
                    let read = (p as isize + tap.dx) * fine_in as isize;
                    let read = read + (tap.from % 2) as isize;
                    let written = p * fine_out + if fine_out == 2 { tap.to % 2 } else { 0 };
                    if let Some(x) = usize::try_from(read).ok().and_then(|read| x.get(read)) {
                        y[written] += weight * x;
                    }
                }
            }
            assert_eq!(y, expected, "{kind:?}");
        }
    }

    #[test]
    fn every_weight_of_an_upsampled_one_serves_all_four_copies() {
        let mut uses = [0; 9];
        ConvKind::Upsampled.sums().iter().flatten().for_each(|&(weight, _)| uses[weight] += 1);
        assert_eq!(uses, [4; 9]);
        assert_eq!(ConvKind::Upsampled.taps().len(), 16);
    }
}
