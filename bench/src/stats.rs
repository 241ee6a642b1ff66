//! Medians and the like.

use std::time::Duration;

/// The value below which this fraction of the samples lies.
pub(crate) fn quantile(samples: &mut [Duration], fraction: f64) -> Duration {
    samples.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
    let index = (samples.len().saturating_sub(1) as f64 * fraction).round() as usize;
    samples.get(index).copied().unwrap_or_default()
}

/// The geometric mean of ratios.
pub(crate) fn geometric_mean(ratios: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    let count = ratios.len() as f64;
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / count).exp()
}

/// Microseconds, for a table.
pub(crate) fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
}

/// Milliseconds, for a table.
pub(crate) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.1} ms") }
}
