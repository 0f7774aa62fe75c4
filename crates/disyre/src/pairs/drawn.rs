use disyre_core::ndarray::{Array4, ArrayView4, Axis};
use disyre_core::{Drawing, DrawnPairs, Key, PairError, Patch, Rules, Stock, StockVolume};
use disyre_dag::DagError;

use super::{Cutout, DagPairs, patch_key};
use crate::Error;

impl DagPairs {
    /// How another machine, such as a graphics processor, finishes these pairs; an error says why none can.
    ///
    /// # Errors
    /// [`Error::Dag`] for a family that [`Anomalies::rules`](disyre_dag::Anomalies::rules) refuses, or a window larger than
    /// the patch; [`Error::Undrawable`] where a subject has a map of places, or where an image has several channels.
    pub fn rules(&self) -> Result<Rules, Error> {
        let undrawable = |why| Err(Error::Undrawable { why });
        if self.subjects.iter().any(|subject| subject.places.is_some()) {
            return undrawable("maps say where anomalies may lie");
        }
        let plain =
            |image: &ArrayView4<'_, f32>| image.len_of(Axis(0)) == 1 && image.is_standard_layout();
        if !self.subjects.iter().all(|subject| plain(&subject.image.view())) {
            return undrawable("an image has several channels, or its voxels lie in another order");
        }
        let (rules, image) = (self.anomalies.rules()?, self.config.patch);
        let window = rules.window;
        match (0..3).all(|axis| window[axis] <= image[axis]) {
            true => Ok(rules),
            false => Err(DagError::WindowTooLarge { window, image }.into()),
        }
    }

    /// All that chance decides about pair `key`: the draws of its corrupted and clean patches. Augmented patches are made
    /// here, only their corruption is left.
    fn draw_pair(&self, key: Key) -> Result<Drawing, Error> {
        if self.rules.is_none() {
            self.rules()?;
        }
        // Without maps every patch has a place, so the first will do.
        let (which, cutout) = self.draw(patch_key(key, 0));
        let [z, y, x] = self.config.patch;
        let mut clean = Array4::zeros((1, z, y, x));
        cutout.cut(self.subjects[which].image.view(), clean.view_mut())?;
        let anomaly = self.anomalies.drawn(&self.draw_anomaly(key), clean.view())?;
        let patch = match cutout {
            Cutout::Plain(cut) => Patch::Cut(cut),
            Cutout::Augmented(..) => Patch::Made(clean.index_axis_move(Axis(0), 0)),
        };
        Ok(Drawing { patch, anomaly })
    }
}

/// The volumes are the subjects' images, in their order: that of the bank of textures too.
impl DrawnPairs for DagPairs {
    /// Of pairs that cannot be drawn it says nothing of use.
    fn stock(&self) -> Stock<'_> {
        let volumes = self.subjects.iter().filter_map(|subject| {
            let (_, z, y, x) = subject.image.dim();
            Some(StockVolume { extents: [z, y, x], values: subject.image.as_slice()? })
        });
        Stock {
            volumes: volumes.collect(),
            patch: self.config.patch,
            rules: self.rules.clone().unwrap_or_default(),
        }
    }

    fn drawing(&self, index: u64) -> Result<Drawing, PairError> {
        self.draw_pair(self.key.child(index))
            .map_err(|source| PairError::Source { index, source: Box::new(source) })
    }
}
