//! [`Dag`], the disentangled anomaly generator: the first type that a user of this crate meets.

use disyre_core::{Key, ndarray::ArrayViewMut4};

use crate::{
    anomaly::{Anomalies, AnomalyParams, Realised},
    canvas::Scene,
    config::DagConfig,
    error::DagError,
    family::Family,
    sources::Sources,
};

/// The disentangled anomaly generator: shape, foreign texture and shift of tissues, each drawn on its own.
///
/// It is [`Family::Dag`] with its own type; `Anomalies::from` gives the generator that all families share.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), disentangled anomaly generation.
///
/// ```
/// use disyre_dag::{Dag, Key, Sources, TissueModel, ndarray::Array4, textures::NoiseTexture};
/// use disyre_dag::ndarray::{ArrayView2, ArrayViewMut2};
///
/// /// Dark and bright tissue.
/// struct Halves;
/// impl TissueModel for Halves {
///     fn classes(&self) -> usize {
///         2
///     }
///     fn soft(
///         &self,
///         intensities: ArrayView2<'_, f32>,
///         mut memberships: ArrayViewMut2<'_, f32>,
///     ) -> Result<(), disyre_core::ShapeError> {
///         for (voxel, mut row) in intensities.rows().into_iter().zip(memberships.rows_mut()) {
///             let bright = f32::from(u8::from(voxel[0] > 0.5));
///             row.assign(&disyre_dag::ndarray::aview1(&[1.0 - bright, bright]));
///         }
///         Ok(())
///     }
/// }
///
/// let sources = Sources::new().with_textures(NoiseTexture::default()).with_tissues(Halves);
/// let dag = Dag::new([1, 32, 32], &sources)?;
/// let clean = Array4::from_elem((1, 1, 64, 64), 0.6);
/// let mut corrupted = Array4::zeros(clean.dim());
/// let realised = dag.corrupt(Key::new(7), clean.view(), corrupted.view_mut())?;
/// assert_eq!(realised.parts.len(), 2); // the texture's severity and the bias's
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dag {
    anomalies: Anomalies,
}

impl DagConfig {
    /// Checks the values and builds the generator.
    ///
    /// # Errors
    /// [`DagError::Config`] naming the field that is out of range; [`DagError::Missing`] without foreign textures or
    /// without tissues.
    pub fn build(self, sources: &Sources) -> Result<Dag, DagError> {
        Ok(Dag { anomalies: Family::Dag.config_with(self).build(sources)? })
    }

    /// The same with all tissue shifted alike, [`Family::DagNoTissue`]: it needs no tissue model.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_without_tissues(self, sources: &Sources) -> Result<Dag, DagError> {
        Ok(Dag { anomalies: Family::DagNoTissue.config_with(self).build(sources)? })
    }
}

impl Dag {
    /// The published generator on a window of these extents, `(z, y, x)` in voxels.
    ///
    /// # Errors
    /// As [`DagConfig::build`].
    pub fn new(window: [usize; 3], sources: &Sources) -> Result<Self, DagError> {
        DagConfig::for_window(window).build(sources)
    }

    /// The same with all tissue shifted alike: it needs no tissue model.
    ///
    /// # Errors
    /// As [`DagConfig::build`].
    pub fn without_tissues(window: [usize; 3], sources: &Sources) -> Result<Self, DagError> {
        DagConfig::for_window(window).build_without_tissues(sources)
    }

    /// Draws an anomaly: [`Anomalies::draw`].
    pub fn draw(&self, key: Key) -> AnomalyParams {
        self.anomalies.draw(key)
    }

    /// Applies a drawn anomaly to an image: [`Anomalies::apply`].
    ///
    /// # Errors
    /// As [`Anomalies::apply`].
    pub fn apply<'a>(
        &self,
        params: &AnomalyParams,
        scene: impl Into<Scene<'a>>,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Realised, DagError> {
        self.anomalies.apply(params, scene, out)
    }

    /// Draws an anomaly and applies it: [`Anomalies::corrupt`].
    ///
    /// # Errors
    /// As [`Anomalies::apply`].
    pub fn corrupt<'a>(
        &self,
        key: Key,
        scene: impl Into<Scene<'a>>,
        out: ArrayViewMut4<'_, f32>,
    ) -> Result<Realised, DagError> {
        self.anomalies.corrupt(key, scene, out)
    }
}

impl From<Dag> for Anomalies {
    fn from(dag: Dag) -> Self {
        dag.anomalies
    }
}
