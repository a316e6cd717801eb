//! Copying and removing.

use super::large::Segment;
use super::request::{Ask, Bulk};
use super::{Item, Large, Store, not_swift, quoted};
use crate::error::{Error, Kind, Result};
use crate::http::Payload;
use crate::http::sigv4::encode_path;
use crate::model::Version;
use crate::remote::conditions::check;
use crate::remote::{Entry, Expect};
use crate::services::fault::Look;
use percent_encoding::percent_decode_str;
use std::collections::HashMap;

/// Most files that are looked at before all of them are removed: the longer it takes, the more can
/// come in between.
const MOST_LOOKS: usize = 100;

/// A file that is as it was planned to be removed.
struct Doomed<'a> {
    index: usize,
    key: &'a str,
    version: &'a Version,
    what: String,
}

impl Store {
    pub fn copy_object(
        &self,
        what: &str,
        from: &str,
        to: &str,
        version: &Version,
    ) -> Result<Entry> {
        let source = self.file(what, from)?;
        let gone = || Error::new(Kind::NotFound, what, "it isn't there any more");
        let source = source.ok_or_else(gone)?;
        let entry = source.entry();
        check(what, Expect::Version(version), Some(&entry))?;
        // RACE: what another program puts there before the copy arrives is overwritten.
        let look = || self.check(what, to, Expect::Absent);
        look()?;
        let info = self.info(what)?;
        let most = info.slo.as_ref().map_or(0, |slo| slo.max_manifest_segments);
        let segments = self.segments(what, from, &source)?;
        if (1..=most).contains(&(segments.len() as u64))
            && segments.iter().all(|it| it.block().is_some())
        {
            self.copy_segments(what, to, &entry, &segments)?;
            return Ok(entry);
        }
        // Of one that is large otherwise, this makes a plain object.
        let most = info.max_object();
        if entry.print.size > most {
            let cause = format!("the service copies up to {most} bytes at once");
            return Err(Error::new(Kind::TooLarge, what, cause));
        }
        let (place, target) = (self.target(from), self.target(to));
        let ask = Ask::copy(&place, &quoted(version), &target).again(Some(&look));
        let (mut told, mut taken) = (None, None);
        match self.send(what, &ask) {
            Ok(reply) => {
                told = reply.header("etag").map(Version::from_etag);
                reply.drain();
            }
            // The reply to a first attempt may have been lost, so this may be ours.
            Err(fault) if fault.again && fault.status == 412 => taken = Some(fault.error),
            Err(fault) => return Err(fault.into()),
        }
        let gone = || Error::new(Kind::Changed, what, "the copy is gone right after it was made");
        let copied = self.file(what, to)?.ok_or_else(gone)?.entry();
        // Another may have been faster than this look; and a plain object has the version of its source.
        let is_told = told.as_ref() == Some(&copied.print.version);
        let is_same = match source.large {
            Large::No => copied.print.version == *version,
            _ => is_told,
        };
        if !is_same || copied.print.size != entry.print.size {
            if is_told {
                self.remove_file(what, to, &copied.print.version)?;
            }
            let changed = || Error::new(Kind::Changed, what, "it was changed in the meantime");
            return Err(taken.unwrap_or_else(changed));
        }
        Ok(copied)
    }

    /// Removes a file if it is of this version.
    pub fn remove_file(&self, what: &str, key: &str, version: &Version) -> Result<()> {
        match self.look_before(what, key, version)? {
            Some(segments) => self.remove_looked_at(what, key, version, segments),
            None => Ok(()),
        }
    }

    /// Removes a file that was just found to be of this version and to have these segments.
    fn remove_looked_at(
        &self,
        what: &str,
        key: &str,
        version: &Version,
        segments: Vec<Segment>,
    ) -> Result<()> {
        let look = || self.of_version(what, key, version).map(drop);
        // RACE: what is written between the look and this is lost; there is no condition here.
        self.delete(what, &self.target(key), Some(&look))?;
        self.remove_replaced(what, key, segments);
        Ok(())
    }

    /// The file if it is of this version; `None` when it is gone.
    fn of_version(&self, what: &str, key: &str, version: &Version) -> Result<Option<Item>> {
        let found = self.file(what, key)?;
        if let Some(item) = &found {
            check(what, Expect::Version(version), Some(&item.entry()))?;
        }
        Ok(found)
    }

    /// The segments of a file of this version; `None` when it is gone.
    fn look_before(
        &self,
        what: &str,
        key: &str,
        version: &Version,
    ) -> Result<Option<Vec<Segment>>> {
        match self.of_version(what, key, version)? {
            None => Ok(None),
            found => self.segments_of(what, key, found.as_ref()).map(Some),
        }
    }

    /// Removes files, those without segments by few requests.
    pub fn remove_files(
        &self,
        files: &[(usize, String, &Version)],
        done: &mut dyn FnMut(usize, Result<()>),
    ) {
        for batch in files.chunks(MOST_LOOKS) {
            let mut doomed = Vec::new();
            for (index, key, version) in batch {
                let (index, what) = (*index, format!("removing {}", &key[self.root.len()..]));
                match self.look_before(&what, key, version) {
                    Ok(None) => done(index, Ok(())),
                    Ok(Some(segments)) if segments.is_empty() => {
                        doomed.push(Doomed { index, key, version, what });
                    }
                    Ok(Some(segments)) => {
                        done(index, self.remove_looked_at(&what, key, version, segments));
                    }
                    Err(error) => done(index, Err(error)),
                }
            }
            // RACE: what is written between the looks and this is lost; there is no condition here.
            let targets: Vec<_> = doomed.iter().map(|it| self.target(it.key)).collect();
            let whats: Vec<_> = doomed.iter().map(|it| it.what.as_str()).collect();
            // After an attempt that failed, each is looked at by itself.
            let changed = "some may have been changed meanwhile";
            let look = || Err(Error::new(Kind::Changed, "removing files", changed));
            let results = self.delete_all(&whats, &targets, Some(&look));
            for (Doomed { index, key, version, what }, result) in doomed.iter().zip(results) {
                let result = match result {
                    Err(error) if error.kind() == Kind::Changed => {
                        self.remove_file(what, key, version)
                    }
                    result => result,
                };
                done(*index, result);
            }
        }
    }

    /// Removes the markers of a folder, of whichever style, if nothing else is in it.
    pub fn remove_folder(&self, what: &str, key: &str) -> Result<()> {
        let found = self.page(what, &self.container, key, "", Some(2), true)?;
        // What holds something is no marker.
        if found.iter().any(|row| row.key != key || row.size > 0) {
            return Err(Error::new(Kind::Exists, what, "the folder isn't empty"));
        }
        if !found.is_empty() {
            self.delete(what, &self.target(key), None)?;
        }
        let bare = key.trim_end_matches('/');
        match self.head(what, bare)? {
            Some(item) if item.is_folder && item.size == 0 => {
                self.delete(what, &self.target(bare), None)
            }
            _ => Ok(()),
        }
    }

    /// Removes objects that nobody else has.
    pub fn remove_all(&self, what: &str, targets: &[String]) -> Result<()> {
        let whats = vec![what; targets.len().min(MOST_LOOKS)];
        for batch in targets.chunks(MOST_LOOKS) {
            let results = self.delete_all(&whats[..batch.len()], batch, None);
            results.into_iter().collect::<Result<()>>()?;
        }
        Ok(())
    }

    /// Removes objects, as many in one request as the service can; tells what came of each. Those
    /// that are gone are removed.
    fn delete_all(
        &self,
        whats: &[&str],
        targets: &[String],
        again: Option<Look<'_>>,
    ) -> Vec<Result<()>> {
        let most = match (targets, whats) {
            ([_, _, ..], [what, ..]) => match self.info(what) {
                Ok(info) => info.bulk_delete.as_ref().map_or(1, |it| it.max_deletes_per_request),
                Err(error) => return targets.iter().map(|_| Err(error.clone())).collect(),
            },
            _ => 1,
        };
        if most < 2 {
            let each = whats.iter().zip(targets);
            return each.map(|(what, target)| self.delete(what, target, again)).collect();
        }
        let batches = whats.chunks(most).zip(targets.chunks(most));
        batches.flat_map(|(whats, targets)| self.delete_batch(whats, targets, again)).collect()
    }

    fn delete_batch(
        &self,
        whats: &[&str],
        targets: &[String],
        again: Option<Look<'_>>,
    ) -> Vec<Result<()>> {
        let what = format!("{} and others", whats.first().copied().unwrap_or_default());
        let told = match self.bulk_delete(&what, targets, again) {
            Ok(told) => told,
            Err(error) => return targets.iter().map(|_| Err(error.clone())).collect(),
        };
        let result = |(what, target): (&&str, &String)| match told.get(target) {
            None => Ok(()),
            Some(status) => Err(self.explain(what, *status, true, "").error),
        };
        whats.iter().zip(targets).map(result).collect()
    }

    /// The statuses of what wasn't removed.
    fn bulk_delete(
        &self,
        what: &str,
        targets: &[String],
        again: Option<Look<'_>>,
    ) -> Result<HashMap<String, u16>> {
        let lines: String = targets.iter().map(|it| encode_path(it) + "\n").collect();
        let ask = Ask::new("POST", "")
            .query(&[("bulk-delete", "")])
            .header("content-type", "text/plain")
            .header("accept", "application/json")
            .payload(Payload::Bytes(lines.as_bytes()))
            .again(again);
        let Bulk { status, deleted, not_found, errors } = self.send(what, &ask)?.json(what)?;
        let code = |text: &str| text.split(' ').next().and_then(|code| code.parse::<u16>().ok());
        let mut told = HashMap::new();
        for (name, status) in errors {
            let name = percent_decode_str(&name).decode_utf8_lossy().into_owned();
            let status = code(&status).ok_or_else(|| not_swift(what, "it tells no status"))?;
            told.insert(name, status);
        }
        let count = told.len().saturating_add(deleted).saturating_add(not_found);
        let is_all = count == targets.len() && told.keys().all(|it| targets.contains(it));
        match code(&status) {
            // Told one by one; what isn't was removed.
            Some(200) | Some(400) if is_all => Ok(told),
            Some(200) => Err(not_swift(what, "the reply doesn't tell what came of each")),
            Some(status) => Err(self.explain(what, status, true, "").error),
            None => Err(not_swift(what, "the reply tells no status")),
        }
    }

    fn delete(&self, what: &str, target: &str, again: Option<Look<'_>>) -> Result<()> {
        match self.send(what, &Ask::new("DELETE", target).again(again)) {
            Ok(reply) => reply.drain(),
            Err(fault) if fault.error.kind() == Kind::NotFound => {}
            Err(fault) => return Err(fault.into()),
        }
        Ok(())
    }
}
