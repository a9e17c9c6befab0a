//! What one picture may take: the real program under a limit of its address space.
//!
//! The limit is what the program takes for a small picture, libraries and networks included, and the budget on top.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Desk, pixels, shrunk};
use gate_vision::photo::MEMORY_MAX_BYTES;
use image::codecs::gif::GifEncoder;
use image::imageops::{self, FilterType};
use image::{DynamicImage, Frame, GrayImage, ImageFormat, RgbImage, Rgba, RgbaImage};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A lossy WebP of one pixel: VP8's size is at bytes 26 to 29.
const WEBP: &[u8] =
    b"RIFF\x22\0\0\0WEBPVP8 \x16\0\0\0\x30\x01\0\x9d\x01\x2a\x01\0\x01\0\x0e\xc0\xfe\x25\xa4\0\x03\x70\0\0\0\0";

#[test]
fn no_picture_takes_more_than_the_budget() {
    let desk = Desk::new();
    let normal = desk.save("normal.jpg", &shrunk(&pixels("obama.jpg"), 0.5));
    let baseline = address_space_peak(&desk, &normal);
    let limit = baseline + MEMORY_MAX_BYTES;

    let taken = taken(&desk);
    let refused = refused(&desk);
    let all = taken.iter().chain(&refused).map(|(picture, _)| picture.as_path());
    for (picture, found) in taken.iter().chain(&refused) {
        let said = identify(&desk, limit, &[picture]);
        assert!(said.contains(found), "{}: {said}", picture.display());
    }

    // One after the other in one process: nothing piles up.
    let said = identify(&desk, limit, &all.collect::<Vec<_>>());
    for (picture, found) in taken.iter().chain(&refused) {
        let name = picture.file_name().unwrap().to_str().unwrap();
        let line = said.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(line.contains(found), "{name}: {line}");
    }

    // The limit bites: with half of the budget the largest does not pass.
    let (largest, _) = taken.iter().find(|(picture, _)| picture.ends_with("turned.jpg")).unwrap();
    let starved = run(&desk, baseline + MEMORY_MAX_BYTES / 2, &[largest]);
    assert!(starved.status.code().is_none_or(|code| code > 2), "{starved:?}");
}

#[test]
fn a_face_that_fills_a_large_picture_is_found() {
    let desk = Desk::new();
    // The face of the sample begins at 371,147 and is 240 wide.
    let face = imageops::crop_imm(&pixels("obama.jpg"), 391, 170, 200, 240).to_image();
    let large = imageops::resize(&face, 2000, 2400, FilterType::Triangle);
    let photo = desk.save("large.jpg", &large);
    let seen = desk.run(["identify".into(), "--json".into(), photo]).code(1).json();
    let width = seen["faces"][0]["quality"]["face_px"].as_f64().unwrap();
    assert!((1500.0..2800.0).contains(&width), "{seen}");
}

/// Pictures that fit, and what the answer says of each.
fn taken(desk: &Desk) -> Vec<(PathBuf, &'static str)> {
    let nobody = "\"faces\":[]";
    let grey = |w, h| DynamicImage::from(GrayImage::from_pixel(w, h, image::Luma([90])));
    let noise = RgbImage::from_fn(11_900, 100, |x, y| image::Rgb([(x * 7 + y * 13) as u8, (x ^ y) as u8, 60]));
    let face = DynamicImage::from(pixels("obama.jpg"));
    // 64 megapixels with a face, on its side.
    let lying = image::imageops::rotate270(&pixels("obama.jpg"));
    let large = DynamicImage::from(imageops::resize(&lying, 8000, 8000, FilterType::Nearest));
    vec![
        (save(desk, "wide.png", &grey(12_000, 1)), nobody),
        (save(desk, "tall.png", &grey(1, 12_000)), nobody),
        (save(desk, "strip.jpg", &noise.into()), nobody),
        (save(desk, "grey.png", &grey(8000, 7900)), nobody),
        (desk.write("turned.jpg", &common::with_exif_6(&jpeg(&large))), "\"face_px\":"),
        (
            desk.write("progressive.jpg", &resized_jpeg(&jpeg(&grey(64, 64).into_rgb8().into()), 0xC2, 6000, 4000)),
            "photo",
        ),
        (desk.write("animated.gif", &gif(&[(7000, 4000), (7000, 4000)])), nobody),
        (desk.write("lossy.webp", &webp(6800, 6800)), "photo"),
        (save(desk, "face.png", &face), "\"face_px\":"),
    ]
}

/// Pictures that would take more.
fn refused(desk: &Desk) -> Vec<(PathBuf, &'static str)> {
    let too_large = "too large: at most 12000 pixels a side and 256 MB of memory";
    let grey = DynamicImage::from(GrayImage::from_pixel(12_000, 12_000, image::Luma([90])));
    let small = jpeg(&DynamicImage::from(RgbImage::new(64, 64)));
    let mut frame_larger = gif(&[(16, 16)]);
    // The frame's size stands after its separator and place.
    let frame = frame_larger.windows(5).position(|bytes| bytes == [0x2C, 0, 0, 0, 0]).unwrap();
    frame_larger[frame + 5..frame + 9].copy_from_slice(&[0xE0, 0x2E, 0xE0, 0x2E]);
    let mut lossless = Cursor::new(Vec::new());
    RgbaImage::new(600, 600).write_to(&mut lossless, ImageFormat::WebP).unwrap();
    vec![
        (save(desk, "square.png", &grey), too_large),
        (desk.write("progressive-large.jpg", &resized_jpeg(&small, 0xC2, 8000, 6000)), too_large),
        (desk.write("jpeg-large.jpg", &resized_jpeg(&small, 0xC0, 12_000, 12_000)), too_large),
        (desk.write("animated-large.gif", &gif_of(&gif(&[(16, 16)]), 12_000, 12_000)), too_large),
        (desk.write("frame-large.gif", &frame_larger), "frame-large.gif"),
        (desk.write("lossy-large.webp", &webp(12_000, 7000)), too_large),
        (desk.write("lossless.webp", lossless.get_ref()), "save it as JPEG or PNG"),
    ]
}

/// `identify --json` of pictures within `limit` bytes of address space.
fn identify(desk: &Desk, limit: u64, pictures: &[&Path]) -> String {
    let output = run(desk, limit, pictures);
    let code = output.status.code();
    assert!(code.is_some_and(|code| code <= 2), "not within {} MiB: {output:?}", limit >> 20);
    String::from_utf8(output.stdout).unwrap()
}

fn run(desk: &Desk, limit: u64, pictures: &[&Path]) -> Output {
    // prlimit is of util-linux, which every Debian has.
    let mut command = Command::new("prlimit");
    command.arg(format!("--as={limit}")).arg(env!("CARGO_BIN_EXE_enroll-tool"));
    prepare(&mut command, desk, pictures).output().expect("apt install util-linux")
}

fn prepare<'a>(command: &'a mut Command, desk: &Desk, pictures: &[&Path]) -> &'a mut Command {
    command.arg("--config").arg(desk.path("gate.toml")).args(["identify", "--json"]).args(pictures);
    command.stdin(Stdio::null());
    // Each further arena would reserve address space whenever a thread happens to be the second to allocate.
    command.env("MALLOC_ARENA_MAX", "1")
}

/// The most address space that the program has while it looks at one picture, bytes.
fn address_space_peak(desk: &Desk, picture: &Path) -> u64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enroll-tool"));
    let mut child = prepare(&mut command, desk, &[picture]).stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmPeak:"));
        let kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak_kb = peak_kb.max(kb.unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(peak_kb > 0, "no VmPeak in {status}");
    peak_kb << 10
}

fn save(desk: &Desk, name: &str, picture: &DynamicImage) -> PathBuf {
    let path = desk.path(name);
    picture.save(&path).unwrap();
    path
}

fn jpeg(picture: &DynamicImage) -> Vec<u8> {
    let mut jpeg = Cursor::new(Vec::new());
    picture.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    jpeg.into_inner()
}

/// A JPEG that claims another kind of frame and another size than it has.
fn resized_jpeg(jpeg: &[u8], frame: u8, width: u16, height: u16) -> Vec<u8> {
    let mut jpeg = jpeg.to_vec();
    let at = jpeg.windows(2).position(|bytes| bytes == [0xFF, 0xC0]).unwrap();
    jpeg[at + 1] = frame;
    jpeg[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
    jpeg[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    jpeg
}

fn webp(width: u16, height: u16) -> Vec<u8> {
    let mut webp = WEBP.to_vec();
    webp[26..28].copy_from_slice(&width.to_le_bytes());
    webp[28..30].copy_from_slice(&height.to_le_bytes());
    webp
}

fn gif(frames: &[(u32, u32)]) -> Vec<u8> {
    let mut gif = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut gif, 30);
    for (w, h) in frames {
        encoder.encode_frame(Frame::new(RgbaImage::from_pixel(*w, *h, Rgba([90, 90, 90, 255])))).unwrap();
    }
    drop(encoder);
    gif
}

/// A GIF that claims another canvas than it has.
fn gif_of(gif: &[u8], width: u16, height: u16) -> Vec<u8> {
    let mut gif = gif.to_vec();
    gif[6..8].copy_from_slice(&width.to_le_bytes());
    gif[8..10].copy_from_slice(&height.to_le_bytes());
    gif
}
