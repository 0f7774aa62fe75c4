//! Copies of healthy scans with one large synthetic anomaly each, by which the lesion threshold is chosen.

use disyre_core::Key;
use disyre_core::ndarray::{ArcArray, Array3, Axis, Ix4};
use disyre_dag::{Anomalies, Family, Scene};

use crate::anomaly_sources::sources;
use crate::synth::window_in;
use crate::{Error, Model, Prepared, RunConfig, Tissues};

/// Extents of the anomalies in millimetres: from a few millilitres to some hundred, of which tissue keeps a part.
const SIZE_MM: [f64; 2] = [15.0, 80.0];
/// Smaller anomalies are drawn again, in mm³: lesions of a millilitre are what a map at 2 mm can be expected to show.
const LEAST_MM3: f64 = 1000.0;
/// Draws after which a copy is given up.
const ATTEMPTS: u64 = 16;

/// Makes the copies: settings of the anomalies, the model's tissues, and a key.
#[derive(Debug)]
pub(super) struct Injector {
    config: RunConfig,
    tissues: Option<Tissues>,
    key: Key,
}

/// A copy of a prepared scan with an anomaly.
#[derive(Debug)]
pub(super) struct Injected {
    pub(super) prepared: Prepared,
    /// 1 inside the anomaly on the working grid, 0 elsewhere.
    pub(super) anomaly: Array3<f32>,
}

impl Injector {
    /// DAG with the classes of tissue of a model's training, or without tissues where its folder has none.
    pub(super) fn of(model: &Model) -> Result<Self, Error> {
        let mut config = model.folder().config().clone();
        let tissues = model.folder().tissues()?.map(Tissues::Fitted);
        config.family = if tissues.is_some() { Family::Dag } else { Family::DagNoTissue };
        (config.pairs.shape_masks, config.pairs.shape_size_mm) = (None, Some(SIZE_MM));
        let key = Key::new(config.seed).child("thresholds");
        Ok(Self { config, tissues, key })
    }

    /// Kind of the anomalies.
    pub(super) fn family(&self) -> Family {
        self.config.family
    }

    /// A copy of a scan with an anomaly, whose texture may come from other scans; `None` where none of the draws was large
    /// enough. It depends on the name, the number of the copy and the other scans alone.
    pub(super) fn copy(
        &self,
        prepared: &Prepared,
        others: &[&Prepared],
        name: &str,
        copy: u64,
    ) -> Result<Option<Injected>, Error> {
        let volume = &prepared.volume;
        let anomalies = self.anomalies(volume.grid.shape, others)?;
        let clean = volume.data.view().insert_axis(Axis(0));
        let mut corrupted = clean.to_owned();
        let key = self.key.child(name).child(copy);
        for attempt in 0..ATTEMPTS {
            let drawn = anomalies.draw(key.child(attempt));
            let scene = Scene { clean, places: None, tissues: None };
            let realised = anomalies.apply(&drawn, scene, corrupted.view_mut())?;
            let mask = realised.mask.to_image(volume.grid.shape)?;
            let half = 0.5 * mask.fold(0f32, |greatest, &value| greatest.max(value));
            let anomaly = mask.mapv(|value| f32::from(u8::from(value > 0.0 && value >= half)));
            let voxels = anomaly.iter().filter(|&&inside| inside > 0.0).count();
            if voxels as f64 * volume.grid.voxel_mm3() >= LEAST_MM3 {
                let mut prepared = prepared.clone();
                prepared.volume.data = corrupted.index_axis_move(Axis(0), 0);
                return Ok(Some(Injected { prepared, anomaly }));
            }
        }
        Ok(None)
    }

    /// Anomalies in a window of the greatest extent, no larger than the scan, with textures of other scans.
    fn anomalies(&self, shape: [usize; 3], others: &[&Prepared]) -> Result<Anomalies, Error> {
        let width = (SIZE_MM[1] / self.config.prepare.spacing_mm).ceil() as usize;
        let window = window_in(shape, [1, width, width]);
        let image = |prepared: &&Prepared| -> ArcArray<f32, Ix4> {
            prepared.volume.data.clone().insert_axis(Axis(0)).into_shared()
        };
        let images = others.iter().map(image).collect();
        let sources = sources(images, None, self.tissues.as_ref())?;
        Ok(self.config.anomaly(window, self.tissues.as_ref()).build(&sources)?)
    }
}
