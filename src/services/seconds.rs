//! Times of modification, as rclone keeps them.

use crate::model::Nanos;

/// Seconds since 1970 with up to nine digits of a fraction, as rclone keeps it.
pub(super) fn format(mtime: Nanos) -> String {
    let (sign, size) = (if mtime < 0 { "-" } else { "" }, mtime.unsigned_abs());
    let text = format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

pub(super) fn parse(text: &str) -> Option<Nanos> {
    let (sign, text) = text.trim().strip_prefix('-').map_or((1, text.trim()), |rest| (-1, rest));
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) {
        return None;
    }
    let fraction = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction));
    let nanos = seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?;
    nanos.checked_add(fraction.parse().ok()?)?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds() {
        for (mtime, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_600_000_000_123_456_789, "1600000000.123456789"),
            (1_600_000_000_500_000_000, "1600000000.5"),
            (10_000_000_000, "10"),
            (-1_500_000_000, "-1.5"),
            (Nanos::MAX, "9223372036.854775807"),
        ] {
            assert_eq!(format(mtime), text);
            assert_eq!(parse(text), Some(mtime), "{text}");
        }
        assert_eq!(parse(" 1.1234567899 "), Some(1_123_456_789));
        for text in
            ["", "-", ".", "1.", ".5", "1e9", "1.-5", "--1", "99999999999", "1.é", "+1", "1 2"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
