//! Writes the chain as operators on bytes.

use super::{Bytes, Chain, Head, Layer, WEIGHT_MAX};
use gate_onnx::{ATTRIBUTE_INT, Attribute, FLOAT, INT8, INT32, Model, Node, OperatorSet, Tensor, UINT8};

const MICROSOFT: &str = "com.microsoft";
/// The versions of the operators that are written: ONNX's since 2020, and ONNX Runtime's own.
const OPSETS: [(&str, i64); 2] = [("", 13), (MICROSOFT, 1)];

/// Puts the chain in place of the model's nodes and weights.
pub(super) fn write(chain: &Chain, model: &mut Model) {
    let Some(graph) = &mut model.graph else { return };
    let (Some(input), Some(output)) = (graph.input.first(), graph.output.first()) else { return };
    let mut writer = Writer::default();
    // A byte is a pixel. Where the first layer's zero is between two values, its bias takes what is over.
    let zero = chain.zero.round().clamp(0.0, 255.0);
    let pixels = writer.bytes("pixels", chain.pixel);
    writer.node("", "QuantizeLinear", &[&input.name, &pixels.scale, &pixels.zero], &pixels.name);
    let seen = Bytes { scale: chain.scale, zero: zero as u8 };
    let mut tip = Value { name: pixels.name, ..writer.bytes("seen", seen) };
    let mut bytes = seen;
    for (i, layer) in chain.layers.iter().enumerate() {
        let rest = if i == 0 { chain.scale * (zero - chain.zero) } else { 0.0 };
        (tip, bytes) = writer.layer(&format!("layer{i}"), layer, rest, &tip, bytes);
    }
    writer.head(&chain.head, &tip, bytes, &output.name);
    (graph.node, graph.initializer) = (writer.nodes, writer.constants);
    model.opset_import = OPSETS.map(|(domain, version)| OperatorSet { domain: domain.into(), version }).to_vec();
}

impl Bytes {
    /// That cover all from `low` to `high`, and 0 exactly.
    fn covering(low: f64, high: f64) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / 255.0).max(f64::from(f32::MIN_POSITIVE));
        Self { scale, zero: (-low / scale).round() as u8 }
    }

    fn of(self, value: f64) -> u8 {
        (value / self.scale + f64::from(self.zero)).round() as u8
    }
}

/// A tensor of bytes in the graph, and the constants that say what they stand for.
struct Value {
    name: String,
    scale: String,
    zero: String,
}

impl Value {
    fn parts(&self) -> [&str; 3] {
        [&self.name, &self.scale, &self.zero]
    }
}

#[derive(Default)]
struct Writer {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
}

impl Writer {
    /// The convolution and its PRelu on `input`, whose bytes stand for `bytes`, and `rest` more.
    fn layer(&mut self, name: &str, layer: &Layer, rest: f64, input: &Value, bytes: Bytes) -> (Value, Bytes) {
        let channels = layer.bias.len();
        let part = |what: &str| format!("{name}_{what}");
        let each = layer.weights.len() / channels;
        let bias: Vec<f64> = layer
            .bias
            .iter()
            .zip(layer.weights.chunks_exact(each))
            .map(|(b, w)| b + rest * w.iter().sum::<f64>())
            .collect();
        let weights = self.weights(&part("weights"), &layer.weights, &layer.shape, &bias, bytes);
        let reach = |of: &dyn Fn(usize, f64) -> f64| {
            let ends = (0..channels).flat_map(|c| layer.ranges[c].map(|x| of(c, x)));
            ends.fold([0.0f64, 0.0], |[low, high], x| [low.min(x), high.max(x)])
        };
        let covering = |[low, high]: [f64; 2]| Bytes::covering(low, high);

        let sums = self.bytes(&part("sums"), covering(reach(&|_, x| x)));
        let [w, w_scale, w_zero, b] = &weights;
        let inputs = [&input.parts()[..], &[w, w_scale, w_zero, &sums.scale, &sums.zero, b]].concat();
        let conv = self.node("", "QLinearConv", &inputs, &sums.name);
        conv.attribute.clone_from(&layer.conv.attribute);

        // Relu((slope - 1) * x): what would be below 0 saturates there.
        let bends: Vec<f64> = layer.slope.iter().map(|slope| slope - 1.0).collect();
        let bent_by = Bytes::covering(bends.iter().fold(0.0, |a, b| a.min(*b)), 0.0);
        let slopes = self.bytes(&part("slopes"), bent_by);
        let data = bends.iter().map(|bend| bent_by.of(*bend)).collect();
        self.constant(&slopes.name, &[channels, 1, 1], UINT8, data);
        let [_, most] = reach(&|c, x| bends[c] * x);
        let bent = self.bytes(&part("bent"), Bytes::covering(0.0, most));
        let inputs = [&sums.parts()[..], &slopes.parts(), &[&bent.scale, &bent.zero]].concat();
        self.node(MICROSOFT, "QLinearMul", &inputs, &bent.name);

        let bytes = covering(reach(&|c, x| layer.prelu(c, x)));
        let outputs = self.bytes(name, bytes);
        let inputs = [&sums.parts()[..], &bent.parts(), &[&outputs.scale, &outputs.zero]].concat();
        self.node(MICROSOFT, "QLinearAdd", &inputs, &outputs.name);
        (outputs, bytes)
    }

    fn head(&mut self, head: &Head, input: &Value, bytes: Bytes, output: &str) {
        self.node("", "Flatten", &[&input.name], "flat");
        let (outputs, row) = (head.bias.len(), head.weights.len() / head.bias.len());
        let [w, w_scale, w_zero, bias] =
            self.weights("head_weights", &head.weights, &[outputs, row], &head.bias, bytes);
        let gemm =
            self.node(MICROSOFT, "QGemm", &["flat", &input.scale, &input.zero, &w, &w_scale, &w_zero, &bias], output);
        gemm.attribute = vec![Attribute { name: "transB".into(), i: 1, kind: ATTRIBUTE_INT, ..Attribute::default() }];
    }

    /// A row of weights for each output, each row with a scale of its own, and the bias in the units of their products.
    fn weights(&mut self, name: &str, weights: &[f64], dims: &[usize], bias: &[f64], bytes: Bytes) -> [String; 4] {
        let rows = weights.chunks_exact(weights.len() / bias.len());
        let scales: Vec<f64> = rows
            .clone()
            .map(|row| row.iter().fold(0.0, |most: f64, w| most.max(w.abs())) / WEIGHT_MAX)
            .map(|scale| scale.max(f64::from(f32::MIN_POSITIVE)))
            .collect();
        let data = rows.zip(&scales).flat_map(|(row, scale)| row.iter().map(move |w| (w / scale).round() as i8));
        let units =
            bias.iter().zip(&scales).flat_map(|(b, scale)| ((b / (scale * bytes.scale)).round() as i32).to_le_bytes());
        let [scale, zero, offset] = ["scale", "zero", "bias"].map(|part| format!("{name}_{part}"));
        self.constant(name, dims, INT8, data.map(|w| w as u8).collect());
        self.constant(&scale, &[bias.len()], FLOAT, scales.iter().flat_map(|s| (*s as f32).to_le_bytes()).collect());
        self.constant(&zero, &[bias.len()], INT8, vec![0; bias.len()]);
        self.constant(&offset, &[bias.len()], INT32, units.collect());
        [name.into(), scale, zero, offset]
    }

    /// A tensor to come, with what its bytes stand for.
    fn bytes(&mut self, name: &str, bytes: Bytes) -> Value {
        let [scale, zero] = ["scale", "zero"].map(|part| format!("{name}_{part}"));
        self.constant(&scale, &[], FLOAT, (bytes.scale as f32).to_le_bytes().to_vec());
        self.constant(&zero, &[], UINT8, vec![bytes.zero]);
        Value { name: name.into(), scale, zero }
    }

    fn constant(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) {
        let dims = dims.iter().map(|side| *side as i64).collect();
        self.constants.push(Tensor { name: name.into(), dims, data_type, raw_data, ..Tensor::default() });
    }

    fn node(&mut self, domain: &str, op: &str, input: &[&str], output: &str) -> &mut Node {
        self.nodes.push(Node {
            name: output.into(),
            domain: domain.into(),
            op_type: op.into(),
            input: input.iter().map(|name| (*name).into()).collect(),
            output: vec![output.into()],
            ..Node::default()
        });
        let last = self.nodes.len() - 1;
        &mut self.nodes[last]
    }
}
