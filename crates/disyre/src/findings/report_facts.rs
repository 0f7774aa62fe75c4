//! [`Report`]: facts and pictures of a detection that its page shows and no other file holds.

use std::path::Path;

use disyre_core::Volume;
use disyre_core::ndarray::{Array3, ArrayView3};
use disyre_report::{Histogram, IntensityChart};
use disyre_volume::affine::{compose, invert, transform};
use disyre_volume::{Scan, nonzero_mask};
use serde::{Deserialize, Serialize};

use super::score_quantile;
use crate::check::of_header;
use crate::inside_brain::inside_brain;
use crate::overlay::{Picture, TileSource, draw_tiles, tissue_centres, write_picture};
pub(crate) use crate::overlay::{Tile, TileKind};
use crate::{Detection, Detector, Error, Marked, TemplateSpace};

/// Bins of a histogram of intensities.
const BINS: usize = 80;
/// Values that tissue classes are fitted to, at most.
const SAMPLES: usize = 20_000;

/// Facts that the page shows and nothing else holds; in the sidecar.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReportFacts {
    /// Doubts about header and geometry, in words.
    pub(crate) warnings: Vec<String>,
    /// Intensities inside the brain, in the units of the file.
    pub(crate) before: IntensityChart,
    /// The same after preparation, in `[0, 1]`.
    pub(crate) after: IntensityChart,
    /// Least and greatest value of the bias field in three planes through the middle of the brain, by their (geometric) mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bias_field: Option<[f64; 2]>,
    /// Rectangles of the picture beside the sidecar.
    pub(crate) tiles: Vec<Tile>,
}

impl ReportFacts {
    /// All but those of the pictures.
    fn of(scan: &Scan, brain: Option<ArrayView3<'_, u8>>, found: &Detection) -> Self {
        let voxels = scan.volume.data.view();
        let before = match brain {
            Some(brain) => inside_brain(voxels, brain),
            None => inside_brain(voxels, nonzero_mask(voxels).view()),
        };
        let prepared = &found.prepared;
        let after = inside_brain(prepared.volume.data.view(), prepared.mask.view());
        Self {
            warnings: warnings(scan, found),
            before: chart(&before, None),
            after: chart(&after, Some((0.0, 1.0))),
            bias_field: None,
            tiles: Vec::new(),
        }
    }
}

/// Facts and pictures of a detection.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) facts: ReportFacts,
    picture: Picture,
}

impl Report {
    /// Collects them; restores one slice at each severity.
    ///
    /// # Errors
    /// Those of the restorer and of resampling.
    pub(crate) fn of(
        detector: &Detector<'_>,
        (scan, brain): (&Scan, Option<ArrayView3<'_, u8>>),
        (found, marked): (&Detection, Option<&Marked>),
    ) -> Result<Self, Error> {
        let place = place_of(found, &scan.volume, marked);
        let restored = detector.restore_slice(&found.prepared, place[0])?;
        let space = found.registration.as_ref().map(|_| TemplateSpace::mni152()).transpose()?;
        let drawn = draw_tiles(&TileSource {
            found,
            scan: &scan.volume.grid,
            space: space.as_ref(),
            place,
            restored: &restored,
            scale_end: score_quantile(found.working_score.view(), found.prepared.mask.view()),
        })?;
        let facts = ReportFacts {
            bias_field: drawn.bias_field,
            tiles: drawn.tiles,
            ..ReportFacts::of(scan, brain, found)
        };
        Ok(Self { facts, picture: drawn.picture })
    }

    /// Writes the pictures.
    ///
    /// # Errors
    /// [`Error::Picture`] and [`Error::Io`].
    pub(crate) fn save(&self, path: &Path) -> Result<(), Error> {
        write_picture(path, &self.picture)
    }
}

/// Voxel `(z, y, x)` of the working grid with the highest score of the largest finding, or of all.
fn place_of(found: &Detection, scan: &Volume, marked: Option<&Marked>) -> [usize; 3] {
    let working = &found.prepared.volume.grid;
    let first = marked.and_then(|marked| marked.findings.first());
    let back = invert(&working.affine);
    if let (Some(finding), Some(back)) = (first, back) {
        let to_working = compose(&back, &scan.grid.affine);
        let [x, y, z] = transform(&to_working, finding.peak_voxel.map(|index| index as f64));
        let inside =
            |at: f64, axis: usize| (at.round().max(0.0) as usize).min(working.shape[axis] - 1);
        return [inside(z, 0), inside(y, 1), inside(x, 2)];
    }
    highest(&found.working_score)
}

/// First voxel `(z, y, x)` with the greatest value.
pub(crate) fn highest(map: &Array3<f32>) -> [usize; 3] {
    let mut best = ([0; 3], f32::NEG_INFINITY);
    for ((z, y, x), &value) in map.indexed_iter() {
        if value > best.1 {
            best = ([z, y, x], value);
        }
    }
    best.0
}

/// Doubts about header and geometry, in words.
fn warnings(scan: &Scan, found: &Detection) -> Vec<String> {
    let doubts = of_header(scan.header()).into_iter().map(|doubt| match doubt.fix.as_str() {
        "" => doubt.problem,
        fix => format!("{} – what to do: {fix}", doubt.problem),
    });
    let oblique = found.prepared.oblique.map(|oblique| oblique.to_string());
    doubts.chain(oblique).map(|text| text.replacen("its ", "The scan: its ", 1)).collect()
}

/// Histogram and tissue centres of intensities; without a range, up to the quantile 0.999.
fn chart(values: &[f32], range: Option<(f64, f64)>) -> IntensityChart {
    let mut sorted: Vec<f32> = values.iter().copied().step_by(values.len() / SAMPLES + 1).collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let end = sorted.len().saturating_sub(1) * 999 / 1000;
    let quantile = |index: usize| sorted.get(index).map_or(0.0, |&value| f64::from(value));
    let range = range.unwrap_or((quantile(0).min(0.0), quantile(end)));
    let histogram = Histogram::of(values.iter().map(|&value| f64::from(value)), range, BINS);
    let centres = tissue_centres(&sorted).map_or_else(Vec::new, |centres| centres.to_vec());
    IntensityChart { histogram, centres }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::array;

    #[test]
    fn the_highest_place_is_the_first_of_equal_ones() {
        assert_eq!(highest(&array![[[0.0, 3.0], [3.0, 1.0]]]), [0, 0, 1]);
    }

    #[test]
    fn a_chart_ends_before_its_outliers() {
        let mut values: Vec<f32> = (0..5000).map(|index| (index % 3 + 1) as f32 * 10.0).collect();
        values[0] = 1e6;
        let chart = chart(&values, None);
        assert_eq!((chart.histogram.low, chart.histogram.high), (0.0, 30.0));
        assert_eq!(chart.histogram.total(), 5000);
        assert_eq!(chart.centres.len(), 3);
    }
}
