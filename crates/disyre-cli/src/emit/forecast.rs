//! The memory and the time that a job is given: forecasts from the sizes of its scans.

use std::path::PathBuf;

use disyre::volume::ScanHeader;

/// Bytes of a run on the smallest of scans: program, model and network.
const BASE_BYTES: u64 = 700 << 20;

/// Bytes for each voxel of the largest scan: the scan, its maps on the same grid, and what is between them.
const BYTES_PER_VOXEL: u64 = 80;

/// What is asked for over the forecast.
const MEMORY_MARGIN: f64 = 1.5;

/// Seconds of one CPU core for a scan whatever its size, and for each million of its voxels.
const CORE_SECONDS: (f64, f64) = (120.0, 10.0);

/// What is asked for over the forecast: nodes differ, and a job that ends at its limit has done nothing.
const TIME_MARGIN: f64 = 4.0;

/// Voxels of a scan whose header can't be read.
const USUAL_VOXELS: u64 = 256 * 256 * 256;

/// Limits of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) megabytes: u64,
    pub(super) minutes: u64,
}

/// The limits of jobs, each of which maps all scans of the subjects it has, one after another.
///
/// # Source
/// Ours: fitted to measured runs, see docs/CLUSTER.md.
pub(super) fn limits(jobs: &[Vec<PathBuf>], cpus: u16) -> Limits {
    let voxels = |scan: &PathBuf| {
        let header = ScanHeader::read(scan).ok();
        header
            .map_or(USUAL_VOXELS, |header| header.grid().shape.iter().map(|&n| n as u64).product())
    };
    let sizes: Vec<Vec<u64>> =
        jobs.iter().map(|scans| scans.iter().map(voxels).collect()).collect();
    let largest = sizes.iter().flatten().max().copied().unwrap_or(0);
    let bytes = (BASE_BYTES + BYTES_PER_VOXEL.saturating_mul(largest)) as f64 * MEMORY_MARGIN;
    let seconds = |sizes: &Vec<u64>| {
        let of_scan = |&voxels: &u64| CORE_SECONDS.0 + CORE_SECONDS.1 * voxels as f64 / 1e6;
        sizes.iter().map(of_scan).sum::<f64>() / f64::from(cpus)
    };
    let seconds = sizes.iter().map(seconds).fold(0.0, f64::max) * TIME_MARGIN;
    Limits {
        megabytes: (bytes / 1048576.0 / 256.0).ceil() as u64 * 256,
        minutes: (seconds / 60.0 / 5.0).ceil().max(1.0) as u64 * 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_with_the_scans_and_shrink_with_cpus() {
        let scans = |count: usize| vec![PathBuf::from("not there"); count];
        let of = |counts: &[usize], cpus| {
            limits(&counts.iter().map(|&count| scans(count)).collect::<Vec<_>>(), cpus)
        };
        let (one, two) = (of(&[1], 1), of(&[1, 2], 1));
        assert_eq!(one.megabytes, two.megabytes);
        assert!(one.minutes < two.minutes && of(&[2], 8).minutes < two.minutes);
        assert!(one.megabytes % 256 == 0 && one.minutes >= 5);
    }
}
