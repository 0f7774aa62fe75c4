use disyre_core::ndarray::array;
use disyre_dag::DagConfig;
use disyre_tissue::{Codebook, FittedTissues, TissueError};
use serde::{Deserialize, Serialize};

/// Which parts of an anomaly there are: DAG and its ablations, all of them settings of one generator.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635): texture and tissue-selective bias, each on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// A foreign texture, then a shift of some tissues.
    #[default]
    Dag,
    /// A foreign texture, then a shift of all that lies under the mask: one tissue.
    DagNoTissue,
    /// A foreign texture alone.
    TextureOnly,
    /// A shift of some tissues alone.
    BiasOnly,
}

impl Family {
    /// The settings and tissues that make the anomalies of this family.
    pub(crate) fn settle(
        self,
        mut config: DagConfig,
        tissues: FittedTissues,
    ) -> Result<(DagConfig, FittedTissues), TissueError> {
        match self {
            Self::Dag => {}
            Self::DagNoTissue => {
                // Whatever its centre, a single class holds every voxel.
                return Ok((config, Codebook::from_centres(array![[0.5]].view())?.into()));
            }
            Self::TextureOnly => config.bias.probability = 0.0,
            Self::BiasOnly => config.texture.probability = 0.0,
        }
        Ok((config, tissues))
    }
}
