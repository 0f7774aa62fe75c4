//! Compiles the CUDA kernels: with nvcc for feature `cuda`, with the host's C++ compiler for feature `cuda-emulation`;
//! without these features it does nothing.

/// The names of the files of kernels, in order.
#[cfg(any(feature = "cuda", feature = "cuda-emulation"))]
fn operations() -> Vec<String> {
    let files = std::fs::read_dir("src/cuda").expect("the sources are there");
    let name = |path: std::path::PathBuf| {
        let kernels = path.extension().is_some_and(|extension| extension == "cu");
        kernels.then(|| path.file_stem().expect("a file").to_string_lossy().into_owned())
    };
    let mut names: Vec<_> =
        files.filter_map(|file| name(file.expect("it can be listed").path())).collect();
    names.sort();
    names
}

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[cfg(any(feature = "cuda", feature = "cuda-emulation"))]
    println!("cargo:rerun-if-changed=src/cuda");
    #[cfg(feature = "cuda-emulation")]
    emulator(&operations());
    #[cfg(feature = "cuda")]
    nvcc::compile(&operations());
}

/// All kernels and the emulator as one unit: the kernels announce themselves, so no linker may drop them. The headers,
/// included once, come before the names of each operation are set apart.
#[cfg(feature = "cuda-emulation")]
fn emulator(operations: &[String]) {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda");
    let file = |name: &str| format!("#include \"{}\"\n", sources.join(name).display());
    let mut unit = file("emulator/emulator.cpp") + &file("lattice.cuh") + &file("tensor_core.cuh");
    let apart = |name: &String| format!("namespace {name} {{\n{}}}\n", file(&format!("{name}.cu")));
    unit.extend(operations.iter().map(apart));
    let path = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"))
        .join("emulated.cpp");
    std::fs::write(&path, unit).expect("OUT_DIR can be written");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .opt_level(2)
        .include(&sources)
        // Lanes switch stacks by longjmp, which its checked form takes for a fault.
        .flag_if_supported("-U_FORTIFY_SOURCE")
        .flag_if_supported("-Wno-unknown-pragmas")
        // Where kernels keep the processor's roundings, so does the emulator.
        .flag_if_supported("-ffp-contract=off")
        .file(path)
        .compile("disyre_emulated");
}

#[cfg(feature = "cuda")]
mod nvcc {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// Machine code for these architectures, and PTX of the last for later ones.
    const ARCHITECTURES: [u32; 3] = [80, 90, 100];

    pub(super) fn compile(operations: &[String]) {
        println!("cargo:rerun-if-env-changed=CUDA_HOME");
        println!("cargo:rerun-if-env-changed=NVCC");
        let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
        std::thread::scope(|scope| {
            for operation in operations {
                scope.spawn(|| compile_one(operation, &out));
            }
        });
        let module = |name: &String| {
            let path = out.join(format!("{name}.fatbin"));
            format!("({name:?}, include_bytes!({path:?})),\n")
        };
        let modules: String = operations.iter().map(module).collect();
        std::fs::write(out.join("modules.rs"), format!("&[\n{modules}]"))
            .expect("OUT_DIR can be written");
    }

    fn compile_one(operation: &str, out: &Path) {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda").join(format!("{operation}.cu"));
        let mut command = Command::new(program());
        command.args(["-fatbin", "-O3", "-std=c++17", "-o"]);
        command.arg(out.join(format!("{operation}.fatbin"))).arg(source);
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
        assert!(status.success(), "nvcc failed to compile {operation}.cu");
    }

    fn program() -> PathBuf {
        let home = || Some(PathBuf::from(std::env::var_os("CUDA_HOME")?).join("bin/nvcc"));
        std::env::var_os("NVCC").map(PathBuf::from).or_else(home).unwrap_or_else(|| "nvcc".into())
    }
}
