//! The memory that one picture may take, and what a decoder will take of it, known before anything is decoded.
//!
//! ```text
//!   decoding      the decoder's working memory + decoded pixels
//!   converting    decoded pixels + RGB                             unless they are RGB already
//!   turning       RGB + one channel                                unless the picture is upright
//!   detecting     RGB + a copy no larger than the detector sees
//! ```
//! The picture is refused when the largest of these is over [`MEMORY_MAX_BYTES`]. Everything after decoding works on the RGB
//! pixels in place or on something bounded by the networks, so no later step needs a check of its own.

use image::ImageFormat;

/// The most memory that everything that happens to one picture may take, bytes. An upright 64-megapixel JPEG fits.
pub const MEMORY_MAX_BYTES: u64 = 256 << 20;
/// What decoders keep apart from files and pixels: metadata, tables, rows.
const FIXED_BYTES: u64 = 8 << 20;
/// The most metadata that a PNG may have, bytes.
pub(super) const METADATA_MAX_BYTES: u64 = 4 << 20;

/// What is known of a picture before it is decoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    format: ImageFormat,
    file_bytes: u64,
    /// JPEG only: bytes of coefficients that the decoder keeps for each pixel.
    coefficient_bytes: u64,
}

/// How a picture will come out of its decoder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoded {
    pub(super) width_px: u32,
    pub(super) height_px: u32,
    pub(super) bytes: u64,
    pub(super) is_rgb: bool,
    /// Whether it lies on its side.
    pub(super) is_turned: bool,
}

impl Plan {
    pub(super) fn new(format: ImageFormat, file: &[u8]) -> Self {
        let coefficient_bytes = if format == ImageFormat::Jpeg { coefficient_bytes(file) } else { 0 };
        Self { format, file_bytes: file.len() as u64, coefficient_bytes }
    }

    /// What is left for buffers that a decoder makes by itself and accounts for, or `None` when the picture does not fit.
    pub(super) fn left_bytes(&self, decoded: &Decoded) -> Option<u64> {
        let left = MEMORY_MAX_BYTES.checked_sub(FIXED_BYTES + self.working_bytes(decoded) + decoded.bytes)?;
        (self.peak_bytes(decoded) <= MEMORY_MAX_BYTES).then_some(left)
    }

    /// The most memory that reading this picture takes at any moment.
    pub(super) fn peak_bytes(&self, decoded: &Decoded) -> u64 {
        let rgb = 3 * decoded.pixels(1);
        let decoding = self.working_bytes(decoded) + decoded.bytes;
        let converting = if decoded.is_rgb { rgb } else { decoded.bytes + rgb };
        let turning = if decoded.is_turned { rgb + decoded.pixels(1) } else { rgb };
        FIXED_BYTES + decoding.max(converting).max(turning)
    }

    /// What the decoder takes besides the decoded pixels: the file included.
    fn working_bytes(&self, decoded: &Decoded) -> u64 {
        match self.format {
            // The decoder has a copy of the file and one of its metadata. Coefficients are kept in whole MCUs.
            ImageFormat::Jpeg => 2 * self.file_bytes + self.coefficient_bytes * decoded.pixels(32),
            // Partitions are read into a growing buffer and copied; planes are YUV 4:2:0 in whole macroblocks.
            ImageFormat::WebP => 4 * self.file_bytes + 3 * decoded.pixels(16) / 2,
            // A GIF's frame is within `left_bytes`.
            ImageFormat::Png => self.file_bytes + METADATA_MAX_BYTES,
            _ => self.file_bytes,
        }
    }
}

impl Decoded {
    /// Pixels when each side is a multiple of `grid`.
    fn pixels(&self, grid: u32) -> u64 {
        let side = |side_px: u32| u64::from(side_px).next_multiple_of(u64::from(grid));
        side(self.width_px) * side(self.height_px)
    }
}

/// How many bytes of coefficients the decoder keeps for each pixel: none for a baseline picture in one scan.
///
/// What is not certain counts as the costly kind: four components.
fn coefficient_bytes(jpeg: &[u8]) -> u64 {
    const BYTES: u64 = 2;
    const COMPONENTS_MAX: u64 = 4;
    match first_scan(jpeg) {
        Some(Scan { is_sequential: true, components, in_scan }) if components == in_scan => 0,
        Some(scan) => BYTES * u64::from(scan.components).min(COMPONENTS_MAX),
        None => BYTES * COMPONENTS_MAX,
    }
}

/// A JPEG's frame and its first scan.
struct Scan {
    is_sequential: bool,
    components: u8,
    in_scan: u8,
}

/// Reads markers until the first scan; `None` when they are not one after the other.
fn first_scan(jpeg: &[u8]) -> Option<Scan> {
    const SOI: [u8; 2] = [0xFF, 0xD8];
    const SOS: u8 = 0xDA;
    let mut rest = jpeg.strip_prefix(&SOI)?;
    let mut frame = None;
    loop {
        let (&[0xFF, marker, high, low], _) = rest.split_first_chunk::<4>()? else { return None };
        let segment = rest.get(4..2 + usize::from(u16::from_be_bytes([high, low])))?;
        match marker {
            SOS => {
                let (is_sequential, components) = frame?;
                return Some(Scan { is_sequential, components, in_scan: *segment.first()? });
            }
            // DHT, JPG and DAC are no frames.
            0xC4 | 0xC8 | 0xCC => {}
            0xC0..=0xCF if frame.is_some() => return None,
            0xC0..=0xCF => frame = Some((marker <= 0xC1, *segment.get(5)?)),
            _ => {}
        }
        rest = rest.get(4 + segment.len()..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn decoded(width_px: u32, height_px: u32, bytes_per_pixel: u64) -> Decoded {
        let bytes = u64::from(width_px) * u64::from(height_px) * bytes_per_pixel;
        Decoded { width_px, height_px, bytes, is_rgb: bytes_per_pixel == 3, is_turned: false }
    }

    fn plan(format: ImageFormat, file_mib: u64, coefficient_bytes: u64) -> Plan {
        Plan { format, file_bytes: file_mib * MIB, coefficient_bytes }
    }

    #[test]
    fn a_phones_pictures_fit_and_what_would_take_more_does_not() {
        let baseline = plan(ImageFormat::Jpeg, 20, 0);
        assert!(baseline.left_bytes(&decoded(8000, 8000, 3)).is_some());
        assert!(baseline.left_bytes(&Decoded { is_turned: true, ..decoded(8000, 8000, 3) }).is_some());
        assert!(baseline.left_bytes(&decoded(12_000, 9000, 3)).is_none());

        let progressive = plan(ImageFormat::Jpeg, 10, 6);
        assert!(progressive.left_bytes(&decoded(5600, 4200, 3)).is_some());
        assert!(progressive.left_bytes(&decoded(8000, 6000, 3)).is_none());

        assert!(plan(ImageFormat::Png, 40, 0).left_bytes(&decoded(4000, 4000, 8)).is_some());
        assert!(plan(ImageFormat::Png, 1, 0).left_bytes(&decoded(12_000, 12_000, 1)).is_none());
        assert!(plan(ImageFormat::Gif, 1, 0).left_bytes(&decoded(12_000, 12_000, 4)).is_none());
    }

    #[test]
    fn a_jpeg_whose_first_scan_is_not_all_of_it_counts_its_coefficients() {
        let frame = |marker: u8| vec![0xFF, marker, 0, 17, 8, 0, 9, 0, 9, 3, 1, 17, 0, 2, 17, 0, 3, 17, 0];
        let scan = |components: u8| vec![0xFF, 0xDA, 0, 3, components];
        let jpeg = |parts: &[Vec<u8>]| [vec![0xFF, 0xD8], parts.concat()].concat();
        assert_eq!(coefficient_bytes(&jpeg(&[frame(0xC0), scan(3)])), 0);
        assert_eq!(coefficient_bytes(&jpeg(&[vec![0xFF, 0xC4, 0, 2], frame(0xC1), scan(3)])), 0);
        assert_eq!(coefficient_bytes(&jpeg(&[frame(0xC0), scan(1)])), 6);
        assert_eq!(coefficient_bytes(&jpeg(&[frame(0xC2), scan(3)])), 6);
        // Two frames, a byte between segments, a cut: nothing is certain.
        for doubtful in [
            jpeg(&[frame(0xC0), frame(0xC2), scan(3)]),
            jpeg(&[vec![0], frame(0xC0), scan(3)]),
            jpeg(&[frame(0xC0)]),
            jpeg(&[scan(3)]),
            Vec::new(),
        ] {
            assert_eq!(coefficient_bytes(&doubtful), 8, "{doubtful:?}");
        }
    }
}
