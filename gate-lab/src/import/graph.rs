//! A TFLite network as an ONNX graph: pictures become planes (NHWC to NCHW), and what stands for one operator becomes one.
//!
//! ```text
//!  PAD, CONV_2D | DEPTHWISE_CONV_2D            Conv, the padding among its attributes
//!  GREATER 0, MUL slope, SELECT                PRelu, one slope for each channel
//!  ADD                                         Add
//!  RESHAPE of 1x1 places                       Flatten
//!  FULLY_CONNECTED                             Gemm
//! ```
//! Goes in: `image`. Comes out: `logits`, and `embedding`, which the last fully connected operator makes them from.

use super::flatbuffer::Result;
use super::tflite::{Kind, Network, Operator, Window};
use gate_onnx::{
    ATTRIBUTE_INT, ATTRIBUTE_INTS, Attribute, Dimension, Extent, FLOAT, Graph, Message, Model, Node, OperatorSet,
    Shape, Tensor, TensorType, ValueInfo, ValueType,
};

/// Opset 13 and IR version 7 are read by every ONNX Runtime since 1.8.
const OPSET: i64 = 13;
const IR_VERSION: i64 = 7;
/// Most bytes of weights. Tensors of a damaged file may share bytes, and each would be written out.
const WEIGHTS_MAX_BYTES: usize = 64 << 20;
/// Widest padding on one side, pixels.
const PAD_MAX: i64 = 64;

/// Zeros added before and after: down, to the right.
type Pads = [[usize; 2]; 2];

/// What a computed tensor is in the new graph.
#[derive(Clone, Copy, Debug)]
enum Value {
    /// The same, as planes.
    Here,
    /// Another with zeros around: part of a convolution to come.
    Padded { of: usize, pads: Pads },
    /// Where another is above zero: part of a PRelu to come.
    Above { of: usize },
    /// Another times a slope: part of a PRelu to come.
    Sloped { of: usize, slope: usize },
}

/// The serialised ONNX model of a network, byte for byte the same at each call.
///
/// # Errors
/// What does not have the form above, or does not fit together.
pub fn build(network: &Network<'_>) -> Result<Vec<u8>> {
    let ([image], [logits]) = (network.inputs.as_slice(), network.outputs.as_slice()) else {
        return Err("it must have one input and one output".into());
    };
    let last = network.operators.iter().find(|o| o.output == *logits);
    let last = last.filter(|o| matches!(o.kind, Kind::FullyConnected));
    let embedding = last.ok_or("its last operator is not FULLY_CONNECTED")?.input(0)?;
    let mut builder = Builder {
        network,
        graph: Graph { name: "network".into(), ..Graph::default() },
        values: vec![None; network.tensors.len()],
        names: vec![(*image, "image"), (*logits, "logits"), (embedding, "embedding")],
        weights_bytes: 0,
    };
    let [height, width, channels] = builder.picture(*image)?;
    builder.values[*image] = Some(Value::Here);
    for operator in &network.operators {
        builder.step(operator)?;
    }
    let mut graph = builder.graph;
    graph.input = vec![value("image", &[1, channels, height, width])];
    for (name, tensor) in [("logits", *logits), ("embedding", embedding)] {
        graph.output.push(value(name, &network.tensors[tensor].shape));
    }
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "gate-lab".into(),
        graph: Some(graph),
        opset_import: vec![OperatorSet { domain: String::new(), version: OPSET }],
    };
    Ok(model.encode_to_vec())
}

struct Builder<'a> {
    network: &'a Network<'a>,
    graph: Graph,
    /// For each tensor, once an operator has made it.
    values: Vec<Option<Value>>,
    /// Tensors with a name of their own.
    names: Vec<(usize, &'static str)>,
    weights_bytes: usize,
}

impl Builder<'_> {
    /// Carries one operator over.
    fn step(&mut self, operator: &Operator) -> Result<()> {
        let value = match operator.kind {
            Kind::Pad => self.pad(operator)?,
            Kind::Conv(window) => self.conv(operator, window, false)?,
            Kind::Depthwise(window) => self.conv(operator, window, true)?,
            Kind::Greater => self.above(operator)?,
            Kind::Mul => {
                let (of, slope) = (operator.input(0)?, operator.input(1)?);
                self.here(of)?;
                Value::Sloped { of, slope }
            }
            Kind::Select => self.prelu(operator)?,
            Kind::Add => self.add(operator)?,
            Kind::Reshape => self.flatten(operator)?,
            Kind::FullyConnected => self.fully_connected(operator)?,
        };
        let tensor = &self.network.tensors[operator.output];
        if self.values[operator.output].is_some() || !tensor.is_computed() {
            return Err(format!("a {:?} operator writes over tensor {:?}", operator.kind, tensor.name));
        }
        self.values[operator.output] = Some(value);
        Ok(())
    }

    fn pad(&self, operator: &Operator) -> Result<Value> {
        let of = operator.input(0)?;
        self.here(of)?;
        let [height, width, channels] = self.picture(of)?;
        let [0, 0, top, bottom, left, right, 0, 0] = self.network.tensors[operator.input(1)?].ints()?[..] else {
            return Err("a PAD operator does more than put zeros around a picture".into());
        };
        let side = |n: i64| usize::try_from(n).ok().filter(|_| n <= PAD_MAX);
        let (Some(top), Some(bottom), Some(left), Some(right)) = (side(top), side(bottom), side(left), side(right))
        else {
            return Err(format!("a PAD operator puts fewer than 0 or more than {PAD_MAX} zeros on a side"));
        };
        self.expect(operator, &[1, height + top + bottom, width + left + right, channels])?;
        Ok(Value::Padded { of, pads: [[top, bottom], [left, right]] })
    }

    fn conv(&mut self, operator: &Operator, window: Window, depthwise: bool) -> Result<Value> {
        let (from, pads) = match (operator.input(0)?, self.values[operator.input(0)?]) {
            (_, Some(Value::Padded { of, pads })) => (of, pads),
            (from, _) => (from, Pads::default()),
        };
        let x = self.here(from)?;
        let [height, width, channels] = self.picture(from)?;
        let kernel = operator.input(1)?;
        let shape = &self.network.tensors[kernel].shape;
        let (out, kernel_sides) = match shape[..] {
            [1, y, x, c] if depthwise && c == channels => (c, [y, x]),
            [out, y, x, c] if !depthwise && c == channels => (out, [y, x]),
            _ => return Err(format!("a kernel of {shape:?} does not fit {channels} channels")),
        };
        let mut pads = pads;
        let mut places = [0; 2];
        for (axis, side) in [height, width].into_iter().enumerate() {
            let padded = side + pads[axis][0] + pads[axis][1];
            let (out, more) = cover(padded, kernel_sides[axis], window, axis)?;
            places[axis] = out;
            pads[axis] = [pads[axis][0] + more[0], pads[axis][1] + more[1]];
        }
        self.expect(operator, &[1, places[0], places[1], out])?;
        let inputs = [x, self.kernel(kernel, depthwise)?];
        let inputs = inputs.into_iter().chain(self.bias(operator, out)?).collect();
        // ONNX: all beginnings, then all ends.
        let [[top, bottom], [left, right]] = pads;
        let mut attributes = vec![
            ints("kernel_shape", &kernel_sides),
            ints("pads", &[top, left, bottom, right]),
            ints("strides", &window.stride),
        ];
        if window.dilation != [1, 1] {
            attributes.push(ints("dilations", &window.dilation));
        }
        if depthwise {
            attributes.push(int("group", channels));
        }
        self.node("Conv", inputs, operator, attributes)
    }

    /// GREATER: only the question which elements are above zero.
    fn above(&self, operator: &Operator) -> Result<Value> {
        let of = operator.input(0)?;
        self.here(of)?;
        if self.network.tensors[operator.input(1)?].floats()?.iter().any(|v| *v != 0.0) {
            return Err("a GREATER operator compares with something else than 0".into());
        }
        Ok(Value::Above { of })
    }

    /// SELECT(x > 0, x, slope * x).
    fn prelu(&mut self, operator: &Operator) -> Result<Value> {
        let (condition, x, otherwise) = (operator.input(0)?, operator.input(1)?, operator.input(2)?);
        let slope = match (self.values[condition], self.values[otherwise]) {
            (Some(Value::Above { of }), Some(Value::Sloped { of: times, slope })) if of == x && times == x => slope,
            _ => return Err("a SELECT operator is not the last part of a PReLU".into()),
        };
        let inputs = vec![self.here(x)?, self.slope(slope, x)?];
        let shape = self.picture(x)?;
        self.expect(operator, &[1, shape[0], shape[1], shape[2]])?;
        self.node("PRelu", inputs, operator, Vec::new())
    }

    fn add(&mut self, operator: &Operator) -> Result<Value> {
        let (a, b) = (operator.input(0)?, operator.input(1)?);
        let inputs = vec![self.here(a)?, self.here(b)?];
        for tensor in [a, b] {
            self.expect(operator, &self.network.tensors[tensor].shape)?;
        }
        self.node("Add", inputs, operator, Vec::new())
    }

    /// With one place, channels last and channels first are the same order.
    fn flatten(&mut self, operator: &Operator) -> Result<Value> {
        let from = operator.input(0)?;
        let inputs = vec![self.here(from)?];
        let [1, 1, channels] = self.picture(from)? else {
            return Err("a RESHAPE operator changes something else than one place into a vector".into());
        };
        self.expect(operator, &[1, channels])?;
        self.node("Flatten", inputs, operator, Vec::new())
    }

    fn fully_connected(&mut self, operator: &Operator) -> Result<Value> {
        let (from, matrix) = (operator.input(0)?, operator.input(1)?);
        let x = self.here(from)?;
        let (into, matrix_shape) = (&self.network.tensors[from].shape, &self.network.tensors[matrix].shape);
        let (out, columns) = match (&into[..], &matrix_shape[..]) {
            ([1, n], [out, columns]) if n == columns => (*out, *columns),
            _ => return Err(format!("a matrix of {matrix_shape:?} does not fit a vector of {into:?}")),
        };
        self.expect(operator, &[1, out])?;
        let name = format!("matrix{matrix}");
        self.weights(&name, &[out, columns], || self.network.tensors[matrix].floats())?;
        let inputs = [x, name].into_iter().chain(self.bias(operator, out)?).collect();
        self.node("Gemm", inputs, operator, vec![int("transB", 1)])
    }
}

/// Weights and names.
impl Builder<'_> {
    /// A convolution's kernel, planes first: OHWI to OIHW, and 1HWC to C1HW.
    fn kernel(&mut self, tensor: usize, depthwise: bool) -> Result<String> {
        let network = self.network;
        let kernel = &network.tensors[tensor];
        let [o, h, w, i] = kernel.shape[..] else { return Err(format!("{:?} is no kernel", kernel.name)) };
        let (rows, columns, name) = if depthwise { (i, o, "kernel_each") } else { (o, i, "kernel") };
        let name = format!("{name}{tensor}");
        self.weights(&name, &[rows, columns, h, w], || {
            let values = kernel.floats()?;
            let area = h * w;
            // In both forms the last side of the file is the one that moves to the front of the places.
            let moved = (0..values.len()).map(|n| {
                let (outer, channel, place) = (n / (i * area), n / area % i, n % area);
                values[(outer * area + place) * i + channel]
            });
            Ok(moved.collect())
        })?;
        Ok(name)
    }

    /// The bias of an operator with so many outputs, if it has one.
    fn bias(&mut self, operator: &Operator, out: usize) -> Result<Option<String>> {
        let Some(tensor) = operator.inputs.get(2).copied().flatten() else { return Ok(None) };
        let network = self.network;
        let bias = &network.tensors[tensor];
        if bias.shape != [out] {
            return Err(format!("a bias of {:?} does not fit {out} outputs", bias.shape));
        }
        let name = format!("bias{tensor}");
        self.weights(&name, &[out], || bias.floats())?;
        Ok(Some(name))
    }

    /// One slope for each channel. The file may hold one for each place, too: they must not differ.
    fn slope(&mut self, tensor: usize, x: usize) -> Result<String> {
        let network = self.network;
        let slope = &network.tensors[tensor];
        let [height, width, channels] = self.picture(x)?;
        let sides = [1, height, width, channels];
        let fits = |(side, of): (&usize, &usize)| *side == *of || *side == 1;
        if slope.shape.last() != Some(&channels) || !slope.shape.iter().rev().zip(sides.iter().rev()).all(fits) {
            return Err(format!("slopes of {:?} do not fit {sides:?}", slope.shape));
        }
        let name = format!("slope{tensor}");
        self.weights(&name, &[channels, 1, 1], || {
            let mut values = slope.floats()?;
            if values.chunks_exact(channels).any(|place| place != &values[..channels]) {
                return Err(format!("{:?} has other slopes at other places of the picture", slope.name));
            }
            values.truncate(channels);
            Ok(values)
        })?;
        Ok(name)
    }

    /// Stores weights under a name, once.
    fn weights(&mut self, name: &str, dims: &[usize], read: impl FnOnce() -> Result<Vec<f32>>) -> Result<()> {
        if self.graph.initializer.iter().any(|t| t.name == name) {
            return Ok(());
        }
        let raw_data: Vec<u8> = read()?.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.weights_bytes += raw_data.len();
        if self.weights_bytes > WEIGHTS_MAX_BYTES {
            return Err(format!("its weights are more than {} MB", WEIGHTS_MAX_BYTES >> 20));
        }
        let dims = dims.iter().map(|d| *d as i64).collect();
        self.graph.initializer.push(Tensor {
            dims,
            data_type: FLOAT,
            name: name.into(),
            raw_data,
            ..Tensor::default()
        });
        Ok(())
    }

    /// Adds the node that makes an operator's output.
    fn node(&mut self, op: &str, input: Vec<String>, made: &Operator, attribute: Vec<Attribute>) -> Result<Value> {
        let name = self.name(made.output);
        let (op_type, output) = (op.into(), vec![name.clone()]);
        self.graph.node.push(Node { input, output, name, op_type, attribute, domain: String::new() });
        Ok(Value::Here)
    }

    /// A tensor's name in the graph: its number in the file tells where it comes from.
    fn name(&self, tensor: usize) -> String {
        let own = self.names.iter().find(|(of, _)| *of == tensor);
        own.map_or_else(|| format!("t{tensor}"), |(_, name)| (*name).into())
    }

    /// The name of a tensor that has become one of the graph.
    fn here(&self, tensor: usize) -> Result<String> {
        let name = &self.network.tensors[tensor].name;
        match self.values[tensor] {
            Some(Value::Here) => Ok(self.name(tensor)),
            Some(Value::Padded { .. }) => Err(format!("{name:?}: PAD is supported right before a convolution only")),
            Some(Value::Above { .. } | Value::Sloped { .. }) => {
                Err(format!("{name:?}: GREATER and MUL are supported as parts of a PReLU only"))
            }
            None => Err(format!("{name:?} is read before an operator has written it")),
        }
    }

    /// Height, width and channels of a picture.
    fn picture(&self, tensor: usize) -> Result<[usize; 3]> {
        let tensor = &self.network.tensors[tensor];
        match tensor.shape[..] {
            [1, height, width, channels] => Ok([height, width, channels]),
            _ => Err(format!("{:?} has the sides {:?}; one picture is expected", tensor.name, tensor.shape)),
        }
    }

    /// The sides that the file gives an operator's output must be those that it makes.
    fn expect(&self, operator: &Operator, shape: &[usize]) -> Result<()> {
        let output = &self.network.tensors[operator.output];
        if output.shape == shape {
            return Ok(());
        }
        Err(format!("{:?} should have the sides {shape:?}, the file says {:?}", output.name, output.shape))
    }
}

/// How many places a window has on a side, and the zeros that are added for it before and after.
fn cover(side: usize, kernel: usize, window: Window, axis: usize) -> Result<(usize, [usize; 2])> {
    let stride = window.stride[axis];
    let extent = (kernel - 1) * window.dilation[axis] + 1;
    if window.same {
        // TFLite: an odd number of zeros has its larger half at the end.
        let places = side.div_ceil(stride);
        let zeros = ((places - 1) * stride + extent).saturating_sub(side);
        return Ok((places, [zeros / 2, zeros - zeros / 2]));
    }
    let free =
        side.checked_sub(extent).ok_or_else(|| format!("a kernel of {extent} is larger than a side of {side}"))?;
    Ok((free / stride + 1, [0, 0]))
}

fn int(name: &str, value: usize) -> Attribute {
    Attribute { name: name.into(), i: value as i64, kind: ATTRIBUTE_INT, ..Attribute::default() }
}

fn ints(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|v| *v as i64).collect();
    Attribute { name: name.into(), ints, kind: ATTRIBUTE_INTS, ..Attribute::default() }
}

fn value(name: &str, dims: &[usize]) -> ValueInfo {
    let dim = dims.iter().map(|d| Dimension { extent: Some(Extent::Value(*d as i64)) }).collect();
    let tensor = TensorType { elem_type: FLOAT, shape: Some(Shape { dim }) };
    ValueInfo { name: name.into(), kind: Some(ValueType { tensor: Some(tensor) }) }
}
