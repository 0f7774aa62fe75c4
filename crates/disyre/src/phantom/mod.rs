//! Procedural brain phantoms: T1-like skull-stripped heads that need no data, and lesions to find in them.
//!
//! They serve the demo, the tests and the examples. They are crude on purpose: soft cortex over white matter,
//! ventricles, deep grey nuclei, a midline fissure, a smooth bias field, noise, and subjects that differ in all of
//! these. Lesions are modelled as changes of the *anatomy* (mass effect, oedema, tissue loss), before the bias field
//! and the noise, and share no code with the corruptions of `disyre-dag`: a model must not be tested with the
//! anomalies that it was trained on.
//!
//! ```
//! use disyre::core::Key;
//! use disyre::phantom::{LesionKind, PhantomConfig};
//!
//! let phantoms = PhantomConfig { shape: [12, 32, 28], spacing_mm: 6.0, ..PhantomConfig::default() };
//! let ill = phantoms.with_lesion(Key::new(1), LesionKind::Tumour);
//! assert_eq!((ill.volume.grid.shape, ill.lesion.dim()), ([12, 32, 28], (12, 32, 28)));
//! assert!(ill.lesion.iter().any(|&label| label == 1));
//! ```
//!
//! **Source:** ours.

mod anatomy;
mod lesion;

use disyre_core::ndarray::{Array3, Zip};
use disyre_core::{Grid, Key, Volume};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use anatomy::Anatomy;
use lesion::Lesion;
pub use lesion::LesionKind;

/// Size of a phantom and how noisy its scanner is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhantomConfig {
    /// Number of voxels along `(z, y, x)`.
    pub shape: [usize; 3],
    /// Isotropic voxel size in millimetres.
    pub spacing_mm: f64,
    /// Standard deviation of the noise relative to white matter, ≥ 0.
    pub noise: f64,
    /// Amplitude of the smooth multiplicative bias field, relative, ≥ 0.
    pub bias_field: f64,
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self { shape: [48, 64, 54], spacing_mm: 3.0, noise: 0.02, bias_field: 0.1 }
    }
}

/// A phantom: an image in scanner units (background exactly 0) and, if it has one, its lesion.
#[derive(Debug, Clone, PartialEq)]
pub struct Phantom {
    /// The image.
    pub volume: Volume,
    /// 1 in the lesion, 0 elsewhere; all 0 in a healthy phantom. Shape of the image.
    pub lesion: Array3<u8>,
}

impl PhantomConfig {
    /// A healthy subject.
    ///
    /// # Shapes and units
    /// Axes `(z, y, x)` in RAS+; intensities in arbitrary scanner units that differ from subject to subject.
    pub fn healthy(&self, key: Key) -> Phantom {
        self.render(key, None)
    }

    /// A subject with one lesion of the given kind. With the same key it is the healthy subject fallen ill.
    pub fn with_lesion(&self, key: Key, kind: LesionKind) -> Phantom {
        let anatomy = Anatomy::draw(key.child("anatomy"));
        self.render(key, Some(Lesion::draw(kind, &anatomy, key.child("lesion"))))
    }

    fn render(&self, key: Key, lesion: Option<Lesion>) -> Phantom {
        let anatomy = Anatomy::draw(key.child("anatomy"));
        let [nz, ny, nx] = self.shape;
        let slices: Vec<(Vec<f32>, Vec<u8>)> = (0..nz)
            .into_par_iter()
            .map(|z| self.render_slice(z, &anatomy, lesion.as_ref(), key.child("noise").child(z)))
            .collect();
        let (values, labels): (Vec<_>, Vec<_>) = slices.into_iter().unzip();
        let shaped = "each slice holds ny × nx values";
        let data = Array3::from_shape_vec((nz, ny, nx), values.concat()).expect(shaped);
        let mut lesion = Array3::from_shape_vec((nz, ny, nx), labels.concat()).expect(shaped);
        Zip::from(&mut lesion).and(&data).for_each(|label, &value| {
            if value == 0.0 {
                *label = 0;
            }
        });
        Phantom { volume: Volume { data, grid: self.grid() }, lesion }
    }

    fn render_slice(
        &self,
        z: usize,
        anatomy: &Anatomy,
        lesion: Option<&Lesion>,
        key: Key,
    ) -> (Vec<f32>, Vec<u8>) {
        let [nz, ny, nx] = self.shape;
        let mut rng = key.rng();
        let (mut values, mut labels) = (vec![0.0; ny * nx], vec![0; ny * nx]);
        for (index, (value, label)) in values.iter_mut().zip(&mut labels).enumerate() {
            let noise: f64 = StandardNormal.sample(&mut rng);
            let point = [centred(z, nz), centred(index / nx, ny), centred(index % nx, nx)];
            let inside = lesion.map_or(point, |lesion| lesion.undo_mass_effect(point));
            let Some(healthy) = anatomy.intensity(inside) else { continue };
            let (tissue, ill) = lesion.map_or((healthy, false), |l| l.intensity(point, healthy));
            let bias = 1.0 + self.bias_field * anatomy.bias_field(point);
            // At least a grain of signal: background alone is 0.
            let signal = (tissue * bias + self.noise * noise).max(0.01);
            *value = (anatomy.gain * signal) as f32;
            *label = u8::from(ill);
        }
        (values, labels)
    }

    fn grid(&self) -> Grid {
        Grid::from_spacing(self.shape, [self.spacing_mm; 3])
    }
}

/// Voxel index to a coordinate in (−1, 1) across the field of view.
fn centred(index: usize, length: usize) -> f64 {
    (2.0 * index as f64 + 1.0) / length as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: PhantomConfig =
        PhantomConfig { shape: [16, 24, 20], spacing_mm: 8.0, noise: 0.02, bias_field: 0.1 };

    #[test]
    fn a_healthy_phantom_has_a_brain_and_a_background() {
        let phantom = SMALL.healthy(Key::new(1));
        let brain = phantom.volume.data.iter().filter(|&&v| v > 0.0).count();
        let share = brain as f64 / phantom.volume.data.len() as f64;
        assert!((0.25..0.6).contains(&share), "brain fills {share} of the field of view");
        assert!(phantom.lesion.iter().all(|&label| label == 0));
    }

    #[test]
    fn equal_keys_give_equal_phantoms_and_others_differ() {
        assert_eq!(SMALL.healthy(Key::new(1)), SMALL.healthy(Key::new(1)));
        assert_ne!(SMALL.healthy(Key::new(1)), SMALL.healthy(Key::new(2)));
    }

    #[test]
    fn every_kind_of_lesion_lies_in_the_brain_and_changes_it() {
        for kind in LesionKind::ALL {
            for seed in 0..4 {
                let healthy = SMALL.healthy(Key::new(seed)).volume.data;
                let phantom = SMALL.with_lesion(Key::new(seed), kind);
                let changed: Vec<f32> = Zip::from(&phantom.volume.data)
                    .and(&healthy)
                    .and(&phantom.lesion)
                    .map_collect(|&ill, &well, &label| {
                        f32::from(label) * (ill - well).abs() / well.max(1.0)
                    })
                    .into_iter()
                    .filter(|&change| change > 0.0)
                    .collect();
                let count = phantom.lesion.iter().filter(|&&label| label > 0).count();
                assert!(count > 4, "{kind:?} {seed} has {count} voxels");
                let mean = changed.iter().sum::<f32>() / changed.len() as f32;
                assert!(mean > 0.1, "{kind:?} {seed} changes its voxels by {mean}");
            }
        }
    }
}
