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
}
