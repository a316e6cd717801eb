//! How a twin takes files: whole, or in parts that survive a restart.

use super::abilities::PART;
use super::account::Account;
use super::{At, Twin, gone};
use mooring::content::Content;
use mooring::error::{Error, Kind, Result};
use mooring::model::{ItemKind, Nanos, split_path};
use mooring::remote::conditions::check;
use mooring::remote::{Expect, Place, Resume, Written};

impl Twin {
    pub(super) fn upload(
        &self,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
        resume: &dyn Resume,
    ) -> Result<Written> {
        let what = &format!("uploading {}", place.path);
        let abilities = self.abilities();
        if abilities.largest.is_some_and(|most| content.size() > most) {
            return Err(Error::new(Kind::TooLarge, what, "the service takes no file of this size"));
        }
        let replaced = expected(&self.lock(), what, place, expect)?;
        if abilities.parts && content.size() > PART {
            return self.in_parts(what, place, content, mtime, (expect, replaced), resume);
        }
        let mut bytes = Vec::new();
        let sent = self.send(place.path, content, &mut bytes);
        match sent {
            Err(_) if abilities.keeps_cut && !bytes.is_empty() => {
                self.lock().aftermath.cut.push(bytes.as_slice().into());
                // What it can't put there either, it drops.
                let _ = self.store(what, place, &bytes, mtime, (expect, replaced));
            }
            _ => {}
        }
        sent?;
        self.store(what, place, &bytes, mtime, (expect, replaced))
    }

    /// Reads a content in pieces, as the service gets it.
    fn send(&self, path: &str, content: &dyn Content, bytes: &mut Vec<u8>) -> Result<()> {
        loop {
            let at = bytes.len() as u64;
            self.point("write", path, At::Within(at))?;
            if at == content.size() {
                return if at == 0 { content.unchanged() } else { Ok(()) };
            }
            bytes.extend(self.piece(content, at)?);
        }
    }

    /// The next bytes of a content, no more than a part; the last ones only if it is unchanged.
    fn piece(&self, content: &dyn Content, from: u64) -> Result<Vec<u8>> {
        let mut piece = vec![0; PART.min(content.size() - from) as usize];
        let mut filled = 0;
        while filled < piece.len() {
            let count = content.read_at(&mut piece[filled..], from + filled as u64)?;
            if count == 0 {
                return Err(Error::new(Kind::Changed, "the file", "it became shorter"));
            }
            filled += count;
        }
        if from + piece.len() as u64 == content.size() {
            content.unchanged()?;
        }
        Ok(piece)
    }

    fn in_parts(
        &self,
        what: &str,
        place: Place<'_>,
        content: &dyn Content,
        mtime: Nanos,
        target: (Expect<'_>, Option<u64>),
        resume: &dyn Resume,
    ) -> Result<Written> {
        let size = content.size();
        let noted = resume.load();
        let known = noted.and_then(|note| self.lock().session(&note, place, size, mtime));
        let number = match known {
            Some(number) => number,
            None => {
                self.log("begin", place.path);
                let number = self.lock().begin(place, size, mtime);
                resume.save(format!("session {number}").as_bytes())?;
                number
            }
        };
        let sent = self.send_parts(place.path, content, number);
        let stored = sent.and_then(|bytes| self.store(what, place, &bytes, mtime, target));
        let goes_on = [Kind::Offline, Kind::Busy, Kind::Cancelled, Kind::SignIn, Kind::Untrusted];
        if stored.as_ref().err().is_none_or(|error| !goes_on.contains(&error.kind())) {
            self.lock().sessions.remove(&number);
        }
        stored
    }

    /// Sends what has not arrived yet and tells all that has.
    fn send_parts(&self, path: &str, content: &dyn Content, number: u64) -> Result<Vec<u8>> {
        let lost = || Error::new(Kind::Busy, "the upload", "the service doesn't know it any more");
        let arrived = |number| self.lock().sessions.get(&number).map(|it| it.bytes.clone());
        let earlier = arrived(number).ok_or_else(lost)?;
        let mut at = earlier.len() as u64;
        loop {
            self.point("write", path, At::Within(at))?;
            if at == content.size() {
                break;
            }
            self.log("part", &format!("{path} {at}"));
            let piece = self.piece(content, at)?;
            at += piece.len() as u64;
            let mut account = self.lock();
            account.sessions.get_mut(&number).ok_or_else(lost)?.bytes.extend(piece);
        }
        // What an earlier attempt sent has to be of the same content.
        let mut checked = 0;
        while checked < earlier.len() {
            let piece = self.piece(content, checked as u64)?;
            if !earlier[checked..].starts_with(&piece) {
                return Err(Error::new(Kind::Integrity, path, "something else was sent earlier"));
            }
            checked += piece.len();
        }
        arrived(number).ok_or_else(lost)
    }

    /// Puts in place what has arrived.
    fn store(
        &self,
        what: &str,
        place: Place<'_>,
        bytes: &[u8],
        mtime: Nanos,
        (expect, replaced): (Expect<'_>, Option<u64>),
    ) -> Result<Written> {
        let mut account = self.lock();
        let conditional = account.abilities.conditional;
        let target = if conditional { expected(&account, what, place, expect)? } else { replaced };
        account.has_room(what, bytes.len() as u64)?;
        let target = match (conditional || account.by_ids(), target) {
            (true, target) => target,
            // Whatever is there by now.
            (false, _) => account.seek(place, ItemKind::File),
        };
        let Some(id) = target else {
            let parent = account.parent_to_fill(place).ok_or_else(|| gone(what))?;
            let node = account.file(parent, split_path(place.path).1, bytes.into(), mtime);
            let id = account.add(node);
            return Ok(account.entry(id).ok_or_else(|| gone(what))?.into());
        };
        let found = account.entry(id).ok_or_else(|| gone(what))?;
        if found.kind == ItemKind::Folder {
            return Err(Error::new(Kind::Exists, what, "a folder is in its place"));
        }
        let overtaken = check(what, expect, Some(&found)).is_err();
        if overtaken {
            let old = account.tree.get(id).map(|node| node.bytes.clone());
            account.lose(old);
        }
        account.overwrite(id, bytes.into(), mtime);
        let overtook = overtaken && account.abilities.keeps_replaced;
        Ok(Written { overtook, ..account.entry(id).ok_or_else(|| gone(what))?.into() })
    }
}

/// The file that is to be replaced, if what is there is what is expected.
fn expected(
    account: &Account,
    what: &str,
    place: Place<'_>,
    expect: Expect<'_>,
) -> Result<Option<u64>> {
    if !account.implied() {
        account.parent(place).ok_or_else(|| gone(what))?;
    }
    if expect == Expect::Absent && account.abilities.descriptor.namesakes {
        return Ok(None);
    }
    let found = account.seek(place, ItemKind::File);
    if let (Expect::Absent, Some(found)) = (expect, found) {
        return Err(account.taken(what, found, split_path(place.path).1));
    }
    check(what, expect, found.and_then(|id| account.entry(id)).as_ref())?;
    Ok(found)
}
