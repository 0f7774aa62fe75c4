//! The layout of all parameters in one run of numbers.

use std::ops::Range;

use disyre_kernels::backend::{Affine, Conv};
use disyre_kernels::{ConvKind, Convolution, GroupNorm};

/// Where every parameter lies in one run of numbers, in the order in which the kernels read it.
///
/// Names and shapes are those of the diffusers library's `UNet2DModel`; convolutions are kept as (height, width, input, output),
/// and linear layers that read the same input side by side.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    entries: Vec<Entry>,
    len: usize,
}

/// One named parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// As it is.
    Plain { start: usize },
    /// (output, input, taps) kept as (taps, input, output), among `width` outputs from `column` on.
    Kernel { start: usize, width: usize, column: usize },
}

impl Layout {
    /// Numbers in all.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn take(&mut self, len: usize) -> Range<usize> {
        self.len += len;
        self.len - len..self.len
    }

    fn add(&mut self, name: String, shape: Vec<usize>, place: Place) {
        self.entries.push(Entry { name, shape, place });
    }

    /// Parameters as they are, one behind another.
    #[cfg(feature = "candle")]
    pub(crate) fn plain<'a>(named: impl Iterator<Item = (&'a str, &'a [usize])>) -> Self {
        let mut layout = Self::default();
        for (name, shape) in named {
            let start = layout.take(shape.iter().product()).start;
            layout.add(name.to_owned(), shape.to_vec(), Place::Plain { start });
        }
        layout
    }

    /// A convolution named `name`.
    pub(crate) fn conv(
        &mut self,
        name: &str,
        kind: ConvKind,
        inputs: usize,
        outputs: usize,
    ) -> Conv {
        let k = kind.kernel();
        self.kernel(kind, inputs, &[(name.to_owned(), outputs)], &[k, k])
    }

    /// Linear layers of the same input side by side.
    pub(crate) fn linear(&mut self, inputs: usize, named: &[(String, usize)]) -> Conv {
        self.kernel(ConvKind::Pointwise, inputs, named, &[])
    }

    fn kernel(
        &mut self,
        kind: ConvKind,
        inputs: usize,
        named: &[(String, usize)],
        window: &[usize],
    ) -> Conv {
        let outputs = named.iter().map(|(_, outputs)| outputs).sum();
        let layer = Convolution { kind, inputs, outputs };
        let (weight, bias) = (self.take(layer.weight_len()), self.take(outputs));
        let mut column = 0;
        for (name, own) in named {
            let shape = [&[*own, inputs], window].concat();
            let place = Place::Kernel { start: weight.start, width: outputs, column };
            self.add(format!("{name}.weight"), shape, place);
            let place = Place::Plain { start: bias.start + column };
            self.add(format!("{name}.bias"), vec![*own], place);
            column += own;
        }
        Conv { layer, weight, bias }
    }

    /// A normalisation named `name`.
    pub(crate) fn norm(&mut self, name: &str, norm: GroupNorm, channels: usize) -> Affine {
        let (weight, bias) = (self.take(channels), self.take(channels));
        for (what, range) in [("weight", &weight), ("bias", &bias)] {
            self.add(format!("{name}.{what}"), vec![channels], Place::Plain { start: range.start });
        }
        Affine { norm, weight, bias }
    }
}

impl Entry {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Index in the run of each of the parameter's own numbers, in order.
    fn indices(&self) -> impl Iterator<Item = usize> + '_ {
        let inputs = self.shape.get(1).copied().unwrap_or(1);
        let taps = self.shape.iter().skip(2).product::<usize>();
        (0..self.len()).map(move |i| match self.place {
            Place::Plain { start } => start + i,
            Place::Kernel { start, width, column } => {
                let (output, input, tap) = (i / (inputs * taps), i / taps % inputs, i % taps);
                start + (tap * inputs + input) * width + column + output
            }
        })
    }

    /// The parameter out of the run.
    pub(crate) fn read(&self, all: &[f32]) -> Vec<f32> {
        self.indices().map(|index| all[index]).collect()
    }

    /// The parameter into the run.
    pub(crate) fn write(&self, values: impl IntoIterator<Item = f32>, all: &mut [f32]) {
        self.indices().zip(values).for_each(|(index, value)| all[index] = value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_survive_the_way_in_and_out_and_fill_the_run() {
        let mut layout = Layout::default();
        layout.conv("conv", ConvKind::Conv3x3, 2, 3);
        layout.norm("norm", GroupNorm { groups: 2, epsilon: 0.0 }, 4);
        layout.linear(3, &[("q".into(), 2), ("k".into(), 5)]);
        let mut all = vec![f32::NAN; layout.len()];
        for (number, entry) in layout.entries().iter().enumerate() {
            let values: Vec<f32> = (0..entry.len()).map(|i| (1000 * number + i) as f32).collect();
            entry.write(values.iter().copied(), &mut all);
            assert_eq!(entry.read(&all), values, "{}", entry.name);
        }
        assert!(all.iter().all(|value| value.is_finite()));
        let mut sorted = all.clone();
        sorted.sort_by(f32::total_cmp);
        sorted.dedup();
        assert_eq!(sorted.len(), all.len());
    }

    #[test]
    fn outputs_are_the_fastest_axis() {
        let mut layout = Layout::default();
        layout.conv("conv", ConvKind::Conv3x3, 1, 2);
        let mut all = vec![0.0; layout.len()];
        let weight = &layout.entries()[0];
        assert_eq!((weight.name.as_str(), &weight.shape[..]), ("conv.weight", &[2, 1, 3, 3][..]));
        weight.write((0..18).map(|i| i as f32), &mut all);
        assert_eq!(all[..4], [0.0, 9.0, 1.0, 10.0]);
    }
}
