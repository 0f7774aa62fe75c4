//! Attention and its gradient: the launch code of attention.cu.

use crate::cuda::{Cuda, Parameters, int};
use crate::device::{Device, Kernel};
use crate::memory::{Array, Element, Numbers};
use disyre_kernels::Attention;
use disyre_kernels::backend::{BackendError, FeatureMaps};

/// Pixels of one block.
const THREADS: usize = 64;

#[derive(Debug, Clone, Copy)]
#[repr(C)]
struct Attend {
    qkv: Array,
    gradient: Array,
    out: Array,
    statistics: u64,
    pixels: i32,
    channels: i32,
    head_channels: i32,
    scale: f32,
}

// SAFETY: it has the layout of `Attention` in attention.cu.
unsafe impl Parameters for Attend {}

/// The kernels for heads of up to 8, 16 and 32 channels.
const FORWARD: [&str; 3] = ["attend_8", "attend_16", "attend_32"];
const BY_QUERIES: [&str; 3] = ["by_queries_8", "by_queries_16", "by_queries_32"];
const BY_KEYS: [&str; 3] = ["by_keys_8", "by_keys_16", "by_keys_32"];

impl<D: Device> Cuda<D> {
    /// The result, kept as the queries are. Heads of more than 32 channels are a failure.
    pub(crate) fn attention(&self, attention: &Attention, qkv: &FeatureMaps<Self>) -> Numbers<D> {
        let out = self.take(qkv.values().element(), qkv.values().len() / 3);
        let parameters = attend(attention, qkv, Array::default(), out.array());
        self.run_heads(FORWARD, attention, qkv, &parameters);
        out
    }

    /// The gradient by queries, keys and values.
    pub(crate) fn attention_gradient(
        &self,
        attention: &Attention,
        qkv: &FeatureMaps<Self>,
        gradient: &Numbers<D>,
    ) -> Numbers<D> {
        assert_eq!(3 * gradient.len(), qkv.values().len(), "the gradient has the result's shape");
        let out = self.take(qkv.values().element(), qkv.values().len());
        let pixels = qkv.extent().count * qkv.extent().height * qkv.extent().width;
        let heads = attention.channels / attention.head_channels;
        let statistics = self.take(Element::F32, 2 * pixels * heads);
        let mut parameters = attend(attention, qkv, gradient.array(), out.array());
        parameters.statistics = statistics.address(0);
        self.run_heads(BY_QUERIES, attention, qkv, &parameters);
        self.run_heads(BY_KEYS, attention, qkv, &parameters);
        out
    }

    fn run_heads(
        &self,
        kernels: [&'static str; 3],
        attention: &Attention,
        qkv: &FeatureMaps<Self>,
        parameters: &Attend,
    ) {
        let channels = attention.head_channels;
        let Some(which) = [8, 16, 32].iter().position(|&most| channels <= most) else {
            self.keep::<()>(Err(BackendError::Failed {
                device: self.device().describe(),
                doing: format!("attend with heads of {channels} channels"),
                answer: "kernels are there for at most 32; choose fewer channels for each head"
                    .to_owned(),
            }));
            return;
        };
        let blocks = (qkv.extent().height * qkv.extent().width).div_ceil(THREADS);
        let grid = [blocks, attention.channels / channels, qkv.extent().count];
        let kernel = Kernel { module: "attention", name: kernels[which] };
        self.run(kernel, grid, THREADS as u32, parameters);
    }
}

fn attend<D: Device>(
    attention: &Attention,
    qkv: &FeatureMaps<Cuda<D>>,
    gradient: Array,
    out: Array,
) -> Attend {
    assert_eq!(qkv.channels(), 3 * attention.channels, "queries, keys and values");
    Attend {
        qkv: qkv.values().array(),
        gradient,
        out,
        statistics: 0,
        pixels: int(qkv.extent().height * qkv.extent().width),
        channels: int(attention.channels),
        head_channels: int(attention.head_channels),
        scale: 1.0 / (attention.head_channels as f32).sqrt(),
    }
}
