//! Where a JPEG ends: drivers hand over the whole transfer buffer, with what older frames left behind the end.

/// The length of the JPEG at the start of `data`, its end marker included; `None` when it does not begin as a JPEG
/// does or was cut off before its end (ITU-T T.81, annex B).
pub(crate) fn jpeg_len(data: &[u8]) -> Option<usize> {
    if data.get(..2)? != [0xFF, 0xD8] {
        return None;
    }
    let mut at = 2;
    loop {
        // Any number of FF fill bytes may stand before a marker.
        while data.get(at..at + 2)? == [0xFF, 0xFF] {
            at += 1;
        }
        let marker = data.get(at..at + 2)?;
        if marker[0] != 0xFF {
            return None;
        }
        at += 2;
        match marker[1] {
            0xD9 => return Some(at),
            // Markers without a length: TEM, RSTn, a second SOI.
            0x01 | 0xD0..=0xD8 => {}
            kind => {
                let length = data.get(at..at + 2)?;
                at += usize::from(u16::from_be_bytes([length[0], length[1]])).max(2);
                if kind == 0xDA {
                    at = scan_end(data, at)?;
                }
            }
        }
    }
}

/// The place of the marker that ends the entropy-coded data starting at `at`. In such data FF is followed by 00 or by
/// a restart marker; anything else is the next marker.
fn scan_end(data: &[u8], mut at: usize) -> Option<usize> {
    loop {
        at += data.get(at..)?.iter().position(|byte| *byte == 0xFF)?;
        match data.get(at + 1)? {
            0x00 | 0xD0..=0xD7 => at += 2,
            0xFF => at += 1,
            _ => return Some(at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::decode::tests::jpeg;

    #[test]
    fn the_tail_of_older_frames_is_not_part_of_the_picture() {
        let picture = jpeg(64, 48, 90);
        assert_eq!(jpeg_len(&picture), Some(picture.len()));
        for tail in [vec![0; 100], picture.clone(), vec![0xFF; 9]] {
            assert_eq!(jpeg_len(&[picture.clone(), tail].concat()), Some(picture.len()));
        }
    }

    #[test]
    fn a_thumbnail_inside_does_not_end_the_picture() {
        let (picture, thumbnail) = (jpeg(64, 48, 90), jpeg(16, 16, 50));
        let length = u16::try_from(thumbnail.len() + 2).unwrap().to_be_bytes();
        let whole = [&picture[..2], &[0xFF, 0xE1], &length, &thumbnail, &picture[2..]].concat();
        assert_eq!(jpeg_len(&whole), Some(whole.len()));
    }

    #[test]
    fn what_is_cut_off_or_no_jpeg_has_no_length() {
        let picture = jpeg(64, 48, 90);
        for cut in 0..picture.len() {
            assert_eq!(jpeg_len(&picture[..cut]), None, "cut at {cut}");
        }
        assert_eq!(jpeg_len(&[0; 64]), None);
        assert_eq!(jpeg_len(&[0xFF; 64]), None);
    }
}
