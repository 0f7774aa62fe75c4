//! Settings of a registration.

use serde::{Deserialize, Serialize};

use crate::{Freedom, RegisterError, Registrar};

/// Measure of how well scan and template agree.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Metric {
    /// Mutual information of the intensities: for any contrast.
    MattesMutualInformation {
        /// Bins of the joint histogram along each axis, 8 to 256.
        bins: usize,
    },
    /// Mean squared correlation within blocks: for any contrast that is locally linear in the template's, and unmoved
    /// by a bias field. The search for the start and the coarsest level use mutual information of 32 bins.
    LocalCorrelation {
        /// A block has (2 · radius + 1)³ points, 1 to 5; they are as far apart as the level's voxels, but at least 4 mm.
        radius: usize,
    },
}

/// Position from which a registration starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// World coordinates of the scan's header as they are: for scans that lie in the template's space nearly.
    Header,
    /// The header's axes; position and size from the moments of the foreground.
    Moments,
    /// Each of the 24 rotations of axes onto axes, position and size from moments; the best is refined.
    ///
    /// No mirror image is among them: a scan whose left and right are exchanged is fitted as if it were not.
    Orientations,
    /// [`Moments`](Self::Moments), and [`Orientations`](Self::Orientations) where that fits badly. The limit is that of
    /// mutual information with 32 bins at 8 mm: with other settings of the coarsest level choose one of the two.
    Auto,
}

/// One resolution of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Spacing in millimetres to which scan and template are shrunk, 0.5 to 32.
    pub spacing_mm: f64,
    /// Number of points at which mutual information is measured, 500 to 10 million.
    pub samples: usize,
}

/// Settings of a registration to a template.
///
/// ```
/// use disyre_register::{Freedom, RegisterConfig};
/// let config = RegisterConfig { freedom: Freedom::Rigid, ..RegisterConfig::default() };
/// assert!(config.build().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegisterConfig {
    /// Degrees of freedom; default 12.
    pub freedom: Freedom,
    /// Measure of agreement; default mutual information with 32 bins (Mattes 2003 used 32 or more).
    pub metric: Metric,
    /// Position from which it starts; default [`Start::Auto`].
    pub start: Start,
    /// Resolutions, coarse to fine, 1 to 16; at the first of several no more than 7 degrees of freedom are fitted.
    /// Default 8, 4 and 2 mm (ours: chosen by time and agreement on 226 brains).
    pub levels: Vec<Level>,
    /// Distance in millimetres from the template's brain up to which background counts, 0 to 50; default 16 (ours).
    ///
    /// At the coarsest level it is 16. In a scan that is not stripped only the brain counts.
    pub margin_mm: f64,
    /// Seed of the places of the samples.
    pub seed: u64,
}

impl Default for RegisterConfig {
    fn default() -> Self {
        let level = |spacing_mm, samples| Level { spacing_mm, samples };
        Self {
            freedom: Freedom::Affine,
            metric: Metric::MattesMutualInformation { bins: 32 },
            start: Start::Auto,
            levels: vec![level(8.0, 4_000), level(4.0, 20_000), level(2.0, 50_000)],
            margin_mm: 16.0,
            seed: 0,
        }
    }
}

impl RegisterConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`RegisterError::Setting`] naming the first that is out of its range.
    pub fn build(&self) -> Result<Registrar, RegisterError> {
        let check = |holds: bool, setting, got: String, expected| {
            if holds { Ok(()) } else { Err(RegisterError::Setting { setting, got, expected }) }
        };
        match self.metric {
            Metric::MattesMutualInformation { bins } => {
                check((8..=256).contains(&bins), "bins", bins.to_string(), "8 to 256")?;
            }
            Metric::LocalCorrelation { radius } => {
                check((1..=5).contains(&radius), "radius", radius.to_string(), "1 to 5")?;
            }
        }
        let count = self.levels.len();
        check((1..=16).contains(&count), "number of levels", count.to_string(), "1 to 16")?;
        for &Level { spacing_mm, samples } in &self.levels {
            let fits = (0.5..=32.0).contains(&spacing_mm);
            check(fits, "spacing_mm", spacing_mm.to_string(), "0.5 to 32")?;
            let fits = (500..=10_000_000).contains(&samples);
            check(fits, "samples", samples.to_string(), "500 to 10000000")?;
        }
        let falling = self.levels.windows(2).all(|pair| pair[0].spacing_mm >= pair[1].spacing_mm);
        check(falling, "levels", "finer before coarser".to_owned(), "coarse to fine")?;
        let margin = (0.0..=50.0).contains(&self.margin_mm);
        check(margin, "margin_mm", self.margin_mm.to_string(), "0 to 50")?;
        Ok(Registrar::new(self.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_named() {
        let message = |change: fn(&mut RegisterConfig)| {
            let mut config = RegisterConfig::default();
            change(&mut config);
            config.build().unwrap_err().to_string()
        };
        assert_eq!(
            message(|c| c.metric = Metric::MattesMutualInformation { bins: 4 }),
            "bins is 4, expected 8 to 256"
        );
        assert_eq!(message(|c| c.levels.clear()), "number of levels is 0, expected 1 to 16");
        assert_eq!(
            message(|c| c.levels[1].samples = usize::MAX),
            format!("samples is {}, expected 500 to 10000000", usize::MAX)
        );
        assert!(message(|c| c.levels.reverse()).contains("coarse to fine"));
        assert!(message(|c| c.levels[0].spacing_mm = f64::NAN).contains("spacing_mm is NaN"));
        assert!(message(|c| c.margin_mm = -1.0).contains("margin_mm"));
    }

    #[test]
    fn a_misspelt_setting_is_refused() {
        let read = serde_json::from_str::<RegisterConfig>;
        assert!(read(r#"{"freedom": "rigid", "start": "moments"}"#).is_ok());
        assert!(read(r#"{"fredom": "rigid"}"#).is_err());
    }
}
