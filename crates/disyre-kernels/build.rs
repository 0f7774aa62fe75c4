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

/// The emulator, and all kernels twice: as they are, and with a call at every access to memory.
#[cfg(feature = "cuda-emulation")]
fn emulator(operations: &[String]) {
    let sources = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cuda");
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").opt_level(2).include(&sources);
    // Lanes switch stacks by longjmp, which its checked form takes for a fault.
    build.flag_if_supported("-U_FORTIFY_SOURCE").flag_if_supported("-Wno-unknown-pragmas");
    let emulator = ["emulator", "watch", "instrumentation"];
    let emulator = emulator.map(|name| sources.join(format!("emulator/{name}.cpp")));
    // The calls go to ours, in the place of the sanitizer's library.
    let mut watched = build.clone();
    watched.flag("-fsanitize=thread").file(unit(&sources, operations, "watched"));
    build
        .files(emulator)
        .file(unit(&sources, operations, "plain"))
        .objects(watched.compile_intermediates());
    build.compile("disyre_emulated");
}

/// All kernels as one file, in a namespace, so that no function of one file is taken for that of another. The headers,
/// included once, come before the names of each operation are set apart.
#[cfg(feature = "cuda-emulation")]
fn unit(sources: &std::path::Path, operations: &[String], name: &str) -> std::path::PathBuf {
    let file = |name: &str| format!("#include \"{}\"\n", sources.join(name).display());
    let apart = |name: &str, path: &str| format!("namespace {name} {{\n{}}}\n", file(path));
    let mut text = format!("#define KERNELS {name}_kernels\n") + &file("emulator/emulator.h");
    text += "const emulator::Registration* emulator::KERNELS = nullptr;\n";
    text += &format!("namespace {name} {{\n{}{}", file("lattice.cuh"), file("tensor_core.cuh"));
    text.extend(operations.iter().map(|name| apart(name, &format!("{name}.cu"))));
    text += &apart("trials", "emulator/trials.cu");
    text += "}\n";
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let path = out.join(format!("{name}.cpp"));
    std::fs::write(&path, text).expect("OUT_DIR can be written");
    path
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
