//! Rows of the table of peers: sizes and passes of the network that are timed.

/// Settings of one row of the table.
#[derive(Debug)]
pub(super) struct Row {
    /// `published` or `cpu-2mm`.
    pub(super) network: &'static str,
    /// `train`, a whole step, or `forward`, a restoration.
    pub(super) what: &'static str,
    /// Patches of one iteration.
    pub(super) batch: usize,
    /// Precision of the products: `f32` or `bf16`.
    pub(super) precision: &'static str,
}

/// Threads of every program.
pub(super) const THREADS: usize = 2;

/// Rows in the order of the table.
pub(super) const ROWS: [Row; 16] = [
    Row { network: "published", what: "train", batch: 1, precision: "f32" },
    Row { network: "published", what: "forward", batch: 1, precision: "f32" },
    Row { network: "published", what: "train", batch: 8, precision: "f32" },
    Row { network: "published", what: "forward", batch: 8, precision: "f32" },
    Row { network: "published", what: "train", batch: 32, precision: "f32" },
    Row { network: "published", what: "forward", batch: 32, precision: "f32" },
    Row { network: "cpu-2mm", what: "train", batch: 1, precision: "f32" },
    Row { network: "cpu-2mm", what: "forward", batch: 1, precision: "f32" },
    Row { network: "cpu-2mm", what: "train", batch: 8, precision: "f32" },
    Row { network: "cpu-2mm", what: "forward", batch: 8, precision: "f32" },
    Row { network: "cpu-2mm", what: "train", batch: 32, precision: "f32" },
    Row { network: "cpu-2mm", what: "forward", batch: 32, precision: "f32" },
    Row { network: "published", what: "train", batch: 1, precision: "bf16" },
    Row { network: "published", what: "forward", batch: 1, precision: "bf16" },
    Row { network: "published", what: "train", batch: 8, precision: "bf16" },
    Row { network: "published", what: "forward", batch: 8, precision: "bf16" },
];

impl Row {
    /// Memory layouts of PyTorch to time. All programs of a row hold their memory at once, and from 32 patches on two of
    /// PyTorch would take about 20 GiB: there only the faster layout runs.
    pub(super) fn peers(&self) -> &'static [&'static str] {
        match (self.precision, self.batch) {
            ("f32", ..32) => &["eager", "channels-last"],
            ("f32", _) => &["channels-last"],
            _ => &["bf16"],
        }
    }

    /// Arguments common to all programs.
    pub(super) fn arguments(&self) -> [String; 8] {
        let Self { network, what, batch, .. } = self;
        let [batch, threads] = [*batch, THREADS].map(|number| number.to_string());
        ["--network", network, "--what", what, "--batch", &batch, "--threads", &threads]
            .map(str::to_owned)
    }
}
