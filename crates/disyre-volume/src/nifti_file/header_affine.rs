//! The affine of a header: sform, qform or voxel sizes.
use std::fmt;
use std::ops::RangeInclusive;
use std::path::Path;

use disyre_core::{Affine, Grid};
use serde::Serialize;

use super::header::HeaderFields;
use crate::affine::invert;
use crate::{AffineSource, VolumeError};

/// Affine of a header, in millimetres, and the field that it comes from.
///
/// It is the sform if its code is positive, else the qform if its code is positive, else made from `pixdim`. `sizes`
/// are those of the axes that the file has, x first; an axis that is missing or has one voxel is 1 mm thick unless its
/// `pixdim` says otherwise.
///
/// # Errors
/// [`VolumeError::Affine`]; [`VolumeError::VoxelSize`] for voxels that no scan of a head has.
///
/// # Source
/// `nifti1.h`, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE", methods 3, 2 and 1; nibabel for a negative `pixdim`,
/// whose magnitude counts.
pub(crate) fn header_affine(
    path: &Path,
    fields: &HeaderFields,
    sizes: &[usize],
) -> Result<(Affine, AffineSource), VolumeError> {
    let form = match (fields.sform_code > 0, fields.qform_code > 0) {
        (true, _) => AffineSource::Sform,
        (false, true) => AffineSource::Qform,
        (false, false) => AffineSource::Pixdim,
    };
    let fail = |problem| VolumeError::Affine { path: path.to_owned(), form, problem };
    let affine = match form {
        AffineSource::Sform => with_last_row(fields.rows),
        AffineSource::Qform => quaternion_affine(fields, voxel_sizes(fields, sizes).map_err(fail)?),
        AffineSource::Pixdim => centred(sizes, voxel_sizes(fields, sizes).map_err(fail)?),
    };
    let unit = LengthUnit::of(fields.xyzt_units);
    let affine = unit.in_millimetres(affine);
    if !affine.iter().flatten().all(|value| value.is_finite()) {
        return Err(fail("holds a value that is not finite"));
    }
    if invert(&affine).is_none() {
        return Err(fail("maps the volume onto a plane, a line or a point"));
    }
    ensure_plausible(path, &affine, unit)?;
    Ok((affine, form))
}

/// The affine of the qform in millimetres, whatever the sform says; `None` where there is none that is usable.
pub(crate) fn qform_affine(fields: &HeaderFields, sizes: &[usize]) -> Option<Affine> {
    let steps = voxel_sizes(fields, sizes).ok().filter(|_| fields.qform_code > 0)?;
    let affine = LengthUnit::of(fields.xyzt_units).in_millimetres(quaternion_affine(fields, steps));
    invert(&affine).map(|_| affine)
}

fn with_last_row(rows: [[f64; 4]; 3]) -> Affine {
    [rows[0], rows[1], rows[2], [0.0, 0.0, 0.0, 1.0]]
}

fn voxel_sizes(fields: &HeaderFields, sizes: &[usize]) -> Result<[f64; 3], &'static str> {
    let mut steps = [1.0; 3];
    for (axis, step) in steps.iter_mut().enumerate() {
        let given = fields.pixdim[axis + 1].abs();
        if given > 0.0 && given.is_finite() {
            *step = given;
        } else if sizes.get(axis).is_some_and(|&size| size > 1) {
            return Err("needs pixdim[1..3] to be finite and not 0");
        }
    }
    Ok(steps)
}

/// Method 2: a rotation given by a quaternion, mirrored in z where `pixdim[0]` is negative.
fn quaternion_affine(fields: &HeaderFields, steps: [f64; 3]) -> Affine {
    let [mut b, mut c, mut d] = fields.quaternion;
    let squares = b * b + c * c + d * d;
    let a = (1.0 - squares).max(0.0).sqrt();
    if squares > 1.0 {
        let norm = squares.sqrt();
        (b, c, d) = (b / norm, c / norm, d / norm);
    }
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - c * c - b * b],
    ];
    let mirror = if fields.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let [dx, dy, dz] = [steps[0], steps[1], steps[2] * mirror];
    with_last_row(std::array::from_fn(|row| {
        let r = rotation[row];
        [r[0] * dx, r[1] * dy, r[2] * dz, fields.offsets[row]]
    }))
}

/// Method 1 leaves orientation open. As nibabel does: x runs to the left (ANALYZE's habit), the centre is the origin.
fn centred(sizes: &[usize], steps: [f64; 3]) -> Affine {
    let mut affine = [[0.0; 4]; 4];
    for axis in 0..3 {
        let step = if axis == 0 { -steps[0] } else { steps[axis] };
        let last = sizes.get(axis).map_or(0, |&n| n - 1) as f64;
        affine[axis][axis] = step;
        affine[axis][3] = -step * last / 2.0;
    }
    affine[3][3] = 1.0;
    affine
}

/// Unit of a header's lengths. A code that is none of the standard's counts as millimetres.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum LengthUnit {
    /// `xyzt_units` 1.
    #[serde(rename = "m")]
    Metre,
    /// `xyzt_units` 2.
    #[serde(rename = "mm")]
    Millimetre,
    /// `xyzt_units` 3.
    #[serde(rename = "um")]
    Micrometre,
    /// Any other: taken as millimetres.
    #[serde(rename = "unknown")]
    Unknown,
}

impl LengthUnit {
    pub(crate) fn of(xyzt_units: i32) -> Self {
        match xyzt_units & 7 {
            1 => Self::Metre,
            2 => Self::Millimetre,
            3 => Self::Micrometre,
            _ => Self::Unknown,
        }
    }

    fn millimetres(self) -> f64 {
        match self {
            Self::Metre => 1e3,
            Self::Micrometre => 1e-3,
            Self::Millimetre | Self::Unknown => 1.0,
        }
    }

    fn in_millimetres(self, mut affine: Affine) -> Affine {
        if self.millimetres() != 1.0 {
            affine[..3].iter_mut().flatten().for_each(|value| *value *= self.millimetres());
        }
        affine
    }
}

impl fmt::Display for LengthUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metre => "metres",
            Self::Millimetre => "millimetres",
            Self::Micrometre => "micrometres",
            Self::Unknown => "an unknown unit, taken as millimetres",
        })
    }
}

/// Refuses voxels of other sizes than those of images of the head.
///
/// # Source
/// Ours: from a tenth of the finest scans of whole heads (0.2 mm) to three times the thickest slices (10 mm). A wrong unit
/// is off by 1000.
fn ensure_plausible(path: &Path, affine: &Affine, unit: LengthUnit) -> Result<(), VolumeError> {
    let [z, y, x] = Grid { shape: [1; 3], affine: *affine }.spacing_mm();
    let sides_mm = [x, y, z];
    if sides_mm.iter().all(|side| PLAUSIBLE_MM.contains(side)) {
        return Ok(());
    }
    let stored = sides_mm.map(|side| side / unit.millimetres());
    Err(VolumeError::VoxelSize { path: path.to_owned(), sides_mm, stored, unit })
}

/// Sides of voxels that are read, in millimetres.
pub(crate) const PLAUSIBLE_MM: RangeInclusive<f64> = 0.02..=30.0;

#[cfg(test)]
mod tests {
    use super::*;
    use nifti::NiftiHeader;

    fn fields(qform_code: i32, sform_code: i32) -> HeaderFields {
        let base = HeaderFields::from(NiftiHeader::default());
        HeaderFields { qform_code, sform_code, pixdim: [1., 2., 3., 4., 0., 0., 0., 0.], ..base }
    }

    fn affine_of(fields: &HeaderFields) -> Result<(Affine, AffineSource), VolumeError> {
        header_affine(Path::new("a.nii"), fields, &[5, 6, 7])
    }

    #[test]
    fn sform_wins_over_qform_and_qform_over_sizes() {
        assert_eq!(affine_of(&fields(1, 1)).unwrap().1, AffineSource::Sform);
        assert_eq!(affine_of(&fields(1, 0)).unwrap().1, AffineSource::Qform);
        assert_eq!(affine_of(&fields(0, 0)).unwrap().1, AffineSource::Pixdim);
        assert_eq!(affine_of(&fields(-1, -1)).unwrap().1, AffineSource::Pixdim);
    }

    #[test]
    fn a_half_turn_about_z_negates_x_and_y() {
        let turned = HeaderFields { quaternion: [0.0, 0.0, 1.0], ..fields(1, 0) };
        let (affine, _) = affine_of(&turned).unwrap();
        assert_eq!([affine[0][0], affine[1][1], affine[2][2]], [-2.0, -3.0, 4.0]);
    }

    #[test]
    fn sizes_alone_put_the_centre_at_the_origin() {
        let (affine, _) = affine_of(&fields(0, 0)).unwrap();
        assert_eq!(affine[0], [-2.0, 0.0, 0.0, 4.0]);
        assert_eq!(affine[2], [0.0, 0.0, 4.0, -12.0]);
    }

    #[test]
    fn metres_and_micrometres_become_millimetres() {
        let scaled = |xyzt_units, factor: f64| {
            let mut fields = HeaderFields { xyzt_units, ..fields(0, 1) };
            fields.rows.iter_mut().flatten().for_each(|value| *value *= factor);
            affine_of(&fields)
        };
        assert_eq!(scaled(1, 0.002).unwrap().0[1][1], 2.0);
        assert_eq!(scaled(3 | 8, 2000.0).unwrap().0[1][1], 2.0);
        assert_eq!(scaled(7, 2.0).unwrap().0[1][1], 2.0);
    }

    #[test]
    fn a_unit_that_cannot_be_is_named_with_both_sizes() {
        let micrometres = HeaderFields { xyzt_units: 3, ..fields(0, 1) };
        let error = affine_of(&micrometres).unwrap_err().to_string();
        assert!(error.contains("0.001 × 0.001 × 0.001 mm (x, y, z)"), "{error}");
        assert!(error.contains("says 1 × 1 × 1, in micrometres"), "{error}");
        let mut metres = HeaderFields { xyzt_units: 0, ..fields(0, 1) };
        metres.rows.iter_mut().flatten().for_each(|value| *value *= 0.001);
        let error = affine_of(&metres).unwrap_err().to_string();
        assert!(error.contains("in an unknown unit, taken as millimetres"), "{error}");
        let large = HeaderFields { pixdim: [1., 2., 60., 2., 0., 0., 0., 0.], ..fields(0, 0) };
        assert!(affine_of(&large).unwrap_err().to_string().contains("2 × 60 × 2 mm"));
    }

    #[test]
    fn a_negative_pixdim_counts_by_its_magnitude_and_a_single_slice_may_have_none() {
        let mut negative = fields(0, 0);
        negative.pixdim[2] = -3.0;
        assert_eq!(affine_of(&negative).unwrap(), affine_of(&fields(0, 0)).unwrap());
        let mut flat = fields(0, 0);
        flat.pixdim[3] = 0.0;
        let (affine, _) = header_affine(Path::new("a.nii"), &flat, &[5, 6, 1]).unwrap();
        assert_eq!(affine[2][2], 1.0);
    }

    #[test]
    fn a_bad_field_is_named_only_if_it_is_used() {
        let mut bad = fields(1, 1);
        bad.pixdim[2] = 0.0;
        assert!(affine_of(&bad).is_ok());
        bad.sform_code = 0;
        assert_eq!(
            affine_of(&bad).unwrap_err().to_string(),
            "the qform of a.nii needs pixdim[1..3] to be finite and not 0; correct the header"
        );
        bad.sform_code = 1;
        bad.rows[0][3] = f64::NAN;
        assert!(affine_of(&bad).unwrap_err().to_string().contains("sform of a.nii holds a value"));
        bad.rows = [[0.0; 4]; 3];
        assert!(affine_of(&bad).unwrap_err().to_string().contains("plane, a line or a point"));
    }
}
