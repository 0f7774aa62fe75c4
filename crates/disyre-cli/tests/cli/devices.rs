//! `--device`: the choice of a device, and devices that are not there.

use disyre::diffusion::{Device, DeviceRequest};

use crate::support::{World, fail, succeed, text};

#[test]
fn the_choice_of_a_device_says_why() {
    let world = World::get();
    let out = tempfile::tempdir().unwrap();
    let (scan, model) = (world.path("patients/sub-1_T1w.nii.gz"), world.path("model"));
    let arguments = ["detect", "-i", &scan, "-o", &text(out.path()), "-m", &model];
    let ran = succeed(arguments.into_iter().chain(["--device", "auto"]));
    let selected = Device::open(DeviceRequest::Auto).unwrap();
    assert!(ran.err.contains(&format!("device: {}\n", selected.reason())), "{}", ran.err);
    if selected.is_cpu() {
        assert!(ran.err.contains("device: CPU, because "), "{}", ran.err);
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_nothing_is_written() {
    let world = World::get();
    let folder = tempfile::tempdir().unwrap();
    let (healthy, out) = (world.path("healthy"), folder.path().join("out"));
    let (patients, model, to) = (world.path("patients"), world.path("model"), text(&out));
    for arguments in
        [["train", "--healthy", &healthy, "-o", &to], ["detect", "-i", &patients, "-o", &to]]
    {
        let model = ["-m", &model].into_iter().filter(|_| arguments[0] == "detect");
        let arguments = arguments.into_iter().chain(model);
        fail(1, &["device cuda:99 cannot be used"], arguments.chain(["--device", "cuda:99"]));
        assert!(!out.exists());
    }
}

#[cfg(feature = "cuda-emulation")]
mod emulated {
    use std::path::Path;
    use std::process::Command;

    use serde_json::Value;

    use super::*;
    use crate::support::{json, read, start};

    /// Relative to the greatest value: sums in another order, and six steps of training on them.
    const TOLERANCE: f64 = 1e-5;

    fn assert_close(what: &str, found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let greatest = expected.iter().fold(0.0f64, |max, v| max.max(v.abs()));
        let distances =
            found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
        let worst = distances.fold(0.0, f64::max);
        assert!(worst <= TOLERANCE * greatest, "{what}: off by {worst}, greatest {greatest}");
    }

    /// Losses of all steps.
    fn losses(model: &Path) -> Vec<f64> {
        let log = std::fs::read_to_string(model.join("train.jsonl")).unwrap();
        let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        events.filter_map(|event| event["loss"].as_f64()).collect()
    }

    /// Trains to the end, or until the first step is done and someone ends it.
    fn train(world: &World, model: &Path, device: &str, end: bool) -> Option<i32> {
        let (healthy, config, model_path) =
            (world.path("healthy"), world.path("tiny.toml"), text(model));
        let arguments = ["train", "--healthy", &healthy, "-o", &model_path, "--config", &config];
        let mut child = start(arguments.into_iter().chain(["--device", device]));
        let log = || std::fs::read_to_string(model.join("train.jsonl")).unwrap_or_default();
        while end && !log().contains("\"step\":1,") {
            assert_eq!(child.try_wait().unwrap(), None, "training ended by itself");
            std::thread::yield_now();
        }
        let pid = child.id().to_string();
        assert!(!end || Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        child.wait().unwrap().code()
    }

    fn detect(world: &World, model: &Path, device: &str, name: &str) -> Vec<f64> {
        let folder = tempfile::tempdir().unwrap();
        let (scan, out) = (world.path("patients/sub-1_T1w.nii.gz"), text(folder.path()));
        let (model, stem) = (text(model), "sub-1_desc-anomalyscore_T1w");
        let ran = succeed(["detect", "-i", &scan, "-o", &out, "-m", &model, "--device", device]);
        assert!(ran.err.contains(&format!("device: {name}, as asked for")), "{}", ran.err);
        let sidecar = json(&folder.path().join(format!("{stem}.json"))).to_string();
        assert!(sidecar.contains(&format!("{name}, as asked for")), "{sidecar}");
        let map = read(&folder.path().join(format!("{stem}.nii.gz"))).volume.data;
        map.iter().map(|&v| v.into()).collect()
    }

    #[test]
    fn the_kernels_for_cuda_train_resume_and_detect_as_the_processor_does() {
        let world = World::get();
        let folder = tempfile::tempdir().unwrap();
        let [cpu, cuda] = ["cpu", "emulated"].map(|name| folder.path().join(name));
        assert_eq!(train(world, &cpu, "cpu", false), Some(0));
        assert_eq!(train(world, &cuda, "emulated", true), Some(130), "stopped in time");
        let (healthy, to) = (world.path("healthy"), text(&cuda));
        let resume = ["train", "--healthy", &healthy, "-o", &to, "--resume"];
        let ran = succeed(resume.into_iter().chain(["--device", "emulated"]));
        assert!(ran.err.contains("resumed after step "), "{}", ran.err);
        assert_eq!(losses(&cpu).len(), 6);
        assert_close("losses", &losses(&cuda), &losses(&cpu));
        let map = detect(world, &cpu, "cpu", "CPU");
        assert!(map.iter().filter(|&&v| v > 0.0).count() > 500);
        for model in [&cpu, &cuda] {
            let found = detect(world, model, "emulated", "CUDA kernels emulated on the CPU");
            assert_close("the map", &found, &map);
        }
    }
}
