//! Copying and removing.

use super::super::fault::{Fault, Look};
use super::request::{Ask, Told, is_unsupported};
use super::xml::not_s3;
use super::{MAX_KEYS, Store};
use crate::error::{Error, Kind, Result};
use crate::http::sigv4::encode_path;
use crate::model::Version;
use crate::remote::conditions::check;
use crate::remote::{Entry, Expect};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use quick_xml::escape::escape;
use std::collections::HashMap;

impl Store {
    pub fn copy_key(&self, what: &str, from: &str, to: &str, version: &Version) -> Result<Entry> {
        let source = self.head(what, from)?;
        let Some(source) = source else {
            return Err(Error::new(Kind::NotFound, what, "it isn't there any more"));
        };
        check(what, Expect::Version(version), Some(&source))?;
        let most = self.dialect.max_copy;
        if source.print.size > most {
            let cause = format!("the service copies up to {most} bytes at once");
            return Err(Error::new(Kind::TooLarge, what, cause));
        }
        // RACE: what another program puts there before the copy arrives is overwritten.
        let look = || self.check(what, to, Expect::Absent);
        look()?;
        let names = &self.dialect.names;
        let mut ask = Ask::new("PUT", to).header(names.source, self.source(from)).bytes(&[]);
        ask.headers.extend(names.source_match.map(|name| (name, self.quoted(version))));
        ask.headers.extend(self.kept_as.iter().cloned());
        let (mut told, mut taken) = (Version::default(), None);
        match self.send(what, &ask.patient().again(Some(&look))) {
            Ok(reply) => self.document(what, reply, "CopyObject", &mut |path, text| {
                if path == "ETag" {
                    told = self.version(&text);
                }
                Ok(())
            })?,
            // The reply to a first attempt may have been lost, so this may be ours.
            Err(fault) if fault.again && fault.status == 412 => taken = Some(fault.error),
            Err(fault) => return Err(fault.into()),
        }
        let gone = || Error::new(Kind::Changed, what, "the copy is gone right after it was made");
        let copied = self.head(what, to)?.ok_or_else(gone)?;
        // Another may have been faster than this look.
        let is_told = copied.print.version == told;
        let is_of_time = copied.print.mtime.is_some() && copied.print.mtime == source.print.mtime;
        // Some services (Ceph 16, moto) ignore the condition on the source, and JD has none.
        let is_same = match (&source.hash, &copied.hash) {
            (Some(source), Some(copied)) => source == copied,
            _ if !is_told && !is_of_time => false,
            _ => self.head(what, from)?.is_some_and(|now| now.print.same(&source.print)),
        };
        if copied.print.size != source.print.size || !is_same {
            if is_told {
                self.remove_file(what, to, &told)?;
            }
            let changed = || Error::new(Kind::Changed, what, "it was changed in the meantime");
            return Err(taken.unwrap_or_else(changed));
        }
        Ok(copied)
    }

    /// The source of a copy, as the service wants it told.
    pub fn source(&self, key: &str) -> String {
        if self.dialect.source_by_host {
            format!("{}.{}{}", self.bucket, self.host(), encode_path(&format!("/{key}")))
        } else {
            encode_path(&format!("/{}/{key}", self.bucket))
        }
    }

    /// Removes a key; with a version, only that one where the service checks it.
    pub fn delete(&self, what: &str, key: &str, version: Option<&Version>) -> Result<()> {
        self.delete_if(what, key, version, self.dialect.if_match)
    }

    /// The same, where `asks` says whether the service is asked to check the version.
    fn delete_if(
        &self,
        what: &str,
        key: &str,
        version: Option<&Version>,
        asks: bool,
    ) -> Result<()> {
        let look = || match version.zip(self.head(what, key)?) {
            Some((version, found)) => check(what, Expect::Version(version), Some(&found)),
            None => Ok(()),
        };
        let mut ask = Ask::new("DELETE", key).again(version.map(|_| &look as Look<'_>));
        let asked = version.filter(|_| asks);
        ask.headers.extend(asked.map(|version| ("if-match", self.quoted(version))));
        match (self.send(what, &ask), version) {
            (Ok(reply), _) => {
                reply.drain();
                Ok(())
            }
            (Err(fault), _) if &*fault.code == "NoSuchKey" => Ok(()),
            (Err(fault), Some(version)) if fault.status == 412 || is_unsupported(&fault) => {
                // Either it was changed, or the service refuses the condition although it holds.
                match self.head(what, key)? {
                    None => Ok(()),
                    found => {
                        check(what, Expect::Version(version), found.as_ref())?;
                        if asks {
                            self.delete_if(what, key, Some(version), false)
                        } else {
                            Err(fault.into())
                        }
                    }
                }
            }
            (Err(fault), _) => Err(fault.into()),
        }
    }

    pub fn remove_file(&self, what: &str, key: &str, version: &Version) -> Result<()> {
        match self.head(what, key)? {
            None => Ok(()),
            found => {
                check(what, Expect::Version(version), found.as_ref())?;
                // RACE: where If-Match is ignored, what is written before this arrives is lost.
                self.delete(what, key, Some(version))
            }
        }
    }

    /// Removes the marker of a folder if nothing else is in it. One that holds something is no
    /// marker.
    pub fn remove_folder(&self, what: &str, key: &str) -> Result<()> {
        let found = self.first(what, key, 2)?;
        if found.iter().any(|item| item.key != key || item.size > 0) {
            return Err(Error::new(Kind::Exists, what, "the folder isn't empty"));
        }
        if found.is_empty() { Ok(()) } else { self.delete(what, key, None) }
    }

    /// Removes files in one request after a look at all of them. `batch` is in order.
    pub fn remove_batch(
        &self,
        batch: &[(usize, String, &Version)],
        done: &mut dyn FnMut(usize, Result<()>),
    ) {
        let what = format!("removing {} and others", &batch[0].1[self.root.len()..]);
        let found = match self.versions(&what, batch) {
            Ok(found) => found,
            Err(error) => {
                batch.iter().for_each(|(index, ..)| done(*index, Err(error.clone())));
                return;
            }
        };
        let mut xml = format!("<Delete{}>", self.dialect.namespace);
        let mut asked = Vec::new();
        for ((index, key, version), found) in batch.iter().zip(found) {
            let what = format!("removing {}", &key[self.root.len()..]);
            match found {
                None => done(*index, Ok(())),
                Some(found) if found != **version => {
                    let cause = "it was changed in the meantime";
                    done(*index, Err(Error::new(Kind::Changed, what, cause)));
                }
                // XML can't say these.
                _ if key
                    .contains(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) =>
                {
                    done(*index, self.remove_file(&what, key, version));
                }
                _ => {
                    xml.push_str(&format!("<Object><Key>{}</Key></Object>", escape(key.as_str())));
                    asked.push((*index, key, *version, what));
                }
            }
        }
        if asked.is_empty() {
            return;
        }
        xml.push_str("</Delete>");
        // RACE: what is written between the look and this is removed; there is no condition here.
        match self.delete_keys(&what, &xml) {
            Ok(mut told) => {
                for (index, key, _, what) in asked {
                    let silent = || Err(not_s3(&what, "the service doesn't say whether it did"));
                    done(index, told.remove(key).unwrap_or_else(silent));
                }
            }
            Err(fault) if is_unsupported(&fault) || fault.status == 412 => {
                for (index, key, version, what) in asked {
                    done(index, self.remove_file(&what, key, version));
                }
            }
            Err(fault) => asked.iter().for_each(|it| done(it.0, Err(fault.error.clone()))),
        }
    }

    fn delete_keys(&self, what: &str, xml: &str) -> Result<HashMap<String, Result<()>>, Fault> {
        let sum = BASE64.encode(Md5::digest(xml.as_bytes()));
        let ask = Ask::new("POST", "").query(&[("delete", "")]).bytes(xml.as_bytes());
        // After an attempt that failed, each is looked at by itself.
        let look = || Err(Error::new(Kind::Changed, what, "some may have been changed meanwhile"));
        let reply = self.send(what, &ask.header("content-md5", sum).again(Some(&look)))?;
        let mut told = HashMap::new();
        let (mut key, mut error) = (String::new(), Told::default());
        self.document(what, reply, "Delete", &mut |path, text| {
            match path {
                "Deleted/Key" | "Error/Key" => key = text,
                "Deleted" => {
                    told.insert(std::mem::take(&mut key), Ok(()));
                }
                "Error" => {
                    let what = format!("removing {}", key.get(self.root.len()..).unwrap_or(&key));
                    let error = std::mem::take(&mut error);
                    let result = match error.code.as_str() {
                        "NoSuchKey" => Ok(()),
                        _ => Err(self.explain(&what, 200, &error).error),
                    };
                    told.insert(std::mem::take(&mut key), result);
                }
                _ => {
                    if let Some(name) = path.strip_prefix("Error/") {
                        error.take(name, text);
                    }
                }
            }
            Ok(())
        })?;
        Ok(told)
    }

    /// The versions that these keys, which are in order, have now, with as few requests as can be:
    /// a look at the first, a listing from there on, and again where the listing ends.
    fn versions(
        &self,
        what: &str,
        batch: &[(usize, String, &Version)],
    ) -> Result<Vec<Option<Version>>> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Ok(Vec::new());
        };
        let prefix = common_prefix(&first.1, &last.1);
        let mut found = Vec::with_capacity(batch.len());
        let mut dense = true;
        while let Some((_, key, _)) = batch.get(found.len()) {
            found.push(self.head(what, key)?.map(|entry| entry.print.version));
            if !dense || found.len() == batch.len() {
                continue;
            }
            let page = self.page(what, prefix, key, "", MAX_KEYS)?;
            // An empty page that isn't the last tells of no key after the one that was looked at.
            let last = page.items.last().map_or(key, |item| &item.key);
            let end = (page.truncated == Some(true)).then(|| last.clone());
            let (before, mut items) = (found.len(), page.items.into_iter().peekable());
            while let Some((_, key, _)) = batch.get(found.len()) {
                if end.as_ref().is_some_and(|end| key > end) {
                    break;
                }
                while items.next_if(|item| item.key < *key).is_some() {}
                found.push(items.next_if(|item| item.key == *key).map(|item| item.version));
            }
            // Where others' keys lie between, single looks are cheaper.
            dense = found.len() - before >= 2;
        }
        Ok(found)
    }
}

fn common_prefix<'a>(first: &'a str, last: &str) -> &'a str {
    let same = first.char_indices().zip(last.chars()).find(|((_, a), b)| a != b);
    &first[..same.map_or(first.len().min(last.len()), |((at, _), _)| at)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_between_characters() {
        for (first, last, prefix) in [
            ("a/b", "a/c", "a/"),
            ("a", "ab", "a"),
            ("é", "è", ""),
            ("x", "y", ""),
            ("a", "a", "a"),
        ] {
            assert_eq!(common_prefix(first, last), prefix);
        }
    }
}
