//! Parameters on the CPU, with the weights in them packed as convolutions read them.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, Mutex, PoisonError};

use crate::conv2d::{Direction, Packed, Purpose};
use crate::{Buffer, Convolution, Cpu, Extent};

/// A run of numbers; if it was taken for [lasting](super::Backend::upload_lasting), with the weights in it as
/// convolutions read them, until it changes.
///
/// Packing all weights of the published network costs half as much as restoring one patch with packed ones.
#[derive(Debug)]
pub struct Numbers {
    values: Buffer,
    /// By where a weight begins.
    packed: Option<Mutex<Kept>>,
}

type Kept = HashMap<(usize, Purpose), Arc<Packed>>;

impl Numbers {
    pub(super) fn new(values: Buffer) -> Self {
        Self { values, packed: None }
    }

    pub(super) fn lasting(values: Buffer) -> Self {
        Self { values, packed: Some(Mutex::default()) }
    }

    /// A weight for images of this size.
    pub(super) fn packed(
        &self,
        cpu: &Cpu,
        layer: &Convolution,
        extent: Extent,
        weight: &Range<usize>,
    ) -> Arc<Packed> {
        let pack = || Arc::new(layer.packed(cpu, extent, &self.values[weight.clone()]));
        let Some(packed) = &self.packed else { return pack() };
        let key = (weight.start, layer.purpose(cpu, extent, Direction::Forward));
        let known = |packed: &Mutex<Kept>| {
            packed.lock().unwrap_or_else(PoisonError::into_inner).get(&key).map(Arc::clone)
        };
        // Packed without the lock: threads of rayon that wait for it could be asked to pack.
        known(packed).unwrap_or_else(|| {
            let new = pack();
            let mut packed = packed.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(packed.entry(key).or_insert(new))
        })
    }
}

impl Deref for Numbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for Numbers {
    fn deref_mut(&mut self) -> &mut [f32] {
        if let Some(packed) = &mut self.packed {
            packed.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        }
        &mut self.values
    }
}

#[cfg(test)]
mod tests {
    use super::super::Backend;
    use super::*;
    use crate::{Addends, Compute, ConvInput, ConvKind, InputPart};

    #[test]
    fn a_lasting_weight_that_changes_is_packed_anew() {
        let cpu = Cpu::default();
        let layer = Convolution { kind: ConvKind::Pointwise, inputs: 1, outputs: 1 };
        let extent = Extent { count: 1, height: 1, width: 1 };
        let mut numbers = cpu.upload_lasting(&[0.0, 3.0]);
        let result = |numbers: &Numbers| {
            let source = ConvInput { parts: &[InputPart::new(&[2.0], 1)], transform: None };
            let weight = numbers.packed(&cpu, &layer, extent, &(1..2));
            layer.forward_packed(&cpu, extent, &source, &weight, &Addends::default(), false).values
                [0]
        };
        assert_eq!([result(&numbers), result(&numbers)], [6.0, 6.0]);
        for compute in Compute::all() {
            let other = Cpu::new(compute);
            let weight = numbers.packed(&other, &layer, extent, &(1..2));
            let source = ConvInput { parts: &[InputPart::new(&[2.0], 1)], transform: None };
            let y =
                layer.forward_packed(&other, extent, &source, &weight, &Addends::default(), false);
            assert_eq!(y.values[..], [6.0], "each way to compute has its own order: {compute}");
        }
        let kept = numbers.packed(&cpu, &layer, extent, &(1..2));
        assert!(Arc::ptr_eq(&kept, &numbers.packed(&cpu, &layer, extent, &(1..2))));
        numbers[1] = 4.0;
        assert_eq!(result(&numbers), 8.0);
    }
}
