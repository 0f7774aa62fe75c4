//! Sums over the members of an ensemble: the launch code of ensemble.cu.

use disyre_core::Distance;

use crate::buffer::{Array, DeviceBuffer, Element, RawBuffer};
use crate::cuda::{Cuda, Parameters};
use crate::device::{Device, Kernel};
use disyre_kernels::backend::{Ensemble, FeatureMaps};

/// Threads of a block, and the most blocks: more would not be on the device at once.
const THREADS: usize = 256;
const BLOCKS: usize = 4096;

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct AddMember {
    x: Array,
    y: Array,
    distances: u64,
    members: u64,
    len: i64,
    squared: i32,
    onto: i32,
}

// SAFETY: the structure has the layout of that of the same name in ensemble.cu.
unsafe impl Parameters for AddMember {}

impl<D: Device> Cuda<D> {
    /// The sums with one more member, in 32 bits.
    pub(crate) fn one_more(
        &self,
        distance: Distance,
        x: &FeatureMaps<Self>,
        y: &FeatureMaps<Self>,
        onto: Option<Ensemble<Self>>,
    ) -> Ensemble<Self> {
        let len = y.values().on(self).len();
        let begun = onto.is_some();
        let sum = || {
            let values = DeviceBuffer::new(self.take(Element::F32, len));
            FeatureMaps::new(y.extent(), y.channels(), values)
        };
        let sums = onto.unwrap_or_else(|| Ensemble { distances: sum(), members: sum() });
        let [distances, members] =
            [&sums.distances, &sums.members].map(|maps| maps.values().on(self));
        let lens = [x.values().on(self), distances, members].map(RawBuffer::len);
        assert_eq!(lens, [len; 3], "lengths belong together");
        let wide = [distances, members].iter().all(|sum| sum.element() == Element::F32);
        assert!(wide, "sums of ensembles are in f32");
        let parameters = || {
            Ok(AddMember {
                x: self.array(x)?,
                y: self.array(y)?,
                distances: distances.address(0)?,
                members: members.address(0)?,
                len: len as i64,
                squared: i32::from(distance == Distance::Squared),
                onto: i32::from(begun),
            })
        };
        let blocks = len.div_ceil(THREADS).min(BLOCKS);
        let kernel = Kernel { module: "ensemble", name: "add_member" };
        self.run(kernel, [blocks, 1, 1], THREADS as u32, parameters);
        sums
    }
}
