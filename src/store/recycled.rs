//! What the state knows of the files that the task removed from the disk and keeps for a while.

use crate::rules::{Day, RecycledDay, recycled_bytes};
use serde::{Deserialize, Serialize};

/// How many removed files are kept, by day. What a person takes out, or puts in, isn't noticed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recycled {
    /// The days that something is kept of, the oldest first.
    pub days: Vec<RecycledDay>,
    /// Files may be on their way there that aren't counted: after a crash, all are counted anew.
    pub open: bool,
}

impl Recycled {
    /// Counts a file that was removed on this day.
    pub fn add(&mut self, day: Day, bytes: u64) {
        let at = self.days.partition_point(|kept| kept.day < day);
        match self.days.get_mut(at).filter(|kept| kept.day == day) {
            Some(kept) => {
                kept.files += 1;
                kept.bytes = kept.bytes.saturating_add(bytes);
            }
            None => self.days.insert(at, RecycledDay { day, files: 1, bytes }),
        }
    }

    /// Counts one no more, which a person took back.
    pub fn take(&mut self, day: Day, bytes: u64) {
        if let Some(kept) = self.days.iter_mut().find(|kept| kept.day == day) {
            kept.files = kept.files.saturating_sub(1);
            kept.bytes = kept.bytes.saturating_sub(bytes);
        }
        self.days.retain(|kept| kept.files > 0);
    }

    /// How many files are kept.
    pub fn files(&self) -> u64 {
        self.days.iter().map(|kept| kept.files).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        recycled_bytes(&self.days)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_stay_in_order() {
        let mut recycled = Recycled::default();
        for text in ["2026-11-23", "2026-11-21", "2026-11-22", "2026-11-23"] {
            recycled.add(Day::parse(text).unwrap(), 5);
        }
        let told: Vec<_> =
            recycled.days.iter().map(|kept| (kept.day.to_string(), kept.files)).collect();
        let day = |day: &str, files| (day.to_owned(), files);
        assert_eq!(told, [day("2026-11-21", 1), day("2026-11-22", 1), day("2026-11-23", 2)]);
        assert_eq!((recycled.files(), recycled.bytes()), (4, 20));
        for text in ["2026-11-21", "2026-11-20"] {
            recycled.take(Day::parse(text).unwrap(), 5);
        }
        assert_eq!((recycled.days.len(), recycled.files(), recycled.bytes()), (2, 3, 15));
    }
}
