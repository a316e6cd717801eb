//! The rules for what a person enters, beyond what a service's descriptor says.

use super::Task;
use crate::error::{Error, Kind, Result};
use crate::remote::{Bucket, Descriptor, Settings};
use crate::rules::MOST_RECYCLE_DAYS;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most characters of a connection's or task's name.
const NAME_LENGTH: usize = 64;

/// A name that can stand in a command line, a path and a list.
pub(super) fn name(thing: &str, name: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || " ._-".contains(c);
    let cause = if name.is_empty() || name.chars().count() > NAME_LENGTH {
        "it doesn't have 1 to 64 characters"
    } else if !name.chars().all(allowed) {
        "it has characters other than letters, digits, space, dot, _ and -"
    } else if name.starts_with('-') || name.trim() != name {
        "it begins with a dash, or begins or ends with a space"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Usage, format!("{thing} name {name:?}"), cause)
        .remedy("choose another name"))
}

/// The values of a connection, whose secrets need only be present.
pub(super) fn values(descriptor: &Descriptor, values: &Settings) -> Result<()> {
    descriptor.check(values)?;
    if let Some(key) = descriptor.bucket_key()
        && let (Some(rule), Some(bucket)) = (&descriptor.bucket, values.given(key))
        && !fits(rule, bucket)
    {
        let what = format!("setting {key} of {}", descriptor.label);
        let cause = format!("'{bucket}' can't be the name of a bucket");
        return Err(Error::new(Kind::Usage, what, cause).remedy(format!(
            "give the name as the service shows it: {} to {} of a-z, 0-9 and {}",
            rule.min, rule.max, rule.extra
        )));
    }
    Ok(())
}

fn fits(rule: &Bucket, name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || rule.extra.contains(c);
    (rule.min..=rule.max).contains(&name.len()) && name.chars().all(allowed)
}

/// Whether a part of a path, without `/` at either end, can't be the name of a folder.
pub(super) fn has_odd_part(bare: &str) -> bool {
    let odd = |part: &str| matches!(part, "" | "." | "..") || part.contains(char::is_control);
    bare.split('/').any(odd)
}

/// A remote folder as it is kept: without `/` at either end.
pub(crate) fn remote_folder(path: &str) -> Result<String> {
    let bare = path.trim_matches('/');
    if !bare.is_empty() && has_odd_part(bare) {
        let what = format!("remote folder {path:?}");
        return Err(Error::new(Kind::Usage, what, "a part of it is empty, dots or unprintable")
            .remedy("give it as /folder/folder; / is the root of the bucket or account"));
    }
    Ok(bare.to_owned())
}

/// A local folder as it is kept: by its one true path, whatever links led to it. It must be apart
/// from the folders with Mooring's own state.
pub(super) fn local_folder(path: &Path, states: [&Path; 2]) -> Result<PathBuf> {
    let wrong = |cause: &str, remedy: &str| {
        let what = format!("local folder {}", path.display());
        Err(Error::new(Kind::Usage, what, cause).remedy(remedy))
    };
    if !path.is_absolute() {
        return wrong("it isn't absolute", "give the whole path, beginning with /");
    }
    let folder = match path.canonicalize() {
        Ok(folder) => folder,
        Err(error) => return wrong(&error.to_string(), "make the folder first, or correct it"),
    };
    if !folder.is_dir() {
        return wrong("it isn't a folder", "give a folder");
    }
    if folder.to_str().is_none() {
        return wrong("its path isn't valid UTF-8", "rename the folder");
    }
    let holds = |state: PathBuf| folder.starts_with(&state) || state.starts_with(&folder);
    if states.into_iter().filter_map(|state| state.canonicalize().ok()).any(holds) {
        return wrong("Mooring's own state is in it, or around it", "choose another folder");
    }
    Ok(folder)
}

/// Days for which removed files are kept.
pub(super) fn recycle_days(days: u32) -> Result<u32> {
    if days <= MOST_RECYCLE_DAYS {
        return Ok(days);
    }
    let cause = format!("{days} days are too many");
    Err(Error::new(Kind::Usage, "keeping removed files", cause)
        .remedy(format!("choose 0 to {MOST_RECYCLE_DAYS} days")))
}

/// Two tasks of a connection must not share an item, on either side: each would see the other's
/// work as a person's.
pub(super) fn apart(descriptor: &Descriptor, task: &Task, other: &Task) -> Result<()> {
    let place =
        if same_or_inside(&task.local, &other.local) || same_or_inside(&other.local, &task.local) {
            format!("local folder {}", other.local.display())
        } else if share_remote(descriptor, &task.remote, &other.remote) {
            format!("remote folder /{}", other.remote)
        } else {
            return Ok(());
        };
    let cause = format!("it overlaps the {place} of task {}", other.name);
    Err(Error::new(Kind::Usage, format!("task {}", task.name), cause)
        .remedy("choose folders that aren't inside one another"))
}

/// Whether a local folder is another one or in it, whatever links and mounts lead there by now.
pub(super) fn same_or_inside(inner: &Path, outer: &Path) -> bool {
    let id = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
    let inner = inner.canonicalize().unwrap_or_else(|_| inner.to_owned());
    let of_outer = id(outer);
    inner.starts_with(outer)
        || of_outer.is_some() && inner.ancestors().any(|folder| id(folder) == of_outer)
}

/// Whether one of two remote folders is the other or in it, as the service sees them.
fn share_remote(descriptor: &Descriptor, one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|path| match descriptor.folds_case {
        true => path.to_lowercase(),
        false => path.to_owned(),
    });
    let (one, other) = (Path::new(&one), Path::new(&other));
    one.starts_with(other) || other.starts_with(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "My NAS 2.0_x-y", "Büro", &"x".repeat(64)] {
            assert!(name("task", good).is_ok(), "{good}");
        }
        for bad in ["", "-a", " a", "a ", "a/b", "a\n", "a\"b", &"x".repeat(65)] {
            assert_eq!(name("task", bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn remote_folders() {
        assert_eq!(remote_folder("/").unwrap(), "");
        assert_eq!(remote_folder("/a/b/").unwrap(), "a/b");
        for bad in ["/a//b", "a/../b", ".", "/a/./b", "a\0b"] {
            assert!(remote_folder(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn buckets() {
        let rule = Bucket { min: 3, max: 63, extra: ".-" };
        assert!(fits(&rule, "my.bucket-1"));
        assert!(!fits(&rule, "My"));
        assert!(!fits(&rule, "my_bucket"));
    }
}
