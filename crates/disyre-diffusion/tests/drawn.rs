//! Training on pairs that the device finishes, against the same pairs made on the processor.
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use disyre_core::ndarray::{Array3, ArrayViewMut3, ArrayViewMut4, Axis, Zip, s};
use disyre_core::rand::RngExt;
use disyre_core::{
    Cut, Drawing, DrawnAnomaly, DrawnBias, DrawnPairs, DrawnTexture, Key, Normalisation, PairError,
    PairSource, Patch, Rules, Severity, Stock, StockVolume,
};
use disyre_diffusion::{
    Device, DiffusionError, EMA_FILE, MODEL_FILE, ModelConfig, TRAINING_FILE, TrainConfig,
    TrainEvent, TrainRun, UNetConfig, train,
};
use support::devices;

const VOLUME: [usize; 3] = [3, 10, 10];
const PATCH: [usize; 3] = [2, 8, 8];
const WINDOW: [usize; 3] = [2, 4, 5];

/// Two volumes of noise on a ground of 0, whose patches are mirrored, blended with each other and shifted, all by sharp
/// masks.
struct Toy {
    volumes: [Array3<f32>; 2],
    /// Whether it can be drawn.
    drawn: bool,
    fails_from: u64,
    /// Pairs that were made here.
    made: AtomicU64,
}

impl Toy {
    fn new(drawn: bool) -> Self {
        let volumes = [1u64, 2].map(|seed| {
            let mut rng = Key::new(seed).rng();
            Array3::from_shape_fn(VOLUME, |(_, y, x)| {
                let value = rng.random();
                if y + x < 4 { 0.0 } else { value }
            })
        });
        Self { volumes, drawn, fails_from: u64::MAX, made: AtomicU64::new(0) }
    }

    fn draw(index: u64) -> Drawing {
        let mut rng = Key::new(3).child(index).rng();
        let [mut from, mut to, mut size] = [[0; 3], [0; 3], PATCH];
        for axis in 0..3 {
            from[axis] = rng.random_range(0..=VOLUME[axis] - PATCH[axis]);
        }
        // Some patches reach beyond their volume.
        if index.is_multiple_of(3) {
            (to[2], size[2]) = (1, PATCH[2] - 3);
        }
        let mirror = [0; 3].map(|_| rng.random());
        let cut = Cut { volume: rng.random_range(0..2), from, to, size, mirror };
        let origin = [0, rng.random_range(0..=4), rng.random_range(0..=3)];
        let shape = Array3::from_shape_fn(WINDOW, |(_, y, x)| {
            if y > 0 && x > 1 { 0.25 * (1 + (y + x) % 4) as f32 } else { 0.0 }
        });
        let severity = Severity::new(rng.random()).unwrap();
        let start = [0, 7, 7].map(|end| rng.random_range(-2..=end) as isize);
        let texture = DrawnTexture { severity, volume: rng.random_range(0..2), start };
        let shift = rng.random_range(-1.0..1.0f32);
        let anomaly = DrawnAnomaly {
            origin,
            shape,
            blur_sigma_voxels: [0.0; 3],
            texture: index.is_multiple_of(2).then_some(texture),
            bias: (index % 4 != 2).then(|| DrawnBias { shift, selection: vec![0.5] }),
        };
        Drawing { patch: Patch::Cut(cut), anomaly: (index % 5 != 4).then_some(anomaly) }
    }

    fn patch(&self, cut: &Cut, mut out: ArrayViewMut3<'_, f32>) {
        out.fill(0.0);
        for (at, &value) in self.volumes[cut.volume].indexed_iter() {
            let at = [at.0, at.1, at.2];
            if (0..3).all(|i| (cut.from[i]..cut.from[i] + cut.size[i]).contains(&at[i])) {
                let place = |i: usize| {
                    let place = at[i] - cut.from[i] + cut.to[i];
                    if cut.mirror[i] { PATCH[i] - 1 - place } else { place }
                };
                out[[place(0), place(1), place(2)]] = value;
            }
        }
    }

    /// Corrupts the window of a patch; tells the severity.
    fn corrupt(&self, anomaly: &DrawnAnomaly, mut x: ArrayViewMut3<'_, f32>) -> f32 {
        let mut mask = anomaly.shape.clone();
        Zip::from(&mut mask).and(&x).for_each(|m, &x| *m = if x == 0.0 { 0.0 } else { *m });
        let before = x.to_owned();
        if let Some(DrawnTexture { severity, volume, start }) = anomaly.texture {
            for ((z, y, x_at), x) in x.indexed_iter_mut() {
                let at = [z, y, x_at];
                let place = [0, 1, 2].map(|i| usize::try_from(start[i] + at[i] as isize));
                let texture = match place {
                    [Ok(z), Ok(y), Ok(x)] => self.volumes[volume].get([z, y, x]).copied(),
                    _ => None,
                };
                *x += severity.get() * mask[at] * (texture.unwrap_or(0.0) - *x);
            }
        }
        let blended = if x == before { 0.0 } else { anomaly.texture.unwrap().severity.get() };
        let before = x.to_owned();
        let shift = anomaly.bias.as_ref().map_or(0.0, |bias| bias.shift);
        Zip::from(&mut x).and(&mask).for_each(|x, m| *x = (*x + shift * m).clamp(0.0, 1.0));
        (&x - &before).iter().fold(blended, |most: f32, change| most.max(change.abs()))
    }

    fn ensure_can(&self, index: u64) -> Result<(), PairError> {
        if index < self.fails_from {
            return Ok(());
        }
        Err(PairError::Source { index, source: "no more images".into() })
    }
}

impl PairSource for Toy {
    fn pair(
        &self,
        index: u64,
        mut corrupted: ArrayViewMut4<'_, f32>,
        mut clean: ArrayViewMut4<'_, f32>,
    ) -> Result<Severity, PairError> {
        self.ensure_can(index)?;
        self.made.fetch_add(1, Ordering::SeqCst);
        let Drawing { patch: Patch::Cut(cut), anomaly } = Self::draw(index) else {
            unreachable!("all patches are cut");
        };
        self.patch(&cut, clean.index_axis_mut(Axis(0), 0));
        corrupted.assign(&clean);
        let Some(anomaly) = anomaly else { return Ok(Severity::CLEAN) };
        let [oz, oy, ox] = anomaly.origin;
        let [wz, wy, wx] = WINDOW;
        let window = corrupted.slice_mut(s![0, oz..oz + wz, oy..oy + wy, ox..ox + wx]);
        Ok(Severity::new(self.corrupt(&anomaly, window)).unwrap())
    }

    fn drawn(&self) -> Option<&dyn DrawnPairs> {
        self.drawn.then_some(self)
    }
}

impl DrawnPairs for Toy {
    fn stock(&self) -> Stock<'_> {
        fn whole(volume: &Array3<f32>) -> StockVolume<'_> {
            StockVolume { extents: VOLUME, values: volume.as_slice().unwrap() }
        }
        let rules = Rules {
            window: WINDOW,
            normalisation: Normalisation::None,
            tissue_borders: vec![],
            count_offset: 1000.0,
            tissue_blur_sigma_voxels: [0.0; 3],
        };
        Stock { volumes: self.volumes.iter().map(whole).collect(), patch: PATCH, rules }
    }

    fn drawing(&self, index: u64) -> Result<Drawing, PairError> {
        self.ensure_can(index)?;
        Ok(Self::draw(index))
    }
}

struct Setup<'a> {
    pairs: &'a Toy,
    dir: &'a Path,
    resume: bool,
    stop_after: Option<u64>,
    device: Device,
}

impl Setup<'_> {
    /// The losses of the steps.
    fn train(&self) -> Result<Vec<f64>, DiffusionError> {
        let network = UNetConfig {
            channels: vec![4, 8],
            groups: 4,
            resnets_per_level: 1,
            attention_levels: vec![],
            middle_attention: false,
            embedding_channels: 16,
            ..UNetConfig::default()
        };
        let config = TrainConfig {
            steps: 4,
            batch: 4,
            learning_rate: 3e-3,
            warmup_steps: 1,
            validation_pairs: 1,
            ..TrainConfig::default()
        };
        let (stop, mut losses) = (AtomicBool::new(false), Vec::new());
        let run = TrainRun {
            config: &config,
            model: &ModelConfig { network, patch: PATCH, ..ModelConfig::default() },
            pairs: self.pairs,
            validation: &Toy::new(false),
            dir: self.dir,
            resume: self.resume,
            stop: Some(&stop),
            device: self.device,
        };
        train(&run, &mut |event| {
            if let TrainEvent::Step { step, loss, .. } = event {
                stop.store(Some(step) == self.stop_after, Ordering::Relaxed);
                losses.push(loss);
            }
        })?;
        Ok(losses)
    }
}

fn setup<'a>(pairs: &'a Toy, dir: &'a Path, device: Device) -> Setup<'a> {
    Setup { pairs, dir, resume: false, stop_after: None, device }
}

fn bytes(dir: &Path) -> [Vec<u8>; 3] {
    [MODEL_FILE, EMA_FILE, TRAINING_FILE].map(|name| fs::read(dir.join(name)).unwrap())
}

#[test]
fn losses_on_drawn_pairs_are_those_on_made_ones() {
    for device in devices() {
        let [drawn, made] = [true, false].map(Toy::new);
        let [drawn_dir, made_dir] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let found = setup(&drawn, drawn_dir.path(), device).train().unwrap();
        let expected = setup(&made, made_dir.path(), device).train().unwrap();
        assert_eq!(expected.len(), 4);
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found / expected - 1.0).abs() < 1e-4, "{found}, not {expected} on {device}");
        }
        let made_here = drawn.made.into_inner();
        assert_eq!(made_here, if device == Device::Cpu { 16 } else { 0 }, "{device}");
        if device == Device::Cpu {
            assert!(bytes(drawn_dir.path()) == bytes(made_dir.path()));
        }
    }
}

#[test]
fn two_steps_and_two_resumed_are_four_steps_to_the_byte() {
    let pairs = Toy::new(true);
    for device in devices() {
        let [whole, halves] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let losses = setup(&pairs, whole.path(), device).train().unwrap();
        let first = Setup { stop_after: Some(2), ..setup(&pairs, halves.path(), device) };
        let mut in_halves = first.train().unwrap();
        let second = Setup { resume: true, stop_after: None, ..first };
        in_halves.extend(second.train().unwrap());
        assert_eq!(in_halves, losses, "{device}");
        assert!(bytes(whole.path()) == bytes(halves.path()), "the files differ on {device}");
    }
}

#[test]
fn the_first_pair_that_cannot_be_drawn_ends_the_run() {
    // Pairs 6 and 7 of the second step both fail.
    let pairs = Toy { fails_from: 6, ..Toy::new(true) };
    for device in devices() {
        let dir = tempfile::tempdir().unwrap();
        let error = setup(&pairs, dir.path(), device).train().unwrap_err();
        assert_eq!(error.to_string(), "pair 6 could not be made", "{device}");
    }
}
