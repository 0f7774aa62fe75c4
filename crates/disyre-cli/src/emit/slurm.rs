//! An array script for SLURM.

use super::forecast::Limits;
use super::{JobScript, Words};

/// Most tasks of an array: clusters allow 1001 unless their administrators changed `MaxArraySize`.
const MOST_TASKS: usize = 1000;

const USAGE: &str = "\
Map:     sbatch THIS_FILE                  (again after failures: what is done is passed over)
Table:   sbatch --array=0 --dependency=afterany:JOB_ID THIS_FILE group
Limits of memory and time are forecasts from the sizes of the scans; --job-memory and --job-minutes set others.";

/// The script. One task maps one subject, or several where an array has no room for all; with the argument `group` it makes
/// the table.
pub(super) fn script(job: &JobScript, program: &Words) -> String {
    let per_task = job.subjects.len().div_ceil(MOST_TASKS).max(1);
    let tasks = job.subjects.len().div_ceil(per_task);
    let Limits { megabytes, minutes } = job.limits(per_task);
    let labels = Words::new(job.subjects.iter().map(|(label, _)| label));
    let (name, cpus, last) = (&job.name, job.limits.job_cpus, tasks.saturating_sub(1));
    let (comment, participant, group) = (job.comment(USAGE), &job.participant, &job.group);
    let time = format!("{}-{:02}:{:02}:00", minutes / 1440, minutes / 60 % 24, minutes % 60);
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

if [ "${{1:-participant}}" = group ]; then
    exec "${{disyre[@]}}" {group}
fi

subjects=({labels})
first=$((SLURM_ARRAY_TASK_ID * {per_task}))
exec "${{disyre[@]}}" {participant} \
    --threads "${{SLURM_CPUS_PER_TASK:-{cpus}}}" --participant-label "${{subjects[@]:first:{per_task}}}"
"#
    )
}
