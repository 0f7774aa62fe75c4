//! The memory and the time that a job is given: forecasts from the sizes of its scans.

use std::path::PathBuf;

use disyre::volume::ScanHeader;

/// Bytes of a run on several of the smallest scans: program, model, networks, working grid and healthy maps.
const BASE_BYTES: u64 = 1100 << 20;

/// Bytes for each voxel of the largest scan: the scan, its maps on the same grid, and what is between them.
const BYTES_PER_VOXEL: u64 = 32;

/// Share of the forecast that is asked for.
const MEMORY_MARGIN: f64 = 1.5;

/// Seconds of one CPU core for a scan whatever its size, and for each million of its voxels.
const CORE_SECONDS: (f64, f64) = (25.0, 1.0);

/// Share of the forecast that is asked for: nodes differ, and a job that ends at its limit has done nothing.
const TIME_MARGIN: f64 = 4.0;

/// Limits are multiples of this; one more is for the start of the program from a busy disk.
const STEP_MINUTES: u64 = 5;

/// Voxels of a scan whose header can't be read.
const USUAL_VOXELS: u64 = 256 * 256 * 256;

/// Limits of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) megabytes: u64,
    pub(super) minutes: u64,
}

/// The limits of jobs, each of which maps all of its scans one after another. More CPUs than one are not counted on.
///
/// # Source
/// Ours: fitted to measured runs, see docs/CLUSTER.md.
pub(super) fn limits(jobs: &[Vec<PathBuf>]) -> Limits {
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
        sizes.iter().map(of_scan).sum::<f64>()
    };
    let seconds = sizes.iter().map(seconds).fold(0.0, f64::max) * TIME_MARGIN;
    Limits {
        megabytes: (bytes / 1048576.0 / 256.0).ceil() as u64 * 256,
        minutes: ((seconds / 60.0).ceil() as u64).div_ceil(STEP_MINUTES) * STEP_MINUTES
            + STEP_MINUTES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_with_the_scans_of_a_job() {
        let scans = |count: usize| vec![PathBuf::from("not there"); count];
        let of = |counts: &[usize]| {
            limits(&counts.iter().map(|&count| scans(count)).collect::<Vec<_>>())
        };
        // 256³ voxels: 1.5 · (1100 MiB + 32 · 16 MiB); 25 s and 16.8 s a scan, four times.
        assert_eq!(of(&[1]), Limits { megabytes: 2560, minutes: 10 });
        assert_eq!(of(&[1, 9]), Limits { megabytes: 2560, minutes: 30 + 5 });
    }
}
