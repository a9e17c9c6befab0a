//! Finds faces and their landmarks with YuNet (Wu et al. 2023), any size of frame.

use crate::card::{Card, Detection, Job};
use crate::error::VisionError;
use crate::network::{Network, bad_model, failed, write_planes, write_planes_shrunk};
use crate::runtime::{Runtime, SessionOptions};
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use gate_core::geometry::{Face, Faces, Point, Rect};
use gate_core::picture::Rgb;
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
/// The margin around a picture that a face may fill.
const GREY: u8 = 127;
/// Cells that say "a face" in a frame of some people.
const CELLS_USUAL: usize = 1_000;

/// The detector's network with its buffers.
pub struct Detector {
    network: Network,
    detection: Detection,
    /// Of each stride, where its class and object scores, boxes and landmarks are among the outputs.
    outputs: [[usize; 4]; STRIDES.len()],
    resizer: Resizer,
    small: Vec<u8>,
    sums: Vec<u16>,
    planes: Vec<f32>,
    /// What the cells say that see a face.
    cells: Vec<Face>,
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

    /// The picture shrunk by a whole number. Pixels over at the right and the bottom are not seen.
    fn shrunk(picture: Rgb<'_>, factor: u32) -> Self {
        let (width, height) = (picture.width_px() / factor, picture.height_px() / factor);
        let (w, h) = ((width * factor) as f32, (height * factor) as f32);
        Self::resized(Rect { x: 0.0, y: 0.0, w, h }, width, height)
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

    /// Pixels of the network's input.
    fn area(&self) -> usize {
        (self.input_width * self.input_height) as usize
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
        let network = Network::load(runtime, card, options)?;
        let card = network.card();
        let detection = card.detection.clone().ok_or_else(|| bad_model(card, "the card has no [detection]"))?;
        let mut outputs = [[0; 4]; STRIDES.len()];
        for (of_stride, stride) in outputs.iter_mut().zip(STRIDES) {
            for (place, kind) in of_stride.iter_mut().zip(["cls", "obj", "bbox", "kps"]) {
                let output = format!("{kind}_{stride}");
                let missing = || bad_model(card, format!("the graph has no output {output:?}"));
                *place = network.output(&output).ok_or_else(missing)?;
            }
        }
        let mut detector = Self {
            network,
            detection,
            outputs,
            resizer: Resizer::new(),
            small: Vec::new(),
            sums: Vec::new(),
            planes: Vec::new(),
            cells: Vec::with_capacity(CELLS_USUAL),
        };
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
    pub fn detect(&mut self, picture: Rgb<'_>, max_px: u32) -> Result<Faces, VisionError> {
        let layout = Layout::of(picture, max_px);
        self.fill(picture, layout)?;
        self.faces(layout)
    }

    /// The same of the picture with a grey margin of half its longer side around it: for a face that fills the picture.
    ///
    /// The margin is put around what the network sees, so a large picture costs no more than a small one.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn detect_in_margin(&mut self, picture: Rgb<'_>, max_px: u32) -> Result<Faces, VisionError> {
        let inner = Layout::of(picture, (max_px / 2).max(1));
        let (width, height) = (inner.width, inner.height);
        let margin = width.max(height) / 2;
        let (wide_width, wide_height) = (width + 2 * margin, height + 2 * margin);

        let pixels = if self.resize(picture, inner)? { self.small.as_slice() } else { picture.data() };
        let mut wide = vec![GREY; (wide_width * wide_height * 3) as usize];
        let rows = wide.chunks_exact_mut(wide_width as usize * 3).skip(margin as usize);
        for (to, from) in rows.zip(pixels.chunks_exact(width as usize * 3).take(height as usize)) {
            to[margin as usize * 3..][..from.len()].copy_from_slice(from);
        }

        let Some(wide) = Rgb::new(&wide, wide_width, wide_height) else { return Ok(Faces::new()) };
        let mut faces = self.detect(wide, max_px)?;
        for face in &mut faces {
            *face = inner.to_picture(&shifted(face, -(margin as f32)));
        }
        Ok(faces)
    }

    /// The same of the picture shrunk by a whole number, at least 1: each pixel is the mean of `factor` x `factor`.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn detect_shrunk(&mut self, picture: Rgb<'_>, factor: u32) -> Result<Faces, VisionError> {
        let layout = Layout::shrunk(picture, factor);
        let (input, width) = (self.network.card().input, picture.width_px() as usize);
        let input_width = layout.input_width as usize;
        write_planes_shrunk(
            input,
            picture.data(),
            width,
            factor as usize,
            Self::input(&mut self.planes, layout),
            input_width,
            &mut self.sums,
        );
        self.faces(layout)
    }

    /// The same face with better landmarks: the mean of those given and of those found in closer looks, in which the face
    /// is resized to each of the card's `closer_px`.
    ///
    /// One look places landmarks with an error that changes from size to size; the mean has less of it.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn look_closer(&mut self, picture: Rgb<'_>, face: &Face) -> Result<Face, VisionError> {
        let mut landmarks = Mean::default();
        landmarks.add(&face.landmarks, 1.0);
        for look in 0..self.detection.closer_px.len() {
            let Some(layout) = Layout::around(picture, &face.rect, self.detection.closer_px[look]) else { continue };
            self.fill(picture, layout)?;
            let seen = self.faces(layout)?;
            let same = seen.iter().max_by(|a, b| a.rect.iou(&face.rect).total_cmp(&b.rect.iou(&face.rect)));
            if let Some(same) = same.filter(|same| same.rect.iou(&face.rect) > SAME_FACE_IOU) {
                landmarks.add(&same.landmarks, 1.0);
            }
        }
        Ok(Face { landmarks: landmarks.get(), ..*face })
    }

    /// What the network sees in `planes`, which hold what the layout says.
    fn faces(&mut self, layout: Layout) -> Result<Faces, VisionError> {
        let shape = [1usize, 3, layout.input_height as usize, layout.input_width as usize];
        let outputs = self.network.run(shape, &self.planes[..3 * layout.area()])?;
        self.cells.clear();
        for (stride, [cls, obj, bbox, kps]) in STRIDES.into_iter().zip(self.outputs) {
            let grid = Grid { stride, columns: (layout.input_width / stride) as usize };
            let (cls, obj, bbox, kps) = (outputs.at(cls)?, outputs.at(obj)?, outputs.at(bbox)?, outputs.at(kps)?);
            grid.decode(cls, obj, bbox, kps, self.detection.score_min, &mut self.cells);
        }
        let mut faces = suppress(&mut self.cells, self.detection.nms_iou);
        for face in &mut faces {
            *face = layout.to_picture(face);
        }
        Ok(faces)
    }

    /// Writes the picture into `planes`, shrunk if need be, black beyond its edges.
    fn fill(&mut self, picture: Rgb<'_>, layout: Layout) -> Result<(), VisionError> {
        let pixels = if self.resize(picture, layout)? { &self.small } else { picture.data() };
        let planes = Self::input(&mut self.planes, layout);
        let width = layout.width as usize;
        write_planes(self.network.card().input, pixels, width, planes, layout.input_width as usize);
        Ok(())
    }

    /// Resizes the layout's part of the picture into `small`; `false` where that is the picture as it is.
    fn resize(&mut self, picture: Rgb<'_>, layout: Layout) -> Result<bool, VisionError> {
        let (width, height) = (layout.width as usize, layout.height as usize);
        let part = layout.part;
        let whole = (picture.width_px() as f32, picture.height_px() as f32) == (part.w, part.h);
        if whole && (part.w, part.h) == (width as f32, height as f32) {
            return Ok(false);
        }
        let unfit = |e: &dyn std::fmt::Display| failed(self.network.card(), e.to_string());
        self.small.resize(width * height * 3, 0);
        let source = TypedImageRef::<U8x3>::from_buffer(picture.width_px(), picture.height_px(), picture.data())
            .map_err(|e| unfit(&e))?;
        let mut target =
            TypedImage::<U8x3>::from_buffer(layout.width, layout.height, &mut self.small).map_err(|e| unfit(&e))?;
        let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
            part.x.into(),
            part.y.into(),
            part.w.into(),
            part.h.into(),
        );
        // By its type, so that the program holds no resizer of other pixels.
        self.resizer.resize_typed(&source, &mut target, &options).map_err(|e| unfit(&e))?;
        Ok(true)
    }

    /// The part of `planes` that is the network's input, black where this picture does not reach.
    fn input(planes: &mut Vec<f32>, layout: Layout) -> &mut [f32] {
        let values = 3 * layout.area();
        if planes.len() < values {
            planes.resize(values, 0.0);
        }
        let input = &mut planes[..values];
        if (layout.input_width, layout.input_height) != (layout.width, layout.height) {
            // An earlier picture may have left its pixels there.
            input.fill(0.0);
        }
        input
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

/// Non-maximum suppression: of boxes that overlap by more than `iou`, the one of the best score stays. Largest first.
///
/// Its landmarks become the mean of what all boxes around the same face say, weighed by the square of their scores: several
/// cells see each face, and the best-scored one does not place landmarks best.
fn suppress(cells: &mut [Face], iou: f32) -> Faces {
    // Unstable, so that nothing is allocated; two cells of one score and one box are the same.
    cells.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.rect.x.total_cmp(&b.rect.x)));
    let mut kept = Faces::new();
    for face in cells.iter() {
        if kept.iter().all(|better| better.rect.iou(&face.rect) <= iou) && kept.push(*face).is_err() {
            // What is left has lower scores than all that are kept.
            break;
        }
    }
    for best in &mut kept {
        let mut landmarks = Mean::default();
        for face in cells.iter().filter(|face| face.rect.iou(&best.rect) > VOTER_IOU) {
            landmarks.add(&face.landmarks, face.score * face.score);
        }
        best.landmarks = landmarks.get();
    }
    kept.sort_unstable_by(|a, b| b.rect.w.total_cmp(&a.rect.w));
    kept
}

fn shifted(face: &Face, by: f32) -> Face {
    let r = face.rect;
    Face {
        rect: Rect { x: r.x + by, y: r.y + by, ..r },
        landmarks: face.landmarks.map(|p| Point { x: p.x + by, y: p.y + by }),
        score: face.score,
    }
}

/// The weighted mean of several faces' landmarks.
#[derive(Default)]
struct Mean {
    sums: [Point; 5],
    weights: f32,
}

impl Mean {
    fn add(&mut self, landmarks: &[Point; 5], weight: f32) {
        for (sum, point) in self.sums.iter_mut().zip(landmarks) {
            sum.x += weight * point.x;
            sum.y += weight * point.y;
        }
        self.weights += weight;
    }

    fn get(&self) -> [Point; 5] {
        self.sums.map(|sum| Point { x: sum.x / self.weights, y: sum.y / self.weights })
    }
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
        let kept = suppress(&mut [face(0.0, 0.8), face(10.0, 0.9), face(300.0, 0.7)], 0.3);
        assert_eq!(kept.iter().map(|f| f.score).collect::<Vec<_>>(), [0.9, 0.7]);
    }

    #[test]
    fn every_box_around_a_face_has_a_say_in_its_landmarks_and_others_have_none() {
        let face = |x: f32, score: f32| Face {
            rect: Rect { x, y: 0.0, w: 100.0, h: 100.0 },
            landmarks: [Point { x: x + 50.0, y: 50.0 }; 5],
            score,
        };
        let kept = suppress(&mut [face(0.0, 1.0), face(10.0, 0.5), face(60.0, 0.9), face(300.0, 0.8)], 0.3);
        // (1 * 50 + 0.25 * 60) / 1.25 = 52; the one at 60 overlaps too little to be the same face, and too little to go.
        let xs: Vec<f32> = kept.iter().map(|f| f.landmarks[0].x).collect();
        assert!(xs.iter().zip([52.0, 110.0, 350.0]).all(|(x, want)| (x - want).abs() < 1e-3), "{xs:?}");
        assert!(kept.iter().all(|f| (f.landmarks[4].y - 50.0).abs() < 1e-3));
    }
}
