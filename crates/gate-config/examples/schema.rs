//! Prints the JSON schema of gate.toml: `cargo run -p gate-config --example schema > config/gate.schema.json`.

fn main() {
    print!("{}", gate_config::schema());
}
