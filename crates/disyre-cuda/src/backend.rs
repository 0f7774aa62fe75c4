//! A CUDA device as the backend of a network.

use std::sync::{MutexGuard, PoisonError};

use disyre_core::Distance;
use disyre_kernels::backend::{
    Added, Affine, Backend, BackendError, Columns, Conv, Ensemble, FeatureMaps, Input,
    PartGradients, State,
};
use disyre_kernels::{AdamW, Attention, Extent};

use crate::buffer::{DeviceBuffer, Element, role};
use crate::cuda::{Cuda, f32_bytes};
use crate::device::Device;
use crate::graph::CudaGraph;
use crate::group_norm::DeviceNormalised;

type Values<D> = DeviceBuffer<D, role::Values>;
type Map<D> = DeviceBuffer<D, role::Map>;
type Sums<D> = DeviceBuffer<D, role::Sums>;
type Scalar<D> = DeviceBuffer<D, role::Scalar>;
type Update<D> = DeviceBuffer<D, role::Update>;

impl<D: Device> Backend for Cuda<D> {
    type Values = Values<D>;
    type Map = Map<D>;
    type Moments = DeviceBuffer<D, role::Moments>;
    type Normalised = DeviceNormalised<D>;
    type Sums = Sums<D>;
    type Scalar = Scalar<D>;
    type Update = Update<D>;
    type Recording = CudaGraph<D>;

    fn describe(&self) -> String {
        format!("{} on {}", self.precision(), self.device().describe())
    }

    fn free_memory(&self) -> Option<usize> {
        Some(self.device().free_memory()? + self.pool.kept())
    }

    fn map_bytes(&self) -> usize {
        self.element().bytes()
    }

    fn take_error(&self) -> Result<(), BackendError> {
        self.first_error()
    }

    fn zeros(&self, len: usize) -> Values<D> {
        DeviceBuffer::new(self.put(Element::F32, len, || vec![0; 4 * len]))
    }

    fn upload(&self, values: &[f32]) -> Values<D> {
        DeviceBuffer::new(self.put(Element::F32, values.len(), || f32_bytes(values)))
    }

    fn download(&self, values: &Values<D>) -> Result<Vec<f32>, BackendError> {
        Ok(f32s(&self.bytes(values.on(self))?))
    }

    fn maps(&self, values: &[f32], extent: Extent, channels: usize) -> FeatureMaps<Self> {
        let numbers = self.put(Element::F32, values.len(), || f32_bytes(values));
        FeatureMaps::new(extent, channels, DeviceBuffer::new(numbers))
    }

    fn replace(&self, values: &[f32], maps: &mut FeatureMaps<Self>) {
        self.write(&f32_bytes(values), maps.values().on(self));
    }

    fn blank(&self, extent: Extent, channels: usize) -> FeatureMaps<Self> {
        let values = self.take(Element::F32, extent.len(channels));
        FeatureMaps::new(extent, channels, DeviceBuffer::new(values))
    }

    fn download_maps(&self, maps: &FeatureMaps<Self>) -> Result<Vec<f32>, BackendError> {
        let numbers = maps.values().on(self);
        let bytes = self.bytes(numbers)?;
        Ok(if numbers.element() == Element::Bf16 { bf16s(&bytes) } else { f32s(&bytes) })
    }

    fn read(&self, scalars: &[&Scalar<D>]) -> Result<Vec<f64>, BackendError> {
        let mut found = Vec::with_capacity(scalars.len());
        for scalar in scalars {
            let bytes = self.bytes(scalar.on(self))?;
            found.extend(bytes.as_chunks().0.iter().map(|&bytes| f64::from_ne_bytes(bytes)));
        }
        Ok(found)
    }

    fn identity(&self, channels: usize) -> DeviceNormalised<D> {
        self.no_normalisation(channels)
    }

    fn normalise(
        &self,
        affine: &Affine,
        weights: &Values<D>,
        parts: &[&FeatureMaps<Self>],
    ) -> DeviceNormalised<D> {
        self.coefficients(affine, weights.on(self), parts)
    }

    fn convolve(
        &self,
        conv: &Conv,
        weights: &Values<D>,
        input: &Input<'_, Self>,
        addends: &Added<'_, Self>,
        moments: bool,
    ) -> FeatureMaps<Self> {
        let (values, moments) = self.forward(conv, weights.on(self), input, addends, moments);
        let (extent, moments) = (conv.layer.result(input.extent()), moments.map(DeviceBuffer::new));
        FeatureMaps::with_moments(extent, conv.layer.outputs, DeviceBuffer::new(values), moments)
    }

    fn backward_data(
        &self,
        conv: &Conv,
        weights: &Values<D>,
        extent: Extent,
        gradient: &Map<D>,
        onto: Option<Map<D>>,
    ) -> Map<D> {
        let (weights, gradient) = (weights.on(self), gradient.on(self));
        let onto = onto.map(|sum| sum.into_raw(self));
        DeviceBuffer::new(self.backward_by_data(conv, weights, extent, gradient, onto))
    }

    fn backward_data_through_norm(
        &self,
        conv: &Conv,
        weights: &Values<D>,
        input: &Input<'_, Self>,
        gradient: &Map<D>,
    ) -> (Map<D>, Sums<D>) {
        let (weights, gradient) = (weights.on(self), gradient.on(self));
        let (by_z, sums) = self.backward_by_norm(conv, weights, input, gradient);
        (DeviceBuffer::new(by_z), DeviceBuffer::new(sums))
    }

    fn backward_filter(
        &self,
        conv: &Conv,
        input: &Input<'_, Self>,
        gradient: &Map<D>,
        out: &mut Values<D>,
        by_image: Option<Columns<&mut FeatureMaps<Self>>>,
    ) {
        let (gradient, out) = (gradient.on(self), out.on(self));
        self.filter_gradient(conv, input, gradient, out);
        self.sum_pixels(gradient, conv.layer.result(input.extent()), (out, &conv.bias), by_image);
    }

    fn backward_norm(
        &self,
        affine: &Affine,
        weights: &Values<D>,
        input: &Input<'_, Self>,
        (by_z, sums): (Map<D>, Sums<D>),
        out: &mut Values<D>,
        to: PartGradients<'_, Self>,
    ) {
        let found = (by_z.into_raw(self), sums.into_raw(self));
        self.norm_gradients(affine, weights.on(self), input, found, out.on(self), to);
    }

    fn attend(&self, attention: &Attention, qkv: &FeatureMaps<Self>) -> FeatureMaps<Self> {
        let values = DeviceBuffer::new(self.attention(attention, qkv));
        FeatureMaps::new(qkv.extent(), attention.channels, values)
    }

    fn backward_attention(
        &self,
        attention: &Attention,
        qkv: &FeatureMaps<Self>,
        gradient: &Map<D>,
    ) -> Map<D> {
        DeviceBuffer::new(self.attention_gradient(attention, qkv, gradient.on(self)))
    }

    fn squared_error(
        &self,
        y: &FeatureMaps<Self>,
        target: &FeatureMaps<Self>,
    ) -> (Scalar<D>, Map<D>) {
        let (loss, slope) = self.loss(y, target);
        (DeviceBuffer::new(loss), DeviceBuffer::new(slope))
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

    fn prepare(&self, update: &AdamW, into: &mut Option<Update<D>>) {
        let coefficients = into.get_or_insert_with(|| DeviceBuffer::new(self.take_coefficients()));
        self.write_coefficients(update, coefficients.on(self));
    }

    fn update(
        &self,
        update: &Update<D>,
        loss: &Scalar<D>,
        gradient: &Values<D>,
        state: State<'_, Self>,
    ) -> Scalar<D> {
        let (update, loss, gradient) = (update.on(self), loss.on(self), gradient.on(self));
        DeviceBuffer::new(self.step(update, loss, gradient, state))
    }

    fn lock(&self) -> Option<MutexGuard<'_, ()>> {
        Some(self.lock.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn record<T>(&self, work: impl FnOnce() -> T) -> (T, Option<CudaGraph<D>>) {
        self.capture(work)
    }

    fn replay(&self, recording: &mut CudaGraph<D>) {
        self.launch_graph(recording);
    }
}

pub(crate) fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect()
}

fn bf16s(bytes: &[u8]) -> Vec<f32> {
    let upper = |&pair: &[u8; 2]| f32::from_bits(u32::from(u16::from_ne_bytes(pair)) << 16);
    bytes.as_chunks().0.iter().map(upper).collect()
}
