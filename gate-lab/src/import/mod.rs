//! `gate-lab import-tflite`: a published TFLite network as the ONNX file that the gate runs.
//!
//! ```text
//!  file ──flatbuffer──▶ tables ──tflite──▶ tensors, operators ──graph──▶ ONNX
//! ```
//! It carries over what MiniFASNetV2 consists of. Any other operator is refused by name: a network that is carried over
//! wrongly would still give numbers.

mod flatbuffer;
mod graph;
#[cfg(test)]
mod tests;
mod tflite;

use crate::files::write_public;
use crate::refusal::refuse;
use crate::words::thousands;
use anyhow::{Context, Result};
use gate_vision::card::sha256_hex;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Largest file, bytes.
const FILE_MAX_BYTES: u64 = 64 << 20;

pub const IMPORT_HELP: &str = "\
Example:
  gate-lab import-tflite anti_spoof.tflite --sha256 5d573d20b795a19d... --out models/minifasnet_v2.onnx

The input becomes `image`, planes one after the other (NCHW); the outputs are `logits` and `embedding`, the vector that the \
last fully connected operator makes them from. Weights stay 32-bit floats. The same file gives the same bytes.

Operators: PAD before a convolution, CONV_2D, DEPTHWISE_CONV_2D, a PReLU made of GREATER, MUL and SELECT, ADD, RESHAPE of one \
place, FULLY_CONNECTED. Everything else is refused by name.";

/// Turn a TFLite network into ONNX
#[derive(Debug, clap::Args)]
pub struct ImportArgs {
    /// The TFLite file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Refuse any other file than the one with this hash
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// The ONNX file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl ImportArgs {
    /// Reads, turns, writes.
    ///
    /// # Errors
    /// A refusal when the file cannot be read, is another one than asked for, or cannot be carried over; a fault.
    pub fn run(&self) -> Result<()> {
        let refuse = |why: String| refuse(format!("{}: {why}", self.file.display()));
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that is too large, also where its size is not known before.
        let read = File::open(&self.file).and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes));
        read.map_err(|e| refuse(format!("it cannot be read: {e}")))?;
        if bytes.len() as u64 > FILE_MAX_BYTES {
            return Err(refuse(format!("it is larger than {} MB", FILE_MAX_BYTES >> 20)));
        }
        let found = sha256_hex(&bytes);
        if let Some(wanted) = self.sha256.as_ref().filter(|wanted| !wanted.eq_ignore_ascii_case(&found)) {
            return Err(refuse(format!("damaged or another file: sha256 {found}, --sha256 says {wanted}")));
        }
        let onnx = import(&bytes).map_err(|why| refuse(format!("it cannot be imported: {why}")))?;
        write_public(&self.out, &onnx).with_context(|| format!("{} cannot be written", self.out.display()))?;
        println!("read:    {}, {} bytes, sha256 {found}", self.file.display(), thousands(bytes.len() as u64));
        let (size, sha256) = (thousands(onnx.len() as u64), sha256_hex(&onnx));
        println!("written: {}, {size} bytes, sha256 {sha256}", self.out.display());
        Ok(())
    }
}

/// The ONNX model of a TFLite file.
fn import(bytes: &[u8]) -> flatbuffer::Result<Vec<u8>> {
    graph::build(&tflite::read(bytes)?)
}
