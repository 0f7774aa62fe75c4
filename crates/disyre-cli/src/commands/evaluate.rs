//! `disyre evaluate`: anomaly maps measured against lesion masks.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use disyre::core::Key;
use disyre::{Case, Measures, Protocol, Report, evaluate};

use crate::arguments::ThreadArguments;
use crate::error::CliError;
use crate::map_pairs::{MapPair, case_names, match_folders, read_pairs};
use crate::measure_table::MeasureTable;
use crate::output_files::to_json;

/// Arguments of `disyre evaluate`.
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// A CSV file with the columns score,label[,mask]; paths relative to the file
    #[arg(long, value_name = "FILE", required_unless_present = "scores", conflicts_with_all = ["scores", "labels", "masks"])]
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
    /// Protocol of the measures
    #[arg(long, value_enum, default_value_t = ProtocolArgument::Exact)]
    protocol: ProtocolArgument,
    /// Root of the random draws of the reference protocol
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: ThreadArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProtocolArgument {
    /// Every voxel, every distinct score as a threshold
    Exact,
    /// The published one: 10 000 voxels a volume drawn with replacement, 200 thresholds
    Reference,
}

impl From<ProtocolArgument> for Protocol {
    fn from(argument: ProtocolArgument) -> Self {
        match argument {
            ProtocolArgument::Exact => Self::Exact,
            ProtocolArgument::Reference => Self::Reference,
        }
    }
}

impl Evaluate {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        let pairs = self.pairs()?;
        let total = pairs.len();
        let (mut cases, mut measured, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (name, pair) in case_names(&pairs).into_iter().zip(pairs) {
            match Case::read(name, &pair.score, &pair.label, pair.mask.as_deref()) {
                Ok(case) => {
                    cases.push(case);
                    measured.push(pair);
                }
                Err(error) if total == 1 => return Err(error.into()),
                Err(error) => failed.push((pair.score, error.into())),
            }
        }
        let mut report = self.measure(&cases);
        if report.is_err() && total > 1 {
            // Which of them cannot be measured shows one by one.
            (cases, measured) = self.measurable(cases, measured, &mut failed);
            report = self.measure(&cases);
        }
        if cases.is_empty() {
            return Err(CliError::Cases { total, failed });
        }
        let report = report?;
        if self.json {
            println!("{}", to_json(&report));
        } else {
            println!("{}", describe(&report, &measured));
        }
        if failed.is_empty() { Ok(()) } else { Err(CliError::Cases { total, failed }) }
    }

    fn measure(&self, cases: &[Case]) -> Result<Report, CliError> {
        Ok(evaluate(cases, self.protocol.into(), Key::new(self.seed))?)
    }

    /// Leaves the cases that can be measured alone; the others join the failed ones.
    fn measurable(
        &self,
        cases: Vec<Case>,
        pairs: Vec<MapPair>,
        failed: &mut Vec<(PathBuf, CliError)>,
    ) -> (Vec<Case>, Vec<MapPair>) {
        let alone = |(case, pair): (Case, MapPair)| match self.measure(std::slice::from_ref(&case))
        {
            Ok(_) => Some((case, pair)),
            Err(error) => {
                failed.push((pair.score, error));
                None
            }
        };
        cases.into_iter().zip(pairs).filter_map(alone).unzip()
    }

    fn pairs(&self) -> Result<Vec<MapPair>, CliError> {
        match (&self.pairs, &self.scores, &self.labels) {
            (Some(list), _, _) => read_pairs(list),
            (None, Some(scores), Some(labels)) => {
                match_folders(scores, labels, self.masks.as_deref())
            }
            // clap asks for one of the two forms before it comes to this.
            _ => Ok(Vec::new()),
        }
    }
}

/// The report as a table, and which voxels it is about.
fn describe(report: &Report, pairs: &[MapPair]) -> String {
    let mut table = MeasureTable::default();
    for case in &report.cases {
        table.add(&case.name, &case.measures);
    }
    table.add("all voxels pooled", &report.pooled);
    let measures: Vec<Measures> = report.cases.iter().map(|case| case.measures.clone()).collect();
    if !measures.is_empty() {
        table.add_mean(&measures);
    }
    let masked = pairs.iter().filter(|pair| pair.mask.is_some()).count();
    let voxels = match masked {
        0 => "all voxels, background included (no brain mask given)".to_owned(),
        all if all == pairs.len() => "voxels inside the brain masks".to_owned(),
        some => format!(
            "inside the brain masks of {some} cases, all voxels of the {} others",
            pairs.len() - some
        ),
    };
    let protocol = match report.protocol {
        Protocol::Exact => "exact",
        Protocol::Reference => "reference (10 000 voxels a volume drawn at random, 200 thresholds)",
    };
    format!("{table}protocol: {protocol}\nvoxels: {voxels}")
}
