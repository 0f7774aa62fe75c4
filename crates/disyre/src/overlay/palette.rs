//! Colours of intensities and scores.

use super::picture::Rgb;

/// Shade of an intensity in `[0, 1]`.
pub(super) fn grey(value: f32) -> Rgb {
    [(255.0 * value.clamp(0.0, 1.0)).round() as u8; 3]
}

/// Colour of a share of the scale in `[0, 1]`: black over violet and orange to pale yellow.
///
/// Lightness rises all the way, so that the order survives a grey printout and colour blindness.
///
/// # Source
/// Ten equally spaced colours of "inferno" (N. Smith and S. van der Walt, matplotlib), linear in between.
pub(super) fn heat(value: f32) -> Rgb {
    const STOPS: [Rgb; 10] = [
        [0, 0, 4],
        [27, 12, 65],
        [74, 12, 107],
        [120, 28, 109],
        [165, 44, 96],
        [207, 68, 70],
        [237, 105, 37],
        [251, 155, 6],
        [247, 209, 61],
        [252, 255, 164],
    ];
    let place = value.clamp(0.0, 1.0) * (STOPS.len() - 1) as f32;
    let below = (place as usize).min(STOPS.len() - 2);
    let share = place - below as f32;
    std::array::from_fn(|channel| {
        let (from, to) = (f32::from(STOPS[below][channel]), f32::from(STOPS[below + 1][channel]));
        (from + share * (to - from)).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_grows_lighter_all_the_way() {
        let lightness = |step: usize| {
            let [red, green, blue] = heat(step as f32 / 100.0).map(f32::from);
            0.2126 * red + 0.7152 * green + 0.0722 * blue
        };
        assert!((1..=100).all(|step| lightness(step) > lightness(step - 1)));
        assert_eq!(heat(-1.0), [0, 0, 4]);
        assert_eq!(heat(2.0), [252, 255, 164]);
    }
}
