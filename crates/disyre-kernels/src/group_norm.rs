//! Group normalisation, in the form that convolutions apply as they read.

use rayon::prelude::*;

use crate::lanes::{Lanes, Work};
use crate::{Cpu, InputPart};

/// Pixels of one piece of work.
const PIECE: usize = 256;

/// Group normalisation as part of a convolution: the moments of the source, which the convolution before found, become
/// one scale and one shift for each channel of each image, which the convolution behind applies as it reads.
///
/// `z = weight[c] · ẋ + bias[c]` with `ẋ = (x − mean) / √(variance + epsilon)`, mean and (biased) variance over the
/// channels and pixels of the group.
///
/// # Source
/// Wu and He, "Group Normalization" (arXiv 1803.08494), equations 1 to 3.
///
/// ```
/// use disyre_kernels::GroupNorm;
///
/// // One group of two channels over one pixel, of values 1 and 3: mean 2, variance 1.
/// let norm = GroupNorm { groups: 1, epsilon: 0.0 };
/// let moments = [[1.0, 0.0], [3.0, 0.0]];
/// let found = norm.normalise(&[&moments], 1, 1, &[5.0, 5.0], &[0.5, 0.5]);
/// let z = |channel: usize, x: f32| found.scale[channel] * x + found.shift[channel];
/// assert_eq!([z(0, 1.0), z(1, 3.0)], [-4.5, 5.5]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNorm {
    /// Groups of channels; they divide the channels.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Coefficients of a normalisation: `z = scale · x + shift` and `ẋ = rstd · x + offset`, each `(n, c)`.
#[derive(Debug, Clone)]
pub struct Normalised {
    /// Factor of z.
    pub scale: Vec<f32>,
    /// Offset of z.
    pub shift: Vec<f32>,
    /// Factor of ẋ, 1 / √(variance + epsilon): the same within a group.
    #[doc(alias = "spread")]
    pub rstd: Vec<f32>,
    /// Offset of ẋ, −mean · rstd.
    pub offset: Vec<f32>,
}

/// The gradient by x as `of_z · (gradient by z) + of_x · x + constant`, each `(n, c)`.
#[derive(Debug, Clone)]
pub struct InputGradient {
    channels: usize,
    of_z: Vec<f32>,
    of_x: Vec<f32>,
    constant: Vec<f32>,
}

impl GroupNorm {
    /// Joins the moments of channels (mean, sum of squared deviations over `pixels`) to those of groups.
    ///
    /// # Shapes and units
    /// Each of `moments` is `(n, c)` of one part of the source; `weight` and `bias` have the channels of all.
    ///
    /// # Panics
    /// If lengths do not belong together, or if groups do not divide the channels.
    pub fn normalise(
        &self,
        moments: &[&[[f64; 2]]],
        images: usize,
        pixels: usize,
        weight: &[f32],
        bias: &[f32],
    ) -> Normalised {
        let channels = weight.len();
        self.check(channels);
        assert_eq!(bias.len(), channels, "as many biases as weights");
        let of_all: usize = moments.iter().map(|part| part.len()).sum();
        assert_eq!(of_all, images * channels, "moments of every channel of every image");
        let mut all = vec![[0.0; 2]; images * channels];
        let mut first = 0;
        for part in moments {
            let of_part = part.len() / images;
            for (image, values) in part.chunks_exact(of_part).enumerate() {
                all[image * channels + first..][..of_part].copy_from_slice(values);
            }
            first += of_part;
        }
        assert_eq!(first, channels, "moments of every channel");
        let mut found = Normalised {
            scale: Vec::with_capacity(all.len()),
            shift: Vec::with_capacity(all.len()),
            rstd: Vec::with_capacity(all.len()),
            offset: Vec::with_capacity(all.len()),
        };
        let in_group = channels / self.groups;
        for (index, group) in all.chunks_exact(in_group).enumerate() {
            let (mean, rstd) = self.statistics(group, pixels);
            for channel in 0..in_group {
                let channel = index % self.groups * in_group + channel;
                let scale = f64::from(weight[channel]) * rstd;
                found.scale.push(scale as f32);
                found.shift.push((f64::from(bias[channel]) - mean * scale) as f32);
                found.rstd.push(rstd as f32);
                found.offset.push((-mean * rstd) as f32);
            }
        }
        found
    }

    fn check(&self, channels: usize) {
        let equal = self.groups > 0 && channels.is_multiple_of(self.groups);
        assert!(equal && channels > 0, "groups divide the channels");
    }

    /// Mean, and one over the deviation.
    fn statistics(&self, channels: &[[f64; 2]], pixels: usize) -> (f64, f64) {
        let mean = channels.iter().map(|[mean, _]| mean).sum::<f64>() / channels.len() as f64;
        let squares = |[of, squares]: &[f64; 2]| squares + pixels as f64 * (of - mean).powi(2);
        let variance = channels.iter().map(squares).sum::<f64>() / (channels.len() * pixels) as f64;
        (mean, (variance + self.epsilon).sqrt().recip())
    }

    /// The gradients by weight and bias, written to `by_weight` and `by_bias`, and the one by x, from the sums over
    /// pixels of the gradient by z and of it times ẋ, `(n, c)`.
    ///
    /// With ⟨ ⟩ the mean over the group: by x `rstd · (weight · g − ⟨weight · g⟩ − ẋ ⟨weight · g · ẋ⟩)`.
    ///
    /// # Panics
    /// If lengths do not belong together, or if groups do not divide the channels.
    pub fn gradients(
        &self,
        normalised: &Normalised,
        sums: &[[f64; 2]],
        pixels: usize,
        weight: &[f32],
        by_weight: &mut [f32],
        by_bias: &mut [f32],
    ) -> InputGradient {
        let channels = weight.len();
        self.check(channels);
        let lens = [by_weight.len(), by_bias.len()];
        assert_eq!(lens, [channels; 2], "gradients of every weight and bias");
        let lens = [sums.len(), normalised.offset.len()];
        assert_eq!([normalised.rstd.len(); 2], lens, "sums of every channel of every image");
        assert!(sums.len().is_multiple_of(channels), "sums of whole images");
        for channel in 0..channels {
            let of = |which: usize| sums[channel..].iter().step_by(channels).map(move |s| s[which]);
            by_bias[channel] = of(0).sum::<f64>() as f32;
            by_weight[channel] = of(1).sum::<f64>() as f32;
        }
        let in_group = channels / self.groups;
        let mut found = InputGradient {
            channels,
            of_z: Vec::with_capacity(sums.len()),
            of_x: Vec::with_capacity(sums.len()),
            constant: Vec::with_capacity(sums.len()),
        };
        for (index, group) in sums.chunks_exact(in_group).enumerate() {
            let first = index % self.groups * in_group;
            let count = (in_group * pixels) as f64;
            let mean = |which: usize| {
                let weights = &weight[first..first + in_group];
                let terms = group.iter().zip(weights).map(|(s, &w)| s[which] * f64::from(w));
                terms.sum::<f64>() / count
            };
            let (grad_mean, along) = (mean(0), mean(1));
            for channel in 0..in_group {
                let at = index * in_group + channel;
                let rstd = f64::from(normalised.rstd[at]);
                let offset = f64::from(normalised.offset[at]);
                found.of_z.push((rstd * f64::from(weight[first + channel])) as f32);
                found.of_x.push((-rstd * rstd * along) as f32);
                found.constant.push((-rstd * (grad_mean + offset * along)) as f32);
            }
        }
        found
    }
}

/// Destination of the gradient by one part of the input.
#[derive(Debug)]
pub struct PartGradient<'a> {
    /// The part itself.
    pub part: InputPart<'a>,
    /// Its first channel among those of all parts.
    pub first: usize,
    /// The gradient, of the part's shape.
    pub out: &'a mut [f32],
    /// Whether `out` is added to, not overwritten.
    pub add: bool,
}

impl InputGradient {
    /// Writes the gradient by one part of x, plus `addend`, from the one by z; both `(n, h, w, c)`, c over all parts.
    ///
    /// # Panics
    /// As [`GroupNorm::normalise`].
    pub fn write(
        &self,
        cpu: &Cpu,
        pixels: usize,
        by_z: &[f32],
        addend: Option<&[f32]>,
        to: PartGradient<'_>,
    ) {
        let PartGradient { part, first, out, add } = to;
        let rows = self.rows(pixels);
        assert_eq!(by_z.len(), rows * self.channels, "the gradient has the images' size");
        assert!(addend.is_none_or(|addend| addend.len() == by_z.len()), "so has the addend");
        assert_eq!(part.values.len(), rows * part.stride, "the part has the images' size");
        let within = first + part.channels <= self.channels;
        let own = part.channels > 0 && part.first + part.channels <= part.stride;
        assert!(within && own, "the channels of a part lie within all and within its images");
        assert_eq!(out.len(), rows * part.channels, "the result has the part's size");
        let pieces = out.par_chunks_mut(PIECE * part.channels).enumerate();
        pieces.for_each(|(index, out)| {
            let piece = Piece {
                of: self,
                pixels,
                start: index * PIECE,
                by_z,
                addend,
                part,
                first,
                out,
                add,
            };
            cpu.compute.isa().elementwise().run(piece);
        });
    }

    /// Turns the gradient by z into the one by x in its place; the source has one part.
    ///
    /// # Panics
    /// As [`GroupNorm::normalise`].
    pub fn apply(
        &self,
        cpu: &Cpu,
        pixels: usize,
        x: &[f32],
        addend: Option<&[f32]>,
        by_z: &mut [f32],
    ) {
        let len = self.rows(pixels) * self.channels;
        assert_eq!([by_z.len(), x.len()], [len; 2], "gradient and input have the images' size");
        assert!(addend.is_none_or(|addend| addend.len() == len), "so has the addend");
        let pieces = by_z.par_chunks_mut(PIECE * self.channels).enumerate();
        pieces.for_each(|(index, by_z)| {
            let (of, start) = (self, index * PIECE);
            let piece = OwnPiece { of, pixels, start, x, addend, by_z };
            cpu.compute.isa().elementwise().run(piece);
        });
    }
}

/// A run of pixels of one part.
struct Piece<'a> {
    of: &'a InputGradient,
    pixels: usize,
    /// First pixel, counted over the batch.
    start: usize,
    by_z: &'a [f32],
    addend: Option<&'a [f32]>,
    part: InputPart<'a>,
    first: usize,
    out: &'a mut [f32],
    add: bool,
}

impl Work for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let (n, channels) = (self.part.channels, self.of.channels);
        for (index, out) in self.out.chunks_exact_mut(n).enumerate() {
            let pixel = self.start + index;
            let place = pixel * channels + self.first;
            let coefficients = self.of.at(pixel / self.pixels * channels + self.first, n);
            let x = &self.part.values[pixel * self.part.stride + self.part.first..][..n];
            let by_z = &self.by_z[place..][..n];
            let addend = self.addend.map(|addend| &addend[place..][..n]);
            let [of_z, of_x, constant] = coefficients;
            let value = |i: usize| of_z[i] * by_z[i] + of_x[i] * x[i] + constant[i];
            match (addend, self.add) {
                (None, false) => (0..n).for_each(|i| out[i] = value(i)),
                (None, true) => (0..n).for_each(|i| out[i] += value(i)),
                (Some(addend), false) => (0..n).for_each(|i| out[i] = value(i) + addend[i]),
                (Some(addend), true) => (0..n).for_each(|i| out[i] += value(i) + addend[i]),
            }
        }
    }
}

/// A run of pixels of a source of one part.
struct OwnPiece<'a> {
    of: &'a InputGradient,
    pixels: usize,
    start: usize,
    x: &'a [f32],
    addend: Option<&'a [f32]>,
    by_z: &'a mut [f32],
}

impl Work for OwnPiece<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self, _: L) {
        let n = self.of.channels;
        for (index, by_z) in self.by_z.chunks_exact_mut(n).enumerate() {
            let pixel = self.start + index;
            let [of_z, of_x, constant] = self.of.at(pixel / self.pixels * n, n);
            let x = &self.x[pixel * n..][..n];
            match self.addend {
                None => (0..n).for_each(|i| {
                    by_z[i] = of_z[i] * by_z[i] + of_x[i] * x[i] + constant[i];
                }),
                Some(addend) => {
                    let addend = &addend[pixel * n..][..n];
                    (0..n).for_each(|i| {
                        by_z[i] = of_z[i] * by_z[i] + of_x[i] * x[i] + constant[i] + addend[i];
                    });
                }
            }
        }
    }
}

impl InputGradient {
    /// Pixels of all images, `pixels` each.
    fn rows(&self, pixels: usize) -> usize {
        self.of_z.len() / self.channels * pixels
    }

    /// The coefficients of `n` channels.
    #[inline(always)]
    fn at(&self, start: usize, n: usize) -> [&[f32]; 3] {
        [&self.of_z, &self.of_x, &self.constant].map(|values| &values[start..start + n])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORM: GroupNorm = GroupNorm { groups: 1, epsilon: 0.0 };

    /// Two channels of one pixel, 1 and 3, with weights 5: ẋ is −1 and 1.
    fn normalised() -> Normalised {
        NORM.normalise(&[&[[1.0, 0.0]], &[[3.0, 0.0]]], 1, 1, &[5.0; 2], &[0.0; 2])
    }

    #[test]
    fn gradients_by_hand() {
        // g = (2, 4) by z. By bias g, by weight g · ẋ. By x: with w g = (10, 20) of mean 15, and w g ẋ = (−10, 20) of
        // mean 5: 10 − 15 + 5 and 20 − 15 − 5. Two numbers of variance 1 leave no direction to go.
        let (mut by_weight, mut by_bias) = ([0.0; 2], [0.0; 2]);
        let sums = [[2.0, -2.0], [4.0, 4.0]];
        let found =
            NORM.gradients(&normalised(), &sums, 1, &[5.0; 2], &mut by_weight, &mut by_bias);
        assert_eq!((by_weight, by_bias), ([-2.0, 4.0], [2.0, 4.0]));
        let mut by_z = [2.0, 4.0];
        found.apply(&Cpu::default(), 1, &[1.0, 3.0], Some(&[0.25; 2]), &mut by_z);
        assert_eq!(by_z, [0.25; 2]);
    }

    // Slices of other lengths left parts of results as they were.

    #[test]
    #[should_panic(expected = "gradients of every weight and bias")]
    fn a_longer_gradient_by_the_bias_is_refused() {
        let sums = [[2.0, -2.0], [4.0, 4.0]];
        NORM.gradients(&normalised(), &sums, 1, &[5.0; 2], &mut [0.0; 2], &mut [0.0; 3]);
    }

    #[test]
    #[should_panic(expected = "gradient and input have the images' size")]
    fn a_gradient_of_fewer_pixels_is_refused() {
        let sums = [[2.0, -2.0], [4.0, 4.0]];
        let found =
            NORM.gradients(&normalised(), &sums, 2, &[5.0; 2], &mut [0.0; 2], &mut [0.0; 2]);
        found.apply(&Cpu::default(), 2, &[1.0; 4], None, &mut [0.0; 2]);
    }

    #[test]
    #[should_panic(expected = "as many biases as weights")]
    fn a_longer_bias_is_refused() {
        NORM.normalise(&[&[[1.0, 0.0]]], 1, 1, &[1.0], &[0.0; 2]);
    }
}
