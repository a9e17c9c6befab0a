//! Writes an encoder in 8-bit integers: half the time and a quarter of the memory, for vectors that turn a little. It is
//! another encoder, then, with a card and an impostor table of its own, and its references are not the other's.
//!
//! ```text
//!  (pixels - mean) * scale ─▶ [ Conv ─ BatchNormalization ─ PRelu ] ... ─▶ BatchNormalization ─ Gemm ─ BatchNormalization
//!         uint8                 QLinearConv   folded    QLinearMul, QLinearAdd      folded      QGemm       folded
//! ```
//! Nothing is learned and no picture is needed. Each batch normalisation says how its channel's values are spread
//! (mean beta, standard deviation gamma), and [`SPREADS`] of those is the range that 8 bits cover. So that one range fits all
//! channels of a layer, each channel is multiplied until it reaches as far as the widest, and the next layer's weights
//! divided by as much, which PReLU lets through (Nagel et al.: Data-free quantization through weight equalization and bias
//! correction, 2019). PRelu(x) = x + Relu((slope - 1) * x) for slopes up to 1: the product saturates at 0, which is the Relu.
//! A channel whose slope is above 1 is turned about: PRelu_s(x) = -s * PRelu_1/s(-x).

mod read;
mod write;

use crate::card::Input;
use gate_onnx::{Model, Node};

/// Raised when the numbers that come out change: references made before are another encoder's then.
pub(crate) const FORM: u32 = 1;
/// How many standard deviations of a channel 8 bits cover. Of 4 to 10, this turned SFace's vectors least.
const SPREADS: f64 = 8.0;
/// Weights have 7 bits: processors without 8-bit dot products add two products of 255 and a weight in 16 bits, which overflow
/// beyond.
const WEIGHT_MAX: f64 = 64.0;
/// A channel is multiplied by no more than this.
const GAIN_MAX: f64 = 1000.0;

/// Rewrites a graph of the form above.
///
/// # Errors
/// A sentence saying what does not have that form.
pub(crate) fn rewrite(model: &mut Model, input: Input) -> Result<(), String> {
    let graph = model.graph.as_ref().ok_or("an ONNX model without a graph")?;
    let mut chain = Chain::read(graph, input)?;
    chain.equalise();
    write::write(&chain, model);
    Ok(())
}

/// What a byte stands for: `scale * (byte - zero)`.
#[derive(Clone, Copy, Debug)]
struct Bytes {
    scale: f64,
    zero: u8,
}

/// PRelu of a convolution, and how far its values reach.
struct Layer {
    /// The convolution as published.
    conv: Node,
    /// Outputs, inputs of each, rows, columns.
    shape: [usize; 4],
    weights: Vec<f64>,
    bias: Vec<f64>,
    slope: Vec<f64>,
    /// Least and greatest value before PRelu, for each channel.
    ranges: Vec<[f64; 2]>,
}

impl Layer {
    fn is_depthwise(&self) -> bool {
        self.shape[1] == 1 && self.conv.attribute.iter().any(|a| a.name == "group" && a.i > 1)
    }

    /// The weights of each output.
    fn rows(&mut self) -> std::slice::ChunksExactMut<'_, f64> {
        let row = self.shape[1..].iter().product();
        self.weights.chunks_exact_mut(row)
    }

    fn prelu(&self, channel: usize, x: f64) -> f64 {
        if x < 0.0 { self.slope[channel] * x } else { x }
    }
}

/// The fully connected layer at the end: a row of weights for each output.
struct Head {
    weights: Vec<f64>,
    bias: Vec<f64>,
}

/// An encoder without what can be folded into its convolutions.
struct Chain {
    /// What the card makes of a pixel: `scale * (pixel - zero)`.
    pixel: Bytes,
    /// What the first layer gets of a pixel: `scale * (pixel - zero)`, whose zero may be between two values.
    scale: f64,
    zero: f64,
    layers: Vec<Layer>,
    head: Head,
}

impl Chain {
    /// Multiplies each channel until all of a layer reach equally far, and turns those about whose slope is above 1.
    fn equalise(&mut self) {
        for i in 0..self.layers.len() {
            let (done, next) = self.layers.split_at_mut(i + 1);
            let layer = &mut done[i];
            let reach: Vec<f64> = layer.ranges.iter().map(|[low, high]| low.abs().max(high.abs())).collect();
            let most = reach.iter().fold(0.0, |a: f64, b| a.max(*b));
            let gains: Vec<f64> = reach
                .iter()
                .zip(&layer.slope)
                .map(|(reach, slope)| (most / reach).min(GAIN_MAX) * if *slope > 1.0 { -1.0 } else { 1.0 })
                .collect();
            layer.rows().zip(&gains).for_each(|(row, gain)| row.iter_mut().for_each(|w| *w *= gain));
            let mut after = gains.clone();
            for (channel, gain) in gains.iter().enumerate() {
                layer.bias[channel] *= gain;
                let [low, high] = layer.ranges[channel].map(|x| x * gain);
                layer.ranges[channel] = [low.min(high), low.max(high)];
                if *gain < 0.0 {
                    layer.slope[channel] = 1.0 / layer.slope[channel];
                    after[channel] *= layer.slope[channel];
                }
            }
            match next.first_mut() {
                Some(next) if next.is_depthwise() => {
                    next.rows().zip(&after).for_each(|(row, gain)| row.iter_mut().for_each(|w| *w /= gain));
                }
                Some(next) => {
                    let kernel = next.shape[2] * next.shape[3];
                    next.rows().for_each(|row| divide(row, kernel, &after));
                }
                None => {
                    let row = self.head.weights.len() / self.head.bias.len();
                    let places = row / after.len();
                    self.head.weights.chunks_exact_mut(row).for_each(|row| divide(row, places, &after));
                }
            }
        }
    }
}

/// Divides the `each` numbers of each channel by that channel's gain.
fn divide(row: &mut [f64], each: usize, gains: &[f64]) {
    row.chunks_exact_mut(each).zip(gains).for_each(|(part, gain)| part.iter_mut().for_each(|w| *w /= gain));
}

#[cfg(test)]
mod tests;
