//! The trained network as an ONNX graph, which the gate runs like any other encoder.

use crate::encoder::{Conv, Network};
use gate_core::geometry::CHIP_PX;
use gate_onnx::{
    ATTRIBUTE_INT, ATTRIBUTE_INTS, Attribute, Dimension, Extent, FLOAT, Graph, Message, Model, Node, OperatorSet,
    Shape, Tensor, TensorType, ValueInfo, ValueType,
};

/// Opset 13 and IR version 7 are read by every ONNX Runtime since 1.8.
const OPSET: i64 = 13;
const IR_VERSION: i64 = 7;

pub(crate) fn to_onnx(network: &Network) -> Vec<u8> {
    let mut graph = Graph { name: "siamese encoder".into(), ..Graph::default() };
    let mut at = "input".to_string();
    let halves = [ints("kernel_shape", &[2, 2]), ints("strides", &[2, 2])];
    at = add(&mut graph, "AveragePool", &[&at], "halved", halves.into());
    for (n, conv) in network.convs.iter().enumerate() {
        let (weight, bias) = (format!("conv{n}.weight"), format!("conv{n}.bias"));
        graph.initializer.push(tensor(&weight, &[conv.out, conv.channels, 3, 3], &kernel(conv)));
        graph.initializer.push(tensor(&bias, &[conv.out], &conv.bias));
        let stride = conv.stride as i64;
        let form = [ints("kernel_shape", &[3, 3]), ints("strides", &[stride, stride]), ints("pads", &[1, 1, 1, 1])];
        at = add(&mut graph, "Conv", &[&at, &weight, &bias], &format!("conv{n}"), form.into());
        at = add(&mut graph, "Relu", &[&at], &format!("relu{n}"), Vec::new());
    }
    at = add(&mut graph, "Flatten", &[&at], "flat", Vec::new());
    let (side, channels) = network.last;
    graph.initializer.push(tensor("linear", &[network.dim, side * side * channels], &planes_first(network)));
    let transposed = Attribute { name: "transB".into(), i: 1, kind: ATTRIBUTE_INT, ..Attribute::default() };
    add(&mut graph, "Gemm", &[&at, "linear"], "embedding", vec![transposed]);
    graph.input = vec![value("input", &[1, 3, CHIP_PX, CHIP_PX])];
    graph.output = vec![value("embedding", &[1, network.dim])];
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "gate-learn".into(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
    };
    model.encode_to_vec()
}

/// (ky, kx, channel) x out -> out x channel x ky x kx.
fn kernel(conv: &Conv) -> Vec<f32> {
    let (c, out) = (conv.channels, conv.out);
    (0..out * c * 9).map(|i| conv.weight[(i % 9 * c + i / 9 % c) * out + i / (9 * c)]).collect()
}

/// (y, x, channel) x dim -> dim x (channel, y, x): here planes come first.
fn planes_first(network: &Network) -> Vec<f32> {
    let (side, channels) = network.last;
    let (area, dim) = (side * side, network.dim);
    let columns = area * channels;
    (0..dim * columns)
        .map(|i| {
            let (row, column) = (i / columns, i % columns);
            network.linear[(column % area * channels + column / area) * dim + row]
        })
        .collect()
}

/// Adds a node; gives the name of what comes out.
fn add(graph: &mut Graph, op: &str, input: &[&str], output: &str, attribute: Vec<Attribute>) -> String {
    graph.node.push(Node {
        input: input.iter().map(|name| (*name).into()).collect(),
        output: vec![output.into()],
        name: output.into(),
        op_type: op.into(),
        attribute,
        domain: String::new(),
    });
    output.into()
}

fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { name: name.into(), ints: values.to_vec(), kind: ATTRIBUTE_INTS, ..Attribute::default() }
}

fn tensor(name: &str, dims: &[usize], values: &[f32]) -> Tensor {
    Tensor {
        dims: dims.iter().map(|d| *d as i64).collect(),
        data_type: FLOAT,
        name: name.into(),
        raw_data: values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        ..Tensor::default()
    }
}

fn value(name: &str, dims: &[usize]) -> ValueInfo {
    let dim = dims.iter().map(|d| Dimension { extent: Some(Extent::Value(*d as i64)) }).collect();
    let tensor = TensorType { elem_type: FLOAT, shape: Some(Shape { dim }) };
    ValueInfo { name: name.into(), kind: Some(ValueType { tensor: Some(tensor) }) }
}
