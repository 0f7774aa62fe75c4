//! [`LazyBank`]: foreign patches from volumes that are opened when a sample asks for them.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use disyre_core::{
    Key,
    ndarray::{ArcArray, ArrayView4, ArrayViewMut4, Ix4},
    rand::RngExt,
};

use super::{
    bank::{Foreground, check_channels, fill_from},
    source::TextureSource,
};
use crate::{check, error::DagError};

type Open = dyn Fn(usize) -> Result<ArcArray<f32, Ix4>, DagError> + Send + Sync;

/// A [`VolumeBank`](crate::textures::VolumeBank) that opens a volume when a sample asks for it.
///
/// This crate reads no files: the caller says how a volume is opened, and may keep volumes open, as long as an index
/// always gives the same one. The bank itself keeps where the foreground of each volume is once it was opened, which
/// depends on that volume alone: a sample does not depend on those before it.
///
/// ```
/// use disyre_core::{Key, ndarray::Array4};
/// use disyre_dag::textures::{LazyBank, TextureSource};
///
/// let bank = LazyBank::new(3, |index| {
///     Ok::<_, std::io::Error>(Array4::from_elem((1, 8, 40, 30), 0.2 + 0.1 * index as f32))
/// })?;
/// let mut texture = Array4::zeros((1, 1, 16, 16));
/// bank.fill(Key::new(1), Array4::zeros((1, 1, 16, 16)).view(), texture.view_mut())?;
/// assert!(texture[[0, 0, 3, 3]] >= 0.2);
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Clone)]
pub struct LazyBank {
    /// Of each volume that was opened and found right.
    foregrounds: Arc<[OnceLock<Foreground>]>,
    open: Arc<Open>,
}

impl fmt::Debug for LazyBank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazyBank").field("count", &self.foregrounds.len()).finish_non_exhaustive()
    }
}

impl LazyBank {
    /// `open(index)` gives volume `index` of `count`, `(c, z, y, x)`, intensities in `[0, 1]`; foreground: any channel
    /// above 0.
    ///
    /// # Errors
    /// [`DagError::NoItems`] without volumes. What is wrong with a volume is an error of the sample that asks for it.
    pub fn new<V, E>(
        count: usize,
        open: impl Fn(usize) -> Result<V, E> + Send + Sync + 'static,
    ) -> Result<Self, DagError>
    where
        V: Into<ArcArray<f32, Ix4>>,
        E: fmt::Display,
    {
        if count == 0 {
            return Err(DagError::NoItems { source_name: "the volume bank", items: "volumes" });
        }
        let open = move |index| match open(index) {
            Ok(volume) => Ok(volume.into()),
            Err(error) => Err(DagError::Open { index, reason: error.to_string() }),
        };
        let foregrounds = (0..count).map(|_| OnceLock::new()).collect();
        Ok(Self { foregrounds, open: Arc::new(open) })
    }

    /// Checks a volume and finds its foreground when it is opened first.
    fn foreground(
        &self,
        index: usize,
        volume: ArrayView4<'_, f32>,
    ) -> Result<&Foreground, DagError> {
        let known = &self.foregrounds[index];
        if let Some(foreground) = known.get() {
            return Ok(foreground);
        }
        check::unit_interval("a volume of the bank", &volume)?;
        let missing = DagError::EmptyItem { index, source_name: "the volume bank" };
        let foreground = Foreground::of(volume).ok_or(missing)?;
        Ok(known.get_or_init(|| foreground))
    }
}

impl TextureSource for LazyBank {
    fn fill(
        &self,
        key: Key,
        _: ArrayView4<'_, f32>,
        texture: ArrayViewMut4<'_, f32>,
    ) -> Result<(), DagError> {
        let mut rng = key.rng();
        let index = rng.random_range(0..self.foregrounds.len());
        let volume = (self.open)(index)?;
        let channels = texture.dim().0;
        check_channels("a volume of the bank", volume.view(), channels, "the image")?;
        let foreground = self.foreground(index, volume.view())?;
        fill_from(volume.view(), foreground, &mut rng, texture);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{region::Region, textures::VolumeBank};
    use disyre_core::ndarray::Array4;

    fn volume(index: usize) -> Array4<f32> {
        Array4::from_shape_fn((1, 3, 20, 20), |(_, z, y, x)| {
            0.1 + ((index * 97 + z * 31 + y * 7 + x) % 89) as f32 / 100.0
        })
    }

    fn texture(source: &dyn TextureSource, key: u64) -> Result<Array4<f32>, DagError> {
        let mut texture = Array4::zeros((1, 1, 8, 8));
        let image = Array4::zeros((1, 1, 8, 8));
        source.fill(Key::new(key), image.view(), texture.view_mut()).map(|()| texture)
    }

    #[test]
    fn a_lazy_bank_draws_what_a_loaded_one_draws() {
        let lazy = LazyBank::new(4, |index| Ok::<_, DagError>(volume(index))).unwrap();
        let loaded = VolumeBank::new((0..4).map(volume).collect()).unwrap();
        for key in 0..20 {
            assert_eq!(texture(&lazy, key), texture(&loaded, key));
        }
    }

    #[test]
    fn a_sample_does_not_depend_on_those_before_it() {
        // Foregrounds that differ: one taken for another would show.
        let framed = |index: usize| {
            let mut volume = Array4::zeros((1, 3, 20, 20));
            let (first, last) = (index, 18 - 2 * index);
            let side = last - first;
            Region::at([index, first, first], [1, side, side]).of(volume.view_mut()).fill(0.5);
            volume
        };
        let used = LazyBank::new(3, move |index| Ok::<_, DagError>(framed(index))).unwrap();
        for key in (0..40).chain((0..40).rev()) {
            let fresh = LazyBank::new(3, move |index| Ok::<_, DagError>(framed(index))).unwrap();
            assert_eq!(texture(&used, key), texture(&fresh, key));
        }
        assert!(used.foregrounds.iter().all(|foreground| foreground.get().is_some()));
    }

    #[test]
    fn what_is_wrong_with_a_volume_is_said_by_the_sample_that_needs_it() {
        assert!(matches!(
            LazyBank::new(0, |index| Ok::<_, DagError>(volume(index))),
            Err(DagError::NoItems { .. })
        ));
        let missing = LazyBank::new(2, |_| Err::<Array4<f32>, _>("no such file")).unwrap();
        let error = texture(&missing, 0).unwrap_err();
        assert!(error.to_string().ends_with("could not be opened: no such file"), "{error}");
        let two = LazyBank::new(2, |_| Ok::<_, DagError>(Array4::ones((2, 1, 9, 9)))).unwrap();
        assert!(matches!(texture(&two, 0), Err(DagError::Channels { got: 2, expected: 1, .. })));
        let dark = LazyBank::new(2, |_| Ok::<_, DagError>(Array4::zeros((1, 1, 9, 9)))).unwrap();
        assert!(matches!(texture(&dark, 0), Err(DagError::EmptyItem { .. })));
    }
}
