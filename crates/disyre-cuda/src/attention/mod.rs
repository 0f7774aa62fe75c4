//! Attention and its gradient: the launch code of attention.cu.

use crate::buffer::{Array, Element, RawBuffer};
use crate::cuda::{Cuda, Parameters, assert_countable, int};
use crate::device::{Device, Kernel};
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
const BACKWARD_QUERIES: [&str; 3] =
    ["backward_queries_8", "backward_queries_16", "backward_queries_32"];
const BACKWARD_KEYS: [&str; 3] = ["backward_keys_8", "backward_keys_16", "backward_keys_32"];

impl<D: Device> Cuda<D> {
    /// The result, kept as the queries are. Heads of more than 32 channels are a failure.
    pub(crate) fn attention(&self, attention: &Attention, qkv: &FeatureMaps<Self>) -> RawBuffer<D> {
        let queries = qkv.values().on(self);
        let out = self.take(queries.element(), queries.len() / 3);
        self.assert_heads(attention, qkv);
        self.run_heads(FORWARD, attention, qkv, || {
            Ok(Attend { out: out.array()?, ..self.attend_parameters(attention, qkv)? })
        });
        out
    }

    /// The gradient by queries, keys and values.
    pub(crate) fn attention_gradient(
        &self,
        attention: &Attention,
        qkv: &FeatureMaps<Self>,
        gradient: &RawBuffer<D>,
    ) -> RawBuffer<D> {
        let queries = qkv.values().on(self);
        assert_eq!(3 * gradient.len(), queries.len(), "the gradient has the result's shape");
        let out = self.take(queries.element(), queries.len());
        self.assert_heads(attention, qkv);
        // Two for each pixel and head.
        let statistics = self.take(Element::F32, 2 * gradient.len() / attention.head_channels);
        let parameters = || {
            Ok(Attend {
                gradient: gradient.array()?,
                out: out.array()?,
                statistics: statistics.address(0)?,
                ..self.attend_parameters(attention, qkv)?
            })
        };
        self.run_heads(BACKWARD_QUERIES, attention, qkv, parameters);
        self.run_heads(BACKWARD_KEYS, attention, qkv, parameters);
        out
    }

    fn run_heads(
        &self,
        kernels: [&'static str; 3],
        attention: &Attention,
        qkv: &FeatureMaps<Self>,
        parameters: impl FnOnce() -> Result<Attend, BackendError>,
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
        let blocks = qkv.extent().image_pixels().div_ceil(THREADS);
        let grid = [blocks, attention.channels / channels, qkv.extent().count];
        let kernel = Kernel { module: "attention", name: kernels[which] };
        self.run(kernel, grid, THREADS as u32, parameters);
    }

    /// # Panics
    /// If the channels are not those of the heads.
    fn assert_heads(&self, attention: &Attention, qkv: &FeatureMaps<Self>) {
        let Attention { channels, head_channels } = *attention;
        assert_eq!(Some(qkv.channels()), channels.checked_mul(3), "queries, keys and values");
        let whole = head_channels > 0 && channels.is_multiple_of(head_channels);
        assert!(whole, "{channels} channels are whole heads of {head_channels}");
        assert_countable(qkv.extent(), qkv.channels());
    }

    /// The parameters of all passes; the rest is of none.
    fn attend_parameters(
        &self,
        attention: &Attention,
        qkv: &FeatureMaps<Self>,
    ) -> Result<Attend, BackendError> {
        let Attention { channels, head_channels } = *attention;
        Ok(Attend {
            qkv: self.array(qkv)?,
            gradient: Array::default(),
            out: Array::default(),
            statistics: 0,
            pixels: int(qkv.extent().image_pixels()),
            channels: int(channels),
            head_channels: int(head_channels),
            scale: 1.0 / (head_channels as f32).sqrt(),
        })
    }
}
