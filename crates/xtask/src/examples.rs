//! `cargo xtask examples`: every example is built and run.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::Failure;
use crate::workspace::{Workspace, run as show};

/// Builds every example and runs each with an empty folder as its argument.
///
/// They are built as `cargo test --workspace` builds them, so nothing is compiled twice, and lie beside this program.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let names = names(&workspace.root().join("examples"))?;
    show(&mut workspace.cargo("build --workspace --examples"))?;
    let this = std::env::current_exe()
        .map_err(|source| Failure::Start { program: "xtask".to_owned(), source })?;
    let built = this.with_file_name("examples");
    let outputs = std::env::temp_dir().join(format!("disyre-examples-{}", std::process::id()));
    let result = names.iter().try_for_each(|name| run_one(workspace, &built, &outputs, name));
    let removed = fs::remove_dir_all(&outputs);
    result?;
    removed.map_err(|source| Failure::Path { path: outputs, source })
}

fn run_one(workspace: &Workspace, built: &Path, outputs: &Path, name: &str) -> Result<(), Failure> {
    let folder = outputs.join(name);
    fs::create_dir_all(&folder).map_err(|source| Failure::Path { path: folder.clone(), source })?;
    let program = built.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let start = Instant::now();
    show(Command::new(program).arg(&folder).current_dir(workspace.root()))?;
    println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Names of the examples in a folder, sorted; `lib.rs` holds what they share.
fn names(folder: &Path) -> Result<Vec<String>, Failure> {
    let fail = |source| Failure::Path { path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        names.extend(example_name(&entry.map_err(fail)?.path()));
    }
    names.sort();
    if names.is_empty() {
        Err(Failure::NoExamples { folder: folder.to_owned() })
    } else {
        Ok(names)
    }
}

fn example_name(path: &Path) -> Option<String> {
    let name = path.file_stem()?.to_str()?;
    (path.extension()? == "rs" && name != "lib").then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rust_files_other_than_the_library_are_examples() {
        let name = |path: &str| example_name(Path::new(path));
        assert_eq!(name("examples/detect.rs").as_deref(), Some("detect"));
        for other in ["examples/lib.rs", "examples/Cargo.toml", "examples/fixtures"] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn the_workspace_has_examples_in_order() {
        let found = names(&Workspace::find().root().join("examples")).unwrap();
        assert!(found.is_sorted());
        assert!(names(Path::new("no such folder")).is_err());
    }
}
