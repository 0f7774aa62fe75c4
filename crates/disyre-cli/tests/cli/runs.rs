//! Runs that nobody listens to, that a terminal leaves, and that are told to go on where there is nothing to go on with.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::{TINY, World, fail, names, output_names, succeed, text, training_of};
use disyre::TrainingFolder;

fn strings<const N: usize>(arguments: [&str; N]) -> Vec<String> {
    arguments.map(str::to_owned).to_vec()
}

/// Runs the binary within a line of shell that ends in `"$0" "$@"`.
#[cfg(unix)]
fn in_shell(line: &str, arguments: &[String]) -> Output {
    let mut shell = Command::new("sh");
    shell.args(["-c", line, env!("CARGO_BIN_EXE_disyre")]).args(arguments);
    shell.output().unwrap()
}

/// Every verb that writes files, with its output and the number of files that it leaves there.
#[cfg(unix)]
fn works(world: &World, out: &str) -> Vec<(Vec<String>, usize)> {
    let at = |name: &str| world.path(name);
    let [healthy, patients, model, config] = ["healthy", "patients", "model", "tiny.toml"].map(at);
    let file = format!("{out}/tissue.json");
    vec![
        (strings(["detect", "-i", &patients, "-m", &model, "-o", out]), 13),
        (strings(["synth", "-i", &healthy, "-n", "2", "--config", &config, "-o", out]), 12),
        (
            strings(["train", "--healthy", &healthy, "--config", &config, "-o", out]),
            names(&world.at("model")).len(),
        ),
        (strings(["tissue", "-i", &healthy, "--config", &config, "-o", &file]), 1),
        (strings(["evaluate", "--scores", &at("maps"), "--labels", &at("lesions"), "-o", out]), 3),
    ]
}

#[cfg(unix)]
#[test]
fn no_print_that_fails_stops_work_whose_results_are_files() {
    let world = World::get();
    succeed([
        "detect",
        "-i",
        &world.path("patients"),
        "-m",
        &world.path("model"),
        "-o",
        &world.path("maps"),
    ]);
    let folder = tempfile::tempdir().unwrap();
    let ways = [
        r#"exec "$0" "$@" >&- 2>&-"#,
        r#"exec "$0" "$@" >/dev/full 2>/dev/full"#,
        r#""$0" "$@" 2>&1 >/dev/full | true"#,
        r#"{ "$0" "$@" || touch failed; } | true"#,
    ];
    for (index, way) in ways.iter().enumerate() {
        let out = folder.path().join(index.to_string());
        for (arguments, files) in works(world, &text(&out)) {
            fs::create_dir_all(&out).unwrap();
            let ran = in_shell(way, &arguments);
            let errors = String::from_utf8_lossy(&ran.stderr);
            assert!(ran.status.success(), "{way} {arguments:?}: {errors}");
            assert!(!errors.contains("panicked"), "{errors}");
            let left = output_names(&out);
            assert_eq!(left.len(), files, "{way} {arguments:?}: {left:?}");
            fs::remove_dir_all(&out).unwrap();
        }
    }
}

#[cfg(unix)]
#[test]
fn a_result_that_is_nowhere_else_and_cannot_be_printed_is_an_error_and_a_reader_that_left_is_none()
{
    let info = strings(["info", &World::get().path("model"), "--json"]);
    let full = in_shell(r#"exec "$0" "$@" >/dev/full"#, &info);
    assert_eq!(full.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&full.stderr).contains("cannot print the result"));
    let left = in_shell(r#"{ "$0" "$@"; echo "ended with $?" >&2; } | true"#, &info);
    assert_eq!(String::from_utf8_lossy(&left.stderr), "ended with 0\n");
}

/// Settings of a training of some seconds.
fn long_settings(folder: &Path) -> String {
    let path = folder.join("settings.toml");
    fs::write(&path, TINY.replace("steps = 6", "steps = 60")).unwrap();
    text(&path)
}

/// Trains within a line of shell, and sends a signal to it once its first step is logged; its exit status.
/// Whether this process ignores hangups, as under `nohup`.
#[cfg(unix)]
fn hangups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| mask.ends_with(['1', '3', '5', '7', '9', 'b', 'd', 'f']))
}

#[cfg(unix)]
fn signalled(line: &str, signal: &str, arguments: &[String], model: &Path) -> Option<i32> {
    let mut shell = Command::new("sh");
    shell.args(["-c", line, env!("CARGO_BIN_EXE_disyre")]).args(arguments);
    let mut child = shell.spawn().unwrap();
    let log = model.join("train.jsonl");
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("loss")) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before its first step");
    }
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    child.wait().unwrap().code()
}

#[cfg(unix)]
#[test]
fn a_training_stops_with_a_checkpoint_at_any_request_and_goes_on_where_hangups_are_ignored() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let (healthy, config) = (world.path("healthy"), long_settings(folder.path()));
    let train = |name: &str| {
        let model = folder.path().join(name);
        let output = text(&model);
        (strings(["train", "--healthy", &healthy, "--config", &config, "-o", &output]), model)
    };
    let (arguments, whole) = train("ignored");
    let ignoring = r#"trap "" HUP; exec "$0" "$@" 2>/dev/null >&2"#;
    assert_eq!(signalled(ignoring, "-HUP", &arguments, &whole), Some(0));
    // Where whoever runs the tests ignores hangups, the programs that they start do.
    let signals =
        if hangups_are_ignored() { &["-INT", "-TERM"][..] } else { &["-HUP", "-INT", "-TERM"] };
    for &signal in signals {
        let (mut arguments, model) = train(signal);
        let plain = r#"exec "$0" "$@" 2>/dev/null >&2"#;
        assert_eq!(signalled(plain, signal, &arguments, &model), Some(130), "{signal}");
        assert!(model.join("training.safetensors").exists());
        arguments.push("--resume".to_owned());
        succeed(arguments.iter().map(String::as_str));
        assert!(training_of(&model) == training_of(&whole), "{signal}");
    }
}

#[test]
fn a_training_is_resumed_only_where_there_is_one_and_by_one_program_at_a_time() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let at = |name: &str| folder.path().join(name);
    let (healthy, config) = (world.path("healthy"), world.path("tiny.toml"));
    let train = |model: &Path, more: &[&str]| {
        let model = text(model);
        let all = strings(["train", "--healthy", &healthy, "--config", &config, "-o", &model]);
        all.into_iter().chain(more.iter().map(|&word| word.to_owned())).collect::<Vec<_>>()
    };
    let refuse = |parts: &[&str], arguments: Vec<String>| {
        fail(1, parts, arguments.iter().map(String::as_str));
    };
    refuse(&["holds no training to resume"], train(&at("misspelt"), &["--resume"]));
    assert!(!at("misspelt").exists());
    let claim = TrainingFolder::claim(&at("claimed")).unwrap();
    refuse(&["another training"], train(&at("claimed"), &[]));
    drop(claim);
    world.train("finished", &[]);
    let finished = world.at("finished");
    refuse(&["is not empty", "--resume"], train(&finished, &[]));
    refuse(&["differs from the settings of this run in train.batch"], {
        fs::write(at("other.toml"), TINY.replace("batch = 2", "batch = 3")).unwrap();
        strings([
            "train",
            "--healthy",
            &healthy,
            "--config",
            &text(&at("other.toml")),
            "-o",
            &text(&finished),
            "--resume",
        ])
    });
    fs::write(finished.join("run.json"), "").unwrap();
    refuse(&["run.json"], train(&finished, &["--resume"]));
    refuse(
        &["run.json"],
        strings([
            "detect",
            "-i",
            &world.path("patients"),
            "-o",
            &text(&at("maps")),
            "-m",
            &text(&finished),
        ]),
    );
}

#[test]
fn scans_that_changed_under_their_names_are_refused_on_resuming() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let healthy = folder.path().join("healthy");
    fs::create_dir(&healthy).unwrap();
    for name in names(&world.at("healthy")) {
        fs::copy(world.at("healthy").join(&name), healthy.join(&name)).unwrap();
    }
    let model = text(&folder.path().join("model"));
    let train = strings([
        "train",
        "--healthy",
        &text(&healthy),
        "--config",
        &world.path("tiny.toml"),
        "-o",
        &model,
    ]);
    succeed(train.iter().map(String::as_str));
    fs::copy(world.at("patients/sub-1_T1w.nii.gz"), healthy.join("h2.nii.gz")).unwrap();
    fail(1, &["the contents of h2"], train.iter().map(String::as_str).chain(["--resume"]));
}

#[test]
fn an_unfinished_model_says_so_and_damaged_weights_are_refused() {
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    world.train("damaged", &[]);
    let (model, out) = (world.at("damaged"), text(&folder.path().join("out")));
    let detect =
        strings(["detect", "-i", &world.path("patients"), "-o", &out, "-m", &text(&model)]);
    let record = fs::read_to_string(model.join("run.json")).unwrap();
    fs::write(model.join("run.json"), record.replace("\"finished\": true", "\"finished\": false"))
        .unwrap();
    let ran = succeed(detect.iter().map(String::as_str));
    assert!(ran.err.contains("its training is not finished"), "{}", ran.err);
    let weights = model.join("ema.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, &bytes).unwrap();
    fail(1, &["ema.safetensors"], detect.iter().map(String::as_str));
    let config = fs::read_to_string(model.join("config.json")).unwrap();
    assert!(config.contains("\"groups\": 4"));
    let absurd = config.replacen("8,", "9007199254740984,", 1);
    assert_ne!(absurd, config);
    fs::write(model.join("config.json"), absurd).unwrap();
    fail(1, &["network.channels", "9007199254740984"], detect.iter().map(String::as_str));
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_and_thousands_of_threads_are_no_hindrance() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let (world, folder) = (World::get(), tempfile::tempdir().unwrap());
    let latin = |name: &[u8]| folder.path().join(OsString::from_vec(name.to_vec()));
    let (scans, out) = (latin(b"patients-\xe9"), latin(b"maps-\xfc"));
    fs::create_dir(&scans).unwrap();
    let scan = scans.join(OsString::from_vec(b"Andr\xe9_T1w.nii.gz".to_vec()));
    fs::copy(world.at("patients/sub-1_T1w.nii.gz"), &scan).unwrap();
    let run = |arguments: &[&std::ffi::OsStr]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_disyre")).args(arguments).output().unwrap();
        assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    };
    let (model, word) = (world.path("model"), |word: &'static str| std::ffi::OsStr::new(word));
    run(&[
        word("detect"),
        word("-i"),
        scans.as_ref(),
        word("-o"),
        out.as_ref(),
        word("-m"),
        model.as_ref(),
        word("--threads"),
        word("2048"),
    ]);
    let mut left: Vec<_> =
        fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_vec()).collect();
    left.retain(|name| name != b"manifest.jsonl" && name != b"index.html");
    assert_eq!(left.len(), 6);
    assert!(left.iter().all(|name| name.starts_with(b"Andr%E9_")), "{left:?}");
    run(&[word("info"), scan.as_ref()]);
    // Pages find a scan by the text of its name, here and in another folder.
    run(&[word("report"), out.as_ref()]);
    let elsewhere = latin(b"moved-\xea");
    fs::rename(&scans, &elsewhere).unwrap();
    run(&[word("report"), out.as_ref(), word("--scans"), elsewhere.as_ref()]);
}
