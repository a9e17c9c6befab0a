//! The encoder's layers in training. A convolution is written as patches times a matrix: candle's own backward pass of a
//! convolution takes several times as long on a CPU.

use crate::error::LearnError;
use candle_core::{CpuStorage, CustomOp1, DType, Device, Layout, Result, Shape, Tensor, Var, bail};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Keeps the batch norm's division finite.
const EPSILON: f64 = 1e-5;
/// How fast the running statistics follow.
const MOMENTUM: f32 = 0.1;

/// Where the 3x3 patches of a picture lie; padded by one pixel of zeros.
#[derive(Clone, Copy)]
pub(crate) struct Patches {
    pub side: usize,
    pub channels: usize,
    pub stride: usize,
}

impl Patches {
    pub fn out_side(&self) -> usize {
        (self.side - 1) / self.stride + 1
    }

    /// Calls `each(at in the patches, at in the pictures)` for every run of `channels` numbers within the picture.
    fn runs(&self, pictures: usize, mut each: impl FnMut(usize, usize)) {
        let (side, out, c) = (self.side, self.out_side(), self.channels);
        for picture in 0..pictures {
            for (oy, ox) in (0..out * out).map(|i| (i / out, i % out)) {
                let row = ((picture * out + oy) * out + ox) * 9 * c;
                for (ky, kx) in (0..9).map(|i| (i / 3, i % 3)) {
                    // One less than the pixel plus one of padding: outside wraps to a large number.
                    let (y, x) = ((oy * self.stride + ky).wrapping_sub(1), (ox * self.stride + kx).wrapping_sub(1));
                    if y < side && x < side {
                        each(row + (ky * 3 + kx) * c, ((picture * side + y) * side + x) * c);
                    }
                }
            }
        }
    }

    /// pictures x side x side x channels -> pictures * out * out rows of 9 * channels.
    pub fn gather(&self, pixels: &[f32]) -> Vec<f32> {
        let c = self.channels;
        let pictures = pixels.len() / (self.side * self.side * c).max(1);
        let mut patches = vec![0.0; pictures * self.out_side() * self.out_side() * 9 * c];
        self.runs(pictures, |to, from| patches[to..to + c].copy_from_slice(&pixels[from..from + c]));
        patches
    }

    /// The other way: sums what each pixel gave.
    fn scatter(&self, patches: &[f32]) -> Vec<f32> {
        let c = self.channels;
        let pictures = patches.len() / (self.out_side() * self.out_side() * 9 * c).max(1);
        let mut pixels = vec![0.0; pictures * self.side * self.side * c];
        self.runs(pictures, |from, to| {
            pixels[to..to + c].iter_mut().zip(&patches[from..from + c]).for_each(|(p, g)| *p += g);
        });
        pixels
    }
}

/// What a custom operator was given, when it lies in one piece.
fn floats<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(data), Some((from, to))) => Ok(&data[from..to]),
        _ => bail!("patches are made of contiguous 32-bit floats"),
    }
}

impl CustomOp1 for Patches {
    fn name(&self) -> &'static str {
        "patches"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let patches = self.gather(floats(storage, layout)?);
        let columns = 9 * self.channels;
        let shape = Shape::from((patches.len() / columns, columns));
        Ok((CpuStorage::F32(patches), shape))
    }

    fn bwd(&self, _pixels: &Tensor, _patches: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(gradient.contiguous()?.apply_op1_no_bwd(&Back(*self))?))
    }
}

/// The gradient of [`Patches`].
struct Back(Patches);

impl CustomOp1 for Back {
    fn name(&self) -> &'static str {
        "patches-back"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let pixels = self.0.scatter(floats(storage, layout)?);
        let (side, c) = (self.0.side, self.0.channels);
        let shape = Shape::from((pixels.len() / (side * side * c), side, side, c));
        Ok((CpuStorage::F32(pixels), shape))
    }
}

/// 3x3 convolution, batch norm, ReLU.
pub(crate) struct Block {
    pub patches: Patches,
    pub out: usize,
    /// 9 * channels x out.
    weight: Var,
    gamma: Var,
    beta: Var,
    /// Running mean and variance; `None` before the first batch.
    running: Option<(Vec<f32>, Vec<f32>)>,
}

impl Block {
    /// Weights after He, Zhang, Ren, Sun: Delving Deep into Rectifiers, 2015.
    pub fn new(patches: Patches, out: usize, rng: &mut ChaCha8Rng) -> std::result::Result<Self, LearnError> {
        let weight = noise(9 * patches.channels, out, rng)?;
        let gamma = Var::ones((1, out), DType::F32, &Device::Cpu)?;
        let beta = Var::zeros((1, out), DType::F32, &Device::Cpu)?;
        Ok(Self { patches, out, weight, gamma, beta, running: None })
    }

    pub fn vars(&self) -> [Var; 3] {
        [self.weight.clone(), self.gamma.clone(), self.beta.clone()]
    }

    /// n x side x side x channels -> n x out side x out side x out; normalised over this batch.
    pub fn forward(&mut self, x: &Tensor) -> std::result::Result<Tensor, LearnError> {
        let y = x.contiguous()?.apply_op1(self.patches)?.matmul(&self.weight)?;
        let rows = y.dim(0)?;
        // Sums over the rows as products: much faster than a strided sum.
        let average = Tensor::full(1.0 / rows as f32, (1, rows), &Device::Cpu)?;
        let mean = average.matmul(&y)?;
        let centred = y.broadcast_sub(&mean)?;
        let variance = average.matmul(&centred.sqr()?)?;
        let scale = (self.gamma.as_tensor() / (&variance + EPSILON)?.sqrt()?)?;
        let out = centred.broadcast_mul(&scale)?.broadcast_add(&self.beta)?.relu()?;
        self.follow(mean.flatten_all()?.to_vec1()?, variance.flatten_all()?.to_vec1()?);
        let side = self.patches.out_side();
        Ok(out.reshape((rows / (side * side), side, side, self.out))?)
    }

    fn follow(&mut self, mean: Vec<f32>, variance: Vec<f32>) {
        let Some(running) = &mut self.running else {
            self.running = Some((mean, variance));
            return;
        };
        for (kept, new) in [(&mut running.0, mean), (&mut running.1, variance)] {
            kept.iter_mut().zip(new).for_each(|(kept, new)| *kept += MOMENTUM * (new - *kept));
        }
    }

    /// Weight (9 * channels x out, row by row) and bias with the batch norm's running statistics folded in.
    pub fn folded(&self) -> std::result::Result<(Vec<f32>, Vec<f32>), LearnError> {
        let gamma = self.gamma.flatten_all()?.to_vec1::<f32>()?;
        let beta = self.beta.flatten_all()?.to_vec1::<f32>()?;
        let (mean, variance) = self.running.clone().unwrap_or_else(|| (vec![0.0; self.out], vec![1.0; self.out]));
        let scale: Vec<f32> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + EPSILON as f32).sqrt()).collect();
        let mut weight = self.weight.flatten_all()?.to_vec1::<f32>()?;
        for row in weight.chunks_exact_mut(self.out) {
            row.iter_mut().zip(&scale).for_each(|(w, s)| *w *= s);
        }
        let bias = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        Ok((weight, bias))
    }
}

/// A matrix of normal numbers with variance 2 / rows.
pub(crate) fn noise(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> std::result::Result<Var, LearnError> {
    let deviation = (2.0 / rows as f32).sqrt();
    // Box and Muller: two uniform numbers make a normal one.
    let mut normal = || {
        let (u, v): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
        (-2.0 * u.ln()).sqrt() * (std::f32::consts::TAU * v).cos()
    };
    let values = (0..rows * columns).map(|_| deviation * normal()).collect();
    Ok(Var::from_vec(values, (rows, columns), &Device::Cpu)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// The same block by candle's own convolution, in the usual order of sides.
    #[test]
    fn patches_times_a_matrix_is_a_convolution_forward_and_back() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        for stride in [1, 2] {
            let patches = Patches { side: 6, channels: 3, stride };
            let pixels = noise(2 * 6 * 6, 3, &mut rng).unwrap();
            let weight = noise(27, 4, &mut rng).unwrap();
            let ours = pixels.reshape((2, 6, 6, 3)).unwrap().apply_op1(patches).unwrap().matmul(&weight).unwrap();
            let side = patches.out_side();
            let ours = ours.reshape((2, side, side, 4)).unwrap().permute((0, 3, 1, 2)).unwrap();
            let x = pixels.reshape((2, 6, 6, 3)).unwrap().permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
            let kernel = weight.reshape((3, 3, 3, 4)).unwrap().permute((3, 2, 0, 1)).unwrap().contiguous().unwrap();
            let theirs = x.conv2d(&kernel, 1, stride, 1, 1).unwrap();
            let gradients = |y: &Tensor| {
                let g = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
                [y.flatten_all(), g.get(&pixels).unwrap().flatten_all(), g.get(&weight).unwrap().flatten_all()]
                    .map(|t| t.unwrap().to_vec1::<f32>().unwrap())
            };
            for (a, b) in gradients(&ours).iter().zip(&gradients(&theirs)) {
                assert_eq!(a.len(), b.len());
                assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3 * b.abs().max(1.0)), "stride {stride}");
            }
        }
    }
}
