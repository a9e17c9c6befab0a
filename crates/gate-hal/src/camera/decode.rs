//! From a camera's raw buffer to RGB: one pass, integers only, straight into the frame's own buffer.
//!
//! YUV is taken as ITU-R BT.601, limited range (Y 16..=235), what UVC cameras send:
//! ```text
//!   R = (298 (Y-16)              + 409 (V-128) + 128) >> 8
//!   G = (298 (Y-16) - 100 (U-128) - 208 (V-128) + 128) >> 8
//!   B = (298 (Y-16) + 516 (U-128)              + 128) >> 8
//! ```

use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::{ColorType, ImageDecoder};

use super::jpeg::jpeg_len;
use crate::Frame;

/// What a camera sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Wire {
    /// Y0 U Y1 V.
    Yuyv,
    /// All Y, then U V pairs for 2x2 pixels.
    Nv12,
    /// One JPEG a frame.
    Mjpg,
    /// R G B.
    Rgb,
    /// B G R.
    Bgr,
    /// Y, full range.
    Grey,
}

impl Wire {
    /// All of them, best first: the order in which `auto` prefers.
    pub(crate) const ALL: [Wire; 6] = [Wire::Yuyv, Wire::Nv12, Wire::Mjpg, Wire::Rgb, Wire::Bgr, Wire::Grey];

    /// The name the kernel has for it (`videodev2.h`).
    pub(crate) const fn fourcc(self) -> &'static [u8; 4] {
        match self {
            Wire::Yuyv => b"YUYV",
            Wire::Nv12 => b"NV12",
            Wire::Mjpg => b"MJPG",
            Wire::Rgb => b"RGB3",
            Wire::Bgr => b"BGR3",
            Wire::Grey => b"GREY",
        }
    }

    /// The format that the kernel calls `fourcc`.
    pub(crate) fn from_fourcc(fourcc: &[u8; 4]) -> Option<Self> {
        Self::ALL.into_iter().find(|wire| wire.fourcc() == fourcc)
    }

    /// Bytes of one unpadded row (of the first plane).
    const fn row_bytes(self, width_px: u32) -> usize {
        let width = width_px as usize;
        match self {
            Wire::Yuyv => width.div_ceil(2) * 4,
            Wire::Nv12 | Wire::Grey | Wire::Mjpg => width,
            Wire::Rgb | Wire::Bgr => width * 3,
        }
    }
}

/// The shape of a camera's raw frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) wire: Wire,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Bytes from one row to the next; 0 when the driver does not say: then rows are unpadded.
    pub(crate) stride_bytes: u32,
}

/// Decodes one raw frame into `frame` (pixels and size; number and time are the caller's).
///
/// # Errors
/// What is wrong with the data: too short, damaged, another size than negotiated.
pub(crate) fn decode(layout: &Layout, data: &[u8], frame: &mut Frame) -> Result<(), String> {
    let Layout { wire, width_px, height_px, .. } = *layout;
    if wire == Wire::Mjpg {
        return mjpg(layout, data, frame);
    }
    let row = wire.row_bytes(width_px);
    let stride = row.max(layout.stride_bytes as usize);
    let (width, height) = (width_px as usize, height_px as usize);
    if width == 0 || height == 0 {
        return Err("the driver says the picture has no pixels".to_owned());
    }
    // The last row needs no padding behind it.
    let luma_bytes = stride * (height - 1) + row;
    let needed = match wire {
        Wire::Nv12 => stride * height + stride * (height.div_ceil(2) - 1) + width.div_ceil(2) * 2,
        _ => luma_bytes,
    };
    let data = data
        .get(..needed)
        .ok_or_else(|| format!("{} bytes of the {needed} that {width_px}x{height_px} {wire:?} needs", data.len()))?;
    let rgb = frame.reshape(width_px, height_px);
    pulp::Arch::new().dispatch(Convert { wire, data, rows: (stride, row), rgb, size: (width, height) });
    Ok(())
}

/// [`convert`] for what this processor has beyond the least of its kind. A closure would be compiled for the least: nothing makes
/// the compiler put it into the function that is for more.
struct Convert<'a> {
    wire: Wire,
    data: &'a [u8],
    rows: (usize, usize),
    rgb: &'a mut [u8],
    size: (usize, usize),
}

impl pulp::WithSimd for Convert<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        convert(self.wire, self.data, self.rows, self.rgb, self.size);
    }
}

/// Converts checked data of `stride` bytes from row to row, of which `row` count.
#[inline(always)]
fn convert(wire: Wire, data: &[u8], (stride, row): (usize, usize), rgb: &mut [u8], (width, height): (usize, usize)) {
    // Loops and no closures, for the same reason.
    for (y, (from, to)) in data.chunks(stride).zip(rgb.chunks_exact_mut(width * 3)).enumerate() {
        let from = &from[..row];
        match wire {
            Wire::Yuyv => yuyv_row(from, to),
            Wire::Rgb => to.copy_from_slice(from),
            Wire::Bgr => bgr_row(from, to),
            Wire::Grey => grey_row(from, to),
            Wire::Nv12 => nv12_row(from, &data[stride * (height + y / 2)..][..width.div_ceil(2) * 2], to),
            Wire::Mjpg => {}
        }
    }
}

/// Pairs of pixels that are converted together.
const PAIRS: usize = 64;

/// Y U Y V of as many pairs of pixels to R G B R G B, BT.601 limited range. Colour by colour first: so the compiler finds
/// work for vector registers on every processor.
#[inline(always)]
fn pairs_to_rgb(pairs: &[[u8; 4]; PAIRS], rgb: &mut [u8; 6 * PAIRS]) {
    let level = |value: i32| (value >> 8).clamp(0, 255) as u8;
    let mut levels = [[0; PAIRS]; 6];
    for (i, [y0, u, y1, v]) in pairs.iter().enumerate() {
        let (d, e) = (i32::from(*u) - 128, i32::from(*v) - 128);
        let (r, g, b) = (409 * e, -100 * d - 208 * e, 516 * d);
        let (first, second) = (298 * (i32::from(*y0) - 16) + 128, 298 * (i32::from(*y1) - 16) + 128);
        levels[0][i] = level(first + r);
        levels[1][i] = level(first + g);
        levels[2][i] = level(first + b);
        levels[3][i] = level(second + r);
        levels[4][i] = level(second + g);
        levels[5][i] = level(second + b);
    }
    for (i, pair) in rgb.as_chunks_mut::<6>().0.iter_mut().enumerate() {
        *pair = [levels[0][i], levels[1][i], levels[2][i], levels[3][i], levels[4][i], levels[5][i]];
    }
}

/// The same for what is left of a row, down to half a pair where its width is odd.
#[inline(always)]
fn rest_to_rgb(pairs: impl Iterator<Item = [u8; 4]>, rgb: &mut [u8]) {
    let (mut padded, mut levels) = ([[0; 4]; PAIRS], [0; 6 * PAIRS]);
    padded.iter_mut().zip(pairs).for_each(|(to, from)| *to = from);
    pairs_to_rgb(&padded, &mut levels);
    rgb.copy_from_slice(&levels[..rgb.len()]);
}

#[inline(always)]
fn yuyv_row(from: &[u8], to: &mut [u8]) {
    let (to_blocks, to_rest) = to.as_chunks_mut::<{ 6 * PAIRS }>();
    let (blocks, rest) = from.as_chunks::<4>().0.split_at(to_blocks.len() * PAIRS);
    for (from, to) in blocks.as_chunks::<PAIRS>().0.iter().zip(to_blocks) {
        pairs_to_rgb(from, to);
    }
    rest_to_rgb(rest.iter().copied(), to_rest);
}

#[inline(always)]
fn nv12_row(luma: &[u8], chroma: &[u8], to: &mut [u8]) {
    // An odd width ends in half a pair.
    let pair = |(y, uv): (&[u8], &[u8; 2])| [y[0], uv[0], y.get(1).copied().unwrap_or(0), uv[1]];
    let (to_blocks, to_rest) = to.as_chunks_mut::<{ 6 * PAIRS }>();
    let done = to_blocks.len() * PAIRS;
    let (luma_blocks, luma_rest) = luma.split_at(2 * done);
    let (chroma_blocks, chroma_rest) = chroma.as_chunks::<2>().0.split_at(done);
    let blocks = luma_blocks.as_chunks::<{ 2 * PAIRS }>().0.iter().zip(chroma_blocks.as_chunks::<PAIRS>().0);
    for ((luma, chroma), to) in blocks.zip(to_blocks) {
        let luma = luma.as_chunks::<2>().0;
        let pairs = std::array::from_fn(
            #[inline(always)]
            |i| [luma[i][0], chroma[i][0], luma[i][1], chroma[i][1]],
        );
        pairs_to_rgb(&pairs, to);
    }
    rest_to_rgb(luma_rest.chunks(2).zip(chroma_rest).map(pair), to_rest);
}

#[inline(always)]
fn bgr_row(from: &[u8], to: &mut [u8]) {
    for (bgr, rgb) in from.chunks_exact(3).zip(to.chunks_exact_mut(3)) {
        rgb.copy_from_slice(&[bgr[2], bgr[1], bgr[0]]);
    }
}

#[inline(always)]
fn grey_row(from: &[u8], to: &mut [u8]) {
    for (level, rgb) in from.iter().zip(to.chunks_exact_mut(3)) {
        rgb.fill(*level);
    }
}

fn mjpg(layout: &Layout, data: &[u8], frame: &mut Frame) -> Result<(), String> {
    let length = jpeg_len(data).ok_or("the JPEG is cut off or is none")?;
    let decoder = JpegDecoder::new(Cursor::new(&data[..length])).map_err(|error| error.to_string())?;
    // Before any pixel is decoded: a frame of another size than negotiated is damaged, or an attempt to eat memory.
    let (width_px, height_px) = decoder.dimensions();
    if (width_px, height_px) != (layout.width_px, layout.height_px) {
        let asked = format!("{}x{}", layout.width_px, layout.height_px);
        return Err(format!("the JPEG is {width_px}x{height_px}, the camera agreed to {asked}"));
    }
    let filled = match decoder.color_type() {
        ColorType::Rgb8 => decoder.read_image(frame.reshape(width_px, height_px)),
        ColorType::L8 => {
            let mut grey = vec![0; width_px as usize * height_px as usize];
            let read = decoder.read_image(&mut grey);
            grey_row(&grey, frame.reshape(width_px, height_px));
            read
        }
        other => return Err(format!("the JPEG has the colours {other:?}")),
    };
    filled.map_err(|error| error.to_string())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A smooth colour ramp, the same for all formats.
    fn ramp(width_px: u32, height_px: u32) -> image::RgbImage {
        image::RgbImage::from_fn(width_px, height_px, |x, y| {
            let level = |part: u32, whole: u32| (20 + part * 200 / whole.max(1)) as u8;
            image::Rgb([level(x, width_px), level(y, height_px), level(x + y, width_px + height_px)])
        })
    }

    /// The ramp as a JPEG.
    pub(crate) fn jpeg(width_px: u32, height_px: u32, quality: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
        ramp(width_px, height_px).write_with_encoder(encoder).unwrap();
        bytes
    }

    /// BT.601 limited range, in floating point and the other way round: independent of the code under test.
    fn to_yuv([r, g, b]: [u8; 3]) -> [f64; 3] {
        let (r, g, b) = (f64::from(r), f64::from(g), f64::from(b));
        [
            16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0,
            128.0 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255.0,
            128.0 + (112.0 * r - 93.786 * g - 18.214 * b) / 255.0,
        ]
    }

    fn mean(values: &[f64]) -> u8 {
        (values.iter().sum::<f64>() / values.len() as f64).round() as u8
    }

    fn encode(wire: Wire, picture: &image::RgbImage, stride: usize) -> Vec<u8> {
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let yuv = |x: usize, y: usize| to_yuv(picture.get_pixel(x.min(width - 1) as u32, y.min(height - 1) as u32).0);
        let mut out = Vec::new();
        for y in 0..height {
            let begin = out.len();
            match wire {
                Wire::Yuyv => (0..width).step_by(2).for_each(|x| {
                    let (a, b) = (yuv(x, y), yuv(x + 1, y));
                    out.extend([a[0].round() as u8, mean(&[a[1], b[1]]), b[0].round() as u8, mean(&[a[2], b[2]])]);
                }),
                Wire::Nv12 => (0..width).for_each(|x| out.push(yuv(x, y)[0].round() as u8)),
                _ => (0..width).for_each(|x| {
                    let [r, g, b] = picture.get_pixel(x as u32, y as u32).0;
                    match wire {
                        Wire::Rgb => out.extend([r, g, b]),
                        Wire::Bgr => out.extend([b, g, r]),
                        _ => out.push(g),
                    }
                }),
            }
            out.resize(begin + stride, 0xAA);
        }
        for y in (0..height).step_by(2).take_while(|_| wire == Wire::Nv12) {
            let begin = out.len();
            for x in (0..width).step_by(2) {
                let four = [yuv(x, y), yuv(x + 1, y), yuv(x, y + 1), yuv(x + 1, y + 1)];
                out.extend([1, 2].map(|plane| mean(&four.map(|pixel| pixel[plane]))));
            }
            out.resize(begin + stride, 0xAA);
        }
        out
    }

    #[track_caller]
    fn assert_near(frame: &Frame, picture: &image::RgbImage, levels: u8) {
        assert_eq!((frame.width_px, frame.height_px), picture.dimensions());
        for (at, (got, want)) in frame.rgb.iter().zip(picture.as_raw()).enumerate() {
            assert!(got.abs_diff(*want) <= levels, "byte {at}: {got} instead of {want}");
        }
    }

    #[test]
    fn every_format_gives_the_ramp_back_with_and_without_padding() {
        for (width_px, height_px) in [(128, 96), (127, 95), (261, 195), (2, 2), (1, 1)] {
            let picture = ramp(width_px, height_px);
            for wire in [Wire::Yuyv, Wire::Nv12, Wire::Rgb, Wire::Bgr] {
                // On the smallest pictures neighbours that share a chroma sample differ by far.
                let levels = if width_px < 3 { 110 } else { 3 };
                for padding in [0, 32] {
                    let stride = wire.row_bytes(width_px).next_multiple_of(2) + padding;
                    let layout = Layout { wire, width_px, height_px, stride_bytes: stride as u32 };
                    let mut frame = Frame::empty();
                    decode(&layout, &encode(wire, &picture, stride), &mut frame).unwrap();
                    assert_near(&frame, &picture, levels);
                }
            }
        }
    }

    #[test]
    fn black_white_and_the_primaries_are_exact() {
        // Studio black and white, and the values of BT.601 for pure red, green and blue.
        for (yuv, rgb) in [
            ([16, 128, 128], [0, 0, 0]),
            ([235, 128, 128], [255, 255, 255]),
            ([81, 90, 240], [255, 0, 0]),
            ([145, 54, 34], [0, 255, 0]),
            ([41, 240, 110], [0, 0, 255]),
            ([0, 128, 128], [0, 0, 0]),
            ([255, 128, 128], [255, 255, 255]),
        ] {
            let [y, u, v] = yuv;
            let mut got = [0; 6];
            rest_to_rgb([[y, u, y, v]].into_iter(), &mut got);
            assert!(
                got.iter().zip(rgb.into_iter().cycle()).all(|(got, want)| got.abs_diff(want) <= 1),
                "{yuv:?}: {got:?}"
            );
        }
    }

    #[test]
    fn grey_is_the_same_level_in_each_channel() {
        let layout = Layout { wire: Wire::Grey, width_px: 3, height_px: 2, stride_bytes: 0 };
        let mut frame = Frame::empty();
        decode(&layout, &[0, 7, 255, 1, 2, 3], &mut frame).unwrap();
        assert_eq!(frame.rgb, [0, 0, 0, 7, 7, 7, 255, 255, 255, 1, 1, 1, 2, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn mjpg_gives_the_ramp_back_whatever_follows_its_end() {
        let picture = ramp(160, 120);
        let layout = Layout { wire: Wire::Mjpg, width_px: 160, height_px: 120, stride_bytes: 0 };
        for tail in [vec![], vec![0; 4096], jpeg(160, 120, 10)] {
            let mut frame = Frame::empty();
            decode(&layout, &[jpeg(160, 120, 100), tail].concat(), &mut frame).unwrap();
            assert_near(&frame, &picture, 3);
        }
    }

    #[test]
    fn mjpg_without_huffman_tables_is_read_as_many_webcams_send_it() {
        let whole = jpeg(160, 120, 90);
        let mut bare = whole[..2].to_vec();
        // What such cameras put in: an APP0 segment that begins with AVI1.
        bare.extend([0xFF, 0xE0, 0, 16]);
        bare.extend(b"AVI1\0\0\0\0\0\0\0\0\0\0");
        let mut at = 2;
        while whole[at + 1] != 0xDA {
            let length = usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]])) + 2;
            if !matches!(whole[at + 1], 0xC4 | 0xE0) {
                bare.extend(&whole[at..at + length]);
            }
            at += length;
        }
        bare.extend(&whole[at..]);
        let layout = Layout { wire: Wire::Mjpg, width_px: 160, height_px: 120, stride_bytes: 0 };
        let mut frame = Frame::empty();
        decode(&layout, &bare, &mut frame).unwrap();
        assert_near(&frame, &ramp(160, 120), 12);
    }

    #[test]
    fn a_grey_mjpg_is_read_too_and_another_size_is_refused() {
        let grey = image::GrayImage::from_pixel(32, 16, image::Luma([99]));
        let mut bytes = Vec::new();
        grey.write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 100)).unwrap();
        let mut frame = Frame::empty();
        let layout = Layout { wire: Wire::Mjpg, width_px: 32, height_px: 16, stride_bytes: 0 };
        decode(&layout, &bytes, &mut frame).unwrap();
        assert!(frame.rgb.iter().all(|level| level.abs_diff(99) <= 1));
        let other = Layout { width_px: 16, height_px: 32, ..layout };
        assert!(decode(&other, &bytes, &mut frame).unwrap_err().contains("32x16"));
    }

    #[test]
    fn short_buffers_are_errors_in_every_format() {
        for wire in Wire::ALL {
            for (width_px, height_px) in [(16, 8), (15, 7), (1, 1)] {
                let stride = wire.row_bytes(width_px).next_multiple_of(2);
                let layout = Layout { wire, width_px, height_px, stride_bytes: stride as u32 };
                let whole = match wire {
                    Wire::Mjpg => jpeg(width_px, height_px, 80),
                    _ => encode(wire, &ramp(width_px, height_px), stride),
                };
                let mut frame = Frame::empty();
                decode(&layout, &whole, &mut frame).unwrap();
                // One byte of padding may lack where the row is shorter than the stride; more may not.
                for length in 0..whole.len() - (stride - wire.row_bytes(width_px)) {
                    let _ = decode(&layout, &whole[..length], &mut frame).unwrap_err();
                }
            }
        }
    }

    #[test]
    fn garbage_never_panics() {
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        let mut random = move || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed
        };
        let good = jpeg(64, 48, 80);
        let mut frame = Frame::empty();
        for round in 0..3_000 {
            let (width_px, height_px) = ((random() % 70) as u32, (random() % 50) as u32);
            let wire = Wire::ALL[(random() % 6) as usize];
            let mut layout = Layout { wire, width_px, height_px, stride_bytes: (random() % 300) as u32 };
            let mut data: Vec<u8> = (0..random() % 9_000).map(|_| random() as u8).collect();
            if round % 2 == 0 {
                layout = Layout { wire: Wire::Mjpg, width_px: 64, height_px: 48, stride_bytes: 0 };
                data.clone_from(&good);
                for _ in 0..1 + random() % 5 {
                    let at = (random() % data.len() as u64) as usize;
                    data[at] = random() as u8;
                }
            }
            if decode(&layout, &data, &mut frame).is_ok() {
                assert!(frame.view().is_some());
            }
        }
    }
}
