//! demo
use anyhow::Result;
/// Args
#[derive(clap::Args)]
pub struct DemoArgs {}
/// Demo
pub fn demo(_args: &DemoArgs) -> Result<bool> {
    Ok(true)
}
