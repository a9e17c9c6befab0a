//! Calls into driver crates that panic where they should return an error.
//!
//! `v4l` panics when a stream cannot be stopped or a driver reports a field it does not know, `nokhwa` divides by a
//! driver's step width of 0. A gate must survive its camera's driver, so such calls go through here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`; a panic inside becomes `Err` with the panic's own words.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    // What `call` borrows is dropped or rebuilt by every caller after an `Err`, so no broken state is looked at.
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string);
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_its_words() {
        assert_eq!(guarded(|| 3), Ok(3));
        assert_eq!(guarded(|| -> () { panic!("the driver broke") }), Err("the driver broke".to_owned()));
        assert_eq!(guarded(|| -> () { panic!("code {}", 5) }), Err("code 5".to_owned()));
    }
}
