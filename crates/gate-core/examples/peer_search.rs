//! The 1:N search over vectors from a file, timed, for a comparison with other search libraries over the same vectors.
//!
//! `cargo run --release -p gate-core --example peer_search -- ROWS.f32 DIM PROBES.f32 ROUNDS`
//!
//! Both files hold unit vectors of DIM little-endian f32, one after the other; each row is another person. Prints one
//! JSON document: how long one search takes on one thread, and what each probe finds.

use gate_core::codes::{self, Line};
use gate_core::comparison::Comparison;
use gate_core::gallery::{Gallery, Nearest, search, search_counted};
use gate_core::person::PersonKey;
use serde_json::{Value, json};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

/// As many people as the store loads at a time, and the gate holds together.
const PART: usize = 4096;
const USAGE: &str = "usage: peer_search ROWS.f32 DIM PROBES.f32 ROUNDS";

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [rows, dim, probes, rounds] = args.as_slice() else { return Err(USAGE.into()) };
    let (dim, rounds) = (dim.parse::<usize>()?, rounds.parse::<usize>()?);
    let (references, probes) = (read(rows)?, read(probes)?);
    if dim == 0 || rounds == 0 || !references.len().is_multiple_of(dim) || !probes.len().is_multiple_of(dim) {
        return Err(USAGE.into());
    }
    println!("{}", measure(dim, &references, &probes, rounds)?);
    Ok(())
}

fn read(path: &str) -> Result<Vec<f32>, Box<dyn Error>> {
    let bytes = std::fs::read(path).map_err(|e| format!("{path}: {e}"))?;
    let (values, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(format!("{path}: {} bytes are no whole number of f32", bytes.len()).into());
    }
    Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

fn measure(dim: usize, references: &[f32], probes: &[f32], rounds: usize) -> Result<Value, Box<dyn Error>> {
    let people = u32::try_from(references.len() / dim)?;
    let owners: Vec<PersonKey> = (0..people).map(PersonKey).collect();
    let started = Instant::now();
    let parts = || references.chunks(PART * dim).zip(owners.chunks(PART));
    let packed: Vec<Vec<Line>> = parts()
        .map(|(references, owners)| {
            let mut packed = vec![Line::default(); codes::lines(dim, owners.len())];
            codes::pack(dim, references, &mut packed);
            packed
        })
        .collect();
    let pack_ms = ms_since(started);
    let galleries: Vec<Gallery<'_>> = parts()
        .zip(&packed)
        .filter_map(|((references, owners), packed)| Some(Gallery::new(dim, references, owners)?.with_codes(packed)))
        .collect();
    let code_bytes: usize = packed.iter().map(|packed| size_of_val(packed.as_slice())).sum();
    let mut answers = Vec::new();
    let (mut times_ms, mut compared) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for probe in probes.chunks_exact(dim) {
            let started = Instant::now();
            let found = black_box(search(galleries.iter().copied(), black_box(probe), &Comparison::Distance));
            times_ms.push(ms_since(started));
            if round == 0 {
                let (_, rows) = search_counted(galleries.iter().copied(), probe, &Comparison::Distance);
                answers.push(found.map(answer));
                compared.push(rows);
            }
        }
    }
    times_ms.sort_by(f64::total_cmp);
    compared.sort_unstable();
    Ok(json!({
        "rows": people,
        "dim": dim,
        "probes": probes.len() / dim,
        "pack_ms": pack_ms,
        "code_bytes_per_row": code_bytes as f64 / f64::from(people),
        "p50_ms": times_ms.get(times_ms.len() / 2),
        "min_ms": times_ms.first(),
        "exact_rows_p50": compared.get(compared.len() / 2),
        "answers": answers,
    }))
}

fn ms_since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e3
}

fn answer(found: Nearest) -> Value {
    json!({ "row": found.person.0, "d2": found.d2, "runner_up_d2": found.runner_up_d2 })
}
