//! NVIDIA's driver, found when it is asked for.

mod graph;
mod stream;
#[cfg(feature = "candle-cuda")]
mod tensors;

use std::collections::HashMap;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, DriverError, result, sys};
use disyre_kernels::Precision;
use disyre_kernels::backend::BackendError;

use crate::cuda::Cuda;
use crate::device::Kernel;
pub use stream::Stream;

/// Machine code and PTX of each file of kernels.
const MODULES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// The oldest architecture that the kernels are compiled for: tensor cores for bf16, and asynchronous copies.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// An NVIDIA GPU with the kernels loaded. It is opened once in a process and passed on: clones share it.
///
/// ```no_run
/// use disyre_cuda::{Cuda, Gpu};
/// use disyre_kernels::Precision;
///
/// let gpu = Gpu::open(0)?;
/// println!("{}", gpu.describe());
/// let backend = Cuda::on(&gpu, Precision::Bf16)?;
/// # Ok::<(), disyre_kernels::backend::BackendError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Gpu(Arc<Driver>);

#[derive(Debug)]
struct Driver {
    name: String,
    context: Arc<CudaContext>,
    modules: HashMap<&'static str, Module>,
    functions: Mutex<HashMap<&'static str, Function>>,
}

/// Loaded code; it goes with the context.
#[derive(Debug)]
struct Module(sys::CUmodule);

#[derive(Debug, Clone, Copy)]
struct Function(sys::CUfunction);

// SAFETY: a handle of the driver, which any thread may use that binds the context, as `Gpu` does before every call.
unsafe impl Send for Module {}
// SAFETY: as above; nothing changes a module once it is loaded.
unsafe impl Sync for Module {}
// SAFETY: a handle of the driver to code of a loaded module, which any thread may use that binds the context.
unsafe impl Send for Function {}

impl Gpu {
    /// The GPU of a number, counted from 0, with the kernels loaded.
    ///
    /// # Errors
    /// If the driver is not there, if it finds no such GPU, or if that is older than the kernels; in words that say what
    /// to do.
    pub fn open(ordinal: usize) -> Result<Self, BackendError> {
        let name = format!("cuda:{ordinal}");
        let failed = |doing: &str, answer: String| BackendError::Failed {
            device: name.clone(),
            doing: doing.to_owned(),
            answer,
        };
        if !is_present(["libcuda.so.1", "libcuda.so", "nvcuda.dll"]) {
            let answer = "NVIDIA's driver (libcuda) is not installed here".to_owned();
            return Err(failed("start", answer));
        }
        let started = |error: DriverError| failed("start", error.to_string());
        let context = CudaContext::new(ordinal).map_err(started)?;
        let (major, minor) = context.compute_capability().map_err(started)?;
        if (major, minor) < LEAST_CAPABILITY {
            let answer =
                format!("its compute capability is {major}.{minor}, the kernels need 8.0 or later");
            return Err(failed("start", answer));
        }
        let modules = load_all().map_err(|error| failed("load kernels", error.to_string()))?;
        let name = context.name().map_or(name.clone(), |model| format!("{name} ({model})"));
        Ok(Self(Arc::new(Driver { name, context, modules, functions: Mutex::default() })))
    }

    /// The number and the model, in words.
    pub fn describe(&self) -> &str {
        &self.0.name
    }

    fn context(&self) -> &Arc<CudaContext> {
        &self.0.context
    }

    fn failed(&self, doing: impl Into<String>, error: DriverError) -> BackendError {
        BackendError::Failed {
            device: self.0.name.clone(),
            doing: doing.into(),
            answer: error.to_string(),
        }
    }

    /// Makes the context that of this thread, for the calls that follow.
    fn bind(&self) -> Result<(), BackendError> {
        self.context().bind_to_thread().map_err(|error| self.failed("start", error))
    }

    fn function(&self, kernel: Kernel) -> Result<Function, BackendError> {
        let mut functions = self.0.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&function) = functions.get(kernel.name) {
            return Ok(function);
        }
        let name = CString::new(kernel.name).expect("names of kernels have no zero bytes");
        let module = self.0.modules[kernel.module].0;
        // SAFETY: the module is loaded, and stays so as long as the context.
        let found = unsafe { result::module::get_function(module, name) };
        let found = found.map_err(|error| self.failed(format!("find {}", kernel.name), error))?;
        functions.insert(kernel.name, Function(found));
        Ok(Function(found))
    }
}

impl Cuda<Stream> {
    /// Operations on a GPU, with products of convolutions in `precision`; in place of `Bf16x3`, which would not be faster,
    /// they are in `f32`. Several on one GPU share its kernels, and work beside each other.
    ///
    /// # Errors
    /// If the driver gives no stream.
    pub fn on(gpu: &Gpu, precision: Precision) -> Result<Self, BackendError> {
        Ok(Self::new(Stream::new(gpu)?, precision))
    }
}

/// Whether this computer has a library, under one of its names.
fn is_present(names: [&str; 3]) -> bool {
    // SAFETY: a library of NVIDIA's, which starts nothing when it is opened.
    names.into_iter().any(|name| unsafe { libloading::Library::new(name) }.is_ok())
}

/// Loads all kernels to the current context.
fn load_all() -> Result<HashMap<&'static str, Module>, DriverError> {
    MODULES.iter().map(|&(module, code)| Ok((module, load(code)?))).collect()
}

/// Loads code to the current context: the driver picks what fits the device.
fn load(code: &[u8]) -> Result<Module, DriverError> {
    let mut module = MaybeUninit::uninit();
    // SAFETY: a whole fatbin, as nvcc wrote it, which carries its own size; it is copied.
    unsafe {
        sys::cuModuleLoadData(module.as_mut_ptr(), code.as_ptr().cast()).result()?;
        Ok(Module(module.assume_init()))
    }
}
