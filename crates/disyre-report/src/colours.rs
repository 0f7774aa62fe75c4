//! Colours of intensities and scores: three maps whose lightness keeps the order of values.

/// Red, green, blue.
pub type Rgb = [u8; 3];

/// Map from a share of a range to a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourMap {
    /// Black to white, for intensities.
    Grey,
    /// Black over violet and orange to pale yellow, for values from 0 on.
    Heat,
    /// Pale blue over black to pale red, for values with a sign: 0 is in the middle.
    Signed,
}

impl ColourMap {
    /// Colour of a share of the range in `[0, 1]`; what lies outside has the colour of the end.
    ///
    /// ```
    /// use disyre_report::ColourMap;
    /// assert_eq!(ColourMap::Grey.colour(0.5), [128, 128, 128]);
    /// assert_eq!(ColourMap::Heat.colour(2.0), [252, 255, 164]);
    /// ```
    ///
    /// # Source
    /// Equally spaced colours, linear in between. Heat is "inferno" (N. Smith and S. van der Walt, matplotlib). Signed is
    /// ours, after "berlin" (F. Crameri, Scientific colour maps): lightness shows the size, alike on both sides, and hue the
    /// sign.
    pub fn colour(self, share: f32) -> Rgb {
        let stops: &[Rgb] = match self {
            Self::Grey => &[[0; 3], [255; 3]],
            Self::Heat => &HEAT,
            Self::Signed => &SIGNED,
        };
        let place = share.clamp(0.0, 1.0) * (stops.len() - 1) as f32;
        let below = (place as usize).min(stops.len() - 2);
        let part = place - below as f32;
        std::array::from_fn(|channel| {
            let [from, to] = [below, below + 1].map(|stop| f32::from(stops[stop][channel]));
            (from + part * (to - from)).round() as u8
        })
    }

    /// The colours of `count` equally spaced shares from 0 to 1.
    pub fn palette(self, count: usize) -> Vec<Rgb> {
        let last = count.saturating_sub(1).max(1) as f32;
        (0..count).map(|step| self.colour(step as f32 / last)).collect()
    }
}

const HEAT: [Rgb; 10] = [
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

const SIGNED: [Rgb; 9] = [
    [158, 176, 255],
    [91, 164, 219],
    [45, 117, 151],
    [26, 66, 86],
    [12, 14, 16],
    [110, 42, 26],
    [186, 82, 62],
    [238, 132, 108],
    [255, 164, 150],
];

/// Relative luminance of a colour in `[0, 1]`, without its gamma: enough to order colours.
#[cfg(test)]
fn lightness([red, green, blue]: Rgb) -> f32 {
    (0.2126 * f32::from(red) + 0.7152 * f32::from(green) + 0.0722 * f32::from(blue)) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_grows_lighter_all_the_way() {
        let light = |step: usize| lightness(ColourMap::Heat.colour(step as f32 / 100.0));
        assert!((1..=100).all(|step| light(step) > light(step - 1)));
        assert_eq!(ColourMap::Heat.colour(-1.0), [0, 0, 4]);
        assert_eq!(ColourMap::Heat.colour(2.0), [252, 255, 164]);
    }

    #[test]
    fn signed_values_grow_lighter_from_the_middle_and_differ_in_hue() {
        let light = |step: i32| lightness(ColourMap::Signed.colour(0.5 + step as f32 / 100.0));
        assert!((1..=50).all(|step| light(step) > light(step - 1)));
        assert!((1..=50).all(|step| light(-step) > light(1 - step)));
        assert!((1..=50).all(|step| (light(-step) - light(step)).abs() < 0.04));
        let [[_, _, blue], [red, ..]] = [0.1, 0.9].map(|share| ColourMap::Signed.colour(share));
        assert!(blue > 150 && red > 150);
    }

    #[test]
    fn a_palette_goes_from_end_to_end() {
        let palette = ColourMap::Grey.palette(256);
        assert_eq!((palette[0], palette[100], palette[255]), ([0; 3], [100; 3], [255; 3]));
        assert_eq!(ColourMap::Grey.palette(1), [[0; 3]]);
    }
}
