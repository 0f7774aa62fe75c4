//! A CUDA device as the machine of a network.

use std::sync::{MutexGuard, PoisonError};

use disyre_core::Distance;

use crate::cuda::{Cuda, f32_bytes};
use crate::device::Device;
use crate::group_norm::DeviceNormalised;
use crate::memory::{Element, Numbers};

use disyre_kernels::backend::{
    Added, Affine, Backend, BackendError, Columns, Conv, Ensemble, FeatureMaps, Input,
    PartGradients, State,
};
use disyre_kernels::{AdamW, Attention, Extent};

impl<D: Device> Backend for Cuda<D> {
    type Values = Numbers<D>;
    type Map = Numbers<D>;
    type Moments = Numbers<D>;
    type Normalised = DeviceNormalised<D>;
    type Sums = Numbers<D>;
    type Scalar = Numbers<D>;
    type Update = Numbers<D>;
    type Recording = D::Recording;

    fn describe(&self) -> String {
        format!("{} on {}", self.precision(), self.device().describe())
    }

    fn free_memory(&self) -> Option<usize> {
        Some(self.device().free_memory()? + self.pool.kept())
    }

    fn map_bytes(&self) -> usize {
        self.element().bytes()
    }

    fn zeros(&self, len: usize) -> Numbers<D> {
        self.put(Element::F32, len, &vec![0; 4 * len])
    }

    fn upload(&self, values: &[f32]) -> Numbers<D> {
        self.put(Element::F32, values.len(), &f32_bytes(values))
    }

    fn download(&self, values: &Numbers<D>) -> Result<Vec<f32>, BackendError> {
        let bytes = self.bytes(values)?;
        Ok(match values.element() {
            Element::Bf16 => bytes
                .as_chunks()
                .0
                .iter()
                .map(|&pair| f32::from_bits(u32::from(u16::from_ne_bytes(pair)) << 16))
                .collect(),
            Element::F32 => bytes.as_chunks().0.iter().map(|&b| f32::from_ne_bytes(b)).collect(),
            Element::F64 => f64s(&bytes).map(|value| value as f32).collect(),
        })
    }

    fn maps(&self, values: &[f32], extent: Extent, channels: usize) -> FeatureMaps<Self> {
        let mut maps = self.blank(extent, channels);
        self.replace(values, &mut maps);
        maps
    }

    fn replace(&self, values: &[f32], maps: &mut FeatureMaps<Self>) {
        self.write(&f32_bytes(values), maps.values());
    }

    fn blank(&self, extent: Extent, channels: usize) -> FeatureMaps<Self> {
        let len = extent.count * extent.height * extent.width * channels;
        FeatureMaps::new(extent, channels, self.take(Element::F32, len))
    }

    fn download_maps(&self, maps: &FeatureMaps<Self>) -> Result<Vec<f32>, BackendError> {
        self.download(maps.values())
    }

    fn read(&self, scalars: &[&Numbers<D>]) -> Result<Vec<f64>, BackendError> {
        let mut found = Vec::with_capacity(scalars.len());
        for scalar in scalars {
            found.extend(f64s(&self.bytes(scalar)?));
        }
        Ok(found)
    }

    fn identity(&self, channels: usize) -> DeviceNormalised<D> {
        self.no_normalisation(channels)
    }

    fn normalise(
        &self,
        affine: &Affine,
        weights: &Numbers<D>,
        parts: &[&FeatureMaps<Self>],
    ) -> DeviceNormalised<D> {
        self.coefficients(affine, weights, parts)
    }

    fn convolve(
        &self,
        conv: &Conv,
        weights: &Numbers<D>,
        input: &Input<'_, Self>,
        addends: &Added<'_, Self>,
        moments: bool,
    ) -> FeatureMaps<Self> {
        let [height, width] =
            conv.layer.kind.output_size([input.extent().height, input.extent().width]);
        let (values, moments) = self.forward(conv, weights, input, addends, moments);
        let extent = Extent { count: input.extent().count, height, width };
        FeatureMaps::with_moments(extent, conv.layer.outputs, values, moments)
    }

    fn backward_data(
        &self,
        conv: &Conv,
        weights: &Numbers<D>,
        extent: Extent,
        gradient: &Numbers<D>,
        onto: Option<Numbers<D>>,
    ) -> Numbers<D> {
        self.transposed(conv, weights, extent, gradient, onto)
    }

    fn backward_data_through_norm(
        &self,
        conv: &Conv,
        weights: &Numbers<D>,
        input: &Input<'_, Self>,
        gradient: &Numbers<D>,
    ) -> (Numbers<D>, Numbers<D>) {
        self.transposed_through(conv, weights, input, gradient)
    }

    fn backward_filter(
        &self,
        conv: &Conv,
        input: &Input<'_, Self>,
        gradient: &Numbers<D>,
        out: &mut Numbers<D>,
        by_image: Option<Columns<&mut FeatureMaps<Self>>>,
    ) {
        self.weight_gradient(conv, input, gradient, out);
        let Extent { count, height, width } = input.extent();
        let [height, width] = conv.layer.kind.output_size([height, width]);
        let extent = Extent { count, height, width };
        self.sum_pixels(gradient, extent, (out, conv.bias.start), by_image);
    }

    fn backward_norm(
        &self,
        affine: &Affine,
        weights: &Numbers<D>,
        input: &Input<'_, Self>,
        found: (Numbers<D>, Numbers<D>),
        out: &mut Numbers<D>,
        to: PartGradients<'_, Self>,
    ) {
        self.norm_gradients(affine, weights, input, found, out, to);
    }

    fn attend(&self, attention: &Attention, qkv: &FeatureMaps<Self>) -> FeatureMaps<Self> {
        let values = self.attention(attention, qkv);
        FeatureMaps::new(qkv.extent(), attention.channels, values)
    }

    fn backward_attention(
        &self,
        attention: &Attention,
        qkv: &FeatureMaps<Self>,
        gradient: &Numbers<D>,
    ) -> Numbers<D> {
        self.attention_gradient(attention, qkv, gradient)
    }

    fn squared_error(
        &self,
        y: &FeatureMaps<Self>,
        target: &FeatureMaps<Self>,
    ) -> (Numbers<D>, Numbers<D>) {
        self.loss(y, target)
    }

    fn add_member(
        &self,
        distance: Distance,
        x: &FeatureMaps<Self>,
        y: &FeatureMaps<Self>,
        onto: Option<Ensemble<Self>>,
    ) -> Ensemble<Self> {
        self.one_more(distance, x, y, onto)
    }

    fn prepare(&self, update: &AdamW, into: &mut Option<Numbers<D>>) {
        self.write_update(update, into);
    }

    fn update(
        &self,
        update: &Numbers<D>,
        loss: &Numbers<D>,
        gradient: &Numbers<D>,
        state: State<'_, Self>,
    ) -> Numbers<D> {
        self.step(update, loss, gradient, state)
    }

    fn lock(&self) -> Option<MutexGuard<'_, ()>> {
        Some(self.turns.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record<T>(&self, work: impl FnOnce() -> T) -> (T, Option<D::Recording>) {
        let started = self.keep(self.device().start_recording()).unwrap_or(false);
        if started {
            self.pool.recorded.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        let result = work();
        let mut recording = started.then(|| self.keep(self.device().end_recording())).flatten();
        // While it was recorded nothing ran.
        if let Some(recording) = &mut recording {
            self.replay(recording);
        }
        (result, recording)
    }

    fn replay(&self, recording: &mut D::Recording) {
        if self.failure().is_none() {
            self.keep(self.device().replay(recording));
        }
    }
}

fn f64s(bytes: &[u8]) -> impl Iterator<Item = f64> {
    bytes.as_chunks().0.iter().map(|&bytes| f64::from_ne_bytes(bytes))
}
