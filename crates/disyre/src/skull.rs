//! [`SkullPolicy`]: the treatment of a scan that has its skull, and the recognition of such scans.

use std::path::Path;

use disyre_brain::BrainMask;
use disyre_core::Volume;
use disyre_volume::{Image, ImageOptions, Scan};
use serde::{Deserialize, Serialize};

use crate::{BrainFinder, Error};

/// Treatment of a scan without a brain mask that still has its skull. Every policy leaves stripped scans alone.
///
/// A head is recognised by [`Content`](disyre_brain::Content): by the volume that is not 0 and, where that could be either, by how much of it a
/// network calls brain.
///
/// ```
/// use disyre::core::{Grid, Volume, ndarray::Array3};
/// use disyre::{Error, SkullPolicy};
///
/// // 4.1 litres that are not 0: no brain is that large.
/// let grid = Grid::from_spacing([40; 3], [4.0; 3]);
/// let head = Volume::new(Array3::ones(grid.shape), grid)?;
/// assert!(matches!(SkullPolicy::Refuse.brain_of(&head), Err(Error::Head { .. })));
/// assert_eq!(SkullPolicy::Ignore.brain_of(&head)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Source
/// Ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkullPolicy {
    /// A head is an error: it would be scored as if it were a brain.
    #[default]
    Refuse,
    /// The brain of a head is found by the network of `disyre-brain`.
    Strip,
    /// Nothing is checked: the brain is where the scan is not 0.
    Ignore,
}

impl SkullPolicy {
    /// Reads a scan to be worked on: see [`Image`]. Its background is exactly 0, unless it may be a head.
    ///
    /// # Errors
    /// Those of [`Image::read`].
    pub fn read(self, path: &Path) -> Result<Scan, Error> {
        let may_be_head = self == Self::Strip;
        Ok(Image::read(path, &ImageOptions { may_be_head, ..ImageOptions::default() })?.scan)
    }

    /// The brain of a head under this policy, for a single scan: a [`BrainFinder`] keeps its network for several. `None`: the scan is taken as stripped, its brain is where it is not 0.
    ///
    /// # Errors
    /// [`Error::Head`] for a head that is refused, [`Error::EmptyBrain`] for one without a brain, and [`Error::Brain`].
    pub fn brain_of(self, scan: &Volume) -> Result<Option<BrainMask>, Error> {
        BrainFinder::default().brain_of(self, scan)
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
