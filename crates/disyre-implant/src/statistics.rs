//! The table of real lesions: measured from cases, stored, read.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use disyre_core::{Volume, write_whole};
use disyre_n4::N4Config;
use disyre_register::{RegisterConfig, Template};
use disyre_volume::{HashedFile, Image, ImageOptions, nonzero_mask, read_mask, sha256_of_bytes};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ImplantError;
use crate::brain::Brain;
use crate::measure::{LesionMeasurement, LesionScan, mirrored};

/// Settings of the measurement of real lesions; all numbers are ours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MeasureConfig {
    /// Least volume of a lesion in millilitres, > 0; .03.
    pub least_ml: f64,
    /// Bias field correction, estimated outside of the lesions; `shrink` counts steps of 1 mm. One level of 5 control
    /// points, so that large lesions keep their contrast (docs/REPRODUCING.md).
    pub n4: N4Config,
}

impl Default for MeasureConfig {
    fn default() -> Self {
        let n4 = N4Config {
            control_points: [5; 3],
            iterations: vec![200],
            convergence: 1e-5,
            ..N4Config::default()
        };
        Self { least_ml: 0.03, n4 }
    }
}

/// A table of real lesions: how bright they are beside the tissue around them, and how that varies inside.
///
/// ```
/// use disyre_implant::LesionStatistics;
///
/// let table = LesionStatistics::stored()?; // measured on nine native-T1 cases
/// let gliomas = table.lesions.iter().filter(|lesion| lesion.pathology.contains("glioma"));
/// let dark = gliomas.filter(|lesion| lesion.volume_ml > 5.0 && lesion.quantiles[10] < 0.0);
/// assert!(dark.count() >= 5);
/// # Ok::<(), disyre_implant::ImplantError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LesionStatistics {
    /// Version of disyre that measured.
    pub version: String,
    /// Command that measures it again.
    pub command: String,
    /// Settings.
    pub measure: MeasureConfig,
    /// The cases, sorted by name.
    pub cases: Vec<MeasuredCase>,
    /// One row for each lesion, in the order of the cases.
    pub lesions: Vec<LesionMeasurement>,
}

/// A case of [`LesionStatistics`] and the files that it was measured from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasuredCase {
    /// Name of its folder.
    pub case: String,
    /// Pathology, by the list of cases; `unknown` without one.
    pub pathology: String,
    /// Scan, lesion mask and brain mask.
    pub files: Vec<HashedFile>,
}

impl LesionStatistics {
    /// Measures the lesions of a folder of T1-weighted cases, in parallel.
    ///
    /// Each case is a folder `CASE` with `CASE_t1`, `CASE_mask` and `CASE_brain`; others are left out. Pathologies come
    /// from `cases.csv` (columns `case`, `pathology`) in the folder or above it.
    ///
    /// # Errors
    /// [`ImplantError::NoCases`]; [`ImplantError::NoRatios`]; those of reading, of bias correction and of registration.
    pub fn measure(folder: &Path, config: &MeasureConfig) -> Result<Self, ImplantError> {
        let pathologies = pathologies(folder)?;
        let cases = cases(folder)?;
        let template = Template::mni152()?;
        let measure = |case: &CaseFiles| {
            let pathology = pathologies.iter().find(|(name, _)| *name == case.name);
            let pathology = pathology.map_or("unknown", |(_, pathology)| pathology);
            case.measure(pathology, config, &template)
        };
        let measured: Vec<_> = cases.par_iter().map(measure).collect::<Result<_, _>>()?;
        let (cases, lesions): (Vec<_>, Vec<_>) = measured.into_iter().unzip();
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: "disyre implant --lesions CASES -o OUT".to_owned(),
            measure: config.clone(),
            cases,
            lesions: lesions.into_iter().flatten().collect(),
        })
    }

    /// The table of this crate, of nine cases with a T1-weighted scan without contrast agent: five gliomas of BraTS 2018,
    /// one of BraTS 2023, one low-grade glioma of TCGA, two cases of multiple sclerosis.
    ///
    /// # Errors
    /// None: the file is part of the program.
    pub fn stored() -> Result<Self, ImplantError> {
        Self::parse(Path::new("statistics/t1.json"), include_str!("../statistics/t1.json"))
    }

    /// Reads a table.
    ///
    /// # Errors
    /// [`ImplantError::File`] and [`ImplantError::Json`], naming the file.
    pub fn load(path: &Path) -> Result<Self, ImplantError> {
        let text = fs::read_to_string(path).map_err(ImplantError::file("read", path))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, ImplantError> {
        serde_json::from_str(text).map_err(|source| ImplantError::Json {
            path: path.to_owned(),
            expected: "a table of lesions that `disyre implant --lesions FOLDER` wrote",
            source,
        })
    }

    /// SHA-256 of the table as JSON without line breaks.
    ///
    /// # Errors
    /// [`ImplantError::Json`] for a table that JSON cannot hold.
    pub fn sha256(&self) -> Result<String, ImplantError> {
        let json = serde_json::to_vec(self).map_err(|source| ImplantError::Json {
            path: "the table of lesions".into(),
            expected: "what JSON can hold",
            source,
        })?;
        Ok(sha256_of_bytes(&json))
    }

    /// Writes the table as JSON, one lesion a line.
    ///
    /// # Errors
    /// [`ImplantError::File`] naming the file.
    pub fn save(&self, path: &Path) -> Result<(), ImplantError> {
        let json = |source| ImplantError::Json {
            path: path.to_owned(),
            expected: "what JSON can hold",
            source,
        };
        let head = Self { lesions: Vec::new(), ..self.clone() };
        let head = serde_json::to_string_pretty(&head).map_err(json)?;
        let rows = self.lesions.iter().map(serde_json::to_string);
        let rows = rows.collect::<Result<Vec<_>, _>>().map_err(json)?.join(",\n    ");
        let text = head.replace("\"lesions\": []", &format!("\"lesions\": [\n    {rows}\n  ]"));
        write_whole(path, |file| writeln!(file, "{text}"))
            .map_err(ImplantError::file("write", path))
    }
}

/// The files of a case.
struct CaseFiles {
    name: String,
    scan: PathBuf,
    lesion: PathBuf,
    brain: PathBuf,
}

impl CaseFiles {
    fn measure(
        &self,
        pathology: &str,
        config: &MeasureConfig,
        template: &Template,
    ) -> Result<(MeasuredCase, Vec<LesionMeasurement>), ImplantError> {
        let options = ImageOptions { mask: Some(&self.brain), ..ImageOptions::default() };
        let Image { scan, mask, .. } = Image::read(&self.scan, &options)?;
        let lesion = read_mask(&self.lesion, &scan)?;
        let mask = mask.unwrap_or_else(|| nonzero_mask(scan.volume.data.view()));
        let lesions =
            measure_scan(&self.name, pathology, &scan.volume, &mask, &lesion, config, template)?;
        let files = [&self.scan, &self.lesion, &self.brain].map(|path| HashedFile::of(path));
        let files = files.into_iter().collect::<Result<_, _>>()?;
        let case = self.name.clone();
        Ok((MeasuredCase { case, pathology: pathology.to_owned(), files }, lesions))
    }
}

/// Measures the lesions of one scan.
pub(crate) fn measure_scan(
    case: &str,
    pathology: &str,
    volume: &Volume,
    mask: &disyre_core::ndarray::Array3<u8>,
    lesion: &disyre_core::ndarray::Array3<u8>,
    config: &MeasureConfig,
    template: &Template,
) -> Result<Vec<LesionMeasurement>, ImplantError> {
    let brain = Brain::new(case, volume, mask.clone(), Some(lesion.view()), &config.n4)?;
    if !brain.levels.have_ratios() {
        return Err(ImplantError::NoRatios { name: case.to_owned() });
    }
    let registrar = RegisterConfig::default().build()?;
    let registration =
        registrar.register_excluding(template, volume, Some(mask.view()), lesion.view())?;
    let mirrored = mirrored(&brain, &volume.grid, lesion.view(), &registration.scan_from_template)?;
    let scan =
        LesionScan { case, pathology, brain: &brain, lesion: lesion.view(), mirrored: &mirrored };
    Ok(scan.measure(config.least_ml))
}

/// The folders of a folder that hold a case, sorted by name.
fn cases(folder: &Path) -> Result<Vec<CaseFiles>, ImplantError> {
    let entries = fs::read_dir(folder).map_err(ImplantError::file("read", folder))?;
    let mut cases = Vec::new();
    for entry in entries {
        let path = entry.map_err(ImplantError::file("read", folder))?.path();
        let name = disyre_volume::path_text(path.file_name().unwrap_or_default().as_ref());
        let file = |end: &str| {
            let forms = [".nii.gz", ".nii"].map(|form| path.join(format!("{name}_{end}{form}")));
            forms.into_iter().find(|file| file.is_file())
        };
        if let (Some(scan), Some(lesion), Some(brain)) = (file("t1"), file("mask"), file("brain")) {
            cases.push(CaseFiles { name, scan, lesion, brain });
        }
    }
    if cases.is_empty() {
        return Err(ImplantError::NoCases { folder: folder.to_owned() });
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// Name and pathology of the cases that are listed.
fn pathologies(folder: &Path) -> Result<Vec<(String, String)>, ImplantError> {
    #[derive(Deserialize)]
    struct Row {
        case: String,
        pathology: String,
    }
    let lists = [folder.join("cases.csv"), folder.join("../cases.csv")];
    let Some(path) = lists.into_iter().find(|path| path.is_file()) else { return Ok(Vec::new()) };
    let wrong = |source| ImplantError::CaseList { path: path.clone(), source };
    let mut reader = csv::Reader::from_path(&path).map_err(wrong)?;
    let rows = reader.deserialize().map(|row| row.map(|row: Row| (row.case, row.pathology)));
    rows.collect::<Result<_, _>>().map_err(wrong)
}
