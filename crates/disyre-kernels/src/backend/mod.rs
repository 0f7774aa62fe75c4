//! The operations that a network needs of a device.
//!
//! A network that is written over [`Backend`] runs on every device that implements it: [`Cpu`](crate::Cpu), and GPUs in
//! `disyre-cuda`. Nothing in a step of training waits for the device: moments, losses and norms stay in its memory, and
//! only [`download`](Backend::download) and [`read`](Backend::read) bring numbers back.
//!
//! # Errors
//! Operations do not return errors. The first that fails (memory, a launch) is kept by the backend, all later ones do
//! nothing, and the next [`download`](Backend::download) or [`read`](Backend::read) returns it and clears it. A GPU
//! works beside this thread and learns of failures late anyway; a step either comes to its end or its result is an
//! error, and nobody uses what lies between.

mod cpu;
mod feature_maps;
mod numbers;

pub use feature_maps::{Elements, FeatureMaps};
pub use numbers::Numbers;

use std::fmt::Debug;
use std::ops::Range;
use std::sync::MutexGuard;

use disyre_core::Distance;

use crate::{AdamW, Attention, Convolution, Extent, GroupNorm};

/// A device: its memory, and the operations of a network on it.
///
/// # Shapes and units
/// Feature maps and their gradients are `(n, h, w, c)`, channels fastest. Parameters are one run of numbers; [`Conv`] and
/// [`Affine`] say which of them an operation uses, and their gradients lie at the same places of another run.
///
/// # Panics
/// If shapes do not belong together: callers check them.
pub trait Backend: Debug + Send + Sync + 'static {
    /// 32-bit numbers that stay: weights, their gradients, the optimiser's state.
    type Values: Debug + Send + Sync;
    /// Feature maps or their gradients; the device may keep them in fewer bits.
    type Map: Elements;
    /// For each channel of each image, `(n, c)`, mean and sum of squared deviations over the pixels.
    type Moments: Debug + Send + Sync;
    /// Coefficients of a normalisation, each `(n, c)`: `z = scale · x + shift` and `ẋ = rstd · x + offset`.
    type Normalised: Debug + Send + Sync;
    /// For each channel of each image, `(n, c)`, the sums over the pixels of the gradient by z, and of it times ẋ.
    type Sums: Debug + Send + Sync;
    /// One number: a loss or a norm.
    type Scalar: Debug + Send + Sync;
    /// The coefficients of an update, where the device can read them.
    type Update: Debug + Send + Sync;
    /// Operations that can be repeated.
    type Recording: Debug + Send + Sync;

    /// The device and how it computes, in words.
    fn describe(&self) -> String;

    /// Bytes that operations can still take, those kept for use again included; none where the system decides.
    fn free_memory(&self) -> Option<usize>;

    /// Bytes of one number of a [`Map`](Self::Map).
    fn map_bytes(&self) -> usize;

    /// The first failure of any operation since the last that was taken, without waiting for operations that still run.
    ///
    /// # Errors
    /// That failure, which is then forgotten.
    fn take_error(&self) -> Result<(), BackendError>;

    /// `len` zeros.
    fn zeros(&self, len: usize) -> Self::Values;

    /// A copy of numbers on the device.
    fn upload(&self, values: &[f32]) -> Self::Values;

    /// The same of numbers that will hardly change: the device may keep what operations make of them for the next
    /// that ask for it, until they do.
    fn upload_lasting(&self, values: &[f32]) -> Self::Values {
        self.upload(values)
    }

    /// Numbers from the device, after all that came before is done.
    ///
    /// # Errors
    /// The first failure of any operation since the last that was returned.
    fn download(&self, values: &Self::Values) -> Result<Vec<f32>, BackendError>;

    /// Images `(n, h, w, c)` on the device, without moments.
    fn maps(&self, values: &[f32], extent: Extent, channels: usize) -> FeatureMaps<Self>;

    /// Puts images of the same shape in the place of earlier ones, in the same memory: see [`record`](Self::record).
    fn replace(&self, values: &[f32], maps: &mut FeatureMaps<Self>);

    /// Maps whose values are those of some earlier use.
    fn blank(&self, extent: Extent, channels: usize) -> FeatureMaps<Self>;

    /// The values of maps, after all that came before is done.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    fn download_maps(&self, maps: &FeatureMaps<Self>) -> Result<Vec<f32>, BackendError>;

    /// Numbers that operations found, after all that came before is done.
    ///
    /// # Errors
    /// As [`download`](Self::download).
    fn read(&self, scalars: &[&Self::Scalar]) -> Result<Vec<f64>, BackendError>;

    /// The normalisation of one image that changes nothing: scale 1, shift 0, and rstd and offset 0.
    fn identity(&self, channels: usize) -> Self::Normalised;

    /// Group normalisation of maps side by side, from their moments: see [`GroupNorm::normalise`].
    fn normalise(
        &self,
        affine: &Affine,
        weights: &Self::Values,
        parts: &[&FeatureMaps<Self>],
    ) -> Self::Normalised;

    /// A convolution with its bias, with the moments of the result if `moments` is set: see [`Convolution::forward`].
    fn convolve(
        &self,
        conv: &Conv,
        weights: &Self::Values,
        input: &Input<'_, Self>,
        addends: &Added<'_, Self>,
        moments: bool,
    ) -> FeatureMaps<Self>;

    /// The gradient by a convolution's input of size `extent`, from the one by its result; added to `onto` if there is
    /// one: see [`Convolution::backward_data`].
    fn backward_data(
        &self,
        conv: &Conv,
        weights: &Self::Values,
        extent: Extent,
        gradient: &Self::Map,
        onto: Option<Self::Map>,
    ) -> Self::Map;

    /// The gradient by a transformed input, taken on through SiLU, so by `z = scale · x + shift`; and the sums that
    /// [`backward_norm`](Self::backward_norm) asks for: see [`Convolution::backward_data_through_norm`].
    fn backward_data_through_norm(
        &self,
        conv: &Conv,
        weights: &Self::Values,
        input: &Input<'_, Self>,
        gradient: &Self::Map,
    ) -> (Self::Map, Self::Sums);

    /// Writes the gradients by a convolution's weight and bias to their places in `out`: see
    /// [`Convolution::backward_filter`]. The sums over the pixels of each image, `(n, o)`, also go to `by_image`.
    fn backward_filter(
        &self,
        conv: &Conv,
        input: &Input<'_, Self>,
        gradient: &Self::Map,
        out: &mut Self::Values,
        by_image: Option<Columns<&mut FeatureMaps<Self>>>,
    );

    /// Takes what [`backward_data_through_norm`](Self::backward_data_through_norm) found on through the normalisation: writes the gradients
    /// by its weight and bias to their places in `out`, and the one by the input to `to`: see [`GroupNorm::gradients`].
    ///
    /// The input is normalised.
    fn backward_norm(
        &self,
        affine: &Affine,
        weights: &Self::Values,
        input: &Input<'_, Self>,
        found: (Self::Map, Self::Sums),
        out: &mut Self::Values,
        to: PartGradients<'_, Self>,
    );

    /// Attention between the pixels of each image, from queries, keys and values side by side `(n, h, w, 3·c)`, without
    /// moments: see [`Attention::forward`].
    fn attend(&self, attention: &Attention, qkv: &FeatureMaps<Self>) -> FeatureMaps<Self>;

    /// The gradient by queries, keys and values, from the one by the result: see [`Attention::backward`].
    fn backward_attention(
        &self,
        attention: &Attention,
        qkv: &FeatureMaps<Self>,
        gradient: &Self::Map,
    ) -> Self::Map;

    /// Mean squared error of `y` against `target`, and its gradient by `y`: see
    /// [`mean_squared_error`](crate::mean_squared_error).
    fn squared_error(
        &self,
        y: &FeatureMaps<Self>,
        target: &FeatureMaps<Self>,
    ) -> (Self::Scalar, Self::Map);

    /// The sums over the members of an ensemble with one more, `y`: how far it is from `x`, and itself. Those before are
    /// in `onto`; without any the sums begin at 0.
    fn add_member(
        &self,
        distance: Distance,
        x: &FeatureMaps<Self>,
        y: &FeatureMaps<Self>,
        onto: Option<Ensemble<Self>>,
    ) -> Ensemble<Self>;

    /// The coefficients of the next [`update`](Self::update); into the same memory where there was an update before.
    fn prepare(&self, update: &AdamW, into: &mut Option<Self::Update>);

    /// Finds the norm of the gradient, clips it, and updates weights, moments and average: one step of [`AdamW`].
    /// Where the norm or `loss` is not finite, everything stays as it is. Returns the norm, before clipping.
    fn update(
        &self,
        update: &Self::Update,
        loss: &Self::Scalar,
        gradient: &Self::Values,
        state: State<'_, Self>,
    ) -> Self::Scalar;

    /// Excludes other threads from an upload until its results were downloaded, where a recording of one thread uses the
    /// memory of another's operations. None where threads share no memory, as on the CPU.
    fn lock(&self) -> Option<MutexGuard<'_, ()>> {
        None
    }

    /// Does `work`, and where the device can, records its operations.
    ///
    /// `work` must neither download nor upload, and what it reads and writes must be there as long as the recording.
    /// Memory that it takes and drops may serve others in between: a recording leaves its results only in what
    /// outlives it. There is no recording of work in which an operation failed.
    fn record<T>(&self, work: impl FnOnce() -> T) -> (T, Option<Self::Recording>);

    /// Repeats the operations of a recording, on what now lies in the memory that they used.
    ///
    /// # Panics
    /// If another backend made the recording.
    fn replay(&self, recording: &mut Self::Recording);
}

/// A convolution, and where its parameters lie in the run of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Kind and channels.
    pub layer: Convolution,
    /// The weight, `(u, v, c, o)`.
    pub weight: Range<usize>,
    /// The bias, `(o)`.
    pub bias: Range<usize>,
}

impl Conv {
    /// # Panics
    /// If weight and bias have not the layer's shape, share a number, or are not among so many parameters.
    pub fn assert_fits(&self, parameters: usize) {
        let Self { layer, weight, bias } = self;
        assert_eq!(weight.len(), layer.weight_len(), "the weight has the layer's shape");
        assert_eq!(bias.len(), layer.outputs, "a bias for each output");
        assert_places(weight, bias, parameters);
    }
}

/// # Panics
/// If two ranges share a number, or do not end among so many.
fn assert_places(weight: &Range<usize>, bias: &Range<usize>, parameters: usize) {
    let among = weight.end.max(bias.end) <= parameters;
    assert!(among, "weight and bias are among the parameters");
    assert!(weight.end <= bias.start || bias.end <= weight.start, "weight and bias lie apart");
}

/// A group normalisation, and where its parameters lie in the run of all.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// Groups and epsilon.
    pub norm: GroupNorm,
    /// The weight, `(c)`.
    pub weight: Range<usize>,
    /// The bias, `(c)`.
    pub bias: Range<usize>,
}

impl Affine {
    /// # Panics
    /// If there are not weights and biases of equal groups of channels, if they share a number, or if they are not among so
    /// many parameters.
    pub fn assert_fits(&self, parameters: usize) {
        let Self { norm: GroupNorm { groups, .. }, weight, bias } = self;
        let channels = weight.len();
        assert_eq!(bias.len(), channels, "a bias for each weight");
        let whole = *groups > 0 && channels > 0 && channels.is_multiple_of(*groups);
        assert!(whole, "{channels} channels are {groups} equal groups");
        assert_places(weight, bias, parameters);
    }
}

/// Input of a convolution: maps of one extent, one behind another in channels, perhaps transformed on the way.
#[derive(Debug)]
pub struct Input<'a, B: Backend + ?Sized> {
    /// At least one, at most two.
    pub parts: &'a [&'a FeatureMaps<B>],
    /// The transformation of each value before it is multiplied.
    pub through: Option<Through<'a, B>>,
}

/// `z = scale · x + shift`, then, if asked for, SiLU: `z / (1 + e^−z)`.
#[derive(Debug)]
pub struct Through<'a, B: Backend + ?Sized> {
    /// The coefficients.
    pub normalised: &'a B::Normalised,
    /// Whether SiLU follows.
    pub silu: bool,
}

/// Addends of a convolution beside its bias.
#[derive(Debug)]
pub struct Added<'a, B: Backend + ?Sized> {
    /// One number for each image and channel, `(n, o)`: see [`Columns`].
    pub by_image: Option<Columns<&'a FeatureMaps<B>>>,
    /// Of the shape of the result.
    pub map: Option<&'a B::Map>,
}

/// Some of the columns of maps of one image, one row high, whose pixels stand for the n images of a batch: `(n, width)`.
#[derive(Debug, Clone, Copy)]
pub struct Columns<M> {
    /// The maps: one image, one row, n pixels, and `width` channels.
    pub maps: M,
    /// The first column; as many follow as the convolution has outputs.
    pub first: usize,
}

impl<B: Backend> Columns<&FeatureMaps<B>> {
    /// # Panics
    /// If the maps are not one row of a pixel for each image, with so many channels from `first` on.
    pub fn assert_fit(&self, images: usize, channels: usize) {
        let row = Extent { count: 1, height: 1, width: images };
        assert_eq!(self.maps.extent(), row, "a pixel for each image");
        let end = self.first.checked_add(channels);
        let among = end.is_some_and(|end| end <= self.maps.channels());
        assert!(among, "columns of each channel");
    }
}

/// Destination of the gradient by an input.
#[derive(Debug)]
pub struct PartGradients<'a, B: Backend + ?Sized> {
    /// Added to it: a map of the input's extent and all its channels.
    pub addend: Option<&'a B::Map>,
    /// For each part its gradient; added where there is one.
    pub by_parts: &'a mut [Option<B::Map>],
}

/// Sums over the members of an ensemble, each of the shape of a member.
#[derive(Debug)]
pub struct Ensemble<B: Backend + ?Sized> {
    /// Of how far each member is from what all restore.
    pub distances: FeatureMaps<B>,
    /// Of the members.
    pub members: FeatureMaps<B>,
}

/// Parameters and moments that an update changes, all of one length.
#[derive(Debug)]
pub struct State<'a, B: Backend + ?Sized> {
    /// The weights.
    pub weights: &'a mut B::Values,
    /// Average of the gradient.
    pub first: &'a mut B::Values,
    /// Average of the squared gradient.
    pub second: &'a mut B::Values,
    /// Average of the weights, if one is kept.
    pub average: Option<&'a mut B::Values>,
}

/// Failure of a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// There is not enough memory.
    #[error("{device} has {free} bytes of memory left and {needed} are needed")]
    Memory {
        /// The device.
        device: String,
        /// Bytes that were asked for.
        needed: usize,
        /// Bytes that were free.
        free: usize,
    },
    /// The device or its driver failed.
    #[error("{device} failed to {doing}: {answer}")]
    Failed {
        /// The device.
        device: String,
        /// The request.
        doing: String,
        /// Its answer.
        answer: String,
    },
}

impl<B: Backend + ?Sized> Default for Added<'_, B> {
    fn default() -> Self {
        Self { by_image: None, map: None }
    }
}

impl<B: Backend + ?Sized> Input<'_, B> {
    /// n, h and w of all parts.
    ///
    /// # Panics
    /// If there is no part.
    pub fn extent(&self) -> Extent {
        self.parts[0].extent()
    }
}
