//! The stages of one registration: a start at the coarsest level, then a climb from level to level.

use disyre_core::{Key, Volume};

use crate::local_correlation::LocalCorrelation;
use crate::mattes::Mattes;
use crate::maximise::Limits;
use crate::objective::{Agreement, Objective};
use crate::pose::Pose;
use crate::samples::{Region, Samples};
use crate::start::{Found, StartSearch};
use crate::subject::Subject;
use crate::{Freedom, Metric, RegisterConfig, RegisterError};

/// Margin at the coarsest level: the agreement there is compared with constants.
const COARSE_MARGIN_MM: f64 = 16.0;

/// Least spacing of the points of local correlation: below it blocks are smaller than what they should correlate.
const LEAST_BLOCK_SPACING_MM: f64 = 4.0;

/// One registration in progress.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stages<'a> {
    pub(crate) config: &'a RegisterConfig,
    /// The template's mask.
    pub(crate) mask: &'a Volume,
    /// The template.
    pub(crate) target: &'a Subject,
    pub(crate) scan: &'a Subject,
    pub(crate) key: Key,
}

impl Stages<'_> {
    /// The pose from which to climb.
    pub(crate) fn start(&self) -> Result<Found, RegisterError> {
        let around = self.samples(0, self.key.child("start"))?;
        let inner = Region::new(self.mask, 0.0)?;
        let inner = self.samples_in(&inner, 0, self.key.child("inner"))?;
        let search = StartSearch {
            start: self.config.start,
            freedom: self.coarse_freedom(),
            template: &self.target.foreground,
            scan: self.scan,
            objective: &self.objective(0, &around),
            inner: &self.objective(0, &inner),
        };
        Ok(search.run())
    }

    /// The best pose to be climbed to from level to level, and its agreement at the last.
    pub(crate) fn climb(&self, mut pose: Pose) -> Result<(Pose, f64), RegisterError> {
        let levels = &self.config.levels;
        let mut metric = 0.0;
        for (index, level) in levels.iter().enumerate() {
            let first_of_many = index == 0 && levels.len() > 1;
            let freedom = if first_of_many { self.coarse_freedom() } else { self.config.freedom };
            let samples = self.samples(index, self.key.child(index))?;
            let limits = Limits {
                longest_step: 2.0 * level.spacing_mm,
                shortest_step: 0.01 * level.spacing_mm,
                steps: 60,
            };
            (pose, metric) = self.objective(index, &samples).fit(&pose, freedom, limits);
        }
        Ok((pose, metric))
    }

    /// At most 7 degrees of freedom.
    fn coarse_freedom(&self) -> Freedom {
        match self.config.freedom {
            Freedom::Rigid => Freedom::Rigid,
            _ => Freedom::Similarity,
        }
    }

    fn objective<'a>(&'a self, level: usize, samples: &'a Samples) -> Objective<'a> {
        let (scan, excluded) = (&self.scan.images[level], self.scan.excluded.as_ref());
        Objective { scan, excluded, samples, agreement: self.agreement(level) }
    }

    /// Side of the blocks and spacing of their points where local correlation measures.
    fn blocks(&self, level: usize) -> Option<(usize, f64)> {
        match self.config.metric {
            Metric::LocalCorrelation { radius } if level > 0 => {
                let spacing_mm = self.config.levels[level].spacing_mm.max(LEAST_BLOCK_SPACING_MM);
                Some((2 * radius + 1, spacing_mm))
            }
            _ => None,
        }
    }

    fn agreement(&self, level: usize) -> Agreement {
        match (self.blocks(level), self.config.metric) {
            (Some((side, _)), _) => {
                Agreement::LocalCorrelation(LocalCorrelation { block: side.pow(3) })
            }
            (None, Metric::MattesMutualInformation { bins }) => Agreement::Mattes(Mattes { bins }),
            (None, Metric::LocalCorrelation { .. }) => Agreement::Mattes(Mattes { bins: 32 }),
        }
    }

    /// Samples of the template in and around its brain; in it alone for a head, whose skull the template lacks.
    fn samples(&self, level: usize, key: Key) -> Result<Samples, RegisterError> {
        let margin_mm = match (self.scan.is_stripped(), level) {
            (false, _) => 0.0,
            (true, 0) => COARSE_MARGIN_MM,
            (true, _) => self.config.margin_mm,
        };
        self.samples_in(&Region::new(self.mask, margin_mm)?, level, key)
    }

    fn samples_in(
        &self,
        region: &Region,
        level: usize,
        key: Key,
    ) -> Result<Samples, RegisterError> {
        let image = &self.target.images[level];
        match self.blocks(level) {
            Some((side, spacing_mm)) => Samples::in_blocks(image, region, side, spacing_mm, key),
            None => Ok(Samples::scattered(image, region, self.config.levels[level].samples, key)),
        }
    }
}
