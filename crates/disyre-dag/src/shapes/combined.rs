//! [`CombinedShapes`]: union and difference of two shapes.

use std::{fmt, sync::Arc};

use disyre_core::{
    Key,
    ndarray::{ArrayViewMut3, Zip},
};

use super::source::ShapeSource;
use crate::{error::DagError, scratch::ScratchBuffer};

/// The combination of two shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Combination {
    Union,
    Difference,
}

/// Two random shapes in one window: both, or the first without the second.
///
/// Of soft masks a and b the union is `max(a, b)`, the difference `a (1 − b)`; it may be empty.
///
/// ```
/// use disyre_dag::shapes::{BlobShapes, CombinedShapes, DiscShapes};
/// use disyre_dag::{Key, ndarray::Array3, shapes::ShapeSource};
///
/// let holes = CombinedShapes::difference(BlobShapes::default(), DiscShapes::default());
/// let mut mask = Array3::zeros((1, 64, 64));
/// holes.fill(Key::new(2), mask.view_mut())?;
/// # Ok::<(), disyre_dag::DagError>(())
/// ```
#[derive(Clone)]
pub struct CombinedShapes {
    combination: Combination,
    first: Arc<dyn ShapeSource>,
    second: Arc<dyn ShapeSource>,
}

impl fmt::Debug for CombinedShapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CombinedShapes")
            .field("combination", &self.combination)
            .finish_non_exhaustive()
    }
}

impl CombinedShapes {
    /// Both.
    pub fn union(first: impl ShapeSource + 'static, second: impl ShapeSource + 'static) -> Self {
        Self { combination: Combination::Union, first: Arc::new(first), second: Arc::new(second) }
    }

    /// The first without the second.
    pub fn difference(
        first: impl ShapeSource + 'static,
        second: impl ShapeSource + 'static,
    ) -> Self {
        Self {
            combination: Combination::Difference,
            first: Arc::new(first),
            second: Arc::new(second),
        }
    }
}

impl ShapeSource for CombinedShapes {
    fn fill(&self, key: Key, mut shape: ArrayViewMut3<'_, f32>) -> Result<(), DagError> {
        let mut memory = ScratchBuffer::zeros(shape.len());
        let mut other = ArrayViewMut3::from_shape(shape.dim(), &mut memory)
            .expect("a buffer of the window's size");
        self.first.fill(key.child("first"), shape.view_mut())?;
        self.second.fill(key.child("second"), other.view_mut())?;
        let combination = self.combination;
        Zip::from(&mut shape).and(&other).for_each(|a, &b| {
            *a = match combination {
                Combination::Union => a.max(b),
                Combination::Difference => *a * (1.0 - b),
            };
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::{DiscShapes, RectangleShapes};
    use disyre_core::ndarray::Array3;

    #[test]
    fn a_union_holds_both_and_a_difference_what_is_left() {
        let (a, b): (Arc<dyn ShapeSource>, Arc<dyn ShapeSource>) =
            (Arc::new(RectangleShapes::default()), Arc::new(DiscShapes::default()));
        let mut masks = [0, 1, 2, 3].map(|_| Array3::zeros((1, 64, 64)));
        for index in 0..20u64 {
            let key = Key::new(8).child(index);
            CombinedShapes::union(a.clone(), b.clone()).fill(key, masks[0].view_mut()).unwrap();
            CombinedShapes::difference(a.clone(), b.clone())
                .fill(key, masks[1].view_mut())
                .unwrap();
            a.fill(key.child("first"), masks[2].view_mut()).unwrap();
            b.fill(key.child("second"), masks[3].view_mut()).unwrap();
            for (index, (&a, &b)) in masks[2].iter().zip(&masks[3]).enumerate() {
                let (both, rest) = (masks[0].as_slice().unwrap(), masks[1].as_slice().unwrap());
                assert_eq!(both[index] > 0.0, a > 0.0 || b > 0.0);
                assert_eq!(rest[index] > 0.0, a > 0.0 && b == 0.0);
            }
        }
    }
}
