//! What a person enters about what a task leaves out.

use super::check::has_odd_part;
use crate::error::{Error, Kind, Result};
use crate::rules::{Filter, MAX_PATH, is_closed};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Most excluded folders of a task, and most patterns: each file is held against all of these.
const MOST: usize = 1000;
/// Longest pattern in characters: no name is longer.
const PATTERN_LENGTH: usize = 255;

/// What a person changes about a task's filter. What is taken back comes first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FilterChange {
    /// Folders to leave out with everything in them: paths from the task's root on. A `/` at either
    /// end means nothing.
    pub exclude_folders: Vec<String>,
    /// Folders not to leave out any more.
    pub include_folders: Vec<String>,
    /// Patterns of the names of files to leave out, as in [`Filter::patterns`].
    pub exclude: Vec<String>,
    /// Patterns not to leave files out by any more.
    pub include: Vec<String>,
    /// Bytes of the largest file; 0 for no limit, `None` leaves it.
    pub max_size: Option<u64>,
}

impl FilterChange {
    /// The filter after this change.
    ///
    /// # Errors
    /// `Usage` when what is to be left out makes no sense or is too much, or what is taken back
    /// wasn't left out.
    pub(super) fn apply(self, filter: &Filter) -> Result<Filter> {
        let mut filter = filter.clone();
        for entered in &self.include_folders {
            take_back(&mut filter.folders, "folder", &folder(entered)?)?;
        }
        for entered in &self.include {
            take_back(&mut filter.patterns, "pattern", entered)?;
        }
        for entered in &self.exclude_folders {
            filter.folders.insert(folder(entered)?);
        }
        for entered in self.exclude {
            filter.patterns.insert(pattern(entered)?);
        }
        let too_many = |things: &str, remedy: &str| {
            let cause = format!("a task excludes at most {MOST}");
            Err(Error::new(Kind::Usage, format!("excluded {things}"), cause).remedy(remedy))
        };
        if filter.folders.len() > MOST {
            return too_many("folders", "exclude a folder that several of them are in");
        }
        if filter.patterns.len() > MOST {
            return too_many("patterns", "give one pattern that several names are like, as *.iso");
        }
        if let Some(most) = self.max_size {
            filter.max_size = Some(most).filter(|most| *most > 0);
        }
        Ok(filter)
    }
}

/// A folder's path as it is kept: without `/` at either end.
fn folder(path: &str) -> Result<String> {
    let bare = path.trim_matches('/');
    let cause = if bare.is_empty() {
        "it is the whole of the task"
    } else if has_odd_part(bare) {
        "a part of it is empty, dots or unprintable"
    } else if bare.chars().count() > MAX_PATH {
        "no item's path is so long"
    } else {
        return Ok(bare.to_owned());
    };
    Err(Error::new(Kind::Usage, format!("excluded folder {path:?}"), cause)
        .remedy("give its path from the task's folder on, as folder/folder"))
}

fn pattern(pattern: String) -> Result<String> {
    let (cause, remedy) = if !(1..=PATTERN_LENGTH).contains(&pattern.chars().count()) {
        ("it doesn't have 1 to 255 characters", "shorten it with a *")
    } else if pattern.contains('/') {
        ("it has a /, which no name has", "exclude a folder with --exclude-folder")
    } else if !is_closed(&pattern) {
        ("a [ in it has no ]", "give [[] for the character itself")
    } else {
        return Ok(pattern);
    };
    Err(Error::new(Kind::Usage, format!("pattern {pattern:?}"), cause).remedy(remedy))
}

fn take_back(from: &mut BTreeSet<String>, thing: &str, entered: &str) -> Result<()> {
    if from.remove(entered) {
        return Ok(());
    }
    let what = format!("{thing} {entered:?}");
    Err(Error::new(Kind::Usage, what, "the task doesn't exclude it")
        .remedy("see what it does with mooring task show"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluding(folders: &[&str], patterns: &[&str]) -> FilterChange {
        let owned = |all: &[&str]| all.iter().map(ToString::to_string).collect();
        FilterChange {
            exclude_folders: owned(folders),
            exclude: owned(patterns),
            ..FilterChange::default()
        }
    }

    #[test]
    fn what_is_entered_is_kept_once_and_taken_back() {
        let change = FilterChange { max_size: Some(5), ..excluding(&["/a/b/", "a/b"], &["*.iso"]) };
        let filter = change.apply(&Filter::default()).unwrap();
        assert_eq!(filter.folders, ["a/b".to_owned()].into());
        assert_eq!((filter.patterns.len(), filter.max_size), (1, Some(5)));
        assert_eq!(FilterChange::default().apply(&filter).unwrap(), filter);
        let back = FilterChange {
            include_folders: vec!["a/b/".into()],
            include: vec!["*.iso".into()],
            max_size: Some(0),
            ..FilterChange::default()
        };
        assert_eq!(back.clone().apply(&filter).unwrap(), Filter::default());
        assert_eq!(back.apply(&Filter::default()).unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for folder in ["", "/", "a//b", "..", "a/./b", "a\n", &"x/".repeat(2000)] {
            assert!(excluding(&[folder], &[]).apply(&Filter::default()).is_err(), "{folder}");
        }
        for pattern in ["", "a/b", "[", "[a", &"x".repeat(256)] {
            assert!(excluding(&[], &[pattern]).apply(&Filter::default()).is_err(), "{pattern}");
        }
        assert!(
            excluding(&["a b", "[x]*"], &["[[]", &"ä".repeat(255)])
                .apply(&Filter::default())
                .is_ok()
        );
    }

    #[test]
    fn there_is_an_end_to_what_is_excluded() {
        let many: Vec<String> = (0..=MOST).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (folders, patterns) in [(&many[..], &[][..]), (&[], &many)] {
            let refused = excluding(folders, patterns).apply(&Filter::default()).unwrap_err();
            assert!(refused.to_string().contains("at most 1000"), "{refused}");
        }
        assert!(excluding(&many[1..], &many[1..]).apply(&Filter::default()).is_ok());
    }
}
