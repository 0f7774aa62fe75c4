//! The memory that the program may still take, and the check that large computations make before they begin.
//!
//! An allocation that the machine cannot back does not fail on Linux: the kernel promises memory that it does not have, and
//! ends some program later. So whatever grows with a header or a setting is forecast and compared first.
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Memory that is left to the program.
///
/// ```
/// use disyre_volume::MemoryLeft;
///
/// if let Some(left) = MemoryLeft::now() { // on Linux
///     let error = MemoryLeft::ensure(u64::MAX).unwrap_err();
///     assert!(error.to_string().contains("GiB more memory, and only"), "{error}");
///     assert!(left.bytes < u64::MAX && MemoryLeft::ensure(1).is_ok());
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLeft {
    /// Bytes beyond those that the program holds.
    pub bytes: u64,
    /// The bound that leaves least.
    pub bound: MemoryBound,
}

/// Bound of the memory that the program may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryBound {
    /// Bytes that the user allows for all that the program holds together.
    Allowed(u64),
    /// Memory of the machine that no program uses.
    Machine,
    /// The limit of the program's control group: a container, or a job of a scheduler.
    ControlGroup,
}

/// A forecast beyond the memory that is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} more memory, and only {} are left {bound}", Size(*needed), Size(*left))]
pub struct MemoryExcess {
    /// Bytes of the forecast.
    pub needed: u64,
    /// Bytes that are left.
    pub left: u64,
    /// The bound that leaves them.
    pub bound: MemoryBound,
}

/// 0: no bound but the machine's.
static ALLOWED: AtomicU64 = AtomicU64::new(0);

impl MemoryLeft {
    /// Bounds the memory of the program, in bytes; without a bound, what the machine and the control group have free.
    pub fn allow(bytes: u64) {
        ALLOWED.store(bytes.max(1), Ordering::Relaxed);
    }

    /// Memory that is left now; `None` where the system does not say (other systems than Linux) and nothing was
    /// [allowed](Self::allow).
    pub fn now() -> Option<Self> {
        let system = System::default();
        match ALLOWED.load(Ordering::Relaxed) {
            0 => system.left(),
            allowed => {
                let bytes = allowed.saturating_sub(system.resident().unwrap_or(0));
                Some(Self { bytes, bound: MemoryBound::Allowed(allowed) })
            }
        }
    }

    /// Compares a forecast with what is left.
    ///
    /// # Errors
    /// [`MemoryExcess`] with both numbers.
    pub fn ensure(needed: u64) -> Result<(), MemoryExcess> {
        /// Bytes that are not worth asking the system for.
        const SMALL: u64 = 1 << 20;
        match Self::now() {
            Some(Self { bytes, bound }) if needed > SMALL && needed > bytes => {
                Err(MemoryExcess { needed, left: bytes, bound })
            }
            _ => Ok(()),
        }
    }
}

/// An empty vector with room for so many elements, where there is memory for them.
pub(crate) fn vector_of<T>(count: usize) -> Result<Vec<T>, MemoryExcess> {
    let needed = (count as u64).saturating_mul(size_of::<T>() as u64);
    MemoryLeft::ensure(needed)?;
    let mut elements = Vec::new();
    match elements.try_reserve_exact(count) {
        Ok(()) => Ok(elements),
        Err(_) => {
            let none = MemoryLeft { bytes: 0, bound: MemoryBound::Machine };
            let MemoryLeft { bytes: left, bound } = MemoryLeft::now().unwrap_or(none);
            Err(MemoryExcess { needed, left, bound })
        }
    }
}

impl fmt::Display for MemoryBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Allowed(bytes) => write!(f, "of the {} of --max-memory", Size(*bytes)),
            Self::Machine => f.write_str("on this machine"),
            Self::ControlGroup => {
                f.write_str("in the control group (container or job) of the program")
            }
        }
    }
}

/// Bytes in words: `512 MiB`, `5.1 GiB`.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: f64 = 1048576.0;
        match self.0 as f64 / MIB {
            mib if mib < 1000.0 => write!(f, "{mib:.0} MiB"),
            mib if mib < 1024e4 => write!(f, "{:.1} GiB", mib / 1024.0),
            mib => write!(f, "{:.0} GiB", mib / 1024.0),
        }
    }
}

/// Where Linux says what memory there is.
struct System {
    proc: PathBuf,
    groups: PathBuf,
}

impl Default for System {
    fn default() -> Self {
        Self { proc: "/proc".into(), groups: "/sys/fs/cgroup".into() }
    }
}

impl System {
    fn left(&self) -> Option<MemoryLeft> {
        let machine = field(&self.proc.join("meminfo"), "MemAvailable:").map(|kib| kib * 1024);
        let machine = machine.map(|bytes| MemoryLeft { bytes, bound: MemoryBound::Machine });
        let group = self.left_in_groups();
        let group = group.map(|bytes| MemoryLeft { bytes, bound: MemoryBound::ControlGroup });
        machine.into_iter().chain(group).min_by_key(|left| left.bytes)
    }

    /// Bytes that the program holds in memory.
    fn resident(&self) -> Option<u64> {
        field(&self.proc.join("self/status"), "VmRSS:").map(|kib| kib * 1024)
    }

    /// Least that a group of the program, or one around it, leaves.
    fn left_in_groups(&self) -> Option<u64> {
        let list = std::fs::read_to_string(self.proc.join("self/cgroup")).ok()?;
        list.lines().filter_map(|line| self.left_in_hierarchy(line)).min()
    }

    /// A line is `number:controllers:path`; the second edition has the number 0 and no controllers.
    fn left_in_hierarchy(&self, line: &str) -> Option<u64> {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, Path::new(parts.next()?.trim_start_matches('/')));
        let (root, files) = if controllers.is_empty() {
            (self.groups.clone(), ["memory.max", "memory.current", "inactive_file"])
        } else if controllers.split(',').any(|name| name == "memory") {
            let files = ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"];
            (self.groups.join("memory"), files)
        } else {
            return None;
        };
        // In a container the path may be that of the host, and only the root is there.
        path.ancestors().filter_map(|group| left_in_group(&root.join(group), files)).min()
    }
}

/// Limit less usage, and files in the cache that the kernel gives back.
fn left_in_group(group: &Path, [limit, usage, cache]: [&str; 3]) -> Option<u64> {
    let number = |name: &str| std::fs::read_to_string(group.join(name)).ok()?.trim().parse().ok();
    let (limit, usage): (u64, u64) = (number(limit)?, number(usage)?);
    let cache = field(&group.join("memory.stat"), cache).unwrap_or(0);
    Some(limit.saturating_sub(usage.saturating_sub(cache)))
}

/// The number behind a name at the start of a line.
fn field(file: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut words = text.lines().map(str::split_whitespace);
    words.find_map(|mut words| (words.next()? == name).then(|| words.next()?.parse().ok())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system with these files.
    fn system(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let system =
            System { proc: folder.path().join("proc"), groups: folder.path().join("groups") };
        (folder, system)
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:  8000 kB\nMemFree:  1000 kB\nMemAvailable:  4000 kB\n");

    #[test]
    fn without_a_group_the_machine_says_what_is_left() {
        let (_folder, system) =
            system(&[MEMINFO, ("proc/self/status", "Name:\tx\nVmRSS:\t  12 kB\n")]);
        let left = MemoryLeft { bytes: 4000 * 1024, bound: MemoryBound::Machine };
        assert_eq!(system.left(), Some(left));
        assert_eq!(system.resident(), Some(12 * 1024));
    }

    #[test]
    fn the_tightest_group_around_the_program_counts() {
        let (_folder, system) = system(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/slurm/job_7/step\n"),
            ("groups/slurm/memory.max", "max\n"),
            ("groups/slurm/memory.current", "900\n"),
            ("groups/slurm/job_7/memory.max", "3000000\n"),
            ("groups/slurm/job_7/memory.current", "2500000\n"),
            ("groups/slurm/job_7/memory.stat", "anon 1\ninactive_file 100000\n"),
        ]);
        let left = MemoryLeft { bytes: 600_000, bound: MemoryBound::ControlGroup };
        assert_eq!(system.left(), Some(left));
    }

    #[test]
    fn the_first_edition_of_groups_is_read_too() {
        let (_folder, system) = system(&[
            MEMINFO,
            ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/of/the/host\n0::/\n"),
            ("groups/memory/memory.limit_in_bytes", "2000000\n"),
            ("groups/memory/memory.usage_in_bytes", "1500000\n"),
            ("groups/memory/memory.stat", "total_inactive_file 250000\n"),
        ]);
        assert_eq!(system.left().map(|left| left.bytes), Some(750_000));
    }

    #[test]
    fn a_system_that_says_nothing_bounds_nothing() {
        let (_folder, system) = system(&[]);
        assert_eq!((system.left(), system.resident()), (None, None));
    }

    #[test]
    fn an_excess_names_both_numbers_and_the_bound() {
        let excess =
            MemoryExcess { needed: 5 << 30, left: 700 << 20, bound: MemoryBound::Allowed(1 << 30) };
        let text = "5.0 GiB more memory, and only 700 MiB are left of the 1.0 GiB of --max-memory";
        assert_eq!(excess.to_string(), text);
    }
}
