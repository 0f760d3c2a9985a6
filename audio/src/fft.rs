//! A small radix-2 Fourier transform, for correlation only.

use std::f64::consts::TAU;

/// A complex number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Complex {
    pub(crate) re: f64,
    pub(crate) im: f64,
}

impl Complex {
    pub(crate) fn new(re: f64, im: f64) -> Self {
        Self { re, im }
    }

    pub(crate) fn conjugate(self) -> Self {
        Self::new(self.re, -self.im)
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self::new(
            self.re * other.re - self.im * other.im,
            self.re * other.im + self.im * other.re,
        )
    }

    fn plus(self, other: Self) -> Self {
        Self::new(self.re + other.re, self.im + other.im)
    }

    fn minus(self, other: Self) -> Self {
        Self::new(self.re - other.re, self.im - other.im)
    }
}

/// Transforms `values` in place, without scaling. The length must be a power of two.
pub(crate) fn forward(values: &mut [Complex]) {
    let length = values.len();
    debug_assert!(length.is_power_of_two());
    reverse_bits(values);
    let twiddles: Vec<Complex> = (0..length / 2)
        .map(|k| -TAU * k as f64 / length as f64)
        .map(|angle| Complex::new(angle.cos(), angle.sin()))
        .collect();
    let mut half = 1;
    while half < length {
        let stride = length / (2 * half);
        for block in values.chunks_exact_mut(2 * half) {
            let (low, high) = block.split_at_mut(half);
            for (k, (low, high)) in low.iter_mut().zip(high).enumerate() {
                let turned = high.times(twiddles[k * stride]);
                (*low, *high) = (low.plus(turned), low.minus(turned));
            }
        }
        half *= 2;
    }
}

/// The inverse of [`forward`], scaled so that both together change nothing.
pub(crate) fn inverse(values: &mut [Complex]) {
    for value in values.iter_mut() {
        *value = value.conjugate();
    }
    forward(values);
    let scale = 1.0 / values.len() as f64;
    for value in values {
        *value = Complex::new(value.re * scale, -value.im * scale);
    }
}

fn reverse_bits(values: &mut [Complex]) {
    let bits = values.len().trailing_zeros();
    if bits == 0 {
        return;
    }
    for index in 0..values.len() {
        let mirrored = index.reverse_bits() >> (usize::BITS - bits);
        if index < mirrored {
            values.swap(index, mirrored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cosine_is_two_lines_and_comes_back() {
        let cosine: Vec<Complex> = (0..64)
            .map(|n| Complex::new((TAU * 5.0 * f64::from(n) / 64.0).cos(), 0.0))
            .collect();
        let mut spectrum = cosine.clone();
        forward(&mut spectrum);
        for (k, value) in spectrum.iter().enumerate() {
            let expected = if k == 5 || k == 59 { 32.0 } else { 0.0 };
            assert!(
                (value.re - expected).abs() < 1e-9 && value.im.abs() < 1e-9,
                "{k}: {value:?}"
            );
        }
        inverse(&mut spectrum);
        assert!(
            spectrum
                .iter()
                .zip(&cosine)
                .all(|(a, b)| (a.re - b.re).abs() < 1e-12)
        );
    }
}
