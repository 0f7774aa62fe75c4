//! Arguments that say which anomalies are made; `synth` and `train` take them.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use disyre::{Family, RunConfig, TissueKind};

/// Anomalies, in place of the settings'.
#[derive(Debug, Clone, Args)]
pub(crate) struct AnomalyArguments {
    /// Family of the anomalies [default: the settings', dag unless they say otherwise]
    #[arg(long, value_name = "FAMILY", value_parser = families())]
    family: Option<Family>,
    /// Model that tells tissues where a bias has some [default: the settings', k-means unless they say otherwise]
    #[arg(long, value_name = "MODEL")]
    tissue_model: Option<ModelArgument>,
    /// A folder of anatomical segmentations that tell tissues, one for each scan, named like it, perhaps with _dseg,
    /// _seg, _aseg, _DLMUSE or the like
    #[arg(long, value_name = "DIR", conflicts_with = "tissue_model")]
    segmentations: Option<PathBuf>,
    /// A folder of location maps, one for each scan, named like it, perhaps with _location or the like: how probable each
    /// voxel is as an anomaly's centre; a mask is such a map [default: the settings', anywhere in the brain unless they
    /// say otherwise]
    #[arg(long, value_name = "DIR")]
    places: Option<PathBuf>,
    /// Least and greatest extent of shapes in millimetres [default: the settings', parts of the window unless they say
    /// otherwise]
    #[arg(long, num_args = 2, value_names = ["LEAST", "GREATEST"])]
    size_mm: Option<Vec<f64>>,
}

impl AnomalyArguments {
    /// Puts what was said over some settings.
    pub(crate) fn over(&self, config: &mut RunConfig) {
        config.family = self.family.unwrap_or(config.family);
        if let Some(model) = self.tissue_model {
            (config.tissue.model, config.tissue.segmentations) = (model.into(), None);
        }
        if let Some(folder) = &self.segmentations {
            config.tissue.model = TissueKind::LabelMaps;
            config.tissue.segmentations = Some(folder.clone());
        }
        if let Some(folder) = &self.places {
            config.pairs.places = Some(folder.clone());
        }
        if let Some([least, greatest]) = self.size_mm.as_deref() {
            config.pairs.shape_size_mm = Some([*least, *greatest]);
        }
    }
}

fn families() -> impl TypedValueParser<Value = Family> {
    PossibleValuesParser::new(Family::ALL.map(Family::name)).try_map(|name| name.parse::<Family>())
}

/// A model of tissues that is fitted to intensities.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModelArgument {
    /// The nearest of K centres
    #[value(name = "k-means")]
    KMeans,
    /// K Gaussians, fitted by expectation maximisation
    GaussianMixture,
}

impl From<ModelArgument> for TissueKind {
    fn from(argument: ModelArgument) -> Self {
        match argument {
            ModelArgument::KMeans => Self::KMeans,
            ModelArgument::GaussianMixture => Self::GaussianMixture,
        }
    }
}
