//! Mixing by saturating sums.

/// Adds `input` onto `sum`, sample by sample, saturating at full scale; `sum` grows with silence when `input`
/// is longer.
pub fn mix_into(sum: &mut Vec<i16>, input: &[i16]) {
    if sum.len() < input.len() {
        sum.resize(input.len(), 0);
    }
    for (sum, &sample) in sum.iter_mut().zip(input) {
        *sum = sum.saturating_add(sample);
    }
}

/// Appends the mix of all `inputs` to `out`. It is as long as the longest input; the shorter ones end in
/// silence.
///
/// The sum is made in 32 bits and saturates once, so that the order of the inputs does not matter.
pub fn mix(inputs: &[&[i16]], out: &mut Vec<i16>) {
    let length = inputs.iter().map(|input| input.len()).max().unwrap_or(0);
    out.extend((0..length).map(|n| {
        let sum: i32 = inputs
            .iter()
            .filter_map(|input| input.get(n))
            .map(|&sample| i32::from(sample))
            .sum();
        sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_saturates_once_whatever_the_order() {
        let mut out = vec![7];
        mix(&[&[30_000, -5], &[30_000], &[-30_000, -32_768, 4]], &mut out);
        assert_eq!(out, [7, 30_000, -32_768, 4]);
    }

    #[test]
    fn mixing_into_a_shorter_sum_makes_it_grow() {
        let mut sum = vec![30_000];
        mix_into(&mut sum, &[30_000, 2]);
        assert_eq!(sum, [32_767, 2]);
        let mut none = Vec::new();
        mix(&[], &mut none);
        assert!(none.is_empty());
    }
}
