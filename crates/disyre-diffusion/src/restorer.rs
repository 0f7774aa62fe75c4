//! A trained model's folder as a `Restorer`.

use std::path::Path;

use disyre_core::ndarray::{ArrayView5, ArrayViewMut5};
use disyre_core::{
    Distance, EnsembleSums, RestoreError, Restorer, Severity, ShapeError, ensure_finite,
    ensure_same_shape,
};
use serde::{Deserialize, Serialize};

use crate::corruption_map::CorruptionMap;
use crate::engine::{Runner, Sums};
use crate::model::{EMA_FILE, MODEL_FILE};
use crate::slices::{from_images, some_channels, to_images};
use crate::{Conditioning, Device, DiffusionError, Engine, ModelConfig, Parameters, Schedule};

/// Which weights of a trained model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// Their moving average over training: steadier. A model trained without an average has none.
    #[default]
    Ema,
    /// As the last step left them, like the published code.
    Raw,
}

impl Weights {
    /// Name of the file within a model's folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Ema => EMA_FILE,
            Self::Raw => MODEL_FILE,
        }
    }
}

/// A trained network as a [`Restorer`]: one pass, image and severity in, healthy image out, and a map of the corruption
/// where the network has that output ([`CorruptionMapConfig`](crate::CorruptionMapConfig)).
///
/// Slices z of an item pass through the 2D network one by one. What one item becomes does not depend on its batch.
///
/// # Source
/// DISYRE (arXiv 2311.15453): the network predicts the healthy image from any severity in a single step.
#[derive(Debug)]
pub struct ColdRestorer {
    config: ModelConfig,
    network: Box<dyn Runner>,
    schedule: Schedule,
    map: Option<CorruptionMap>,
}

impl ColdRestorer {
    /// Reads a model's folder: `config.json` and the chosen weights; computes with the default [`Engine`].
    ///
    /// # Errors
    /// [`DiffusionError`] naming the file that is missing or belongs to another network.
    pub fn load(
        model_dir: &Path,
        weights: Weights,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        Self::load_with(model_dir, weights, device, Engine::default())
    }

    /// The same with a given engine.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_with(
        model_dir: &Path,
        weights: Weights,
        device: &Device,
        engine: Engine,
    ) -> Result<Self, DiffusionError> {
        let config = ModelConfig::load(model_dir)?;
        let path = model_dir.join(weights.file_name());
        let parameters = Parameters::load(&config.network, &path)?;
        Self::with(config, &parameters, device, engine)
    }

    /// Takes a copy of parameters that are in memory; computes with the default [`Engine`].
    ///
    /// # Errors
    /// [`DiffusionError`] if the configuration cannot work.
    pub fn new(
        config: ModelConfig,
        parameters: &Parameters,
        device: &Device,
    ) -> Result<Self, DiffusionError> {
        Self::with(config, parameters, device, Engine::default())
    }

    /// The same with a given engine.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(
        config: ModelConfig,
        parameters: &Parameters,
        device: &Device,
        engine: Engine,
    ) -> Result<Self, DiffusionError> {
        config.ensure_valid()?;
        let schedule = config.schedule.build()?;
        let map = config.corruption_map()?;
        let network = engine.runner(parameters, device)?;
        Ok(Self { config, network, schedule, map })
    }

    /// The model's settings.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The levels of severity that the network knows.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// Restores under conditioning that the caller made: one entry per item.
    pub(crate) fn restore_conditioned(
        &self,
        batch: &ArrayView5<'_, f32>,
        conditioning: &Conditioning,
        restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), DiffusionError> {
        self.forward(batch, conditioning, restored, None)
    }

    /// Restores, and where there is a `map`, writes the network's other channel too, divided by a scale.
    fn forward(
        &self,
        batch: &ArrayView5<'_, f32>,
        conditioning: &Conditioning,
        restored: ArrayViewMut5<'_, f32>,
        map: Option<(ArrayViewMut5<'_, f32>, f32)>,
    ) -> Result<(), DiffusionError> {
        let (n, c, z, y, x) = batch.dim();
        ensure_same_shape("restored batch", batch.shape(), restored.shape())?;
        ensure_same_shape("severities", &[n], &[conditioning.len()])?;
        self.ensure_fits(batch)?;
        if n * z == 0 {
            return Ok(());
        }
        let images = to_images(batch);
        let output = self.network.forward(&images, &conditioning.repeated(z))?;
        let (channels, pixels) = (self.config.network.out_channels, y * x);
        from_images(&some_channels(&output, [channels, pixels], 0..c), restored);
        if let Some((mut map, scale)) = map {
            from_images(&some_channels(&output, [channels, pixels], c..channels), map.view_mut());
            map.mapv_inplace(|value| value / scale);
        }
        Ok(())
    }

    /// The sums over the restorations under each severity; none if the engine cannot find them at once.
    fn summed(
        &self,
        batch: &ArrayView5<'_, f32>,
        severities: &[Severity],
        distance: Distance,
    ) -> Result<Option<Sums>, DiffusionError> {
        let (n, _, z, ..) = batch.dim();
        if severities.is_empty() {
            return Err(ShapeError::Empty { array: "severities" }.into());
        }
        self.ensure_fits(batch)?;
        if self.map.is_some() {
            // The sums on the device are over all channels of an output, and that of the map is no image.
            return Ok(None);
        }
        if n * z == 0 {
            return Ok(Some(Sums::default()));
        }
        let each = |&severity| self.schedule.conditioning(&[severity]).repeated(n * z);
        let conditionings: Vec<Conditioning> = severities.iter().map(each).collect();
        self.network.ensemble(&to_images(batch), &conditionings, distance)
    }

    fn ensure_fits(&self, batch: &ArrayView5<'_, f32>) -> Result<(), DiffusionError> {
        let (n, c, z, y, x) = batch.dim();
        let channels = self.config.network.in_channels;
        ensure_same_shape("batch", &[n, channels, z, y, x], &[n, c, z, y, x])?;
        ensure_finite("batch", batch)?;
        if n * z == 0 { Ok(()) } else { self.config.network.ensure_divisible(y, x) }
    }
}

impl Restorer for ColdRestorer {
    fn restore(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
    ) -> Result<(), RestoreError> {
        let conditioning = self.schedule.conditioning(severities);
        Ok(self.restore_conditioned(&batch, &conditioning, restored)?)
    }

    fn restore_and_map(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        restored: ArrayViewMut5<'_, f32>,
        map: ArrayViewMut5<'_, f32>,
    ) -> Result<bool, RestoreError> {
        let (n, _, z, y, x) = batch.dim();
        let Some(of_network) = self.map else {
            self.restore(batch, severities, restored)?;
            return Ok(false);
        };
        ensure_same_shape("corruption map", &[n, 1, z, y, x], map.shape())?;
        let conditioning = self.schedule.conditioning(severities);
        let map = Some((map, of_network.scale()));
        self.forward(&batch, &conditioning, restored, map)?;
        Ok(true)
    }

    fn restore_summed(
        &self,
        batch: ArrayView5<'_, f32>,
        severities: &[Severity],
        distance: Distance,
        EnsembleSums { residuals, restorations }: EnsembleSums<'_>,
    ) -> Result<bool, RestoreError> {
        ensure_same_shape("residuals", batch.shape(), residuals.shape())?;
        ensure_same_shape("restored batch", batch.shape(), restorations.shape())?;
        let Some(sums) = self.summed(&batch, severities, distance)? else { return Ok(false) };
        from_images(&sums.residuals, residuals);
        from_images(&sums.restorations, restorations);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UNetConfig;
    use disyre_core::Key;
    use disyre_core::ndarray::{Array5, Axis};
    use disyre_core::rand::RngExt;

    fn restorer() -> ColdRestorer {
        let network = UNetConfig {
            channels: vec![8, 16],
            groups: 4,
            attention_levels: vec![],
            ..UNetConfig::default()
        };
        let parameters = Parameters::seeded(&network, Key::new(5)).unwrap();
        let config = ModelConfig { network, patch: [1, 16, 16], ..ModelConfig::default() };
        ColdRestorer::new(config, &parameters, &Device::cpu()).unwrap()
    }

    fn batch(n: usize, z: usize) -> (Array5<f32>, Vec<Severity>) {
        let mut rng = Key::new(6).rng();
        let images = Array5::from_shape_simple_fn((n, 1, z, 16, 16), || rng.random());
        let severities = (0..n).map(|i| Severity::new(i as f32 / n as f32).unwrap());
        (images, severities.collect())
    }

    /// Entry `i` of an axis, the axis kept.
    fn part(images: &Array5<f32>, axis: usize, i: usize) -> ArrayView5<'_, f32> {
        images.slice_axis(Axis(axis), (i..=i).into())
    }

    fn restore(images: &ArrayView5<'_, f32>, severities: &[Severity]) -> Array5<f32> {
        let mut restored = Array5::zeros(images.dim());
        restorer().restore(images.view(), severities, restored.view_mut()).unwrap();
        restored
    }

    #[test]
    fn an_item_is_restored_alike_alone_and_in_a_batch() {
        let (images, severities) = batch(5, 1);
        let together = restore(&images.view(), &severities);
        for i in 0..5 {
            let alone = restore(&part(&images, 0, i), &severities[i..=i]);
            assert_eq!(alone.index_axis(Axis(0), 0), together.index_axis(Axis(0), i));
        }
    }

    #[test]
    fn a_stack_of_slices_is_restored_slice_by_slice() {
        let (images, severities) = batch(2, 3);
        let stack = restore(&images.view(), &severities);
        let last = part(&images, 2, 2);
        assert_eq!(part(&stack, 2, 2), restore(&last, &severities));
    }

    #[test]
    fn severity_matters() {
        let (images, _) = batch(1, 1);
        let [mild, severe] =
            [Severity::CLEAN, Severity::FULL].map(|severity| restore(&images.view(), &[severity]));
        assert_ne!(mild, severe);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let restorer = restorer();
        let (mut images, severities) = batch(2, 1);
        let mut out = images.clone();
        let fails =
            |images: ArrayView5<'_, f32>, severities: &[Severity], out: &mut Array5<f32>| {
                restorer.restore(images, severities, out.view_mut()).unwrap_err()
            };
        let error = fails(images.view(), &severities[1..], &mut out);
        assert_eq!(error.to_string(), "severities has shape [1], expected [2]");
        let odd = images.slice_axis(Axis(3), (..15).into()).to_owned();
        let error = fails(odd.view(), &severities, &mut odd.clone());
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("multiples of 2"), "{source}");
        images[[1, 0, 0, 3, 4]] = f32::NAN;
        assert!(fails(images.view(), &severities, &mut out).to_string().contains("not finite"));
    }
}
