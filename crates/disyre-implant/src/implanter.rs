//! Lesions drawn for a host, and applied to it.

use std::f64::consts::E;

use disyre_core::Key;
use disyre_core::rand::RngExt;
use disyre_volume::affine::{invert, transform};

use crate::appearance;
use crate::config::ImplantConfig;
use crate::paint::{Canvas, Extent, Implanted, extent};
use crate::params::LesionParams;
use crate::placement::{Placement, centre_mm};
use crate::shapes::{Candidate, ShapeLibrary};
use crate::{Host, ImplantError, LesionKind, LesionStatistics};

/// Shapes of about the drawn volume among which one is drawn.
const NEAREST: usize = 12;

/// Implants lesions: settings, the table of real lesions, and shapes. [`ImplantConfig::build`] makes one.
#[derive(Debug, Clone)]
pub struct Implanter {
    config: ImplantConfig,
    statistics: LesionStatistics,
    shapes: ShapeLibrary,
}

impl Implanter {
    pub(crate) fn new(
        config: ImplantConfig,
        statistics: LesionStatistics,
        shapes: ShapeLibrary,
    ) -> Result<Self, ImplantError> {
        for kind in LesionKind::ALL.into_iter().filter(|kind| config.weight(*kind) > 0.0) {
            if appearance::rows(&statistics, kind).is_empty() {
                return Err(ImplantError::NoStatistics { kind: kind.name() });
            }
            if shapes.candidates(kind).is_empty() {
                let [least_ml, _] = kind.size_ml();
                return Err(ImplantError::NoShapes {
                    folder: shapes.folder().to_owned(),
                    least_ml,
                });
            }
        }
        Ok(Self { config, statistics, shapes })
    }

    /// The settings.
    pub fn config(&self) -> &ImplantConfig {
        &self.config
    }

    /// The table.
    pub fn statistics(&self) -> &LesionStatistics {
        &self.statistics
    }

    /// The shapes.
    pub fn shapes(&self) -> &ShapeLibrary {
        &self.shapes
    }

    /// Draws the lesions of a case: kind, number, and for each of them shape, place and intensities.
    ///
    /// A place is drawn again until enough of the shape is grey or white matter and no other lesion is there. Further
    /// lesions that find no place are left out.
    ///
    /// # Errors
    /// [`ImplantError::NoPlace`] if not even the first finds a place.
    pub fn draw(&self, host: &Host, key: Key) -> Result<Vec<LesionParams>, ImplantError> {
        let kind = self.kind(key.child("kind"));
        let count = self.count(kind, key.child("count"));
        let mut canvas = Canvas::new(host);
        let mut lesions = Vec::new();
        for index in 0..count {
            let found = self.place(host, &canvas, kind, key.child("lesion").child(index))?;
            if let Some((params, extent)) = found {
                canvas.draw(&params, &extent);
                lesions.push(params);
            }
        }
        if lesions.is_empty() {
            let (kind, name) = (kind.name(), host.scan.name().to_string());
            return Err(ImplantError::NoPlace { kind, name, attempts: self.config.attempts });
        }
        Ok(lesions)
    }

    /// Draws lesions into a host: no random number is drawn that is not in their parameters.
    ///
    /// # Errors
    /// [`ImplantError::Volume`] for a shape that is not as it was.
    pub fn apply(
        host: &Host,
        lesions: &[LesionParams],
        shapes: &ShapeLibrary,
    ) -> Result<Implanted, ImplantError> {
        let mut canvas = Canvas::new(host);
        for params in lesions {
            let shape = shapes.distance_map(&params.shape, params.smoothing_mm)?;
            if let Some(extent) = extent(host, &shape, params)? {
                canvas.draw(params, &extent);
            }
        }
        Ok(canvas.finish())
    }

    fn kind(&self, key: Key) -> LesionKind {
        let total: f64 = self.config.weights.iter().sum();
        let mut at = key.rng().random::<f64>() * total;
        let drawn = LesionKind::ALL.into_iter().find(|kind| {
            at -= self.config.weight(*kind);
            at < 0.0
        });
        drawn.unwrap_or(LesionKind::AcuteStroke)
    }

    fn count(&self, kind: LesionKind, key: Key) -> usize {
        let [fewest, most] = self.config.sclerosis_lesions;
        match kind {
            LesionKind::Tumour => 1,
            LesionKind::Sclerosis => key.rng().random_range(fewest..=most),
            _ => 1 + usize::from(key.rng().random::<f64>() < self.config.second_stroke),
        }
    }

    /// Tries places until one is right.
    fn place(
        &self,
        host: &Host,
        canvas: &Canvas<'_>,
        kind: LesionKind,
        key: Key,
    ) -> Result<Option<(LesionParams, Extent)>, ImplantError> {
        let candidates = self.shapes.candidates(kind);
        let white = if kind == LesionKind::Sclerosis { white_matter(host) } else { Vec::new() };
        for attempt in 0..self.config.attempts {
            let key = key.child(attempt);
            let shape = self.shape(&candidates, kind, key.child("shape"));
            let mut params = self.params(kind, shape, key)?;
            let map = self.shapes.distance_map(&params.shape, params.smoothing_mm)?;
            if kind == LesionKind::Sclerosis {
                let Some(place) = pick(&white, key.child("place")) else { return Ok(None) };
                params.placement = moved_to(params.placement, centre_mm(&map.grid), place);
            }
            let Some(extent) = extent(host, &map, &params)? else { continue };
            let [least_ml, most_ml] = kind.size_ml();
            let sized = (0.6 * least_ml..=1.3 * most_ml).contains(&extent.volume_ml);
            let tissue = match kind {
                LesionKind::Sclerosis => extent.tissue_share.min(extent.white_share),
                _ => extent.tissue_share,
            };
            if sized && tissue >= self.config.least_tissue && canvas.overlap(&extent) == 0 {
                return Ok(Some((params, extent)));
            }
        }
        Ok(None)
    }

    /// A shape whose volume is near one drawn evenly on a logarithmic scale.
    fn shape(&self, candidates: &[Candidate], kind: LesionKind, key: Key) -> Candidate {
        let mut rng = key.rng();
        let [least, most] = kind.size_ml();
        let log = least.ln() + rng.random::<f64>() * (most / least).ln();
        let volume_ml = E.powf(log);
        let above = candidates.partition_point(|candidate| candidate.volume_ml < volume_ml);
        let last = candidates.len().saturating_sub(NEAREST);
        let first = above.saturating_sub(NEAREST / 2).min(last);
        candidates[rng.random_range(first..(first + NEAREST).min(candidates.len()))]
    }

    fn params(
        &self,
        kind: LesionKind,
        shape: Candidate,
        key: Key,
    ) -> Result<LesionParams, ImplantError> {
        let mut rng = key.child("placement").rng();
        let mut within = |most: f64| most * (2.0 * rng.random::<f64>() - 1.0);
        let rotation_degrees = [0; 3].map(|_| within(self.config.rotation_degrees));
        let shift_mm = [0; 3].map(|_| within(self.config.shift_mm));
        let [least, most] = self.config.scale;
        let scale = least + rng.random::<f64>() * (most - least);
        let mirrored = rng.random::<f64>() < self.config.mirror;
        let volume_ml = shape.volume_ml * scale.powi(3);
        let strength = self.config.strength;
        let look = key.child("appearance");
        Ok(LesionParams {
            kind,
            shape: self.shapes.source(shape),
            placement: Placement { mirrored, rotation_degrees, scale, shift_mm },
            smoothing_mm: kind.smoothing_mm(),
            appearance: appearance::draw(&self.statistics, kind, volume_ml, strength, look)?,
            texture: key.child("texture"),
        })
    }
}

/// Places in MNI space of the white matter deeper than 12 mm that is not deep grey matter, thrice where it is near the
/// ventricles: multiple sclerosis prefers them (ours).
fn white_matter(host: &Host) -> Vec<[f64; 3]> {
    const DEEP_MM: f32 = 12.0;
    const NEAR_MM: f32 = 8.0;
    let brain = &host.brain;
    let (white, fluid) = (brain.levels.least_white() as f32, brain.levels.least_tissue() as f32);
    let mut ventricles = brain.denoised.mapv(|value| u8::from(value < fluid));
    ventricles.zip_mut_with(&brain.depth_mm, |dark, &depth| *dark &= u8::from(depth > 20.0));
    let from_ventricles = crate::distance::distance_mm(ventricles.view(), brain.spacing_mm);
    let Some(back) = invert(&host.registration().scan_from_template) else { return Vec::new() };
    let affine = &host.scan.volume.grid.affine;
    let mut places = Vec::new();
    for ((z, y, x), &value) in brain.denoised.indexed_iter() {
        if value >= white && brain.depth_mm[[z, y, x]] >= DEEP_MM {
            let world = transform(affine, [x as f64, y as f64, z as f64]);
            let near = from_ventricles[[z, y, x]] <= NEAR_MM;
            places.extend(std::iter::repeat_n(transform(&back, world), if near { 3 } else { 1 }));
        }
    }
    places
}

fn pick(places: &[[f64; 3]], key: Key) -> Option<[f64; 3]> {
    (!places.is_empty()).then(|| places[key.rng().random_range(0..places.len())])
}

/// The placement that takes the middle of a shape to a place of the template.
fn moved_to(placement: Placement, centre: [f64; 3], place: [f64; 3]) -> Placement {
    let [x, y, z] = place;
    let before_mirror = [if placement.mirrored { -x } else { x }, y, z];
    let shift_mm = [0, 1, 2].map(|axis| before_mirror[axis] - centre[axis]);
    Placement { shift_mm, ..placement }
}
