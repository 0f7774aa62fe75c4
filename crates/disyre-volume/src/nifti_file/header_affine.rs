//! The affine of a header: sform, qform or voxel sizes.
use std::path::Path;

use disyre_core::Affine;

use super::header::HeaderFields;
use crate::affine::invert;
use crate::{AffineSource, VolumeError};

/// Affine of a header, in millimetres, and the field that it comes from.
///
/// It is the sform if its code is positive, else the qform if its code is positive, else made from `pixdim`. `sizes`
/// are those of the axes that the file has, x first; a missing axis is 1 mm thick unless its `pixdim` says otherwise.
///
/// # Source
/// `nifti1.h`, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE", methods 3, 2 and 1.
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
    let affine = in_millimetres(affine, fields.xyzt_units);
    if !affine.iter().flatten().all(|value| value.is_finite()) {
        return Err(fail("holds a value that is not finite"));
    }
    if invert(&affine).is_none() {
        return Err(fail("maps the volume onto a plane, a line or a point"));
    }
    Ok((affine, form))
}

fn with_last_row(rows: [[f64; 4]; 3]) -> Affine {
    [rows[0], rows[1], rows[2], [0.0, 0.0, 0.0, 1.0]]
}

fn voxel_sizes(fields: &HeaderFields, sizes: &[usize]) -> Result<[f64; 3], &'static str> {
    let mut steps = [1.0; 3];
    for (axis, step) in steps.iter_mut().enumerate() {
        let given = fields.pixdim[axis + 1];
        if given > 0.0 && given.is_finite() {
            *step = given;
        } else if axis < sizes.len() {
            return Err("needs pixdim[1..3] to be positive and finite");
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

/// `xyzt_units` may say metres (1) or micrometres (3); everything else counts as millimetres.
fn in_millimetres(mut affine: Affine, units: i32) -> Affine {
    let factor = match units & 7 {
        1 => 1e3,
        3 => 1e-3,
        _ => return affine,
    };
    for value in affine[..3].iter_mut().flatten() {
        *value *= factor;
    }
    affine
}

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
        let metres = HeaderFields { xyzt_units: 1, ..fields(0, 1) };
        assert_eq!(affine_of(&metres).unwrap().0[1][1], 1000.0);
        let micrometres = HeaderFields { xyzt_units: 3 | 8, ..fields(0, 1) };
        assert_eq!(affine_of(&micrometres).unwrap().0[1][1], 0.001);
    }

    #[test]
    fn a_bad_field_is_named_only_if_it_is_used() {
        let mut bad = fields(1, 1);
        bad.pixdim[2] = 0.0;
        assert!(affine_of(&bad).is_ok());
        bad.sform_code = 0;
        assert_eq!(
            affine_of(&bad).unwrap_err().to_string(),
            "the qform of a.nii needs pixdim[1..3] to be positive and finite; correct the header"
        );
        bad.sform_code = 1;
        bad.rows[0][3] = f64::NAN;
        assert!(affine_of(&bad).unwrap_err().to_string().contains("sform of a.nii holds a value"));
        bad.rows = [[0.0; 4]; 3];
        assert!(affine_of(&bad).unwrap_err().to_string().contains("plane, a line or a point"));
    }
}
