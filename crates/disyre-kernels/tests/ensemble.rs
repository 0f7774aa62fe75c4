//! Sums over the members of an ensemble on the CPU.

mod common;

use common::ensemble::{DISTANCES, by_hand, extents, summed};
use disyre_kernels::Cpu;

#[test]
fn the_sums_are_those_of_one_number_after_another() {
    for extent in extents() {
        for distance in DISTANCES {
            assert!(summed(&Cpu::default(), extent, distance) == by_hand(extent, distance));
        }
    }
}

#[test]
fn the_sums_are_the_same_for_any_number_of_threads() {
    for distance in DISTANCES {
        common::on_pools(|| summed(&Cpu::default(), extents()[2], distance));
    }
}
