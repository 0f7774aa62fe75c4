//! Measures of a fit by which it is judged.

use disyre_core::{Affine, Key};
use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::matrix::{angle, determinant, linear_part, nearest_rotation, stretches};
use crate::mattes::Mattes;
use crate::objective::{Agreement, Objective};
use crate::samples::{Region, Samples};
use crate::subject::Subject;
use crate::{RegisterError, Template};

/// Measures of a fit by which it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Mutual information in nats, with 16 bins, of what lies in both brains: whether tissue lies on tissue.
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
    /// Agreement of the best fit in another orientation as a share of this one's; none if none was tried.
    pub runner_up: Option<f64>,
}

/// Samples by which a fit is judged.
const SAMPLES: usize = 20_000;

impl Quality {
    pub(crate) fn of(
        template: &Template,
        scan: &Subject,
        target: &Image,
        scan_from_template: &Affine,
        key: Key,
    ) -> Result<Self, RegisterError> {
        let region = Region::new(&template.mask_volume(), 0.0)?;
        let samples = Samples::scattered(target, &region, SAMPLES, key.child("quality"));
        let objective = Objective {
            scan: scan.finest(),
            excluded: scan.excluded.as_ref(),
            samples: &samples,
            agreement: Agreement::Mattes(Mattes { bins: 16 }),
        };
        let (mut values, _) = objective.sample(scan_from_template);
        let known = values.iter().filter(|value| !value.is_nan()).count() as f64;
        let image = scan.finest();
        values.iter_mut().filter(|v| !image.is_foreground(**v)).for_each(|v| *v = f32::NAN);
        let inside = values.iter().filter(|value| !value.is_nan()).count() as f64;
        let mut slopes = vec![0.0; values.len()];
        let linear = linear_part(scan_from_template);
        let brain_l = region.litres() * known / values.len() as f64 * determinant(&linear);
        let both_l = region.litres() * inside / values.len() as f64 * determinant(&linear);
        let foreground_l = scan.foreground.litres;
        Ok(Self {
            tissue_information: Mattes { bins: 16 }.evaluate(&samples.values, &values, &mut slopes),
            in_view: known / values.len() as f64,
            covered: if known > 0.0 { inside / known } else { 0.0 },
            dice: scan.is_stripped().then(|| 2.0 * both_l / (brain_l + foreground_l)),
            stretches: stretches(&linear),
            turn_degrees: angle(&nearest_rotation(&linear)).to_degrees(),
            runner_up: None,
        })
    }
}
