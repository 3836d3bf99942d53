//! Medians, spread, and bootstrap intervals of ratios.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const RESAMPLES: usize = 2000;
/// Of fewer repeats, resamples say nothing about the spread.
const REPEATS_MIN: usize = 3;
/// Fixed, so that one set of results always gives one report.
const SEED: u64 = 0x6772_616e;

/// The median; NaN of nothing.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => f64::NAN,
        (len, middle) if len % 2 == 1 => sorted[middle],
        (_, middle) => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Standard deviation over mean; `None` of fewer than two values.
#[must_use]
pub fn coefficient_of_variation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64;
    Some(variance.sqrt() / mean)
}

/// A ratio of medians with the interval that holds 95 % of its resamples: all numbers, if there are too few repeats for one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// Ratio of the medians.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How two series belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Equal positions ran beside each other: they are drawn together, so that what slowed both counts for neither.
    Paired,
    /// They come from different runs.
    Independent,
}

/// The ratio of the medians of `above` and `below`, bootstrapped. `None` if either is empty.
#[must_use]
pub fn ratio(above: &[f64], below: &[f64], pairing: Pairing) -> Option<Ratio> {
    if above.is_empty() || below.is_empty() {
        return None;
    }
    let value = median(above) / median(below);
    if above.len().min(below.len()) < REPEATS_MIN {
        return Some(Ratio { value, low: 0.0, high: f64::INFINITY });
    }
    let paired = pairing == Pairing::Paired && above.len() == below.len();
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut ratios: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let picks: Vec<usize> = (0..above.len()).map(|_| rng.random_range(0..above.len())).collect();
            let top: Vec<f64> = picks.iter().map(|&pick| above[pick]).collect();
            let bottom: Vec<f64> = if paired {
                picks.iter().map(|&pick| below[pick]).collect()
            } else {
                (0..below.len()).map(|_| below[rng.random_range(0..below.len())]).collect()
            };
            median(&top) / median(&bottom)
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: f64| ratios[((RESAMPLES - 1) as f64 * share).round() as usize];
    Some(Ratio { value, low: at(0.025), high: at(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spread_of_known_series() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(coefficient_of_variation(&[1.0]), None);
        let spread = coefficient_of_variation(&[9.0, 10.0, 11.0]).expect("three values");
        assert!((spread - 0.1).abs() < 1e-12);
    }

    #[test]
    fn an_interval_holds_the_true_ratio_and_narrows_when_pairs_move_together() {
        let below: Vec<f64> = (0..9).map(|i| 100.0 + 20.0 * f64::from(i % 3)).collect();
        let above: Vec<f64> = below.iter().map(|value| value * 1.5).collect();
        let paired = ratio(&above, &below, Pairing::Paired).expect("not empty");
        assert!((paired.low - 1.5).abs() < 1e-9 && (paired.high - 1.5).abs() < 1e-9, "{paired:?}");
        let independent = ratio(&above, &below, Pairing::Independent).expect("not empty");
        assert!(independent.low < 1.5 && independent.high > 1.5, "{independent:?}");
        assert_eq!(ratio(&[], &below, Pairing::Paired), None);
        let few = ratio(&above[..2], &below[..2], Pairing::Paired).expect("not empty");
        assert!(few.low == 0.0 && few.high.is_infinite(), "two repeats have no interval: {few:?}");
    }
}
