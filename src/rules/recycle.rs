//! How long removed files are kept.

use crate::model::Nanos;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime};

/// Days that a removed file is kept when nobody says how many.
pub const RECYCLE_DAYS: u32 = 30;
/// Most days that a removed file can be kept.
pub const MOST_RECYCLE_DAYS: u32 = 3650;
/// The part of its volume that removed files may take.
const MOST_PART: u64 = 10;
/// What was removed so many days ago is taken by no limit of size: a removal of very much at once
/// is the one that a person will want back, and it takes no more room than the files did before.
const SPARED_DAYS: u32 = 1;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Day(u16);

impl Day {
    /// The day of this time.
    pub fn of(time: Nanos) -> Day {
        let since = Duration::from_nanos(u64::try_from(time).unwrap_or(0));
        Day(u16::try_from(since.as_secs() / DAY.as_secs()).unwrap_or(u16::MAX))
    }

    /// The day that is written so, as `2026-11-23`.
    pub fn parse(text: &str) -> Option<Day> {
        let begin = humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).ok()?;
        let since = begin.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let day = Day(u16::try_from(since.as_secs() / DAY.as_secs()).ok()?);
        (day.to_string() == text).then_some(day)
    }

    /// How many days after another one; none when it is before.
    fn after(self, other: Day) -> u32 {
        u32::from(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = SystemTime::UNIX_EPOCH + DAY * u32::from(self.0);
        let text = humantime::format_rfc3339_seconds(begin).to_string();
        f.write_str(text.split('T').next().unwrap_or_default())
    }
}

/// What is kept of the files that were removed on one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecycledDay {
    /// When they were removed.
    pub day: Day,
    /// How many they are.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How many of these days, the oldest first, have been kept long enough: for `keep` whole days, or
/// until all takes more than a tenth of a volume of so many bytes.
pub fn outlived(days: &[RecycledDay], today: Day, keep: u32, volume: u64) -> usize {
    let most = volume / MOST_PART;
    let mut bytes = total(days);
    let goes = |kept: &&RecycledDay| {
        let age = today.after(kept.day);
        let goes = keep == 0 || age > keep || bytes > most && age > SPARED_DAYS;
        bytes = bytes.saturating_sub(kept.bytes);
        goes
    };
    days.iter().take_while(goes).count()
}

/// How many of these days, the oldest first, have to go to make room for so many bytes.
pub fn enough(days: &[RecycledDay], wanted: u64) -> usize {
    let mut bytes = 0_u64;
    let more = |kept: &&RecycledDay| {
        let more = bytes < wanted;
        bytes = bytes.saturating_add(kept.bytes);
        more
    };
    days.iter().take_while(more).count().max(1).min(days.len())
}

/// The bytes of all these days.
pub fn total(days: &[RecycledDay]) -> u64 {
    days.iter().fold(0, |sum, kept| sum.saturating_add(kept.bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Day = Day(20_000);

    /// Days of so many bytes, so many days ago.
    fn days<const N: usize>(kept: [(u16, u64); N]) -> [RecycledDay; N] {
        kept.map(|(ago, bytes)| RecycledDay { day: Day(TODAY.0 - ago), files: 1, bytes })
    }

    #[test]
    fn a_day_is_understood_again() {
        let day = Day::of(1_763_900_000_000_000_000);
        assert_eq!(day.to_string(), "2025-11-23");
        assert_eq!(Day::parse("2025-11-23"), Some(day));
        assert_eq!(Day::of(-1), Day(0));
        assert_eq!(Day::parse(&Day(u16::MAX).to_string()), Some(Day(u16::MAX)));
        for wrong in ["", "2025-11-2", "2025-02-30", "1969-12-31", "9999-12-31", "2025-11-23 "] {
            assert_eq!(Day::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn each_day_is_kept_for_as_long_as_the_task_says() {
        let kept = days([(31, 5), (30, 5), (1, 5), (0, 5)]);
        assert_eq!(outlived(&kept, TODAY, 30, 1000), 1);
        assert_eq!(outlived(&kept, TODAY, 29, 1000), 2);
        assert_eq!(outlived(&kept, TODAY, 1, 1000), 2);
        assert_eq!(outlived(&kept, TODAY, 0, 1000), 4);
        let ahead = Day(TODAY.0 - 40);
        assert_eq!(outlived(&kept, ahead, 1, 1000), 0, "the clock was set back");
    }

    #[test]
    fn a_tenth_of_the_volume_is_kept_the_newest_first() {
        let kept = days([(9, 40), (8, 40), (7, 40), (0, 20)]);
        for (volume, gone) in [(1400, 0), (1399, 1), (1000, 1), (999, 2), (599, 3), (0, 3)] {
            assert_eq!(outlived(&kept, TODAY, 30, volume), gone, "{volume}");
        }
        let at_once = days([(1, 1 << 40), (0, 1 << 40)]);
        assert_eq!(outlived(&at_once, TODAY, 30, 1000), 0);
    }

    #[test]
    fn no_more_goes_than_has_to() {
        let kept = days([(9, 40), (8, 40), (7, 40)]);
        for (wanted, gone) in [(0, 1), (40, 1), (41, 2), (80, 2), (120, 3), (u64::MAX, 3)] {
            assert_eq!(enough(&kept, wanted), gone, "{wanted}");
        }
        assert_eq!(enough(&[], 5), 0);
    }
}
