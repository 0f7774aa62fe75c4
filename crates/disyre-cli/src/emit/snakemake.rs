//! A Snakefile.

use super::forecast::Limits;
use super::{JobScript, Parts, Words};

const USAGE: &str = "\
Here:       snakemake -s THIS_FILE --cores 8 --keep-going
On SLURM:   snakemake -s THIS_FILE --executor slurm --jobs 100 --keep-going      (snakemake-executor-plugin-slurm)
Again after a stop: the same with --rerun-incomplete; what is done is passed over.
Marks of what is done, and logs, lie in a folder beside .snakemake; remove a mark to look at its scans again.
mem_mb and runtime (minutes) are forecasts from the sizes of the scans; a second attempt gets twice as much.";

/// The file: a job a part, and one for the table or record of all. Marks, not the results, are the outputs that Snakemake knows: it removes
/// the outputs of a job that it repeats.
pub(super) fn file(job: &JobScript, program: &Words) -> String {
    let Limits { megabytes, minutes } = job.limits(1);
    let labels: Vec<String> = job.parts.iter().map(|(label, _)| literal(label)).collect();
    let (name, cpus) = (&job.name, job.cpus());
    let (comment, program) = (job.comment(USAGE), literal(&braced(program)));
    let (key, chosen) = match job.kind {
        Parts::Subjects => ("sub", "--participant-label {wildcards.part:q}".to_owned()),
        Parts::Shards => ("part", format!("--shard {{wildcards.part}}/{}", labels.len())),
    };
    let map = format!(" {} --threads {{threads}} {chosen} >> {{log:q}} 2>&1", braced(&job.map));
    let (map, group) = (literal(&map), literal(&format!(" {}", braced(&job.group))));
    let labels = labels.join(", ");
    format!(
        r#"{comment}
# In a container: DISYRE = "apptainer exec --bind DATA disyre.sif disyre"
DISYRE = {program}
GROUP = DISYRE + {group}
PARTS = [{labels}]


localrules: all, group


rule all:
    input: "{name}/group.done"


rule map:
    output: touch("{name}/{key}-{{part}}.done")
    log: "{name}/{key}-{{part}}.log"
    threads: {cpus}
    retries: 1
    resources:
        mem_mb=lambda wildcards, attempt: {megabytes} * attempt,
        runtime=lambda wildcards, attempt: {minutes} * attempt,
    shell: DISYRE + {map}


rule group:
    input: expand("{name}/{key}-{{part}}.done", part=PARTS)
    output: touch("{name}/group.done")
    log: "{name}/group.log"
    shell: GROUP + " >> {{log:q}} 2>&1"


# One table or record of all also where jobs failed, with their errors.
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
