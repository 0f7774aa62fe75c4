//! [`SkullPolicy`]: the treatment of a scan that has its skull, and the recognition of such scans.

use disyre_brain::{BrainExtractor, BrainMask, Content, Device};
use disyre_core::Volume;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Treatment of a scan without a brain mask that still has its skull. Every policy leaves stripped scans alone.
///
/// A head is recognised by [`Content`]: by the volume that is not 0 and, where that could be either, by how much of it a
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
    /// The brain of a head under this policy; `None`: the scan is taken as stripped, its brain is where it is not 0.
    ///
    /// # Errors
    /// [`Error::Head`] for a head that is refused, [`Error::EmptyBrain`] for one without a brain, and [`Error::Brain`].
    pub fn brain_of(self, scan: &Volume) -> Result<Option<BrainMask>, Error> {
        // The volume often says it all, and the network need not be made.
        let by_volume = Content::by_volume(scan);
        if self == Self::Ignore || (!by_volume.is_open() && !by_volume.is_head()) {
            return Ok(None);
        }
        if by_volume.is_head() && self == Self::Refuse {
            return Err(Error::head(by_volume));
        }
        let extractor = BrainExtractor::embedded(&Device::cpu())?;
        let content = extractor.content(scan)?;
        match (content.is_head(), self) {
            (false, _) => Ok(None),
            (true, Self::Strip) => {
                let found = extractor.extract(scan)?;
                if found.volume_ml > 0.0 {
                    return Ok(Some(found));
                }
                Err(Error::EmptyBrain { name: "the head".to_owned() })
            }
            (true, _) => Err(Error::head(content)),
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
