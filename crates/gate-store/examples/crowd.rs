//! Fills a new store with made-up people, one reference each, in arbitrary directions: to measure with, or to try what a
//! full gate is like.
//!
//! `cargo run --release -p gate-store --example crowd -- DIR PEOPLE ENCODER_SHA256 DIM`
//!
//! Makes `DIR/site.key` and `DIR/store`; people are called `p1`, `p2` and so on.

use std::error::Error;
use std::path::Path;

#[path = "../benches/crowd/mod.rs"]
mod crowd;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, people, encoder_sha256, dim] = args.as_slice() else {
        return Err("usage: crowd DIR PEOPLE ENCODER_SHA256 DIM".into());
    };
    let dir = Path::new(dir);
    let (_store, key) = crowd::store_of(people.parse()?, &dir.join("store"), encoder_sha256, dim.parse()?)?;
    key.create_file(&dir.join("site.key"))?;
    Ok(())
}
