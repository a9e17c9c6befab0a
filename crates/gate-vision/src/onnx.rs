//! Prepares a published graph: the same function, in a form that ONNX Runtime runs several times faster.
//!
//! - `any_size`: YuNet's file fixes its input at 640x640; height and width become free.
//! - `weights_are_constant`: SFace's file lists its weights among the graph's inputs, which forbids constant folding.
//! - `split_prelu`: ONNX Runtime has no PRelu in its blocked layout and re-orders all data around each one.
//!   PRelu(x) = slope * x + Relu((1 - slope) * x), as two depthwise convolutions, stays in it. Equal to about 1e-6.
//! - `int8`: see [`crate::int8`]. Not equal: another encoder. Its weights are constant, too.

use crate::card::{Input, Prepare};
use crate::int8;
use gate_onnx::{
    ATTRIBUTE_INT, ATTRIBUTE_INTS, Attribute, Dimension, Extent, FLOAT, Graph, Message, Model, Node, Tensor, ValueInfo,
};
use std::collections::HashMap;

/// Applies `prepare` to a serialised model that is fed as `input` says, and returns the serialised result.
///
/// # Errors
/// A sentence saying what does not fit, when the graph is not of the form that the change is for.
pub(crate) fn prepare(bytes: &[u8], prepare: Prepare, input: Input) -> Result<Vec<u8>, String> {
    let mut model = Model::decode(bytes).map_err(|e| format!("not an ONNX model: {e}"))?;
    let graph = model.graph.as_mut().ok_or("an ONNX model without a graph")?;
    if prepare.weights_are_constant || prepare.int8 {
        let weights: std::collections::HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        graph.input.retain(|input| !weights.contains(input.name.as_str()));
    }
    if prepare.any_size {
        free_size(graph)?;
    }
    if prepare.split_prelu {
        split_prelu(graph)?;
    }
    if prepare.int8 {
        int8::rewrite(&mut model, input)?;
    }
    Ok(model.encode_to_vec())
}

fn free_size(graph: &mut Graph) -> Result<(), String> {
    let [input] = graph.input.as_mut_slice() else {
        return Err(format!("{} inputs where one is expected", graph.input.len()));
    };
    let dims = shape_of(input).filter(|dims| dims.len() == 4).ok_or("an input that is not NCHW")?;
    dims[2].extent = Some(Extent::Symbol("height".into()));
    dims[3].extent = Some(Extent::Symbol("width".into()));
    for output in &mut graph.output {
        let symbol = format!("cells_{}", output.name);
        if let Some(cells) = shape_of(output).and_then(|dims| dims.get_mut(1)) {
            cells.extent = Some(Extent::Symbol(symbol));
        }
    }
    Ok(())
}

fn shape_of(value: &mut ValueInfo) -> Option<&mut Vec<Dimension>> {
    Some(&mut value.kind.as_mut()?.tensor.as_mut()?.shape.as_mut()?.dim)
}

fn split_prelu(graph: &mut Graph) -> Result<(), String> {
    let slopes: HashMap<String, Vec<f32>> = graph
        .node
        .iter()
        .filter(|n| n.op_type == "PRelu")
        .map(|n| {
            let slope = n.input.get(1).ok_or("a PRelu without slope")?;
            let tensor = graph.initializer.iter().find(|t| t.name == *slope).ok_or("a PRelu slope that is computed")?;
            Ok((slope.clone(), floats(tensor)?))
        })
        .collect::<Result<_, String>>()?;
    let mut nodes = Vec::with_capacity(graph.node.len() + 3 * slopes.len());
    for node in std::mem::take(&mut graph.node) {
        match node.input.get(1).and_then(|slope| slopes.get(slope)) {
            Some(slope) if node.op_type == "PRelu" => {
                let (split, weights) = split_one(&node, slope);
                nodes.extend(split);
                graph.initializer.extend(weights);
            }
            _ => nodes.push(node),
        }
    }
    graph.initializer.retain(|t| !slopes.contains_key(&t.name));
    graph.node = nodes;
    Ok(())
}

/// PReLU as the sum of two depthwise convolutions, slope * x + Relu((1 - slope) * x), each of which takes what follows it
/// along: two passes over the data. Where a slope is above 1 the product would come out of the Relu as 0, so there it is
/// slope * x + (1 - slope) * Relu(x), in three.
fn split_one(prelu: &Node, slope: &[f32]) -> ([Node; 4], [Tensor; 2]) {
    let (x, y) = (prelu.input[0].clone(), prelu.output[0].clone());
    let part = |suffix: &str| format!("{y}__{suffix}");
    let node = |op: &str, input: Vec<String>, output: &str| Node {
        name: output.into(),
        op_type: op.into(),
        input,
        output: vec![output.into()],
        ..Node::default()
    };
    let channels = slope.len() as i64;
    let depthwise = |input: &str, weights: &str, output: &str| Node {
        attribute: vec![
            Attribute { name: "group".into(), i: channels, kind: ATTRIBUTE_INT, ..Attribute::default() },
            Attribute { name: "kernel_shape".into(), ints: vec![1, 1], kind: ATTRIBUTE_INTS, ..Attribute::default() },
        ],
        ..node("Conv", vec![input.into(), weights.into()], output)
    };
    let weights = |name: String, of: fn(f32) -> f32| Tensor {
        name,
        dims: vec![channels, 1, 1, 1],
        data_type: FLOAT,
        raw_data: slope.iter().flat_map(|s| of(*s).to_le_bytes()).collect(),
        ..Tensor::default()
    };
    let [slope_name, rest, bent, part_of_rest, sloped] = ["slope", "rest", "bent", "part", "sloped"].map(part);
    let [first, second] = if slope.iter().all(|s| *s <= 1.0) {
        [depthwise(&x, &rest, &part_of_rest), node("Relu", vec![part_of_rest], &bent)]
    } else {
        [node("Relu", vec![x.clone()], &part_of_rest), depthwise(&part_of_rest, &rest, &bent)]
    };
    let nodes = [first, second, depthwise(&x, &slope_name, &sloped), node("Add", vec![sloped, bent], &y)];
    (nodes, [weights(slope_name, |s| s), weights(rest, |s| 1.0 - s)])
}

pub(crate) fn floats(tensor: &Tensor) -> Result<Vec<f32>, String> {
    if tensor.data_type != FLOAT {
        return Err(format!("{} is not of 32-bit floats", tensor.name));
    }
    if !tensor.float_data.is_empty() {
        return Ok(tensor.float_data.clone());
    }
    Ok(tensor.raw_data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::Channels;

    #[test]
    fn junk_is_told_apart_from_a_model() {
        let input = Input { channels: Channels::Rgb, mean: 0.0, scale: 1.0 };
        assert!(prepare(b"<html>not found</html>", Prepare::default(), input).is_err());
        assert!(prepare(&[], Prepare::default(), input).is_err_and(|why| why.contains("without a graph")));
    }
}
