//! A Snakefile.

use super::forecast::Limits;
use super::{JobScript, Words};

const USAGE: &str = "\
Here:       snakemake -s THIS_FILE --cores 8 --keep-going
On SLURM:   snakemake -s THIS_FILE --executor slurm --jobs 100 --keep-going      (snakemake-executor-plugin-slurm)
Again after a stop: the same with --rerun-incomplete; what is done is passed over.
Marks of what is done, and logs, lie in a folder beside .snakemake; remove a mark to look at a subject again.
mem_mb and runtime (minutes) are forecasts from the sizes of the scans; a second attempt gets twice as much.";

/// The file: a job a subject, and one for the table. Marks, not the results, are the outputs that Snakemake knows: it removes
/// the outputs of a job that it repeats.
pub(super) fn file(job: &JobScript, program: &Words) -> String {
    let Limits { megabytes, minutes } = job.limits(1);
    let labels: Vec<String> = job.subjects.iter().map(|(label, _)| literal(label)).collect();
    let (name, cpus) = (&job.name, job.limits.job_cpus);
    let (comment, labels) = (job.comment(USAGE), labels.join(", "));
    let program = literal(&braced(program));
    let participant = format!(
        " {} --threads {{threads}} --participant-label {{wildcards.subject:q}} > {{log:q}} 2>&1",
        braced(&job.participant)
    );
    let group = literal(&format!(" {}", braced(&job.group)));
    let participant = literal(&participant);
    format!(
        r#"{comment}
# In a container: DISYRE = "apptainer exec --bind DATA disyre.sif disyre"
DISYRE = {program}
GROUP = DISYRE + {group}
SUBJECTS = [{labels}]


localrules: all, group


rule all:
    input: "{name}/group.done"


rule participant:
    output: touch("{name}/sub-{{subject}}.done")
    log: "{name}/sub-{{subject}}.log"
    threads: {cpus}
    retries: 1
    resources:
        mem_mb=lambda wildcards, attempt: {megabytes} * attempt,
        runtime=lambda wildcards, attempt: {minutes} * attempt,
    shell: DISYRE + {participant}


rule group:
    input: expand("{name}/sub-{{subject}}.done", subject=SUBJECTS)
    output: touch("{name}/group.done")
    log: "{name}/group.log"
    shell: GROUP + " > {{log:q}} 2>&1"


# The table also where subjects failed, with their errors.
onerror:
    shell(GROUP + " || true")
"#
    )
}

/// Words in a text whose braces Snakemake fills in.
fn braced(words: &Words) -> String {
    words.to_string().replace('{', "{{").replace('}', "}}")
}

/// A text as Python writes it. JSON's escapes are among Python's, and these texts have no character that only JSON escapes.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
