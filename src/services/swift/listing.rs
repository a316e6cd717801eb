//! Listings, a page at a time, and what they leave out.

use super::request::Ask;
use super::{Item, Large, Store, md5_of, not_swift};
use crate::error::Result;
use crate::hash::Hash;
use crate::model::{RemotePrint, Version};
use crate::remote::Entry;
use crate::services::order::Order;
use crate::services::parts::lock;
use serde::Deserialize;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Content type of an object that stands for a folder, by whatever name.
pub(super) const FOLDER: &str = "application/directory";
/// Content type that Mooring gives a file without bytes. A dynamic large object looks like one in a
/// listing, and this tells them apart without a look at each.
pub(super) const EMPTY: &str = "application/x-empty";
/// Most objects that are remembered to be empty.
const MOST_EMPTY: usize = 4096;
/// The MD5 of nothing.
const OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";
/// What to do about names that come in disorder.
const DISORDER: &str = "check that the address is that of an identity service of OpenStack";

/// A row of a listing, as it is told.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    /// What stands for all that is in a folder.
    subdir: Option<String>,
    name: String,
    hash: String,
    bytes: u64,
    content_type: String,
    last_modified: String,
    /// ETag of a static large object; the hash is that of its manifest.
    slo_etag: Option<String>,
}

/// The same as long as a page is in memory.
#[derive(Deserialize)]
#[serde(from = "Told")]
pub(super) struct Row {
    /// Name of an object, or with a slash at its end that of a folder which a listing doesn't go into.
    pub key: String,
    pub size: u64,
    pub version: Version,
    /// Of its name and the time of its last change.
    fingerprint: u64,
    pub is_static: bool,
    is_folder: bool,
    is_empty: bool,
}

impl From<Told> for Row {
    fn from(told: Told) -> Self {
        let Told { subdir, name, hash, bytes, content_type, last_modified, slo_etag } = told;
        let mut hasher = DefaultHasher::new();
        (&name, last_modified).hash(&mut hasher);
        Row {
            size: bytes,
            version: Version::from_etag(slo_etag.as_ref().unwrap_or(&hash)),
            fingerprint: hasher.finish(),
            is_static: slo_etag.is_some(),
            is_folder: subdir.is_some() || is_folder(&content_type, bytes),
            is_empty: content_type == EMPTY,
            key: subdir.unwrap_or(name),
        }
    }
}

impl Row {
    fn entry(&self) -> Entry {
        // Ceph tells the MD5 of nothing for every large object.
        let is_content = !self.is_static && (self.size == 0 || self.version.as_str() != OF_NOTHING);
        let hash = md5_of(&self.version).filter(|_| is_content).map(Hash::Md5);
        Entry::file(RemotePrint::file(self.size, self.version.clone(), None), hash)
    }
}

/// Whether an object of this content type and size stands for a folder. Bytes are left alone,
/// whatever the type says.
pub(super) fn is_folder(content_type: &str, size: u64) -> bool {
    size == 0 && content_type.split(';').next() == Some(FOLDER)
}

impl Store {
    /// One page of the names in a container that start with `prefix` and come after `after`; at most
    /// so many, or as many as the service tells at once. With `flat` it goes into folders.
    ///
    /// It is read to its end before anything is done with it, which may take longer than the service
    /// keeps a connection waiting.
    pub fn page(
        &self,
        what: &str,
        container: &str,
        prefix: &str,
        after: &str,
        most: Option<usize>,
        flat: bool,
    ) -> Result<Vec<Row>> {
        let most = most.map(|most| most.to_string());
        let mut query = vec![("format", "json"), ("prefix", prefix)];
        query.extend(most.as_ref().map(|most| ("limit", most.as_str())));
        query.extend(Some(("marker", after)).filter(|_| !after.is_empty()));
        query.extend(Some(("delimiter", "/")).filter(|_| !flat));
        let target = format!("/{container}");
        let ask = Ask::new("GET", &target).query(&query).header("accept", "application/json");
        let reply = self.send(what, &ask).map_err(|fault| self.of_container(fault, container))?;
        let rows: Vec<Row> = reply.json(what)?;
        let mut last = after;
        for row in &rows {
            // What is missing from a listing will be taken for removed.
            let versioned = row.is_folder || !row.version.is_empty();
            if !row.key.starts_with(prefix) || row.key.is_empty() || !versioned {
                let cause = format!("the listing tells nonsense of '{}'", row.key);
                return Err(not_swift(what, cause));
            }
            if *row.key <= *last {
                return Err(not_swift(what, "the names come in disorder"));
            }
            last = &row.key;
        }
        Ok(rows)
    }

    /// The pages of such a listing of the container with the files. Some services tell short pages, so
    /// only an empty one is the end.
    fn pages(
        &self,
        what: &str,
        prefix: &str,
        flat: bool,
        each: &mut dyn FnMut(&[Row]) -> Result<()>,
    ) -> Result<()> {
        let mut after = String::new();
        loop {
            let rows = self.page(what, &self.container, prefix, &after, None, flat)?;
            let Some(last) = rows.last() else { return Ok(()) };
            each(&rows)?;
            after.clone_from(&last.key);
        }
    }

    /// Tells what is in a folder by its path in there: everything below it with `flat`, else what is
    /// right in it.
    pub fn walk(
        &self,
        folder: &str,
        flat: bool,
        each: &mut dyn FnMut(&str, Entry) -> Result<()>,
    ) -> Result<()> {
        let what = format!("listing {}", if folder.is_empty() { &self.container } else { folder });
        let prefix = self.folder_key(folder);
        let mut order = Order::new(&what, DISORDER, each);
        self.pages(&what, &prefix, flat, &mut |rows| {
            for row in rows {
                let name = &row.key[prefix.len()..];
                if row.key.ends_with('/') {
                    order.meet(name, name.to_owned(), Entry::folder(""))?;
                } else if row.is_folder {
                    order.meet(name, format!("{name}/"), Entry::folder(""))?;
                } else if let Some(entry) = self.listed(&what, row)? {
                    order.meet(name, name.to_owned(), entry)?;
                }
            }
            Ok(())
        })?;
        order.end()
    }

    /// The file that a row tells of. One without bytes may be a dynamic large object, which only a
    /// look at it tells.
    fn listed(&self, what: &str, row: &Row) -> Result<Option<Entry>> {
        let is_known = row.size > 0 || row.is_empty || lock(&self.empty).contains(&row.fingerprint);
        if is_known {
            return Ok(Some(row.entry()));
        }
        let item = self.head(what, &row.key)?;
        if matches!(&item, Some(Item { size: 0, large: Large::No, .. })) {
            let mut empty = lock(&self.empty);
            if empty.len() < MOST_EMPTY {
                empty.insert(row.fingerprint);
            }
        }
        Ok(item.filter(|item| !item.is_folder).map(|item| item.entry()))
    }
}
