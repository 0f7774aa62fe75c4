//! [`Picture`]: pixels to draw on, letters, and the PNG form; the mosaic draws on one.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

pub(super) use disyre_report::Rgb;

/// Letters in two sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Font {
    Small,
    Large,
}

impl Font {
    fn raster(self) -> RasterHeight {
        match self {
            Self::Small => RasterHeight::Size20,
            Self::Large => RasterHeight::Size24,
        }
    }

    /// Height of a line in pixels.
    pub(super) fn height(self) -> usize {
        self.raster().val()
    }

    /// Width of a text in pixels.
    pub(super) fn width(self, text: &str) -> usize {
        text.chars().count() * get_raster_width(FontWeight::Regular, self.raster())
    }
}

/// An image to draw on; what falls outside is cut off. The origin is the upper left corner.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Picture {
    pub(super) fn new(width: usize, height: usize, background: Rgb) -> Self {
        Self { width, height, pixels: vec![background; width * height] }
    }

    pub(super) fn set(&mut self, x: usize, y: usize, colour: Rgb) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = colour;
        }
    }

    /// Draws another picture with its upper left corner at `(x, y)`.
    pub(super) fn paste(&mut self, x: usize, y: usize, other: &Self) {
        for (index, &colour) in other.pixels.iter().enumerate() {
            self.set(x + index % other.width, y + index / other.width, colour);
        }
    }

    /// Width and height.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Colour `colour` laid over a pixel, `cover` of 255 opaque.
    fn cover(&mut self, x: usize, y: usize, colour: Rgb, cover: u8) {
        if x < self.width && y < self.height {
            let pixel = &mut self.pixels[y * self.width + x];
            for (below, above) in pixel.iter_mut().zip(colour) {
                let mixed = u32::from(*below) * u32::from(255 - cover)
                    + u32::from(above) * u32::from(cover);
                *below = (mixed / 255) as u8;
            }
        }
    }

    /// Writes a text with its upper left corner at `(x, y)`. Letters outside ASCII become "?".
    pub(super) fn text(&mut self, x: usize, y: usize, text: &str, font: Font, colour: Rgb) {
        let step = font.width("x");
        for (index, letter) in text.chars().enumerate() {
            let glyph = |letter| get_raster(letter, FontWeight::Regular, font.raster());
            let Some(glyph) = glyph(letter).or_else(|| glyph('?')) else { continue };
            for (dy, row) in glyph.rows().enumerate() {
                for (dx, &cover) in row.iter().enumerate() {
                    self.cover(x + index * step + dx, y + dy, colour, cover);
                }
            }
        }
    }

    /// The image as the bytes of a PNG file.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(self.pixels.as_flattened())?;
        writer.finish()?;
        Ok(bytes)
    }
}

#[cfg(test)]
impl Picture {
    pub(super) fn get(&self, x: usize, y: usize) -> Rgb {
        self.pixels[y * self.width + x]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_marks_its_box_and_nothing_beside_it() {
        let mut picture = Picture::new(60, 30, [0; 3]);
        picture.text(10, 3, "L", Font::Small, [255; 3]);
        let lit = |x: usize| (0..30).any(|y| picture.get(x, y) != [0; 3]);
        let width = Font::Small.width("L");
        assert!((10..10 + width).any(lit));
        assert!(!(0..10).chain(10 + width..60).any(lit));
    }

    #[test]
    fn a_png_gives_its_pixels_back() {
        let mut picture = Picture::new(3, 2, [7, 8, 9]);
        picture.set(2, 1, [1, 2, 3]);
        picture.set(9, 9, [1, 2, 3]);
        let bytes = picture.encode().unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; 18];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (3, 2));
        assert_eq!(pixels[..3], [7, 8, 9]);
        assert_eq!(pixels[15..], [1, 2, 3]);
    }
}
