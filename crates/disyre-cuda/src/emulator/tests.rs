//! The emulator, on kernels that are right and on kernels that are wrong: emulator/trials.cu.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::buffer::Element;
use crate::cuda::{Cuda, Parameters, f32_bytes};

const MODES: [Mode; 3] = [Mode::Forward, Mode::Reversed, Mode::Watched];
const LANES: usize = 64;

#[derive(Clone, Copy)]
#[repr(C)]
struct Trial {
    out: u64,
    input: u64,
    len: i32,
    unused: i32,
}

// SAFETY: the layout of the structure of the same name in trials.cu.
unsafe impl Parameters for Trial {}

/// The input of all trials: whole numbers, so that sums are exact.
fn input() -> Vec<f32> {
    (0..2 * LANES).map(|i| (i * i % 23) as f32).collect()
}

/// Runs a kernel on as many numbers as its input has.
fn run(name: &'static str, grid: [usize; 3], mode: Mode) -> Result<Vec<f32>, BackendError> {
    let device = Cuda::emulated(mode, Precision::F32);
    let numbers = |values: &[f32]| device.put(Element::F32, 2 * LANES, || f32_bytes(values));
    let (input, out) = (numbers(&input()), numbers(&[0.0; 2 * LANES]));
    let trial =
        Trial { out: out.address(0)?, input: input.address(0)?, len: 2 * LANES as i32, unused: 0 };
    device.run(Kernel { module: "trials", name }, grid, LANES as u32, || Ok(trial));
    let bytes = device.bytes(&out)?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]])).collect())
}

fn run_one(name: &'static str, mode: Mode) -> Result<Vec<f32>, String> {
    run(name, [1, 1, 1], mode).map_err(|error| error.to_string())
}

fn assert_fails(name: &'static str, mode: Mode, part: &str) {
    let error = run_one(name, mode).expect_err(name);
    assert!(error.contains(name) && error.contains(part), "{name} in {mode:?}: {error}");
}

/// Fails only if every access is looked at.
fn assert_only_watched(name: &'static str, blocks: usize, part: &str) {
    let run = |mode| run(name, [blocks, 1, 1], mode).map_err(|error| error.to_string());
    assert!(run(Mode::Forward).is_ok() && run(Mode::Reversed).is_ok(), "{name}");
    let error = run(Mode::Watched).expect_err(name);
    assert!(error.contains(part), "{name}: {error}");
}

#[test]
fn lanes_know_their_blocks() {
    for mode in MODES {
        let found = run("trial_grid", [2, 3, 4], mode).unwrap();
        for (at, found) in found.into_iter().enumerate() {
            let block = at / LANES;
            let number = 100 * (block / 6) + 10 * (block / 2 % 3) + block % 2;
            assert_eq!(found, number as f32 + (at % LANES) as f32 / 100.0, "{at} in {mode:?}");
        }
    }
}

#[test]
fn lanes_exchange_sum_and_share() {
    let input = input();
    for mode in MODES {
        let run = |name| run_one(name, mode).unwrap();
        let turned: Vec<f32> = (0..LANES).map(|i| input[LANES - 1 - i]).collect();
        let exchanged: Vec<f32> = (0..LANES).map(|i| input[i ^ 5]).collect();
        assert_eq!(run("trial_exchange")[..LANES], exchanged);
        assert_eq!(run("trial_sum")[0], input[..LANES].iter().sum::<f32>());
        assert_eq!(run("trial_turn")[..LANES], turned);
        assert_eq!(run("trial_copy")[..LANES], turned);
        assert_eq!(run("trial_all_shared")[..LANES], input[..LANES]);
    }
}

#[test]
fn a_barrier_that_some_lanes_never_reach_is_an_error() {
    for mode in MODES {
        assert_fails("trial_lonely_barrier", mode, "a barrier that others never reach");
        assert_fails("trial_lonely_exchange", mode, "a barrier that others never reach");
        // The next launch is as good as ever.
        assert!(run_one("trial_turn", mode).is_ok());
    }
}

#[test]
fn what_a_block_cannot_have_is_an_error() {
    for mode in MODES {
        assert_fails("trial_much_shared", mode, "more shared memory than a block has");
    }
}

#[test]
fn a_launch_that_does_not_fit_its_kernel_is_an_error() {
    let launch = |name, threads, bytes| {
        let trial = [0u64; 8];
        // SAFETY: the emulator compares the size before it runs the kernel, and none of these launches pass.
        let result = unsafe {
            let kernel = Kernel { module: "trials", name };
            Emulator::default().launch(kernel, [1; 3], threads, trial.as_ptr().cast(), bytes)
        };
        result.unwrap_err().to_string()
    };
    let bytes = size_of::<Trial>();
    assert!(launch("trial_nothing", 64, bytes).contains("there is no such kernel"));
    for threads in [0, 33, 96] {
        assert!(launch("trial_turn", threads, bytes).contains("not compiled for"), "{threads}");
    }
    for bytes in [bytes - 8, bytes + 8] {
        assert!(launch("trial_turn", 64, bytes).contains("another size"), "{bytes}");
    }
}

#[test]
fn shared_memory_is_nan_until_it_is_written() {
    for mode in [Mode::Forward, Mode::Reversed] {
        assert!(run_one("trial_unwritten", mode).unwrap()[..LANES].iter().all(|v| v.is_nan()));
    }
    assert_fails("trial_unwritten", Mode::Watched, "of shared memory is read before it is written");
}

#[test]
fn a_write_beside_memory_is_found_when_the_memory_is_given_back() {
    for name in ["trial_write_behind", "trial_write_before"] {
        for mode in MODES {
            let caught = catch_unwind(AssertUnwindSafe(|| run_one(name, mode))).unwrap_err();
            let message = caught.downcast_ref::<&str>().unwrap();
            assert!(message.contains("wrote beside its memory"), "{message}");
        }
    }
}

#[test]
fn an_address_outside_all_memory_is_seen_by_who_watches() {
    let found = run_one("trial_read_behind", Mode::Forward).unwrap();
    assert!(found[LANES - 1].is_nan() && found[..LANES - 1].iter().all(|v| !v.is_nan()));
    assert_only_watched("trial_read_behind", 1, "is outside all memory: lane 63");
}

#[test]
fn what_depends_on_the_order_of_lanes_differs_between_the_orders() {
    for (name, blocks) in [("trial_winner", 1), ("trial_winning_block", 2)] {
        let found = |mode| run(name, [blocks, 1, 1], mode).unwrap();
        assert_ne!(found(Mode::Forward), found(Mode::Reversed), "{name}");
        assert_only_watched(name, blocks, "is used beside a write of another lane");
    }
}

#[test]
fn a_copy_that_is_not_waited_for_is_seen() {
    let found = |mode| run_one("trial_hasty_copy", mode).unwrap()[..LANES].to_vec();
    assert!(found(Mode::Forward).iter().all(|v| v.is_nan()));
    assert!(found(Mode::Reversed).iter().all(|v| !v.is_nan()));
    assert_fails("trial_hasty_copy", Mode::Watched, "before the copy to there was waited for");
    assert_fails("trial_copy_of_others", Mode::Watched, "of shared memory is read before");
}

#[test]
fn races_that_no_result_shows_are_seen_by_who_watches() {
    let orders = |name| [Mode::Forward, Mode::Reversed].map(|mode| run_one(name, mode).unwrap());
    for name in ["trial_same_writes", "trial_written_again", "trial_matrices"] {
        let [forward, reversed] = orders(name);
        assert_eq!(forward, reversed, "{name}");
    }
    assert_only_watched("trial_same_writes", 1, "is used beside a write of another lane");
    assert_only_watched("trial_written_again", 1, "is written beside a read of another lane");
    assert_only_watched("trial_matrices", 1, "is used beside a write of another lane: a warp");
    assert_only_watched("trial_block_reads", 3, "of another lane");
}

#[test]
fn copies_and_launches_wait_for_one_another() {
    let device = Emulator::default();
    let memory = device.allocate(4).unwrap();
    // As a launch that still runs.
    let busy = device.busy();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            device.upload(&[1; 4], &memory).unwrap();
            is_done.store(true, Ordering::SeqCst);
        });
        std::thread::sleep(Duration::from_millis(100));
        assert!(!is_done.load(Ordering::SeqCst), "the copy waits");
        drop(busy);
    });
    let mut found = [0; 4];
    device.download(&memory, &mut found).unwrap();
    assert_eq!(found, [1; 4]);
}
