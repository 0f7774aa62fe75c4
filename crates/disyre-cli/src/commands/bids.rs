//! `disyre bids`: whole datasets in the layout of BIDS, with the arguments of a BIDS App.

use std::path::{Path, PathBuf, absolute};

use clap::{Args, ValueEnum};
use disyre::SkullPolicy;

use crate::arguments::ThreadArguments;
use crate::bids::{
    BidsDataset, BidsSelection, BidsSubject, Derivative, ParticipantRun, label, write_group,
};
use crate::commands::detect::warn_of_other_contrast;
use crate::detection_arguments::DetectionArguments;
use crate::emit::{Engine, JobArguments, JobScript, Parts, Words};
use crate::error::CliError;
use crate::print;

const OUTPUTS: &str = "\
participant maps each scan BIDS_DIR/sub-X/[ses-Y/]anat/*_T1w.nii[.gz] as `disyre detect` does, into OUT/sub-X/[ses-Y/]anat,
and records it in OUT/sub-X/[ses-Y/]manifest_T1w.jsonl. Heads are stripped, unless the dataset has a mask on the grid of the
scan: derivatives/*/sub-X/[ses-Y/]anat/*_desc-brain_mask.nii[.gz]. Runs of different subjects can work into one OUT at once.
group writes OUT/group_T1w.csv, a row a scan of all subjects, also of those that failed or that nobody mapped; of chosen
sessions alone it is group_ses-LABEL_T1w.csv.
Exit status: 0 all done; 1 an error, or the one scan failed; 3 some of several scans failed or are missing.";

/// Arguments of `disyre bids`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Bids {
    /// Folder of a BIDS dataset
    #[arg(value_name = "BIDS_DIR")]
    dataset: PathBuf,
    /// Folder for the results, a BIDS derivative; made if it is not there
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Level of the analysis
    #[arg(value_enum)]
    level: LevelArgument,
    /// Subjects, with or without sub- [default: all]
    #[arg(long, alias = "participant_label", value_name = "LABEL", num_args = 1..)]
    participant_label: Vec<String>,
    /// Sessions, with or without ses- [default: all, and scans in no session]
    #[arg(long, alias = "session_label", value_name = "LABEL", num_args = 1..)]
    session_label: Vec<String>,
    /// Last part of the scans' names
    #[arg(long, value_name = "SUFFIX", default_value = "T1w", value_parser = parse_suffix)]
    suffix: String,
    /// Pass over scans that are done with the same settings, model and inputs, and whose outputs are there unchanged
    #[arg(long = "continue")]
    go_on: bool,
    /// Write a page for a reader of each scan too, NAME_page.html
    #[arg(long)]
    page: bool,
    #[command(flatten)]
    job: JobArguments,
    #[command(flatten)]
    settings: DetectionArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

/// Level of the analysis, as BIDS Apps have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LevelArgument {
    /// Map scans.
    Participant,
    /// Make one table of all scans.
    Group,
}

impl Bids {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.ensure_whole_group()?;
        let dataset = BidsDataset::open(&self.dataset)?;
        let output = absolute(&self.output).map_err(CliError::file("find", &self.output))?;
        let (participants, sessions) =
            (labels(&self.participant_label), labels(&self.session_label));
        let (participants, sessions, suffix) = (&participants[..], &sessions[..], &*self.suffix);
        let mut subjects = dataset.subjects(&BidsSelection { participants, sessions, suffix })?;
        if self.level == LevelArgument::Group {
            let derivative = Derivative::open(&output, &dataset)?;
            return write_group(&dataset, derivative.folder, &subjects, (sessions, suffix));
        }
        if participants.is_empty() {
            self.pass_over_without_scans(&dataset, &mut subjects)?;
        }
        match self.job.engine() {
            Some(engine) => self.print_script(engine, (&dataset, &subjects), output, sessions),
            None => self.participant(&dataset, subjects, Derivative::open(&output, &dataset)?),
        }
    }

    /// Refuses at the level of the group what would make a table of some subjects, or a script.
    fn ensure_whole_group(&self) -> Result<(), CliError> {
        let refused = match self.level {
            LevelArgument::Participant => None,
            LevelArgument::Group if !self.participant_label.is_empty() => Some((
                "--participant-label",
                "the table of the group has all subjects, and one of some would take its place",
            )),
            LevelArgument::Group => self.job.engine().map(|_| {
                ("--emit", "the script that it prints there makes the table of the group at last")
            }),
        };
        refused.map_or(Ok(()), |(option, reason)| Err(CliError::NotOfGroup { option, reason }))
    }

    /// Leaves the subjects with scans, where none was asked for by name, and says which are left out.
    fn pass_over_without_scans(
        &self,
        dataset: &BidsDataset,
        subjects: &mut Vec<BidsSubject>,
    ) -> Result<(), CliError> {
        subjects.retain(|subject| {
            if !subject.has_work() {
                note!("sub-{} has no scan {} and is passed over", subject.label, self.suffix);
            }
            subject.has_work()
        });
        let (dataset, suffix) = (&dataset.folder, &self.suffix);
        match subjects.is_empty() {
            true => Err(CliError::NoBidsScans { dataset: dataset.clone(), suffix: suffix.clone() }),
            false => Ok(()),
        }
    }

    fn participant(
        &self,
        dataset: &BidsDataset,
        subjects: Vec<BidsSubject>,
        derivative: Derivative<'_>,
    ) -> Result<(), CliError> {
        self.threads.apply()?;
        let (folder, options) = self.settings.open()?;
        let first = subjects.iter().flat_map(BidsSubject::scans).next();
        first.filter(|_| folder.is_embedded()).into_iter().for_each(warn_of_other_contrast);
        let model = self.settings.load(folder, &options)?;
        let run = ParticipantRun {
            dataset,
            derivative: &derivative,
            model: &model,
            options: &options,
            operating_point: self.settings.operating_point(),
            skull: self.settings.skull().unwrap_or(SkullPolicy::Strip),
            suffix: &self.suffix,
            go_on: self.go_on,
            page: self.page,
        };
        run.run(subjects)
    }

    fn print_script(
        &self,
        engine: Engine,
        (dataset, subjects): (&BidsDataset, &[BidsSubject]),
        output: PathBuf,
        sessions: &[String],
    ) -> Result<(), CliError> {
        // What can be found wrong here is not left for the cluster to find.
        Derivative::ensure_apart(&output, dataset)?;
        self.settings.open()?;
        let mut common = Words::new(["bids"]);
        common.extend([&dataset.folder, &output]);
        let mut chosen = Words::new(["--suffix", self.suffix.as_str()]);
        if !sessions.is_empty() {
            chosen.extend(["--session-label"]);
            chosen.extend(sessions);
        }
        let mut settings = chosen.clone();
        settings.extend(["--continue"].into_iter().chain(self.page.then_some("--page")));
        settings.extend(self.settings.words()?);
        let part = |subject: &BidsSubject| {
            (subject.label.clone(), subject.scans().map(Path::to_owned).collect())
        };
        let script = JobScript {
            title: format!("{} scans of {}", self.suffix, dataset.name()),
            name: format!("disyre-{}", self.suffix),
            map: common.with(["participant"]).with_all(&settings),
            group: common.with(["group"]).with_all(&chosen),
            kind: Parts::Subjects,
            parts: subjects.iter().map(part).collect(),
            job: self.job.clone(),
            threads: self.threads.asked(),
            other_model: self.settings.has_model_folder(),
        };
        print::result(&script.text(engine)?)
    }
}

/// Labels without their keys.
fn labels(given: &[String]) -> Vec<String> {
    given.iter().map(|text| label(text)).collect()
}

/// A suffix, as letters and digits.
fn parse_suffix(text: &str) -> Result<String, String> {
    let text = text.trim_start_matches('_');
    match !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric()) {
        true => Ok(text.to_owned()),
        false => Err("expected letters and digits, such as T1w or FLAIR".to_owned()),
    }
}
