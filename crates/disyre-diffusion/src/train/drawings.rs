use disyre_core::{Drawing, DrawnPairs, PairError, Stock};
use rayon::prelude::*;

/// Makes batches of drawings: what [`Batches`](super::Batches) is for pairs.
pub(crate) struct Drawings<'a> {
    source: &'a dyn DrawnPairs,
    stock: Stock<'a>,
    batch: usize,
}

impl<'a> Drawings<'a> {
    pub(crate) fn new(source: &'a dyn DrawnPairs, batch: usize) -> Self {
        Self { source, stock: source.stock(), batch }
    }

    pub(crate) fn stock(&self) -> &Stock<'a> {
        &self.stock
    }

    /// The drawings of the pairs that [`Batches::of_step`](super::Batches::of_step) would make, each on any thread; of
    /// several failures the first counts.
    pub(crate) fn of_step(&self, step: u64) -> Result<Vec<Drawing>, PairError> {
        let first = step.wrapping_mul(self.batch as u64);
        let drawn: Vec<_> = (0..self.batch)
            .into_par_iter()
            .map(|i| self.drawing(first.wrapping_add(i as u64)))
            .collect();
        drawn.into_iter().collect()
    }

    /// One that can be finished.
    fn drawing(&self, index: u64) -> Result<Drawing, PairError> {
        let drawing = self.source.drawing(index)?;
        let wrong = |error| PairError::Source { index, source: Box::new(error) };
        self.stock.ensure_holds(&drawing).map_err(wrong)?;
        Ok(drawing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use disyre_core::ndarray::ArrayViewMut4;
    use disyre_core::{Cut, Normalisation, PairSource, Patch, Rules, Severity, StockVolume};
    use std::error::Error;

    /// Pair i is a voxel of volume i / 7; there is one volume.
    struct Voxels;

    impl PairSource for Voxels {
        fn pair(
            &self,
            _: u64,
            _: ArrayViewMut4<'_, f32>,
            _: ArrayViewMut4<'_, f32>,
        ) -> Result<Severity, PairError> {
            Ok(Severity::CLEAN)
        }
    }

    impl DrawnPairs for Voxels {
        fn stock(&self) -> Stock<'_> {
            let rules = Rules {
                window: [1; 3],
                normalisation: Normalisation::None,
                tissue_borders: vec![],
                count_offset: 0.0,
                tissue_blur_sigma_voxels: [0.0; 3],
            };
            let volumes = vec![StockVolume { extents: [1; 3], values: &[0.5] }];
            Stock { volumes, patch: [1; 3], rules }
        }

        fn drawing(&self, index: u64) -> Result<Drawing, PairError> {
            let (volume, origin) = ((index / 7) as usize, [0; 3]);
            let cut = Cut { volume, from: origin, to: origin, size: [1; 3], mirror: [false; 3] };
            Ok(Drawing { patch: Patch::Cut(cut), anomaly: None })
        }
    }

    #[test]
    fn the_first_drawing_of_what_is_not_there_is_refused_by_its_number() {
        let drawings = Drawings::new(&Voxels, 5);
        assert_eq!(drawings.of_step(0).unwrap().len(), 5);
        let error = drawings.of_step(1).unwrap_err();
        assert_eq!(error.to_string(), "pair 7 could not be made");
        assert!(error.source().unwrap().to_string().starts_with("volume 1 was drawn"));
    }
}
