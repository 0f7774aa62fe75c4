//! An array script for SLURM.

use super::forecast::Limits;
use super::{JobScript, Parts, Words};

/// Most tasks of an array: clusters allow 1001 unless their administrators changed `MaxArraySize`.
pub(crate) const MOST_TASKS: usize = 1000;

const USAGE: &str = "\
Map:     sbatch THIS_FILE                  (again after failures: what is done is passed over)
At last: sbatch --array=0 --dependency=afterany:JOB_ID THIS_FILE group      (one table or record of all)
Limits of memory and time are forecasts from the sizes of the scans; --job-memory and --job-minutes set others.";

/// The script. One task maps one part, or several subjects where an array has no room for all; with the argument `group` it
/// makes the table or record of all.
pub(super) fn script(job: &JobScript, program: &Words) -> String {
    let per_task = job.parts.len().div_ceil(MOST_TASKS).max(1);
    let tasks = job.parts.len().div_ceil(per_task);
    let Limits { megabytes, minutes } = job.limits(per_task);
    let (name, cpus, last) = (&job.name, job.cpus(), tasks.saturating_sub(1));
    let (comment, map, group) = (job.comment(USAGE), &job.map, &job.group);
    let time = format!("{}-{:02}:{:02}:00", minutes / 1440, minutes / 60 % 24, minutes % 60);
    let labels = Words::new(job.parts.iter().map(|(label, _)| label));
    let (parts, chosen) = match job.kind {
        Parts::Subjects => (
            format!("subjects=({labels})\nfirst=$((SLURM_ARRAY_TASK_ID * {per_task}))\n"),
            format!("--participant-label \"${{subjects[@]:first:{per_task}}}\""),
        ),
        Parts::Shards => {
            (String::new(), format!("--shard \"$((SLURM_ARRAY_TASK_ID + 1))/{tasks}\""))
        }
    };
    format!(
        r#"#!/bin/bash
{comment}#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --cpus-per-task={cpus}
#SBATCH --mem={megabytes}M
#SBATCH --time={time}
#SBATCH --output={name}_%A_%a.log
set -euo pipefail

# In a container: disyre=(apptainer exec --bind DATA disyre.sif disyre)
disyre=({program})

if [ "${{1:-map}}" = group ]; then
    exec "${{disyre[@]}}" {group}
fi

{parts}exec "${{disyre[@]}}" {map} \
    --threads "${{SLURM_CPUS_PER_TASK:-{cpus}}}" {chosen}
"#
    )
}
