//! Units and definitions under the tables, a line each.

use disyre::score::OverlapRule;
use disyre::score::protocols::Protocol;
use disyre::{EvaluationReport, Measure, MethodReport, OperatingPoint};

use super::tables::AT_OTHERS;

/// Measures of the tables that need no threshold.
const RANKING: [Measure; 5] =
    [Measure::Prevalence, Measure::Ap, Measure::BestDice, Measure::Auroc, Measure::Pro];

/// The lines.
pub(super) fn lines(report: &EvaluationReport) -> Vec<String> {
    let mut lines = vec![
        format!("protocol: {}", in_words(report.protocol)),
        format!("voxels: {}", report.voxels),
    ];
    lines.extend(
        report.methods.iter().map(|method| format!("{}: {}", method.name, method.description)),
    );
    if report.protocol != Protocol::Exact {
        // The tables of the exact protocol have the reason in the row.
        let reason = |method: &MethodReport| {
            Some(format!("{}: {}", method.name, method.not_measured.as_ref()?))
        };
        lines.extend(report.methods.iter().filter_map(reason));
    } else {
        lines.extend(averaging(report));
        lines.extend(measures(report));
        lines.extend(lesions_and_tests(report));
    }
    lines
}

fn averaging(report: &EvaluationReport) -> [String; 3] {
    let bootstrap = report.settings.bootstrap;
    let mut subjects: Vec<&str> = report.cases.iter().map(|case| case.subject.as_str()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    [
        "pooled: over the voxels of all cases together; per volume: mean of the values of the cases"
            .to_owned(),
        format!(
            "[low, high]: {} % interval, BCa bootstrap over {} subjects, {} replicates, seed {}",
            100.0 * bootstrap.level,
            subjects.len(),
            bootstrap.replicates,
            report.settings.seed
        ),
        "(n of N): n cases have the measure, N have a lesion; HD95 and precision need a prediction"
            .to_owned(),
    ]
}

fn measures(report: &EvaluationReport) -> Vec<String> {
    let of_others = [Measure::OthersThreshold, Measure::OthersDice];
    let defined = RANKING.iter().chain(&of_others).chain(&AT_OTHERS);
    let define = |m: &Measure| format!("{}: {}", m.heading(), m.definition().trim_end_matches('.'));
    let mut lines: Vec<String> = defined.map(define).collect();
    let has_others =
        |method: &MethodReport| method.lesions.contains_key(&OperatingPoint::OtherCases);
    if !report.methods.iter().any(has_others) {
        lines.push("threshold of others: none, as no other case has a lesion".into());
    }
    lines
}

fn lesions_and_tests(report: &EvaluationReport) -> [String; 3] {
    let settings = &report.settings;
    [
        overlap_in_words(settings.lesions.overlap),
        "FROC: lesions of all cases detected at a mean number of false findings per scan".into(),
        format!(
            "p: sign-flip test over subjects, two-sided; Holm: corrected for the comparisons of one measure; top score: mean of the {} greatest",
            settings.top_voxels.0
        ),
    ]
}

fn overlap_in_words(rule: OverlapRule) -> String {
    let percent = |share: f64| format!("{} %", 100.0 * share);
    match rule {
        OverlapRule::AnyVoxel => {
            "a finding is true with any voxel in a lesion, a lesion detected with any voxel predicted"
                .to_owned()
        }
        OverlapRule::Share(least) => format!(
            "a finding (26-connected) is true if {0} of it lie in lesions, a lesion detected if {0} of it lie in true findings",
            percent(least)
        ),
        OverlapRule::Iou(least) => {
            format!("a finding and a lesion match if both have {} of the voxels of either", percent(least))
        }
    }
}

fn in_words(protocol: Protocol) -> String {
    let words = match protocol {
        Protocol::Exact => "every voxel, every distinct score as a threshold",
        Protocol::Reference => "10 000 voxels a volume drawn at random, 200 thresholds",
        Protocol::Upd => {
            "axial slices, as in \"Unsupervised Pathology Detection: A Deep Dive Into the State of the Art\""
        }
        Protocol::MedIAnomaly => {
            "axial slices, as in \"MedIAnomaly: A comparative study of anomaly detection in medical images\""
        }
        Protocol::UadImag => {
            "as in \"Deep Unsupervised Anomaly Detection in Brain Imaging: Large-Scale Benchmarking and Bias Analysis\""
        }
    };
    format!("{protocol} ({words})")
}
