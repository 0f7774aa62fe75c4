//! Measures preparations without any learning: the average precision of |z| in the template, for every combination of
//! bias correction and scaling, and for settings of N4. Prints Markdown tables.
//!
//! `cargo run --release -p disyre-examples --example preparations -- DATA [-n HEALTHY] [--fields]`
//!
//! `DATA` holds `healthy/t1/*.nii.gz`, and for each case of `CASES` `lesion/dev/CASE/CASE_{t1,brain,mask}.nii.gz`.
use std::path::{Path, PathBuf};
use std::time::Instant;

use disyre::core::Volume;
use disyre::core::ndarray::Array3;
use disyre::n4::N4Config;
use disyre::score::RankedScores;
use disyre::volume::{IntensityScaling, Scan, find_scans, read_mask, resample_mask};
use disyre::{
    Atlas, AtlasConfig, BiasCorrection, Error, Preparation, PrepareConfig, TemplateSpace, Unscaled,
};
use rayon::prelude::*;

/// All cases of the data with a T1-weighted scan without contrast agent.
const CASES: [&str; 9] = [
    "ms07",
    "ms26",
    "gli_00001",
    "tcga_fg6692",
    "brats18_01",
    "brats18_03",
    "brats18_05",
    "brats18_07",
    "brats18_09",
];

/// A scan with its brain, if it is not where the scan is not 0, and its lesion, if it has one.
struct Subject {
    scan: Volume,
    brain: Option<Array3<u8>>,
    lesion: Option<Array3<u8>>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (data, options) = arguments
        .split_first()
        .map_or(("".as_ref(), &[][..]), |(data, options)| (Path::new(data), options));
    if !data.join("healthy/t1").is_dir() {
        println!("no scans to measure: give the folder that the head of this example describes");
        return Ok(());
    }
    let count = options.iter().position(|option| option == "-n");
    let count = count.and_then(|at| options.get(at + 1)?.parse().ok()).unwrap_or(80);
    let healthy: Vec<PathBuf> =
        find_scans(&data.join("healthy/t1"))?.into_iter().take(count).collect();
    let read =
        |path: &PathBuf| Ok(Subject { scan: Scan::read(path)?.volume, brain: None, lesion: None });
    let healthy: Vec<Subject> = healthy.par_iter().map(read).collect::<Result<_, Error>>()?;
    let cases: Vec<Subject> =
        CASES.par_iter().map(|case| read_case(data, case)).collect::<Result<_, Error>>()?;
    let by_fields = options.iter().any(|option| option == "--fields");
    let biases = if by_fields { fields() } else { vec![none(), default_n4()] };
    let scalings = if by_fields { scalings().split_off(3) } else { scalings() };
    println!("| bias correction | scaling | {} | mean |", CASES.join(" | "));
    println!("|{}", " --- |".repeat(CASES.len() + 3));
    for (index, (name, bias)) in biases.into_iter().enumerate() {
        measure(&name, bias, &scalings, &healthy, &cases, index == 0)?;
    }
    Ok(())
}

fn none() -> (String, BiasCorrection) {
    ("none".to_owned(), BiasCorrection::None)
}

fn default_n4() -> (String, BiasCorrection) {
    ("n4".to_owned(), BiasCorrection::n4())
}

/// Settings of N4: control points of the first level, levels, iterations of each, convergence.
fn fields() -> Vec<(String, BiasCorrection)> {
    let settings = [
        (4, 4, 50, 1e-3),
        (4, 3, 50, 1e-3),
        (4, 2, 50, 1e-3),
        (4, 1, 200, 1e-5),
        (4, 2, 200, 1e-5),
        (5, 1, 50, 1e-5),
        (5, 1, 100, 1e-5),
        (5, 1, 200, 1e-5),
        (5, 1, 400, 1e-5),
        (6, 1, 200, 1e-5),
    ];
    let bias = |(points, levels, iterations, convergence)| {
        let name = format!("{points} points, {levels} × {iterations}, {convergence:e}");
        let config = N4Config {
            control_points: [points; 3],
            iterations: vec![iterations; levels],
            convergence,
            ..N4Config::default()
        };
        (name, BiasCorrection::N4(config))
    };
    settings.into_iter().map(bias).collect()
}

fn scalings() -> Vec<(&'static str, IntensityScaling)> {
    vec![
        ("published", IntensityScaling::Published { upper: 0.98 }),
        ("brain", IntensityScaling::Brain { upper: 0.98 }),
        ("white-matter peak", IntensityScaling::white_matter_peak()),
        ("landmarks", IntensityScaling::landmarks()),
        ("quantile map", IntensityScaling::quantile_map()),
    ]
}

fn read_case(data: &Path, case: &str) -> Result<Subject, Error> {
    let file = |kind: &str| data.join(format!("lesion/dev/{case}/{case}_{kind}.nii.gz"));
    let scan = Scan::read(file("t1"))?;
    let [brain, lesion] = ["brain", "mask"].map(|kind| read_mask(&file(kind), &scan));
    Ok(Subject { brain: Some(brain?), lesion: Some(lesion?), scan: scan.volume })
}

/// Prints the rows of one bias correction; scans are corrected, registered and resampled once for all scalings.
fn measure(
    name: &str,
    bias: BiasCorrection,
    scalings: &[(&str, IntensityScaling)],
    healthy: &[Subject],
    cases: &[Subject],
    print_prevalence: bool,
) -> Result<(), Error> {
    let started = Instant::now();
    let config = PrepareConfig { bias, ..PrepareConfig::default() };
    let (space, unfitted) = (TemplateSpace::mni152()?, Preparation::unfitted(&config)?);
    let align = |subject: &Subject| {
        let brain = subject.brain.as_ref().map(|brain| brain.view());
        Ok(unfitted.align_to(&space, &subject.scan, brain)?.0)
    };
    let [healthy, aligned] = [healthy, cases]
        .map(|subjects| subjects.par_iter().map(align).collect::<Result<Vec<Unscaled>, Error>>());
    let (healthy, aligned) = (healthy?, aligned?);
    eprintln!(
        "{name}: {:.0} s for {} scans",
        started.elapsed().as_secs_f64(),
        healthy.len() + cases.len()
    );
    for &(scaling_name, scaling) in scalings {
        let config = PrepareConfig { scaling, ..config.clone() };
        let preparation = Preparation::unfitted(&config)?.fit(&healthy)?;
        let scaled = healthy.par_iter().map(|scan| preparation.scale(scan));
        let atlas = Atlas::fit(AtlasConfig::default(), &scaled.collect::<Result<Vec<_>, _>>()?)?;
        let precision = |(scan, case)| average_precision(&atlas, &preparation, scan, case);
        let found = aligned.iter().zip(cases).map(precision).collect::<Result<Vec<_>, _>>()?;
        if print_prevalence && scaling_name == scalings[0].0 {
            print_row("prevalence", "", found.iter().map(|[_, prevalence]| *prevalence).collect());
        }
        print_row(name, scaling_name, found.iter().map(|[precision, _]| *precision).collect());
    }
    Ok(())
}

/// AP of |z| over the brain of a case, and its prevalence, on the grid of the template.
fn average_precision(
    atlas: &Atlas,
    preparation: &Preparation,
    aligned: &Unscaled,
    case: &Subject,
) -> Result<[f64; 2], Error> {
    let prepared = preparation.scale(aligned)?;
    let found = atlas.scores(&prepared)?;
    let lesion = case.lesion.as_ref().expect("cases have lesions");
    let lesion = resample_mask(lesion.view(), &case.scan.grid, &prepared.volume.grid)?;
    let voxels = found.known.iter().zip(&found.absolute).zip(&lesion);
    let inside = voxels.filter(|((known, _), _)| **known != 0);
    let (scores, labels): (Vec<f32>, Vec<u8>) =
        inside.map(|((_, &score), &label)| (score, label)).unzip();
    let ranked = RankedScores::new(&scores, &labels)?;
    let prevalence = ranked.positives() as f64 / labels.len() as f64;
    Ok([ranked.average_precision()?, prevalence])
}

fn print_row(name: &str, scaling: &str, mut values: Vec<f64>) {
    values.push(values.iter().sum::<f64>() / values.len() as f64);
    let values: Vec<String> = values.iter().map(|value| format!("{value:.3}")).collect();
    println!("| {name} | {scaling} | {} |", values.join(" | ").replace("0.", "."));
}
