//! Reads a picture file that somebody hands in: any orientation, and no trust.

mod budget;
mod webp;

pub use budget::MEMORY_MAX_BYTES;

use crate::error::VisionError;
use budget::{Decoded, METADATA_MAX_BYTES, Plan};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use gate_core::geometry::Rect;
use gate_core::picture::Rgb;
use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use std::fs::File;
use std::io::{Cursor, Read, Seek};
use std::path::Path;

/// Largest side of a picture, pixels.
pub const SIDE_MAX_PX: u32 = 12_000;
/// Largest file, bytes.
pub const FILE_MAX_BYTES: u64 = 64 << 20;

/// A decoded picture, upright, 8-bit RGB.
pub struct Photo {
    pixels: RgbImage,
}

impl Photo {
    /// Reads a JPEG, PNG, lossy WebP, BMP or GIF (first frame) and turns it upright as its EXIF orientation says.
    ///
    /// Takes at most [`MEMORY_MAX_BYTES`].
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
        let size = file.metadata().map_err(io)?.len().min(FILE_MAX_BYTES + 1);

        // Not by its stated size alone: it may grow meanwhile.
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > FILE_MAX_BYTES {
            let why = format!("a file of more than {} MB is no passport picture: shrink it", FILE_MAX_BYTES >> 20);
            return Err(VisionError::Picture { path: path.to_path_buf(), why });
        }
        Self::decode(bytes, path)
    }

    /// The same from the file's bytes; `path` is only for the error message.
    ///
    /// # Errors
    /// See [`Photo::read`].
    pub fn decode(bytes: Vec<u8>, path: &Path) -> Result<Self, VisionError> {
        let refuse = |why: String| VisionError::Picture { path: path.to_path_buf(), why };
        let known = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp, ImageFormat::Gif];
        let format = image::guess_format(&bytes).ok().filter(|f| known.contains(f));
        let format = format.ok_or_else(|| refuse("not a JPEG, PNG, WebP, BMP or GIF picture".into()))?;
        Self::decode_as(format, bytes).map_err(|fault| {
            refuse(match fault {
                Fault::TooLarge | Fault::Image(ImageError::Limits(_)) => format!(
                    "too large: at most {SIDE_MAX_PX} pixels a side and {} MB of memory to read it; shrink the picture",
                    MEMORY_MAX_BYTES >> 20
                ),
                Fault::NotLossy => "a lossless, animated or damaged WebP: save it as JPEG or PNG".into(),
                Fault::Image(other) => format!("damaged or unreadable: {}", other.to_string().trim_end()),
            })
        })
    }

    fn decode_as(format: ImageFormat, mut bytes: Vec<u8>) -> Result<Self, Fault> {
        let mut exif = None;
        if format == ImageFormat::WebP {
            let lossy = webp::Lossy::read(&bytes).ok_or(Fault::NotLossy)?;
            (bytes, exif) = (lossy.file, lossy.exif);
        }
        let plan = Plan::new(format, &bytes);

        let mut limits = Limits::default();
        limits.max_image_width = Some(SIDE_MAX_PX);
        limits.max_image_height = Some(SIDE_MAX_PX);
        limits.max_alloc = Some(METADATA_MAX_BYTES);
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(limits.clone());
        let mut decoder = reader.into_decoder()?;
        let orientation = match exif {
            Some(exif) => {
                // Some programs write the prefix that EXIF has in a JPEG.
                let tiff = exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif);
                Orientation::from_exif_chunk(tiff).unwrap_or(Orientation::NoTransforms)
            }
            None => decoder.orientation()?,
        };

        let (width_px, height_px) = decoder.dimensions();
        let left_bytes = plan.left_bytes(&Decoded {
            width_px,
            height_px,
            bytes: decoder.total_bytes(),
            is_rgb: decoder.color_type() == ColorType::Rgb8,
            is_turned: turns(orientation),
        });
        limits.max_alloc = Some(left_bytes.ok_or(Fault::TooLarge)?);
        decoder.set_limits(limits)?;

        let picture = DynamicImage::from_decoder(decoder)?;
        Ok(Self { pixels: upright(picture.into_rgb8(), orientation) })
    }

    /// The pixels; `None` for an empty picture.
    #[must_use]
    pub fn view(&self) -> Option<Rgb<'_>> {
        Rgb::new(self.pixels.as_raw(), self.pixels.width(), self.pixels.height())
    }
}

/// Why a picture is refused.
enum Fault {
    TooLarge,
    NotLossy,
    Image(ImageError),
}

impl From<ImageError> for Fault {
    fn from(error: ImageError) -> Self {
        Fault::Image(error)
    }
}

/// Whether width and height change places.
fn turns(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate90FlipH | Rotate270 | Rotate270FlipH)
}

/// Turns a picture in place, but for one channel at a time: the whole picture twice would be over the budget.
fn upright(picture: RgbImage, orientation: Orientation) -> RgbImage {
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    if !turns(orientation) || width == 0 || height == 0 {
        let mut picture = DynamicImage::from(picture);
        picture.apply_orientation(orientation);
        return picture.into_rgb8();
    }

    // Both quarter turns are the transposed picture, flipped one way or the other.
    let mut rgb = picture.into_raw();
    let mut channel = vec![0; width * height];
    for colour in 0..3 {
        for (value, pixel) in channel.iter_mut().zip(rgb.chunks_exact(3)) {
            *value = pixel[colour];
        }
        for (x, row) in rgb.chunks_exact_mut(3 * height).enumerate() {
            for (y, pixel) in row.chunks_exact_mut(3).enumerate() {
                pixel[colour] = channel[y * width + x];
            }
        }
    }
    drop(channel);

    let Some(transposed) = RgbImage::from_raw(height as u32, width as u32, rgb) else { return RgbImage::default() };
    let mut picture = DynamicImage::from(transposed);
    picture.apply_orientation(match orientation {
        Orientation::Rotate90 => Orientation::FlipHorizontal,
        Orientation::Rotate270 => Orientation::FlipVertical,
        Orientation::Rotate270FlipH => Orientation::Rotate180,
        _ => Orientation::NoTransforms,
    });
    picture.into_rgb8()
}

/// A part of a picture, shrunk until no side is longer than `side_max_px`.
///
/// # Errors
/// When the part has no pixels.
pub fn cut(picture: Rgb<'_>, part: &Rect, side_max_px: u32) -> Result<RgbImage, VisionError> {
    let fail = |e: &dyn std::fmt::Display| VisionError::Picture { path: "a face".into(), why: e.to_string() };
    let edge = |at: f32, side: u32| at.clamp(0.0, side as f32) as u32;
    let (width, height) = (picture.width_px(), picture.height_px());
    let (left, top) = (edge(part.x, width.saturating_sub(1)), edge(part.y, height.saturating_sub(1)));
    let (right, bottom) = (edge(part.x + part.w, width), edge(part.y + part.h, height));
    let (w, h) = (right.saturating_sub(left).max(1), bottom.saturating_sub(top).max(1));

    let longest = w.max(h);
    let shrink = |side: u32| -> u32 {
        if longest <= side_max_px {
            return side;
        }
        (u64::from(side) * u64::from(side_max_px) / u64::from(longest)).max(1) as u32
    };
    let mut cut = RgbImage::new(shrink(w), shrink(h));
    let source = TypedImageRef::<U8x3>::from_buffer(width, height, picture.data()).map_err(|e| fail(&e))?;
    let (cut_width, cut_height) = cut.dimensions();
    let mut target = TypedImage::<U8x3>::from_buffer(cut_width, cut_height, &mut cut).map_err(|e| fail(&e))?;
    let part = [left, top, w, h].map(f64::from);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(part[0], part[1], part[2], part[3]);
    Resizer::new().resize_typed(&source, &mut target, &options).map_err(|e| fail(&e))?;
    drop(target);
    Ok(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(bytes: &[u8]) -> String {
        Photo::decode(bytes.to_vec(), Path::new("visitor.jpg")).err().expect("refused").to_string()
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
    fn turning_in_place_is_the_same_as_turning_a_copy() {
        let picture = RgbImage::from_fn(5, 3, |x, y| image::Rgb([x as u8, y as u8, (x * y) as u8]));
        for exif in 1..=8 {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut copy = DynamicImage::from(picture.clone());
            copy.apply_orientation(orientation);
            assert_eq!(upright(picture.clone(), orientation), copy.into_rgb8(), "{orientation:?}");
        }
    }

    #[test]
    fn a_part_is_cut_out_and_shrunk_within_the_picture() {
        let picture = RgbImage::from_fn(40, 20, |x, _| image::Rgb([if x < 20 { 10 } else { 200 }; 3]));
        let view = Rgb::new(picture.as_raw(), 40, 20).unwrap();
        let size = |x, w, side| cut(view, &Rect { x, y: -5.0, w, h: 100.0 }, side).unwrap().dimensions();
        assert_eq!([size(20.0, 10.0, 100), size(20.0, 100.0, 10), size(90.0, 9.0, 9)], [(10, 20), (10, 10), (1, 9)]);
        let right = cut(view, &Rect { x: 20.0, y: 0.0, w: 20.0, h: 20.0 }, 5).unwrap();
        // At its edge the kernel may reach beyond the part.
        assert!(right.enumerate_pixels().all(|(x, _, pixel)| x == 0 || pixel.0 == [200; 3]));
    }

    #[test]
    fn a_lossless_webp_is_refused_with_what_to_do() {
        let mut webp = Cursor::new(Vec::new());
        RgbImage::new(8, 8).write_to(&mut webp, ImageFormat::WebP).unwrap();
        assert!(why(webp.get_ref()).contains("save it as JPEG or PNG"));
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
        let photo = Photo::decode(jpeg, Path::new("turned.jpg")).unwrap();
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
