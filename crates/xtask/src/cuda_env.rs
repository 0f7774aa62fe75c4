//! `cargo xtask cuda-env`: a CUDA toolchain from packages of the Python index, for computers without a CUDA installation.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::workspace::run as show;
use crate::{Failure, python_tools};

/// Packages for feature `cuda`: the compiler, its headers, and the assembler for every architecture.
/// Version 13.0, since the drivers of the 580 series reject what newer compilers emit.
const COMPILER: [&str; 4] = [
    "nvidia-cuda-nvcc==13.0.88",
    "nvidia-cuda-crt==13.0.88",
    "nvidia-nvvm==13.0.88",
    "nvidia-cuda-runtime==13.0.96",
];

/// Further packages for candle's own CUDA backend.
const LIBRARIES: [&str; 4] = [
    "nvidia-cuda-cccl==13.0.*",
    "nvidia-cuda-nvrtc==13.0.88",
    "nvidia-curand",
    "nvidia-cublas==13.0.*",
];

/// Folders with the same name in the packages and in a CUDA installation.
const FOLDERS: [&str; 3] = ["bin", "include", "nvvm"];

/// Names of libraries for the linker, and their files in the packages.
const LINKS: [(&str, &str); 5] = [
    ("libcudart.a", "libcudart_static.a"),
    ("libnvrtc.so", "libnvrtc.so.13"),
    ("libcurand.so", "libcurand.so.10"),
    ("libcublas.so", "libcublas.so.13"),
    ("libcublasLt.so", "libcublasLt.so.13"),
];

/// Prints the packages, and the command that installs them.
pub(crate) fn print() -> Result<(), Failure> {
    println!(
        "a CUDA 13.0 toolchain from the Python index: `cargo xtask cuda-env --install DIR`\n\
         sets up DIR/venv with\n  {}\nand DIR/home, whose variables it prints. For candle's own CUDA backend add \
         --libraries:\n  {}",
        COMPILER.join("\n  "),
        LIBRARIES.join("\n  ")
    );
    Ok(())
}

/// Installs what `folder` lacks, and prints the environment variables to set.
pub(crate) fn install(folder: &str, libraries: bool) -> Result<(), Failure> {
    let home = set_up(Path::new(folder), libraries)?;
    println!("\nexport CUDA_HOME={0} CUDA_PATH={0} PATH={0}/bin:$PATH", home.display());
    Ok(())
}

/// Installs into `folder` and returns the CUDA_HOME in it.
pub(crate) fn set_up(folder: &Path, libraries: bool) -> Result<PathBuf, Failure> {
    let at = |source| Failure::Path { path: folder.into(), source };
    std::fs::create_dir_all(folder).map_err(at)?;
    let folder = folder.canonicalize().map_err(at)?;
    let packages = COMPILER.into_iter().chain(LIBRARIES.into_iter().filter(|_| libraries));
    let venv = python_tools::install(&folder, packages)?;
    let home = folder.join("home");
    link_home(&find_packages(&venv)?, &home)?;
    if libraries {
        stub_driver(&home)?;
    }
    Ok(home)
}

/// The folder of the packages' files; its path has the version of Python in it.
fn find_packages(venv: &Path) -> Result<PathBuf, Failure> {
    let lib = venv.join("lib");
    let at = |source| Failure::Path { path: lib.clone(), source };
    for entry in std::fs::read_dir(&lib).map_err(at)? {
        let found = entry.map_err(at)?.path().join("site-packages/nvidia/cu13");
        if found.exists() {
            return Ok(found);
        }
    }
    Err(at(std::io::Error::other("no folder nvidia/cu13 of packages in it")))
}

/// Makes the folder that compilers expect: the packages have no lib64, and no names without a version.
fn link_home(packages: &Path, home: &Path) -> Result<(), Failure> {
    let lib = home.join("lib64");
    std::fs::create_dir_all(&lib).map_err(|source| Failure::Path { path: lib.clone(), source })?;
    for name in FOLDERS {
        link(&packages.join(name), &home.join(name))?;
    }
    link(&lib, &home.join("lib"))?;
    for (name, file) in LINKS {
        let file = packages.join("lib").join(file);
        if file.exists() {
            link(&file, &lib.join(name))?;
        }
    }
    Ok(())
}

/// Makes the `libcuda.so` to link with, which only a driver brings: every function of the header, without effect. Programs
/// that were linked with it find the driver's own by its name.
fn stub_driver(home: &Path) -> Result<(), Failure> {
    let (header, folder) = (home.join("include/cuda.h"), home.join("lib64/stubs"));
    let text = std::fs::read_to_string(&header)
        .map_err(|source| Failure::Path { path: header.clone(), source })?;
    let source = folder.join("cuda.c");
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&source, stubs(&text)))
        .map_err(|source| Failure::Path { path: folder.clone(), source })?;
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o"]);
    show(cc.arg(folder.join("libcuda.so")).arg(&source))
}

/// A function for every name that begins as those of the driver do; macros give some of them other names, and a type
/// more or less does no harm.
fn stubs(header: &str) -> String {
    let words = header.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let upper = |word: &&str| word.as_bytes().get(2).is_some_and(u8::is_ascii_uppercase);
    let names: BTreeSet<&str> = words.filter(|word| word.starts_with("cu")).filter(upper).collect();
    names.iter().map(|name| format!("void {name}(void) {{}}\n")).collect()
}

/// Links `to` to `from`, in place of a link that is there.
fn link(from: &Path, to: &Path) -> Result<(), Failure> {
    if to.is_symlink() {
        std::fs::remove_file(to).map_err(|source| Failure::Path { path: to.into(), source })?;
    }
    let result = symlink(from.as_os_str(), to);
    result.map_err(|source| Failure::Path { path: to.into(), source })
}

#[cfg(unix)]
fn symlink(from: &OsStr, to: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn symlink(_: &OsStr, _: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other("the packages are for Linux"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_drivers_header_gets_a_stub() {
        let header = "#define cuMemAlloc cuMemAlloc_v2\nCUresult CUDAAPI cuInit(unsigned Flags);\n\
                      typedef uint32_t cuuint32_t; /* see cuInit */";
        let expected = ["cuInit", "cuMemAlloc", "cuMemAlloc_v2"];
        assert_eq!(
            stubs(header),
            expected.map(|name| format!("void {name}(void) {{}}\n")).concat()
        );
    }
}
