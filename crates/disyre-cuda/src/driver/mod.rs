//! NVIDIA's driver, found when it is asked for.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use crate::device::{Device, Kernel};
use disyre_kernels::backend::BackendError;

/// Machine code and PTX of each file of kernels.
const MODULES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// The oldest architecture that the kernels are compiled for: tensor cores for bf16, and asynchronous copies.
const LEAST_CAPABILITY: (i32, i32) = (8, 0);

/// A graphics processor, through the driver. All work goes to one stream, in the order of the calls.
#[derive(Debug)]
pub struct Driver {
    name: String,
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    modules: HashMap<&'static str, Module>,
    functions: Mutex<HashMap<&'static str, Function>>,
}

/// Loaded code; it goes with the context.
#[derive(Debug)]
struct Module(sys::CUmodule);

#[derive(Debug, Clone, Copy)]
struct Function(sys::CUfunction);

// SAFETY: handles of the driver, which any thread may use that the context is bound to.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}
// SAFETY: as above.
unsafe impl Send for Function {}

/// A run of the device's memory.
#[derive(Debug)]
pub struct DriverMemory {
    address: sys::CUdeviceptr,
    bytes: usize,
    context: Arc<CudaContext>,
}

impl Drop for DriverMemory {
    fn drop(&mut self) {
        // A failure is the context's end, which the next call tells.
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated by this context, freed once; the driver waits for kernels that use it.
            let _ = unsafe { result::free_sync(self.address) };
        }
    }
}

/// A graph of launches.
#[derive(Debug)]
pub struct Graph {
    executable: sys::CUgraphExec,
    context: Arc<CudaContext>,
}

// SAFETY: a handle of the driver, launched by one thread at a time, as the stream orders.
unsafe impl Send for Graph {}
// SAFETY: as above.
unsafe impl Sync for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.context.bind_to_thread().is_ok() {
            // SAFETY: made by `end_recording`, destroyed once.
            let _ = unsafe { result::graph::exec_destroy(self.executable) };
        }
    }
}

impl Driver {
    /// The graphics processor of a number, counted from 0.
    ///
    /// # Errors
    /// If the driver is not there, if it finds no such processor, or if that is older than the kernels; in words that say
    /// what to do.
    pub fn new(ordinal: usize) -> Result<Self, BackendError> {
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
        let capability = context.compute_capability().map_err(started)?;
        if capability < LEAST_CAPABILITY {
            let (major, minor) = capability;
            let answer =
                format!("its compute capability is {major}.{minor}, the kernels need 8.0 or later");
            return Err(failed("start", answer));
        }
        let stream = context.new_stream().map_err(started)?;
        let mut modules = HashMap::new();
        for &(module, code) in MODULES {
            let loaded = load(code).map_err(|error| failed("load kernels", error.to_string()))?;
            modules.insert(module, loaded);
        }
        let name = context.name().map_or(name.clone(), |model| format!("{name} ({model})"));
        Ok(Self { name, context, stream, modules, functions: Mutex::default() })
    }

    fn failed(&self, doing: impl Into<String>, error: DriverError) -> BackendError {
        BackendError::Failed {
            device: self.name.clone(),
            doing: doing.into(),
            answer: error.to_string(),
        }
    }

    fn bind(&self) -> Result<(), BackendError> {
        self.context.bind_to_thread().map_err(|error| self.failed("start", error))
    }

    fn function(&self, kernel: Kernel) -> Result<Function, BackendError> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&function) = functions.get(kernel.name) {
            return Ok(function);
        }
        let name = CString::new(kernel.name).expect("names of kernels have no zero bytes");
        // SAFETY: the module is loaded, and stays so as long as the context.
        let found = unsafe { result::module::get_function(self.modules[kernel.module].0, name) };
        let found = found.map_err(|error| self.failed(format!("find {}", kernel.name), error))?;
        functions.insert(kernel.name, Function(found));
        Ok(Function(found))
    }
}

/// Whether this machine has a library, under one of its names.
fn is_present(names: [&str; 3]) -> bool {
    // SAFETY: a library of NVIDIA's, which starts nothing when it is opened.
    names.into_iter().any(|name| unsafe { libloading::Library::new(name) }.is_ok())
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

impl Device for Driver {
    type Memory = DriverMemory;
    type Recording = Graph;

    /// Getting memory waits for the device.
    const KEEPS_MEMORY: bool = true;

    fn describe(&self) -> String {
        self.name.clone()
    }

    fn free_memory(&self) -> Option<usize> {
        self.bind().ok()?;
        result::mem_get_info().ok().map(|(free, _)| free)
    }

    fn allocate(&self, bytes: usize) -> Result<DriverMemory, BackendError> {
        self.bind()?;
        // SAFETY: the contents are written before they are read.
        let allocated = unsafe { result::malloc_sync(bytes) };
        match allocated {
            Ok(address) => Ok(DriverMemory { address, bytes, context: Arc::clone(&self.context) }),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                Err(BackendError::Memory {
                    device: self.name.clone(),
                    needed: bytes,
                    free: self.free_memory().unwrap_or_default(),
                })
            }
            Err(error) => Err(self.failed(format!("give {bytes} bytes of memory"), error)),
        }
    }

    fn address(&self, memory: &DriverMemory) -> u64 {
        memory.address
    }

    fn upload(&self, bytes: &[u8], memory: &DriverMemory) -> Result<(), BackendError> {
        assert!(bytes.len() <= memory.bytes, "the memory holds what is copied there");
        self.bind()?;
        // SAFETY: within the memory, as just checked; the driver has copied from the host's when it returns, since that
        // is not pinned.
        unsafe { result::memcpy_htod_async(memory.address, bytes, self.stream.cu_stream()) }
            .map_err(|error| self.failed("take numbers", error))
    }

    fn download(&self, memory: &DriverMemory, bytes: &mut [u8]) -> Result<(), BackendError> {
        assert!(bytes.len() <= memory.bytes, "the memory holds what is copied from there");
        self.bind()?;
        // SAFETY: within the memory, as just checked; the host's lives until the stream is done below.
        unsafe { result::memcpy_dtoh_async(bytes, memory.address, self.stream.cu_stream()) }
            .and_then(|()| self.stream.synchronize())
            .map_err(|error| self.failed("run its kernels and give numbers", error))
    }

    unsafe fn launch(
        &self,
        kernel: Kernel,
        [x, y, z]: [u32; 3],
        threads: u32,
        parameters: *const c_void,
        _: usize,
    ) -> Result<(), BackendError> {
        self.bind()?;
        let function = self.function(kernel)?.0;
        let mut parameters = [parameters.cast_mut()];
        // SAFETY: the caller vouches for the parameters, which the driver copies; none needs shared memory on top.
        unsafe {
            let (block, stream) = ((threads, 1, 1), self.stream.cu_stream());
            result::launch_kernel(function, (x, y, z), block, 0, stream, &mut parameters)
        }
        .map_err(|error| self.failed(format!("run {}", kernel.name), error))
    }

    fn start_recording(&self) -> Result<bool, BackendError> {
        self.bind()?;
        // Relaxed, since memory may be asked for on the way.
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_RELAXED;
        // SAFETY: the stream is not recording: only `Cuda::record` starts, and it ends before it returns.
        unsafe { result::stream::begin_capture(self.stream.cu_stream(), mode) }
            .map_err(|error| self.failed("record", error))?;
        Ok(true)
    }

    fn end_recording(&self) -> Result<Graph, BackendError> {
        self.bind()?;
        // SAFETY: recording was started, and the graph is destroyed once, when the executable has what it needs.
        let executable = unsafe {
            result::stream::end_capture(self.stream.cu_stream()).and_then(|graph| {
                let flags =
                    sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
                let executable = result::graph::instantiate(graph, flags);
                result::graph::destroy(graph).and(executable)
            })
        };
        let executable = executable.map_err(|error| self.failed("end a recording", error))?;
        Ok(Graph { executable, context: Arc::clone(&self.context) })
    }

    fn replay(&self, recording: &Graph) -> Result<(), BackendError> {
        self.bind()?;
        // SAFETY: the graph is whole, and its memory is there: the pool gives none back after a recording.
        unsafe { result::graph::launch(recording.executable, self.stream.cu_stream()) }
            .map_err(|error| self.failed("repeat a recording", error))
    }
}
