//! `disyre brain`: brain masks of heads.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use disyre::brain::{BrainExtractor, BrainMask};
use disyre::core::StagedFiles;
use disyre::volume::{
    Background, Image, ImageOptions, Scan, ScanList, ScanName, VolumeError, nonzero_mask,
    write_map, write_mask,
};

use crate::arguments::{DeviceArguments, ThreadArguments};
use crate::each_scan::{for_each_scan, scans_of};
use crate::error::CliError;
use crate::output_files::{
    commit, create_folder, ensure_distinct, ensure_writable, folder_of, stage,
};

const OUTPUTS: &str = "\
For a scan NAME.nii.gz and a folder as output: NAME_desc-brain_mask.nii.gz, 1 inside the brain, on the scan's own grid;
`disyre detect --mask FOLDER` finds it there. A file as output is written under its own name.
The mask of a scan that is stripped already is where it is not 0.";

/// Arguments of `disyre brain`.
#[derive(Debug, Args)]
#[command(after_help = OUTPUTS)]
pub(crate) struct Brain {
    /// A scan of a head of any contrast, or a folder of scans; brain masks in it are passed over
    #[arg(short, long, value_name = "FILE|DIR")]
    input: PathBuf,
    /// The mask's file (.nii, .nii.gz), or a folder for masks; replaced if it is there
    #[arg(short, long, value_name = "FILE|DIR")]
    output: PathBuf,
    /// Volume of a 4D scan, counted from 0
    #[arg(long, value_name = "N")]
    volume_index: Option<usize>,
    /// Also write the stripped scan, background 0, to this folder as NAME.nii.gz
    #[arg(long, value_name = "DIR")]
    stripped: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArguments,
    #[command(flatten)]
    threads: ThreadArguments,
}

impl Brain {
    pub(crate) fn run(&self) -> Result<(), CliError> {
        self.threads.apply()?;
        let list = self.scans()?;
        let deeper = list.in_subfolders();
        let named: Vec<_> =
            list.scans.into_iter().map(|scan| (scan.clone(), self.mask(&scan))).collect();
        self.check_outputs(&named)?;
        self.folders().try_for_each(ensure_writable)?;
        let extractor =
            BrainExtractor::embedded(&self.device.select()?).map_err(disyre::Error::from)?;
        self.folders().try_for_each(create_folder)?;
        let all = named.into_iter().map(|(scan, mask)| (scan, Some(mask)));
        let all = all.chain(deeper.into_iter().map(|file| (file, None)));
        for_each_scan(all.collect(), |scan, mask| match mask {
            Some(mask) => self.extract(&extractor, scan, &mask),
            None => {
                let (folder, files) = (self.input.clone(), vec![scan.to_owned()]);
                Err(VolumeError::InSubfolders { folder, files }.into())
            }
        })
    }

    /// The scans of the input, without the masks that lie beside them.
    fn scans(&self) -> Result<ScanList, CliError> {
        let outputs = [Some(self.output.as_path()), self.stripped.as_deref()];
        scans_of(&self.input, &outputs.into_iter().flatten().collect::<Vec<_>>())
    }

    /// The output of a scan.
    fn mask(&self, scan: &Path) -> PathBuf {
        match is_nifti(&self.output) && !self.input.is_dir() {
            true => self.output.clone(),
            false => self.output.join(format!("{}_desc-brain_mask.nii.gz", ScanName::of(scan))),
        }
    }

    fn stripped(&self, scan: &Path) -> Option<PathBuf> {
        self.stripped.as_ref().map(|folder| folder.join(ScanName::of(scan).file("nii.gz")))
    }

    fn check_outputs(&self, named: &[(PathBuf, PathBuf)]) -> Result<(), CliError> {
        let outputs = named.iter().flat_map(|(scan, mask)| {
            let files = [Some(mask.clone()), self.stripped(scan)].into_iter().flatten();
            files.map(|file| (scan.as_path(), file)).collect::<Vec<_>>()
        });
        let scans: Vec<PathBuf> = named.iter().map(|(scan, _)| scan.clone()).collect();
        ensure_distinct(outputs, &scans)
    }

    /// Folders of the outputs.
    fn folders(&self) -> impl Iterator<Item = &Path> {
        let file = is_nifti(&self.output) && !self.input.is_dir();
        let folder = if file { folder_of(&self.output) } else { &self.output };
        [folder].into_iter().chain(self.stripped.as_deref())
    }

    fn extract(
        &self,
        extractor: &BrainExtractor,
        path: &Path,
        mask: &Path,
    ) -> Result<(), CliError> {
        let started = Instant::now();
        let options = ImageOptions {
            volume_index: self.volume_index,
            may_be_head: true,
            ..ImageOptions::default()
        };
        let scan = Image::read(path, &options)?.scan;
        let (brain, note) = brain_of(extractor, &scan)?;
        let mut staged = StagedFiles::default();
        if let Some(stripped) = self.stripped(path) {
            let [aside] = stage(&mut staged, &[stripped])?;
            let inside = |&value: &f32, &inside: &u8| if inside == 0 { 0.0 } else { value };
            let kept = disyre::core::ndarray::Zip::from(&scan.volume.data).and(&brain);
            write_map(&aside, &scan, kept.map_collect(inside).view())?;
        }
        let [aside] = stage(&mut staged, &[mask.to_owned()])?;
        write_mask(&aside, &scan, brain.view())?;
        commit(staged, mask)?;
        let voxels: usize = brain.iter().map(|&inside| usize::from(inside)).sum();
        let ml = voxels as f64 * scan.volume.grid.voxel_mm3() / 1000.0;
        let seconds = started.elapsed().as_secs_f64();
        print_line!("{}: {ml:.0} ml{note}, {seconds:.1} s → {}", path.display(), mask.display());
        Ok(())
    }
}

/// The mask of a scan and what there is to say of it.
fn brain_of(
    extractor: &BrainExtractor,
    scan: &Scan,
) -> Result<(disyre::core::ndarray::Array3<u8>, &'static str), CliError> {
    let found = || -> Result<Option<BrainMask>, disyre::brain::BrainError> {
        match extractor.content(&scan.volume)?.is_head() {
            true => extractor.extract(&scan.volume).map(Some),
            false => Ok(None),
        }
    };
    match found().map_err(disyre::Error::from)? {
        Some(found) if found.volume_ml > 0.0 => Ok((found.mask, "")),
        Some(_) => {
            Err(disyre::Error::EmptyBrain { name: scan.path().display().to_string() }.into())
        }
        None => match Background::of(scan.volume.data.view()) {
            Background::Zero => Ok((nonzero_mask(scan.volume.data.view()), " (stripped already)")),
            background => {
                let path = scan.path().to_owned();
                Err(VolumeError::BackgroundNotZero { path, background }.into())
            }
        },
    }
}

fn is_nifti(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    name.ends_with(".nii") || name.ends_with(".nii.gz")
}
