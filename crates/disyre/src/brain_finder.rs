//! [`BrainFinder`]: the brains of heads, by one network for all scans; cohorts, atlases and models hold one.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use disyre_brain::{BrainExtractor, BrainMask, Content, Device};
use disyre_core::Volume;
use disyre_volume::{Background, VolumeError};

use crate::{Error, SkullPolicy};

/// Finds the brains of heads as a [`SkullPolicy`] says. Its network is made when a scan first needs it, and kept.
///
/// Clones share the network.
///
/// ```
/// use disyre::core::{Grid, Volume, ndarray::Array3};
/// use disyre::{BrainFinder, SkullPolicy};
///
/// let grid = Grid::from_spacing([10; 3], [8.0; 3]);
/// let stripped = Volume::new(Array3::ones(grid.shape), grid)?; // half a litre
/// assert_eq!(BrainFinder::default().brain_of(SkullPolicy::Strip, &stripped)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct BrainFinder {
    extractor: Arc<OnceLock<BrainExtractor>>,
}

impl BrainFinder {
    /// The brain of a head under a policy; `None`: the scan is taken as stripped, its brain is where it is not 0.
    ///
    /// # Errors
    /// [`Error::Head`] for a head that is refused, [`Error::EmptyBrain`] for one without a brain, and [`Error::Brain`];
    /// [`VolumeError::BackgroundNotZero`] for a stripped scan whose background is not exactly 0.
    pub fn brain_of(&self, policy: SkullPolicy, scan: &Volume) -> Result<Option<BrainMask>, Error> {
        // The volume often says it all, and the network need not be made.
        let by_volume = Content::by_volume(scan);
        if policy == SkullPolicy::Ignore || (!by_volume.is_open() && !by_volume.is_head()) {
            return ensure_background(scan).map(|()| None);
        }
        if by_volume.is_head() && policy == SkullPolicy::Refuse {
            return Err(Error::head(by_volume));
        }
        let extractor = self.extractor()?;
        let content = extractor.content(scan)?;
        match (content.is_head(), policy) {
            (false, SkullPolicy::Strip) => ensure_background(scan).map(|()| None),
            (false, _) => Ok(None),
            (true, SkullPolicy::Strip) => {
                let found = extractor.extract(scan)?;
                if found.volume_ml > 0.0 {
                    return Ok(Some(found));
                }
                Err(Error::EmptyBrain { name: "the head".to_owned() })
            }
            (true, _) => Err(Error::head(content)),
        }
    }

    /// The network. Threads that need it first at the same time may each make one; one of them is kept.
    fn extractor(&self) -> Result<&BrainExtractor, Error> {
        if let Some(extractor) = self.extractor.get() {
            return Ok(extractor);
        }
        let made = BrainExtractor::embedded(&Device::cpu())?;
        Ok(self.extractor.get_or_init(|| made))
    }
}

/// Refuses a stripped scan whose background is not 0: its brain would be all of it.
fn ensure_background(scan: &Volume) -> Result<(), Error> {
    match Background::of(scan.data.view()) {
        Background::Zero => Ok(()),
        background => {
            let path = Path::new("the scan").to_owned();
            Err(VolumeError::BackgroundNotZero { path, background }.into())
        }
    }
}
