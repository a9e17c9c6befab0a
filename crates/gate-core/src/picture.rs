//! A borrowed picture: the one form in which pixels pass between the crates.

/// A borrowed 8-bit RGB picture, rows top to bottom, no padding.
#[derive(Clone, Copy)]
pub struct Rgb<'a> {
    data: &'a [u8],
    width_px: u32,
    height_px: u32,
}

impl<'a> Rgb<'a> {
    /// Wraps `data` of exactly `width_px * height_px * 3` bytes; `None` when the length is another or a side is 0.
    #[must_use]
    pub fn new(data: &'a [u8], width_px: u32, height_px: u32) -> Option<Self> {
        let bytes = (width_px as usize).checked_mul(height_px as usize)?.checked_mul(3)?;
        (bytes > 0 && data.len() == bytes).then_some(Self { data, width_px, height_px })
    }

    /// All bytes, R G B R G B ...
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Width in pixels.
    #[must_use]
    pub fn width_px(&self) -> u32 {
        self.width_px
    }

    /// Height in pixels.
    #[must_use]
    pub fn height_px(&self) -> u32 {
        self.height_px
    }
}

impl core::fmt::Debug for Rgb<'_> {
    /// Sizes only: pixels are biometric data and stay out of logs.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Rgb({}x{})", self.width_px, self.height_px)
    }
}
