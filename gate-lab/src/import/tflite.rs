//! A TFLite file as a list of tensors and a list of operators that work on them.
//!
//! Field numbers are those of TensorFlow's `tensorflow/compiler/mlir/lite/schema/schema.fbs` (version 3 of the format).
//! What is read is what the importer can carry over; everything else is refused by name.

use super::flatbuffer::{Result, Table};

/// Longest side of a tensor.
const SIDE_MAX: usize = 1 << 15;

/// A network: one graph.
#[derive(Debug)]
pub struct Network<'a> {
    /// What operators read and write, by number.
    pub tensors: Vec<Tensor<'a>>,
    /// In the order in which they run.
    pub operators: Vec<Operator>,
    /// Tensors that go in.
    pub inputs: Vec<usize>,
    /// Tensors that come out.
    pub outputs: Vec<usize>,
}

/// A tensor, weights or not.
#[derive(Debug)]
pub struct Tensor<'a> {
    /// Its name in the file, for messages.
    pub name: String,
    /// Sides, outermost first.
    pub shape: Vec<usize>,
    /// Element type as the format numbers it.
    kind: u8,
    /// Little-endian elements; empty for what is computed.
    data: &'a [u8],
}

/// How a window moves over a picture.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Pad so that the output has ceil(input / stride) places; else not at all.
    pub same: bool,
    /// Step down and to the right.
    pub stride: [usize; 2],
    /// Distance of the kernel's taps, down and to the right.
    pub dilation: [usize; 2],
}

/// What an operator does.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// a + b.
    Add,
    /// Convolution.
    Conv(Window),
    /// Convolution of each channel by itself.
    Depthwise(Window),
    /// Matrix times vector.
    FullyConnected,
    /// a > b.
    Greater,
    /// a * b.
    Mul,
    /// Zeros around.
    Pad,
    /// Other sides, the same elements.
    Reshape,
    /// c ? a : b.
    Select,
}

/// One operator.
#[derive(Debug)]
pub struct Operator {
    /// What it does.
    pub kind: Kind,
    /// Tensors that it reads; `None` where an optional one was left out.
    pub inputs: Vec<Option<usize>>,
    /// The tensor that it writes.
    pub output: usize,
}

impl Operator {
    /// The tensor at a place of its inputs.
    ///
    /// # Errors
    /// When there is none.
    pub fn input(&self, place: usize) -> Result<usize> {
        let found = self.inputs.get(place).copied().flatten();
        found.ok_or_else(|| format!("a {:?} operator lacks its input {place}", self.kind))
    }
}

const FLOAT32: u8 = 0;
const INT32: u8 = 2;
const INT64: u8 = 4;

impl Tensor<'_> {
    /// Elements that its sides make.
    pub fn len(&self) -> usize {
        self.shape.iter().fold(1, |len: usize, side| len.saturating_mul(*side))
    }

    /// It is filled by an operator or from outside, and is no weight.
    pub fn is_computed(&self) -> bool {
        self.data.is_empty()
    }

    /// Its weights.
    ///
    /// # Errors
    /// When it has none, or they are no 32-bit floats, or not as many as its sides make, or not all finite.
    pub fn floats(&self) -> Result<Vec<f32>> {
        if self.kind != FLOAT32 {
            return Err(format!("{:?} is not of 32-bit floats, but of the type numbered {}", self.name, self.kind));
        }
        let values: Vec<f32> = self.elements::<4>()?.iter().map(|b| f32::from_le_bytes(*b)).collect();
        if values.iter().all(|v| v.is_finite()) { Ok(values) } else { Err(format!("{:?} holds no numbers", self.name)) }
    }

    /// Its whole numbers, of 32 or 64 bits.
    ///
    /// # Errors
    /// When it has none, or they are no such integers, or not as many as its sides make.
    pub fn ints(&self) -> Result<Vec<i64>> {
        match self.kind {
            INT32 => Ok(self.elements()?.iter().map(|b| i32::from_le_bytes(*b).into()).collect()),
            INT64 => Ok(self.elements()?.iter().map(|b| i64::from_le_bytes(*b)).collect()),
            other => Err(format!("{:?} is not of 32- or 64-bit integers, but of the type numbered {other}", self.name)),
        }
    }

    fn elements<const BYTES: usize>(&self) -> Result<&[[u8; BYTES]]> {
        let (found, wanted) = (self.data.len(), self.len().saturating_mul(BYTES));
        if found != wanted {
            return Err(format!("{:?} holds {found} bytes where its sides {:?} make {wanted}", self.name, self.shape));
        }
        Ok(self.data.as_chunks().0)
    }
}

/// Reads a TFLite file.
///
/// # Errors
/// What is damaged, or what kind of operator or option is not among those that can be carried over.
pub fn read(file: &[u8]) -> Result<Network<'_>> {
    if file.get(4..8) != Some(b"TFL3") {
        return Err("it does not begin as a TFLite file does (TFL3 at byte 4)".into());
    }
    let model = Table::root(file)?;
    let codes = model.tables(1)?.iter().map(code).collect::<Result<Vec<_>>>()?;
    let [graph] = model.tables(2)?[..] else { return Err("it does not hold exactly one graph".into()) };
    // The first buffer is empty by the format's rule: tensors that are computed point to it.
    let buffers = model.tables(4)?.iter().map(|b| b.vector(0, 1)).collect::<Result<Vec<_>>>()?;
    let tensors = graph.tables(0)?;
    let operators = graph.tables(3)?;
    let tensors = tensors.iter().map(|t| tensor(t, &buffers)).collect::<Result<Vec<_>>>()?;
    let count = tensors.len();
    let numbers = |field| graph.i32s(field)?.into_iter().map(|n| index(n, count)).collect::<Result<Vec<_>>>();
    Ok(Network {
        operators: operators.iter().map(|o| operator(o, &codes, count)).collect::<Result<_>>()?,
        inputs: numbers(1)?,
        outputs: numbers(2)?,
        tensors,
    })
}

/// An operator's number in the format. Old files hold it in a byte, new ones in an integer beside it.
fn code(table: &Table<'_>) -> Result<i32> {
    Ok(table.i32(3, 0)?.max(table.u8(0, 0)?.into()))
}

fn index(number: i32, count: usize) -> Result<usize> {
    let index = usize::try_from(number).ok().filter(|n| *n < count);
    index.ok_or_else(|| format!("it names tensor {number} of {count}"))
}

fn tensor<'a>(table: &Table<'_>, buffers: &[&'a [u8]]) -> Result<Tensor<'a>> {
    let name = table.text(3)?;
    let sides = table.i32s(0)?;
    let shape: Option<Vec<usize>> =
        sides.iter().map(|s| usize::try_from(*s).ok().filter(|s| (1..=SIDE_MAX).contains(s))).collect();
    let shape = shape.filter(|shape| shape.len() <= 4);
    let shape =
        shape.ok_or_else(|| format!("tensor {name:?} has the sides {sides:?}; at most 4 of 1 to {SIDE_MAX}"))?;
    let buffer = table.u32(2)?;
    let data =
        buffers.get(buffer).ok_or_else(|| format!("tensor {name:?} names buffer {buffer} of {}", buffers.len()))?;
    Ok(Tensor { name, shape, kind: table.u8(1, FLOAT32)?, data })
}

fn operator(table: &Table<'_>, codes: &[i32], tensors: usize) -> Result<Operator> {
    let number = table.u32(0)?;
    let code = codes.get(number).ok_or_else(|| format!("it names operator code {number} of {}", codes.len()))?;
    let options = table.table(4)?;
    let kind = match code {
        0 => Kind::Add,
        // The fields of the activation, and of the dilation down and to the right.
        3 => Kind::Conv(window("CONV_2D", options, 3, [5, 4])?),
        4 => Kind::Depthwise(window("DEPTHWISE_CONV_2D", options, 4, [6, 5])?),
        9 => Kind::FullyConnected,
        18 => Kind::Mul,
        22 => Kind::Reshape,
        34 => Kind::Pad,
        61 => Kind::Greater,
        64 => Kind::Select,
        other => return Err(format!("the operator {} is not supported", operator_name(*other))),
    };
    if let (Kind::Add | Kind::FullyConnected | Kind::Mul, Some(options)) = (kind, options) {
        no_activation(&format!("{kind:?}"), options, 0)?;
    }
    let inputs = table.i32s(1)?.into_iter().map(|n| if n == -1 { Ok(None) } else { index(n, tensors).map(Some) });
    let inputs = inputs.collect::<Result<_>>()?;
    let [output] = table.i32s(2)?[..] else { return Err(format!("a {kind:?} operator must have one output")) };
    Ok(Operator { kind, inputs, output: index(output, tensors)? })
}

/// An activation that is built into another operator would have to become one of its own.
fn no_activation(name: &str, options: Table<'_>, field: usize) -> Result<()> {
    let activation = match options.u8(field, 0)? {
        0 => return Ok(()),
        1 => "RELU".into(),
        2 => "RELU_N1_TO_1".into(),
        3 => "RELU6".into(),
        4 => "TANH".into(),
        other => format!("numbered {other}"),
    };
    Err(format!("a {name} operator has the activation {activation} built in; that is not supported"))
}

/// Stride and dilation, each down and to the right.
fn window(name: &str, options: Option<Table<'_>>, activation: usize, dilation: [usize; 2]) -> Result<Window> {
    let options = options.ok_or_else(|| format!("a {name} operator lacks its options"))?;
    no_activation(name, options, activation)?;
    let step = |field, default| {
        let step = options.i32(field, default)?;
        let fits = usize::try_from(step).ok().filter(|step| (1..=64).contains(step));
        fits.ok_or_else(|| format!("a {name} operator has a stride or dilation of {step}; 1 to 64 are possible"))
    };
    let same = match options.u8(0, 0)? {
        0 => true,
        1 => false,
        other => return Err(format!("a {name} operator has an unknown padding, {other}")),
    };
    Ok(Window { same, stride: [step(2, 0)?, step(1, 0)?], dilation: [step(dilation[0], 1)?, step(dilation[1], 1)?] })
}

/// The names of operators that image networks often have; the format knows about 200.
fn operator_name(number: i32) -> String {
    let name = match number {
        1 => "AVERAGE_POOL_2D",
        2 => "CONCATENATION",
        6 => "DEQUANTIZE",
        14 => "LOGISTIC",
        17 => "MAX_POOL_2D",
        19 => "RELU",
        21 => "RELU6",
        23 => "RESIZE_BILINEAR",
        25 => "SOFTMAX",
        32 => "CUSTOM",
        39 => "TRANSPOSE",
        40 => "MEAN",
        41 => "SUB",
        54 => "PRELU",
        67 => "TRANSPOSE_CONV",
        114 => "QUANTIZE",
        117 => "HARD_SWISH",
        123 => "SELECT_V2",
        _ => return format!("numbered {number} in TFLite's schema"),
    };
    format!("{name} ({number} in TFLite's schema)")
}
