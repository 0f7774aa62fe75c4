//! Pages for a reader, made of the files of a detection and its scan: [`ScanPages`].
//!
//! `sidecar` reads what the detection recorded, `maps` brings the maps to the grid of a page, `facts` says in words how they
//! were made, and `cohort` has the table of a folder. Nothing else of a detection is needed, so a page can be made again.

mod cohort;
mod facts;
mod maps;
mod scan_place;
mod sidecar;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use disyre_report::{
    Alarm, Brightness, FindingRow, Marking, PngImage, ReportError, ScanPage, ThresholdBasis,
};
use disyre_volume::{ScanHeader, ScanName, sha256_of_file};

pub use cohort::CohortCase;

use crate::write_files::write_bytes;
use crate::{Error, Finding, MaskThreshold, Polarity, Side};
use maps::PageMaps;
use sidecar::SidecarFile;

/// Greatest size of a page in bytes.
const MOST_BYTES: usize = 3_000_000;
/// Numbers of voxels of a page, from the one that is tried first: fewer where a page would be too large.
const VOXELS: [usize; 5] = [450_000, 300_000, 200_000, 120_000, 60_000];
/// File of the table of a cohort.
const INDEX: &str = "index.html";

/// Pages of the detections in a folder.
///
/// A page is a function of the files in the folder and of the scan: made twice, it has the same bytes.
///
/// ```
#[doc = include_str!("../model/doctest_model.txt")]
/// use disyre::{Model, Scan, ScanPages};
///
/// Model::load("model")?.detect(&Scan::read("sub-01_T1w.nii.gz")?)?.save("out")?;
/// let pages = ScanPages::beside("out");
/// let page = pages.write(&pages.sidecars()?[0])?;
/// assert_eq!(page, std::path::Path::new("out/sub-01_T1w_page.html"));
/// assert!(std::fs::metadata(page)?.len() < 3_000_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ScanPages {
    folder: PathBuf,
    scans: Option<PathBuf>,
}

impl ScanPages {
    /// Pages in the folder of the detections.
    pub fn beside(folder: impl AsRef<Path>) -> Self {
        Self { folder: folder.as_ref().to_owned(), scans: None }
    }

    /// The same, where the scans lie in another folder than the sidecars say.
    #[must_use]
    pub fn with_scans(self, scans: Option<PathBuf>) -> Self {
        Self { scans, ..self }
    }

    /// Sidecars of the detections, sorted.
    ///
    /// # Errors
    /// [`Error::Io`] for a folder that can't be listed.
    pub fn sidecars(&self) -> Result<Vec<PathBuf>, Error> {
        let entries = fs::read_dir(&self.folder).map_err(Error::io("list", &self.folder))?;
        let mut sidecars = Vec::new();
        for entry in entries {
            let path = entry.map_err(Error::io("list", &self.folder))?.path();
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            let map = name.strip_suffix(".json").map(|name| ScanName::of(Path::new(name)));
            if map.is_some_and(|map| map.is_output_of("anomalyscore")) {
                sidecars.push(path);
            }
        }
        sidecars.sort();
        Ok(sidecars)
    }

    /// Makes the page of a detection and returns its file.
    ///
    /// # Errors
    /// [`Error::Sidecar`], [`Error::ScanMoved`], [`Error::ScanChanged`], [`Error::OtherScan`], [`Error::Page`], and those of
    /// reading the files and of writing the page.
    pub fn write(&self, sidecar: &Path) -> Result<PathBuf, Error> {
        let facts = SidecarFile::read(sidecar)?;
        let scan = scan_place::find(&facts.source, self.scans.as_deref()).ok_or_else(|| {
            let (sidecar, scan, scans) =
                (sidecar.to_owned(), facts.source.clone(), self.scans.clone());
            Error::ScanMoved { sidecar, scan, scans }
        })?;
        self.write_by(sidecar, &facts, &scan)
    }

    /// Makes the page of a detection whose scan is here, wherever the sidecar says that it is.
    ///
    /// # Errors
    /// Those of [`write`](Self::write).
    pub fn write_of(&self, sidecar: &Path, scan: &Path) -> Result<PathBuf, Error> {
        self.write_by(sidecar, &SidecarFile::read(sidecar)?, scan)
    }

    /// Makes the table of all detections in the folder and of the cases that failed, and returns its file.
    ///
    /// # Errors
    /// Those of [`sidecars`](Self::sidecars) and of writing; a sidecar that can't be read is a failed case.
    pub fn write_index(&self, failed: &[CohortCase]) -> Result<PathBuf, Error> {
        let path = self.folder.join(INDEX);
        let page = cohort::page(&self.folder, &self.sidecars()?, failed);
        let html = page.render().map_err(failed_page(&path))?;
        write_bytes(&path, html.as_bytes())?;
        Ok(path)
    }

    fn write_by(&self, sidecar: &Path, facts: &SidecarFile, scan: &Path) -> Result<PathBuf, Error> {
        ensure_same_file(sidecar, facts, scan)?;
        let path = self.folder.join(page_file(&facts.name()));
        let header = ScanHeader::read(scan)?;
        let mut html = String::new();
        for voxels in VOXELS {
            let maps = PageMaps::read(facts, &self.folder, scan, voxels)?;
            html = self.page(facts, &header, maps, &path)?.render().map_err(failed_page(&path))?;
            if html.len() < MOST_BYTES {
                break;
            }
        }
        if html.len() >= MOST_BYTES {
            let [size, most] = [html.len(), MOST_BYTES].map(|bytes| bytes as f64 / 1e6);
            log::warn!("{}: the page has {size:.1} MB, more than {most:.0} MB", path.display());
        }
        write_bytes(&path, html.as_bytes())?;
        Ok(path)
    }

    fn page(
        &self,
        facts: &SidecarFile,
        scan: &ScanHeader,
        maps: PageMaps,
        path: &Path,
    ) -> Result<ScanPage, Error> {
        let name = facts.name();
        let found = facts.marked.as_ref().map_or(&[][..], |marked| &marked.findings);
        Ok(ScanPage {
            cohort: self.has_records().then(|| INDEX.to_owned()),
            place: maps.place(),
            score: facts::score_text(facts.score),
            marking: facts.marked.as_ref().map(marking),
            findings: found.iter().map(|finding| finding_row(finding, &maps)).collect(),
            doubts: facts::doubts(facts),
            checked: facts::checked(facts),
            overview: self.overview(facts).map_err(failed_page(path))?,
            groups: facts::picture_groups(facts, &self.folder).map_err(failed_page(path))?,
            intensities: facts
                .report
                .as_ref()
                .map(|report| [report.before.clone(), report.after.clone()]),
            facts: facts::groups(facts, scan),
            settings: facts.settings_text(),
            files: facts.outputs.listed(),
            ..ScanPage::new(&name, maps.grid, maps.layers)
        })
    }

    /// Whether the folder holds the record of a cohort, which then has a table.
    fn has_records(&self) -> bool {
        let is_record = |name: &str| name.starts_with("manifest") && name.ends_with(".jsonl");
        let names = fs::read_dir(&self.folder).into_iter().flatten().filter_map(Result::ok);
        names.map(|entry| entry.file_name()).any(|name| name.to_str().is_some_and(is_record))
    }

    /// The picture of axial slices, of half its size.
    fn overview(&self, facts: &SidecarFile) -> Result<Option<PngImage>, ReportError> {
        let picture = facts.outputs.overlay.as_deref();
        let Some(bytes) = picture.and_then(|file| sidecar::read_beside(&self.folder, file)) else {
            return Ok(None);
        };
        Ok(Some(disyre_report::Pixels::decode(&bytes)?.halved().encode()?))
    }
}

/// Refuses another file than the one that a detection was made of, be it of the same grid.
fn ensure_same_file(sidecar: &Path, facts: &SidecarFile, scan: &Path) -> Result<(), Error> {
    let Some(expected) = &facts.source_sha256 else { return Ok(()) };
    let got = sha256_of_file(scan)?;
    if got == *expected {
        return Ok(());
    }
    let (scan, sidecar) = (scan.to_owned(), sidecar.to_owned());
    Err(Error::ScanChanged { scan, sidecar, expected: expected.clone(), got })
}

fn finding_row(finding: &Finding, maps: &PageMaps) -> FindingRow {
    FindingRow {
        number: finding.finding,
        volume_mm3: finding.volume_mm3,
        peak: f64::from(finding.peak),
        mean: finding.mean,
        brightness: match finding.polarity {
            Polarity::Hyper => Brightness::Brighter,
            Polarity::Hypo => Brightness::Darker,
            Polarity::Neither => Brightness::Neither,
        },
        side: side_word(finding.side).to_owned(),
        centre_mni_mm: finding.centre_mni_mm,
        peak_mni_mm: finding.peak_mni_mm,
        file_voxel: finding.peak_voxel,
        voxel: maps.voxel_of(finding.peak_voxel),
    }
}

fn side_word(side: Side) -> &'static str {
    match side {
        Side::Left => "left",
        Side::Midline => "midline",
        Side::Right => "right",
    }
}

fn marking(marked: &sidecar::MarkedFacts) -> Marking {
    let basis = match marked.operating_point {
        MaskThreshold::Healthy => ThresholdBasis::Healthy(marked.false_rates),
        MaskThreshold::Lesions => ThresholdBasis::Synthetic,
    };
    let crate::ScanAlarm { score, p_value, healthy_scans } = marked.alarm;
    Marking {
        threshold: marked.threshold,
        basis,
        least_volume_mm3: marked.least_volume_mm3,
        peak_share: marked.peak_share,
        alarm: Alarm { score, p_value, healthy_scans },
    }
}

/// File of the page of a scan of this name.
fn page_file(name: &str) -> String {
    format!("{name}_page.html")
}

/// For `map_err` on pages.
fn failed_page(path: &Path) -> impl FnOnce(ReportError) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Page { path, source }
}
