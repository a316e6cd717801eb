//! What a person leaves out of a task.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Bytes of a megabyte, in which people give the limit.
pub const MB: u64 = 1 << 20;

/// What a person leaves out of a task, on both sides alike. Upper and lower case differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Filter {
    /// Folders, with everything in them: paths from the task's root on, with `/` between the parts.
    pub folders: BTreeSet<String>,
    /// What names of files are like: `*` stands for any characters, `?` for any one, `[a-cx]` for
    /// one of these, `[!a-cx]` for one that is none of these.
    pub patterns: BTreeSet<String>,
    /// Bytes of the largest file; `None` for no limit.
    pub max_size: Option<u64>,
}

impl Filter {
    /// The pattern that a file's name is like, if there is one.
    pub fn pattern_of(&self, name: &str) -> Option<&str> {
        self.patterns.iter().find(|pattern| is_like(name, pattern)).map(String::as_str)
    }

    /// The limit that a file of this many bytes is beyond, if it is.
    pub fn limit_below(&self, size: u64) -> Option<u64> {
        self.max_size.filter(|most| size > *most)
    }
}

/// Whether every `[` of a pattern has its `]`.
pub fn is_closed(pattern: &str) -> bool {
    let mut rest = pattern;
    while let Some(at) = rest.find('[') {
        match set(&rest[at + 1..]) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

fn is_like(name: &str, pattern: &str) -> bool {
    let (mut name, mut pattern) = (name, pattern);
    // What is left of both behind the last `*`, which takes one character more when they differ.
    let mut last_star: Option<(&str, &str)> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix('*') {
            pattern = rest;
            last_star = Some((name, pattern));
            continue;
        }
        let mut characters = name.chars();
        let character = characters.next();
        match character.and_then(|character| after(pattern, character)) {
            Some(rest) => (name, pattern) = (characters.as_str(), rest),
            None if character.is_none() && pattern.is_empty() => return true,
            None => {
                let Some((from, behind)) = last_star else { return false };
                let mut characters = from.chars();
                if characters.next().is_none() {
                    return false;
                }
                (name, pattern) = (characters.as_str(), behind);
                last_star = Some((name, pattern));
            }
        }
    }
}

/// The rest of a pattern whose first part stands for this character.
fn after(pattern: &str, character: char) -> Option<&str> {
    let mut parts = pattern.chars();
    match parts.next()? {
        '?' => Some(parts.as_str()),
        '[' => match set(parts.as_str()) {
            Some((set, rest)) => has(set, character).then_some(rest),
            None => (character == '[').then_some(parts.as_str()),
        },
        first => (first == character).then_some(parts.as_str()),
    }
}

/// What stands between a `[` and its `]`, and what comes behind. A `]` that comes first is meant
/// itself.
fn set(pattern: &str) -> Option<(&str, &str)> {
    let first = usize::from(pattern.starts_with('!'));
    let from = first + pattern[first..].chars().next()?.len_utf8();
    let end = from + pattern[from..].find(']')?;
    Some((&pattern[..end], &pattern[end + 1..]))
}

fn has(set: &str, character: char) -> bool {
    let (set, wanted) = match set.strip_prefix('!') {
        Some(set) => (set, false),
        None => (set, true),
    };
    let mut found = false;
    let mut rest = set.chars();
    while let Some(first) = rest.next() {
        let mut ahead = rest.clone();
        let last = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(last)) => {
                rest = ahead;
                last
            }
            _ => first,
        };
        found |= (first..=last).contains(&character);
    }
    found == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, like, unlike) in [
            ("*.iso", &["a.iso", ".iso", "a.iso.iso"][..], &["a.ISO", "aiso", "a.iso2", ""][..]),
            ("Thumb?.db", &["Thumbs.db", "Thumbä.db"], &["Thumb.db", "thumbs.db", "Thumbss.db"]),
            ("[ab]*", &["a", "bob"], &["", "c", "A", "Xa"]),
            ("[!ab]*", &["c", "ä"], &["a", "bob", ""]),
            ("[a-cx]?", &["a1", "b2", "x3"], &["d1", "-1", "a"]),
            ("[]-]", &["]", "-"], &["a", ""]),
            ("[!]]", &["a"], &["]"]),
            ("[*]", &["*"], &["a"]),
            ("a[", &["a["], &["a", "ab"]),
            ("*", &["", "anything"], &[]),
            ("*a*b*", &["ab", "xaxbx", "aab", "bab"], &["ba", "a", "b"]),
            ("**?", &["a", "abc"], &[""]),
            ("exact", &["exact"], &["exactly", "Exact", "inexact"]),
            ("", &[""], &["a"]),
        ] {
            for name in like {
                assert!(is_like(name, pattern), "{name} isn't like {pattern}");
            }
            for name in unlike {
                assert!(!is_like(name, pattern), "{name} is like {pattern}");
            }
        }
    }

    #[test]
    fn a_filter_names_what_leaves_a_file_out() {
        let patterns = ["*.iso".to_string(), "a*".to_string()].into();
        let filter = Filter { patterns, max_size: Some(5), ..Filter::default() };
        assert_eq!(filter.pattern_of("x.iso"), Some("*.iso"));
        assert_eq!(filter.pattern_of("x"), None);
        assert_eq!((filter.limit_below(5), filter.limit_below(6)), (None, Some(5)));
        assert_eq!(Filter::default().limit_below(u64::MAX), None);
    }

    #[test]
    fn a_hard_pattern_takes_no_time() {
        let name = "a".repeat(255);
        let pattern = format!("{}b", "*a".repeat(126));
        assert!(!is_like(&name, &pattern));
    }

    #[test]
    fn brackets_are_closed() {
        for closed in ["", "a", "[a]", "[]]", "[!]]x[b]", "]", "[[]"] {
            assert!(is_closed(closed), "{closed}");
        }
        for open in ["[", "a[", "[]", "[!]", "[a][", "[]a"] {
            assert!(!is_closed(open), "{open}");
        }
    }
}
