//! Listings of names in the order that the engine takes them in.

use crate::error::{Error, Kind, Result};
use crate::remote::{Entry, is_path};
use std::collections::BTreeMap;

/// Most items of a listing that wait for those that come before them.
const MOST_HELD: usize = 8192;

/// Puts a listing into the order of the bytes of paths, in which a folder's path ends in `/`.
///
/// The service's order may be that of bytes or of the units of UTF-16 (Azurite's is): there,
/// characters beyond the first 65,536 come before the last of these. What has such a character
/// waits until nothing can come before it any more, as does a folder that was told without a slash.
pub(super) struct Order<'a> {
    what: &'a str,
    /// What to do when the names come in disorder.
    remedy: &'static str,
    each: &'a mut dyn FnMut(&str, Entry) -> Result<()>,
    /// What waits, by path.
    held: BTreeMap<String, Entry>,
    /// What may come before it begins with this.
    stretch: Option<String>,
    /// The path that was told last.
    last: String,
}

impl<'a> Order<'a> {
    /// One that tells `each` what is listed; `what` names the operation, and `remedy` is for a
    /// service with another order.
    pub fn new(
        what: &'a str,
        remedy: &'static str,
        each: &'a mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Self {
        let (held, stretch, last) = (BTreeMap::new(), None, String::new());
        Order { what, remedy, each, held, stretch, last }
    }

    /// Takes what is listed next, by this `name`, and told as `entry` at this path, in which a
    /// folder's ends in `/`. What no path can be is left out.
    ///
    /// # Errors
    /// `Protocol` when the names come in disorder, and what the receiver says.
    pub fn meet(&mut self, name: &str, at: String, entry: Entry) -> Result<()> {
        // This leaves out the marker of the folder that is listed, too.
        if !is_path(at.strip_suffix('/').unwrap_or(&at)) {
            return Ok(());
        }
        let beyond = name.find(|c| c > '\u{ffff}');
        let in_stretch = |stretch: &String| beyond.is_some() && name.starts_with(stretch.as_str());
        if !self.stretch.as_ref().is_some_and(in_stretch) || self.held.len() >= MOST_HELD {
            self.tell_before(name)?;
            self.stretch = beyond.map(|from| name[..from].to_owned());
        }
        if beyond.is_none() && at.as_str() <= name {
            return self.tell(&at, entry);
        }
        if self.held.len() >= MOST_HELD {
            return Err(self.disorder());
        }
        self.held.insert(at, entry);
        Ok(())
    }

    /// Tells what waits and comes before `name`.
    fn tell_before(&mut self, name: &str) -> Result<()> {
        while let Some(first) = self.held.first_entry().filter(|first| **first.key() < *name) {
            let (at, entry) = first.remove_entry();
            self.tell(&at, entry)?;
        }
        Ok(())
    }

    /// Tells what still waits at the end of the listing.
    ///
    /// # Errors
    /// As [`Order::meet`].
    pub fn end(mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        held.into_iter().try_for_each(|(at, entry)| self.tell(&at, entry))
    }

    fn tell(&mut self, at: &str, entry: Entry) -> Result<()> {
        let folder = at.strip_suffix('/');
        if folder.is_some() && self.last.starts_with(at) {
            // What is in it, or another marker, has told of it.
            return Ok(());
        }
        if *at <= *self.last {
            return Err(self.disorder());
        }
        self.last.clear();
        self.last.push_str(at);
        (self.each)(folder.unwrap_or(at), entry)
    }

    fn disorder(&self) -> Error {
        let error = Error::new(Kind::Protocol, self.what, "the names come in disorder");
        error.remedy(self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RemotePrint, Version};

    /// What a listing in this order is told as.
    fn ordered(names: &[&str]) -> Result<Vec<String>> {
        let mut told = Vec::new();
        let mut each = |path: &str, _: Entry| {
            told.push(path.to_owned());
            Ok(())
        };
        let mut order = Order::new("listing", "sort them", &mut each);
        let file = Entry::file(RemotePrint::file(1, Version::new("v"), None), None);
        for name in names {
            order.meet(name, (*name).to_owned(), file.clone())?;
        }
        order.end()?;
        Ok(told)
    }

    #[test]
    fn any_listing_by_units_of_utf_16_or_bytes_is_told_by_bytes() {
        let letters = ['-', 'a', '\u{e9}', '\u{d7ff}', '\u{e000}', '\u{ff01}', '\u{1f600}', '/'];
        // Every name of up to four of these characters that is a path.
        let mut names: Vec<String> = vec![String::new()];
        for _ in 0..4 {
            let longer = |name: &String| letters.map(|letter| format!("{name}{letter}"));
            names.extend(names.clone().iter().flat_map(longer));
        }
        names.retain(|name| is_path(name));
        names.sort();
        names.dedup();
        let mut by_units = names.clone();
        by_units.sort_by_key(|name| name.encode_utf16().collect::<Vec<_>>());
        assert_ne!(by_units, names);
        for listed in [&names, &by_units] {
            let listed: Vec<_> = listed.iter().map(String::as_str).collect();
            assert_eq!(ordered(&listed).unwrap(), names);
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let many: Vec<_> = (0..3 * MOST_HELD).map(|n| format!("\u{1f600}/{n:06}")).collect();
        let mut listed: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(ordered(&listed).unwrap(), many);
        // Nothing that was told too early goes unnoticed.
        listed.push("\u{ff01}");
        assert_eq!(ordered(&listed).unwrap_err().kind(), Kind::Protocol);
        // As where what is in a folder comes right after it.
        let error = ordered(&["a/b", "a.txt"]).unwrap_err();
        assert!(error.advice().contains("sort them"), "{error}");
    }
}
