//! A network as the detector, the encoder and liveness run it: planes in, rows of numbers out.

use crate::card::{Card, Channels, Input};
use crate::error::VisionError;
use crate::runtime::{Runtime, SessionOptions};
use ort::session::{Session, SessionOutputs};
use ort::value::TensorRef;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A loaded network of one input, and its card.
pub(crate) struct Network {
    card: Card,
    session: Session,
    input_name: String,
    /// Nanoseconds that ONNX Runtime has worked, on this network and others.
    spent_ns: Arc<AtomicU64>,
}

/// What one run has given, valid until the next.
pub(crate) struct Outputs<'a> {
    card: &'a Card,
    values: SessionOutputs<'a>,
}

impl Network {
    /// Loads the network of this card.
    ///
    /// # Errors
    /// See [`Runtime::session`]; and when the graph has not one input.
    pub(crate) fn load(runtime: &Runtime, card: Card, options: SessionOptions) -> Result<Self, VisionError> {
        let session = runtime.session(&card, options)?;
        let [input] = session.inputs() else { return Err(bad_model(&card, "the graph must have one input")) };
        let input_name = input.name().to_string();
        Ok(Self { card, session, input_name, spent_ns: Arc::clone(runtime.spent_ns()) })
    }

    /// The card.
    pub(crate) fn card(&self) -> &Card {
        &self.card
    }

    /// The place of this output among those of [`Outputs::at`]; `None` when the graph has none of that name.
    pub(crate) fn output(&self, name: &str) -> Option<usize> {
        self.session.outputs().iter().position(|output| output.name() == name)
    }

    /// Runs on an input of `shape` (batch, planes, rows, columns). It is read where it lies; nothing is copied.
    ///
    /// # Errors
    /// When ONNX Runtime refuses.
    pub(crate) fn run(&mut self, shape: [usize; 4], input: &[f32]) -> Result<Outputs<'_>, VisionError> {
        let failed = |e: ort::Error| failed(&self.card, e.to_string());
        let tensor = TensorRef::from_array_view((shape, input)).map_err(failed)?;
        let began = Instant::now();
        let values = self.session.run(ort::inputs![self.input_name.as_str() => tensor]).map_err(failed)?;
        self.spent_ns.fetch_add(began.elapsed().as_nanos() as u64, Ordering::Relaxed);
        Ok(Outputs { card: &self.card, values })
    }
}

impl Outputs<'_> {
    /// The numbers of one output, packed.
    ///
    /// # Errors
    /// When it is not of 32-bit floats.
    pub(crate) fn at(&self, index: usize) -> Result<&[f32], VisionError> {
        let extracted = self.values[index].try_extract_tensor::<f32>();
        extracted.map(|(_, data)| data).map_err(|e| failed(self.card, e.to_string()))
    }
}

/// The network, or its card, cannot be used.
pub(crate) fn bad_model(card: &Card, why: impl Into<String>) -> VisionError {
    VisionError::BadModel { name: card.name.clone(), why: why.into() }
}

/// The network could not be run on this input.
pub(crate) fn failed(card: &Card, why: impl Into<String>) -> VisionError {
    VisionError::Run { name: card.name.clone(), why: why.into() }
}

/// Writes packed RGB rows of `width` pixels into three planes whose rows are `plane_width` apart, in the order and on the
/// scale that `input` asks for. What of the planes no pixel is for stays as it is.
pub(crate) fn write_planes(input: Input, rgb: &[u8], width: usize, planes: &mut [f32], plane_width: usize) {
    pulp::Arch::new().dispatch(Rows { input, rgb, width, planes, plane_width });
}

/// The work of [`write_planes`], for what this processor has beyond the least of its kind. A closure would be compiled for the
/// least: nothing makes the compiler put it into the function that is for more.
struct Rows<'a> {
    input: Input,
    rgb: &'a [u8],
    width: usize,
    planes: &'a mut [f32],
    plane_width: usize,
}

impl pulp::WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { input, rgb, width, planes, plane_width } = self;
        let rows = rgb.chunks_exact(3 * width).zip(plane_rows(input, planes, plane_width));
        for (row, [reds, greens, blues]) in rows {
            let planes = reds.iter_mut().zip(greens).zip(blues);
            for ([r, g, b], ((to_r, to_g), to_b)) in row.as_chunks::<3>().0.iter().zip(planes) {
                *to_r = (f32::from(*r) - input.mean) * input.scale;
                *to_g = (f32::from(*g) - input.mean) * input.scale;
                *to_b = (f32::from(*b) - input.mean) * input.scale;
            }
        }
    }
}

/// The same, shrunk: each value is the mean of `factor` x `factor` pixels. Pixels over at the right and the bottom are left
/// out. `sums` is working memory.
pub(crate) fn write_planes_shrunk(
    input: Input,
    rgb: &[u8],
    width: usize,
    factor: usize,
    planes: &mut [f32],
    plane_width: usize,
    sums: &mut Vec<u16>,
) {
    sums.resize(3 * (width / factor) * factor, 0);
    pulp::Arch::new().dispatch(ShrunkRows { input, rgb, width, factor, planes, plane_width, sums });
}

/// The work of [`write_planes_shrunk`].
struct ShrunkRows<'a> {
    input: Input,
    rgb: &'a [u8],
    width: usize,
    factor: usize,
    planes: &'a mut [f32],
    plane_width: usize,
    sums: &'a mut [u16],
}

impl pulp::WithSimd for ShrunkRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { input, rgb, width, factor, planes, plane_width, sums } = self;
        let scale = input.scale / (factor * factor) as f32;
        let offset = input.mean * input.scale;
        let bands = rgb.chunks_exact(3 * width * factor).zip(plane_rows(input, planes, plane_width));
        for (band, row) in bands {
            // Down first: neighbours in memory, which is what vector registers like.
            sums.fill(0);
            for row in band.chunks_exact(3 * width) {
                for (sum, value) in sums.iter_mut().zip(row) {
                    *sum += u16::from(*value);
                }
            }
            // A loop of its own for each usual factor: with a known one it needs no loop within.
            match factor {
                2 => mean_columns(2, sums, row, scale, offset),
                3 => mean_columns(3, sums, row, scale, offset),
                4 => mean_columns(4, sums, row, scale, offset),
                _ => mean_columns(factor, sums, row, scale, offset),
            }
        }
    }
}

/// One row: of each `factor` columns' sums the value that the network sees.
#[inline(always)]
fn mean_columns(factor: usize, sums: &[u16], [reds, greens, blues]: [&mut [f32]; 3], scale: f32, offset: f32) {
    let planes = reds.iter_mut().zip(greens).zip(blues);
    for (pixels, ((to_r, to_g), to_b)) in sums.chunks_exact(3 * factor).zip(planes) {
        let (mut r, mut g, mut b) = (0u32, 0u32, 0u32);
        for pixel in pixels.as_chunks::<3>().0 {
            r += u32::from(pixel[0]);
            g += u32::from(pixel[1]);
            b += u32::from(pixel[2]);
        }
        *to_r = r as f32 * scale - offset;
        *to_g = g as f32 * scale - offset;
        *to_b = b as f32 * scale - offset;
    }
}

/// The rows of the three planes that red, green and blue belong to.
fn plane_rows(input: Input, planes: &mut [f32], plane_width: usize) -> impl Iterator<Item = [&mut [f32]; 3]> {
    let area = planes.len() / 3;
    let (first, rest) = planes.split_at_mut(area);
    let (second, third) = rest.split_at_mut(area);
    let (red, blue) = match input.channels {
        Channels::Rgb => (first, third),
        Channels::Bgr => (third, first),
    };
    let rows = |plane| <[f32]>::chunks_mut(plane, plane_width);
    rows(red).zip(rows(second)).zip(rows(blue)).map(|((r, g), b)| [r, g, b])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_have_the_order_and_scale_that_the_card_says_and_keep_what_no_pixel_is_for() {
        let rgb = [10, 20, 30, 40, 50, 60];
        let mut planes = [9.0; 3 * 4];
        write_planes(Input { channels: Channels::Bgr, mean: 10.0, scale: 0.5 }, &rgb, 2, &mut planes, 2);
        assert_eq!(planes, [10.0, 25.0, 9.0, 9.0, 5.0, 20.0, 9.0, 9.0, 0.0, 15.0, 9.0, 9.0]);
        let mut planes = [9.0; 3 * 3];
        write_planes(Input { channels: Channels::Rgb, mean: 0.0, scale: 1.0 }, &rgb, 1, &mut planes, 1);
        assert_eq!(planes, [10.0, 40.0, 9.0, 20.0, 50.0, 9.0, 30.0, 60.0, 9.0]);
    }

    #[test]
    fn shrinking_takes_means_and_leaves_out_what_is_over() {
        // 5 x 3 pixels of which 4 x 2 make two; all three colours alike.
        let levels = [10, 20, 30, 40, 99, 50, 60, 70, 80, 99, 99, 99, 99, 99, 99];
        let rgb: Vec<u8> = levels.iter().flat_map(|level| [*level; 3]).collect();
        let mut planes = [7.0; 3 * 3];
        let input = Input { channels: Channels::Rgb, mean: 5.0, scale: 2.0 };
        write_planes_shrunk(input, &rgb, 5, 2, &mut planes, 3, &mut Vec::new());
        assert_eq!(planes, [60.0, 100.0, 7.0].repeat(3)[..]);
    }
}
