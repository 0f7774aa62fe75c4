//! `cargo xtask budget`: limits on the dependencies of the crates that others build on, and of the program.

use std::collections::BTreeSet;

use crate::Failure;
use crate::workspace::{Workspace, read};

/// Limits on the normal dependency tree of a crate, with its default features.
struct Budget {
    package: &'static str,
    /// Greatest number of crates, itself not counted.
    crates: usize,
    /// Names of crates that must not occur; a `*` at the end stands for any text.
    forbidden: &'static [&'static str],
}

/// Measured on 2026-11-28: 26 for dag, 108 for experiment (three of them plotters'; no fonts, no bitmaps), 74 for implant, 30
/// for n4, 49 for register (nifti's among them), 36 for score (temporary files and an error function came), 142 for cli
/// (three of our own and rustfft's came with bias fields, registration and brains; experiments and plotters' three after
/// them). Pages brought eight more on 2026-11-29, four of which are the compiler of templates: 56 for report, 116 for
/// experiment, 152 for cli. A few more leave room for a dependency to split itself.
const BUDGETS: [Budget; 8] = [
    Budget { package: "disyre-dag", crates: 29, forbidden: LEAF },
    Budget { package: "disyre-experiment", crates: 120, forbidden: PROGRAM },
    Budget { package: "disyre-implant", crates: 78, forbidden: PROGRAM },
    Budget { package: "disyre-n4", crates: 34, forbidden: LEAF },
    Budget { package: "disyre-register", crates: 53, forbidden: PROGRAM },
    Budget { package: "disyre-report", crates: 60, forbidden: PROGRAM },
    Budget { package: "disyre-score", crates: 39, forbidden: LEAF },
    Budget { package: "disyre-cli", crates: 156, forbidden: PROGRAM },
];

/// Crates that the program does without: they double the time of its build and the size of its binary.
const PROGRAM: &[&str] = &["candle*", "gemm*", "tokenizers", "cudarc"];

/// Crates that no leaf of the workspace may bring.
const LEAF: &[&str] = &[
    // Tensor libraries.
    "candle*",
    "cudarc",
    "gemm*",
    "burn*",
    "tch",
    // Readers and writers of images.
    "image",
    "image-webp",
    "png",
    "jpeg-decoder",
    "zune-*",
    "tiff",
    "gif",
    "nifti",
    "dicom*",
    // Command lines.
    "clap*",
    "indicatif",
];

/// Fails if a crate has a forbidden dependency or more dependencies than its budget.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    for budget in &BUDGETS {
        let Budget { package, crates, .. } = budget;
        let tree = format!("tree -p {package} -e normal --prefix none --no-dedupe");
        let found = dependencies(&read(&mut workspace.cargo(&tree))?, package);
        judge(budget, &found)?;
        println!("{package}: {} dependencies of at most {crates}", found.len());
    }
    Ok(())
}

fn judge(budget: &Budget, found: &BTreeSet<String>) -> Result<(), Failure> {
    let &Budget { package, crates, forbidden } = budget;
    let wrong = found.iter().filter(|line| matches(line, forbidden));
    let wrong: Vec<String> = wrong.cloned().collect();
    if !wrong.is_empty() {
        return Err(Failure::Forbidden { package, found: wrong });
    }
    if found.len() > crates {
        let found = found.iter().cloned().collect();
        return Err(Failure::OverBudget { package, budget: crates, found });
    }
    Ok(())
}

/// The distinct crates of a tree, as `name vVERSION`, without the package at its root.
fn dependencies(tree: &str, package: &str) -> BTreeSet<String> {
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?))
    });
    crates
        .filter(|&(name, _)| name != package)
        .map(|(name, version)| format!("{name} {version}"))
        .collect()
}

/// True if the crate of a line has one of the names.
fn matches(line: &str, names: &[&str]) -> bool {
    let name = line.split(' ').next().unwrap_or_default();
    names.iter().any(|&pattern| match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "\
disyre-dag v0.1.0 (/somewhere/disyre-dag)
disyre-core v0.1.0 (/somewhere/disyre-core)
serde v1.0.2
serde_derive v1.0.2 (proc-macro)
serde v1.0.2
rand v0.9.0
rand v0.10.0
";

    #[test]
    fn every_version_of_a_crate_counts_once() {
        let found = dependencies(TREE, "disyre-dag");
        let expected = [
            "disyre-core v0.1.0",
            "rand v0.10.0",
            "rand v0.9.0",
            "serde v1.0.2",
            "serde_derive v1.0.2",
        ];
        assert!(found.iter().eq(&expected));
        let budget = |crates| Budget { package: "disyre-dag", crates, forbidden: LEAF };
        assert!(judge(&budget(5), &found).is_ok());
        let error = judge(&budget(4), &found).unwrap_err();
        assert!(error.to_string().contains("has 5 dependencies, its budget is 4"));
    }

    #[test]
    fn forbidden_crates_are_named_whatever_their_number() {
        for name in ["candle-core", "png", "clap_builder", "zune-jpeg", "indicatif"] {
            let tree = format!("{TREE}{name} v9.9.9\n");
            let budget = Budget { package: "disyre-dag", crates: 99, forbidden: LEAF };
            let error = judge(&budget, &dependencies(&tree, "disyre-dag")).unwrap_err();
            assert!(error.to_string().contains(&format!("depends on {name} v9.9.9")));
        }
        for name in ["candle-core", "tokenizers", "cudarc"] {
            assert!(matches(&format!("{name} v1.0.0"), PROGRAM), "{name}");
        }
        for name in ["imageproc-names", "pngs", "candid"] {
            assert!(!matches(&format!("{name} v1.0.0"), LEAF), "{name}");
        }
    }
}
