//! Numbers as people read them. MB is 10^6 bytes throughout.
#![forbid(unsafe_code)]

use std::time::Duration;

/// `98.4 MB`.
pub(crate) fn bytes(count: u64) -> String {
    scaled(count, [" bytes", " kB", " MB", " GB", " TB"])
}

/// `134.5 M`.
pub(crate) fn count(count: u64) -> String {
    scaled(count, ["", " k", " M", " G", " T"])
}

fn scaled(count: u64, units: [&str; 5]) -> String {
    let mut value = count as f64;
    let mut unit = 0;
    // 999.95 would be shown as 1000.0.
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count}{}", units[0]) } else { format!("{value:.1}{}", units[unit]) }
}

/// `1 token`, `2 tokens`.
pub(crate) fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `36 tokens in 72.0 ms`.
pub(crate) fn tokens_in(tokens: usize, time: Duration) -> String {
    format!("{} in {:.1} ms", plural(tokens, "token"), time.as_secs_f64() * 1e3)
}

/// A rate; 0 if no time has passed.
pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_keep_one_decimal() {
        assert_eq!(super::bytes(999), "999 bytes");
        assert_eq!(super::bytes(1000), "1.0 kB");
        assert_eq!(super::bytes(98_362_432), "98.4 MB");
        assert_eq!(super::bytes(999_960_000), "1.0 GB");
        assert_eq!(super::count(134_515_008), "134.5 M");
        assert_eq!(super::plural(1, "token"), "1 token");
        assert_eq!(super::plural(0, "token"), "0 tokens");
    }
}
