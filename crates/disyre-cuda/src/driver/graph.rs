//! A graph of launches, as the driver keeps it.

use cudarc::driver::{result, sys};
use disyre_kernels::backend::BackendError;

use super::Gpu;
use super::stream::Stream;

/// Launches that the driver repeats at once.
#[derive(Debug)]
pub struct Graph {
    executable: sys::CUgraphExec,
    gpu: Gpu,
}

// SAFETY: a handle of the driver, which any thread may use that binds the context; to launch it takes `&mut`.
unsafe impl Send for Graph {}
// SAFETY: nothing can be done with a shared reference.
unsafe impl Sync for Graph {}

impl Graph {
    /// Ends what the stream records.
    pub(super) fn of_capture(stream: &Stream) -> Result<Self, BackendError> {
        let gpu = stream.gpu();
        gpu.bind()?;
        // SAFETY: the stream is the driver's, and the graph is destroyed once, when the executable has what it needs.
        let executable = unsafe {
            result::stream::end_capture(stream.handle()).and_then(|graph| {
                let flags =
                    sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
                let executable = result::graph::instantiate(graph, flags);
                // Of no use to the executable; that this fails too says nothing about it.
                let _ = result::graph::destroy(graph);
                executable
            })
        };
        let executable = executable.map_err(|error| gpu.failed("end a recording", error))?;
        Ok(Self { executable, gpu: gpu.clone() })
    }

    pub(super) fn launch(&mut self, stream: &Stream) -> Result<(), BackendError> {
        self.gpu.bind()?;
        // SAFETY: the graph is whole, no other thread launches it, and its memory is there: `CudaGraph` pins it.
        unsafe { result::graph::launch(self.executable, stream.handle()) }
            .map_err(|error| self.gpu.failed("repeat a recording", error))
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if self.gpu.bind().is_ok() {
            // SAFETY: instantiated once, destroyed once; the driver waits for a launch that still runs.
            let _ = unsafe { result::graph::exec_destroy(self.executable) };
        }
    }
}
