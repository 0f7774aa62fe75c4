//! [`VolumeBank`]: foreign patches from volumes in memory.

use disyre_core::{
    Key, KeyRng,
    ndarray::{ArcArray, ArrayView3, ArrayView4, ArrayViewMut4, Axis, Ix4},
    rand::RngExt,
};

use super::source::TextureSource;
use crate::{check, error::DagError, region::Region};

/// Foreign patches: random windows of given volumes, inside the box around their foreground.
///
/// A volume, then for a window of one slice an axial slice with foreground, then a place where the window lies inside
/// the foreground box (of that slice, or of the volume); along an axis where the box is shorter than the window, the
/// window contains the box. Outside a volume the texture is 0.
///
/// # Source
/// DISYRE v2 (arXiv 2407.06635), foreign patches. The published code keeps a pool of patches of earlier training
/// batches in each worker; ours draws from all volumes by key, so a sample does not depend on those before it.
///
/// ```
/// use disyre_core::{Key, ndarray::Array4};
/// use disyre_dag::textures::{TextureSource, VolumeBank};
///
/// let bank = VolumeBank::new(vec![Array4::from_elem((1, 8, 40, 30), 0.5)])?;
/// let mut texture = Array4::zeros((1, 1, 16, 16));
/// let image = Array4::zeros((1, 1, 16, 16)); // a bank does not look at the image to be corrupted
/// bank.fill(Key::new(1), image.view(), texture.view_mut())?;
/// assert_eq!(texture.sum(), 128.0);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Debug, Clone)]
pub struct VolumeBank {
    volumes: Vec<BankVolume>,
    channels: usize,
}

impl VolumeBank {
    /// Takes volumes, `(c, z, y, x)`, owned or shared, of any extents, intensities in `[0, 1]`. Foreground: any channel
    /// above 0.
    ///
    /// # Errors
    /// [`DagError::NoItems`] without volumes; [`DagError::Channels`] if they differ in the number of channels;
    /// [`DagError::OutOfRange`] for intensities outside `[0, 1]`; [`DagError::EmptyItem`] for a volume without
    /// foreground.
    pub fn new<V: Into<ArcArray<f32, Ix4>>>(volumes: Vec<V>) -> Result<Self, DagError> {
        let volumes: Vec<ArcArray<f32, Ix4>> = volumes.into_iter().map(Into::into).collect();
        let Some(first) = volumes.first() else {
            return Err(DagError::NoItems { source_name: "the volume bank", items: "volumes" });
        };
        let channels = first.len_of(Axis(0));
        let stored = volumes.into_iter().enumerate().map(|(index, volume)| {
            let like = "the first volume of the bank";
            check_channels("a volume of the bank", volume.view(), channels, like)?;
            check::unit_interval("a volume of the bank", &volume.view())?;
            let missing = DagError::EmptyItem { index, source_name: "the volume bank" };
            let foreground = Foreground::of(volume.view()).ok_or(missing)?;
            Ok(BankVolume { volume, foreground })
        });
        Ok(Self { volumes: stored.collect::<Result<_, DagError>>()?, channels })
    }
}

pub(super) fn check_channels(
    array: &'static str,
    view: ArrayView4<'_, f32>,
    expected: usize,
    like: &'static str,
) -> Result<(), DagError> {
    match view.len_of(Axis(0)) {
        got if got == expected => Ok(()),
        got => Err(DagError::Channels { array, got, expected, like }),
    }
}

impl TextureSource for VolumeBank {
    fn fill(
        &self,
        key: Key,
        _: ArrayView4<'_, f32>,
        texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        check_channels("the texture", texture.view(), self.channels, "the volume bank")?;
        let mut rng = key.rng();
        let BankVolume { volume, foreground } =
            &self.volumes[rng.random_range(0..self.volumes.len())];
        fill_from(volume.view(), foreground, &mut rng, texture);
        Ok(())
    }
}

/// Copies a random window inside the foreground box of a volume, or of one of its slices.
pub(super) fn fill_from(
    volume: ArrayView4<'_, f32>,
    foreground: &Foreground,
    rng: &mut KeyRng,
    texture: ArrayViewMut4<'_, f32>,
) {
    copy_padded(volume, foreground.draw(rng, extents(&texture)), texture);
}

fn extents(texture: &ArrayViewMut4<'_, f32>) -> [usize; 3] {
    let (_, depth, height, width) = texture.dim();
    [depth, height, width]
}

/// Copies the window at `start`, which may lie partly or wholly outside; there it becomes 0.
fn copy_padded(from: ArrayView4<'_, f32>, start: [isize; 3], mut to: ArrayViewMut4<'_, f32>) {
    to.fill(0.0);
    let mut covered = Region { start: [0; 3], end: [0; 3] };
    let mut source = covered;
    for (axis, start) in start.into_iter().enumerate() {
        let window = to.len_of(Axis(axis + 1)) as isize;
        let extent = from.len_of(Axis(axis + 1)) as isize;
        let first = (-start).clamp(0, window);
        let end = (extent - start).clamp(first, window);
        if first == end {
            return;
        }
        (covered.start[axis], covered.end[axis]) = (first as usize, end as usize);
        source.start[axis] = (first + start) as usize;
        source.end[axis] = (end + start) as usize;
    }
    covered.of(to).assign(&source.of(from));
}

/// `[first, end)` along two axes.
type Plane = [[usize; 2]; 2];

/// A volume and the bounds of its foreground.
#[derive(Debug, Clone)]
struct BankVolume {
    volume: ArcArray<f32, Ix4>,
    foreground: Foreground,
}

/// Bounds of the foreground of a volume.
#[derive(Debug, Clone)]
pub(super) struct Foreground {
    /// The foreground box, `[first, end)` along `(z, y, x)`.
    bounds: [[usize; 2]; 3],
    /// Slices with foreground and their boxes; never empty.
    planes: Vec<(usize, Plane)>,
}

impl Foreground {
    /// `None` without foreground.
    pub(super) fn of(volume: ArrayView4<'_, f32>) -> Option<Self> {
        let planes: Vec<(usize, Plane)> = volume
            .axis_iter(Axis(1))
            .enumerate()
            .filter_map(|(z, plane)| Some((z, plane_box(plane)?)))
            .collect();
        let (first, last) = (planes.first()?.0, planes.last()?.0);
        let union = |axis: usize| {
            let ends = planes.iter().map(|(_, plane)| plane[axis]);
            ends.reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])
        };
        let bounds = [[first, last + 1], union(0)?, union(1)?];
        Some(Self { bounds, planes })
    }

    /// The first voxel of a random window inside the box, or inside that of a slice.
    fn draw(&self, rng: &mut KeyRng, window: [usize; 3]) -> [isize; 3] {
        let (slice, plane) = self.planes[rng.random_range(0..self.planes.len())];
        let region = match window[0] {
            1 => [[slice, slice + 1], plane[0], plane[1]],
            _ => self.bounds,
        };
        std::array::from_fn(|axis| {
            let [first, end] = region[axis].map(|bound| bound as isize);
            let other = end - window[axis] as isize;
            rng.random_range(first.min(other) as i64..=first.max(other) as i64) as isize
        })
    }
}

/// Foreground box of one slice, `(c, y, x)`.
fn plane_box(plane: ArrayView3<'_, f32>) -> Option<Plane> {
    let used = |axis: usize| {
        let lines = plane.axis_iter(Axis(axis));
        let mut used = lines.enumerate().filter(|(_, line)| line.iter().any(|&value| value > 0.0));
        let first = used.next()?.0;
        Some([first, used.last().map_or(first, |(index, _)| index) + 1])
    };
    Some([used(1)?, used(2)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::{Array3, Array4};

    /// The bank does not look at the image.
    fn nothing() -> Array4<f32> {
        Array4::zeros((0, 0, 0, 0))
    }

    /// Background 0, and inside the box a value that names the voxel.
    fn ramp() -> Array4<f32> {
        Array4::from_shape_fn((1, 6, 20, 20), |(_, z, y, x)| {
            let inside = (2..4).contains(&z) && (5..15).contains(&y) && (6..18).contains(&x);
            if inside { 0.1 + (z * 400 + y * 20 + x) as f32 / 4000.0 } else { 0.0 }
        })
    }

    #[test]
    fn a_window_smaller_than_the_box_lies_inside_it() {
        let bank = VolumeBank::new(vec![ramp()]).unwrap();
        let mut texture = Array4::zeros((1, 1, 8, 8));
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..200u64 {
            bank.fill(Key::new(1).child(index), nothing().view(), texture.view_mut()).unwrap();
            assert!(texture.iter().all(|&value| value > 0.0));
            seen.insert(texture[[0, 0, 0, 0]].to_bits());
        }
        // 2 slices x 3 rows x 5 columns.
        assert_eq!(seen.len(), 30);
    }

    #[test]
    fn a_window_larger_than_the_volume_contains_the_box_and_is_zero_outside() {
        let bank = VolumeBank::new(vec![ramp()]).unwrap();
        for window in [(1, 1, 30, 30), (1, 9, 30, 30)] {
            let mut texture = Array4::from_elem(window, 9.0);
            bank.fill(Key::new(2), nothing().view(), texture.view_mut()).unwrap();
            let voxels = texture.iter().filter(|&&value| value > 0.0).count();
            assert_eq!(voxels, if window.1 == 1 { 120 } else { 240 });
            assert!(texture.iter().all(|&value| value <= 1.0));
        }
    }

    #[test]
    fn what_cannot_serve_as_a_bank_is_refused() {
        assert!(matches!(
            VolumeBank::new(Vec::<Array4<f32>>::new()),
            Err(DagError::NoItems { .. })
        ));
        let empty = vec![ramp(), Array4::zeros((1, 2, 2, 2))];
        assert!(matches!(VolumeBank::new(empty), Err(DagError::EmptyItem { index: 1, .. })));
        let channels = vec![ramp(), Array4::ones((2, 2, 2, 2))];
        assert!(matches!(VolumeBank::new(channels), Err(DagError::Channels { got: 2, .. })));
        let range = vec![Array4::from_elem((1, 1, 2, 2), f32::NAN)];
        assert!(matches!(VolumeBank::new(range), Err(DagError::OutOfRange { .. })));
    }

    #[test]
    fn a_texture_of_other_channels_is_refused() {
        let bank = VolumeBank::new(vec![ramp()]).unwrap();
        let mut texture = Array4::zeros((2, 1, 4, 4));
        let error = bank.fill(Key::new(0), nothing().view(), texture.view_mut()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the texture has 2 channels, expected 1 like the volume bank"
        );
    }

    #[test]
    fn the_box_of_a_slice_is_found_over_all_channels() {
        let mut plane = Array3::zeros((2, 5, 6));
        plane[[0, 1, 2]] = 0.5;
        plane[[1, 3, 4]] = 0.5;
        assert_eq!(plane_box(plane.view()), Some([[1, 4], [2, 5]]));
        plane.fill(0.0);
        assert_eq!(plane_box(plane.view()), None);
    }
}
