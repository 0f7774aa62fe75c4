//! The result of one scan and its files: maps, pictures, sidecar and page. [`Model::detect`](crate::Model::detect) makes it.

mod detection_files;
mod record;
#[cfg(feature = "pictures")]
mod report_facts;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use disyre_core::ndarray::ArrayView3;
use disyre_volume::{ScanHeader, resample_mask};

pub use detection_files::DetectionFiles;
pub(crate) use record::Record;
#[cfg(feature = "pictures")]
pub(crate) use report_facts::{Report, ReportFacts, Tile, TileKind, highest};

use crate::write_files::{Staged, write_bytes, write_json};
use crate::{Detection, Error, Marked};

/// Findings of a model in one scan: the maps, and what their files say of scan and model.
///
/// ```
#[doc = include_str!("../model/doctest_model.txt")]
/// let found = disyre::Model::load("model")?.detect(&disyre::Scan::read("sub-01_T1w.nii.gz")?)?;
/// let saved = found.save("out")?;
/// assert!(saved.files.paths().all(|file| file.is_file()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Findings {
    /// Anomaly score and restoration.
    pub detection: Detection,
    /// Mask and table of findings at an operating point, and the alarm of the scan; `None` where the score is not calibrated
    /// or has no thresholds.
    pub marked: Option<Marked>,
    scan: ScanHeader,
    record: Record,
    /// From the beginning of the work on the scan to the end of detection.
    spent: Duration,
    /// Whether the sidecar holds nothing of this run: neither how long the work took nor the folder of the files.
    portable: bool,
    /// Facts and pictures for the page.
    #[cfg(feature = "pictures")]
    report: Option<Report>,
}

/// Additions to the files of [`Findings::save_with`].
#[derive(Debug, Clone, Copy, Default)]
pub struct SaveOptions<'a> {
    /// The lesion on the grid of the scan, non-zero inside: outlined in the picture.
    pub lesion: Option<ArrayView3<'a, u8>>,
    /// True if a page will be made (`ScanPages`): the sidecar then lists it.
    pub page: bool,
}

/// Files of findings that were saved, and two facts of their sidecar.
#[derive(Debug, Clone, PartialEq)]
pub struct Saved {
    /// The files.
    pub files: DetectionFiles,
    /// Quantile 0.999 of the score inside the brain, where the colours of the picture end.
    pub score_q999: f32,
    /// Wall-clock time for this scan in seconds.
    pub seconds: f64,
}

impl Findings {
    pub(crate) fn new(
        (detection, marked): (Detection, Option<Marked>),
        scan: ScanHeader,
        record: Record,
        spent: Duration,
    ) -> Self {
        Self {
            detection,
            marked,
            scan,
            record,
            spent,
            portable: false,
            #[cfg(feature = "pictures")]
            report: None,
        }
    }

    /// The same with facts and pictures for the page, if they could be made.
    #[cfg(feature = "pictures")]
    pub(crate) fn with_report(self, report: Option<Report>) -> Self {
        Self { report, ..self }
    }

    /// File of the scan.
    pub fn scan_path(&self) -> &Path {
        self.scan.path()
    }

    /// The same with a sidecar that says neither how long the work took nor in which folder the files are, which lie beside
    /// it: equal scans, settings and models leave equal bytes.
    #[must_use]
    pub fn portable(self) -> Self {
        Self { portable: true, ..self }
    }

    /// Whether the scan was a head whose brain had to be extracted.
    pub fn brain_was_extracted(&self) -> bool {
        self.record.brain_extracted
    }

    /// Writes the maps, the pictures and the sidecar into a folder, which is made if it is not there.
    ///
    /// # Errors
    /// As [`save_with`](Self::save_with).
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<Saved, Error> {
        self.save_with(folder, SaveOptions::default())
    }

    /// Writes [`DetectionFiles`], replacing those of the same names once all are whole: if one can't be written, earlier ones
    /// stay as they were. The sidecar comes last: where it is, all is. A page of an earlier run is removed.
    ///
    /// # Errors
    /// [`Error::Volume`], [`Error::Io`] and [`Error::Picture`] naming the file; [`Error::Volume`] for a lesion of
    /// another shape.
    pub fn save_with(
        &self,
        folder: impl AsRef<Path>,
        options: SaveOptions<'_>,
    ) -> Result<Saved, Error> {
        let started = Instant::now();
        let folder = folder.as_ref();
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let all = DetectionFiles::all(self.scan.path(), folder);
        let files = self.files(&all, options.page);
        let mut staged = Staged::default();
        self.save_maps(&files, &mut staged)?;
        let Detection { working_score, prepared, .. } = &self.detection;
        let score_q999 = score_quantile(working_score.view(), prepared.mask.view());
        self.draw(staged.at_if(&files.overlay)?.as_deref(), options.lesion, score_q999)?;
        let seconds = (self.spent + started.elapsed()).as_secs_f64();
        let named = match self.portable {
            true => {
                &self.files(&DetectionFiles::all(self.scan.path(), Path::new("")), options.page)
            }
            false => &files,
        };
        let sidecar = self.record.sidecar(
            &self.scan,
            (&self.detection, self.marked.as_ref()),
            named,
            score_q999,
            (!self.portable).then_some(seconds),
        );
        #[cfg(feature = "pictures")]
        let sidecar = self.with_pictures(sidecar, &files, &mut staged)?;
        write_json(&staged.at(&files.sidecar)?, &sidecar)?;
        // Maps and pages of an earlier run must not stand beside others.
        let made = DetectionFiles { page: None, ..files.clone() };
        let outdated = all.paths().filter(|path| made.paths().all(|kept| kept != *path));
        let outdated: Vec<PathBuf> = outdated.map(Path::to_owned).collect();
        staged.commit(&outdated)?;
        Ok(Saved { files, score_q999, seconds })
    }

    /// The sidecar with what the page shows; the pictures are written.
    #[cfg(feature = "pictures")]
    fn with_pictures<'a>(
        &'a self,
        sidecar: record::Sidecar<'a>,
        files: &DetectionFiles,
        staged: &mut Staged,
    ) -> Result<record::Sidecar<'a>, Error> {
        if let (Some(report), Some(path)) = (&self.report, staged.at_if(&files.preparation)?) {
            report.save(&path)?;
        }
        Ok(sidecar.with_report(self.report.as_ref().map(|report| &report.facts)))
    }

    /// Those of all files that these findings have.
    fn files(&self, all: &DetectionFiles, page: bool) -> DetectionFiles {
        let Detection { signed, uncertainty, .. } = &self.detection;
        let mut files = all.clone();
        files.signed = files.signed.filter(|_| signed.is_some());
        files.uncertainty = files.uncertainty.filter(|_| uncertainty.is_some());
        files.mask = files.mask.filter(|_| self.marked.is_some());
        files.table = files.table.filter(|_| self.marked.is_some());
        files.page = files.page.filter(|_| page);
        #[cfg(feature = "pictures")]
        {
            files.preparation = files.preparation.filter(|_| self.report.is_some());
        }
        files
    }

    /// Writes all maps, and the table of the findings.
    fn save_maps(&self, files: &DetectionFiles, staged: &mut Staged) -> Result<(), Error> {
        let Detection { score, restored, signed, uncertainty, .. } = &self.detection;
        self.scan.write_map(&staged.at(&files.score)?, score.view())?;
        self.scan.write_map(&staged.at(&files.restored)?, restored.view())?;
        for (path, map) in [(&files.signed, signed), (&files.uncertainty, uncertainty)] {
            if let (Some(path), Some(map)) = (staged.at_if(path)?, map) {
                self.scan.write_map(&path, map.view())?;
            }
        }
        let Some(marked) = &self.marked else { return Ok(()) };
        if let Some(path) = staged.at_if(&files.mask)? {
            self.scan.write_mask(&path, marked.mask.view())?;
        }
        if let Some(path) = staged.at_if(&files.table)? {
            write_bytes(&path, marked.table().as_bytes())?;
        }
        Ok(())
    }

    #[cfg(feature = "pictures")]
    fn draw(
        &self,
        path: Option<&Path>,
        lesion: Option<ArrayView3<'_, u8>>,
        scale_end: f32,
    ) -> Result<(), Error> {
        let Some(path) = path else { return Ok(()) };
        let working = &self.detection.prepared.volume.grid;
        let lesion = lesion.map(|lesion| resample_mask(lesion, self.scan.grid(), working));
        let lesion = lesion.transpose()?;
        let title = disyre_volume::ScanName::of(self.scan.path()).to_string();
        let lesion = lesion.as_ref().map(|mask| mask.view());
        crate::overlay::write_overlay(path, &title, &self.detection, lesion, scale_end)
    }

    /// Without the feature `pictures` a lesion is still checked.
    #[cfg(not(feature = "pictures"))]
    fn draw(
        &self,
        _: Option<&Path>,
        lesion: Option<ArrayView3<'_, u8>>,
        _: f32,
    ) -> Result<(), Error> {
        let working = &self.detection.prepared.volume.grid;
        lesion.map(|lesion| resample_mask(lesion, self.scan.grid(), working)).transpose()?;
        Ok(())
    }
}

/// Quantile 0.999 of the score inside the brain, on the working grid; above 0 even where all scores are 0.
fn score_quantile(score: ArrayView3<'_, f32>, brain: ArrayView3<'_, u8>) -> f32 {
    let inside = score.iter().zip(brain).filter(|(_, inside)| **inside != 0);
    let mut scores: Vec<f32> = inside.map(|(&score, _)| score).collect();
    let Some(last) = scores.len().checked_sub(1) else { return f32::MIN_POSITIVE };
    let (_, &mut quantile, _) = scores.select_nth_unstable_by(last * 999 / 1000, f32::total_cmp);
    quantile.max(f32::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::Array3;

    #[test]
    fn the_quantile_is_that_of_the_brain() {
        let shape = [1, 10, 200];
        let mut brain = Array3::ones(shape);
        let mut score = Array3::from_shape_fn(shape, |(_, y, x)| (y * 200 + x) as f32);
        score[[0, 0, 0]] = 1e6;
        brain[[0, 0, 0]] = 0u8;
        // 1999 scores 1 … 1999; the place is 1998 · 0.999, rounded down.
        assert_eq!(score_quantile(score.view(), brain.view()), 1997.0);
        brain.fill(0);
        assert_eq!(score_quantile(score.view(), brain.view()), f32::MIN_POSITIVE);
    }
}
