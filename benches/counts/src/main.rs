//! Runs one kernel, for valgrind to count the instructions that [`counted`] takes. `make bench-check` calls it.
//!
//! `gate-counts` lists the kernels, `gate-counts NAME` runs one: once before it counts, so that whatever is made at first
//! use is there, and once for the count. All of it is made up and the same at every run.
#![forbid(unsafe_code)]

mod kernels;

use std::process::ExitCode;

/// One turn of a kernel.
type Kernel = Box<dyn FnMut()>;

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        kernels::ALL.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, prepare)) = kernels::ALL.iter().find(|(known, _)| *known == name) else {
        eprintln!("no kernel {name}: `gate-counts` lists them");
        return ExitCode::FAILURE;
    };
    let mut kernel = prepare();
    kernel();
    counted(&mut *kernel);
    ExitCode::SUCCESS
}

/// What valgrind counts, by this name.
#[inline(never)]
fn counted(kernel: &mut dyn FnMut()) {
    kernel();
}
