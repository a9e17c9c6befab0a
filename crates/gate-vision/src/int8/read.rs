//! Reads the chain out of a graph, and folds into its convolutions what only scales and shifts.

use super::{Bytes, Chain, Head, Layer, SPREADS};
use crate::card::Input;
use crate::onnx::floats;
use gate_onnx::{Graph, Node, Tensor};

impl Chain {
    pub(super) fn read(graph: &Graph, input: Input) -> Result<Self, String> {
        let pixel = Bytes { scale: f64::from(input.scale), zero: input.mean as u8 };
        if f32::from(pixel.zero) != input.mean {
            return Err(format!("a mean of {}: pixels are bytes with a zero among them", input.mean));
        }
        let mut tip = graph.input.first().ok_or("a graph without an input")?.name.as_str();
        let mut before = "";
        let (mut scale, mut zero) = (f64::from(input.scale), f64::from(input.mean));
        let mut layers: Vec<Layer> = Vec::new();
        let mut spread: Option<Affine> = None;
        let mut head: Option<Head> = None;
        for node in graph.node.iter().filter(|node| node.op_type != "Constant") {
            let odd =
                || format!("{} {:?} after {before:?}: no chain of convolutions with PRelu", node.op_type, node.name);
            if node.input.first().is_none_or(|from| from != tip) {
                return Err(odd());
            }
            tip = node.output.first().ok_or_else(odd)?;
            let constant = |index| constant(graph, node, index);
            match (before, node.op_type.as_str()) {
                ("" | "Sub", "Sub") => zero += scalar(&constant(1)?)? / scale,
                ("" | "Sub", "Mul") => scale *= scalar(&constant(1)?)?,
                ("" | "Sub" | "Mul" | "PRelu", "Conv") => layers.push(convolution(graph, node)?),
                ("Conv", "BatchNormalization") => {
                    let layer = layers.last_mut().ok_or_else(odd)?;
                    let norm = Affine::read(graph, node)?;
                    norm.check(layer.bias.len())?;
                    layer.rows().zip(&norm.factor).for_each(|(row, k)| row.iter_mut().for_each(|w| *w *= k));
                    layer.bias.iter_mut().zip(&norm.factor).zip(&norm.offset).for_each(|((b, k), o)| *b = *b * k + o);
                    let (beta, gamma) = (constant(2)?, constant(1)?);
                    layer.ranges =
                        beta.iter().zip(gamma).map(|(b, g)| [b - SPREADS * g.abs(), b + SPREADS * g.abs()]).collect();
                }
                ("BatchNormalization", "PRelu") if spread.is_none() && head.is_none() => {
                    let layer = layers.last_mut().ok_or_else(odd)?;
                    layer.slope = constant(1)?;
                    if layer.slope.len() != layer.bias.len() {
                        return Err(odd());
                    }
                }
                ("PRelu", "BatchNormalization") => spread = Some(Affine::read(graph, node)?),
                ("BatchNormalization" | "PRelu", "Dropout" | "Flatten") if head.is_none() => continue,
                ("BatchNormalization" | "PRelu", "Gemm") if head.is_none() => {
                    head = Some(fully_connected(graph, node, spread.take())?);
                }
                ("Gemm", "BatchNormalization") => {
                    let (head, norm) = (head.as_mut().ok_or_else(odd)?, Affine::read(graph, node)?);
                    norm.check(head.bias.len())?;
                    let row = head.weights.len() / head.bias.len();
                    for (i, (row, b)) in head.weights.chunks_exact_mut(row).zip(&mut head.bias).enumerate() {
                        row.iter_mut().for_each(|w| *w *= norm.factor[i]);
                        *b = *b * norm.factor[i] + norm.offset[i];
                    }
                }
                _ => return Err(odd()),
            }
            before = &node.op_type;
        }
        let head = head.ok_or("no Gemm at the end")?;
        if layers.is_empty() || layers.iter().any(|layer| layer.ranges.is_empty() || layer.slope.is_empty()) {
            return Err("a convolution without BatchNormalization and PRelu".into());
        }
        let inputs = layers.iter().map(|layer| if layer.is_depthwise() { layer.shape[0] } else { layer.shape[1] });
        let fits = layers.iter().zip(inputs.skip(1)).all(|(layer, next)| layer.shape[0] == next);
        if !fits || !(head.weights.len() / head.bias.len()).is_multiple_of(layers[layers.len() - 1].shape[0]) {
            return Err("a layer that does not fit the one before it".into());
        }
        Ok(Self { pixel, scale, zero, layers, head })
    }
}

/// What a batch normalisation does to each channel: `factor * x + offset`.
struct Affine {
    factor: Vec<f64>,
    offset: Vec<f64>,
}

impl Affine {
    fn read(graph: &Graph, node: &Node) -> Result<Self, String> {
        let epsilon = node.attribute.iter().find(|a| a.name == "epsilon").map_or(1e-5, |a| f64::from(a.f));
        let [gamma, beta, mean, variance] =
            [1, 2, 3, 4].map(|index| constant(graph, node, index)).map(Result::unwrap_or_default);
        if gamma.is_empty() || [&beta, &mean, &variance].iter().any(|part| part.len() != gamma.len()) {
            return Err(format!("BatchNormalization {:?} without its four constants", node.name));
        }
        let factor: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
        let offset = beta.iter().zip(&mean).zip(&factor).map(|((b, m), k)| b - m * k).collect();
        Ok(Self { factor, offset })
    }

    fn check(&self, channels: usize) -> Result<(), String> {
        let fits = self.factor.len() == channels;
        fits.then_some(()).ok_or_else(|| format!("a BatchNormalization of {} for {channels}", self.factor.len()))
    }
}

fn convolution(graph: &Graph, node: &Node) -> Result<Layer, String> {
    let weights = constant(graph, node, 1)?;
    let shape = dims(graph, node, 1);
    let bias = if node.input.len() > 2 { constant(graph, node, 2)? } else { Vec::new() };
    let odd = || format!("Conv {:?} of weights {shape:?}: plain or depthwise ones with two sides are known", node.name);
    let shape: [usize; 4] = shape.as_slice().try_into().map_err(|_| odd())?;
    let group = node.attribute.iter().find(|a| a.name == "group").map_or(1, |a| a.i);
    let is_known = group == 1 || (usize::try_from(group) == Ok(shape[0]) && shape[1] == 1);
    let bias = if bias.is_empty() { vec![0.0; shape[0]] } else { bias };
    if !is_known || shape.contains(&0) || weights.len() != shape.iter().product() || bias.len() != shape[0] {
        return Err(odd());
    }
    Ok(Layer { conv: node.clone(), shape, weights, bias, slope: Vec::new(), ranges: Vec::new() })
}

/// The Gemm, with what each channel before it is multiplied by and added to folded in.
fn fully_connected(graph: &Graph, node: &Node, before: Option<Affine>) -> Result<Head, String> {
    let (mut weights, mut bias) = (constant(graph, node, 1)?, constant(graph, node, 2)?);
    let is_plain = node.attribute.iter().all(|a| match a.name.as_str() {
        "transB" => a.i == 1,
        "alpha" | "beta" => a.f == 1.0,
        _ => a.i == 0,
    });
    let is_transposed = node.attribute.iter().any(|a| a.name == "transB");
    if !is_plain || !is_transposed || bias.is_empty() || !weights.len().is_multiple_of(bias.len()) || weights.is_empty()
    {
        return Err(format!("Gemm {:?} is not x * transposed weights + bias", node.name));
    }
    let row = weights.len() / bias.len();
    if let Some(Affine { factor, offset }) = before {
        let places = row / factor.len();
        if places * factor.len() != row {
            return Err(format!("Gemm {:?} does not fit the BatchNormalization before it", node.name));
        }
        for (row, bias) in weights.chunks_exact_mut(row).zip(&mut bias) {
            for (channel, part) in row.chunks_exact_mut(places).enumerate() {
                *bias += offset[channel] * part.iter().sum::<f64>();
                part.iter_mut().for_each(|w| *w *= factor[channel]);
            }
        }
    }
    Ok(Head { weights, bias })
}

fn tensor<'a>(graph: &'a Graph, node: &Node, index: usize) -> Option<&'a Tensor> {
    let name = node.input.get(index)?;
    graph.initializer.iter().find(|tensor| tensor.name == *name)
}

fn constant(graph: &Graph, node: &Node, index: usize) -> Result<Vec<f64>, String> {
    let tensor = tensor(graph, node, index);
    let tensor = tensor.ok_or_else(|| format!("{} {:?}: input {index} is no constant", node.op_type, node.name))?;
    Ok(floats(tensor)?.into_iter().map(f64::from).collect())
}

fn dims(graph: &Graph, node: &Node, index: usize) -> Vec<usize> {
    let dims = tensor(graph, node, index).map(|tensor| tensor.dims.as_slice()).unwrap_or_default();
    dims.iter().map(|side| usize::try_from(*side).unwrap_or(0)).collect()
}

fn scalar(values: &[f64]) -> Result<f64, String> {
    match values {
        [value] if *value != 0.0 => Ok(*value),
        _ => Err("an input that is not scaled by one number".into()),
    }
}
