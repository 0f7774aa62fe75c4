//! Pages of scans and cohorts: `disyre detect` writes them, `disyre report` makes them again.

use std::fs;
use std::path::Path;

use disyre::core::{Key, Volume};
use disyre::phantom::LesionKind;
use disyre::report::Pixels;
use disyre::volume::write_volume;
use serde_json::Value;

use crate::support::{PHANTOMS, World, contents, disyre, fail, json, names, read, succeed, text};

/// Greatest size of a page in bytes.
const MOST: u64 = 3_000_000;

fn page(path: &Path) -> String {
    assert!(fs::metadata(path).unwrap().len() < MOST, "{} is too large", path.display());
    fs::read_to_string(path).unwrap()
}

/// Checks that a page asks for nothing outside of it.
fn ensure_alone(html: &str) {
    for address in html.split("src=\"").skip(1) {
        assert!(address.starts_with("data:image/png;base64,"), "{}", &address[..40]);
    }
    for outside in [
        "http:",
        "https:",
        "url(",
        "@import",
        "<link rel=\"stylesheet",
        "fetch(",
        "XMLHttp",
        "import(",
    ] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("default-src &#39;none&#39;") || html.contains("default-src 'none'"));
    assert!(html.contains("Research use only"));
}

/// The value between two texts.
fn between<'a>(html: &'a str, from: &str, to: &str) -> &'a str {
    let (_, rest) = html.split_once(from).unwrap_or_else(|| panic!("{from} is missing"));
    rest.split_once(to).unwrap().0
}

/// Data of the viewer, and the codes of a layer, x fastest.
pub(crate) fn viewer(html: &str, layer: &str) -> (Value, Vec<u8>) {
    let data = between(html, "id=\"viewer-data\">", "</script>");
    let data: Value = serde_json::from_str(data).unwrap();
    let sheet =
        between(html, &format!("data-layer=\"{layer}\" src=\"data:image/png;base64,"), "\"");
    let pixels = Pixels::decode(&base64(sheet)).unwrap();
    let [nx, ny, nz] = [0, 1, 2].map(|axis| data["shape"][axis].as_u64().unwrap() as usize);
    let layers = data["layers"].as_array().unwrap();
    let columns =
        layers.iter().find(|one| one["id"] == layer).unwrap()["columns"].as_u64().unwrap();
    let columns = columns as usize;
    let mut codes = Vec::new();
    for (z, y, x) in
        (0..nz).flat_map(|z| (0..ny).flat_map(move |y| (0..nx).map(move |x| (z, y, x))))
    {
        let (row, column) = (z / columns * ny + y, z % columns * nx + x);
        codes.push(pixels.colours[row * pixels.width + column][0]);
    }
    (data, codes)
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u32> =
        text.bytes().filter(|&b| b != b'=').map(|b| u32::from(digit(b))).collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let bits = (0..4).fold(0, |bits, index| bits << 6 | four.get(index).copied().unwrap_or(0));
        bits.to_be_bytes()[1..four.len()].to_vec()
    });
    bytes.collect()
}

#[test]
fn a_cohort_has_pages_and_a_table_that_report_makes_again_to_the_byte() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("scans")).unwrap();
    for name in names(&world.at("patients")) {
        fs::copy(world.at("patients").join(&name), at("scans").join(name)).unwrap();
    }
    fs::write(at("scans/broken.nii"), "no scan").unwrap();
    let [scans, out, model] = [text(&at("scans")), text(&at("out")), world.path("model")];
    let detect = ["detect", "-i", &scans, "-o", &out, "-m", &model, "--stripped", "--uncertainty"];
    let ran = disyre(detect);
    assert_eq!(ran.code, Some(3), "{}", ran.err);
    assert!(ran.err.contains("index.html"), "{}", ran.err);
    for name in ["sub-1_T1w", "sub-2_T1w"] {
        let html = page(&at(&format!("out/{name}_page.html")));
        ensure_alone(&html);
        for part in [
            name,
            "Anomaly map",
            "Restored at each severity",
            "Intensities inside the brain",
            "Program and model",
            "index.html",
            "Severity 0.727",
        ] {
            assert!(html.contains(part), "{part} is missing");
        }
        let sidecar =
            json(&at(&format!("out/{}", name.replace("_T1w", "_desc-anomalyscore_T1w.json"))));
        assert!(html.contains(sidecar["model"]["weights_sha256"].as_str().unwrap()));
        assert_eq!(sidecar["outputs"]["page"], format!("{name}_page.html"));
    }
    let index = page(&at("out/index.html"));
    ensure_alone(&index);
    let place = |name: &str| index.find(&format!("data-case=\"{name}\"")).unwrap();
    assert!(place("broken.nii") < place("sub-1_T1w").min(place("sub-2_T1w")));
    assert!(index.contains("href=\"sub-1_T1w_page.html\"") && index.contains("Failed."));

    let once = contents(&at("out"));
    for name in names(&at("out")).iter().filter(|name| name.ends_with(".html")) {
        fs::remove_file(at("out").join(name)).unwrap();
    }
    let ran = succeed(["report", &out]);
    assert_eq!(ran.out.lines().count(), 3, "{}", ran.out);
    assert!(contents(&at("out")) == once);
    // A page that somebody deleted is made anew by --continue too.
    fs::remove_file(at("out/sub-1_T1w_page.html")).unwrap();
    fail(
        3,
        &["1 scans were done before"],
        detect.into_iter().chain(["--continue"]).collect::<Vec<_>>(),
    );
    assert!(contents(&at("out")) == once);
}

#[test]
fn without_pages_nothing_changes_but_that_they_are_missing() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let [with, without] = ["with", "without"].map(|name| folder.path().join(name));
    let (patients, model) = (world.path("patients"), world.path("model"));
    let detect = |out: &Path, more: &[&str]| {
        let out = text(out);
        let arguments = ["detect", "-i", &patients, "-o", &out, "-m", &model];
        succeed(arguments.into_iter().chain(more.iter().copied()));
    };
    detect(&with, &[]);
    detect(&without, &["--no-page"]);
    assert!(names(&without).iter().all(|name| !name.ends_with(".html")));
    // `report` makes them, and they are nobody's output for --continue.
    succeed(["report", &text(&without)]);
    let ran = succeed([
        "detect",
        "-i",
        &patients,
        "-o",
        &text(&without),
        "-m",
        &model,
        "--no-page",
        "--continue",
    ]);
    assert!(ran.err.contains("2 scans were done before"), "{}", ran.err);
    let html = |folder: &Path| fs::read(folder.join("sub-1_T1w_page.html")).unwrap();
    assert!(html(&with) == html(&without));
    // A second run without pages leaves none of the first one beside other maps.
    detect(&with, &["--no-page", "--severities", "0.5"]);
    assert!(!with.join("sub-1_T1w_page.html").exists());
}

#[test]
fn a_scan_that_moved_is_named_with_the_field_and_the_fix_and_found_in_another_folder() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    ["old", "new"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
    let scan = at("old/a.nii.gz");
    fs::copy(world.at("patients/sub-1_T1w.nii.gz"), &scan).unwrap();
    let [path, out, new] = [text(&scan), text(&at("out")), text(&at("new"))];
    succeed(["detect", "-i", &path, "-o", &out, "-m", &world.path("model")]);
    let once = contents(&at("out"));
    fs::rename(&scan, at("new/a.nii.gz")).unwrap();
    let parts = ["a_desc-anomalyscore.json", "field source", "--scans DIR", path.as_str()];
    fail(1, &parts, ["report", &out]);
    succeed(["report", &out, "--scans", &new]);
    assert!(contents(&at("out")) == once);
    // Another scan of that name is refused, be it on the same grid.
    let mut other = read(&at("new/a.nii.gz")).volume;
    other.data.mapv_inplace(|value| 2.0 * value);
    write_volume(&at("new/a.nii.gz"), &other).unwrap();
    let parts = ["new/a.nii.gz", "a_desc-anomalyscore.json", "another file", "--scans DIR"];
    fail(1, &parts, ["report", &out, "--scans", &new]);
    assert!(contents(&at("out")) == once);
    // A sidecar without the hash of its scan: the grid is compared.
    let sidecar = at("out/a_desc-anomalyscore.json");
    let mut facts = json(&sidecar);
    assert!(facts.as_object_mut().unwrap().remove("source_sha256").is_some());
    fs::write(&sidecar, facts.to_string()).unwrap();
    other.grid.affine[0][3] += 30.0;
    write_volume(&at("new/a.nii.gz"), &other).unwrap();
    fail(1, &["is of another scan than", "a.nii.gz"], ["report", &out, "--scans", &new]);
    fail(1, &["NAME_desc-anomalyscore", "disyre detect"], ["report", &new]);
    fs::write(at("out/a_desc-anomalyscore.json"), "{}").unwrap();
    fail(1, &["a_desc-anomalyscore.json", "detect on its scan again"], ["report", &out]);
}

/// A phantom whose patient has a bright corner on the right, in front and above, in a file with these axes mirrored.
fn marked(mirrored: [bool; 3]) -> Volume {
    let mut scan = PHANTOMS.with_lesion(Key::new(2).child(1u64), LesionKind::Stroke).volume;
    let brightest = scan.data.iter().copied().fold(0.0, f32::max);
    let inside = scan.data.indexed_iter().filter(|(_, value)| **value > 0.0);
    // RAS+: the greatest sum of indices is right, in front and above.
    let ((z, y, x), _) = inside.max_by_key(|((z, y, x), _)| z + y + x).unwrap();
    scan.data[[z, y, x]] = 3.0 * brightest;
    let [nz, ny, nx] = scan.grid.shape;
    for (axis, length) in [nx, ny, nz].into_iter().enumerate().filter(|(axis, _)| mirrored[*axis]) {
        scan.data.invert_axis(disyre::core::ndarray::Axis(2 - axis));
        for row in scan.grid.affine.iter_mut().take(3) {
            row[3] += row[axis] * (length - 1) as f64;
            row[axis] = -row[axis];
        }
    }
    Volume::new(scan.data, scan.grid).unwrap()
}

#[test]
fn the_pages_of_a_scan_and_of_its_mirrored_file_show_the_same_side() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let model = world.path("model");
    let show = |name: &str, mirrored: [bool; 3]| {
        let (scan, out) =
            (folder.path().join(name).with_extension("nii"), folder.path().join(name));
        write_volume(&scan, &marked(mirrored)).unwrap();
        succeed(["detect", "-i", &text(&scan), "-o", &text(&out), "-m", &model, "--stripped"]);
        viewer(&page(&out.join(format!("{name}_page.html"))), "scan")
    };
    let (data, straight) = show("straight", [false; 3]);
    let [nx, ny, nz] = [0, 1, 2].map(|axis| data["shape"][axis].as_u64().unwrap() as usize);
    let brightest = (0..straight.len()).max_by_key(|&index| straight[index]).unwrap();
    let [x, y, z] = [brightest % nx, brightest / nx % ny, brightest / nx / ny];
    assert!(
        2 * x > nx && 2 * y > ny && 2 * z > nz,
        "right, front, top: {x} of {nx}, {y} of {ny}, {z} of {nz}"
    );
    for mirrored in [[true, false, false], [true, true, false], [false, true, true]] {
        let name = format!("mirrored-{}{}{}", mirrored[0], mirrored[1], mirrored[2]);
        let (other, codes) = show(&name, mirrored);
        assert_eq!(other["shape"], data["shape"]);
        assert!(codes == straight, "{mirrored:?}");
        // The readout names the voxel of the file, which is another one.
        assert_eq!(other["file"][0][0].as_f64().unwrap() < 0.0, mirrored[0]);
    }
}

#[test]
fn a_detection_without_report_has_a_page_that_says_so() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let (scan, out) = (world.path("patients/sub-1_T1w.nii.gz"), text(folder.path()));
    succeed(["detect", "-i", &scan, "-o", &out, "-m", &world.path("model")]);
    let at = |name: &str| folder.path().join(name);
    let sidecar = at("sub-1_desc-anomalyscore_T1w.json");
    let mut facts = json(&sidecar);
    assert!(facts.as_object_mut().unwrap().remove("report").is_some());
    fs::write(&sidecar, facts.to_string()).unwrap();
    fs::remove_file(at("sub-1_T1w_preparation.png")).unwrap();
    succeed(["report", &out]);
    let html = page(&at("sub-1_T1w_page.html"));
    assert!(html.contains("Header and geometry were not checked") && !html.contains("No warning"));
    assert!(!html.contains("Restored at each severity") && html.contains("Program and model"));
}

#[test]
fn a_scan_stays_in_the_table_where_one_of_its_name_in_a_subfolder_failed() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("scans/deep")).unwrap();
    let scan = world.at("patients/sub-1_T1w.nii.gz");
    ["t", "u", "deep/t"].iter().for_each(|name| {
        fs::copy(&scan, at(&format!("scans/{name}.nii.gz"))).unwrap();
    });
    let [scans, out, model] = [text(&at("scans")), text(&at("out")), world.path("model")];
    let table = || {
        fail(3, &["of 3 scans failed"], ["detect", "-i", &scans, "-o", &out, "-m", &model]);
        let html = page(&at("out/index.html"));
        let names = html.split("data-case=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(table(), ["deep/t.nii.gz", "t", "u"]);
    // Maps of an earlier run are not those of a scan that fails now.
    fs::write(at("scans/t.nii.gz"), "no scan").unwrap();
    assert!(at("out/t_desc-anomalyscore.json").exists());
    assert_eq!(table(), ["deep/t.nii.gz", "t.nii.gz", "u"]);
    // Where nothing was mapped, the failures are a table too.
    fs::create_dir(at("failed")).unwrap();
    fs::copy(at("out/manifest.jsonl"), at("failed/manifest.jsonl")).unwrap();
    let failed = text(&at("failed"));
    assert!(succeed(["report", &failed]).out.contains("index.html"));
    let html = page(&at("failed/index.html"));
    assert_eq!(html.matches("class=\"failed\"").count(), 2);
}

#[test]
fn a_name_with_markup_stays_a_name() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let name = "<b>\"x&'{{1}}";
    let scans = folder.path().join("scans");
    fs::create_dir(&scans).unwrap();
    fs::copy(world.at("patients/sub-1_T1w.nii.gz"), scans.join(format!("{name}.nii.gz"))).unwrap();
    let out = text(&folder.path().join("out"));
    succeed(["detect", "-i", &text(&scans), "-o", &out, "-m", &world.path("model")]);
    for file in [format!("{name}_page.html"), "index.html".to_owned()] {
        let html = page(&folder.path().join("out").join(file));
        assert!(!html.contains("<b>") && html.contains("&#60;b&#62;&#34;x&#38;&#39;{{1}}"));
    }
}
