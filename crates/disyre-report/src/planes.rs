//! Planes of a layer through a voxel, as pictures that need no script.

use disyre_core::ndarray::ArrayView3;

use crate::{Layer, PageGrid, PngImage, ReportError, Rgb};

/// Plane of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plane {
    /// Across the body: the patient's right is on the left, the front is up.
    Axial,
    /// Seen from the front: the patient's right is on the left.
    Coronal,
    /// Seen from the patient's left: the front is on the left.
    Sagittal,
}

/// Colour of the marks around a place: in none of the colour maps.
const MARK: Rgb = [124, 252, 140];
/// Palette index of the marks; the codes 254 and 255 share a colour.
const MARK_INDEX: u8 = 255;

impl Plane {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Axial, Self::Coronal, Self::Sagittal];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Axial => "Axial",
            Self::Coronal => "Coronal",
            Self::Sagittal => "Sagittal",
        }
    }

    /// Axes `(x = 0, y = 1, z = 2)` along rows, along columns, and through the plane.
    pub fn axes(self) -> [usize; 3] {
        match self {
            Self::Axial => [0, 1, 2],
            Self::Coronal => [0, 2, 1],
            Self::Sagittal => [1, 2, 0],
        }
    }

    /// Letters at the left, right, top and bottom edge.
    pub fn edges(self) -> [&'static str; 4] {
        match self {
            Self::Axial => ["R", "L", "A", "P"],
            Self::Coronal => ["R", "L", "S", "I"],
            Self::Sagittal => ["A", "P", "S", "I"],
        }
    }

    /// The slice of a layer through a voxel `(x, y, z)`, with square pixels of the shortest side of a voxel and marks around
    /// the place.
    ///
    /// # Errors
    /// [`ReportError::Encode`].
    pub fn picture(
        self,
        layer: &Layer,
        grid: &PageGrid,
        place: [usize; 3],
    ) -> Result<PngImage, ReportError> {
        let side = grid.spacing_mm.into_iter().fold(f64::INFINITY, f64::min);
        let [across, down, _] = self.axes();
        let pixels = |axis: usize| {
            let mm = grid.shape[axis] as f64 * grid.spacing_mm[axis];
            ((mm / side).round() as usize).max(1)
        };
        let (width, height) = (pixels(across), pixels(down));
        // All axes run against the pixels: right is left, the front and the top are up.
        let voxel = |pixel: usize, axis: usize| {
            let from_end = (pixel as f64 + 0.5) * side / grid.spacing_mm[axis];
            grid.shape[axis] - 1 - (from_end as usize).min(grid.shape[axis] - 1)
        };
        let mut indices = vec![0; width * height];
        for (pixel, index) in indices.iter_mut().enumerate() {
            let mut at = place;
            at[across] = voxel(pixel % width, across);
            at[down] = voxel(pixel / width, down);
            *index = code(layer.volume.codes(), at).min(MARK_INDEX - 1);
        }
        let middle = |axis: usize| {
            let from_end = (grid.shape[axis] - 1 - place[axis]) as f64 + 0.5;
            (from_end * grid.spacing_mm[axis] / side) as usize
        };
        mark(&mut indices, (width, height), (middle(across), middle(down)));
        let mut palette = vec![[0; 3]];
        palette.extend(layer.kind.colours().palette(254));
        palette.push(MARK);
        PngImage::indexed(width, height, &indices, &palette)
    }
}

fn code(codes: ArrayView3<'_, u8>, [x, y, z]: [usize; 3]) -> u8 {
    codes[[z, y, x]]
}

/// Four short lines that point to a pixel.
fn mark(indices: &mut [u8], (width, height): (usize, usize), (x, y): (usize, usize)) {
    let mut set = |x: Option<usize>, y: Option<usize>| {
        if let (Some(x), Some(y)) = (x.filter(|&x| x < width), y.filter(|&y| y < height)) {
            indices[y * width + x] = MARK_INDEX;
        }
    };
    for away in 6..11 {
        set(x.checked_sub(away), Some(y));
        set(Some(x + away), Some(y));
        set(Some(x), y.checked_sub(away));
        set(Some(x), Some(y + away));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ByteVolume, LayerKind, Pixels};
    use disyre_core::ndarray::Array3;

    const UNIT: [[f64; 4]; 4] =
        [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., 0., 1., 0.], [0., 0., 0., 1.]];

    /// A layer with one bright voxel, right, in front and above.
    fn layer() -> (Layer, PageGrid) {
        let mut values = Array3::zeros((4, 20, 30));
        values[[3, 19, 29]] = 1.0;
        let inside = Array3::ones(values.dim());
        let volume = ByteVolume::new(values.view(), inside.view(), (0.0, 1.0)).unwrap();
        let layer = Layer { kind: LayerKind::Scan, unit: String::new(), volume };
        let grid = PageGrid {
            shape: [30, 20, 4],
            spacing_mm: [1.0, 1.0, 5.0],
            world: UNIT,
            mni: None,
            file: UNIT,
        };
        (layer, grid)
    }

    #[test]
    fn right_is_left_and_front_and_top_are_up() {
        let (layer, grid) = layer();
        for plane in Plane::ALL {
            let picture = plane.picture(&layer, &grid, [29, 19, 3]).unwrap();
            let pixels = Pixels::decode(picture.bytes()).unwrap();
            assert_eq!(pixels.colours[0], [255; 3], "{plane:?}");
            assert_eq!(*pixels.colours.last().unwrap(), [0; 3], "{plane:?}");
        }
        let [left, right, top, bottom] = Plane::Axial.edges();
        assert_eq!([left, right, top, bottom], ["R", "L", "A", "P"]);
    }

    #[test]
    fn pixels_are_square_where_voxels_are_not() {
        let (layer, grid) = layer();
        let picture = Plane::Coronal.picture(&layer, &grid, [0, 19, 0]).unwrap();
        assert_eq!((picture.width(), picture.height()), (30, 20));
        let pixels = Pixels::decode(picture.bytes()).unwrap();
        // The bright voxel is five pixels high, and the marks point to the middle of the voxel at the lower right.
        assert!((0..5).all(|row| pixels.colours[row * 30] == [255; 3]));
        assert_eq!(pixels.colours[5 * 30], [0; 3]);
        assert_eq!(pixels.colours[17 * 30 + 29 - 6], MARK);
        assert_eq!(pixels.colours[(17 - 6) * 30 + 29], MARK);
    }
}
