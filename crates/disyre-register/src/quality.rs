//! Measures of a fit by which it is judged.

use disyre_core::{Affine, Key, Volume};
use serde::{Deserialize, Serialize};

use crate::RegisterError;
use crate::image::Image;
use crate::matrix::{angle, determinant, linear_part, nearest_rotation, stretches};
use crate::mattes::Mattes;
use crate::objective::{Agreement, Objective};
use crate::samples::{Region, Samples};
use crate::subject::Subject;

/// Measures of a fit by which it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Mutual information in nats, with 16 bins, deeper than 8 mm in the template's brain and in the scan's foreground:
    /// whether tissue lies on tissue.
    pub tissue_information: f64,
    /// Share of the template's brain that lies in the scan's field of view.
    pub in_view: f64,
    /// Share of the template's brain, as far as it is in view, that the scan's foreground covers.
    pub covered: f64,
    /// Dice coefficient of the template's brain, as far as it is in view, and the scan's foreground; none for a head.
    pub dice: Option<f64>,
    /// Factors by which the template is stretched along its principal axes, ascending.
    pub stretches: [f64; 3],
    /// Rotation in degrees between the template's axes and the world's axes as the scan's header has them.
    pub turn_degrees: f64,
    /// Agreement within the brain, at the coarsest level, of the best fit in another orientation as a share of this
    /// one's; none if none was tried.
    pub runner_up: Option<f64>,
}

/// Samples of each measure.
const SAMPLES: usize = 20_000;

/// The rim of the brain is dark in most images by partial volume alone: it says nothing of tissue.
const RIM_MM: f64 = 8.0;

/// Of the histogram: coarse, so that little information is there by chance.
const MATTES: Mattes = Mattes { bins: 16 };

/// Images and map that are measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fit<'a> {
    /// The template's mask.
    pub(crate) mask: &'a Volume,
    /// The template's image of the finest level.
    pub(crate) image: &'a Image,
    pub(crate) scan: &'a Subject,
    /// Template world millimetres → scan world millimetres.
    pub(crate) map: &'a Affine,
}

impl Fit<'_> {
    /// All measures but [`Quality::runner_up`].
    pub(crate) fn quality(self, key: Key) -> Result<Quality, RegisterError> {
        let brain = Region::new(self.mask, 0.0)?;
        let (_, values) = self.intensities(&brain, key.child("brain"));
        let known = values.iter().filter(|value| !value.is_nan()).count() as f64;
        let image = self.scan.finest();
        let covered = values.iter().filter(|&&value| image.is_foreground(value)).count() as f64;
        let (deep, mut values) =
            self.intensities(&Region::new(self.mask, -RIM_MM)?, key.child("tissue"));
        values.iter_mut().filter(|v| !image.is_foreground(**v)).for_each(|v| *v = f32::NAN);
        let mut slopes = vec![0.0; values.len()];
        let linear = linear_part(self.map);
        let sample_l = brain.litres() * determinant(&linear) / SAMPLES as f64;
        let both_l = known * sample_l + self.scan.foreground.litres;
        Ok(Quality {
            tissue_information: MATTES.evaluate(&deep.values, &values, &mut slopes),
            in_view: known / SAMPLES as f64,
            covered: if known > 0.0 { covered / known } else { 0.0 },
            dice: self.scan.is_stripped().then(|| 2.0 * covered * sample_l / both_l),
            stretches: stretches(&linear),
            turn_degrees: angle(&nearest_rotation(&linear)).to_degrees(),
            runner_up: None,
        })
    }

    /// Samples of the template in a region, and the scan's intensities there.
    fn intensities(self, region: &Region, key: Key) -> (Samples, Vec<f32>) {
        let samples = Samples::scattered(self.image, region, SAMPLES, key);
        let objective = Objective {
            scan: self.scan.finest(),
            excluded: self.scan.excluded.as_ref(),
            samples: &samples,
            agreement: Agreement::Mattes(MATTES),
        };
        let (values, _) = objective.sample(self.map);
        (samples, values)
    }
}
