//! Training pairs from their drawings: the launch code of synthesis.cu.
//!
//! The stock lies on the device once. A batch then takes a few numbers for each pair and its shape, before any blur; one
//! block cuts the patch, softens the shape, blends the texture and shifts the tissues. Its intensities have the bits that
//! `disyre-dag` finds, but where a device computes e^x otherwise or, for means and deviations, adds in another order.

use disyre_core::{Drawing, DrawnAnomaly, Normalisation, Patch, Rules, Stock, StockVolume};

use super::device::{Device, Kernel};
use super::memory::{Element, Numbers};
use super::{Cuda, Parameters, f32_bytes, int};
use crate::Extent;
use crate::backend::{Backend, Conditions, Pairs};

/// Of synthesis.cu: that of the widest blur that `disyre-dag` accepts, 1000 voxels.
const MOST_RADIUS: usize = 4000;
/// Of synthesis.cu.
const MOST_TISSUES: usize = 256;
/// 64-bit words of `Volume` in synthesis.cu.
const VOLUME_WORDS: usize = 3;
/// 64-bit words of `Drawn` in synthesis.cu.
const DRAWN_WORDS: usize = 15;

/// A stock on a device, and memory for a batch of drawings from it.
#[derive(Debug)]
pub struct Synthesis<D: Device> {
    /// The volumes, and their extents `(z, y, x)`.
    volumes: Vec<(Numbers<D>, [usize; 3])>,
    /// Of `Volume`.
    table: Numbers<D>,
    /// Where each tissue ends.
    borders: Numbers<D>,
    levels: Numbers<D>,
    rows: Numbers<D>,
    /// Of `Drawn`.
    drawn: Numbers<D>,
    /// `(n, window)`.
    shapes: Numbers<D>,
    /// Made ones, `(n, patch)`.
    patches: Numbers<D>,
    /// `(n, tissues)`.
    selections: Numbers<D>,
    scratch: Numbers<D>,
    /// Of a conditioning row.
    width: usize,
    batch: usize,
    patch: [usize; 3],
    rules: Rules,
}

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Synthesise {
    volumes: u64,
    drawn: u64,
    shapes: u64,
    patches: u64,
    selections: u64,
    borders: u64,
    levels: u64,
    rows: u64,
    scratch: u64,
    corrupted: u64,
    clean: u64,
    conditions: u64,
    severities: u64,
    tissue_blur: [f64; 3],
    count_offset: f64,
    patch: [i32; 3],
    window: [i32; 3],
    margin: [i32; 3],
    around: i32,
    rule: i32,
    tissues: i32,
    level_count: i32,
    width: i32,
}

// SAFETY: the structure has the layout of that of the same name in synthesis.cu.
unsafe impl Parameters for Synthesise {}

impl<D: Device> Cuda<D> {
    /// Puts a stock on the device; none if it has more than half of the memory that is left, for the network needs some
    /// too, or if the rules are beyond the kernel.
    pub(super) fn stock(
        &self,
        stock: &Stock<'_>,
        conditions: &Conditions<'_>,
        batch: usize,
    ) -> Option<Synthesis<D>> {
        let Stock { volumes, patch, rules } = stock;
        let levels = conditions.severities.len();
        assert!(levels > 0 && conditions.rows.len().is_multiple_of(levels), "a row for each level");
        if volumes.is_empty() || batch == 0 || !serves(*patch, rules) {
            return None;
        }
        let (window, tissues) = (voxels(rules.window), tissues(rules));
        let scratch = batch * (window + 2 * around(*patch, rules));
        let numbers = volumes.iter().map(|volume| volume.values.len()).sum::<usize>();
        let needed = 4 * (numbers + scratch + batch * (window + voxels(*patch)));
        if self.free_memory().is_some_and(|free| needed > free / 2) {
            return None;
        }
        let borders = rules.tissue_borders.iter().copied().chain([f64::INFINITY]);
        let on_device = volumes.iter().map(|volume| self.volume(volume));
        let on_device = on_device.collect::<Option<Vec<_>>>()?;
        Some(Synthesis {
            table: self.lay(Element::F64, &table(&on_device, volumes))?,
            volumes: on_device.into_iter().zip(volumes.iter().map(|v| v.extents)).collect(),
            borders: self.lay(Element::F64, &f64_bytes(borders))?,
            levels: self.lay(Element::F32, &f32_bytes(conditions.severities))?,
            rows: self.lay(Element::F32, &f32_bytes(conditions.rows))?,
            // Until the first are drawn: patches of no voxels, without anomaly.
            drawn: self.lay(Element::F64, &vec![0; 8 * batch * DRAWN_WORDS])?,
            shapes: Numbers::take(&self.pool, Element::F32, batch * window).ok()?,
            patches: Numbers::take(&self.pool, Element::F32, batch * voxels(*patch)).ok()?,
            selections: Numbers::take(&self.pool, Element::F64, batch * tissues).ok()?,
            scratch: Numbers::take(&self.pool, Element::F32, scratch).ok()?,
            width: conditions.width(),
            batch,
            patch: *patch,
            rules: rules.clone(),
        })
    }

    fn volume(&self, volume: &StockVolume<'_>) -> Option<Numbers<D>> {
        assert_eq!(voxels(volume.extents), volume.values.len(), "a volume of its extents");
        self.lay(Element::F32, &f32_bytes(volume.values))
    }

    /// Puts bytes on the device, if there is memory.
    fn lay(&self, element: Element, bytes: &[u8]) -> Option<Numbers<D>> {
        let numbers = Numbers::take(&self.pool, element, bytes.len() / element.bytes()).ok()?;
        self.write(bytes, &numbers);
        Some(numbers)
    }

    /// # Panics
    /// If there are more or fewer drawings than the memory is for, or they do not fit the stock.
    pub(super) fn lay_drawings(&self, drawings: &[Drawing], synthesis: &Synthesis<D>) {
        assert_eq!(drawings.len(), synthesis.batch, "a drawing for each pair of the batch");
        let (window, tissues) = (voxels(synthesis.rules.window), tissues(&synthesis.rules));
        let mut drawn = Vec::with_capacity(synthesis.drawn.bytes());
        let mut shapes = Vec::with_capacity(synthesis.shapes.bytes());
        let mut selections = Vec::with_capacity(synthesis.selections.bytes());
        let outline = synthesis.outline();
        for (index, drawing) in drawings.iter().enumerate() {
            outline.ensure_holds(drawing).expect("drawings fit the stock");
            drawn.extend(synthesis.encode(drawing));
            if let Some(anomaly) = &drawing.anomaly {
                shapes.extend(anomaly.shape.iter().flat_map(|value| value.to_ne_bytes()));
                let bias = anomaly.bias.iter().flat_map(|bias| bias.selection.iter().copied());
                selections.extend(f64_bytes(bias));
            }
            shapes.resize(4 * (index + 1) * window, 0);
            selections.resize(8 * (index + 1) * tissues, 0);
        }
        if drawings.iter().any(|drawing| matches!(drawing.patch, Patch::Made(_))) {
            self.write(&made_patches(drawings, synthesis.patch), &synthesis.patches);
        }
        self.write(&drawn, &synthesis.drawn);
        self.write(&shapes, &synthesis.shapes);
        self.write(&selections, &synthesis.selections);
    }

    /// Finishes the pairs whose drawings lie on the device.
    pub(super) fn finish(&self, synthesis: &Synthesis<D>) -> Pairs<Self> {
        let (batch, [z, height, width]) = (synthesis.batch, synthesis.patch);
        let images = Extent { count: batch * z, height, width };
        let row = Extent { count: 1, height: 1, width: batch * z };
        let pairs = Pairs {
            corrupted: self.blank(images, 1),
            clean: self.blank(images, 1),
            conditions: self.blank(row, synthesis.width),
            severities: self.take(Element::F32, batch),
        };
        let kernel = Kernel { module: "synthesis", name: "synthesise" };
        self.run(kernel, [batch, 1, 1], 256, &synthesis.parameters(&pairs));
        pairs
    }
}

impl<D: Device> Synthesis<D> {
    fn parameters(&self, pairs: &Pairs<Cuda<D>>) -> Synthesise {
        let Rules { window, normalisation, count_offset, tissue_blur_sigma_voxels, .. } =
            self.rules;
        Synthesise {
            volumes: self.table.address(0),
            drawn: self.drawn.address(0),
            shapes: self.shapes.address(0),
            patches: self.patches.address(0),
            selections: self.selections.address(0),
            borders: self.borders.address(0),
            levels: self.levels.address(0),
            rows: self.rows.address(0),
            scratch: self.scratch.address(0),
            corrupted: pairs.corrupted.values.address(0),
            clean: pairs.clean.values.address(0),
            conditions: pairs.conditions.values.address(0),
            severities: pairs.severities.address(0),
            tissue_blur: tissue_blur_sigma_voxels,
            count_offset,
            patch: self.patch.map(int),
            window: window.map(int),
            margin: margin(&self.rules).map(int),
            around: int(around(self.patch, &self.rules)),
            rule: match normalisation {
                Normalisation::None => 0,
                Normalisation::Mean => 1,
                Normalisation::Std => 2,
                Normalisation::MinMax => 3,
            },
            tissues: int(tissues(&self.rules)),
            level_count: int(self.levels.len()),
            width: int(self.width),
        }
    }

    /// The stock without its values: what drawings can refer to.
    fn outline(&self) -> Stock<'static> {
        let volume = |&(_, extents): &(_, _)| StockVolume { extents, values: &[] };
        let volumes = self.volumes.iter().map(volume).collect();
        Stock { volumes, patch: self.patch, rules: self.rules.clone() }
    }

    /// The bytes of `Drawn`.
    fn encode(&self, Drawing { patch, anomaly }: &Drawing) -> Vec<u8> {
        let sigma = anomaly.as_ref().map_or([0.0; 3], |anomaly| anomaly.blur_sigma_voxels);
        let mut bytes = f64_bytes(sigma);
        let mut push = |numbers: &[i32]| {
            bytes.extend(numbers.iter().flat_map(|number| number.to_ne_bytes()));
        };
        match patch {
            Patch::Cut(cut) => {
                push(&[int(cut.volume)]);
                [cut.from, cut.to, cut.size].iter().for_each(|voxels| push(&voxels.map(int)));
                push(&cut.mirror.map(i32::from));
            }
            // No volume, and nothing to cut.
            Patch::Made(_) => push(&[-1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        }
        push(&[i32::from(anomaly.is_some())]);
        push(&anomaly.as_ref().map_or([0; 3], |anomaly| anomaly.origin).map(int));
        push(&self.encode_parts(anomaly.as_ref()));
        push(&[0]);
        bytes
    }

    /// Texture, its start and severity, and the shift.
    fn encode_parts(&self, anomaly: Option<&DrawnAnomaly>) -> [i32; 6] {
        let bits = |value: f32| value.to_bits().cast_signed();
        let bias = anomaly.and_then(|anomaly| anomaly.bias.as_ref());
        let shift = bits(bias.map_or(0.0, |bias| bias.shift));
        let Some(texture) = anomaly.and_then(|anomaly| anomaly.texture) else {
            return [-1, 0, 0, 0, 0, shift];
        };
        let [z, y, x] = std::array::from_fn(|axis| {
            let (window, extent) = (self.rules.window[axis], self.volumes[texture.volume].1[axis]);
            // Farther outside the window would see nothing else.
            texture.start[axis].clamp(-(int(window) as isize), int(extent) as isize) as i32
        });
        [int(texture.volume), z, y, x, bits(texture.severity.get()), shift]
    }
}

/// The bytes of the patches that were made, zeros for the others.
fn made_patches(drawings: &[Drawing], patch: [usize; 3]) -> Vec<u8> {
    let size = voxels(patch);
    let mut values = vec![0.0; drawings.len() * size];
    for (drawing, to) in drawings.iter().zip(values.chunks_exact_mut(size)) {
        if let Patch::Made(made) = &drawing.patch {
            to.iter_mut().zip(made).for_each(|(to, &from)| *to = from);
        }
    }
    f32_bytes(&values)
}

/// Whether the kernel can do these.
fn serves(patch: [usize; 3], rules: &Rules) -> bool {
    let blurs = rules.tissue_blur_sigma_voxels.map(radius);
    (0..3).all(|axis| rules.window[axis] <= patch[axis])
        && !rules.window.contains(&0)
        && blurs.iter().all(|&radius| radius <= MOST_RADIUS)
        && tissues(rules) <= MOST_TISSUES
        && i32::try_from(voxels(patch)).is_ok()
}

/// The bytes of `Volume` of each volume.
fn table<D: Device>(on_device: &[Numbers<D>], volumes: &[StockVolume<'_>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 * VOLUME_WORDS * volumes.len());
    for (numbers, volume) in on_device.iter().zip(volumes) {
        bytes.extend(numbers.address(0).to_ne_bytes());
        let [z, y, x] = volume.extents.map(int);
        bytes.extend([z, y, x, 0].iter().flat_map(|number| number.to_ne_bytes()));
    }
    bytes
}

fn tissues(rules: &Rules) -> usize {
    rules.tissue_borders.len() + 1
}

fn voxels(extents: [usize; 3]) -> usize {
    extents.iter().product()
}

/// Voxels on either side that a blur looks at: 4 standard deviations.
fn radius(sigma: f64) -> usize {
    (4.0 * sigma + 0.5) as usize
}

/// What the shift of tissues looks at around the window; nothing along an axis on which that has one voxel.
fn margin(rules: &Rules) -> [usize; 3] {
    let radii = rules.tissue_blur_sigma_voxels.map(radius);
    std::array::from_fn(|axis| if rules.window[axis] > 1 { radii[axis] } else { 0 })
}

/// The most voxels of the window and its margin.
fn around(patch: [usize; 3], rules: &Rules) -> usize {
    let margin = margin(rules);
    voxels(std::array::from_fn(|axis| patch[axis].min(rules.window[axis] + 2 * margin[axis])))
}

fn f64_bytes(values: impl IntoIterator<Item = f64>) -> Vec<u8> {
    values.into_iter().flat_map(f64::to_ne_bytes).collect()
}
