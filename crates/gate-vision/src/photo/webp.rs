//! Takes the lossy picture out of a WebP file.
//!
//! The decoder's memory is bounded for a lossy picture only: a lossless one can ask for code tables of a gigabyte in a few
//! megabytes of file, and each frame of an animation has a size of its own. So the decoder sees one lossy picture and nothing else.

const HEADER_BYTES: usize = 12;
const CHUNK_HEADER_BYTES: usize = 8;

/// The only picture of a file, and its EXIF data.
#[derive(Debug, PartialEq)]
pub(super) struct Lossy {
    /// A WebP file that holds the picture alone.
    pub(super) file: Vec<u8>,
    pub(super) exif: Option<Vec<u8>>,
}

impl Lossy {
    /// `None` for a lossless or an animated picture, and for a file that is cut short before its picture.
    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let mut picture = None;
        let mut exif = None;
        let mut rest = file.get(HEADER_BYTES..)?;
        while let Some((header, after)) = rest.split_at_checked(CHUNK_HEADER_BYTES) {
            let bytes = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            // The last chunk may be cut short: the decoder says so.
            let chunk = after.get(..bytes).unwrap_or(after);
            match &header[..4] {
                b"VP8 " if picture.is_none() => picture = Some(chunk),
                b"EXIF" if exif.is_none() => exif = Some(chunk.to_vec()),
                _ => {}
            }
            // Chunks begin at even places.
            rest = after.get(bytes.checked_next_multiple_of(2)?..).unwrap_or_default();
        }
        Some(Self { file: simple(picture?)?, exif })
    }
}

fn simple(picture: &[u8]) -> Option<Vec<u8>> {
    let padding = picture.len() % 2;
    let bytes = u32::try_from(picture.len()).ok()?;
    let riff_bytes = bytes.checked_add((HEADER_BYTES + padding) as u32)?;
    let mut file = Vec::with_capacity(HEADER_BYTES + CHUNK_HEADER_BYTES + picture.len() + padding);
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&riff_bytes.to_le_bytes());
    file.extend_from_slice(b"WEBPVP8 ");
    file.extend_from_slice(&bytes.to_le_bytes());
    file.extend_from_slice(picture);
    file.resize(file.len() + padding, 0);
    Some(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        let mut chunk = [name.as_slice(), &(data.len() as u32).to_le_bytes(), data].concat();
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        chunk
    }

    fn file(chunks: &[Vec<u8>]) -> Vec<u8> {
        let body = chunks.concat();
        [b"RIFF".as_slice(), &(4 + body.len() as u32).to_le_bytes(), b"WEBP", &body].concat()
    }

    #[test]
    fn the_lossy_picture_is_taken_out_and_all_else_is_left() {
        let plain = file(&[chunk(b"VP8 ", b"abc")]);
        assert_eq!(Lossy::read(&plain), Some(Lossy { file: plain.clone(), exif: None }));
        let extended = file(&[
            chunk(b"VP8X", &[0; 10]),
            chunk(b"ALPH", &[1; 9]),
            chunk(b"VP8 ", b"abc"),
            chunk(b"EXIF", b"e"),
            chunk(b"VP8 ", b"another"),
        ]);
        assert_eq!(Lossy::read(&extended), Some(Lossy { file: plain, exif: Some(b"e".to_vec()) }));
    }

    #[test]
    fn lossless_animated_and_cut_files_are_refused() {
        for refused in [
            file(&[chunk(b"VP8L", b"abc")]),
            file(&[chunk(b"VP8X", &[2; 10]), chunk(b"ANMF", &chunk(b"VP8 ", b"abc"))]),
            file(&[]),
            b"RIFF".to_vec(),
        ] {
            assert_eq!(Lossy::read(&refused), None);
        }
        let cut = &file(&[chunk(b"VP8 ", b"abcdef")])[..23];
        assert!(Lossy::read(cut).is_some_and(|lossy| lossy.file.ends_with(b"abc\0")));
    }
}
