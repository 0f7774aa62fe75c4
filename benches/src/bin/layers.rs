//! Throughput of the operations of the network, as shares of the peak of this CPU.
//!
//! Convolutions count multiplications and additions as their formula does, so tiles, which need fewer, may exceed the
//! measured peak; the rest counts bytes read and written.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Instant;

use disyre_benches::layers::{LAYERS, Layer, uniform};
use disyre_kernels::{
    AdamW, AdamWState, Addends, Compute, ConvInput, Cpu, GroupNorm, InputPart, Precision,
    mean_squared_error, peak_flops, sum_of_squares,
};

/// Timed runs, of which the fastest counts.
const RUNS: usize = 7;

fn main() {
    let threads = rayon::current_num_threads();
    println!("{threads} threads\n\n| layer | pass | {} |", heads().join(" | "));
    println!("| --- | --- |{}", " --- |".repeat(heads().len()));
    let computes = computes();
    for (kind, size) in LAYERS {
        let layer = Layer::new(kind, size);
        let [n, side, inputs, outputs] = size;
        for pass in ["forward", "backward data", "backward filter"] {
            let cells = computes.iter().map(|(cpu, peak)| {
                let rate = layer.flops() as f64 / seconds(|| convolve(&layer, cpu, pass));
                format!("{:.0} ({:.0} %)", rate / 1e9, 100.0 * rate / (peak * threads as f64))
            });
            let cells: Vec<String> = cells.collect();
            println!(
                "| {kind:?} {n}×{side}²×{inputs}→{outputs} | {pass} | {} |",
                cells.join(" | ")
            );
        }
    }
    println!("\n| operation | GB/s |\n| --- | --- |");
    passes_over_memory();
}

/// Each precision that this CPU computes in, with the peak of one core.
fn computes() -> Vec<(Cpu, f64)> {
    let mut all: Vec<Compute> = Precision::ALL.map(Compute::new).to_vec();
    all.dedup();
    all.into_iter().map(|compute| (Cpu::new(compute), peak_flops(&compute))).collect()
}

fn heads() -> Vec<String> {
    computes().iter().map(|(cpu, _)| format!("{}, GFLOP/s (share of peak)", cpu.compute)).collect()
}

/// The fastest of some runs.
fn seconds(mut work: impl FnMut()) -> f64 {
    work();
    let run = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}

fn convolve(data: &Layer, cpu: &Cpu, pass: &str) {
    let Layer { layer, extent, x, weight, gradient, ones, zeros } = data;
    let parts = [InputPart::new(x, layer.inputs)];
    let source = ConvInput { parts: &parts, transform: Some(data.transform()) };
    match pass {
        "forward" => {
            let addends = Addends::default();
            black_box(layer.forward(cpu, *extent, &source, weight, &addends, true));
        }
        "backward data" => {
            let statistics = (&ones[..], &zeros[..]);
            black_box(
                layer.backward_data_through_norm(
                    cpu, *extent, gradient, weight, &source, statistics,
                ),
            );
        }
        _ => {
            let mut out = vec![0.0; layer.weight_len()];
            black_box(layer.backward_filter(cpu, *extent, &source, gradient, &mut out));
        }
    }
}

/// Prints the passes that are bound by memory: the gradient of a normalisation, the loss, and the optimiser.
fn passes_over_memory() {
    let cpu = Cpu::default();
    let print = |name: &str, numbers: usize, seconds: f64| {
        println!("| {name} | {:.1} |", 4e-9 * numbers as f64 / seconds);
    };
    let (images, pixels, channels) = (8, 64 * 64, 64);
    let n = images * pixels * channels;
    let (x, mut y) = (uniform("x", n), uniform("y", n));
    let norm = GroupNorm { groups: 32, epsilon: 1e-5 };
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    let moments = vec![[0.0, pixels as f64]; images * channels];
    let normalised = norm.normalise(&[&moments], images, pixels, &ones, &zeros);
    let sums = vec![[0.0; 2]; images * channels];
    let [mut by_weight, mut by_bias] = [ones.clone(), zeros];
    let gradient = norm.gradients(&normalised, &sums, pixels, &ones, &mut by_weight, &mut by_bias);
    print(
        "gradient of GroupNorm",
        3 * n,
        seconds(|| gradient.apply(&cpu, pixels, &x, None, &mut y)),
    );
    let mut slope = vec![0.0; n];
    print(
        "loss and its slope",
        3 * n,
        seconds(|| {
            black_box(mean_squared_error(&x, &y, &mut slope));
        }),
    );
    print(
        "norm of a gradient",
        n,
        seconds(|| {
            black_box(sum_of_squares(&cpu.compute, &x));
        }),
    );
    let update = AdamW {
        clip_norm: 1.0,
        keep: 1.0,
        betas: [0.9, 0.999],
        step_size: 1e-4,
        correction: 1.0,
        epsilon: 1e-8,
        average: 1e-3,
    };
    let [mut weights, mut first, mut second, mut average] = ["w", "m", "v", "a"]
        .map(|name| uniform(name, n).iter().map(|value| value.abs()).collect::<Vec<f32>>());
    print(
        "AdamW, clipping and average",
        9 * n,
        seconds(|| {
            let state = AdamWState {
                weights: &mut weights,
                first: &mut first,
                second: &mut second,
                average: &mut average,
            };
            update.apply(&cpu.compute, state, &x, 1.0);
        }),
    );
}
