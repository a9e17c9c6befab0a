//! Prepares a published graph: the same function, in a form that ONNX Runtime runs several times faster.
//!
//! - `any_size`: YuNet's file fixes its input at 640x640; height and width become free.
//! - `weights_are_constant`: SFace's file lists its weights among the graph's inputs, which forbids constant folding.
//! - `split_prelu`: ONNX Runtime has no PRelu in its blocked layout and re-orders all data around each one.
//!   PRelu(x) = Relu(x) + depthwise1x1(-slope) * Relu(-x) stays in it. Equal to about 1e-6.
//!
//! The messages below are the part of ONNX's schema (onnx.proto3, IR version 6) that such graphs use.

use crate::card::Prepare;
use prost::Message;
use std::collections::HashMap;

/// Float, in TensorProto.DataType.
const FLOAT: i32 = 1;
/// Ints, in AttributeProto.AttributeType.
const ATTRIBUTE_INT: i32 = 2;
/// A list of ints, in AttributeProto.AttributeType.
const ATTRIBUTE_INTS: i32 = 7;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<OperatorSet>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSet {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "3")]
    name: String,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
    #[prost(string, tag = "7")]
    domain: String,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(float, tag = "2")]
    f: f32,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(bytes = "vec", tag = "4")]
    s: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    t: Option<Tensor>,
    #[prost(float, repeated, tag = "7")]
    floats: Vec<f32>,
    #[prost(int64, repeated, tag = "8")]
    ints: Vec<i64>,
    #[prost(bytes = "vec", repeated, tag = "9")]
    strings: Vec<Vec<u8>>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(float, repeated, tag = "4")]
    float_data: Vec<f32>,
    #[prost(int32, repeated, tag = "5")]
    int32_data: Vec<i32>,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
    #[prost(double, repeated, tag = "10")]
    double_data: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<ValueType>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueType {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(oneof = "Extent", tags = "1, 2")]
    extent: Option<Extent>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Extent {
    #[prost(int64, tag = "1")]
    Value(i64),
    #[prost(string, tag = "2")]
    Symbol(String),
}

/// Applies `prepare` to a serialised model and returns the serialised result.
///
/// # Errors
/// A sentence saying what does not fit, when the graph is not of the form that the change is for.
pub(crate) fn prepare(bytes: &[u8], prepare: Prepare) -> Result<Vec<u8>, String> {
    let mut model = Model::decode(bytes).map_err(|e| format!("not an ONNX model: {e}"))?;
    let graph = model.graph.as_mut().ok_or("an ONNX model without a graph")?;
    if prepare.weights_are_constant {
        let weights: std::collections::HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        graph.input.retain(|input| !weights.contains(input.name.as_str()));
    }
    if prepare.any_size {
        free_size(graph)?;
    }
    if prepare.split_prelu {
        split_prelu(graph)?;
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
    let mut nodes = Vec::with_capacity(graph.node.len() + 4 * slopes.len());
    for node in std::mem::take(&mut graph.node) {
        match node.input.get(1).and_then(|slope| slopes.get(slope)) {
            Some(slope) if node.op_type == "PRelu" => {
                let (split, weights) = split_one(&node, slope);
                nodes.extend(split);
                graph.initializer.push(weights);
            }
            _ => nodes.push(node),
        }
    }
    graph.initializer.retain(|t| !slopes.contains_key(&t.name));
    graph.node = nodes;
    Ok(())
}

/// Relu(x) + depthwise(-slope) * Relu(-x), as nodes, and the depthwise weights.
fn split_one(prelu: &Node, slope: &[f32]) -> ([Node; 5], Tensor) {
    let (x, y) = (prelu.input[0].clone(), prelu.output[0].clone());
    let part = |suffix: &str| format!("{y}__{suffix}");
    let node = |op: &str, input: Vec<String>, output: String| Node {
        name: output.clone(),
        op_type: op.into(),
        input,
        output: vec![output],
        ..Node::default()
    };
    let channels = slope.len() as i64;
    let weights = Tensor {
        name: part("slope"),
        dims: vec![channels, 1, 1, 1],
        data_type: FLOAT,
        raw_data: slope.iter().flat_map(|s| (-s).to_le_bytes()).collect(),
        ..Tensor::default()
    };
    let mut depthwise = node("Conv", vec![part("below"), part("slope")], part("sloped"));
    depthwise.attribute = vec![
        Attribute { name: "group".into(), i: channels, kind: ATTRIBUTE_INT, ..Attribute::default() },
        Attribute { name: "kernel_shape".into(), ints: vec![1, 1], kind: ATTRIBUTE_INTS, ..Attribute::default() },
    ];
    let nodes = [
        node("Relu", vec![x.clone()], part("above")),
        node("Neg", vec![x], part("negated")),
        node("Relu", vec![part("negated")], part("below")),
        depthwise,
        node("Add", vec![part("above"), part("sloped")], y),
    ];
    (nodes, weights)
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>, String> {
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

    #[test]
    fn junk_is_told_apart_from_a_model() {
        assert!(prepare(b"<html>not found</html>", Prepare::default()).is_err());
        assert!(prepare(&[], Prepare::default()).is_err_and(|why| why.contains("without a graph")));
    }
}
