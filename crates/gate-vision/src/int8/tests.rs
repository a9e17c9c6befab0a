use super::*;
use crate::card::{Card, Job};
use gate_onnx::{Attribute, Message};
use std::path::Path;

/// 1x1 convolutions: 2 inputs, 3 outputs, those again each by itself, and 2 numbers out of them.
fn chain() -> Chain {
    let layer = |group, shape, weights: &[f64], slope: [f64; 3], ranges| Layer {
        conv: Node {
            attribute: vec![Attribute { name: "group".into(), i: group, ..Attribute::default() }],
            ..Node::default()
        },
        shape,
        weights: weights.to_vec(),
        bias: vec![0.5, -0.25, 0.125],
        slope: slope.to_vec(),
        ranges,
    };
    Chain {
        pixel: Bytes { scale: 1.0, zero: 0 },
        scale: 1.0,
        zero: 0.0,
        layers: vec![
            layer(
                1,
                [3, 2, 1, 1],
                &[0.5, -1.0, 2.0, 0.25, -0.75, 1.5],
                [0.25, 1.5, -0.5],
                vec![[-1.0, 2.0], [-0.5, 0.25], [-3.0, 3.0]],
            ),
            layer(3, [3, 1, 1, 1], &[1.5, -0.5, 4.0], [2.0, 0.0, 1.0], vec![[-8.0, 1.0], [0.0, 0.5], [-1.0, 1.0]]),
        ],
        head: Head { weights: vec![1.0, -2.0, 0.5, 0.25, 3.0, -1.0], bias: vec![0.0, 1.0] },
    }
}

/// What comes out of it.
fn run(chain: &Chain, input: [f64; 2]) -> Vec<f64> {
    let mut values = input.to_vec();
    for layer in &chain.layers {
        let each = layer.shape[1];
        values = (0..layer.shape[0])
            .map(|channel| {
                let seen = if layer.is_depthwise() { &values[channel..=channel] } else { &values[..] };
                let weights = &layer.weights[channel * each..][..each];
                let sum: f64 = weights.iter().zip(seen).map(|(w, x)| w * x).sum();
                layer.prelu(channel, sum + layer.bias[channel])
            })
            .collect();
    }
    let rows = chain.head.weights.chunks_exact(values.len()).zip(&chain.head.bias);
    rows.map(|(row, bias)| row.iter().zip(&values).map(|(w, x)| w * x).sum::<f64>() + bias).collect()
}

#[test]
fn equalising_changes_no_output_and_lets_all_channels_reach_equally_far() {
    let (before, mut after) = (chain(), chain());
    after.equalise();
    for input in [[0.0, 0.0], [1.0, 2.0], [-3.0, 0.5], [0.25, -7.0], [-1.0, -1.0]] {
        for (a, b) in run(&before, input).iter().zip(run(&after, input)) {
            assert!((a - b).abs() < 1e-12, "{input:?}: {a} became {b}");
        }
    }
    for layer in &after.layers {
        let reach = |[low, high]: &[f64; 2]| low.abs().max(high.abs());
        assert!(layer.ranges.iter().all(|range| (reach(range) - reach(&layer.ranges[0])).abs() < 1e-12));
        assert!(layer.slope.iter().all(|slope| *slope <= 1.0), "{:?}", layer.slope);
    }
}

#[test]
fn a_network_of_another_form_is_refused_with_the_node_that_does_not_fit() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let weights = |name, job| Card::load(&models, name, job).unwrap().weights().unwrap();
    let input = Card::load(&models, "sface", Job::Encode).unwrap().input;
    let refused = |bytes: &[u8], edit: fn(&mut Model), input| {
        let mut model = Model::decode(bytes).unwrap();
        edit(&mut model);
        rewrite(&mut model, input).unwrap_err()
    };
    let detector = refused(&weights("yunet", Job::Detect), |_| {}, input);
    assert!(detector.contains("Relu") && detector.contains("after \"Conv\""), "{detector}");

    let sface = weights("sface", Job::Encode);
    let odd_mean = refused(&sface, |_| {}, Input { mean: 127.5, ..input });
    assert!(odd_mean.contains("127.5"), "{odd_mean}");
    let cut = |model: &mut Model| model.graph.as_mut().unwrap().node.truncate(40);
    assert!(refused(&sface, cut, input).contains("no Gemm at the end"));
    let lost = |model: &mut Model| model.graph.as_mut().unwrap().initializer.retain(|t| !t.name.contains("gamma"));
    assert!(refused(&sface, lost, input).contains("constant"));
}
