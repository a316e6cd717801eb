//! Comparing the times of modification that contents bring with them.

use crate::model::Nanos;

const SECOND: Nanos = 1_000_000_000;

/// Whether `this` is surely later than `that`. Services keep seconds at least, so less than a
/// second says nothing; and a time that is missing or isn't after 1970 is no time.
pub fn is_newer(this: Option<Nanos>, that: Option<Nanos>) -> bool {
    match (usable(this), usable(that)) {
        (Some(this), Some(that)) => this / SECOND > that / SECOND,
        _ => false,
    }
}

/// Whether a file's time is the one that a service tells, which may have cut it to seconds,
/// milliseconds or microseconds.
pub fn is_same_time(file: Nanos, told: Option<Nanos>) -> bool {
    let (Some(file), Some(told)) = (usable(Some(file)), usable(told)) else { return false };
    let unit = [SECOND, 1_000_000, 1_000].into_iter().find(|unit| told % unit == 0).unwrap_or(1);
    file / unit == told / unit
}

fn usable(time: Option<Nanos>) -> Option<Nanos> {
    time.filter(|time| *time > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_seconds_make_newer() {
        assert!(is_newer(Some(3 * SECOND), Some(3 * SECOND - 1)));
        for (this, that) in [
            (Some(3 * SECOND + 999), Some(3 * SECOND)),
            (Some(3 * SECOND), Some(3 * SECOND + 999)),
            (Some(2 * SECOND), Some(3 * SECOND)),
            (None, Some(3 * SECOND)),
            (Some(3 * SECOND), None),
            (Some(3 * SECOND), Some(0)),
            (Some(3 * SECOND), Some(-SECOND)),
        ] {
            assert!(!is_newer(this, that), "{this:?} {that:?}");
        }
    }

    #[test]
    fn a_time_is_the_same_as_far_as_it_is_kept() {
        let file = 1_700_000_000_123_456_789;
        for told in [file, file - 789, file - 456_789, file - 123_456_789] {
            assert!(is_same_time(file, Some(told)), "{told}");
        }
        for told in [file + 1, file - 788, file - 123_456_788, file + SECOND - 123_456_789] {
            assert!(!is_same_time(file, Some(told)), "{told}");
        }
        assert!(!is_same_time(0, Some(0)));
        assert!(!is_same_time(file, None));
    }
}
