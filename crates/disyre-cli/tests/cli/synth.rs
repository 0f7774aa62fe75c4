//! `disyre synth` and `tissue`: families, recipes, segmentations, location maps and sizes.

use std::fs;
use std::path::Path;

use disyre::core::Volume;
use disyre::dag::Family;
use disyre::volume::write_volume;
use serde_json::Value;

use crate::support::{TINY, World, contents, fail, json, names, read, succeed, text};

#[test]
fn a_tissue_file_serves_synth() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [tissue, out] = ["tissue.json", "out"].map(|name| text(&folder.path().join(name)));
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let ran = succeed(["tissue", "-i", &healthy, "-o", &tissue, "-k", "3", "--config", &config]);
    assert!(ran.out.starts_with("6 scans, centres "), "{}", ran.out);
    let arguments = ["synth", "-i", &healthy, "-o", &out, "-n", "8", "--tissue", &tissue];
    succeed(arguments.into_iter().chain(["--config", &config]));
    let files = names(Path::new(&out));
    assert_eq!(files.len(), 48);
    assert_eq!(
        files[..6],
        [
            "binary.nii.gz",
            "clean.nii.gz",
            "corrupted.nii.gz",
            "mask.nii.gz",
            "recipe.json",
            "severity.nii.gz"
        ]
        .map(|end| format!("h1_sample-0001_{end}"))
    );
    // Sample 7 goes to the first scan again.
    let at = |end: &str| Path::new(&out).join(format!("h1_sample-0007_{end}"));
    let (corrupted, mask) = (read(&at("corrupted.nii.gz")), read(&at("mask.nii.gz")));
    assert_eq!(corrupted.volume.grid, mask.volume.grid);
    assert!(corrupted.volume.data.iter().all(|value| (0.0..=1.0).contains(value)));
    assert!(mask.volume.data.iter().any(|&value| value > 0.0));
    let clean = read(&at("clean.nii.gz"));
    assert_eq!(clean.volume.grid, corrupted.volume.grid);
    let recipe = json(&at("recipe.json"));
    assert_eq!((recipe["source"].as_str(), recipe["index"].as_u64()), (Some("h1"), Some(6)));
    let severity = recipe["severity"].as_f64().unwrap();
    assert!(severity > 0.0 && severity <= 1.0);
    let (binary, map) = (read(&at("binary.nii.gz")), read(&at("severity.nii.gz")));
    let voxels = || mask.volume.data.iter().zip(&binary.volume.data).zip(&map.volume.data);
    assert!(binary.volume.data.iter().any(|&value| value == 1.0));
    assert!(voxels().all(|((&m, &b), &s)| b == 0.0 || (b == 1.0 && m > 0.0) && s <= m));
    let worst = map.volume.data.iter().fold(0f32, |worst, &s| worst.max(s));
    assert!(worst > 0.0 && f64::from(worst) <= severity);
}

#[test]
fn a_recipe_is_not_replayed_from_other_scans() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [scans, out, again] = ["scans", "out", "again"].map(|name| folder.path().join(name));
    fs::create_dir(&scans).unwrap();
    for name in ["h1.nii.gz", "h2.nii.gz"] {
        fs::copy(world.at("healthy").join(name), scans.join(name)).unwrap();
    }
    let (scans_path, out_path) = (text(&scans), text(&out));
    let make = ["synth", "-i", &scans_path, "-o", &out_path, "-n", "1"];
    succeed(make.into_iter().chain(["--config", &world.path("tiny.toml")]));
    let (recipe, again_path) = (text(&out.join("h1_sample-0001_recipe.json")), text(&again));
    let replay = || ["synth", "-i", &scans_path, "-o", &again_path, "--replay", &recipe];
    // A scan more does not matter, for the recipe names its own.
    fs::copy(world.at("healthy/h3.nii.gz"), scans.join("a.nii.gz")).unwrap();
    succeed(replay());
    fs::remove_dir_all(&again).unwrap();
    fs::copy(world.at("healthy/h3.nii.gz"), scans.join("h2.nii.gz")).unwrap();
    fail(1, &["h2.nii.gz is not the file", "SHA-256"], replay());
    fs::remove_file(scans.join("h2.nii.gz")).unwrap();
    fail(1, &["holds no file h2"], replay());
    fs::copy(world.at("healthy/h2.nii.gz"), scans.join("h2.nii.gz")).unwrap();
    let changed =
        fs::read_to_string(&recipe).unwrap().replacen("\"severity\": 0.", "\"severity\": 0.0", 1);
    fs::write(&recipe, &changed).unwrap();
    fail(1, &["gives another severity than it records"], replay());
    fs::write(&recipe, changed.replace("family", "familie")).unwrap();
    fail(1, &["recipe.json is not a recipe", "familie"], replay());
    assert!(!again.exists(), "nothing is written before the sample is right");
    let both = replay().into_iter().chain(["-n", "2"]);
    fail(2, &["cannot be used with"], both);
}

#[test]
fn a_recipe_remembers_the_masks_that_shapes_came_from() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [masks, out, again] = ["masks", "out", "again"].map(|name| folder.path().join(name));
    fs::create_dir(&masks).unwrap();
    for name in ["sub-1_lesion.nii.gz", "sub-2_lesion.nii.gz"] {
        fs::copy(world.at("lesions").join(name), masks.join(name)).unwrap();
    }
    let config = folder.path().join("masks.toml");
    let masked = format!("[pairs]\nshape_masks = {:?}\n", text(&masks));
    fs::write(&config, crate::support::TINY.replace("[pairs]\n", &masked)).unwrap();
    let (healthy, config, out_path) = (world.path("healthy"), text(&config), text(&out));
    succeed(["synth", "-i", &healthy, "-o", &out_path, "-n", "2", "--config", &config]);
    let (recipe, again_path) = (text(&out.join("h2_sample-0002_recipe.json")), text(&again));
    assert_eq!(json(recipe.as_ref())["shape_masks"]["sources"][1]["name"], "sub-2_lesion");
    let replay = || ["synth", "-i", &healthy, "-o", &again_path, "--replay", &recipe];
    succeed(replay());
    assert!(contents(&again).iter().all(|file| contents(&out).contains(file)));
    fs::remove_file(masks.join("sub-2_lesion.nii.gz")).unwrap();
    fail(1, &["masks holds no file sub-2_lesion"], replay());
    fs::copy(masks.join("sub-1_lesion.nii.gz"), masks.join("sub-2_lesion.nii.gz")).unwrap();
    fail(1, &["sub-2_lesion is not the file", "SHA-256"], replay());
}

#[test]
fn every_family_is_replayed_byte_by_byte_on_any_number_of_threads() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    for family in Family::ALL {
        let out = folder.path().join(family.name());
        let out_path = text(&out);
        let make = ["synth", "-i", &healthy, "-o", &out_path, "--n", "2", "--family"];
        succeed(make.into_iter().chain([family.name(), "--config", &config, "--seed", "4"]));
        let made = contents(&out);
        assert_eq!(made.len(), 12, "{family}");
        for threads in ["1", "2"] {
            let again = folder.path().join(format!("{family}-{threads}"));
            for sample in ["h1_sample-0001", "h2_sample-0002"] {
                let recipe = out.join(format!("{sample}_recipe.json"));
                assert_is_whole(&json(&recipe), family);
                assert_severities(&out, sample, family);
                let (recipe, again) = (text(&recipe), text(&again));
                let replay = ["synth", "-i", &healthy, "-o", &again, "--replay", &recipe];
                succeed(replay.into_iter().chain(["--threads", threads]));
            }
            assert!(made == contents(&again), "{family} on {threads} threads");
        }
    }
}

/// That the map of severities is what its family promises, by the files alone.
fn assert_severities(folder: &Path, sample: &str, family: Family) {
    let data = |end: &str| read(&folder.join(format!("{sample}_{end}.nii.gz"))).volume.data;
    let (clean, corrupted) = (data("clean"), data("corrupted"));
    let (mask, map) = (data("mask"), data("severity"));
    let recipe = json(&folder.join(format!("{sample}_recipe.json")));
    let severity = recipe["severity"].as_f64().unwrap() as f32;
    let change = (&corrupted - &clean).mapv(f32::abs);
    let blends = !matches!(
        family,
        Family::BiasOnly
            | Family::Pii
            | Family::Nsa
            | Family::Deformation
            | Family::Blur
            | Family::Sharpen
    );
    let expected = match blends {
        true => mask.mapv(|m| m * severity) * change.mapv(|c| if c > 0.0 { 1.0 } else { 0.0 }),
        false => change,
    };
    let furthest = (&map - &expected).iter().fold(0f32, |furthest, d| furthest.max(d.abs()));
    assert!(furthest < 1e-6, "{family}: {furthest}");
    let worst = map.iter().fold(0f32, |worst, &s| worst.max(s));
    assert!(worst <= severity + 1e-6 && (blends || (worst - severity).abs() < 1e-6), "{family}");
}

/// That a recipe names its family, all that was drawn, and its sources with their hashes.
fn assert_is_whole(recipe: &Value, family: Family) {
    assert_eq!(recipe["family"], family.name());
    let parts = recipe["anomaly"]["parts"].as_array().unwrap().len();
    assert_eq!(recipe["drawn"]["parts"].as_array().unwrap().len(), parts, "{family}");
    assert_eq!(recipe["parts"].as_array().unwrap().len(), parts, "{family}");
    assert!(recipe["key"] != Value::Null && recipe["drawn"]["shape"] != Value::Null);
    let sources = recipe["sources"].as_array().unwrap();
    let foreign = !matches!(
        family,
        Family::BiasOnly
            | Family::CutPaste
            | Family::CutPasteScar
            | Family::Deformation
            | Family::NoiseTexture
            | Family::Blur
            | Family::Sharpen
    );
    assert_eq!(sources.len(), if foreign { 6 } else { 1 }, "{family}");
    assert!(sources.iter().any(|source| source["name"] == recipe["source"]));
    assert!(sources.iter().all(|source| source["sha256"].as_str().unwrap().len() == 64));
    let tissues = matches!(family, Family::Dag | Family::BiasOnly);
    assert_eq!(recipe.get("tissues").is_some(), tissues, "{family}");
}

#[test]
fn the_ablations_have_the_parts_of_dag_with_the_same_draws() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let [dag, texture, bias] = ["dag", "texture-only", "bias-only"].map(|family| {
        let out = text(&folder.path().join(family));
        let make = ["synth", "-i", &healthy, "-o", &out, "-n", "1", "--config", &config];
        succeed(make.into_iter().chain(["--family", family]));
        json(&Path::new(&out).join("h1_sample-0001_recipe.json"))
    });
    assert_eq!(dag["origin"], texture["origin"]);
    assert_eq!(dag["drawn"]["parts"][0], texture["drawn"]["parts"][0]);
    assert_eq!(dag["drawn"]["parts"][1], bias["drawn"]["parts"][0]);
    assert_eq!(dag["parts"][0], texture["parts"][0]);
    for recipe in [&dag, &texture, &bias] {
        assert!(recipe["severity"].as_f64().unwrap() > 0.0);
    }
}

/// A folder of segmentations of the healthy scans: code 3 in the front, 41 in the back.
fn segmentations(world: &World, folder: &Path) -> String {
    fs::create_dir(folder).unwrap();
    for name in names(&world.at("healthy")) {
        let mut volume: Volume = read(&world.at("healthy").join(&name)).volume;
        for ((_, y, _), value) in volume.data.indexed_iter_mut() {
            *value = if y < 12 { 3.0 } else { 41.0 };
        }
        write_volume(&folder.join(name.replace(".nii", "_seg.nii")), &volume).unwrap();
    }
    text(folder)
}

#[test]
fn tissues_are_told_by_k_means_mixtures_or_segmentations() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let maps = segmentations(world, &folder.path().join("segmentations"));
    let cases = [
        ("k-means", vec![], 5),
        ("gaussian-mixture", vec!["--tissue-model", "gaussian-mixture"], 5),
        ("label-maps", vec!["--segmentations", &maps], 2),
    ];
    for (model, more, classes) in cases {
        let [out, again] =
            ["out", "again"].map(|name| folder.path().join(format!("{name}-{model}")));
        let (out_path, again_path) = (text(&out), text(&again));
        let make = ["synth", "-i", &healthy, "-o", &out_path, "-n", "2", "--family", "bias-only"];
        succeed(make.into_iter().chain(["--config", &config]).chain(more));
        let path = out.join("h2_sample-0002_recipe.json");
        let recipe = json(&path);
        let bias = &recipe["anomaly"]["parts"][0]["bias"];
        let drawn = &recipe["drawn"]["parts"][0]["bias"]["selection"];
        assert_eq!(drawn.as_array().unwrap().len(), classes, "{model}");
        match model {
            "label-maps" => {
                assert_eq!(recipe["tissues"]["label-maps"]["codes"], serde_json::json!([3, 41]));
                assert_eq!(bias["tissues"]["scene"]["classes"], 2);
                assert_eq!(recipe["segmentation"]["sources"][0]["name"], "h2_seg");
            }
            _ => assert_eq!(recipe["tissues"]["fitted"]["model"], model),
        }
        let soft = bias["bias"]["memberships"] == "soft";
        assert_eq!(soft, model == "gaussian-mixture");
        assert!(recipe["severity"].as_f64().unwrap() > 0.0);
        let recipe = text(&path);
        succeed(["synth", "-i", &healthy, "-o", &again_path, "--replay", &recipe]);
        assert!(contents(&again).iter().all(|file| contents(&out).contains(file)), "{model}");
    }
    fs::copy(world.at("healthy/h1.nii.gz"), Path::new(&maps).join("h2_seg.nii.gz")).unwrap();
    let recipe = text(&folder.path().join("out-label-maps/h2_sample-0002_recipe.json"));
    let again = text(&folder.path().join("changed"));
    fail(
        1,
        &["h2_seg.nii.gz is not the file"],
        ["synth", "-i", &healthy, "-o", &again, "--replay", &recipe],
    );
}

#[test]
fn a_model_is_trained_with_any_family_and_any_tissues() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let maps = segmentations(world, &folder.path().join("segmentations"));
    let weights = |name: &str, more: &[&str]| {
        world.train(name, more);
        fs::read(world.at(name).join("model.safetensors")).unwrap()
    };
    let with = |family: &str, model: &str, more: &str| -> Vec<u8> {
        let name = format!("trained-{family}-{model}");
        let kind = ["--tissue-model", model];
        let tissues = if model == "label-maps" { ["--segmentations", more] } else { kind };
        weights(&name, &[&["--family", family], &tissues[..]].concat())
    };
    let dag = fs::read(world.at("model/model.safetensors")).unwrap();
    assert!(with("dag", "k-means", "") == dag, "the defaults");
    let soft = with("dag", "gaussian-mixture", "");
    let labelled = with("dag", "label-maps", &maps);
    assert!(soft != dag && labelled != dag && labelled != soft);
    assert!(!world.at("trained-dag-label-maps/tissue.json").exists(), "nothing was fitted");
    assert!(with("pii", "k-means", "") != dag);
    let settings = fs::read_to_string(world.at("trained-pii-k-means/run.toml")).unwrap();
    assert!(settings.contains("family = \"pii\""), "{settings}");
    // The same by keys of the settings.
    let config = folder.path().join("maps.toml");
    let keys =
        format!("family = \"dag\"\n[tissue]\nmodel = \"label-maps\"\nsegmentations = {maps:?}\n");
    fs::write(&config, TINY.replace("seed = 5\n", &format!("seed = 5\n{keys}"))).unwrap();
    let (healthy, model) = (world.path("healthy"), world.path("trained-by-keys"));
    succeed(["train", "--healthy", &healthy, "-o", &model, "--config", &text(&config)]);
    assert!(fs::read(world.at("trained-by-keys/model.safetensors")).unwrap() == labelled);
}

/// A folder of maps of the healthy scans: one column in the middle of the brain.
fn places(world: &World, folder: &Path) -> String {
    fs::create_dir(folder).unwrap();
    for name in names(&world.at("healthy")) {
        let mut volume: Volume = read(&world.at("healthy").join(&name)).volume;
        volume.data.fill(0.0);
        volume.data.slice_mut(disyre::core::ndarray::s![.., 12, 10]).fill(0.25);
        write_volume(&folder.join(name.replace(".nii", "_places.nii")), &volume).unwrap();
    }
    text(folder)
}

#[test]
fn anomalies_lie_where_a_map_says_and_have_a_size_in_millimetres() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let [plain, out, again, keyed] =
        ["plain", "out", "again", "keyed"].map(|name| folder.path().join(name));
    let [plain_path, out_path, again_path, keyed_path] =
        [&plain, &out, &again, &keyed].map(|p| text(p));
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let maps = places(world, &folder.path().join("maps"));
    let synth = |out, config| ["synth", "-i", &healthy, "-o", out, "-n", "30", "--config", config];
    let more = ["--places", &maps, "--size-mm", "16", "24"];
    succeed(synth(&plain_path, &config));
    succeed(synth(&out_path, &config).into_iter().chain(more));
    let origins = |folder: &Path| {
        let recipe = |n| json(&folder.join(format!("h1_sample-{n:04}_recipe.json")));
        [1, 7, 13, 19, 25].map(|n| recipe(n)["origin"].as_array().unwrap()[1..].to_vec())
    };
    assert!(origins(&plain).iter().any(|origin| *origin != origins(&plain)[0]));
    assert!(origins(&out).iter().all(|origin| *origin == origins(&out)[0]));
    // 16 to 24 mm are 2 or 3 voxels of 8 mm; blurs stay inside.
    let extent = |folder: &Path, n: u64| {
        let mask = read(&folder.join(format!("h1_sample-{n:04}_mask.nii.gz"))).volume.data;
        let lit = mask.indexed_iter().filter(|(_, m)| **m > 0.0).map(|((_, _, x), _)| x);
        lit.clone().max().unwrap_or(0) + 1 - lit.min().unwrap_or(0)
    };
    assert!([1, 7, 13, 19, 25].into_iter().all(|n| extent(&out, n) <= 3));
    assert!([1, 7, 13, 19, 25].into_iter().any(|n| extent(&plain, n) > 3));
    // The same by keys of the settings.
    let keys = format!("[pairs]\nplaces = {maps:?}\nshape_size_mm = [16.0, 24.0]\n");
    let by_keys = folder.path().join("keys.toml");
    fs::write(&by_keys, TINY.replace("[pairs]\n", &keys)).unwrap();
    succeed(synth(&keyed_path, &text(&by_keys)));
    assert!(contents(&keyed) == contents(&out));
    let recipe = text(&out.join("h2_sample-0008_recipe.json"));
    assert_eq!(json(recipe.as_ref())["places"]["sources"][0]["name"], "h2_places");
    let replay = || ["synth", "-i", &healthy, "-o", &again_path, "--replay", &recipe];
    succeed(replay());
    assert!(contents(&again).iter().all(|file| contents(&out).contains(file)));
    fs::copy(world.at("healthy/h1.nii.gz"), Path::new(&maps).join("h2_places.nii.gz")).unwrap();
    fail(1, &["h2_places.nii.gz is not the file"], replay());
}

#[test]
fn a_model_is_trained_with_places_and_sizes() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let maps = places(world, &folder.path().join("maps"));
    let weights = |name: &str, more: &[&str]| {
        world.train(name, more);
        fs::read(world.at(name).join("model.safetensors")).unwrap()
    };
    let (placed, sized) = (["--places", &maps], ["--size-mm", "8", "30"]);
    let models = [
        weights("without-places", &[]),
        weights("with-places", &placed),
        weights("with-size", &sized),
        weights("with-both", &[placed.as_slice(), &sized].concat()),
    ];
    for (index, model) in models.iter().enumerate() {
        assert!(!models[..index].contains(model), "{index}");
    }
    let settings = fs::read_to_string(world.at("with-both/run.toml")).unwrap();
    assert!(settings.contains("shape_size_mm = [8.0, 30.0]"), "{settings}");
    assert!(settings.contains("places = "), "{settings}");
}

#[test]
fn places_and_sizes_that_do_not_fit_are_named_before_any_work() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let (maps, out) = (folder.path().join("maps"), folder.path().join("out"));
    let (path, out_path) = (places(world, &maps), text(&out));
    let refuse = |parts: &[&str], more: &[&str]| {
        let make = ["synth", "-i", &healthy, "-o", &out_path, "-n", "1", "--config", &config];
        fail(1, parts, make.into_iter().chain(more.iter().copied()));
        assert!(!out.exists());
    };
    refuse(&["pairs.shape_size_mm must be"], &["--size-mm", "20", "10"]);
    refuse(&["pairs.shape_size_mm must be", "dag.window"], &["--size-mm", "20", "65"]);
    let mut volume = read(&maps.join("h2_places.nii.gz")).volume;
    volume.data.fill(0.0);
    write_volume(&maps.join("h3_places.nii.gz"), &volume).unwrap();
    refuse(&["h3_places.nii.gz is 0 in the whole brain"], &["--places", &path]);
    volume.data[[1, 2, 3]] = -0.5;
    write_volume(&maps.join("h3_places.nii.gz"), &volume).unwrap();
    refuse(&["h3_places.nii.gz holds -0.5, expected finite"], &["--places", &path]);
    fs::remove_file(maps.join("h3_places.nii.gz")).unwrap();
    refuse(&["no location map of", "h3.nii.gz", "named like h3.nii[.gz]"], &["--places", &path]);
}

#[test]
fn segmentations_that_do_not_fit_are_named_before_any_work() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let out = folder.path().join("out");
    let out_path = text(&out);
    let synth = |more: [&str; 2]| {
        let make = ["synth", "-i", &healthy, "-o", &out_path, "-n", "1", "--config", &config];
        let all: Vec<String> = make.into_iter().chain(more).map(str::to_owned).collect();
        all
    };
    let refuse = |parts: &[&str], arguments: Vec<String>| {
        fail(1, parts, arguments.iter().map(String::as_str));
        assert!(!out.exists());
    };
    let maps = folder.path().join("segmentations");
    let path = segmentations(world, &maps);
    fs::remove_file(maps.join("h3_seg.nii.gz")).unwrap();
    refuse(
        &["no segmentation of", "h3.nii.gz", "named like h3.nii[.gz]"],
        synth(["--segmentations", &path]),
    );
    let mut volume = read(&maps.join("h2_seg.nii.gz")).volume;
    volume.data[[1, 2, 3]] = 0.5;
    write_volume(&maps.join("h3_seg.nii.gz"), &volume).unwrap();
    refuse(&["h3_seg.nii.gz holds 0.5, expected whole"], synth(["--segmentations", &path]));
    let short = Volume::new(
        volume.data.slice_move(disyre::core::ndarray::s![..9, .., ..]),
        disyre::core::Grid { shape: [9, 24, 20], ..volume.grid },
    )
    .unwrap();
    write_volume(&maps.join("h3_seg.nii.gz"), &short).unwrap();
    refuse(&["h3_seg.nii.gz", "shape"], synth(["--segmentations", &path]));
    let lacking = folder.path().join("lacking.toml");
    fs::write(&lacking, format!("{TINY}[tissue]\nmodel = \"label-maps\"\n")).unwrap();
    let train = ["train", "--healthy", &healthy, "-o", &out_path, "--config", &text(&lacking)];
    refuse(&["setting tissue.segmentations must be"], train.map(str::to_owned).to_vec());
}
