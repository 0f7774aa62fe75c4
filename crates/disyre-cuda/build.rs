//! Compiles the CUDA kernels: with nvcc for feature `cuda`, with the host's C++ compiler for feature `emulation`;
//! without these features it does nothing.

#[cfg(any(feature = "cuda", feature = "emulation"))]
use std::path::{Path, PathBuf};

/// Folders of operations, each with its `.cu` files.
#[cfg(any(feature = "cuda", feature = "emulation"))]
const OPERATIONS: [&str; 6] = ["adamw", "attention", "conv2d", "ensemble", "group_norm", "loss"];

#[cfg(any(feature = "cuda", feature = "emulation"))]
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The files of kernels, in order.
#[cfg(any(feature = "cuda", feature = "emulation"))]
fn kernels() -> Vec<PathBuf> {
    let folders = OPERATIONS.iter().map(|folder| sources().join(folder));
    let files = folders.flat_map(|folder| std::fs::read_dir(folder).expect("the folder is there"));
    let mut paths: Vec<_> = files.map(|file| file.expect("it can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "cu"));
    paths.sort();
    paths
}

/// The name of a file of kernels, which is its module's.
#[cfg(any(feature = "cuda", feature = "emulation"))]
fn name(path: &Path) -> String {
    path.file_stem().expect("a file").to_string_lossy().into_owned()
}

#[cfg(any(feature = "cuda", feature = "emulation"))]
fn out_folder() -> PathBuf {
    std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR").into()
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(any(feature = "cuda", feature = "emulation"))]
    println!("cargo:rerun-if-changed=src");
    #[cfg(feature = "emulation")]
    emulator(&kernels());
    #[cfg(feature = "cuda")]
    nvcc::compile(&kernels());
}

/// The emulator, and all kernels twice: as they are, and with a call at every access to memory.
#[cfg(feature = "emulation")]
fn emulator(kernels: &[PathBuf]) {
    let sources = sources();
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).include(&sources).include(sources.join("headers"));
    // Lanes switch stacks by longjmp, which its checked form takes for a fault.
    build.flag_if_supported("-U_FORTIFY_SOURCE").flag_if_supported("-Wno-unknown-pragmas");
    let emulator = ["emulator", "watch", "instrumentation"];
    let emulator = emulator.map(|name| sources.join(format!("emulator/{name}.cpp")));
    // The calls go to ours, in the place of the sanitizer's library.
    let mut watched = build.clone();
    watched.flag("-fsanitize=thread").file(unit(kernels, "watched"));
    build.files(emulator).file(unit(kernels, "plain")).objects(watched.compile_intermediates());
    build.compile("disyre_emulated");
}

/// All kernels as one file, in a namespace, so that no function of one file is taken for that of another. The headers,
/// included once, come before the names of each operation are set apart.
#[cfg(feature = "emulation")]
fn unit(kernels: &[PathBuf], compiled: &str) -> PathBuf {
    let include = |path: &Path| format!("#include \"{}\"\n", path.display());
    let header = |name: &str| include(&sources().join(name));
    let module = |path: &Path| format!("namespace {} {{\n{}}}\n", name(path), include(path));
    let mut text = format!("#define KERNELS {compiled}_kernels\n") + &header("emulator/emulator.h");
    text += "const emulator::Registration* emulator::KERNELS = nullptr;\n";
    text += &format!("namespace {compiled} {{\n");
    text += &(header("conv2d/lattice.cuh") + &header("headers/tensor_core.cuh"));
    text.extend(kernels.iter().map(|path| module(path)));
    text += &(module(&sources().join("emulator/trials.cu")) + "}\n");
    let path = out_folder().join(format!("{compiled}.cpp"));
    std::fs::write(&path, text).expect("OUT_DIR can be written");
    path
}

#[cfg(feature = "cuda")]
mod nvcc {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use super::{name, out_folder, sources};

    /// Machine code for these architectures, and PTX of the last for later ones.
    const ARCHITECTURES: [u32; 3] = [80, 90, 100];

    pub(super) fn compile(kernels: &[PathBuf]) {
        println!("cargo:rerun-if-env-changed=CUDA_HOME");
        println!("cargo:rerun-if-env-changed=NVCC");
        let compiled = |path: &Path| out_folder().join(format!("{}.fatbin", name(path)));
        std::thread::scope(|scope| {
            for path in kernels {
                scope.spawn(|| compile_one(path, &compiled(path)));
            }
        });
        let module =
            |path: &PathBuf| format!("({:?}, include_bytes!({:?})),\n", name(path), compiled(path));
        let modules: String = kernels.iter().map(module).collect();
        std::fs::write(out_folder().join("modules.rs"), format!("&[\n{modules}]"))
            .expect("OUT_DIR can be written");
    }

    fn compile_one(source: &Path, out: &Path) {
        let mut command = Command::new(program());
        command.args(["-fatbin", "-O3", "-std=c++17", "-I"]).arg(sources().join("headers"));
        command.arg("-o").arg(out).arg(source);
        for architecture in ARCHITECTURES {
            command.arg("-gencode");
            command.arg(format!("arch=compute_{architecture},code=sm_{architecture}"));
        }
        let last = ARCHITECTURES[ARCHITECTURES.len() - 1];
        command.arg("-gencode").arg(format!("arch=compute_{last},code=compute_{last}"));
        let status = command.status().unwrap_or_else(|error| {
            panic!(
                "cannot start {}: {error}; feature `cuda` needs nvcc: set CUDA_HOME, or run \
                 `cargo xtask cuda-env --install DIR`",
                program().display()
            )
        });
        assert!(status.success(), "nvcc failed to compile {}", source.display());
    }

    fn program() -> PathBuf {
        let home = || Some(PathBuf::from(std::env::var_os("CUDA_HOME")?).join("bin/nvcc"));
        std::env::var_os("NVCC").map(PathBuf::from).or_else(home).unwrap_or_else(|| "nvcc".into())
    }
}
