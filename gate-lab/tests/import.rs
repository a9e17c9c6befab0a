//! `gate-lab import-tflite` over the real binary: what it refuses, and that it writes nothing then.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Bench;

#[test]
fn what_is_no_tflite_file_is_refused_and_nothing_is_written() {
    let bench = Bench::new();
    bench.write("page.tflite", "<html>404 not found</html>");
    bench.write("cut.tflite", b"\x1c\0\0\0TFL3");
    let import = |args: &[&str]| bench.run(["import-tflite"].iter().chain(args).chain(&["--out", "made.onnx"]));
    import(&["page.tflite"]).refused("page.tflite: it cannot be imported: it does not begin as a TFLite file does");
    import(&["cut.tflite"]).refused("lie outside the file of 8 bytes");
    import(&["gone.tflite"]).refused("gone.tflite: it cannot be read");
    import(&["page.tflite", "--sha256", "5d57"]).refused("damaged or another file");
    assert!(!bench.path("made.onnx").exists());
}
