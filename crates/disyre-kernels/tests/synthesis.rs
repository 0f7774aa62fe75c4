//! Pairs finished by the CUDA kernel against those of disyre-dag: run by the emulator, and on a device where there is one.
#![cfg(any(feature = "cuda", feature = "cuda-emulation"))]
#![allow(clippy::unwrap_used, reason = "a failure should stop the test")]

mod common;
mod devices;

use std::sync::Arc;

use common::assert_within;
use disyre_core::ndarray::{Array2, Array3, Array4, ArrayView4, ArrayViewMut4, Axis, Slice};
use disyre_core::{
    Cut, Drawing, DrawnAnomaly, DrawnBias, DrawnTexture, Key, Normalisation, Patch, Rules,
    Severity, Stock, StockVolume,
};
use disyre_dag::{
    BiasConfig, BiasDirection, BiasParams, DagError, PlacedMask, TextureConfig, TextureParams,
    TextureSource, TissueBias, gaussian_blur,
};
#[cfg(feature = "cuda-emulation")]
use disyre_kernels::Cpu;
use disyre_kernels::Precision;
use disyre_kernels::backend::{Backend, Conditions};
use disyre_kernels::cuda::{Cuda, Device};
use disyre_tissue::Codebook;
use proptest::prelude::*;

const NORMALISATIONS: [Normalisation; 4] =
    [Normalisation::None, Normalisation::Mean, Normalisation::Std, Normalisation::MinMax];

/// More than a block has threads: all of them again and again, so that many are equally close.
const LEVELS: [f32; 4] = [0.75, 0.5, 0.0, 0.125];
const TIMES: usize = 150;
const WIDTH: usize = 3;

/// What all pairs of a batch have in common, and their drawings.
#[derive(Debug, Clone)]
struct Case {
    volumes: Vec<Array3<f32>>,
    patch: [usize; 3],
    rules: Rules,
    /// Of the tissues; their borders lie half way.
    centres: Vec<f64>,
    drawings: Vec<Drawing>,
}

/// All pairs, one behind another.
#[derive(Debug, Clone, Default, PartialEq)]
struct Found {
    clean: Vec<f32>,
    corrupted: Vec<f32>,
    severities: Vec<f32>,
    conditions: Vec<f32>,
}

impl Case {
    fn new(
        patch: [usize; 3],
        window: [usize; 3],
        extents: &[[usize; 3]],
        drawings: Vec<Drawing>,
    ) -> Self {
        let centres = vec![0.15, 0.4, 0.6, 0.85];
        let rules = Rules {
            window,
            normalisation: Normalisation::MinMax,
            tissue_borders: borders(&centres),
            count_offset: 8.0,
            tissue_blur_sigma_voxels: [0.5, 0.75, 1.0],
        };
        let volumes =
            extents.iter().enumerate().map(|(seed, &extents)| volume(extents, seed as u64));
        Self { volumes: volumes.collect(), patch, rules, centres, drawings }
    }

    /// Slices, of which a window near the middle is corrupted.
    fn slices(change: &[&dyn Fn(&mut DrawnAnomaly)]) -> Self {
        let drawings = change.iter().map(|change| {
            let mut anomaly = anomaly([1, 9, 10], [0, 3, 4]);
            change(&mut anomaly);
            Drawing { patch: Patch::Cut(whole([1, 16, 20])), anomaly: Some(anomaly) }
        });
        Self::new([1, 16, 20], [1, 9, 10], &[[3, 20, 24], [2, 12, 13]], drawings.collect())
    }

    fn with_rules(mut self, change: impl FnOnce(&mut Rules)) -> Self {
        change(&mut self.rules);
        self
    }

    fn stock(&self) -> Stock<'_> {
        let volumes = self.volumes.iter().map(|volume| StockVolume {
            extents: volume.dim().into(),
            values: volume.as_slice().unwrap(),
        });
        Stock { volumes: volumes.collect(), patch: self.patch, rules: self.rules.clone() }
    }

    /// Finished by a device that finished others before.
    fn on<D: Device>(&self, device: &Cuda<D>) -> Found {
        let levels = LEVELS.repeat(TIMES);
        let rows: Vec<f32> = (0..levels.len() * WIDTH).map(|i| i as f32).collect();
        let conditions = Conditions { severities: &levels, rows: &rows };
        let batch = self.drawings.len();
        let mut synthesis = device.synthesis(&self.stock(), &conditions, batch).unwrap();
        let reversed: Vec<Drawing> = self.drawings.iter().rev().cloned().collect();
        device.draw(&reversed, &mut synthesis);
        let others = device.synthesise(&synthesis);
        device.draw(&self.drawings, &mut synthesis);
        let pairs = device.synthesise(&synthesis);
        drop(others);
        let images = pairs.clean.extent;
        assert_eq!([images.height, images.width], [self.patch[1], self.patch[2]]);
        assert_eq!((images.count, pairs.clean.channels), (batch * self.patch[0], 1));
        assert_eq!(pairs.conditions.extent.width, images.count);
        assert_eq!(pairs.conditions.channels, WIDTH);
        Found {
            clean: device.download_maps(&pairs.clean).unwrap(),
            corrupted: device.download_maps(&pairs.corrupted).unwrap(),
            severities: device.download(&pairs.severities).unwrap(),
            conditions: device.download_maps(&pairs.conditions).unwrap(),
        }
    }

    /// The same by disyre-dag.
    fn on_processor(&self) -> Found {
        let mut found = Found::default();
        for Drawing { patch, anomaly } in &self.drawings {
            let clean = self.clean(patch);
            let (corrupted, severity) = match anomaly {
                Some(anomaly) => self.corrupt(anomaly, &clean),
                None => (clean.clone(), Severity::CLEAN),
            };
            found.clean.extend(&clean);
            found.corrupted.extend(&corrupted);
            found.severities.push(severity.get());
            found.conditions.extend(self.rows_of(severity.get()));
        }
        found
    }

    /// The row of the first of the closest levels, for each slice.
    fn rows_of(&self, severity: f32) -> Vec<f32> {
        let distances = LEVELS.map(|level| (level - severity).abs());
        let least = distances.iter().copied().fold(f32::INFINITY, f32::min);
        let level = distances.iter().position(|&distance| distance == least).unwrap();
        let row: Vec<f32> = (0..WIDTH).map(|i| (level * WIDTH + i) as f32).collect();
        row.repeat(self.patch[0])
    }

    fn clean(&self, patch: &Patch) -> Array4<f32> {
        match patch {
            Patch::Cut(cut) => self.cut(cut),
            Patch::Made(made) => made.clone().insert_axis(Axis(0)),
        }
    }

    fn cut(&self, cut: &Cut) -> Array4<f32> {
        let range = |start: [usize; 3], axis: usize| start[axis]..start[axis] + cut.size[axis];
        let mut patch = Array3::zeros(self.patch);
        let from = self.volumes[cut.volume]
            .slice_each_axis(|axis| Slice::from(range(cut.from, axis.axis.index())));
        patch
            .slice_each_axis_mut(|axis| Slice::from(range(cut.to, axis.axis.index())))
            .assign(&from);
        (0..3).filter(|&axis| cut.mirror[axis]).for_each(|axis| patch.invert_axis(Axis(axis)));
        patch.insert_axis(Axis(0)).as_standard_layout().into_owned()
    }

    fn corrupt(&self, anomaly: &DrawnAnomaly, clean: &Array4<f32>) -> (Array4<f32>, Severity) {
        let mut soft = anomaly.shape.clone();
        gaussian_blur(soft.view_mut(), anomaly.blur_sigma_voxels).unwrap();
        soft.mapv_inplace(|value| value.min(1.0));
        let mask = PlacedMask::on_foreground(anomaly.origin, soft, clean.view()).unwrap();
        if mask.voxels_above(0.0) == 0 {
            return (clean.clone(), Severity::CLEAN);
        }
        let mut severity = Severity::CLEAN;
        let mut image = clean.clone();
        if let Some(texture) = &anomaly.texture {
            let (blend, params) = self.texture(texture);
            severity = blend.apply(&params, clean.view(), &mask, image.view_mut()).unwrap();
        }
        if let Some(bias) = &anomaly.bias {
            let (shift, before) = (self.bias(), image.clone());
            let params = params_of(bias);
            let realised = shift.apply(&params, before.view(), &mask, image.view_mut()).unwrap();
            severity = severity.max(realised);
        }
        (image, severity)
    }

    /// The share of each tissue in the mask of a drawing without texture, as disyre-dag selects by it.
    fn shares(&self, index: usize) -> Vec<f64> {
        let Drawing { patch, anomaly } = &self.drawings[index];
        let anomaly = anomaly.as_ref().unwrap();
        let (clean, mut soft) = (self.clean(patch), anomaly.shape.clone());
        gaussian_blur(soft.view_mut(), anomaly.blur_sigma_voxels).unwrap();
        let mut counts = vec![0.0; self.centres.len()];
        for ((z, y, x), _) in soft.indexed_iter().filter(|(_, m)| **m > 0.0) {
            let [a, b, c] = anomaly.origin;
            let value = clean[[0, a + z, b + y, c + x]];
            let below = |border: &&f64| f64::from(value) > **border;
            // Background is not covered.
            if value != 0.0 {
                counts[self.rules.tissue_borders.iter().filter(below).count()] += 1.0;
            }
        }
        let total = counts.iter().sum::<f64>() + self.rules.count_offset;
        counts.iter().map(|count| count / total).collect()
    }

    fn texture(&self, texture: &DrawnTexture) -> (disyre_dag::TextureBlend, TextureParams) {
        let volume = self.volumes[texture.volume].clone();
        let source = Arc::new(Window { volume, start: texture.start });
        let config =
            TextureConfig { normalisation: self.rules.normalisation, ..TextureConfig::default() };
        let params = TextureParams { severity: texture.severity, source: Key::new(0) };
        (config.build(source).unwrap(), params)
    }

    fn bias(&self) -> TissueBias {
        let config = BiasConfig {
            count_offset: self.rules.count_offset,
            blur_sigma_voxels: self.rules.tissue_blur_sigma_voxels,
            ..BiasConfig::default()
        };
        let centres = Array2::from_shape_vec((self.centres.len(), 1), self.centres.clone());
        let codebook = Codebook::from_centres(centres.unwrap().view()).unwrap();
        config.build(Arc::new(codebook)).unwrap()
    }

    /// Fails unless all devices find what the processor does; returns that.
    fn assert_agrees(&self, name: &str) -> Found {
        let expected = self.on_processor();
        #[cfg(feature = "cuda-emulation")]
        {
            let [found, others @ ..] = emulated(self);
            assert_found(name, &found, &expected);
            assert!(others.iter().all(|other| *other == found), "{name}: runs differ");
        }
        #[cfg(feature = "cuda")]
        if let Some(device) = devices::device(Precision::F32) {
            let found = self.on(&device);
            assert_found(&format!("{name} on a device"), &found, &expected);
            assert!(found == self.on(&device), "{name} differs from run to run");
        }
        expected
    }
}

/// By the emulator in every mode.
#[cfg(feature = "cuda-emulation")]
fn emulated(case: &Case) -> [Found; 3] {
    devices::emulators(Precision::F32).map(|emulator| case.on(&emulator))
}

fn assert_found(name: &str, found: &Found, expected: &Found) {
    assert_eq!(found.clean, expected.clean, "clean images of {name}");
    assert_within(&format!("images of {name}"), &found.corrupted, &expected.corrupted, 1e-6);
    assert_within(&format!("severities of {name}"), &found.severities, &expected.severities, 1e-6);
    assert_eq!(found.conditions, expected.conditions, "conditions of {name}");
}

fn borders(centres: &[f64]) -> Vec<f64> {
    centres.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect()
}

fn params_of(bias: &DrawnBias) -> BiasParams {
    BiasParams {
        severity: Severity::new(bias.shift.abs()).unwrap(),
        direction: match bias.shift > 0.0 {
            true => BiasDirection::Brighten,
            false => BiasDirection::Darken,
        },
        channels: Key::new(0),
        selection: bias.selection.clone(),
    }
}

/// One window of a volume, whatever the key; 0 outside the volume.
struct Window {
    volume: Array3<f32>,
    start: [isize; 3],
}

impl TextureSource for Window {
    fn fill(
        &self,
        _: Key,
        _: ArrayView4<'_, f32>,
        mut texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        for ((_, z, y, x), value) in texture.indexed_iter_mut() {
            let [z, y, x] = [(z, 0), (y, 1), (x, 2)]
                .map(|(at, axis)| self.start[axis].saturating_add(at as isize));
            // A place before the start becomes one far behind the end.
            let found = self.volume.get([z as usize, y as usize, x as usize]);
            *value = found.copied().unwrap_or(0.0);
        }
        Ok(())
    }
}

/// Intensities without pattern; a corner is background, and so is every eleventh voxel.
fn volume(extents: [usize; 3], seed: u64) -> Array3<f32> {
    let values = common::numbers(extents.iter().product(), 7 + seed);
    let values = values.into_iter().enumerate();
    let values = values.map(|(i, v)| if i % 11 == 3 { 0.0 } else { 0.5 + 0.5 * v });
    let mut volume = Array3::from_shape_vec(extents, values.collect()).unwrap();
    volume.slice_each_axis_mut(|axis| Slice::from(..axis.len.div_ceil(4))).fill(0.0);
    volume
}

/// The first voxels of the first volume.
fn whole(patch: [usize; 3]) -> Cut {
    Cut { volume: 0, from: [0; 3], to: [0; 3], size: patch, mirror: [false; 3] }
}

/// A soft box with a texture of the second volume and a shift of some tissues.
fn anomaly(window: [usize; 3], origin: [usize; 3]) -> DrawnAnomaly {
    let inside =
        |at: usize, extent: usize| extent == 1 || (extent / 5..extent - extent / 4).contains(&at);
    let shape = Array3::from_shape_fn(window, |(z, y, x)| {
        let inside = inside(z, window[0]) && inside(y, window[1]) && inside(x, window[2]);
        f32::from(u8::from(inside))
    });
    DrawnAnomaly {
        origin,
        shape,
        blur_sigma_voxels: [0.4, 0.8, 1.1],
        texture: Some(DrawnTexture { severity: severity(0.6), volume: 1, start: [0, 2, 1] }),
        bias: Some(DrawnBias { shift: 0.45, selection: vec![0.9, 0.0, 0.95, 0.01] }),
    }
}

fn severity(value: f32) -> Severity {
    Severity::new(value).unwrap()
}

fn selecting(values: &[f64]) -> impl Fn(&mut DrawnAnomaly) {
    let bias = DrawnBias { shift: -0.5, selection: values.to_vec() };
    move |anomaly| anomaly.bias = Some(bias.clone())
}

#[test]
fn textures_and_shifts_agree_with_the_processor_alone_and_together() {
    let found = Case::slices(&[
        &|_| {},
        &|anomaly| anomaly.bias = None,
        &|anomaly| anomaly.texture = None,
        &|anomaly| (anomaly.texture, anomaly.bias) = (None, None),
    ])
    .assert_agrees("slices");
    // The third is a shift alone, so as severe as its greatest change.
    let severities = &found.severities;
    assert!(severities[1] == 0.6 && severities[2] > 0.0 && severities[2] < 0.45);
    assert_eq!(severities[3], 0.0);
}

#[test]
fn patches_that_were_made_are_corrupted_like_those_that_are_cut() {
    let mut case = Case::slices(&[&|_| {}, &|_| {}, &|_| {}]);
    let made = |case: &Case, index: usize| {
        let patch = case.clean(&case.drawings[index].patch).index_axis_move(Axis(0), 0);
        Patch::Made(patch.mapv(|value| 0.5 * value))
    };
    (case.drawings[0].patch, case.drawings[2].patch) = (made(&case, 0), made(&case, 2));
    case.drawings[2].anomaly = None;
    let found = case.assert_agrees("made patches");
    assert_ne!(found.clean[..320], found.clean[320..640]);
    assert_eq!(found.severities[2], 0.0);
}

#[test]
fn pairs_without_anomaly_or_with_an_empty_mask_stay_clean() {
    let mut case = Case::slices(&[&|anomaly| anomaly.shape.fill(0.0), &|anomaly| {
        // The corner is background.
        (anomaly.origin, anomaly.blur_sigma_voxels) = ([0; 3], [0.0; 3]);
        anomaly.shape.fill(0.0);
        anomaly.shape[[0, 1, 2]] = 1.0;
    }]);
    case.drawings.push(Drawing { patch: Patch::Cut(whole(case.patch)), anomaly: None });
    let found = case.assert_agrees("healthy pairs");
    assert_eq!(found.clean, found.corrupted);
    assert_eq!(found.severities, [0.0; 3]);
}

#[test]
fn all_none_and_one_of_the_tissues_can_be_selected() {
    let found = Case::slices(&[
        &selecting(&[0.0; 4]),
        &selecting(&[0.999; 4]),
        &selecting(&[0.999, 0.999, 0.999, 0.0]),
        &selecting(&[0.0, 0.999, 0.0, 0.999]),
    ])
    .assert_agrees("selections");
    let pixels = found.corrupted.len() / 4;
    // All and none are the same, and others than some.
    assert_eq!(found.corrupted[..pixels], found.corrupted[pixels..2 * pixels]);
    assert_ne!(found.corrupted[..pixels], found.corrupted[2 * pixels..3 * pixels]);
}

#[test]
fn a_tissue_is_selected_below_its_share_and_not_at_it() {
    let with = |selection: &[f64]| {
        let bias = DrawnBias { shift: -0.5, selection: selection.to_vec() };
        Case::slices(&[&|anomaly| {
            anomaly.texture = None;
            anomaly.bias = Some(bias.clone());
        }])
    };
    let all = with(&[0.0; 4]);
    let (shares, all) = (all.shares(0), all.on_processor());
    // Either would shift all if a share were a hair off.
    for selection in [[0.0, shares[1], 0.0, 0.0], [0.999, 0.999, shares[2].next_down(), 0.999]] {
        assert_ne!(with(&selection).assert_agrees("shares").corrupted, all.corrupted);
    }
}

#[test]
fn every_normalisation_agrees_with_the_processor() {
    for normalisation in NORMALISATIONS {
        let case = Case::slices(&[&|anomaly| anomaly.bias = None, &|_| {}]);
        let case = case.with_rules(|rules| rules.normalisation = normalisation);
        case.assert_agrees(&format!("{normalisation:?}"));
    }
}

#[test]
fn textures_may_lie_partly_or_wholly_outside_their_volume() {
    let from = |start: [isize; 3]| {
        move |anomaly: &mut DrawnAnomaly| {
            anomaly.texture.as_mut().unwrap().start = start;
        }
    };
    Case::slices(&[
        &from([1, -4, -6]),
        &from([0, 7, 9]),
        &from([-1, 0, 0]),
        &from([isize::MIN, 0, isize::MAX]),
    ])
    .with_rules(|rules| rules.normalisation = Normalisation::None)
    .assert_agrees("textures beyond their volume");
}

#[test]
fn windows_reach_the_border_of_the_patch_and_may_fill_it() {
    let at = |origin: [usize; 3]| move |anomaly: &mut DrawnAnomaly| anomaly.origin = origin;
    let case = Case::slices(&[&at([0; 3]), &at([0, 7, 10]), &at([0, 0, 10])]);
    // Blurs that reach farther than the patch.
    case.with_rules(|rules| rules.tissue_blur_sigma_voxels = [2.0, 6.0, 7.0])
        .assert_agrees("windows at the border");
    let patch = [2, 9, 10];
    let drawing =
        Drawing { patch: Patch::Cut(whole(patch)), anomaly: Some(anomaly(patch, [0; 3])) };
    Case::new(patch, patch, &[[2, 9, 10], [4, 12, 13]], vec![drawing]).assert_agrees("all");
}

#[test]
fn volumes_are_cut_mirrored_and_corrupted_along_every_axis() {
    let patch = [4, 10, 12];
    let mirrored = |mirror| {
        let cut = Cut { from: [1, 3, 2], to: [0, 2, 1], size: [4, 7, 10], mirror, ..whole(patch) };
        Drawing { patch: Patch::Cut(cut), anomaly: Some(anomaly([3, 6, 7], [1, 2, 3])) }
    };
    let drawings = vec![
        mirrored([false; 3]),
        mirrored([true, false, false]),
        mirrored([false, true, true]),
        // A flat volume lies in the middle of the patch.
        Drawing {
            patch: Patch::Cut(Cut {
                volume: 1,
                from: [0; 3],
                to: [1, 0, 3],
                size: [2, 9, 7],
                ..whole(patch)
            }),
            anomaly: Some(anomaly([3, 6, 7], [0, 3, 2])),
        },
    ];
    let found =
        Case::new(patch, [3, 6, 7], &[[6, 11, 13], [2, 9, 7]], drawings).assert_agrees("volumes");
    assert!(found.severities.iter().all(|&severity| severity > 0.0));
}

#[test]
fn a_flat_window_in_a_volume_looks_at_its_slice_alone() {
    let patch = [3, 10, 11];
    let drawing =
        Drawing { patch: Patch::Cut(whole(patch)), anomaly: Some(anomaly([1, 6, 7], [1, 2, 3])) };
    Case::new(patch, [1, 6, 7], &[[3, 12, 14], [4, 12, 13]], vec![drawing])
        .assert_agrees("a flat window");
}

#[test]
fn without_borders_all_is_one_tissue() {
    let mut case = Case::slices(&[&selecting(&[0.0]), &selecting(&[0.999])]);
    (case.centres, case.rules.tissue_borders) = (vec![0.5], Vec::new());
    case.assert_agrees("one tissue");
}

#[test]
fn shapes_are_softened_as_widely_as_the_processor_can() {
    let softened = |sigma: f64| {
        move |anomaly: &mut DrawnAnomaly| {
            anomaly.blur_sigma_voxels = [sigma, sigma, 0.5 * sigma];
        }
    };
    Case::slices(&[&softened(0.0), &softened(0.124), &softened(10.0), &softened(1000.0)])
        .assert_agrees("wide blurs");
}

#[test]
fn the_first_of_equally_close_levels_is_told() {
    let found = Case::slices(&[&|anomaly| {
        anomaly.texture.as_mut().unwrap().severity = severity(0.25);
        anomaly.bias = None;
    }])
    .with_rules(|rules| rules.normalisation = Normalisation::None)
    .assert_agrees("a level");
    // 0.25 is as far from 0.5 and 0 as it gets, but 0.125 is closer.
    assert_eq!(found.conditions, [9.0, 10.0, 11.0]);
    let found = Case::slices(&[&|anomaly| {
        anomaly.texture.as_mut().unwrap().severity = severity(0.625);
        anomaly.bias = None;
    }])
    .assert_agrees("two levels");
    assert_eq!(found.conditions, [0.0, 1.0, 2.0]);
}

#[cfg(feature = "cuda-emulation")]
#[test]
fn images_have_the_bits_of_the_processor() {
    // Tissues are told by intensities: with other last bits a voxel may be of another.
    let case = Case::slices(&[&|_| {}, &selecting(&[0.0, 0.999, 0.0, 0.999])]);
    assert!(emulated(&case)[0] == case.on_processor());
}

#[cfg(feature = "cuda-emulation")]
#[test]
fn what_no_kernel_can_finish_is_left_to_the_processor() {
    let case = Case::slices(&[&|_| {}]);
    let conditions = Conditions { severities: &LEVELS, rows: &LEVELS };
    let device = devices::emulated(Precision::F32);
    let is_served = |case: Case| device.synthesis(&case.stock(), &conditions, 1).is_some();
    assert!(is_served(case.clone()));
    let changed = |change: fn(&mut Rules)| case.clone().with_rules(change);
    assert!(!is_served(changed(|rules| rules.window = [2, 9, 10])));
    assert!(!is_served(changed(|rules| rules.tissue_blur_sigma_voxels = [0.0, 1001.0, 0.0])));
    assert!(!is_served(changed(|rules| rules.tissue_borders = vec![0.5; 256])));
    assert!(!is_served(Case { volumes: Vec::new(), ..case.clone() }));
    assert!(Cpu::default().synthesis(&case.stock(), &conditions, 1).is_none());
}

/// Any drawing that fits a patch and a window of two volumes.
fn drawing(
    extents: [[usize; 3]; 2],
    patch: [usize; 3],
    window: [usize; 3],
) -> impl Strategy<Value = Drawing> {
    let voxels: usize = window.iter().product();
    // As shapes are: mostly in or out.
    let shape = prop::collection::vec(prop_oneof![Just(0f32), Just(1f32), 0f32..1.0], voxels);
    let texture = ((0.01f32..1.0), any::<bool>(), prop::array::uniform3(-9isize..12));
    let bias = ((-1f32..1.0), prop::collection::vec(0f64..0.6, 4));
    let sigma = prop::array::uniform3(prop_oneof![Just(0.0), 0.0..4.0]);
    let places = prop::array::uniform12(0f64..1.0);
    let parts = (prop::option::of(texture), prop::option::of(bias));
    let all = (any::<bool>(), any::<[bool; 3]>(), places, shape, sigma, parts);
    all.prop_map(move |(second, mirror, places, shape, blur_sigma_voxels, (texture, bias))| {
        let upto = |most: usize, index: usize| (places[index] * (most + 1) as f64) as usize;
        let volume = usize::from(second);
        let size = [0, 1, 2].map(|axis| {
            let most = patch[axis].min(extents[volume][axis]);
            1 + upto(most - 1, axis)
        });
        let from = [0, 1, 2].map(|axis| upto(extents[volume][axis] - size[axis], 3 + axis));
        let to = [0, 1, 2].map(|axis| upto(patch[axis] - size[axis], 6 + axis));
        let origin = [0, 1, 2].map(|axis| upto(patch[axis] - window[axis], 9 + axis));
        let texture = texture.map(|(strength, second, start)| DrawnTexture {
            severity: severity(strength),
            volume: usize::from(second),
            start,
        });
        let bias = bias.map(|(shift, selection)| DrawnBias { shift, selection });
        let shape = Array3::from_shape_vec(window, shape).unwrap();
        let anomaly = DrawnAnomaly { origin, shape, blur_sigma_voxels, texture, bias };
        Drawing {
            patch: Patch::Cut(Cut { volume, from, to, size, mirror }),
            anomaly: Some(anomaly),
        }
    })
}

fn case() -> impl Strategy<Value = Case> {
    let extents = || (1usize..5, 4usize..12, 4usize..12).prop_map(|(z, y, x)| [z, y, x]);
    let shapes = ([extents(), extents()], extents(), prop::array::uniform3(0f64..1.0));
    shapes.prop_flat_map(|(extents, patch, shares)| {
        let window = [0, 1, 2].map(|axis| 1 + (shares[axis] * patch[axis] as f64) as usize);
        let drawings = prop::collection::vec(drawing(extents, patch, window), 1..4);
        let sigma = prop::array::uniform3(0f64..2.0);
        let rules = (0usize..4, 0f64..30.0, sigma);
        (drawings, rules).prop_map(move |(drawings, (rule, count_offset, sigma))| {
            Case::new(patch, window, &extents, drawings).with_rules(|rules| {
                rules.normalisation = NORMALISATIONS[rule];
                (rules.count_offset, rules.tissue_blur_sigma_voxels) = (count_offset, sigma);
            })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_pairs_agree_with_the_processor(case in case()) {
        case.assert_agrees("pairs");
    }
}
