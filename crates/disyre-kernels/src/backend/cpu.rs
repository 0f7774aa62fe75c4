//! The CPU as a backend: every operation is done when it returns, and none fails.

use disyre_core::Distance;
use rayon::prelude::*;

use super::{
    Added, Affine, Backend, BackendError, Columns, Conv, Ensemble, FeatureMaps, Input, Numbers,
    PartGradients, State,
};
use crate::{
    AdamW, AdamWState, Addends, Attention, Buffer, ConvInput, ConvOutput, Cpu, Extent, InputPart,
    InputTransform, Normalised, PartGradient, mean_squared_error, sum_of_squares,
};

/// Numbers that one thread adds up at a time.
const PIECE: usize = 1 << 14;

impl Backend for Cpu {
    type Values = Numbers;
    type Map = Buffer;
    type Moments = Vec<[f64; 2]>;
    type Normalised = Normalised;
    type Sums = Vec<[f64; 2]>;
    type Scalar = f64;
    type Update = AdamW;
    type Recording = ();

    fn describe(&self) -> String {
        self.compute.to_string()
    }

    fn free_memory(&self) -> Option<usize> {
        None
    }

    fn map_bytes(&self) -> usize {
        size_of::<f32>()
    }

    fn take_error(&self) -> Result<(), BackendError> {
        Ok(())
    }

    fn zeros(&self, len: usize) -> Numbers {
        Numbers::new(self.pool.zeros(len))
    }

    fn upload(&self, values: &[f32]) -> Numbers {
        Numbers::new(copy(self, values))
    }

    fn upload_lasting(&self, values: &[f32]) -> Numbers {
        Numbers::lasting(copy(self, values))
    }

    fn download(&self, values: &Numbers) -> Result<Vec<f32>, BackendError> {
        Ok(values.to_vec())
    }

    fn maps(&self, values: &[f32], extent: Extent, channels: usize) -> FeatureMaps<Self> {
        let mut maps = self.blank(extent, channels);
        self.replace(values, &mut maps);
        maps
    }

    fn replace(&self, values: &[f32], maps: &mut FeatureMaps<Self>) {
        maps.values.copy_from_slice(values);
    }

    fn blank(&self, extent: Extent, channels: usize) -> FeatureMaps<Self> {
        let values = self.pool.take(extent.count * pixels(extent) * channels);
        FeatureMaps::new(extent, channels, values)
    }

    fn download_maps(&self, maps: &FeatureMaps<Self>) -> Result<Vec<f32>, BackendError> {
        Ok(maps.values.to_vec())
    }

    fn read(&self, scalars: &[&f64]) -> Result<Vec<f64>, BackendError> {
        Ok(scalars.iter().copied().copied().collect())
    }

    fn identity(&self, channels: usize) -> Normalised {
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        Normalised { scale: ones, shift: zeros.clone(), rstd: zeros.clone(), offset: zeros }
    }

    fn normalise(
        &self,
        affine: &Affine,
        weights: &Numbers,
        parts: &[&FeatureMaps<Self>],
    ) -> Normalised {
        let moments: Vec<&[[f64; 2]]> =
            parts.iter().map(|part| part.moments().map_or(&[][..], Vec::as_slice)).collect();
        affine.assert_fits(weights.len());
        let (weight, bias) = (&weights[affine.weight.clone()], &weights[affine.bias.clone()]);
        let extent = parts[0].extent();
        affine.norm.normalise(&moments, extent.count, pixels(extent), weight, bias)
    }

    fn convolve(
        &self,
        conv: &Conv,
        weights: &Numbers,
        input: &Input<'_, Self>,
        addends: &Added<'_, Self>,
        moments: bool,
    ) -> FeatureMaps<Self> {
        conv.assert_fits(weights.len());
        let outputs = conv.layer.outputs;
        let by_image = addends.by_image.map(|columns| -> Vec<f32> {
            columns.assert_fit(input.extent().count, outputs);
            let Columns { maps, first } = columns;
            let rows = maps.values.chunks_exact(maps.channels());
            rows.flat_map(|row| &row[first..first + outputs]).copied().collect()
        });
        let addends = Addends {
            bias: Some(&weights[conv.bias.clone()]),
            by_image: by_image.as_deref(),
            images: addends.map.map(|map| &map[..]),
        };
        let (parts, extent, layer) = (parts(input), input.extent(), &conv.layer);
        let weight = weights.packed(self, layer, extent, &conv.weight);
        let source = source(input, &parts);
        let ConvOutput { count, height, width, channels, values, moments } =
            layer.forward_packed(self, extent, &source, &weight, &addends, moments);
        let moments = (!moments.is_empty()).then_some(moments);
        FeatureMaps::with_moments(Extent { count, height, width }, channels, values, moments)
    }

    fn backward_data(
        &self,
        conv: &Conv,
        weights: &Numbers,
        extent: Extent,
        gradient: &Buffer,
        onto: Option<Buffer>,
    ) -> Buffer {
        conv.assert_fits(weights.len());
        let weight = &weights[conv.weight.clone()];
        match onto {
            None => conv.layer.backward_data(self, extent, gradient, weight),
            Some(mut sum) => {
                conv.layer.add_backward_data(self, extent, gradient, weight, &mut sum);
                sum
            }
        }
    }

    fn backward_data_through_norm(
        &self,
        conv: &Conv,
        weights: &Numbers,
        input: &Input<'_, Self>,
        gradient: &Buffer,
    ) -> (Buffer, Vec<[f64; 2]>) {
        conv.assert_fits(weights.len());
        let (parts, extent) = (parts(input), input.extent());
        let normalised = normalised(input);
        let statistics = (&normalised.rstd[..], &normalised.offset[..]);
        let (weight, source) = (&weights[conv.weight.clone()], source(input, &parts));
        let found = conv
            .layer
            .backward_data_through_norm(self, extent, gradient, weight, &source, statistics);
        (found.by_z, found.sums)
    }

    fn backward_filter(
        &self,
        conv: &Conv,
        input: &Input<'_, Self>,
        gradient: &Buffer,
        out: &mut Numbers,
        by_image: Option<Columns<&mut FeatureMaps<Self>>>,
    ) {
        conv.assert_fits(out.len());
        let (parts, outputs) = (parts(input), conv.layer.outputs);
        if let Some(Columns { maps, first }) = &by_image {
            Columns { maps: &**maps, first: *first }.assert_fit(input.extent().count, outputs);
        }
        let weight = &mut out[conv.weight.clone()];
        let source = source(input, &parts);
        let sums = conv.layer.backward_filter(self, input.extent(), &source, gradient, weight);
        for (channel, out) in out[conv.bias.clone()].iter_mut().enumerate() {
            *out = sums[channel..].iter().step_by(outputs).sum::<f64>() as f32;
        }
        let Some(Columns { maps, first }) = by_image else { return };
        let channels = maps.channels();
        let rows = maps.values.chunks_exact_mut(channels);
        for (row, sums) in rows.zip(sums.chunks_exact(outputs)) {
            row[first..].iter_mut().zip(sums).for_each(|(out, &sum)| *out = sum as f32);
        }
    }

    fn backward_norm(
        &self,
        affine: &Affine,
        weights: &Numbers,
        input: &Input<'_, Self>,
        (mut by_z, sums): (Buffer, Vec<[f64; 2]>),
        out: &mut Numbers,
        to: PartGradients<'_, Self>,
    ) {
        let PartGradients { addend, by_parts } = to;
        let pixels = pixels(input.extent());
        let addend = addend.map(|addend| &addend[..]);
        affine.assert_fits(weights.len());
        affine.assert_fits(out.len());
        let places = [affine.weight.clone(), affine.bias.clone()];
        let [by_weight, by_bias] = out.get_disjoint_mut(places).expect("they lie apart");
        let weight = &weights[affine.weight.clone()];
        let normalised = normalised(input);
        let gradient = affine.norm.gradients(normalised, &sums, pixels, weight, by_weight, by_bias);
        if let ([x], [none @ None]) = (input.parts, &mut *by_parts) {
            gradient.apply(self, pixels, &x.values, addend, &mut by_z);
            *none = Some(by_z);
            return;
        }
        let mut first = 0;
        for (part, by_part) in parts(input).into_iter().zip(by_parts) {
            let add = by_part.is_some();
            let out = by_part.get_or_insert_with(|| self.pool.take(part.values.len()));
            gradient.write(self, pixels, &by_z, addend, PartGradient { part, first, out, add });
            first += part.channels;
        }
    }

    fn attend(&self, attention: &Attention, qkv: &FeatureMaps<Self>) -> FeatureMaps<Self> {
        let values = attention.forward(self, qkv.extent(), &qkv.values);
        FeatureMaps::new(qkv.extent(), attention.channels, values)
    }

    fn backward_attention(
        &self,
        attention: &Attention,
        qkv: &FeatureMaps<Self>,
        gradient: &Buffer,
    ) -> Buffer {
        attention.backward(self, qkv.extent(), &qkv.values, gradient)
    }

    fn squared_error(&self, y: &FeatureMaps<Self>, target: &FeatureMaps<Self>) -> (f64, Buffer) {
        let mut slope = self.pool.take(y.values.len());
        (mean_squared_error(&y.values, &target.values, &mut slope), slope)
    }

    fn add_member(
        &self,
        distance: Distance,
        x: &FeatureMaps<Self>,
        y: &FeatureMaps<Self>,
        onto: Option<Ensemble<Self>>,
    ) -> Ensemble<Self> {
        let zeros = || FeatureMaps::new(y.extent(), y.channels(), self.pool.zeros(y.values.len()));
        let mut sums = onto.unwrap_or_else(|| Ensemble { distances: zeros(), members: zeros() });
        let Ensemble { distances, members } = &mut sums;
        let lens = [&x.values, &distances.values, &members.values].map(|values| values.len());
        assert_eq!(lens, [y.values.len(); 3], "lengths belong together");
        let distances = distances.values.par_chunks_mut(PIECE);
        let sums_of_both = distances.zip(members.values.par_chunks_mut(PIECE));
        let both = x.values.par_chunks(PIECE).zip(y.values.par_chunks(PIECE));
        sums_of_both.zip(both).for_each(|((distances, members), (x, y))| {
            let add = |sum: &mut f32, value| *sum += value;
            members.iter_mut().zip(y).for_each(|(sum, &y)| add(sum, y));
            let pairs = distances.iter_mut().zip(x.iter().zip(y));
            match distance {
                Distance::Absolute => pairs.for_each(|(sum, (x, y))| add(sum, (x - y).abs())),
                Distance::Squared => pairs.for_each(|(sum, (x, y))| add(sum, (x - y) * (x - y))),
            }
        });
        sums
    }

    fn prepare(&self, update: &AdamW, into: &mut Option<AdamW>) {
        *into = Some(*update);
    }

    fn update(
        &self,
        update: &AdamW,
        loss: &f64,
        gradient: &Numbers,
        state: State<'_, Self>,
    ) -> f64 {
        let norm = sum_of_squares(&self.compute, gradient).sqrt();
        if loss.is_finite() && norm.is_finite() {
            let State { weights, first, second, average } = state;
            let average = average.map_or(&mut [][..], |average| &mut average[..]);
            let state = AdamWState { weights, first, second, average };
            update.apply(&self.compute, state, gradient, norm);
        }
        norm
    }

    /// A call costs as much as a repetition here.
    fn record<T>(&self, work: impl FnOnce() -> T) -> (T, Option<()>) {
        (work(), None)
    }

    fn replay(&self, (): &mut ()) {}
}

fn copy(cpu: &Cpu, values: &[f32]) -> Buffer {
    let mut out = cpu.pool.take(values.len());
    out.copy_from_slice(values);
    out
}

/// Pixels of one image.
fn pixels(extent: Extent) -> usize {
    extent.height * extent.width
}

fn parts<'a>(input: &Input<'a, Cpu>) -> Vec<InputPart<'a>> {
    input.parts.iter().map(|maps| InputPart::new(&maps.values, maps.channels())).collect()
}

fn source<'a>(input: &Input<'a, Cpu>, parts: &'a [InputPart<'a>]) -> ConvInput<'a> {
    let transform = input.through.as_ref().map(|through| {
        let Normalised { scale, shift, .. } = through.normalised;
        InputTransform { scale, shift, silu: through.silu }
    });
    ConvInput { parts, transform }
}

/// # Panics
/// If nothing transforms the input.
fn normalised<'a>(input: &Input<'a, Cpu>) -> &'a Normalised {
    input.through.as_ref().expect("the input is transformed").normalised
}
