//! `disyre evaluate`: anomaly maps of any method measured against lesion masks, beside methods that learn nothing.

mod case_reader;
mod cells;
mod definitions;
mod long_form;
mod methods;
mod tables;

use std::path::{Path, PathBuf};

use clap::Args;
use disyre::core::StagedFiles;
use disyre::score::protocols::Protocol;
use disyre::{
    CaseFacts, EvaluateConfig, EvaluationReport, Evaluator, FailedCase, MeasuredMap,
    MethodEvaluation, MethodReport, compare_methods, measure_by_protocol,
};

use crate::arguments::ThreadArguments;
use crate::error::{CliError, with_causes};
use crate::map_pairs::{
    MapPair, MatchedMaps, case_names, find_scans_of, match_folders, read_pairs,
};
use crate::output_files::{
    commit, create_folder, ensure_writable, stage, to_json, write_json, write_whole,
};
use crate::print;
use case_reader::{CaseFiles, CaseReader};
use methods::{Method, Source, list_methods};

const OUTPUTS: &str = "\
Three methods that learn nothing are always in the table: the scan's brightness, its darkness, and the distance from the
mean of healthy scans in standard deviations (--atlas; `disyre atlas` makes it). They need the scans: --scans, the column
scan of --pairs, or the sidecars that `disyre detect` writes beside its maps.
A label without a lesion voxel is a healthy case: it counts for false positives and for the detection of whole scans.
Intervals and tests draw subjects: the column subject of --pairs, else the sub-… of a name, else each case is its own.
With -o, the folder gets evaluation.json, evaluation.csv (one value a line: method, averaging, case, measure, value, low,
high, cases) and evaluation.md.";

/// Arguments of `disyre evaluate`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Evaluate {
    /// A CSV file with the columns score,label[,mask][,scan][,subject]; paths relative to the file
    #[arg(long, value_name = "FILE", required_unless_present = "scores", conflicts_with_all = ["scores", "labels", "masks", "scans"])]
    pairs: Option<PathBuf>,
    /// Folder of anomaly maps NAME_desc-anomalyscore….nii.gz
    #[arg(long, value_name = "DIR", requires = "labels")]
    scores: Option<PathBuf>,
    /// Folder of lesion masks, one for each map, named like its scan, perhaps with _lesion, _label-lesion_mask, _mask,
    /// _seg, _roi or the like
    #[arg(long, value_name = "DIR", requires = "scores")]
    labels: Option<PathBuf>,
    /// Folder of brain masks, one for each scan NAME: NAME itself or NAME with _mask, _brain, _brainmask, _brain_mask,
    /// _desc-brain_mask or _label-brain_mask; a NAME without its contrast (T1w, FLAIR) needs an ending with "brain"
    /// [default: all voxels count]
    #[arg(long, value_name = "DIR", requires = "scores")]
    masks: Option<PathBuf>,
    /// Folder of the scans NAME.nii.gz that the maps were made from, for the methods that learn nothing
    #[arg(long, value_name = "DIR", requires = "scores")]
    scans: Option<PathBuf>,
    /// Atlas of healthy scans that `disyre atlas` made
    #[arg(long, value_name = "ATLAS")]
    atlas: Option<PathBuf>,
    /// Name of the maps in the table [default: that of their folder or list]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Folder with the maps of another method, named like the first ones or like their scans; may be given several times
    #[arg(long, value_name = "DIR")]
    compare: Vec<PathBuf>,
    /// Also measure at this threshold: predicted where the score is at least as great
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    threshold: Option<f32>,
    /// How the measures count: exact is ours, the others are those of papers
    #[arg(long, value_name = "PROTOCOL", default_value = "exact", value_parser = parse_protocol)]
    protocol: Protocol,
    /// Root of the random draws of intervals, tests, and the reference protocol
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Folder for evaluation.json, evaluation.csv and evaluation.md
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: ThreadArguments,
}

/// Cases that were measured, and files that were not.
#[derive(Default)]
struct Outcome {
    cases: Vec<CaseFiles>,
    facts: Vec<CaseFacts>,
    methods: Vec<MethodReport>,
    failed: Vec<(PathBuf, CliError)>,
}

impl Evaluate {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        self.output.as_deref().map_or(Ok(()), ensure_writable)?;
        let MatchedMaps { mut pairs, mut failed } = self.pairs()?;
        find_scans_of(&mut pairs, self.scans.as_deref())?;
        if pairs.is_empty() {
            let evaluator = EvaluateConfig::default().build()?;
            self.print_failures(&evaluator, &failed)?;
            return Err(only_or(failed, |failed| CliError::NothingToMeasure { failed }));
        }
        let total = pairs.len() + failed.len();
        let names = case_names(&pairs);
        let evaluator = self.config(&names, &pairs).build()?;
        let methods = list_methods(self, &names, &pairs)?;
        let named = names.into_iter().zip(pairs).enumerate();
        let cases = named.map(|(index, (name, pair))| CaseFiles { index, name, pair }).collect();
        let mut outcome = match self.protocol {
            Protocol::Exact => measure_exactly(&methods, cases, &evaluator)?,
            protocol => measure_at_once(protocol, &methods, cases, &evaluator)?,
        };
        failed.append(&mut outcome.failed);
        if outcome.facts.is_empty() {
            self.print_failures(&evaluator, &failed)?;
            return Err(only_or(failed, |failed| CliError::Cases { total, failed }));
        }
        self.print(&self.report(&evaluator, outcome, &failed)?)?;
        if failed.is_empty() { Ok(()) } else { Err(CliError::Cases { total, failed }) }
    }

    fn config(&self, names: &[String], pairs: &[MapPair]) -> EvaluateConfig {
        let subject =
            |(name, pair): (&String, &MapPair)| Some((name.clone(), pair.subject.clone()?));
        let subjects = names.iter().zip(pairs).filter_map(subject).collect();
        let (threshold, seed) = (self.threshold, self.seed);
        EvaluateConfig { threshold, seed, subjects, ..Default::default() }
    }

    fn pairs(&self) -> Result<MatchedMaps, CliError> {
        match (&self.pairs, &self.scores, &self.labels) {
            (Some(list), _, _) => {
                Ok(MatchedMaps { pairs: read_pairs(list)?, ..MatchedMaps::default() })
            }
            (None, Some(scores), Some(labels)) => {
                let roles =
                    self.compare.iter().chain(&self.scans).chain(&self.output).chain(&self.atlas);
                let roles: Vec<&Path> = roles.map(PathBuf::as_path).collect();
                match_folders(scores, labels, self.masks.as_deref(), &roles)
            }
            // clap asks for one of the two forms before it comes to this.
            _ => Ok(MatchedMaps::default()),
        }
    }

    fn report(
        &self,
        evaluator: &Evaluator,
        outcome: Outcome,
        failed: &[(PathBuf, CliError)],
    ) -> Result<EvaluationReport, CliError> {
        let failed = failed.iter();
        let failed = failed
            .map(|(file, error)| FailedCase { file: file.clone(), reason: with_causes(error) });
        Ok(EvaluationReport {
            generated_by: "disyre evaluate".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: self.protocol,
            voxels: voxels_in_words(self.protocol, &outcome.cases),
            settings: evaluator.config().clone(),
            comparisons: compare_methods(evaluator, &outcome.methods)?,
            cases: outcome.facts,
            failed: failed.collect(),
            methods: outcome.methods,
        })
    }

    /// Of an evaluation without a case that could be measured, the JSON alone: it lists those that failed.
    fn print_failures(
        &self,
        evaluator: &Evaluator,
        failed: &[(PathBuf, CliError)],
    ) -> Result<(), CliError> {
        if !self.json {
            return Ok(());
        }
        let report = self.report(evaluator, Outcome::default(), failed)?;
        print::result(&(to_json(&report)? + "\n"))
    }

    fn print(&self, report: &EvaluationReport) -> Result<(), CliError> {
        let text = tables::Tables::new(report);
        if let Some(folder) = &self.output {
            create_folder(folder)?;
            let files = ["csv", "md", "json"].map(|end| folder.join(format!("evaluation.{end}")));
            let mut staged = StagedFiles::default();
            let [csv, markdown, json] = stage(&mut staged, &files)?;
            write_whole(&csv, &long_form::csv(report)?)?;
            write_whole(&markdown, text.markdown().as_bytes())?;
            write_json(&json, report)?;
            commit(staged, &files[2])?;
        }
        let text = if self.json { to_json(report)? } else { text.text() };
        if self.output.is_some() {
            print_line!("{text}");
            return Ok(());
        }
        print::result(&(text + "\n"))
    }
}

/// The error of the only case, or one that lists them.
fn only_or(
    mut failed: Vec<(PathBuf, CliError)>,
    several: impl FnOnce(Vec<(PathBuf, CliError)>) -> CliError,
) -> CliError {
    match failed.pop() {
        Some((_, error)) if failed.is_empty() => error,
        last => {
            failed.extend(last);
            several(failed)
        }
    }
}

/// Methods that can be measured.
fn measurable(methods: &[Method]) -> Vec<&Method> {
    methods.iter().filter(|method| method.not_measured.is_none()).collect()
}

/// Measures all methods on every case, one case after another, twice: see [`MethodEvaluation`].
fn measure_exactly(
    methods: &[Method],
    cases: Vec<CaseFiles>,
    evaluator: &Evaluator,
) -> Result<Outcome, CliError> {
    let (mut reader, measured) = (CaseReader::new()?, measurable(methods));
    let evaluation = |method: &&Method| {
        let evaluation = MethodEvaluation::new(&method.name, &method.description, evaluator);
        evaluation.of_cases(cases.len())
    };
    let mut first: Vec<MethodEvaluation> = measured.iter().map(evaluation).collect();
    let mut outcome = Outcome::default();
    for case in cases {
        match measure_case(&mut reader, &measured, evaluator, &case) {
            Ok((facts, maps)) => {
                for (method, map) in first.iter_mut().zip(maps) {
                    method.add(map)?;
                }
                outcome.facts.push(facts);
                outcome.cases.push(case);
            }
            Err(error) => outcome.failed.push((case.pair.score, error)),
        }
    }
    if !outcome.facts.is_empty() {
        outcome.methods = second_round(&mut reader, &measured, first, &outcome.cases)?;
    }
    complete(&mut outcome.methods, methods, &reader.doubtful);
    Ok(outcome)
}

/// The first round of one case, by all methods or by none.
fn measure_case(
    reader: &mut CaseReader,
    methods: &[&Method],
    evaluator: &Evaluator,
    case: &CaseFiles,
) -> Result<(CaseFacts, Vec<MeasuredMap>), CliError> {
    let (truth, maps) = reader.read(methods, case)?;
    let measured = maps.iter().map(|map| evaluator.measure(&truth, map.view()));
    let measured = measured.collect::<Result<Vec<_>, disyre::Error>>();
    let measured = measured.map_err(|source| in_case(&case.name, source))?;
    Ok((CaseFacts::of(&truth, evaluator.config())?, measured))
}

fn second_round(
    reader: &mut CaseReader,
    methods: &[&Method],
    first: Vec<MethodEvaluation>,
    cases: &[CaseFiles],
) -> Result<Vec<MethodReport>, CliError> {
    let second = first.into_iter().map(MethodEvaluation::second_round);
    let mut second = second.collect::<Result<Vec<_>, disyre::Error>>()?;
    for case in cases {
        let (truth, maps) = reader.read(methods, case)?;
        for (method, map) in second.iter_mut().zip(&maps) {
            method.add(&truth, map.view()).map_err(|source| in_case(&case.name, source))?;
        }
    }
    second.into_iter().map(|method| Ok(method.finish()?)).collect()
}

/// Measures by a protocol that sees all cases at once; the maps of one method after another are in memory.
fn measure_at_once(
    protocol: Protocol,
    methods: &[Method],
    cases: Vec<CaseFiles>,
    evaluator: &Evaluator,
) -> Result<Outcome, CliError> {
    let (mut reader, measured) = (CaseReader::new()?, measurable(methods));
    let (mut outcome, mut truths) = (Outcome::default(), Vec::new());
    for case in cases {
        // All maps are read before any is measured: a case counts for all methods or for none.
        match reader.read(&measured, &case) {
            Ok((truth, _)) => {
                outcome.facts.push(CaseFacts::of(&truth, evaluator.config())?);
                outcome.cases.push(case);
                truths.push(truth);
            }
            Err(error) => outcome.failed.push((case.pair.score, error)),
        }
    }
    for method in measured.iter().filter(|_| !truths.is_empty()) {
        let mut maps = Vec::with_capacity(truths.len());
        for case in &outcome.cases {
            maps.append(&mut reader.read(std::slice::from_ref(method), case)?.1);
        }
        let report = measure_by_protocol(protocol, &method.name, &truths, &maps, evaluator)?;
        let description = method.description.clone();
        outcome.methods.push(MethodReport { description, ..report });
    }
    complete(&mut outcome.methods, methods, &reader.doubtful);
    Ok(outcome)
}

/// Adds the methods that could not be measured, in their places, and says which registrations an atlas could not trust.
fn complete(reports: &mut Vec<MethodReport>, methods: &[Method], doubtful: &[String]) {
    for (place, method) in methods.iter().enumerate() {
        match &method.not_measured {
            Some(reason) => {
                let report = MethodReport {
                    name: method.name.clone(),
                    description: method.description.clone(),
                    not_measured: Some(reason.clone()),
                    ..MethodReport::default()
                };
                reports.insert(place.min(reports.len()), report);
            }
            None if !doubtful.is_empty() && matches!(method.source, Source::Atlas(_)) => {
                if let Some(report) = reports.get_mut(place) {
                    let cases = doubtful.join(", ");
                    report.description += &format!("; its registration is doubtful for {cases}");
                }
            }
            None => {}
        }
    }
}

fn in_case(name: &str, source: disyre::Error) -> CliError {
    disyre::Error::Case { case: name.to_owned(), source: Box::new(source) }.into()
}

fn voxels_in_words(protocol: Protocol, cases: &[CaseFiles]) -> String {
    const OUTSIDE: &str = "there a map is 0, or the least score of the brain where that is below 0";
    let inside = match cases.iter().filter(|case| case.pair.mask.is_some()).count() {
        0 => return "all voxels, background included (no brain mask given)".to_owned(),
        all if all == cases.len() => "voxels inside the brain masks".to_owned(),
        some => format!(
            "inside the brain masks of {some} cases, all voxels of the {} others",
            cases.len() - some
        ),
    };
    match protocol {
        Protocol::Exact => inside,
        Protocol::Reference => format!("{inside}; in means of slices those outside too; {OUTSIDE}"),
        _ => format!("those outside the brain masks too; {OUTSIDE}"),
    }
}

fn parse_protocol(text: &str) -> Result<Protocol, String> {
    let named = Protocol::ALL.into_iter().find(|protocol| protocol.name() == text);
    named.ok_or_else(|| {
        let names: Vec<&str> = Protocol::ALL.iter().map(|protocol| protocol.name()).collect();
        format!("expected one of {}", names.join(", "))
    })
}

/// The name of a folder or of a list, for the table.
fn name_of(path: &Path) -> String {
    let name = path.file_stem().filter(|_| path.is_file()).or_else(|| path.file_name());
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}
