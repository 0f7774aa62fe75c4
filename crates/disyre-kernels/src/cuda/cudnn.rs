//! Our convolutions beside those of cuDNN, NVIDIA's library: a second opinion, and a rival.

use std::mem::MaybeUninit;
use std::ptr::{from_ref, null_mut};

use cudarc::cudnn::result::{self, CudnnError};
use cudarc::cudnn::sys::{
    self, cudnnConvolutionMode_t, cudnnDataType_t, cudnnMathType_t, cudnnStatus_t,
    cudnnTensorFormat_t,
};

use super::memory::{Element, Numbers};
use super::{Cuda, Driver, f32_bytes, int};
use crate::backend::{Added, Backend, BackendError, Conv, Input, Maps};
use crate::{Convolution, Extent, Kind};

/// Answers that are asked for: more than there are algorithms.
const ANSWERS: usize = 16;
/// The oldest version whose functions have the form that we call.
const LEAST_VERSION: usize = 90_000;

/// One pass of a convolution, computed twice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// `forward`, `by data` or `by weight`.
    pub pass: &'static str,
    /// Seconds of ours, with all that the network asks of it beside: it reads weights of 32 bits, adds a bias and finds
    /// the moments of the result; by weight it also sums the pixels for the bias.
    pub ours: f64,
    /// Seconds of the fastest algorithm of cuDNN's, on weights of the type that it multiplies, with none of that.
    pub cudnn: f64,
    /// Greatest difference of the results, relative to the greatest value of cuDNN's.
    pub difference: f64,
}

impl Cuda<Driver> {
    /// All passes of a convolution, ours and cuDNN's on the same numbers, in the precision of this machine: f32 without
    /// the shorter factors of tensor cores, bf16 with sums in f32. Times are means of `runs` launches after the first.
    ///
    /// # Errors
    /// If cuDNN is not there, or is older than version 9, or has no such convolution, as for [`Kind::Doubling`]. Of a
    /// pass: if cuDNN has no algorithm for it, and the first failure since the last that was told.
    pub fn beside_cudnn(
        &self,
        layer: Convolution,
        extent: Extent,
        runs: usize,
    ) -> Result<[Result<Compared, BackendError>; 3], BackendError> {
        if layer.kind == Kind::Doubling {
            return Err(self.failed("it has no convolution that doubles first".to_owned()));
        }
        if !super::driver::is_present(["libcudnn.so.9", "libcudnn.so", "cudnn64_9.dll"]) {
            let answer = "libcudnn.so.9 was not found; its folder belongs to LD_LIBRARY_PATH";
            return Err(self.failed(answer.to_owned()));
        }
        let version = result::get_version();
        if version < LEAST_VERSION {
            return Err(self.failed(format!("its version is {version}, it takes {LEAST_VERSION}")));
        }
        let told = |error: CudnnError| self.failed(error.to_string());
        let rival = Rival::new(self, layer, extent).map_err(told)?;
        let all = Operands::new(self, layer, extent);
        Ok([
            self.compare("forward", runs, || all.forward(), rival.forward(&all)),
            self.compare("by data", runs, || all.by_data(), rival.by_data(&all)),
            self.compare("by weight", runs, || all.by_weight(), rival.by_weight(&all)),
        ])
    }

    fn failed(&self, answer: String) -> BackendError {
        let doing = "convolve with cuDNN".to_owned();
        BackendError::Failed { device: self.describe(), doing, answer }
    }

    fn compare(
        &self,
        pass: &'static str,
        runs: usize,
        ours: impl Fn() -> Vec<Numbers<Driver>>,
        rival: Result<Pass<'_>, CudnnError>,
    ) -> Result<Compared, BackendError> {
        let told = |error: CudnnError| self.failed(format!("{pass}: {error}"));
        let rival = rival.map_err(told)?;
        let seconds = self.seconds(runs, || drop(ours()))?;
        let mut outcome = Ok(());
        let cudnn = self.seconds(runs, || outcome = outcome.and((rival.run)()))?;
        outcome.map_err(told)?;
        let found = self.download(&ours()[0])?;
        let expected = (rival.arrange)(self.download(&rival.out)?);
        Ok(Compared { pass, ours: seconds, cudnn, difference: difference(&found, &expected) })
    }
}

/// Greatest difference, relative to the greatest value of `b`; infinite if something is not finite.
fn difference(a: &[f32], b: &[f32]) -> f64 {
    let greatest = b.iter().fold(0.0f32, |max, b| max.max(b.abs()));
    let errors = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    let worst = errors.fold(0.0, |max: f32, d| if d > max || d.is_nan() { d } else { max });
    if worst.is_finite() { f64::from(worst) / f64::from(greatest) } else { f64::INFINITY }
}

/// What both compute with. All numbers are eighths between −1 and 1, which bf16 holds exactly.
struct Operands<'a> {
    cuda: &'a Cuda<Driver>,
    conv: Conv,
    x: Maps<Cuda<Driver>>,
    gradient: Numbers<Driver>,
    /// The weight `(u, v, c, o)` and a bias of zeros.
    weights: Numbers<Driver>,
    /// The weight as cuDNN takes it, `(o, u, v, c)`.
    filter: Numbers<Driver>,
}

impl<'a> Operands<'a> {
    fn new(cuda: &'a Cuda<Driver>, layer: Convolution, extent: Extent) -> Self {
        let result = layer.result(extent);
        let pixels = |of: Extent| of.count * of.height * of.width;
        let weight = eighths(layer.weight_len(), 3);
        let filter = transposed(&weight, layer.outputs);
        let values = put(cuda, &eighths(pixels(extent) * layer.inputs, 1));
        let len = weight.len();
        Self {
            cuda,
            conv: Conv { layer, weight: 0..len, bias: len..len + layer.outputs },
            x: Maps { extent, channels: layer.inputs, values, moments: None },
            gradient: put(cuda, &eighths(pixels(result) * layer.outputs, 2)),
            weights: cuda.upload(&[weight, vec![0.0; layer.outputs]].concat()),
            filter: put(cuda, &filter),
        }
    }

    fn forward(&self) -> Vec<Numbers<Driver>> {
        let input = Input { parts: &[&self.x], through: None };
        let Self { cuda, conv, weights, .. } = self;
        let y = cuda.convolve(conv, weights, &input, &Added::default(), true);
        std::iter::once(y.values).chain(y.moments).collect()
    }

    fn by_data(&self) -> Vec<Numbers<Driver>> {
        vec![self.cuda.by_data(&self.conv, &self.weights, self.x.extent, &self.gradient, None)]
    }

    fn by_weight(&self) -> Vec<Numbers<Driver>> {
        let input = Input { parts: &[&self.x], through: None };
        let mut out = self.cuda.take(Element::F32, self.weights.len());
        self.cuda.by_weight(&self.conv, &input, &self.gradient, &mut out, None);
        vec![out]
    }
}

/// Numbers of the type that feature maps have.
fn put(cuda: &Cuda<Driver>, values: &[f32]) -> Numbers<Driver> {
    let upper = |value: &f32| ((value.to_bits() >> 16) as u16).to_ne_bytes();
    match cuda.element() {
        Element::Bf16 => {
            let bytes: Vec<u8> = values.iter().flat_map(upper).collect();
            cuda.put(Element::Bf16, values.len(), &bytes)
        }
        element => cuda.put(element, values.len(), &f32_bytes(values)),
    }
}

fn eighths(len: usize, seed: u64) -> Vec<f32> {
    let mix = |index: u64| (index ^ index >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 60;
    let start = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..len as u64)
        .map(|index| mix(start.wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .map(|of_16| (of_16 as f32 - 8.0) / 8.0)
        .collect()
}

/// Rows of a matrix with so many columns as columns.
fn transposed(values: &[f32], columns: usize) -> Vec<f32> {
    let column = |column| values.iter().skip(column).step_by(columns).copied();
    (0..columns).flat_map(column).collect()
}

/// A pass that is ready to run.
struct Pass<'a> {
    out: Numbers<Driver>,
    run: Box<dyn Fn() -> Result<(), CudnnError> + 'a>,
    /// Puts the result into our order.
    arrange: Box<dyn Fn(Vec<f32>) -> Vec<f32>>,
}

/// A convolution as cuDNN describes it.
struct Rival<'a> {
    cuda: &'a Cuda<Driver>,
    handle: sys::cudnnHandle_t,
    x: sys::cudnnTensorDescriptor_t,
    y: sys::cudnnTensorDescriptor_t,
    filter: sys::cudnnFilterDescriptor_t,
    convolution: sys::cudnnConvolutionDescriptor_t,
    /// What may be multiplied how.
    math: cudnnMathType_t,
}

impl Drop for Rival<'_> {
    fn drop(&mut self) {
        // SAFETY: each was made by `new` and is destroyed once; a failure leaves nothing to be done.
        unsafe {
            let _ = result::destroy_convolution_descriptor(self.convolution);
            let _ = result::destroy_filter_descriptor(self.filter);
            let _ = result::destroy_tensor_descriptor(self.y);
            let _ = result::destroy_tensor_descriptor(self.x);
            let _ = result::destroy_handle(self.handle);
        }
    }
}

/// The fastest algorithm for a pass, of those that cuDNN tries.
macro_rules! fastest {
    ($rival:expr, $find:ident, $Answer:ty, $($side:expr),+) => {{
        let mut answers = [const { MaybeUninit::<$Answer>::uninit() }; ANSWERS];
        let mut count = 0;
        // SAFETY: the descriptor is there as long as the rival.
        unsafe { result::set_convolution_math_type($rival.convolution, $rival.math)? };
        // SAFETY: handle and descriptors are there as long as the rival; there is room for the answers asked for, of
        // which so many as counted are written.
        let answers = unsafe {
            let to = answers.as_mut_ptr().cast();
            sys::$find($rival.handle, $($side),+, ANSWERS as i32, &mut count, to).result()?;
            answers[..count as usize].iter().map(|answer| answer.assume_init())
        };
        let works = |answer: &$Answer| {
            answer.status == cudnnStatus_t::CUDNN_STATUS_SUCCESS && $rival.may(answer.mathType)
        };
        let fastest = answers.into_iter().find(works);
        let fastest = fastest.ok_or(CudnnError(cudnnStatus_t::CUDNN_STATUS_NOT_SUPPORTED))?;
        // SAFETY: as above.
        unsafe { result::set_convolution_math_type($rival.convolution, fastest.mathType)? };
        let workspace = $rival.cuda.take(Element::F32, fastest.memory.div_ceil(4));
        (fastest.algo, workspace)
    }};
}

/// Factors of a result and of what lay there before.
static SCALES: [f32; 2] = [1.0, 0.0];

impl<'a> Rival<'a> {
    fn new(cuda: &'a Cuda<Driver>, layer: Convolution, extent: Extent) -> Result<Self, CudnnError> {
        let (data, math) = match cuda.element() {
            Element::Bf16 => {
                (cudnnDataType_t::CUDNN_DATA_BFLOAT16, cudnnMathType_t::CUDNN_TENSOR_OP_MATH)
            }
            _ => (cudnnDataType_t::CUDNN_DATA_FLOAT, cudnnMathType_t::CUDNN_FMA_MATH),
        };
        let mut made = Self {
            cuda,
            handle: null_mut(),
            x: null_mut(),
            y: null_mut(),
            filter: null_mut(),
            convolution: null_mut(),
            math,
        };
        // All dimensions are given as (n, c, h, w), whatever the order in memory.
        let dims = |of: Extent, channels| [of.count, channels, of.height, of.width].map(int);
        let (kernel, result_dims) = (layer.kind.kernel(), layer.result(extent));
        let filter = [layer.outputs, layer.inputs, kernel, kernel].map(int);
        let (pad, stride) = (int(kernel / 2), 1 + i32::from(layer.kind == Kind::Halving));
        let order = cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        cuda.device()
            .bind()
            .map_err(|_| CudnnError(cudnnStatus_t::CUDNN_STATUS_NOT_INITIALIZED))?;
        // SAFETY: each descriptor is made before it is set, and lives as long as `made`; the stream as long as `cuda`.
        unsafe {
            made.handle = result::create_handle()?;
            result::set_stream(made.handle, cuda.device().stream().cast())?;
            made.x = result::create_tensor_descriptor()?;
            result::set_tensor4d_descriptor(made.x, order, data, dims(extent, layer.inputs))?;
            made.y = result::create_tensor_descriptor()?;
            result::set_tensor4d_descriptor(made.y, order, data, dims(result_dims, layer.outputs))?;
            made.filter = result::create_filter_descriptor()?;
            result::set_filter4d_descriptor(made.filter, data, order, filter)?;
            made.convolution = result::create_convolution_descriptor()?;
            let mode = cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
            let sums = cudnnDataType_t::CUDNN_DATA_FLOAT;
            let (desc, one) = (made.convolution, 1);
            result::set_convolution2d_descriptor(
                desc, pad, pad, stride, stride, one, one, mode, sums,
            )?;
            result::set_convolution_math_type(desc, math)?;
        }
        Ok(made)
    }

    /// Whether numbers may be multiplied so: in f32 not by the shorter factors that tensor cores take.
    fn may(&self, math: cudnnMathType_t) -> bool {
        self.math != cudnnMathType_t::CUDNN_FMA_MATH || math == self.math
    }

    fn take(&self, len: usize) -> Numbers<Driver> {
        self.cuda.take(self.cuda.element(), len)
    }

    fn forward(&'a self, of: &'a Operands<'a>) -> Result<Pass<'a>, CudnnError> {
        let out = self.take(of.gradient.len());
        let (algorithm, workspace) = fastest!(
            self,
            cudnnFindConvolutionForwardAlgorithm,
            sys::cudnnConvolutionFwdAlgoPerf_t,
            self.x,
            self.filter,
            self.convolution,
            self.y
        );
        let [x, w, y] = [&of.x.values, &of.filter, &out].map(address);
        // SAFETY: the numbers have the sizes that the descriptors tell, and live as long as the pass.
        let run = move || unsafe {
            let [one, zero] = SCALES.each_ref().map(|scale| from_ref(scale).cast());
            let (scratch, bytes) = (address(&workspace), workspace.bytes());
            result::convolution_forward(
                self.handle,
                one,
                self.x,
                x,
                self.filter,
                w,
                self.convolution,
                algorithm,
                scratch,
                bytes,
                zero,
                self.y,
                y,
            )
        };
        Ok(Pass { out, run: Box::new(run), arrange: Box::new(|values| values) })
    }

    fn by_data(&'a self, of: &'a Operands<'a>) -> Result<Pass<'a>, CudnnError> {
        let out = self.take(of.x.values.len());
        let (algorithm, workspace) = fastest!(
            self,
            cudnnFindConvolutionBackwardDataAlgorithm,
            sys::cudnnConvolutionBwdDataAlgoPerf_t,
            self.filter,
            self.y,
            self.convolution,
            self.x
        );
        let [w, dy, dx] = [&of.filter, &of.gradient, &out].map(address);
        // SAFETY: as forward.
        let run = move || unsafe {
            let [one, zero] = SCALES.each_ref().map(|scale| from_ref(scale).cast());
            let (scratch, bytes) = (address(&workspace), workspace.bytes());
            result::convolution_backward_data(
                self.handle,
                one,
                self.filter,
                w,
                self.y,
                dy,
                self.convolution,
                algorithm,
                scratch,
                bytes,
                zero,
                self.x,
                dx,
            )
        };
        Ok(Pass { out, run: Box::new(run), arrange: Box::new(|values| values) })
    }

    fn by_weight(&'a self, of: &'a Operands<'a>) -> Result<Pass<'a>, CudnnError> {
        let out = self.take(of.filter.len());
        let (algorithm, workspace) = fastest!(
            self,
            cudnnFindConvolutionBackwardFilterAlgorithm,
            sys::cudnnConvolutionBwdFilterAlgoPerf_t,
            self.x,
            self.y,
            self.convolution,
            self.filter
        );
        let [x, dy, dw] = [&of.x.values, &of.gradient, &out].map(address);
        // SAFETY: as forward.
        let run = move || unsafe {
            let [one, zero] = SCALES.each_ref().map(|scale| from_ref(scale).cast());
            let (scratch, bytes) = (address(&workspace), workspace.bytes());
            result::convolution_backward_filter(
                self.handle,
                one,
                self.x,
                x,
                self.y,
                dy,
                self.convolution,
                algorithm,
                scratch,
                bytes,
                zero,
                self.filter,
                dw,
            )
        };
        let columns = of.filter.len() / of.conv.layer.outputs;
        Ok(Pass {
            out,
            run: Box::new(run),
            arrange: Box::new(move |values| transposed(&values, columns)),
        })
    }
}

fn address(numbers: &Numbers<Driver>) -> *mut std::ffi::c_void {
    numbers.address(0) as *mut _
}
