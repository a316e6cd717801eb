//! Listings, a page at a time.

use super::request::Ask;
use super::xml::{not_s3, parse};
use super::{MAX_KEYS, Store, md5_of};
use crate::error::Result;
use crate::hash::Hash;
use crate::model::{ItemKind, RemotePrint, Version};
use crate::remote::{Entry, Special};
use percent_encoding::percent_decode_str;
use std::sync::atomic::Ordering::Relaxed;

/// Some of the keys of a bucket, in order.
#[derive(Default)]
pub(super) struct Page {
    pub items: Vec<Item>,
    /// Prefixes that end in `/`, where folders were asked for without what is in them.
    pub folders: Vec<String>,
    encoded: bool,
    pub truncated: Option<bool>,
    /// What the next page begins after: what the service calls it, or a key.
    pub token: String,
}

/// A key of a bucket.
#[derive(Default)]
pub(super) struct Item {
    pub key: String,
    pub size: u64,
    pub version: Version,
    /// What kind of object it is, where there are several.
    kind: String,
}

impl Store {
    /// One page of the keys that start with `prefix` and come after `after`, or after what
    /// `token` stands for.
    ///
    /// It is read to its end before anything is done with it: some services (MinIO) say only
    /// then how the keys are encoded, and what is done may take longer than they keep a
    /// connection waiting.
    pub fn page(
        &self,
        what: &str,
        prefix: &str,
        after: &str,
        token: &str,
        most: usize,
    ) -> Result<Page> {
        self.listed(what, prefix, after, token, most, &[])
    }

    /// The first keys that start with `prefix`, at least so many if there are. A page may be empty though it
    /// isn't the last.
    pub fn first(&self, what: &str, prefix: &str, least: usize) -> Result<Vec<Item>> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.page(what, prefix, "", &token, least)?;
            found.extend(page.items);
            if found.len() >= least || page.truncated != Some(true) {
                return Ok(found);
            }
            if page.token == token {
                return Err(not_s3(what, "the listing doesn't end"));
            }
            token = page.token;
        }
    }

    /// One page of the keys right below `prefix`, and of the folders there without what is in them.
    pub fn level(&self, what: &str, prefix: &str, token: &str) -> Result<Page> {
        self.listed(what, prefix, "", token, MAX_KEYS, &[("delimiter", "/")])
    }

    fn listed(
        &self,
        what: &str,
        prefix: &str,
        after: &str,
        token: &str,
        most: usize,
        more: &[(&str, &str)],
    ) -> Result<Page> {
        let by_marker = self.by_marker.load(Relaxed);
        let most = most.to_string();
        let mut query = vec![("encoding-type", "url"), ("max-keys", &most), ("prefix", prefix)];
        query.extend(more);
        let after = if token.is_empty() { after } else { token };
        if by_marker {
            query.extend(Some(("marker", after)).filter(|_| !after.is_empty()));
        } else {
            query.push(("list-type", "2"));
            let name = if token.is_empty() { "start-after" } else { "continuation-token" };
            query.extend(Some((name, after)).filter(|_| !after.is_empty()));
        }
        let reply = self.send(what, &Ask::new("GET", "").query(&query))?;
        let (mut page, mut item) = (Page::default(), Item::default());
        self.document(what, reply, "ListBucket", &mut |path, text| {
            page.take(self, what, &mut item, path, text)
        })?;
        page.finish(what, prefix)?;
        if page.encoded && self.dialect.encoded_tokens {
            let token = percent_decode_str(&page.token).decode_utf8();
            page.token = token.map_err(|error| not_s3(what, error))?.into_owned();
        }
        let last = page.items.last().map(|item| &item.key).max(page.folders.last());
        if let (Some(true), true, Some(last)) = (page.truncated, page.token.is_empty(), last) {
            // It may know only the first version of listings, which goes on after a key. One that
            // doesn't do that either tells the same page again, which is noticed.
            page.token = last.clone();
            self.by_marker.store(true, Relaxed);
        }
        if page.truncated == Some(true) && page.token.is_empty() {
            return Err(not_s3(what, "the listing goes on, but not where"));
        }
        Ok(page)
    }

    /// Whether ETags are MD5s is not in a listing; a look at one file tells.
    pub fn learn_etags(&self, what: &str, item: &Item) {
        if self.etags.load(Relaxed) == 0 && md5_of(&item.version).is_some() {
            // Without an answer the listing tells no MD5s, which is always right.
            let _ = self.head(what, &item.key);
        }
    }
}

impl Item {
    pub fn entry(&self, kind: ItemKind, md5s: bool) -> Entry {
        let print = match kind {
            ItemKind::File => RemotePrint::file(self.size, self.version.clone(), None),
            ItemKind::Folder => RemotePrint::default(),
        };
        let hash = md5_of(&print.version).filter(|_| md5s && is_plain(&self.kind)).map(Hash::Md5);
        Entry { kind, print, hash, special: special_of(&self.kind) }
    }
}

impl Page {
    /// Takes the value of an element of a listing.
    fn take(
        &mut self,
        store: &Store,
        what: &str,
        item: &mut Item,
        path: &str,
        text: String,
    ) -> Result<()> {
        match path {
            "Contents/Key" => item.key = text,
            "Contents/Size" => item.size = parse(what, &text)?,
            "Contents/ETag" => item.version = store.version(&text),
            "Contents/Type" => item.kind = text,
            "Contents" => self.items.push(std::mem::take(item)),
            "CommonPrefixes/Prefix" => self.folders.push(text),
            "EncodingType" => self.encoded = text == "url",
            "IsTruncated" => self.truncated = Some(parse(what, &text)?),
            "NextContinuationToken" => self.token = text,
            _ => {}
        }
        Ok(())
    }

    /// Decodes the keys and looks whether everything is as it has to be: whatever is missing
    /// from a listing will be taken for removed.
    fn finish(&mut self, what: &str, prefix: &str) -> Result<()> {
        if self.truncated.is_none() {
            return Err(not_s3(what, "the listing doesn't say whether it is whole"));
        }
        for item in &mut self.items {
            if self.encoded {
                item.key =
                    decode_key(&item.key).ok_or_else(|| not_s3(what, "a key isn't valid UTF-8"))?;
            }
            let versioned = item.key.ends_with('/') || !item.version.is_empty();
            if !item.key.starts_with(prefix) || item.key.is_empty() || !versioned {
                return Err(not_s3(what, format!("the listing tells nonsense of '{}'", item.key)));
            }
        }
        for folder in &mut self.folders {
            if self.encoded {
                *folder =
                    decode_key(folder).ok_or_else(|| not_s3(what, "a key isn't valid UTF-8"))?;
            }
            if !folder.starts_with(prefix) || !folder.ends_with('/') {
                return Err(not_s3(what, format!("the listing tells nonsense of '{folder}'")));
            }
        }
        if self.items.windows(2).any(|pair| pair[0].key >= pair[1].key) {
            return Err(not_s3(what, "the keys come in disorder"));
        }
        Ok(())
    }
}

/// Whether an object of this kind was written in one request.
pub(super) fn is_plain(kind: &str) -> bool {
    matches!(kind, "" | "Normal")
}

/// An object of this kind stands for another one.
pub(super) fn special_of(kind: &str) -> Option<Special> {
    (kind == "Symlink").then_some(Special::Shortcut)
}

/// Servers differ in what they encode, but all write a plus itself as `%2B` (tried on seven).
fn decode_key(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    Some(percent_decode_str(&text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_once() {
        for (text, key) in [
            ("a%2Fb+c%2B", "a/b c+"),
            ("a/b%20c", "a/b c"),
            ("%25%32%46", "%2F"),
            ("100%", "100%"),
            ("e%CC%81 %C3%A9", "e\u{301} \u{e9}"),
        ] {
            assert_eq!(decode_key(text).as_deref(), Some(key));
        }
        assert_eq!(decode_key("%ff"), None);
    }
}
