//! Finds faces and their landmarks with YuNet (Wu et al. 2023), any size of frame.

use crate::card::{Card, Channels, Detection, Job};
use crate::error::VisionError;
use crate::runtime::{Runtime, SessionOptions};
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use gate_core::geometry::{Face, Point, Rect};
use gate_core::picture::Rgb;
use ort::session::Session;
use ort::value::TensorRef;
use std::path::Path;

/// The network halves its input five times.
const GRID_PX: u32 = 32;
/// The frame that most cameras give, for the first run.
const USUAL_PX: (u32, u32) = (640, 480);
/// Overlap (IoU) from which a box has a say in a face's landmarks.
const VOTER_IOU: f32 = 0.5;
/// Overlap (IoU) from which two boxes are of the same face.
const SAME_FACE_IOU: f32 = 0.3;
/// One prediction for each cell at each of these strides.
const STRIDES: [u32; 3] = [8, 16, 32];

/// The detector's network with its buffers.
pub struct Detector {
    card: Card,
    detection: Detection,
    session: Session,
    input_name: String,
    resizer: Resizer,
    small: Vec<u8>,
    planes: Vec<f32>,
}

/// How a frame, or a part of it, is laid on the network's input.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Layout {
    /// The part of the frame that is seen, pixels: all of it, or what lies around one face.
    part: Rect,
    /// Size of the (resized) part, pixels.
    width: u32,
    height: u32,
    /// Size of the input: the same, rounded up to the grid; what is over stays black.
    input_width: u32,
    input_height: u32,
}

impl Layout {
    fn of(picture: Rgb<'_>, max_px: u32) -> Self {
        let (w, h) = (picture.width_px(), picture.height_px());
        let longest = w.max(h);
        let shrink = |side: u32| -> u32 {
            if longest <= max_px {
                return side;
            }
            (f64::from(side) * f64::from(max_px) / f64::from(longest)).round().max(1.0) as u32
        };
        Self::resized(Rect { x: 0.0, y: 0.0, w: w as f32, h: h as f32 }, shrink(w), shrink(h))
    }

    /// What lies around a face, resized until the face is `face_px` large; `None` when there is next to nothing.
    fn around(picture: Rgb<'_>, face: &Rect, face_px: f32) -> Option<Self> {
        let size = (face.w * face.h).max(1.0).sqrt();
        let centre = face.centre();
        // Whole pixels within the picture.
        let span = |at: f32, side: u32| ((at - size).floor().max(0.0), (at + size).ceil().min(side as f32));
        let (left, right) = span(centre.x, picture.width_px());
        let (top, bottom) = span(centre.y, picture.height_px());
        let part = Rect { x: left, y: top, w: right - left, h: bottom - top };
        let scale = face_px / size;
        let (width, height) = ((part.w * scale).round(), (part.h * scale).round());
        // Written so that a NaN is refused, too.
        let enough = part.w >= 8.0 && part.h >= 8.0 && width >= 8.0 && height >= 8.0;
        enough.then(|| Self::resized(part, width as u32, height as u32))
    }

    /// Takes a face from the network's pixels to the picture's. A pixel's number is its centre's place.
    fn to_picture(self, face: &Face) -> Face {
        let (sx, sy) = (self.part.w / self.width as f32, self.part.h / self.height as f32);
        let x = |x: f32| self.part.x + (x + 0.5) * sx - 0.5;
        let y = |y: f32| self.part.y + (y + 0.5) * sy - 0.5;
        let r = face.rect;
        Face {
            rect: Rect { x: x(r.x), y: y(r.y), w: r.w * sx, h: r.h * sy },
            landmarks: face.landmarks.map(|p| Point { x: x(p.x), y: y(p.y) }),
            score: face.score,
        }
    }

    fn resized(part: Rect, width: u32, height: u32) -> Self {
        let up = |side: u32| side.div_ceil(GRID_PX) * GRID_PX;
        Self { part, width, height, input_width: up(width), input_height: up(height) }
    }
}

impl Detector {
    /// Loads the detector of this card.
    ///
    /// # Errors
    /// See [`Card::load`] and [`Runtime::session`].
    pub fn load(runtime: &Runtime, models: &Path, name: &str, options: SessionOptions) -> Result<Self, VisionError> {
        let card = Card::load(models, name, Job::Detect)?;
        let session = runtime.session(&card, options)?;
        let bad = |why: &str| VisionError::BadModel { name: card.name.clone(), why: why.into() };
        let detection = card.detection.clone().ok_or_else(|| bad("the card has no [detection]"))?;
        let [input] = session.inputs() else { return Err(bad("the graph must have one input")) };
        let input_name = input.name().to_string();
        for stride in STRIDES {
            for kind in ["cls", "obj", "bbox", "kps"] {
                let output = format!("{kind}_{stride}");
                if !session.outputs().iter().any(|o| o.name() == output) {
                    return Err(bad(&format!("the graph has no output {output:?}")));
                }
            }
        }
        let resizer = Resizer::new();
        let mut detector =
            Self { card, detection, session, input_name, resizer, small: Vec::new(), planes: Vec::new() };
        // A first run takes the cost of first use (on a GPU: compiling) away from the first visitor.
        let black = vec![0; (USUAL_PX.0 * USUAL_PX.1 * 3) as usize];
        if let Some(frame) = Rgb::new(&black, USUAL_PX.0, USUAL_PX.1) {
            detector.detect(frame, USUAL_PX.0)?;
        }
        Ok(detector)
    }

    /// The faces of `picture`, largest first, in its own pixels.
    ///
    /// The network sees the picture shrunk until no side is longer than `max_px`; small pictures are not enlarged.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn detect(&mut self, picture: Rgb<'_>, max_px: u32) -> Result<Vec<Face>, VisionError> {
        self.faces(picture, Layout::of(picture, max_px))
    }

    /// The same face with better landmarks: the mean of those given and of those found in closer looks, in which the face
    /// is resized to each of the card's `closer_px`.
    ///
    /// One look places landmarks with an error that changes from size to size; the mean has less of it.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn look_closer(&mut self, picture: Rgb<'_>, face: &Face) -> Result<Face, VisionError> {
        let mut looks = vec![*face];
        for face_px in self.detection.closer_px.clone() {
            let Some(layout) = Layout::around(picture, &face.rect, face_px) else { continue };
            let seen = self.faces(picture, layout)?;
            let same = seen.into_iter().max_by(|a, b| a.rect.iou(&face.rect).total_cmp(&b.rect.iou(&face.rect)));
            looks.extend(same.filter(|same| same.rect.iou(&face.rect) > SAME_FACE_IOU));
        }
        Ok(Face { landmarks: mean_landmarks(looks.iter().map(|look| (look, 1.0))), ..*face })
    }

    fn faces(&mut self, picture: Rgb<'_>, layout: Layout) -> Result<Vec<Face>, VisionError> {
        self.fill(picture, layout)?;
        let shape = [1usize, 3, layout.input_height as usize, layout.input_width as usize];
        let run = |e: ort::Error| VisionError::Run { name: self.card.name.clone(), why: e.to_string() };
        let tensor = TensorRef::from_array_view((shape, self.planes.as_slice())).map_err(run)?;
        let outputs = self.session.run(ort::inputs![self.input_name.as_str() => tensor]).map_err(run)?;
        let mut faces = Vec::new();
        for stride in STRIDES {
            let part = |kind: &str| -> Result<&[f32], VisionError> {
                let value = &outputs[format!("{kind}_{stride}").as_str()];
                value.try_extract_tensor::<f32>().map(|(_, data)| data).map_err(run)
            };
            let grid = Grid { stride, columns: (layout.input_width / stride) as usize };
            grid.decode(part("cls")?, part("obj")?, part("bbox")?, part("kps")?, self.detection.score_min, &mut faces);
        }
        drop(outputs);
        let mut kept = suppress(faces, self.detection.nms_iou);
        for face in &mut kept {
            *face = layout.to_picture(face);
        }
        kept.sort_by(|a, b| b.rect.w.total_cmp(&a.rect.w));
        Ok(kept)
    }

    /// Writes the picture into `planes`, shrunk if need be, black beyond its edges.
    fn fill(&mut self, picture: Rgb<'_>, layout: Layout) -> Result<(), VisionError> {
        let run = |why: String| VisionError::Run { name: self.card.name.clone(), why };
        let (width, height) = (layout.width as usize, layout.height as usize);
        let part = layout.part;
        let whole = (picture.width_px() as f32, picture.height_px() as f32) == (part.w, part.h);
        let same_size = whole && (part.w, part.h) == (width as f32, height as f32);
        if !same_size {
            self.small.resize(width * height * 3, 0);
            let source = ImageRef::new(picture.width_px(), picture.height_px(), picture.data(), PixelType::U8x3)
                .map_err(|e| run(e.to_string()))?;
            let mut target = Image::from_slice_u8(layout.width, layout.height, &mut self.small, PixelType::U8x3)
                .map_err(|e| run(e.to_string()))?;
            let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
                part.x.into(),
                part.y.into(),
                part.w.into(),
                part.h.into(),
            );
            self.resizer.resize(&source, &mut target, &options).map_err(|e| run(e.to_string()))?;
        }
        let pixels = if same_size { picture.data() } else { &self.small };
        let (input_width, area) = (layout.input_width as usize, (layout.input_width * layout.input_height) as usize);
        if self.planes.len() != 3 * area {
            self.planes.clear();
            self.planes.resize(3 * area, 0.0);
        } else if input_width != width || layout.input_height != layout.height {
            // A picture of another size may have left its pixels beyond this one's edges.
            self.planes.fill(0.0);
        }
        let (first, rest) = self.planes.split_at_mut(area);
        let (second, third) = rest.split_at_mut(area);
        let input = self.card.input;
        let (red, blue) = match input.channels {
            Channels::Rgb => (first, third),
            Channels::Bgr => (third, first),
        };
        let convert = |value: u8| (f32::from(value) - input.mean) * input.scale;
        for (y, row) in pixels.chunks_exact(3 * width).enumerate() {
            let at = y * input_width;
            let planes = red[at..at + width].iter_mut().zip(&mut second[at..at + width]).zip(&mut blue[at..at + width]);
            for ([r, g, b], ((to_r, to_g), to_b)) in row.as_chunks::<3>().0.iter().zip(planes) {
                *to_r = convert(*r);
                *to_g = convert(*g);
                *to_b = convert(*b);
            }
        }
        Ok(())
    }
}

/// The cells of one stride.
struct Grid {
    stride: u32,
    columns: usize,
}

impl Grid {
    /// Turns the network's numbers into faces, in pixels of its input. Per cell: class and object score, box centre
    /// and log size relative to the cell, landmarks relative to the cell.
    fn decode(&self, cls: &[f32], obj: &[f32], bbox: &[f32], kps: &[f32], score_min: f32, faces: &mut Vec<Face>) {
        let stride = self.stride as f32;
        let (boxes, points) = (bbox.as_chunks::<4>().0, kps.as_chunks::<10>().0);
        for (i, (((cls, obj), b), k)) in cls.iter().zip(obj).zip(boxes).zip(points).enumerate() {
            let score = (cls.clamp(0.0, 1.0) * obj.clamp(0.0, 1.0)).sqrt();
            // A NaN is no face.
            if score.is_nan() || score < score_min {
                continue;
            }
            let (column, row) = ((i % self.columns) as f32, (i / self.columns) as f32);
            let (cx, cy) = ((column + b[0]) * stride, (row + b[1]) * stride);
            let (w, h) = (b[2].exp() * stride, b[3].exp() * stride);
            let landmarks =
                std::array::from_fn(|p| Point { x: (k[2 * p] + column) * stride, y: (k[2 * p + 1] + row) * stride });
            let face = Face { rect: Rect { x: cx - w / 2.0, y: cy - h / 2.0, w, h }, landmarks, score };
            if [cx, cy, w, h].iter().all(|v| v.is_finite()) {
                faces.push(face);
            }
        }
    }
}

/// Non-maximum suppression: of boxes that overlap by more than `iou`, the one of the best score stays.
///
/// Its landmarks become the mean of what all boxes around the same face say, weighed by the square of their scores: several
/// cells see each face, and the best-scored one does not place landmarks best.
fn suppress(mut faces: Vec<Face>, iou: f32) -> Vec<Face> {
    faces.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut kept: Vec<Face> = Vec::new();
    for face in &faces {
        if kept.iter().all(|better| better.rect.iou(&face.rect) <= iou) {
            kept.push(*face);
        }
    }
    for best in &mut kept {
        let voters: Vec<&Face> = faces.iter().filter(|face| face.rect.iou(&best.rect) > VOTER_IOU).collect();
        best.landmarks = mean_landmarks(voters.into_iter().map(|face| (face, face.score * face.score)));
    }
    kept
}

/// The weighted mean of several faces' landmarks.
fn mean_landmarks<'a>(faces: impl Iterator<Item = (&'a Face, f32)>) -> [Point; 5] {
    let (mut sums, mut weights) = ([Point::default(); 5], 0.0);
    for (face, weight) in faces {
        for (sum, point) in sums.iter_mut().zip(&face.landmarks) {
            sum.x += weight * point.x;
            sum.y += weight * point.y;
        }
        weights += weight;
    }
    sums.map(|sum| Point { x: sum.x / weights, y: sum.y / weights })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_shrinks_to_the_limit_and_rounds_up_to_the_grid() {
        let data = vec![0; 1280 * 720 * 3];
        let picture = Rgb::new(&data, 1280, 720).unwrap();
        let all = Rect { x: 0.0, y: 0.0, w: 1280.0, h: 720.0 };
        let half = Layout { part: all, width: 640, height: 360, input_width: 640, input_height: 384 };
        assert_eq!(Layout::of(picture, 640), half);
        let whole = Layout { part: all, width: 1280, height: 720, input_width: 1280, input_height: 736 };
        assert_eq!(Layout::of(picture, 2000), whole);
    }

    #[test]
    fn of_overlapping_boxes_the_best_stays() {
        let face = |x: f32, score: f32| Face { rect: Rect { x, y: 0.0, w: 100.0, h: 100.0 }, score, ..Face::default() };
        let kept = suppress(vec![face(0.0, 0.8), face(10.0, 0.9), face(300.0, 0.7)], 0.3);
        assert_eq!(kept.iter().map(|f| f.score).collect::<Vec<_>>(), [0.9, 0.7]);
    }

    #[test]
    fn every_box_around_a_face_has_a_say_in_its_landmarks_and_others_have_none() {
        let face = |x: f32, score: f32| Face {
            rect: Rect { x, y: 0.0, w: 100.0, h: 100.0 },
            landmarks: [Point { x: x + 50.0, y: 50.0 }; 5],
            score,
        };
        let kept = suppress(vec![face(0.0, 1.0), face(10.0, 0.5), face(60.0, 0.9), face(300.0, 0.8)], 0.3);
        // (1 * 50 + 0.25 * 60) / 1.25 = 52; the one at 60 overlaps too little to be the same face, and too little to go.
        let xs: Vec<f32> = kept.iter().map(|f| f.landmarks[0].x).collect();
        assert!(xs.iter().zip([52.0, 110.0, 350.0]).all(|(x, want)| (x - want).abs() < 1e-3), "{xs:?}");
        assert!(kept.iter().all(|f| (f.landmarks[4].y - 50.0).abs() < 1e-3));
    }
}
