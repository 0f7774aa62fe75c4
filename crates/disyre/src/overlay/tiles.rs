//! Pictures of the preparation and of the severities: rows of tiles, which the page takes apart again.

use disyre_core::Grid;
use disyre_core::ndarray::{Array3, ArrayView2, ArrayView3, Axis};
use disyre_report::{Plane, Rectangle};
use disyre_tissue::KMeansConfig;
use disyre_volume::affine::{compose, invert, transform};
use disyre_volume::{Interpolation, resample_to_grid};
use serde::{Deserialize, Serialize};

use super::palette::{grey, heat, signed};
use super::picture::{Font, Picture, Rgb};
use super::slices::between;
use crate::detector::SliceRestoration;
use crate::{Detection, Error, TemplateSpace};

const GAP: usize = 10;
const BACKGROUND: Rgb = [12, 15, 19];
const INK: Rgb = [225, 225, 230];
/// Outline of the template's brain.
const OUTLINE: Rgb = [70, 235, 255];
/// Border of the template's white matter.
const BORDER: Rgb = [255, 190, 60];
/// Pixels a voxel.
const SCALE: f64 = 2.0;

/// A rectangle of the picture, and what it shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tile {
    pub(crate) kind: TileKind,
    pub(crate) label: String,
    pub(crate) place: Rectangle,
}

/// Content of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TileKind {
    /// A plane of the bias field.
    BiasField,
    /// A plane of the scan with borders of the template.
    Registration,
    /// A slice of the scan, or its restoration at one severity.
    Severity,
    /// Scan minus restoration, at one severity.
    SeverityResidual,
    /// A small slice of the scan, with the score: that of [`TileSource::place`].
    Thumbnail,
}

/// Content of the tiles.
#[derive(Debug)]
pub(crate) struct TileSource<'a> {
    pub(crate) found: &'a Detection,
    /// Grid of the scan.
    pub(crate) scan: &'a Grid,
    /// The template, where the scan is registered to it.
    pub(crate) space: Option<&'a TemplateSpace>,
    /// Voxel `(z, y, x)` of the working grid: peak of the largest finding, or the highest score where none is marked.
    pub(crate) place: [usize; 3],
    /// The slice through this place.
    pub(crate) restored: &'a [SliceRestoration],
    /// Score at which the colours of the thumbnail end.
    pub(crate) scale_end: f32,
}

/// The picture, its tiles, and the least and the greatest value of the bias field in its planes, by their mean.
#[derive(Debug)]
pub(crate) struct DrawnTiles {
    pub(crate) picture: Picture,
    pub(crate) tiles: Vec<Tile>,
    pub(crate) bias_field: Option<[f64; 2]>,
}

/// A row of tiles under a title.
struct Row {
    title: String,
    tiles: Vec<(TileKind, String, Picture)>,
}

/// Draws the tiles.
///
/// # Errors
/// Those of resampling the template.
pub(crate) fn draw_tiles(source: &TileSource<'_>) -> Result<DrawnTiles, Error> {
    let (bias, bias_field) = source.bias_field();
    let registration = source.registration()?;
    let [restored, residuals] = source.severities();
    let rows: Vec<Row> =
        [bias, registration, Some(restored), Some(residuals), Some(source.thumbnail())]
            .into_iter()
            .flatten()
            .collect();
    let (picture, tiles) = draw_rows(rows);
    Ok(DrawnTiles { picture, tiles, bias_field })
}

impl TileSource<'_> {
    /// Voxel `(z, y, x)` in the middle of the brain's box.
    fn middle(&self) -> [usize; 3] {
        self.found.prepared.volume.grid.shape.map(|voxels| voxels / 2)
    }

    /// Planes of the bias field, blue below and red above its mean.
    fn bias_field(&self) -> (Option<Row>, Option<[f64; 2]>) {
        let prepared = &self.found.prepared;
        let Some(field) = &prepared.field else { return (None, None) };
        let Some(back) = invert(&self.scan.affine) else { return (None, None) };
        let to_scan = compose(&back, &prepared.volume.grid.affine);
        let first = field.region().start;
        let log_at = |[z, y, x]: [usize; 3]| {
            let [x, y, z] = transform(&to_scan, [x, y, z].map(|index| index as f64));
            let from = [z, y, x].into_iter().zip(first).map(|(at, first)| at - first as f64);
            let from: Vec<f64> = from.collect();
            field.lattice().log_at([from[0], from[1], from[2]]) as f32
        };
        let planes: Vec<(Plane, Array3<f32>)> = Plane::ALL
            .into_iter()
            .map(|plane| {
                let (axis, at) = through(plane, self.middle());
                let mut shape = prepared.volume.grid.shape;
                shape[axis] = 1;
                let log = Array3::from_shape_fn(shape, |(z, y, x)| {
                    let mut voxel = [z, y, x];
                    voxel[axis] = at;
                    match prepared.mask[voxel] {
                        0 => f32::NAN,
                        _ => log_at(voxel),
                    }
                });
                (plane, log)
            })
            .collect();
        // A constant factor says nothing: the field is shown by its mean in the planes.
        let inside = || planes.iter().flat_map(|(_, log)| log).filter(|log| log.is_finite());
        let sum: f64 = inside().map(|&log| f64::from(log)).sum();
        let mean = (sum / inside().count().max(1) as f64) as f32;
        let ends = inside().fold([f32::INFINITY, f32::NEG_INFINITY], |[least, most], &log| {
            [least.min(log - mean), most.max(log - mean)]
        });
        let size = ends[0].abs().max(ends[1].abs()).max(0.02);
        let tiles = planes.iter().map(|(plane, log)| {
            let (axis, _) = through(*plane, [0; 3]);
            let log = log.index_axis(Axis(axis), 0);
            let colour = |value: f32| match value.is_nan() {
                true => BACKGROUND,
                false => signed((value - mean) / size),
            };
            (TileKind::BiasField, plane.name().to_owned(), tile(log, SCALE, colour))
        });
        let range = ends.map(|log| (f64::from(log).exp() * 1000.0).round() / 1000.0);
        let title =
            format!("bias field, {:.2} (blue) to {:.2} (red) of its mean", range[0], range[1]);
        (Some(Row { title, tiles: tiles.collect() }), Some(range))
    }

    /// Planes of the scan with the outline of the template's brain and the border of its white matter.
    fn registration(&self) -> Result<Option<Row>, Error> {
        let (Some(space), Some(found)) = (self.space, &self.found.registration) else {
            return Ok(None);
        };
        let prepared = &self.found.prepared;
        let (working, grid) = (&prepared.volume.grid, space.grid_of(found));
        let template = space.template();
        let on_working = |data: Array3<f32>| {
            let volume = disyre_core::Volume { data, grid };
            resample_to_grid(&volume, working, Interpolation::Linear)
        };
        let mask = on_working(template.mask.mapv(|inside| f32::from(u8::from(inside != 0))))?;
        let tissue = on_working(template.volume.data.clone())?;
        let level = white_matter_level(template.volume.data.view());
        let tiles = Plane::ALL.into_iter().map(|plane| {
            let (axis, at) = through(plane, self.middle());
            let slice = |data: &Array3<f32>| data.index_axis(Axis(axis), at).to_owned();
            let mut picture = tile(slice(&prepared.volume.data).view(), SCALE, grey);
            contour(&mut picture, slice(&tissue.data).view(), level, BORDER);
            contour(&mut picture, slice(&mask.data).view(), 0.5, OUTLINE);
            (TileKind::Registration, plane.name().to_owned(), picture)
        });
        let title = "template over the scan: brain (cyan), white matter (yellow)".to_owned();
        Ok(Some(Row { title, tiles: tiles.collect() }))
    }

    /// The slice of the place restored at each severity, and what that changed.
    fn severities(&self) -> [Row; 2] {
        let scan = self.found.prepared.volume.data.index_axis(Axis(0), self.place[0]);
        let size = self.restored.iter().flat_map(|slice| {
            scan.iter().zip(&slice.restored).map(|(scan, restored)| (scan - restored).abs())
        });
        let mut sizes: Vec<f32> = size.filter(|&size| size > 0.0).collect();
        sizes.sort_unstable_by(f32::total_cmp);
        let end = sizes.get(sizes.len().saturating_sub(1) * 995 / 1000).copied().unwrap_or(1.0);
        let mut restored = vec![(TileKind::Severity, "scan".to_owned(), tile(scan, SCALE, grey))];
        let mut residuals = Vec::new();
        for slice in self.restored {
            let label = format!("severity {:.3}", slice.severity.get());
            restored.push((
                TileKind::Severity,
                label.clone(),
                tile(slice.restored.view(), SCALE, grey),
            ));
            let residual = &scan - &slice.restored;
            let colour = |value: f32| signed(value / end);
            residuals.push((
                TileKind::SeverityResidual,
                label,
                tile(residual.view(), SCALE, colour),
            ));
        }
        let title = "restorations of one slice".to_owned();
        let changed =
            format!("scan - restoration, -{end:.2} (blue) to {end:.2} (red) of the range");
        [Row { title, tiles: restored }, Row { title: changed, tiles: residuals }]
    }

    /// The slice of the place, small: the scan, and the score where it is high.
    fn thumbnail(&self) -> Row {
        /// Scores below this share of the scale do not hide the scan.
        const SHOWN: f32 = 0.35;
        let slice = |data: &'_ Array3<f32>| data.index_axis(Axis(0), self.place[0]).to_owned();
        let [scan, score] =
            [slice(&self.found.prepared.volume.data), slice(&self.found.working_score)];
        let mut picture = tile(scan.view(), 1.0, grey);
        each_pixel(score.dim(), 1.0, |px, py, y, x| {
            let share = between(score.view(), y, x) / self.scale_end;
            if share >= SHOWN {
                picture.set(px, py, heat(share));
            }
        });
        let tiles = vec![(TileKind::Thumbnail, "small".to_owned(), picture)];
        Row { title: "for tables".to_owned(), tiles }
    }
}

/// Axis `(z, y, x)` through a plane, and where a voxel `(z, y, x)` lies on it.
fn through(plane: Plane, voxel: [usize; 3]) -> (usize, usize) {
    let axis = 2 - plane.axes()[2];
    (axis, voxel[axis])
}

/// Between grey and white matter of the template: the middle of the two brightest of three classes.
fn white_matter_level(template: ArrayView3<'_, f32>) -> f32 {
    let inside: Vec<f32> =
        template.iter().copied().filter(|&value| value > 0.0).step_by(7).collect();
    tissue_centres(&inside).map_or(f32::INFINITY, |[_, grey, white]| ((grey + white) / 2.0) as f32)
}

/// Centres of three classes of intensities, ascending; none where there are fewer values.
pub(crate) fn tissue_centres(values: &[f32]) -> Option<[f64; 3]> {
    let samples = ArrayView2::from_shape((values.len(), 1), values).ok()?;
    let config = KMeansConfig { classes: 3, ..KMeansConfig::default() };
    // One channel is solved exactly, without the key.
    let fit = config.fit(samples, disyre_core::Key::new(0)).ok()?;
    let centres: Vec<f64> = fit.codebook.centres().iter().copied().collect();
    centres.try_into().ok()
}

/// A plane, its first axis upwards, its second one to the left.
fn tile(plane: ArrayView2<'_, f32>, scale: f64, colour: impl Fn(f32) -> Rgb) -> Picture {
    let (rows, columns) = plane.dim();
    let pixels = |voxels: usize| (voxels as f64 * scale) as usize;
    let mut picture = Picture::new(pixels(columns), pixels(rows), BACKGROUND);
    each_pixel(plane.dim(), scale, |px, py, y, x| {
        picture.set(px, py, colour(between(plane, y, x)));
    });
    picture
}

/// Marks the pixels beside which a plane crosses a level.
fn contour(picture: &mut Picture, plane: ArrayView2<'_, f32>, level: f32, colour: Rgb) {
    let step = 1.0 / SCALE;
    let inside = |y: f64, x: f64| between(plane, y, x) >= level;
    each_pixel(plane.dim(), SCALE, |px, py, y, x| {
        let here = inside(y, x);
        if here
            && (!inside(y - step, x)
                || !inside(y + step, x)
                || !inside(y, x - step)
                || !inside(y, x + step))
        {
            picture.set(px, py, colour);
        }
    });
}

/// Calls `pixel` with each pixel and its place in a plane: the first axis runs up, the second one to the left.
fn each_pixel(
    (rows, columns): (usize, usize),
    scale: f64,
    mut pixel: impl FnMut(usize, usize, f64, f64),
) {
    let pixels = |voxels: usize| (voxels as f64 * scale) as usize;
    let at = |voxels: usize, pixel: usize| voxels as f64 - 0.5 - (pixel as f64 + 0.5) / scale;
    for py in 0..pixels(rows) {
        for px in 0..pixels(columns) {
            pixel(px, py, at(rows, py), at(columns, px));
        }
    }
}

/// Puts rows below each other, each under its title, with labels below the tiles.
fn draw_rows(rows: Vec<Row>) -> (Picture, Vec<Tile>) {
    let line = Font::Small.height();
    let height = |row: &Row| row.tiles.iter().map(|(.., tile)| tile.size().1).max().unwrap_or(0);
    let width = |row: &Row| {
        let tiles = row.tiles.iter().map(|(_, label, tile)| column_width(label, tile) + GAP);
        tiles.sum::<usize>().max(Font::Small.width(&row.title) + GAP)
    };
    let whole = rows.iter().map(|row| height(row) + 2 * line + 2 * GAP).sum::<usize>() + GAP;
    let widest = rows.iter().map(width).max().unwrap_or(0) + GAP;
    let mut picture = Picture::new(widest, whole, BACKGROUND);
    let (mut tiles, mut top) = (Vec::new(), GAP);
    for row in rows {
        picture.text(GAP, top, &row.title, Font::Small, INK);
        top += line + GAP / 2;
        let (mut left, row_height) = (GAP, height(&row));
        for (kind, label, tile) in row.tiles {
            picture.paste(left, top, &tile);
            picture.text(left, top + row_height, &label, Font::Small, INK);
            let (width, height) = tile.size();
            let place = Rectangle { left, top, width, height };
            left += column_width(&label, &tile) + GAP;
            tiles.push(Tile { kind, label, place });
        }
        top += row_height + line + 3 * GAP / 2;
    }
    (picture, tiles)
}

fn column_width(label: &str, tile: &Picture) -> usize {
    tile.size().0.max(Font::Small.width(label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array2;

    #[test]
    fn a_tile_has_the_first_axis_up_and_the_second_one_to_the_left() {
        let mut plane = Array2::zeros((30, 20));
        plane[[29, 19]] = 1.0;
        let picture = tile(plane.view(), SCALE, grey);
        assert_eq!(picture.size(), (40, 60));
        assert!(picture.get(0, 0)[0] > 100 && picture.get(39, 59) == [0; 3]);
    }

    #[test]
    fn a_contour_runs_around_what_reaches_the_level() {
        let mut plane = Array2::zeros((9, 9));
        plane[[4, 4]] = 1.0;
        let mut picture = Picture::new(18, 18, BACKGROUND);
        contour(&mut picture, plane.view(), 0.5, OUTLINE);
        let marked = |px: usize, py: usize| picture.get(px, py) == OUTLINE;
        let count =
            (0..18).flat_map(|y| (0..18).map(move |x| (x, y))).filter(|&(x, y)| marked(x, y));
        assert_eq!(count.count(), 4, "the four pixels of the voxel");
        assert!(marked(8, 8) && marked(9, 9) && !marked(7, 8));
    }

    #[test]
    fn tiles_lie_where_their_rectangles_say() {
        let red = Picture::new(30, 20, [255, 0, 0]);
        let rows = vec![
            Row {
                title: "one".to_owned(),
                tiles: vec![(TileKind::Severity, "a".to_owned(), red.clone())],
            },
            Row {
                title: "two".to_owned(),
                tiles: vec![
                    (TileKind::Thumbnail, "a long label".to_owned(), red.clone()),
                    (TileKind::Thumbnail, "b".to_owned(), red),
                ],
            },
        ];
        let (picture, tiles) = draw_rows(rows);
        let (width, height) = picture.size();
        for Tile { place, .. } in &tiles {
            assert!(place.left + place.width <= width && place.top + place.height <= height);
            for (x, y) in [(0, 0), (29, 19)] {
                assert_eq!(picture.get(place.left + x, place.top + y), [255, 0, 0]);
            }
            assert_ne!(picture.get(place.left - 1, place.top), [255, 0, 0]);
        }
        assert_eq!(tiles.len(), 3);
    }

    #[test]
    fn classes_of_too_few_values_have_no_centres() {
        assert_eq!(tissue_centres(&[1.0, 1.0, 2.0]), None);
        assert_eq!(tissue_centres(&[1.0, 2.0, 4.0]), Some([1.0, 2.0, 4.0]));
    }
}
