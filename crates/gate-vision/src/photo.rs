//! Reads a picture file that somebody hands in: any orientation, and no trust.

use crate::error::VisionError;
use gate_core::picture::Rgb;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

/// Largest side of a picture, pixels.
pub const SIDE_MAX_PX: u32 = 12_000;
/// Most memory that decoding may take, bytes. A 64-megapixel photo fits.
pub const DECODED_MAX_BYTES: u64 = 256 << 20;
/// Largest file, bytes.
pub const FILE_MAX_BYTES: u64 = 64 << 20;

/// A decoded picture, upright, 8-bit RGB.
pub struct Photo {
    pixels: image::RgbImage,
}

impl Photo {
    /// Reads a JPEG, PNG, WebP, BMP or GIF (first frame) and turns it upright as its EXIF orientation says.
    ///
    /// # Errors
    /// When the file cannot be read, is not such a picture, is damaged, or is larger than the limits above.
    pub fn read(path: &Path) -> Result<Self, VisionError> {
        let file = File::open(path).map_err(|source| VisionError::Io { path: path.to_path_buf(), source })?;
        Self::from_file(&file, path)
    }

    /// The same from an open file, from its first byte; `path` is only for the error message.
    ///
    /// # Errors
    /// See [`Photo::read`].
    pub fn from_file(mut file: &File, path: &Path) -> Result<Self, VisionError> {
        let io = |source| VisionError::Io { path: path.to_path_buf(), source };
        file.rewind().map_err(io)?;
        let mut content = Vec::new();
        file.take(FILE_MAX_BYTES + 1).read_to_end(&mut content).map_err(io)?;
        if content.len() as u64 > FILE_MAX_BYTES {
            let bytes = file.metadata().map_err(io)?.len();
            let why =
                format!("a file of {} MB is no passport picture; at most {} MB", bytes >> 20, FILE_MAX_BYTES >> 20);
            return Err(VisionError::Picture { path: path.to_path_buf(), why });
        }
        Self::decode(&content, path)
    }

    /// The same from the file's bytes; `path` is only for the error message.
    ///
    /// # Errors
    /// See [`Photo::read`].
    pub fn decode(bytes: &[u8], path: &Path) -> Result<Self, VisionError> {
        let refuse = |why: String| VisionError::Picture { path: path.to_path_buf(), why };
        let known = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif];
        let format = image::guess_format(bytes).ok().filter(|f| known.contains(f));
        let format = format.ok_or_else(|| refuse("not a JPEG, PNG, WebP, BMP or GIF picture".into()))?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(SIDE_MAX_PX);
        limits.max_image_height = Some(SIDE_MAX_PX);
        limits.max_alloc = Some(DECODED_MAX_BYTES);
        let explain = |e: ImageError| match e {
            ImageError::Limits(_) => refuse(format!(
                "too large: at most {SIDE_MAX_PX} pixels a side and {} MB decoded; shrink the picture",
                DECODED_MAX_BYTES >> 20
            )),
            other => refuse(format!("damaged or unreadable: {other}")),
        };
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits);
        let mut decoder = reader.into_decoder().map_err(explain)?;
        if decoder.total_bytes() > DECODED_MAX_BYTES {
            return Err(refuse(format!("too large: {} MB decoded; shrink the picture", decoder.total_bytes() >> 20)));
        }
        let orientation = decoder.orientation().map_err(explain)?;
        let mut picture = DynamicImage::from_decoder(decoder).map_err(explain)?;
        picture.apply_orientation(orientation);
        Ok(Self { pixels: picture.into_rgb8() })
    }

    /// The pixels; `None` for an empty picture.
    #[must_use]
    pub fn view(&self) -> Option<Rgb<'_>> {
        Rgb::new(self.pixels.as_raw(), self.pixels.width(), self.pixels.height())
    }

    /// The picture with a grey margin of half its longer side around it, for a face that fills the whole picture.
    #[must_use]
    pub(crate) fn with_margin(&self) -> (Self, u32) {
        let (w, h) = self.pixels.dimensions();
        let margin = w.max(h) / 2;
        let grey = image::Rgb([127, 127, 127]);
        let mut wide = image::RgbImage::from_pixel(w + 2 * margin, h + 2 * margin, grey);
        image::imageops::replace(&mut wide, &self.pixels, i64::from(margin), i64::from(margin));
        (Self { pixels: wide }, margin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(bytes: &[u8]) -> String {
        Photo::decode(bytes, Path::new("visitor.jpg")).err().expect("refused").to_string()
    }

    #[test]
    fn what_is_no_picture_is_refused_by_name() {
        assert!(why(b"%PDF-1.7 not a picture").contains("visitor.jpg: not a JPEG"));
        assert!(why(&[]).contains("not a JPEG"));
    }

    #[test]
    fn a_truncated_picture_is_refused_as_damaged() {
        let mut png = Vec::new();
        image::RgbImage::new(64, 64).write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
        png.truncate(60);
        assert!(why(&png).contains("damaged"), "{}", why(&png));
    }

    #[test]
    fn a_decompression_bomb_is_refused_before_it_is_decoded() {
        // A PNG header that promises 60,000 x 60,000 pixels.
        let mut png = Vec::new();
        image::RgbImage::new(8, 8).write_to(&mut Cursor::new(&mut png), ImageFormat::Png).unwrap();
        png[16..20].copy_from_slice(&60_000u32.to_be_bytes());
        png[20..24].copy_from_slice(&60_000u32.to_be_bytes());
        let crc = crc32(&png[12..29]);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        assert!(why(&png).contains("too large"), "{}", why(&png));
    }

    #[test]
    fn exif_orientation_turns_the_picture_upright() {
        // A 20 x 10 JPEG, left half white, with an EXIF orientation of 6: turn it 90 degrees clockwise.
        let picture = image::RgbImage::from_fn(20, 10, |x, _| image::Rgb(if x < 10 { [255; 3] } else { [0; 3] }));
        let mut jpeg = Vec::new();
        picture.write_to(&mut Cursor::new(&mut jpeg), ImageFormat::Jpeg).unwrap();
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0".to_vec();
        let mut segment = vec![0xFF, 0xE1];
        segment.extend(((exif.len() + 2) as u16).to_be_bytes());
        segment.append(&mut exif);
        jpeg.splice(2..2, segment);
        let photo = Photo::decode(&jpeg, Path::new("turned.jpg")).unwrap();
        let view = photo.view().unwrap();
        assert_eq!((view.width_px(), view.height_px()), (10, 20));
        let luma = |x: usize, y: usize| view.data()[(y * 10 + x) * 3];
        assert!(luma(5, 2) > 200 && luma(5, 17) < 50, "the white half must be on top");
    }

    /// CRC-32 (IEEE), for the forged PNG header.
    fn crc32(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |mut crc, byte| {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
            }
            crc
        })
    }
}
