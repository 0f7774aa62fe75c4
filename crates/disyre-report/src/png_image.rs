//! [`PngImage`]: a picture as the bytes of a PNG file, made from pixels, cut and shrunk.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::{ReportError, Rgb};

/// A picture, encoded without loss.
///
/// ```
/// use disyre_report::PngImage;
/// let picture = PngImage::grey(2, 1, &[0, 255])?;
/// assert!(picture.data_uri().starts_with("data:image/png;base64,"));
/// # Ok::<(), disyre_report::ReportError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PngImage {
    width: usize,
    height: usize,
    bytes: Vec<u8>,
}

/// Pixels of a decoded picture, rows from the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels along a row.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// Colours, row by row.
    pub colours: Vec<Rgb>,
}

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rectangle {
    /// First column.
    pub left: usize,
    /// First row, from the top.
    pub top: usize,
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl PngImage {
    /// A grey picture of `width · height` shades, rows from the top.
    ///
    /// # Errors
    /// [`ReportError::Encode`] for another number of shades.
    pub fn grey(width: usize, height: usize, shades: &[u8]) -> Result<Self, ReportError> {
        Self::encode(width, height, shades, png::ColorType::Grayscale, None)
    }

    /// A picture whose pixels are indices of a palette of up to 256 colours.
    ///
    /// # Errors
    /// [`ReportError::Encode`] for another number of indices.
    pub fn indexed(
        width: usize,
        height: usize,
        indices: &[u8],
        palette: &[Rgb],
    ) -> Result<Self, ReportError> {
        Self::encode(width, height, indices, png::ColorType::Indexed, Some(palette))
    }

    fn encode(
        width: usize,
        height: usize,
        data: &[u8],
        colour: png::ColorType,
        palette: Option<&[Rgb]>,
    ) -> Result<Self, ReportError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        // Neighbouring indices of a palette have nothing to do with each other.
        let filter = if palette.is_some() { png::Filter::NoFilter } else { png::Filter::Adaptive };
        encoder.set_filter(filter);
        if let Some(palette) = palette {
            encoder.set_palette(palette.concat());
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(data)?;
        writer.finish()?;
        Ok(Self { width, height, bytes })
    }

    /// Pixels along a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The picture as an address that holds it.
    pub fn data_uri(&self) -> String {
        let mut address = "data:image/png;base64,".to_owned();
        STANDARD.encode_string(&self.bytes, &mut address);
        address
    }
}

impl Pixels {
    /// Decodes the bytes of a PNG file.
    ///
    /// # Errors
    /// [`ReportError::Decode`]; [`ReportError::Pixels`] for others than 8-bit grey and RGB.
    pub fn decode(bytes: &[u8]) -> Result<Self, ReportError> {
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info()?;
        let size = reader
            .output_buffer_size()
            .ok_or_else(|| ReportError::Pixels { got: "too many".to_owned() })?;
        let mut data = vec![0; size];
        let info = reader.next_frame(&mut data)?;
        data.truncate(info.buffer_size());
        let colours = match (info.color_type, info.bit_depth) {
            (png::ColorType::Rgb, png::BitDepth::Eight) => data.as_chunks::<3>().0.to_vec(),
            (png::ColorType::Grayscale, png::BitDepth::Eight) => {
                data.iter().map(|&shade| [shade; 3]).collect()
            }
            got => return Err(ReportError::Pixels { got: format!("{got:?}") }),
        };
        Ok(Self { width: info.width as usize, height: info.height as usize, colours })
    }

    /// The pixels of a rectangle, as far as it lies inside.
    #[must_use]
    pub fn cut(&self, part: Rectangle) -> Self {
        let [left, right] =
            [part.left, part.left.saturating_add(part.width)].map(|x| x.min(self.width));
        let [top, end] =
            [part.top, part.top.saturating_add(part.height)].map(|y| y.min(self.height));
        let row = |y: usize| &self.colours[y * self.width + left..y * self.width + right];
        let colours = (top..end).flat_map(row).copied().collect();
        Self { width: right - left, height: end - top, colours }
    }

    /// A picture of half the size, of the means of 2×2 pixels; an odd last row or column is left out.
    #[must_use]
    pub fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mean = |index: usize| -> Rgb {
            let (x, y) = (index % width * 2, index / width * 2);
            let four = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)];
            std::array::from_fn(|channel| {
                let at = |(x, y): (usize, usize)| self.colours[y * self.width + x][channel];
                ((four.into_iter().map(|place| u16::from(at(place))).sum::<u16>() + 2) / 4) as u8
            })
        };
        Self { width, height, colours: (0..width * height).map(mean).collect() }
    }

    /// The pixels as a file; grey ones take a third.
    ///
    /// # Errors
    /// [`ReportError::Encode`].
    pub fn encode(&self) -> Result<PngImage, ReportError> {
        let Self { width, height, colours } = self;
        if colours.iter().all(|[red, green, blue]| red == green && green == blue) {
            let shades: Vec<u8> = colours.iter().map(|[shade, ..]| *shade).collect();
            return PngImage::grey(*width, *height, &shades);
        }
        let data = colours.as_flattened();
        PngImage::encode(*width, *height, data, png::ColorType::Rgb, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_give_their_pixels_back() {
        let palette = [[1, 2, 3], [200, 100, 50]];
        let pictures = [
            (PngImage::indexed(2, 1, &[1, 0], &palette).unwrap(), vec![palette[1], palette[0]]),
            (PngImage::grey(2, 1, &[7, 9]).unwrap(), vec![[7; 3], [9; 3]]),
        ];
        for (picture, colours) in pictures {
            let pixels = Pixels::decode(picture.bytes()).unwrap();
            assert_eq!(pixels, Pixels { width: 2, height: 1, colours });
            assert_eq!(Pixels::decode(pixels.encode().unwrap().bytes()).unwrap(), pixels);
        }
        assert!(PngImage::grey(2, 2, &[1]).is_err());
        assert!(Pixels::decode(b"no picture").is_err());
    }

    #[test]
    fn a_picture_is_cut_and_halved() {
        let colours = (0..15).map(|shade| [shade * 10; 3]).collect();
        let pixels = Pixels { width: 5, height: 3, colours };
        let cut = pixels.cut(Rectangle { left: 3, top: 1, width: 9, height: 9 });
        assert_eq!((cut.width, cut.height), (2, 2));
        assert_eq!(cut.colours, [[80; 3], [90; 3], [130; 3], [140; 3]]);
        let half = pixels.halved();
        assert_eq!((half.width, half.height), (2, 1));
        assert_eq!(half.colours, [[30; 3], [50; 3]]);
    }
}
