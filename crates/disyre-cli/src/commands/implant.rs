//! `disyre implant`: healthy scans with real lesion shapes, and the table of real lesions.

use std::path::{Path, PathBuf};

use clap::Args;
use disyre::core::{Key, StagedFiles};
use disyre::implant::{
    Host, ImplantConfig, Implanted, Implanter, LesionStatistics, MeasureConfig, Recipe,
    ShapeLibrary,
};
use disyre::volume::{Scan, ScanName, find_scans, nonzero_mask, write_mask, write_scan};
use rayon::prelude::*;
use serde::Serialize;

use super::atlas::healthy_scans;
use crate::arguments::ThreadArguments;
use crate::error::CliError;
use crate::map_pairs::{MapPair, write_pairs};
use crate::output_files::{
    commit, create_folder, ensure_distinct, ensure_writable, stage, write_json, write_whole,
};

const OUTPUTS: &str = "\
In the output folder, for case number 1 of the healthy scan NAME_T1w (files of that name are replaced):
  scans/NAME_implant-1_T1w.nii.gz                  the scan with lesions: grid, header, voxel type and unit of the healthy one
  labels/NAME_implant-1_lesion.nii.gz              1 where a lesion changes the tissue by at least half of its full effect
  brains/NAME_implant-1_desc-brain_mask.nii.gz     where the scan is not 0
  recipes/NAME_implant-1_T1w.json                  files by SHA-256, key, all numbers drawn, what they gave; written last
and of all cases
  cases.csv         kind, number and volume of the lesions, change of intensity
  pairs.csv         for `disyre evaluate --pairs`, after `disyre detect -i OUT/scans -o OUT/maps`
  statistics.json   the table of real lesions that intensities were drawn from: --lesions takes it
Healthy scans whose registration to MNI space is doubtful are left out and named. Without --healthy only the table is made.";

/// Rows of the cases of one host, or why one was not made.
type HostRows = Vec<Result<CaseRow, CliError>>;

/// The cases of one host.
struct HostCases {
    host: PathBuf,
    count: usize,
    made: Result<HostRows, CliError>,
}

/// Arguments of `disyre implant`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Implant {
    /// Healthy scans, T1-weighted and skull-stripped, or folders of them
    #[arg(long, value_name = "FILE|DIR", num_args = 1.., required_unless_present = "lesions", requires = "shapes")]
    healthy: Vec<PathBuf>,
    /// Real lesion cases to measure, CASE/CASE_{t1,mask,brain}.nii.gz, or a table that was measured [default: the table
    /// of the program, of nine cases]
    #[arg(long, value_name = "DIR|FILE")]
    lesions: Option<PathBuf>,
    /// Folder of binary lesion masks in MNI space; those in folders or files named `acute` or `chronic` are taken for such
    #[arg(long, value_name = "DIR", required_unless_present = "lesions", requires = "healthy")]
    shapes: Option<PathBuf>,
    /// Output folder; made if it is not there
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Root of all random draws
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Number of cases; they go round the healthy scans [default: one of each]
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Make the case of a recipe again, byte by byte, from the healthy scan and the shapes that it was made from
    #[arg(long, value_name = "RECIPE", conflicts_with_all = ["lesions", "seed", "count"], requires = "healthy")]
    replay: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadArguments,
}

/// The output folder, and those in it that get files of each case.
const FOLDERS: [&str; 5] = ["", "scans", "labels", "brains", "recipes"];

/// A line of `cases.csv`.
#[derive(Debug, Serialize)]
struct CaseRow {
    case: String,
    host: String,
    kind: &'static str,
    lesions: usize,
    volume_ml: f64,
    largest_ml: f64,
    mean_log_change: f64,
}

impl Implant {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        for folder in FOLDERS {
            ensure_writable(&self.output.join(folder))?;
        }
        match (&self.replay, &self.shapes) {
            (Some(recipe), Some(shapes)) => self.replay(recipe, shapes),
            (_, Some(shapes)) => self.make(shapes),
            (_, None) => self.statistics().map(drop),
        }
    }

    /// The table, measured, read or the program's own; a copy lies in the output folder.
    fn statistics(&self) -> Result<LesionStatistics, CliError> {
        let statistics = match &self.lesions {
            Some(path) if path.is_dir() => {
                LesionStatistics::measure(path, &MeasureConfig::default())?
            }
            Some(path) => LesionStatistics::load(path)?,
            None => LesionStatistics::stored()?,
        };
        create_folder(&self.output)?;
        let path = self.output.join("statistics.json");
        statistics.save(&path)?;
        let (lesions, cases) = (statistics.lesions.len(), statistics.cases.len());
        print_line!("{lesions} lesions of {cases} cases → {}", path.display());
        Ok(statistics)
    }

    fn make(&self, shapes: &Path) -> Result<(), CliError> {
        let hosts = self.hosts()?;
        let count = self.count.map_or(hosts.len(), |count| count as usize);
        self.check_outputs(&hosts, count)?;
        let shapes = ShapeLibrary::read(shapes)?;
        let implanter = ImplantConfig::default().build(self.statistics()?, shapes)?;
        let of_host = |(index, path): (usize, &PathBuf)| {
            let numbers: Vec<usize> =
                (1..).take_while(|n| index + (n - 1) * hosts.len() < count).collect();
            let made = self.cases(&implanter, path, &numbers);
            HostCases { host: path.clone(), count: numbers.len(), made }
        };
        let made: Vec<_> = hosts.par_iter().enumerate().take(count).map(of_host).collect();
        self.finish(made, count)
    }

    /// The healthy scans, in the order of the arguments; of a folder without maps and brain masks.
    fn hosts(&self) -> Result<Vec<PathBuf>, CliError> {
        let scans = |path: &PathBuf| match path.is_dir() {
            true => healthy_scans(path),
            false => Ok(find_scans(path)?),
        };
        Ok(self.healthy.iter().map(scans).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Makes the cases of one healthy scan; one that fails does not keep the others from being made.
    fn cases(
        &self,
        implanter: &Implanter,
        path: &Path,
        numbers: &[usize],
    ) -> Result<HostRows, CliError> {
        let host = Host::read(path, &implanter.statistics().measure.n4)?;
        if !host.verdict().is_good() {
            return Err(CliError::DoubtfulHost { verdict: host.verdict().to_string() });
        }
        let make = |&number: &usize| {
            let case = Recipe::case_name(path, number);
            let key = Key::new(self.seed).child("implant").child(case.as_str());
            let (recipe, implanted) = Recipe::make(implanter, &host, case.as_str(), key)?;
            self.write(&host, &case, &recipe, &implanted)?;
            Ok(row(&recipe))
        };
        Ok(numbers.iter().map(make).collect())
    }

    fn write(
        &self,
        host: &Host,
        case: &ScanName,
        recipe: &Recipe,
        implanted: &Implanted,
    ) -> Result<(), CliError> {
        let files = files(&self.output, case);
        for file in &files {
            create_folder(file.parent().unwrap_or(Path::new(".")))?;
        }
        let mut staged = StagedFiles::default();
        let [scan, label, brain, path] = stage(&mut staged, &files)?;
        let like: &Scan = host.scan();
        write_scan(&scan, like, implanted.data.view())?;
        write_mask(&label, like, implanted.label.view())?;
        write_mask(&brain, like, nonzero_mask(like.volume.data.view()).view())?;
        write_json(&path, recipe)?;
        commit(staged, &files[3])
    }

    fn check_outputs(&self, hosts: &[PathBuf], count: usize) -> Result<(), CliError> {
        let outputs = (0..count).flat_map(|index| {
            let host = &hosts[index % hosts.len()];
            let case = Recipe::case_name(host, index / hosts.len() + 1);
            files(&self.output, &case).map(|file| (host.as_path(), file))
        });
        ensure_distinct(outputs, hosts)
    }

    /// Writes the lists of the cases that were made, and reports those that were not.
    fn finish(&self, made: Vec<HostCases>, total: usize) -> Result<(), CliError> {
        let (mut rows, mut failed, mut count) = (Vec::new(), Vec::new(), 0);
        for HostCases { host, count: cases, made } in made {
            match made {
                Ok(made) => made.into_iter().for_each(|made| match made {
                    Ok(row) => rows.push(row),
                    Err(error) => {
                        failed.push((host.clone(), error));
                        count += 1;
                    }
                }),
                Err(CliError::DoubtfulHost { verdict }) => {
                    note!("left out: {}: its registration is {verdict}", host.display());
                }
                Err(error) => {
                    failed.push((host, error));
                    count += cases;
                }
            }
        }
        let pairs: Vec<MapPair> = rows.iter().map(pair).collect();
        write_pairs(&self.output.join("pairs.csv"), &pairs)?;
        write_rows(&self.output.join("cases.csv"), &rows)?;
        print_line!("{} of {total} cases → {}", rows.len(), self.output.display());
        match failed.is_empty() {
            true => Ok(()),
            false => Err(CliError::NotMade { count, total, failed }),
        }
    }

    fn replay(&self, path: &Path, shapes: &Path) -> Result<(), CliError> {
        let recipe = Recipe::load(path)?;
        let shapes = ShapeLibrary::read(shapes)?;
        let hosts = self.hosts()?;
        let case = ScanName::of(Path::new(&format!("{}.nii", recipe.case)));
        let outputs = files(&self.output, &case);
        let inputs: Vec<PathBuf> = hosts.iter().cloned().chain([path.to_owned()]).collect();
        ensure_distinct(outputs.into_iter().map(|file| (path, file)), &inputs)?;
        let (host, implanted) = recipe.replay(&hosts, &shapes)?;
        self.write(&host, &case, &recipe, &implanted)?;
        print_line!("{case} → {}", self.output.display());
        Ok(())
    }
}

/// Scan, label, brain mask and recipe of a case.
fn files(output: &Path, case: &ScanName) -> [PathBuf; 4] {
    let suffix = case.suffix().map(|suffix| format!("_{suffix}")).unwrap_or_default();
    let bare = &case.as_str()[..case.as_str().len() - suffix.len()];
    [
        output.join("scans").join(case.file("nii.gz")),
        output.join("labels").join(format!("{bare}_lesion.nii.gz")),
        output.join("brains").join(format!("{bare}_desc-brain_mask.nii.gz")),
        output.join("recipes").join(case.file("json")),
    ]
}

/// The map that `disyre detect` gives to a case, with label, brain mask, scan and host, relative to the output folder.
fn pair(row: &CaseRow) -> MapPair {
    let case = ScanName::of(Path::new(&format!("{}.nii", row.case)));
    let [scan, label, mask, _] = files(Path::new(""), &case);
    let score = Path::new("maps").join(case.output("anomalyscore").file("nii.gz"));
    // Cases of one host are one subject.
    let subject = Some(ScanName::of(Path::new(&format!("{}.nii", row.host))).subject());
    MapPair { score, label, mask: Some(mask), scan: Some(scan), subject }
}

fn row(recipe: &Recipe) -> CaseRow {
    let volumes = recipe.realised.iter().map(|lesion| lesion.volume_ml);
    let volume_ml: f64 = volumes.clone().sum();
    let change = recipe.realised.iter().map(|lesion| lesion.volume_ml * lesion.mean_log_change);
    CaseRow {
        case: recipe.case.clone(),
        host: recipe.host.name.clone(),
        kind: recipe.lesions.first().map_or("none", |lesion| lesion.kind.name()),
        lesions: recipe.lesions.len(),
        volume_ml,
        largest_ml: volumes.fold(0.0, f64::max),
        mean_log_change: change.sum::<f64>() / volume_ml,
    }
}

fn write_rows(path: &Path, rows: &[CaseRow]) -> Result<(), CliError> {
    let fail = |source| CliError::Pairs { path: path.to_owned(), source };
    let mut writer = csv::Writer::from_writer(Vec::new());
    rows.iter().try_for_each(|row| writer.serialize(row)).map_err(fail)?;
    let bytes = writer.into_inner().map_err(|error| fail(error.into_error().into()))?;
    write_whole(path, &bytes)
}
