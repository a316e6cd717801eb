//! The consistency check: reading again what looks unchanged. What a disk lost or altered by itself
//! has the times it had, and would be noticed only when the good copy is gone.
//!
//! A round goes through all files, some of them in each cycle, from where the last cycle stopped;
//! so a large task goes on being synced meanwhile. It asks the service nothing: the fingerprint
//! that a file is compared with is that of the content whose hash the service confirmed, and a
//! content that changed on the service has another version there.

use super::{Engine, Look, Report};
use crate::content::Content;
use crate::error::{Error, Kind, Result};
use crate::execute::fingerprint;
use crate::store::{Again, Key, Problem, Record, decode, encode};
use std::fmt::Display;

/// Fact: the item after which the round goes on.
const SPOT: &str = "consistency-check";
/// First byte of its stored form.
const SPOT_FORMAT: u8 = 1;
/// What is wrong with a content that changed by itself.
pub(super) const ALTERED: &str = "its content changed on the disk, its size and times didn't";
/// What to do about it.
pub(super) const REMEDY: &str = "if the file is right as it is, touch it, and it is sent to the \
     service; if it is damaged, save what the service has over it";

impl Engine {
    /// Goes on with the round, and tells of every damaged file that is known.
    pub(super) fn check_consistency(&self, look: &Look, report: &mut Report) -> Result<()> {
        if self.task.consistency_check && look.verify > 0 {
            report.unverified = self.reread(look.verify)?;
        }
        let snapshot = self.trees.snapshot()?;
        for problem in snapshot.problems(None)? {
            let (key, problem) = problem?;
            let clean = snapshot.get(&key)?.is_some_and(|record| is_checked(&record));
            if clean && is_damage(&problem) {
                report.hold_known(&snapshot.path(&key)?, problem);
            }
        }
        Ok(())
    }

    /// Reads files of about `most` bytes. Tells whether some are left in this round.
    fn reread(&self, most: u64) -> Result<bool> {
        self.progress.phase("checking");
        let snapshot = self.trees.snapshot()?;
        let begun = snapshot.fact(SPOT)?;
        let mut spot = begun.as_deref().map(decode_spot).transpose()?;
        let mut batch = self.trees.batch()?;
        let mut done = 0_u64;
        let mut left = false;
        for row in snapshot.items(spot.as_ref())? {
            let (key, record) = row?;
            left = done >= most;
            if left {
                break;
            }
            if is_checked(&record) {
                let path = snapshot.path(&key)?;
                done = done.saturating_add(record.local_print().map_or(0, |print| print.size));
                let damage = self.damage(&path, &record)?;
                let known = snapshot.problem(&key)?.filter(is_damage);
                match (damage, known) {
                    (None, None) | (Some(_), Some(_)) => {}
                    (None, Some(_)) => batch.set_problem(key.clone(), None)?,
                    (Some(error), None) => {
                        tracing::warn!(path, reason = error.reason(), "damaged");
                        let problem = Problem::new(&error, self.clock.now());
                        let problem = Problem { again: Again::Never, ..problem };
                        batch.set_problem(key.clone(), Some(problem))?;
                    }
                }
            }
            spot = Some(key);
        }
        let spot = spot.filter(|_| left).map(|Key { folder, name }| (folder, name));
        let spot = spot.map(|spot| encode(SPOT_FORMAT, &spot)).transpose()?;
        if spot != begun {
            batch.set_fact(SPOT, spot);
        }
        batch.flush()?;
        Ok(left)
    }

    /// What is wrong with a file that looks as it was agreed on.
    fn damage(&self, path: &str, record: &Record) -> Result<Option<Error>> {
        let Some(synced) = &record.synced else { return Ok(None) };
        let read = self.disk().open(path, &synced.local);
        match read.and_then(|file| Ok((fingerprint(&file, &self.cancel)?, file.unchanged()?))) {
            Ok((content, ())) if Some(content) == synced.content => Ok(None),
            Ok(_) => Ok(Some(damaged(path, ALTERED))),
            Err(error) if error.kind() == Kind::Cancelled => Err(error),
            Err(error) if error.kind() == Kind::Disk => Ok(Some(damaged(path, error.reason()))),
            // Somebody works on it or keeps it from us: the next look tells what became of it.
            Err(_) => Ok(None),
        }
    }
}

/// Whether an item is a file of which a content was agreed on, and that neither side has changed.
fn is_checked(record: &Record) -> bool {
    let content = record.synced.as_ref().and_then(|synced| synced.content);
    record.node == 0 && record.skip.is_none() && record.is_clean() && content.is_some()
}

fn is_damage(problem: &Problem) -> bool {
    problem.kind == Kind::Damaged.word()
}

fn damaged(path: &str, cause: impl Display) -> Error {
    Error::new(Kind::Damaged, path, cause).remedy(REMEDY)
}

fn decode_spot(row: &[u8]) -> Result<Key> {
    let (folder, name) = decode(SPOT_FORMAT, row)?;
    Ok(Key { folder, name })
}
