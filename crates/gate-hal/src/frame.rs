//! One camera frame: owned pixels whose buffer is reused from frame to frame.

use gate_core::picture::Rgb;

/// One picture of a camera, 8-bit RGB, rows top to bottom, no padding.
///
/// The buffer belongs to whoever holds the frame; makers fill it in place, so that a running gate allocates nothing.
#[derive(Clone, Default)]
pub struct Frame {
    /// `width_px * height_px * 3` bytes, R G B R G B ...; empty before the first frame.
    pub rgb: Vec<u8>,
    /// Width in pixels.
    pub width_px: u32,
    /// Height in pixels.
    pub height_px: u32,
    /// The frame's number since the camera was opened; a gap tells of frames the driver lost.
    pub seq: u64,
    /// When the driver says it was taken, microseconds of its own steady clock; `None` where it does not say.
    pub taken_us: Option<u64>,
    /// Milliseconds of the [`Clock`](crate::Clock) at which the frame was received (replay: is due).
    pub at_ms: u64,
}

impl Frame {
    /// A frame without pixels, to be filled by [`Camera::next_frame`](crate::Camera::next_frame).
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The pixels as a borrowed picture; `None` while the frame is empty.
    #[must_use]
    pub fn view(&self) -> Option<Rgb<'_>> {
        Rgb::new(&self.rgb, self.width_px, self.height_px)
    }

    /// Sizes the buffer for a picture and gives it to the caller to fill. Old pixels may remain: all must be written.
    pub(crate) fn reshape(&mut self, width_px: u32, height_px: u32) -> &mut [u8] {
        self.width_px = width_px;
        self.height_px = height_px;
        self.rgb.resize(width_px as usize * height_px as usize * 3, 0);
        &mut self.rgb
    }

    /// Empties the frame but keeps its buffer: a frame that could not be filled must not show an older picture.
    pub(crate) fn clear(&mut self) {
        self.width_px = 0;
        self.height_px = 0;
        self.rgb.clear();
    }
}

impl std::fmt::Debug for Frame {
    /// Sizes only: pixels are biometric data and stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({}x{} seq {} at {} ms)", self.width_px, self.height_px, self.seq, self.at_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_frame_has_no_view_and_a_reshaped_one_has() {
        let mut frame = Frame::empty();
        assert!(frame.view().is_none());
        frame.reshape(4, 2).fill(7);
        assert_eq!(frame.view().map(|v| v.data().len()), Some(24));
        frame.clear();
        assert!(frame.view().is_none());
    }

    #[test]
    fn debug_output_has_no_pixels() {
        let mut frame = Frame::empty();
        frame.reshape(1, 1).fill(213);
        assert!(!format!("{frame:?}").contains("213"));
    }
}
