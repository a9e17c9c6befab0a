//! The importer on a small network that is written here, whole and damaged.

use super::import;
use gate_onnx::{Graph, Message, Model};

/// A value of a FlatBuffers table.
enum Field {
    Byte(u8),
    Int(i32),
    /// Elements of so many bytes each.
    Vector(Vec<u8>, usize),
    Table(Vec<(usize, Field)>),
    Tables(Vec<Vec<(usize, Field)>>),
}
use Field::{Byte, Int, Table, Tables, Vector};

fn ints(values: &[i32]) -> Field {
    Vector(values.iter().flat_map(|v| v.to_le_bytes()).collect(), 4)
}

fn put(file: &mut [u8], at: usize, value: usize) {
    file[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
}

/// Appends a table: its layout, eight bytes for each field, then what the fields point to.
fn table(file: &mut Vec<u8>, fields: &[(usize, Field)]) -> usize {
    let count = fields.iter().map(|(n, _)| n + 1).max().unwrap_or(0);
    let (layout, at) = (file.len(), file.len() + 4 + 2 * count);
    file.resize(at + 4 + 8 * count, 0);
    file[layout..layout + 2].copy_from_slice(&u16::try_from(4 + 2 * count).unwrap().to_le_bytes());
    put(file, at, at - layout);
    for (n, field) in fields {
        let place = 4 + 8 * n;
        let entry = layout + 4 + 2 * n;
        file[entry..entry + 2].copy_from_slice(&u16::try_from(place).unwrap().to_le_bytes());
        let place = at + place;
        match field {
            Byte(value) => file[place] = *value,
            Int(value) => file[place..place + 4].copy_from_slice(&value.to_le_bytes()),
            Vector(bytes, size) => {
                let target = file.len();
                put(file, place, target - place);
                file.extend(u32::try_from(bytes.len() / size).unwrap().to_le_bytes());
                file.extend(bytes);
            }
            Table(fields) => {
                let target = table(file, fields);
                put(file, place, target - place);
            }
            Tables(tables) => {
                let target = file.len();
                put(file, place, target - place);
                file.resize(target + 4 + 4 * tables.len(), 0);
                put(file, target, tables.len());
                for (i, fields) in tables.iter().enumerate() {
                    let (slot, made) = (target + 4 + 4 * i, table(file, fields));
                    put(file, slot, made - slot);
                }
            }
        }
    }
    at
}

/// Its code, what goes in, what comes out, its options.
type Operator = (i32, Vec<i32>, i32, Vec<(usize, Field)>);

/// A network in the making.
#[derive(Default)]
struct Draft {
    tensors: Vec<(Vec<i32>, Option<Vec<u8>>, u8)>,
    operators: Vec<Operator>,
}

impl Draft {
    fn computed(&mut self, shape: &[i32]) -> i32 {
        self.tensors.push((shape.to_vec(), None, 0));
        self.tensors.len() as i32 - 1
    }

    fn floats(&mut self, shape: &[i32], value: impl Fn(i32) -> f32) -> i32 {
        let bytes = (0..shape.iter().product()).flat_map(|n| value(n).to_le_bytes()).collect();
        self.tensors.push((shape.to_vec(), Some(bytes), 0));
        self.tensors.len() as i32 - 1
    }

    fn add(&mut self, code: i32, inputs: &[i32], shape: &[i32], options: Vec<(usize, Field)>) -> i32 {
        let output = self.computed(shape);
        self.operators.push((code, inputs.to_vec(), output, options));
        output
    }

    fn file(self) -> Vec<u8> {
        let codes = self.operators.iter().map(|o| vec![(3, Int(o.0))]).collect();
        let last = self.operators.last().unwrap().2;
        let mut buffers = vec![Vec::new()];
        let mut tensors = Vec::new();
        for (number, (shape, data, kind)) in self.tensors.into_iter().enumerate() {
            let name = Vector(format!("tensor {number}").into_bytes(), 1);
            let buffer = data.map_or(0, |data| {
                buffers.push(vec![(0, Vector(data, 1))]);
                buffers.len() as i32 - 1
            });
            tensors.push(vec![(0, ints(&shape)), (1, Byte(kind)), (2, Int(buffer)), (3, name)]);
        }
        let operators = self.operators.into_iter().enumerate().map(|(n, (_, inputs, output, options))| {
            vec![(0, Int(n as i32)), (1, ints(&inputs)), (2, ints(&[output])), (4, Table(options))]
        });
        let graph = vec![(0, Tables(tensors)), (1, ints(&[0])), (2, ints(&[last])), (3, Tables(operators.collect()))];
        // Buffers last: a file cut short lacks weights.
        let model = vec![(0, Int(3)), (1, Tables(codes)), (2, Tables(vec![graph])), (4, Tables(buffers))];
        let mut file = vec![0; 4];
        file.extend(b"TFL3");
        let root = table(&mut file, &model);
        put(&mut file, 0, root);
        file
    }
}

const SAME: Field = Byte(0);
const VALID: Field = Byte(1);

fn stride(padding: Field, step: i32) -> Vec<(usize, Field)> {
    vec![(0, padding), (1, Int(step)), (2, Int(step))]
}

/// A PReLU's three operators.
fn prelu(draft: &mut Draft, x: i32, shape: &[i32], slope: impl Fn(i32) -> f32) -> i32 {
    let (zero, slope) = (draft.floats(shape, |_| 0.0), draft.floats(shape, slope));
    let above = draft.add(61, &[x, zero], shape, vec![]);
    let sloped = draft.add(18, &[x, slope], shape, vec![]);
    draft.add(64, &[above, x, sloped], shape, vec![])
}

/// Each operator once: 1x6x6x3 to 3 numbers. `slope`: of each place and channel.
fn small(slope: impl Fn(i32) -> f32) -> Draft {
    let mut draft = Draft::default();
    let image = draft.computed(&[1, 6, 6, 3]);
    let zeros = [0, 0, 1, 1, 1, 1, 0, 0i64].iter().flat_map(|v| v.to_le_bytes()).collect();
    draft.tensors.push((vec![4, 2], Some(zeros), 4));
    let padded = draft.add(34, &[image, 1], &[1, 8, 8, 3], vec![]);
    let (kernel, bias) = (draft.floats(&[2, 3, 3, 3], |n| n as f32), draft.floats(&[2], |n| n as f32));
    let x = draft.add(3, &[padded, kernel, bias], &[1, 6, 6, 2], stride(VALID, 1));
    let x = prelu(&mut draft, x, &[1, 6, 6, 2], slope);
    let kernel = draft.floats(&[1, 3, 3, 2], |n| n as f32);
    let x = draft.add(4, &[x, kernel, bias], &[1, 3, 3, 2], stride(SAME, 2));
    let x = draft.add(0, &[x, x], &[1, 3, 3, 2], vec![]);
    let x = draft.add(4, &[x, kernel, bias], &[1, 1, 1, 2], stride(VALID, 1));
    let shape = draft.computed(&[2]);
    let x = draft.add(22, &[x, shape], &[1, 2], vec![]);
    let (first, second) = (draft.floats(&[2, 2], |n| n as f32), draft.floats(&[3, 2], |n| n as f32));
    let x = draft.add(9, &[x, first, bias], &[1, 2], vec![]);
    draft.add(9, &[x, second, -1], &[1, 3], vec![]);
    draft
}

fn by_channel(n: i32) -> f32 {
    [0.25, -0.5][n as usize % 2]
}

fn imported(file: &[u8]) -> Graph {
    Model::decode(import(file).unwrap().as_slice()).unwrap().graph.unwrap()
}

fn weights(graph: &Graph, name: &str) -> (Vec<i64>, Vec<f32>) {
    let tensor = graph.initializer.iter().find(|t| t.name == name).unwrap_or_else(|| panic!("{name}"));
    (tensor.dims.clone(), tensor.raw_data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

fn refused(draft: Draft, why: &str) {
    let said = import(&draft.file()).unwrap_err();
    assert!(said.contains(why), "{said:?} lacks {why:?}");
}

#[test]
fn operators_become_those_of_onnx() {
    let graph = imported(&small(by_channel).file());
    let ops: Vec<&str> = graph.node.iter().map(|n| n.op_type.as_str()).collect();
    assert_eq!(ops, ["Conv", "PRelu", "Conv", "Add", "Conv", "Flatten", "Gemm", "Gemm"]);
    assert_eq!(graph.input.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["image"]);
    assert_eq!(graph.output.iter().map(|o| o.name.as_str()).collect::<Vec<_>>(), ["logits", "embedding"]);
    assert_eq!((&graph.node[6].output[0][..], &graph.node[7].input[0][..]), ("embedding", "embedding"));
    assert_eq!(graph.node[7].input.len(), 2, "no bias");
    let attribute = |node: usize, name: &str| {
        let found = graph.node[node].attribute.iter().find(|a| a.name == name);
        found.map(|a| (a.i, a.ints.clone()))
    };
    assert_eq!(attribute(0, "pads"), Some((0, vec![1, 1, 1, 1])), "the PAD before it");
    // SAME on a side of 6 with stride 2: one zero is needed, and it comes at the end.
    assert_eq!(attribute(2, "pads"), Some((0, vec![0, 0, 1, 1])));
    assert_eq!(attribute(2, "strides"), Some((0, vec![2, 2])));
    assert_eq!(attribute(2, "group"), Some((2, vec![])));
    assert_eq!((attribute(0, "group"), attribute(0, "dilations")), (None, None));
}

#[test]
fn weights_are_turned_to_planes_and_stored_once() {
    let graph = imported(&small(by_channel).file());
    let (dims, kernel) = weights(&graph, &graph.node[0].input[1]);
    assert_eq!(dims, [2, 3, 3, 3]);
    // Output 1, channel 2, row 0, column 1: element ((1*3 + 0)*3 + 1)*3 + 2 of the file.
    assert_eq!(kernel[27 + 2 * 9 + 1], 32.0);
    let (dims, kernel) = weights(&graph, &graph.node[2].input[1]);
    assert_eq!(dims, [2, 1, 3, 3]);
    assert_eq!(kernel[9..12], [1.0, 3.0, 5.0], "channel 1, first row");
    assert_eq!(weights(&graph, &graph.node[1].input[1]), (vec![2, 1, 1], vec![0.25, -0.5]));
    // Both depthwise operators share their kernel, and most share a bias.
    assert_eq!(graph.initializer.len(), 6);
    let file = small(by_channel).file();
    assert_eq!(import(&file), import(&file));
}

#[test]
fn what_cannot_be_carried_over_is_refused_by_name() {
    refused(small(|n| n as f32), "other slopes at other places");
    let mut softmax = small(by_channel);
    softmax.add(25, &[0], &[1, 6, 6, 3], vec![]);
    refused(softmax, "SOFTMAX (25");
    let mut unknown = small(by_channel);
    unknown.add(203, &[0], &[1, 6, 6, 3], vec![]);
    refused(unknown, "numbered 203");
    let mut relu = small(by_channel);
    relu.operators[1].3.push((3, Byte(1)));
    refused(relu, "CONV_2D operator has the activation RELU built in");
    let mut alone = small(by_channel);
    alone.operators.remove(1);
    refused(alone, "before an operator has written it");
    let mut padded = small(by_channel);
    padded.operators[1] = (0, vec![2, 2], 5, vec![]);
    refused(padded, "PAD is supported right before a convolution only");
    let mut sides = small(by_channel);
    sides.tensors[5].0 = vec![1, 6, 5, 2];
    refused(sides, "should have the sides [1, 6, 6, 2]");
    let mut half = small(by_channel);
    half.tensors[3].2 = 1;
    refused(half, "not of 32-bit floats");
}

#[test]
fn junk_and_files_cut_short_are_refused() {
    let file = small(by_channel).file();
    for junk in [&b""[..], b"TFL3", b"<html>404 not found</html>", &[0; 64], &[255; 64]] {
        assert!(import(junk).unwrap_err().contains("TFL3"));
    }
    for len in 0..file.len() {
        let why = import(&file[..len]).expect_err("a file cut short");
        assert!(!why.is_empty());
    }
}

/// A flipped bit of a weight makes another weight, so not every file is refused; but none may stop the program.
#[test]
fn no_flipped_bit_stops_the_program() {
    let mut file = small(by_channel).file();
    let whole = import(&file).unwrap();
    let (mut refused, mut other) = (0, 0);
    // Every third: each byte has two or three of its bits flipped, and each bit has its turn.
    for bit in (0..8 * file.len()).step_by(3) {
        file[bit / 8] ^= 1 << (bit % 8);
        match import(&file) {
            Err(why) => {
                assert!(!why.is_empty());
                refused += 1;
            }
            Ok(onnx) => other += usize::from(onnx != whole),
        }
        file[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(refused > 0 && other > 0, "{refused} refused, {other} other networks");
}
