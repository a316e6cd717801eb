//! The name under which the loser of a conflict is kept.

use crate::model::{Nanos, split_path};
use std::time::{Duration, SystemTime};

/// Longest name that is surely allowed, in bytes.
const MAX_NAME: usize = 240;

/// The path for the losing content of `path`: the day it was last changed and a mark made of
/// its version, before the ending. The same loser always gets the same name, so that a conflict
/// that is met again after a crash leaves one copy, not two.
pub fn conflict_name(path: &str, changed: Option<Nanos>, version: &str) -> String {
    let (folder, name) = split_path(path);
    let day = changed.and_then(day).map(|day| format!("{day} ")).unwrap_or_default();
    let name = marked(name, &format!("conflict {day}{}", mark(version)));
    let slash = if folder.is_empty() { "" } else { "/" };
    format!("{folder}{slash}{name}")
}

/// The name with this mark, in brackets, before its ending; cut where it would be too long.
pub fn marked(name: &str, mark: &str) -> String {
    let (stem, ending) = split_ending(name);
    let mark = format!(" ({mark})");
    let mut room = MAX_NAME.saturating_sub(mark.len() + ending.len()).min(stem.len());
    while !stem.is_char_boundary(room) {
        room -= 1;
    }
    format!("{}{mark}{ending}", &stem[..room])
}

/// A name's part before its ending, and the ending with its dot.
pub(super) fn split_ending(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= 16 => name.split_at(dot),
        _ => (name, ""),
    }
}

fn day(time: Nanos) -> Option<String> {
    let nanos = u64::try_from(time).ok()?;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))?;
    Some(humantime::format_rfc3339_seconds(time).to_string()[..10].to_string())
}

/// Four hexadecimal digits that tell versions, or ids, apart (FNV-1a, folded).
pub(super) fn mark(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{:04x}", (hash >> 16) ^ (hash & 0xffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_stays_and_the_name_is_always_the_same() {
        let name = conflict_name("a/b/photo.jpg", Some(1_700_000_000_000_000_000), "v1");
        assert!(name.starts_with("a/b/photo (conflict 2023-11-14 "), "{name}");
        assert!(name.ends_with(").jpg"), "{name}");
        assert_eq!(name, conflict_name("a/b/photo.jpg", Some(1_700_000_000_000_000_000), "v1"));
        assert_ne!(name, conflict_name("a/b/photo.jpg", Some(1_700_000_000_000_000_000), "v2"));
    }

    #[test]
    fn long_names_lose_of_their_stem_only() {
        let ends = |name: &str, end: &str| {
            let kept = conflict_name(name, None, "v");
            assert!(kept.ends_with(end), "{kept}");
            kept
        };
        ends("a photo with a long name.jpg", ").jpg");
        ends("name.fifteen-letters", ").fifteen-letters");
        ends("name.sixteen--letters", "letters (conflict b3c5)");
        assert_eq!(ends(&format!("{}.jpg", "a".repeat(250)), ").jpg").len(), MAX_NAME);
        // A letter of two bytes isn't cut in half.
        assert_eq!(ends(&format!("x{}", "é".repeat(127)), ")").len(), MAX_NAME - 1);
    }

    #[test]
    fn odd_names_keep_within_bounds() {
        assert!(conflict_name(".hidden", None, "v").starts_with(".hidden (conflict "));
        assert!(conflict_name("none", Some(-5), "v").starts_with("none (conflict "));
        let long = conflict_name(&"é".repeat(127), None, "v");
        assert!(long.len() <= 255 && long.ends_with(')'), "{long}");
    }
}
