//! Writing files that are one object.

use super::listing::EMPTY;
use super::request::Ask;
use super::{Item, Store, seconds};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::hash::Hash;
use crate::model::{Nanos, RemotePrint, Version, to_hex};
use crate::remote::conditions::{Support, check};
use crate::remote::{Entry, Expect};
use crate::services::fault::{Fault, Look};
use crate::services::parts::{Body, SMALL};

/// From this size on the service is asked whether the condition holds before the body is sent.
const LARGE: u64 = super::MIB;

impl<'a> Ask<'a> {
    /// The service compares what arrives with the sum, so it is what was hashed.
    pub fn body(self, body: &Body<'a>) -> Self {
        self.payload(body.payload).header("etag", to_hex(&body.md5))
    }
}

impl Store {
    /// Writes a file in one request, only over what is expected to be there.
    pub fn write_small(
        &self,
        what: &str,
        key: &str,
        content: &dyn Content,
        mtime: Nanos,
        expect: Expect<'_>,
    ) -> Result<Entry> {
        let mut buffer = Vec::new();
        let body = Body::whole(content, &mut buffer)?;
        // A change from here on doesn't match the sum any more, and the service refuses it.
        content.unchanged()?;
        let found = match self.conditions.support(expect) {
            Support::Honoured => None,
            _ => self.head(what, key)?,
        };
        check(what, expect, found.as_ref().map(Item::entry).as_ref())?;
        let replaced = self.segments_of(what, key, found.as_ref())?;
        let entry = self.put(what, key, &body, mtime, expect)?;
        self.remove_replaced(what, key, replaced);
        Ok(entry)
    }

    fn put(
        &self,
        what: &str,
        key: &str,
        body: &Body<'_>,
        mtime: Nanos,
        expect: Expect<'_>,
    ) -> Result<Entry> {
        let support = self.conditions.support(expect);
        let condition = support != Support::Ignored;
        let look = || self.check(what, key, expect);
        let again = (support != Support::Honoured).then_some(&look as Look<'_>);
        // RACE: what another program writes between the look and this is overwritten where the
        // service doesn't check the condition.
        match self.put_once(what, key, body, mtime, condition, again) {
            Ok(entry) if support == Support::Unknown && body.length <= SMALL => {
                let look = || self.check(what, key, Expect::Version(&entry.print.version));
                // What is tried once to find out whether the condition counts is sent twice.
                match self.put_once(what, key, body, mtime, true, Some(&look)) {
                    Ok(_) => self.conditions.ignored(expect),
                    Err(fault) if fault.status == 412 && !fault.again => {
                        self.conditions.honoured(expect);
                    }
                    // The next write asks again.
                    Err(fault) => {
                        tracing::debug!(what, reason = fault.error.reason(), "nothing learnt");
                    }
                }
                Ok(entry)
            }
            Ok(entry) => Ok(entry),
            Err(fault) if (condition || fault.again) && fault.status == 412 => {
                let sent = Version::new(to_hex(&body.md5));
                let ours = RemotePrint::file(body.length, sent, Some(mtime));
                self.refused(what, key, fault, &ours, expect)
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// What it means that a condition doesn't hold of what is there. The reply to a first attempt may
    /// have been lost, so that may be ours.
    pub fn refused(
        &self,
        what: &str,
        key: &str,
        fault: Fault,
        ours: &RemotePrint,
        expect: Expect<'_>,
    ) -> Result<Entry> {
        let found = self.head(what, key)?.map(|item| item.entry());
        if let Some(found) = &found
            && fault.again
            && found.print == *ours
        {
            return Ok(found.clone());
        }
        check(what, expect, found.as_ref())?;
        // It is again what is expected.
        Err(fault.error)
    }

    /// With the condition, only a new file.
    fn put_once(
        &self,
        what: &str,
        key: &str,
        body: &Body<'_>,
        mtime: Nanos,
        condition: bool,
        again: Option<Look<'_>>,
    ) -> Result<Entry, Fault> {
        let target = self.target(key);
        let mut ask = Ask::new("PUT", &target)
            .body(body)
            .again(again)
            .header("x-object-meta-mtime", seconds::format(mtime));
        // Otherwise the service goes by the name.
        if body.length == 0 {
            ask = ask.header("content-type", EMPTY);
        }
        if condition {
            ask = ask.header("if-none-match", "*");
        }
        if body.length >= LARGE {
            ask = ask.header("expect", "100-continue");
        }
        let reply = self.send(what, &ask).map_err(|it| self.of_container(it, &self.container))?;
        let version = reply.header("etag").map(Version::from_etag).unwrap_or_default();
        reply.drain();
        if version.as_str() != to_hex(&body.md5) {
            let cause = "the service stored something else than was sent";
            return Err(Error::new(Kind::Integrity, what, cause).into());
        }
        let print = RemotePrint::file(body.length, version, Some(mtime));
        Ok(Entry::file(print, Some(Hash::Md5(body.md5))))
    }
}
