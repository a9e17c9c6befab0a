//! The part of ONNX's schema (onnx.proto3, IR version 6 and later) that the project's graphs use, as messages to
//! decode, change, make and encode. What a file holds beyond it is dropped when it is decoded.
#![forbid(unsafe_code)]

pub use prost::{DecodeError, Message};

/// Float, in TensorProto.DataType.
pub const FLOAT: i32 = 1;
/// 8 bits without a sign, in TensorProto.DataType.
pub const UINT8: i32 = 2;
/// 8-bit integer, in TensorProto.DataType.
pub const INT8: i32 = 3;
/// 32-bit integer, in TensorProto.DataType.
pub const INT32: i32 = 6;
/// 64-bit integer, in TensorProto.DataType.
pub const INT64: i32 = 7;
/// A float, in AttributeProto.AttributeType.
pub const ATTRIBUTE_FLOAT: i32 = 1;
/// An integer, in AttributeProto.AttributeType.
pub const ATTRIBUTE_INT: i32 = 2;
/// A list of integers, in AttributeProto.AttributeType.
pub const ATTRIBUTE_INTS: i32 = 7;

/// A serialised model.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// Version of the format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// What wrote it.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// The graph.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<Graph>,
    /// Operator sets in use.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSet>,
}

/// Which version of which operators the nodes mean.
#[derive(Clone, PartialEq, Message)]
pub struct OperatorSet {
    /// Empty for the standard operators.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Version of the set.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// The nodes in the order in which they run, the weights, and what goes in and out.
#[derive(Clone, PartialEq, Message)]
pub struct Graph {
    /// The operators.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<Node>,
    /// Name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The weights.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<Tensor>,
    /// What goes in.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfo>,
    /// What comes out.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfo>,
}

/// One operator.
#[derive(Clone, PartialEq, Message)]
pub struct Node {
    /// What goes in.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// What comes out.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Its settings.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<Attribute>,
    /// Empty for the standard operators.
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// One of an operator's settings; `kind` says which of the fields holds it.
#[derive(Clone, PartialEq, Message)]
pub struct Attribute {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// A number.
    #[prost(float, tag = "2")]
    pub f: f32,
    /// A whole number.
    #[prost(int64, tag = "3")]
    pub i: i64,
    /// Bytes or text.
    #[prost(bytes = "vec", tag = "4")]
    pub s: Vec<u8>,
    /// A tensor.
    #[prost(message, optional, tag = "5")]
    pub t: Option<Tensor>,
    /// Numbers.
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// Whole numbers.
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Texts.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    /// Type.
    #[prost(int32, tag = "20")]
    pub kind: i32,
}

/// Weights.
#[derive(Clone, PartialEq, Message)]
pub struct Tensor {
    /// Sides, outermost first.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// Element type: 1 = float, 7 = int64.
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// Elements as floats.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Elements as 32-bit integers.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Elements as 64-bit integers.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name.
    #[prost(string, tag = "8")]
    pub name: String,
    /// Elements as little-endian bytes.
    #[prost(bytes = "vec", tag = "9")]
    pub raw_data: Vec<u8>,
    /// Elements as doubles.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
}

/// The name, type and shape of what goes in or out.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfo {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Type.
    #[prost(message, optional, tag = "2")]
    pub kind: Option<ValueType>,
}

/// A type.
#[derive(Clone, PartialEq, Message)]
pub struct ValueType {
    /// A tensor; nothing else is used here.
    #[prost(message, optional, tag = "1")]
    pub tensor: Option<TensorType>,
}

/// A tensor's element type and shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorType {
    /// Element type: 1 = float.
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Its shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
}

/// A shape.
#[derive(Clone, PartialEq, Message)]
pub struct Shape {
    /// Sides, outermost first.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<Dimension>,
}

/// One side of a shape.
#[derive(Clone, PartialEq, Message)]
pub struct Dimension {
    /// A fixed side or a named one.
    #[prost(oneof = "Extent", tags = "1, 2")]
    pub extent: Option<Extent>,
}

/// The length of a side.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Extent {
    /// Fixed.
    #[prost(int64, tag = "1")]
    Value(i64),
    /// Any, by name.
    #[prost(string, tag = "2")]
    Symbol(String),
}
