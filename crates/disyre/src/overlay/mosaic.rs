//! [`Mosaic`]: three rows of slices, their labels and the scale of colours; `write_overlay` draws it.

use disyre_core::Volume;
use disyre_core::ndarray::{ArrayView2, ArrayView3, Axis};

use super::palette::{grey, heat};
use super::picture::{Font, Picture, Rgb};
use super::slices::{between, choose, nearest};

const COLUMNS: usize = 8;
/// Slices are enlarged to about this many pixels, never reduced.
const TILE_WIDTH: f64 = 190.0;
const TILE_HEIGHT: f64 = 250.0;
const GAP: usize = 8;
/// Between columns: keeps the L of one slice and the R of the next apart.
const GUTTER: usize = 24;
const LEFT: usize = 116;
const TOP: usize = 84;
const RIGHT: usize = 100;
const BOTTOM: usize = 44;
const BACKGROUND: Rgb = [0, 0, 4];
const INK: Rgb = [225, 225, 230];
const FAINT: Rgb = [140, 140, 150];
const OUTLINE: Rgb = [70, 235, 255];

/// Content of a mosaic: arrays on one RAS+ grid, axes `(z, y, x)`, intensities in `[0, 1]`.
#[derive(Debug)]
pub(super) struct Mosaic<'a> {
    pub(super) title: &'a str,
    pub(super) image: &'a Volume,
    pub(super) brain: ArrayView3<'a, u8>,
    pub(super) restored: ArrayView3<'a, f32>,
    pub(super) score: ArrayView3<'a, f32>,
    /// Outlined, where it is known.
    pub(super) lesion: Option<ArrayView3<'a, u8>>,
}

/// Positions of the slices in the mosaic.
struct MosaicLayout {
    slices: Vec<usize>,
    /// Pixels per voxel.
    scale: f64,
    tile: (usize, usize),
}

impl Mosaic<'_> {
    /// Draws three rows of slices: scan, restoration, score. The patient's right is on the left.
    pub(super) fn draw(&self, scale_end: f32) -> Picture {
        let layout = MosaicLayout::new(self);
        let (width, height) = layout.size(self.lesion.is_some());
        let mut picture = Picture::new(width, height, BACKGROUND);
        self.draw_frame(&mut picture, &layout);
        draw_scale(&mut picture, &layout, scale_end);
        for (column, &z) in layout.slices.iter().enumerate() {
            let plane = |volume: ArrayView3<'_, f32>| volume.index_axis_move(Axis(0), z).to_owned();
            let rows = [self.image.data.view(), self.restored, self.score].map(plane);
            for (row, plane) in rows.iter().enumerate() {
                let colour =
                    |value: f32| if row == 2 { heat(value / scale_end) } else { grey(value) };
                let corner = layout.corner(row, column);
                layout.each_pixel(plane.dim(), |px, py, y, x| {
                    picture.set(corner.0 + px, corner.1 + py, colour(between(plane.view(), y, x)));
                });
                if let (Some(lesion), true) = (&self.lesion, row != 1) {
                    outline(&mut picture, &layout, corner, lesion.index_axis(Axis(0), z));
                }
            }
        }
        self.draw_sides(&mut picture, &layout);
        picture
    }

    /// Title, names of the rows, heights of the slices.
    fn draw_frame(&self, picture: &mut Picture, layout: &MosaicLayout) {
        picture.text(GAP, GAP, self.title, Font::Large, INK);
        let note =
            "axial slices, feet to head; radiological convention: R = patient's right, on the left";
        picture.text(GAP, GAP + Font::Large.height(), note, Font::Small, FAINT);
        let (tile_width, tile_height) = layout.tile;
        for (row, name) in ["input", "restored", "score"].into_iter().enumerate() {
            let (_, y) = layout.corner(row, 0);
            picture.text(
                GAP,
                y + tile_height.saturating_sub(Font::Large.height()) / 2,
                name,
                Font::Large,
                INK,
            );
        }
        for (column, &z) in layout.slices.iter().enumerate() {
            let label = format!("z {:+.0} mm", self.height_mm(z));
            let (x, y) = layout.corner(3, column);
            let x = x + tile_width.saturating_sub(Font::Small.width(&label)) / 2;
            picture.text(x, y, &label, Font::Small, INK);
        }
        if self.lesion.is_some() {
            let (_, y) = layout.corner(3, 0);
            let text = "cyan outline: the lesion as it was made or marked";
            picture.text(LEFT, y + Font::Small.height() + GAP, text, Font::Small, OUTLINE);
        }
    }

    /// R and L beside the brain in every slice of the scan.
    fn draw_sides(&self, picture: &mut Picture, layout: &MosaicLayout) {
        for column in 0..layout.slices.len() {
            let (x, y) = layout.corner(0, column);
            let right = x + layout.tile.0.saturating_sub(Font::Small.width("L"));
            picture.text(x, y, "R", Font::Small, INK);
            picture.text(right, y, "L", Font::Small, INK);
        }
    }

    /// World z of a slice's centre in millimetres.
    fn height_mm(&self, z: usize) -> f64 {
        let [_, ny, nx] = self.image.grid.shape;
        let row = self.image.grid.affine[2];
        let centre = |length: usize| (length as f64 - 1.0) / 2.0;
        row[0] * centre(nx) + row[1] * centre(ny) + row[2] * z as f64 + row[3]
    }
}

impl MosaicLayout {
    fn new(mosaic: &Mosaic<'_>) -> Self {
        let [_, ny, nx] = mosaic.image.grid.shape;
        let scale = (TILE_WIDTH / nx as f64).min(TILE_HEIGHT / ny as f64).max(1.0);
        let pixels = |voxels: usize| (voxels as f64 * scale).round() as usize;
        let slices = choose(mosaic.brain, COLUMNS);
        Self { slices, scale, tile: (pixels(nx), pixels(ny)) }
    }

    /// Width and height of the whole mosaic; wide enough for its title line.
    fn size(&self, with_legend: bool) -> (usize, usize) {
        const LEAST_WIDTH: usize = 900;
        let (width, _) = self.corner(0, self.slices.len());
        let (_, height) = self.corner(3, 0);
        let legend = if with_legend { Font::Small.height() + GAP } else { 0 };
        ((width + RIGHT).max(LEAST_WIDTH), height + BOTTOM + legend)
    }

    /// Upper left corner of a tile.
    fn corner(&self, row: usize, column: usize) -> (usize, usize) {
        (LEFT + column * (self.tile.0 + GUTTER), TOP + row * (self.tile.1 + GAP))
    }

    /// Calls `pixel` with the place of each pixel in a tile and in the slice: front up, the patient's right left.
    fn each_pixel(&self, (ny, nx): (usize, usize), mut pixel: impl FnMut(usize, usize, f64, f64)) {
        let (width, height) = self.tile;
        for py in 0..height {
            let y = ny as f64 - 0.5 - (py as f64 + 0.5) / self.scale;
            for px in 0..width {
                // In RAS+ x grows from the patient's left to the right.
                pixel(px, py, y, nx as f64 - 0.5 - (px as f64 + 0.5) / self.scale);
            }
        }
    }
}

/// Scale of the score's colours, beside its row.
fn draw_scale(picture: &mut Picture, layout: &MosaicLayout, scale_end: f32) {
    const WIDTH: usize = 18;
    let (x, y) = layout.corner(2, layout.slices.len());
    let height = layout.tile.1;
    for step in 0..height {
        let colour = heat(1.0 - step as f32 / (height - 1).max(1) as f32);
        (0..WIDTH).for_each(|dx| picture.set(x + dx, y + step, colour));
    }
    let x = x + WIDTH + GAP;
    picture.text(x, y, &format!("{scale_end:.3}"), Font::Small, INK);
    picture.text(x, y + height - Font::Small.height(), "0", Font::Small, INK);
}

/// Marks the pixels of a lesion that touch one outside.
fn outline(
    picture: &mut Picture,
    layout: &MosaicLayout,
    corner: (usize, usize),
    lesion: ArrayView2<'_, u8>,
) {
    let step = 1.5 / layout.scale;
    let inside = |y: f64, x: f64| nearest(lesion, y, x) != 0;
    layout.each_pixel(lesion.dim(), |px, py, y, x| {
        let beside = [(step, 0.0), (-step, 0.0), (0.0, step), (0.0, -step)];
        if inside(y, x) && beside.iter().any(|(dy, dx)| !inside(y + dy, x + dx)) {
            picture.set(corner.0 + px, corner.1 + py, OUTLINE);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::Grid;
    use disyre_core::ndarray::Array3;

    #[test]
    fn the_patients_right_is_on_the_left_and_the_front_is_up() {
        let shape = [1, 40, 30];
        let mut data = Array3::zeros(shape);
        // RAS+: the greatest x is the patient's right, the greatest y the front.
        data[[0, 39, 29]] = 1.0;
        let image = Volume::new(data, Grid::from_spacing(shape, [2.0; 3])).unwrap();
        let (brain, zeros) = (Array3::ones(shape), Array3::zeros(shape));
        let (restored, score) = (zeros.view(), zeros.view());
        let mosaic = Mosaic {
            title: "t",
            image: &image,
            brain: brain.view(),
            restored,
            score,
            lesion: None,
        };
        let picture = mosaic.draw(1.0);
        let (width, height) = MosaicLayout::new(&mosaic).tile;
        let shade = |px, py| picture.get(LEFT + px, TOP + py)[0];
        // The letter R covers the corner; one voxel is six pixels.
        assert!(shade(1, 1) > 200);
        assert!(shade(width - 2, height - 2) < 10 && shade(1, height - 2) < 10);
        assert!(picture.size().0 >= 900);
    }
}
