//! A short run over all targets, the same in every run of the suite.

use disyre_fuzz::{run, targets};

#[test]
fn no_damaged_file_makes_a_reader_panic() {
    let folder = tempfile::tempdir().unwrap();
    for target in targets(folder.path()).unwrap() {
        let report = run(&target, 0, target.in_suite, None);
        println!("{report:?}");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        assert_eq!(report.states, target.in_suite);
        assert!(report.accepted < report.states, "damage does nothing to {}", report.target);
    }
}

#[test]
fn every_target_takes_its_whole_files() {
    let folder = tempfile::tempdir().unwrap();
    for target in targets(folder.path()).unwrap() {
        for whole in &target.seeds {
            assert_eq!((target.read)(whole), Ok(true), "{}", target.name);
        }
    }
}
