//! `cargo xtask budget`: limits on the dependencies of the crates that others build on, and of the program.

use std::collections::BTreeSet;

use crate::Failure;
use crate::workspace::{Workspace, read};

/// What a crate may cost those who depend on it alone.
struct Budget {
    package: &'static str,
    /// Most crates in its normal dependency tree, itself not counted.
    crates: usize,
}

/// Measured on 2026-11-24: 26 for dag, 26 for score. A few more leave room for a dependency to split itself.
const BUDGETS: [Budget; 2] =
    [Budget { package: "disyre-dag", crates: 29 }, Budget { package: "disyre-score", crates: 29 }];

/// What neither may depend on: a name, or with `*` at its end the beginning of names.
const FORBIDDEN: [&str; 16] = [
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
    for Budget { package, crates } in BUDGETS {
        let tree = format!("tree -p {package} -e normal --prefix none --no-dedupe");
        let found = dependencies(&read(&mut workspace.cargo(&tree))?, package);
        judge(package, crates, &found)?;
        println!("{package}: {} dependencies of at most {crates}", found.len());
    }
    Ok(())
}

fn judge(package: &'static str, budget: usize, found: &BTreeSet<String>) -> Result<(), Failure> {
    let forbidden: Vec<String> = found.iter().filter(|line| is_forbidden(line)).cloned().collect();
    if !forbidden.is_empty() {
        return Err(Failure::Forbidden { package, found: forbidden });
    }
    if found.len() > budget {
        return Err(Failure::OverBudget {
            package,
            budget,
            found: found.iter().cloned().collect(),
        });
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

fn is_forbidden(line: &str) -> bool {
    let name = line.split(' ').next().unwrap_or_default();
    FORBIDDEN.iter().any(|&pattern| match pattern.strip_suffix('*') {
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
        assert!(judge("disyre-dag", 5, &found).is_ok());
        let error = judge("disyre-dag", 4, &found).unwrap_err();
        assert!(error.to_string().contains("has 5 dependencies, its budget is 4"));
    }

    #[test]
    fn forbidden_crates_are_named_whatever_their_number() {
        for name in ["candle-core", "png", "clap_builder", "zune-jpeg", "indicatif"] {
            let tree = format!("{TREE}{name} v9.9.9\n");
            let error = judge("disyre-dag", 99, &dependencies(&tree, "disyre-dag")).unwrap_err();
            assert!(error.to_string().contains(&format!("depends on {name} v9.9.9")));
        }
        for name in ["imageproc-names", "pngs", "candid"] {
            assert!(!is_forbidden(&format!("{name} v1.0.0")), "{name}");
        }
    }
}
