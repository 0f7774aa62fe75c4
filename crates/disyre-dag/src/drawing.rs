use disyre_core::{
    DrawnAnomaly, Normalisation, Rules,
    ndarray::{Array3, ArrayView4, Axis},
};

use crate::{
    Anomalies, AnomalyParams, DagError, Portable, TextureBlend, TissueBias, blur::check_sigma,
    check,
};

/// Anomalies as plain data, for another machine to finish.
impl Anomalies {
    /// What all anomalies of the family have in common for a machine that finishes them.
    ///
    /// A machine can finish a texture, a bias, or a bias after a texture: of [`Family`](crate::Family) these are DAG with
    /// its ablations and FPI.
    ///
    /// # Errors
    /// [`DagError::Undrawable`] if the family has other parts, textures without a
    /// [`place`](crate::TextureSource::place), soft memberships, or tissues without
    /// [`borders`](disyre_core::TissueModel::borders).
    pub fn rules(&self) -> Result<Rules, DagError> {
        let (texture, bias) = self.portable()?;
        let mut rules = Rules {
            window: self.window,
            normalisation: Normalisation::None,
            tissue_borders: Vec::new(),
            count_offset: 0.0,
            tissue_blur_sigma_voxels: [0.0; 3],
        };
        if let Some(texture) = texture {
            rules.normalisation = texture.rule()?;
        }
        if let Some(bias) = bias {
            rules.tissue_borders = bias.borders()?.to_vec();
            rules.count_offset = bias.config().count_offset;
            let sigma = bias.config().blur_sigma_voxels;
            // A flat anomaly in a volume is that of its slice alone.
            let along = |axis: usize| if self.window[axis] > 1 { sigma[axis] } else { 0.0 };
            rules.tissue_blur_sigma_voxels = [0, 1, 2].map(along);
        }
        Ok(rules)
    }

    /// A drawn anomaly on an image with nothing left to chance; none if that image stays as it is.
    ///
    /// What is left is said at [`DrawnAnomaly`]; doing it gives what [`apply`](Self::apply) gives. Indices of textures are
    /// those of the source's volumes.
    ///
    /// # Shapes and units
    /// `clean` is `(1, z, y, x)`, intensities in `[0, 1]`.
    ///
    /// # Errors
    /// As [`rules`](Self::rules) and [`apply`](Self::apply); [`DagError::Channels`] for an image of several.
    pub fn drawn(
        &self,
        params: &AnomalyParams,
        clean: ArrayView4<'_, f32>,
    ) -> Result<Option<DrawnAnomaly>, DagError> {
        self.ensure_own(params)?;
        let array = "the clean image";
        if clean.len_of(Axis(0)) != 1 {
            let (got, like) = (clean.len_of(Axis(0)), "all drawn pairs");
            return Err(DagError::Channels { array, got, expected: 1, like });
        }
        check::unit_interval(array, &clean)?;
        let origin = params.placement.origin(self.window, clean)?;
        let (texture, bias) = self.portable()?;
        let texture = match texture.zip(params.parts.first()) {
            Some((texture, params)) => texture.drawn(params, self.window)?,
            None => None,
        };
        let bias = match bias.zip(params.parts.last()) {
            Some((bias, params)) => bias.drawn(params)?,
            None => None,
        };
        if texture.is_none() && bias.is_none() {
            return Ok(None);
        }
        let mut shape = Array3::zeros(self.window);
        let blur_sigma_voxels = self.shapes.outline(params.shape, shape.view_mut())?;
        check_sigma("the blur of a shape", blur_sigma_voxels)?;
        check::unit_interval("mask", &shape.view())?;
        Ok(Some(DrawnAnomaly { origin, shape, blur_sigma_voxels, texture, bias }))
    }

    /// The texture, which is the first part, and the bias, which is the last.
    fn portable(&self) -> Result<(Option<&TextureBlend>, Option<&TissueBias>), DagError> {
        let parts: Vec<_> = self.parts.iter().map(|part| part.portable()).collect();
        match parts[..] {
            [Some(Portable::Texture(texture))] => Ok((Some(texture), None)),
            [Some(Portable::Bias(bias))] => Ok((None, Some(bias))),
            [Some(Portable::Texture(texture)), Some(Portable::Bias(bias))] => {
                Ok((Some(texture), Some(bias)))
            }
            _ => Err(DagError::Undrawable {
                why: "its parts are other than a texture, a bias, or a bias after a texture",
            }),
        }
    }
}
