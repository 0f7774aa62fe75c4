//! `disyre calibrate` finds thresholds, and `disyre detect` marks findings with them.

use std::fs;
use std::path::{Path, PathBuf};

use disyre::TemplateSpace;
use disyre::core::ndarray::{Array3, Slice};
use disyre::core::{Grid, Volume};
use disyre::score::regions::components;
use disyre::volume::affine::transform;
use disyre::volume::write_volume;
use serde_json::Value;
use tempfile::TempDir;

use crate::pages::viewer;
use crate::support::{World, fail, json, names, read, succeed, text};

/// Every second voxel of the template, which registers with itself.
fn coarse_template() -> Volume {
    let template = TemplateSpace::mni152().unwrap().template().volume.clone();
    let data = template.data.slice_each_axis(|_| Slice::new(0, None, 2)).to_owned();
    let mut affine = template.grid.affine;
    affine.iter_mut().take(3).for_each(|row| row[..3].iter_mut().for_each(|value| *value *= 2.0));
    let grid = Grid { shape: data.dim().into(), affine };
    Volume::new(data, grid).unwrap()
}

/// A healthy brain that differs from others by waves of its intensities.
fn healthy(index: usize) -> Volume {
    let mut scan = coarse_template();
    let phase = index as f32;
    scan.data.indexed_iter_mut().for_each(|((z, y, x), value)| {
        let [z, y, x] = [z, y, x].map(|at| at as f32);
        let waves = (0.3 * x + 1.7 * phase).sin() + (0.4 * y - 0.1 * z + 2.3 * phase).sin();
        *value *= 1.0 + 0.05 * waves;
    });
    scan
}

/// A folder with a model and 18 healthy scans, as `model` and `healthy`.
fn world() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let trained = World::get().at("model");
    fs::create_dir(at("model")).unwrap();
    for name in names(&trained) {
        fs::copy(trained.join(&name), at("model").join(name)).unwrap();
    }
    fs::create_dir(at("healthy")).unwrap();
    for index in 0..18 {
        let path = at("healthy").join(format!("sub-{index:02}_T1w.nii.gz"));
        write_volume(&path, &healthy(index)).unwrap();
    }
    folder
}

/// A healthy scan with a dark ball in the left hemisphere, and the place of its middle in MNI152.
fn ill(path: &Path) -> [f64; 3] {
    let mut scan = healthy(40);
    let middle = [22usize, 27, 14];
    scan.data.indexed_iter_mut().for_each(|((z, y, x), value)| {
        let squares = [z, y, x].into_iter().zip(middle).map(|(a, b)| a.abs_diff(b).pow(2));
        if squares.sum::<usize>() <= 16 {
            *value *= 0.3;
        }
    });
    let [z, y, x] = middle.map(|at| at as f64);
    let place = transform(&scan.grid.affine, [x, y, z]);
    // Elsewhere in the scanner: places of findings are those of the template all the same.
    scan.grid.affine[1][3] += 11.0;
    write_volume(path, &scan).unwrap();
    place
}

fn detect(folder: &Path, point: &str) -> (Value, PathBuf) {
    let [scan, out, model] = ["ill.nii.gz", point, "model"].map(|name| text(&folder.join(name)));
    let arguments = ["detect", "-i", &scan, "-o", &out, "-m", &model, "--stripped"];
    let ran = succeed(arguments.into_iter().chain(["--operating-point", point]));
    assert!(ran.out.contains("findings of") && !ran.err.contains("no findings"), "{}", ran.err);
    let out = folder.join(point);
    (json(&out.join("ill_desc-anomalyscore.json"))["marked"].take(), out)
}

/// Checks that a mask is `score ≥ threshold` without components below 100 mm³ (two voxels of 4 mm).
fn ensure_mask(out: &Path, threshold: f32) {
    let score = read(&out.join("ill_desc-anomalyscore.nii.gz")).volume;
    let mask = read(&out.join("ill_desc-findings.nii.gz")).volume;
    assert_eq!(mask.grid, score.grid);
    let over = components(score.data.mapv(|score| u8::from(score >= threshold)).view());
    let expected: Array3<u8> = over.mask(|index| over[index].voxels >= 2);
    assert_eq!(mask.data.mapv(|value| value as u8), expected);
}

/// Checks that the page has a row for each finding, whose place is marked there, and that the button of the lesion leads to its highest score, on its side.
fn ensure_page(out: &Path, findings: &[Value], lesion: &Value) {
    let html = fs::read_to_string(out.join("ill_page.html")).unwrap();
    assert_eq!(html.matches("class=\"show\"").count(), findings.len());
    assert!(html.contains("Slices of this page"));
    assert!(html.contains("<td>left</td>") && html.contains("hypo (darker)"));
    let (data, codes) = viewer(&html, "score");
    let at = lesion["finding"].as_u64().unwrap() as usize - 1;
    let voxel = |axis: usize| data["findings"][at][axis].as_u64().unwrap() as usize;
    let shape = |axis: usize| data["shape"][axis].as_u64().unwrap() as usize;
    let code = codes[(voxel(2) * shape(1) + voxel(1)) * shape(0) + voxel(0)];
    assert!(code >= 250, "{code} at the peak");
    assert!(2 * voxel(0) < shape(0), "the patient's left is where x is small");
    // Each button leads to a place of the brain that is marked.
    let marks = viewer(&html, "findings").1;
    for place in data["findings"].as_array().unwrap() {
        let [x, y, z] = [0, 1, 2].map(|axis| place[axis].as_u64().unwrap() as usize);
        let at = (z * shape(1) + y) * shape(0) + x;
        assert!(marks[at] == 255 && codes[at] > 0, "{place}: {} {}", marks[at], codes[at]);
    }
    // The same place by the page's own map to the template.
    let row = data["mni"][0].as_array().unwrap();
    let x: f64 = (0..3).map(|axis| row[axis].as_f64().unwrap() * voxel(axis) as f64).sum();
    let x = x + row[3].as_f64().unwrap();
    assert!((x - lesion["peak_mni_mm"][0].as_f64().unwrap()).abs() < 4.0, "{x}");
}

#[test]
fn thresholds_come_from_scans_of_their_own_and_mark_a_lesion_with_side_sign_and_place() {
    let folder = world();
    let at = |name: &str| folder.path().join(name);
    let [model, healthy] = ["model", "healthy"].map(|name| text(&at(name)));
    let calibrate = ["calibrate", "--healthy", &healthy, "-m", &model, "--stripped"];
    let wrong = |arguments: [&'static str; 2]| calibrate.into_iter().chain(arguments);
    fail(1, &["false_voxels", "below 1"], wrong(["--false-voxels", "2"]));
    fail(1, &["least_volume"], wrong(["--least-volume", "inf"]));
    let ran = succeed(calibrate);
    assert!(ran.out.contains("healthy threshold") && ran.out.contains("lesion threshold"));
    assert!(ran.out.contains("by 9 scans") && ran.out.contains("on 18 copies"), "{}", ran.out);
    let record = json(&at("model/calibration/calibration.json"));
    let thresholds = &record["thresholds"];
    let of = |scans: &Value| -> Vec<String> {
        scans.as_array().unwrap().iter().map(|scan| scan["file"]["name"].to_string()).collect()
    };
    let (maps, own) = (of(&record["scans"]), of(&thresholds["scans"]));
    assert_eq!((maps.len(), own.len()), (9, 9));
    assert!(own.iter().all(|name| !maps.contains(name)));
    assert_eq!(thresholds["alarm_scores"].as_array().unwrap().len(), 9);

    let place = ill(&at("ill.nii.gz"));
    for point in ["healthy", "lesions"] {
        let (marked, out) = detect(folder.path(), point);
        let threshold = &thresholds[point]["threshold"];
        assert_eq!(
            (&marked["threshold"], marked["operating_point"].as_str()),
            (threshold, Some(point))
        );
        ensure_mask(&out, threshold.as_f64().unwrap() as f32);
        assert_eq!(marked["alarm"]["p_value"], 0.1, "{marked}");
        assert_eq!(marked["alarm"]["healthy_scans"], 9);
        let findings = marked["findings"].as_array().unwrap();
        let lesion = findings
            .iter()
            .max_by(|a, b| a["peak"].as_f64().unwrap().total_cmp(&b["peak"].as_f64().unwrap()));
        let lesion = lesion.unwrap();
        assert_eq!(
            (&lesion["side"], &lesion["polarity"]),
            (&"left".into(), &"hypo".into()),
            "{lesion}"
        );
        let peak: Vec<f64> =
            lesion["peak_mni_mm"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let distance = peak.iter().zip(place).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!(distance < 25.0, "{peak:?} is {distance} mm from {place:?}");
        let table = fs::read_to_string(out.join("ill_desc-findings.tsv")).unwrap();
        assert_eq!(table.lines().count(), findings.len() + 1);
        ensure_page(&out, findings, lesion);
        assert!(table.starts_with("finding\tvolume_mm3\tpeak\tmean\tpolarity\tside\tcentre_x"));
    }
    // The published score has no thresholds, and leaves no mask of an earlier run beside it.
    let (scan, out) = (text(&at("ill.nii.gz")), text(&at("lesions")));
    let published =
        ["detect", "-i", &scan, "-o", &out, "-m", &model, "--stripped", "--score", "published"];
    let ran = succeed(published);
    assert!(ran.err.contains("no findings are marked: the score is not calibrated"), "{}", ran.err);
    assert!(names(&at("lesions")).iter().all(|name| !name.contains("findings")));
}

#[test]
fn too_few_scans_make_maps_and_no_thresholds() {
    let folder = world();
    let at = |name: &str| folder.path().join(name);
    for index in 2..18 {
        fs::remove_file(at("healthy").join(format!("sub-{index:02}_T1w.nii.gz"))).unwrap();
    }
    let [model, healthy, out] = ["model", "healthy", "out"].map(|name| text(&at(name)));
    let ran = succeed(["calibrate", "--healthy", &healthy, "-m", &model, "--stripped"]);
    assert!(ran.err.contains("no thresholds") && ran.err.contains("18 subjects"), "{}", ran.err);
    assert!(ran.out.contains("calibrated by 2 of 2 scans"), "{}", ran.out);
    let detect = ["detect", "-i", &healthy, "-o", &out, "-m", &model, "--stripped"];
    let ran = succeed(detect);
    let said = ran.err.matches("no findings are marked: the calibration has no thresholds").count();
    assert_eq!(said, 1, "once for two scans: {}", ran.err);
    assert!(names(&at("out")).iter().all(|name| !name.contains("findings")));
}
