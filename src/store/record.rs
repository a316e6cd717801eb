//! What the state knows of one item: what both sides last agreed on, and what each side had when
//! it was last looked at.

use crate::error::{Error, Kind, Result};
use crate::model::{Fingerprint, ItemKind, LocalPrint, Nanos, RemotePrint, Side, Version};
use crate::rules::SkipReason;
use serde::{Deserialize, Serialize};

/// First byte of every stored record.
const FORMAT: u8 = 3;

/// One side of an item, told as its difference from what was agreed on. Most items are as agreed,
/// which costs a byte.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Facet<P> {
    /// As it was agreed on; absent where nothing ever was.
    AsSynced,
    /// Agreed on once, absent now.
    Gone,
    /// There, of the agreed size, but touched since: only its content can tell whether it changed.
    Suspect(P),
    /// There, and different from what was agreed on.
    Now(P),
}

/// What both sides last agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// The local side of the agreement.
    pub local: LocalPrint,
    /// The remote side of the agreement.
    pub remote: RemotePrint,
    /// Fingerprint of the content where it went through our hands.
    pub content: Option<Fingerprint>,
}

/// Why an item isn't synced, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skip {
    /// The rule that leaves it out.
    pub reason: SkipReason,
    /// When a look first told so.
    pub since: Nanos,
}

/// The three facets of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// A folder's node, under which its children are kept; 0 for a file.
    pub node: u64,
    /// The rule by which this item isn't synced.
    pub skip: Option<Skip>,
    /// What both sides last agreed on.
    pub synced: Option<Synced>,
    /// The local side.
    pub local: Facet<LocalPrint>,
    /// The remote side.
    pub remote: Facet<RemotePrint>,
}

impl Record {
    /// An item that nothing is known of yet; `node` is 0 for a file.
    pub fn new(node: u64) -> Self {
        Record { node, skip: None, synced: None, local: Facet::AsSynced, remote: Facet::AsSynced }
    }

    /// File or folder.
    pub fn kind(&self) -> ItemKind {
        if self.node == 0 { ItemKind::File } else { ItemKind::Folder }
    }

    /// The local side as it was last seen; `None` when absent.
    pub fn local_print(&self) -> Option<&LocalPrint> {
        seen(&self.local, self.synced.as_ref().map(|synced| &synced.local))
    }

    /// The remote side as it was last seen; `None` when absent.
    pub fn remote_print(&self) -> Option<&RemotePrint> {
        seen(&self.remote, self.synced.as_ref().map(|synced| &synced.remote))
    }

    /// What the service calls the item, or called it while it had it; empty where it has no such
    /// name.
    pub fn remote_id(&self) -> &str {
        let agreed = self.synced.as_ref().map(|synced| &synced.remote);
        self.remote_print().or(agreed).map_or("", |print| &print.id)
    }

    /// Whether the item was on this side when it was last looked at.
    pub fn is_on(&self, side: Side) -> bool {
        match side {
            Side::Local => self.local_print().is_some(),
            Side::Remote => self.remote_print().is_some(),
        }
    }

    /// Bytes of a file on the side where it has more, as far as that is known.
    pub fn most_bytes(&self) -> u64 {
        let local = self.local_print().map_or(0, |print| print.size);
        local.max(self.remote_print().and_then(RemotePrint::known_size).unwrap_or(0))
    }

    /// Whether the other one says the same of the remote side, and of whether the item is skipped.
    pub fn is_remotely(&self, other: &Record) -> bool {
        fn known(record: &Record) -> (&Facet<RemotePrint>, Option<&RemotePrint>, Option<&Skip>) {
            let agreed = record.synced.as_ref().map(|synced| &synced.remote);
            (&record.remote, agreed, record.skip.as_ref())
        }
        known(self) == known(other)
    }

    /// Whether there is nothing to plan.
    pub fn is_clean(&self) -> bool {
        let agreed = self.local == Facet::AsSynced && self.remote == Facet::AsSynced;
        self.skip.is_some() || agreed
    }

    /// Whether there is nothing to remember.
    pub fn is_void(&self) -> bool {
        self.synced.is_none() && !self.is_on(Side::Local) && !self.is_on(Side::Remote)
    }

    /// Takes over what a look at the disk told; `None` means absent. Tells whether that is news.
    pub fn see_local(&mut self, print: Option<LocalPrint>) -> bool {
        let agreed = self.synced.as_ref();
        let news = match print {
            None if agreed.is_some() => Facet::Gone,
            None => Facet::AsSynced,
            Some(print) if self.node != 0 => {
                // A folder's only state is its inode, by which a renamed one is known again.
                return match &mut self.synced {
                    Some(synced) => {
                        let news = synced.local != print || self.local != Facet::AsSynced;
                        synced.local = print;
                        self.local = Facet::AsSynced;
                        news
                    }
                    None => replace(&mut self.local, Facet::Now(print)),
                };
            }
            Some(print) if self.local == Facet::Now(print) => return false,
            Some(print) => match agreed {
                Some(synced) if synced.local == print => Facet::AsSynced,
                Some(synced) if synced.local.size == print.size && synced.content.is_some() => {
                    Facet::Suspect(print)
                }
                _ => Facet::Now(print),
            },
        };
        replace(&mut self.local, news)
    }

    /// Takes over what the service told; `None` means absent. Tells whether that is news.
    pub fn see_remote(&mut self, print: Option<RemotePrint>) -> bool {
        let news = match (print, &mut self.synced) {
            (None, Some(_)) => Facet::Gone,
            (None, None) => Facet::AsSynced,
            (Some(print), Some(synced)) if self.node != 0 => {
                let news = synced.remote != print || self.remote != Facet::AsSynced;
                synced.remote = print;
                self.remote = Facet::AsSynced;
                return news;
            }
            (Some(print), Some(synced)) if synced.remote.same(&print) => {
                let another = synced.remote.id != print.id;
                if another {
                    synced.remote.id = print.id;
                }
                return replace(&mut self.remote, Facet::AsSynced) || another;
            }
            (Some(print), _) => match &self.remote {
                // A listing that leaves out the time mustn't make us forget it.
                Facet::Now(known) if known.same(&print) && known.id == print.id => return false,
                _ => Facet::Now(print),
            },
        };
        replace(&mut self.remote, news)
    }

    /// Takes over which rule leaves the item out, by a look at this side at the time `now`. Tells
    /// whether that is news: the item then leaves the agreement, and both copies stay. The same
    /// rule keeps its time.
    pub fn see_skip(&mut self, rule: Option<SkipReason>, side: Side, now: Nanos) -> bool {
        let known = self.skip.as_ref().map(|skip| &skip.reason);
        // What one side says of an item's nature, a look at the other can't deny.
        let by_other = known.is_some_and(|reason| match side {
            Side::Local => reason.is_of_service() && self.is_on(Side::Remote),
            Side::Remote => reason.is_of_disk() && self.is_on(Side::Local),
        });
        if known == rule.as_ref() || by_other {
            return false;
        }
        self.forget_agreement();
        self.skip = rule.map(|reason| Skip { reason, since: now });
        true
    }

    /// Takes over that this side hasn't got the item. Tells whether that is news.
    pub fn see_absent(&mut self, side: Side) -> bool {
        match side {
            Side::Local => self.see_local(None),
            Side::Remote => self.see_remote(None),
        }
    }

    /// Takes over that this side hasn't got the item any more, nor what only it could say of it.
    /// Tells whether that is news.
    pub fn see_gone(&mut self, side: Side) -> bool {
        let news = self.see_absent(side);
        let freed = self.skip.as_ref().is_some_and(|skip| match side {
            Side::Local => skip.reason.is_of_disk(),
            Side::Remote => skip.reason.is_of_service(),
        });
        if freed {
            self.skip = None;
        }
        news || freed
    }

    /// Forgets up to which version all that is in a folder of the service is known. Tells whether
    /// that was known.
    pub fn forget_version(&mut self) -> bool {
        let agreed = self.synced.as_mut().map(|synced| &mut synced.remote);
        let seen = match &mut self.remote {
            Facet::Suspect(print) | Facet::Now(print) => Some(print),
            Facet::AsSynced | Facet::Gone => None,
        };
        let known = agreed.into_iter().chain(seen).filter(|print| !print.version.is_empty());
        // A file's version is what it was agreed on in.
        let known = known.filter(|_| self.node != 0);
        known.map(|print| print.version = Version::default()).count() > 0
    }

    /// Takes over that both sides agree.
    pub fn agree(&mut self, synced: Synced) {
        self.synced = Some(synced);
        self.local = Facet::AsSynced;
        self.remote = Facet::AsSynced;
    }

    /// Forgets the agreement but not what the sides have.
    pub fn forget_agreement(&mut self) {
        let local = self.local_print().copied();
        let remote = self.remote_print().cloned();
        self.synced = None;
        self.local = local.map_or(Facet::AsSynced, Facet::Now);
        self.remote = remote.map_or(Facet::AsSynced, Facet::Now);
    }

    /// The bytes to store.
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode(FORMAT, self)
    }

    /// A stored record.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        decode(FORMAT, bytes)
    }
}

/// The stored form of any row: a version byte, then postcard.
pub fn encode<T: Serialize>(format: u8, row: &T) -> Result<Vec<u8>> {
    postcard::to_extend(row, vec![format])
        .map_err(|error| Error::new(Kind::State, "writing the state", error))
}

/// A row from its stored form.
///
/// # Errors
/// `State` when it was written by another version or is damaged.
pub fn decode<'a, T: Deserialize<'a>>(format: u8, bytes: &'a [u8]) -> Result<T> {
    let damaged = |cause: String| Error::new(Kind::State, "reading the state", cause);
    match bytes.split_first() {
        Some((version, row)) if *version == format => {
            postcard::from_bytes(row).map_err(|error| damaged(error.to_string()))
        }
        Some((version, _)) => Err(damaged(format!("a row is of unknown version {version}"))),
        None => Err(damaged("a row is empty".into())),
    }
}

fn seen<'a, P>(facet: &'a Facet<P>, agreed: Option<&'a P>) -> Option<&'a P> {
    match facet {
        Facet::AsSynced => agreed,
        Facet::Gone => None,
        Facet::Suspect(print) | Facet::Now(print) => Some(print),
    }
}

fn replace<P: PartialEq>(facet: &mut Facet<P>, news: Facet<P>) -> bool {
    let changed = *facet != news;
    *facet = news;
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(size: u64, ctime: i64) -> LocalPrint {
        LocalPrint { size, mtime: 5, ctime, inode: 7 }
    }

    fn remote(version: &str) -> RemotePrint {
        RemotePrint::file(3, Version::new(version), None)
    }

    fn agreed() -> Record {
        let mut record = Record::new(0);
        record.agree(Synced { local: print(3, 1), remote: remote("a"), content: Some([1; 16]) });
        record
    }

    #[test]
    fn a_touched_file_is_suspect_and_a_longer_one_is_new() {
        let mut record = agreed();
        assert!(!record.see_local(Some(print(3, 1))));
        assert!(record.see_local(Some(print(3, 2))));
        assert_eq!(record.local, Facet::Suspect(print(3, 2)));
        assert!(record.see_local(Some(print(4, 3))));
        assert_eq!(record.local, Facet::Now(print(4, 3)));
        assert!(record.see_local(None));
        assert_eq!(record.local, Facet::Gone);
        assert!(record.see_local(Some(print(3, 1))));
        assert!(record.is_clean());
    }

    #[test]
    fn what_was_found_changed_stays_changed() {
        let mut record = agreed();
        record.local = Facet::Now(print(3, 2));
        assert!(!record.see_local(Some(print(3, 2))));
        assert_eq!(record.local, Facet::Now(print(3, 2)));
    }

    #[test]
    fn a_skip_keeps_its_time_until_another_rule_has_it() {
        let mut record = agreed();
        let since = |record: &Record| record.skip.as_ref().map(|skip| skip.since);
        assert!(record.see_skip(Some(SkipReason::ServiceName), Side::Remote, 10));
        assert!(record.synced.is_none());
        assert!(!record.see_skip(Some(SkipReason::ServiceName), Side::Local, 20));
        assert_eq!(since(&record), Some(10));
        assert!(record.see_skip(Some(SkipReason::SymbolicLink), Side::Local, 30));
        assert!(!record.see_skip(None, Side::Remote, 40));
        assert_eq!(since(&record), Some(30));
        assert!(record.see_skip(None, Side::Local, 50));
        assert_eq!(since(&record), None);
    }

    #[test]
    fn a_listing_without_times_is_no_news() {
        let mut record = Record::new(0);
        record.remote = Facet::Now(RemotePrint { mtime: Some(1), ..remote("b") });
        assert!(!record.see_remote(Some(remote("b"))));
        assert!(record.see_remote(Some(remote("c"))));
    }

    #[test]
    fn a_settled_record_is_small() {
        let mut record = Record::new(0);
        let local = LocalPrint {
            size: 4_000_000,
            mtime: 1_790_000_000_123_456_789,
            ctime: 1_790_000_000_123_456_789,
            inode: 12_345_678,
        };
        let remote = RemotePrint::file(
            4_000_000,
            Version::new("d41d8cd98f00b204e9800998ecf8427e"),
            Some(1_790_000_000_123_456_789),
        );
        record.agree(Synced { local, remote, content: Some([9; 16]) });
        let bytes = record.encode().unwrap();
        assert!(bytes.len() <= 85, "{} bytes", bytes.len());
        assert_eq!(Record::decode(&bytes).unwrap(), record);
    }

    #[test]
    fn damaged_rows_are_errors() {
        assert!(Record::decode(&[]).is_err());
        assert!(Record::decode(&[9, 1]).is_err());
        let mut bytes = agreed().encode().unwrap();
        bytes.truncate(4);
        assert!(Record::decode(&bytes).is_err());
    }
}
