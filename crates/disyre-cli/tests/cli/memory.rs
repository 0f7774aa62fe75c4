//! Memory: forecasts that stop a command before it takes too much, and what `detect` takes for each voxel of a scan.

use std::fs;
use std::path::Path;

use disyre::core::{Grid, Key, Volume};
use disyre::phantom::PhantomConfig;
use disyre::volume::write_volume;

use crate::support::{TINY, World, fail, read, start, succeed, text};

/// A scan with voxels of this size and no background.
fn scan_of(path: &Path, shape: [usize; 3], side_mm: f64) {
    let mut volume = Volume::zeros(Grid::from_spacing(shape, [side_mm; 3]));
    volume.data.iter_mut().enumerate().for_each(|(at, value)| *value = 1.0 + (at % 97) as f32);
    write_volume(path, &volume).unwrap();
}

#[test]
fn a_scan_that_needs_too_much_is_refused_with_both_numbers_by_each_verb() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let scans = folder.path().join("scans");
    fs::create_dir(&scans).unwrap();
    for name in ["a.nii.gz", "b.nii.gz"] {
        // A file of a few kB and, at the model's 8 mm, 30 million voxels.
        scan_of(&scans.join(name), [100, 100, 100], 25.0);
    }
    let (scans, out) = (text(&scans), text(&folder.path().join("out")));
    let scan = format!("{scans}/a.nii.gz");
    let (model, config) = (world.path("model"), world.path("tiny.toml"));
    let verbs: [&[&str]; 5] = [
        &["detect", "-i", &scan, "-o", &out, "-m", &model, "--stripped"],
        &["train", "--healthy", &scans, "-o", &out, "--config", &config, "--stripped"],
        &["tissue", "-i", &scans, "-o", &out, "--config", &config, "--stripped"],
        &["synth", "-i", &scans, "-o", &out, "--n", "1", "--config", &config, "--stripped"],
        &["calibrate", "--healthy", &scans, "-m", &model, "--stripped"],
    ];
    for verb in verbs {
        let ran = crate::support::disyre(verb.iter().copied().chain(["--max-memory", "200M"]));
        assert!(ran.code.is_some_and(|code| code != 0), "{verb:?}: {}", ran.err);
        for part in ["more memory, and only", "of the 200 MiB of --max-memory"] {
            assert!(ran.err.contains(part), "{verb:?}: {}", ran.err);
        }
    }
}

#[test]
fn voxels_that_no_head_has_are_named_before_anything_is_computed() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let scan = folder.path().join("far.nii.gz");
    scan_of(&scan, [20, 20, 20], 60.0);
    let (scan, out) = (text(&scan), text(&folder.path().join("out")));
    let parts = ["has voxels of 60 × 60 × 60 mm (x, y, z), expected sides of 0.02 to 30 mm"];
    fail(1, &parts, ["detect", "-i", &scan, "-o", &out, "-m", &world.path("model")]);
    fail(1, &parts, ["info", &scan]);
    fail(1, &parts, ["brain", "-i", &scan, "-o", &out]);
}

#[test]
fn a_bound_without_its_unit_is_a_slip() {
    fail(2, &["is the unit missing"], ["info", "--max-memory", "4"]);
}

/// Greatest resident set of a detection, in bytes.
#[cfg(target_os = "linux")]
fn peak(arguments: &[&str]) -> u64 {
    let mut child = start(arguments);
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        std::thread::yield_now();
    }
    assert!(child.wait().unwrap().success());
    peak
}

#[cfg(target_os = "linux")]
#[test]
fn detect_takes_little_more_than_its_results_for_each_voxel_of_a_scan() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let small = read(&world.at("patients/sub-1_T1w.nii.gz")).volume;
    // The same brain in a field of view of many voxels, as a fine scan of a whole head has.
    let detect = |side: usize| {
        let mut volume = Volume::zeros(Grid::from_spacing([side; 3], [0.9; 3]));
        let fine = disyre::volume::resample_to_grid(
            &Volume {
                data: small.data.clone(),
                grid: Grid::from_spacing(small.grid.shape, [8.0; 3]),
            },
            &volume.grid,
            disyre::volume::Interpolation::Linear,
        );
        volume.data = fine.unwrap().data;
        let path = folder.path().join(format!("scan-{side}.nii"));
        write_volume(&path, &volume).unwrap();
        let (scan, out) = (text(&path), text(&folder.path().join("out")));
        peak(&["detect", "-i", &scan, "-o", &out, "-m", &world.path("model"), "--stripped"])
    };
    let (less, more) = (detect(100), detect(220));
    let bytes = (more - less) as f64 / (220f64.powi(3) - 100f64.powi(3));
    println!("{bytes:.1} bytes a voxel");
    // The scan and its score take 8; the score is written before its restoration is made.
    assert!(bytes < 20.0, "{bytes} bytes a voxel");
    assert!(bytes > 8.0, "{bytes} bytes a voxel: the peak was missed");
    succeed(["info", &text(&folder.path().join("out/scan-220_desc-anomalyscore.nii.gz"))]);
}

#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_samples_does_not_grow_with_the_scans_that_a_scaling_is_fitted_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let phantoms =
        PhantomConfig { shape: [80, 96, 80], spacing_mm: 2.0, ..PhantomConfig::default() };
    let settings = TINY.replace("spacing_mm = 8.0", "spacing_mm = 2.0\nbias = \"none\"");
    assert_ne!(settings, TINY);
    fs::write(at("fine.toml"), settings).unwrap();
    let (config, out) = (text(&at("fine.toml")), text(&at("out")));
    let synthesise = |count: usize| {
        let scans = at(&format!("{count}"));
        fs::create_dir(&scans).unwrap();
        for index in 0..count {
            let mut scan = phantoms.healthy(Key::new(1)).volume;
            scan.data *= 1.0 + index as f32;
            write_volume(&scans.join(format!("p{index}.nii")), &scan).unwrap();
        }
        // By one thread: how many scans two prepare at one moment is chance.
        let fixed = ["synth", "-i", &text(&scans), "-n", "1", "--threads", "1"].map(str::to_owned);
        let more = ["-o", &out, "--config", &config].map(str::to_owned);
        let arguments = [&fixed[..], &more].concat();
        peak(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (few, many) = (synthesise(8), synthesise(28));
    let kept = (many as f64 - few as f64) / (20.0 * 614_400.0);
    println!("{kept:.2} bytes a voxel of a scan more");
    // Between -0.6 and 0; 2.1 where each brain stays in memory.
    assert!(kept < 1.0, "{kept} bytes a voxel of each scan");
}
