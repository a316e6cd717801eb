//! Whether a service checks what a write expects to find in its place.
//!
//! Many servers take `If-None-Match: *` and `If-Match` and ignore them, some refuse them, some
//! refuse even when they hold; none says so. An adapter tries it once and keeps the answer here.
//! While it isn't proven that the service checks, the adapter looks for itself before it writes.

use super::{Entry, Expect};
use crate::error::{Error, Kind, Result};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// What is known of a service and a kind of condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Nothing yet.
    Unknown,
    /// It checks the condition.
    Honoured,
    /// It ignores or refuses the condition: it has to be checked with a request of its own.
    Ignored,
}

/// What is known of the conditions of one opened remote; shared by its threads.
#[derive(Debug, Default)]
pub struct Conditions {
    create: AtomicU8,
    replace: AtomicU8,
}

impl Conditions {
    /// What is known of the condition that `expect` takes.
    pub fn support(&self, expect: Expect<'_>) -> Support {
        match self.cell(expect).load(Relaxed) {
            0 => Support::Unknown,
            1 => Support::Honoured,
            _ => Support::Ignored,
        }
    }

    /// The service proved to check the condition. Once it was caught at ignoring it, this changes
    /// nothing: looking once too often does no harm, writing without a look does.
    pub fn honoured(&self, expect: Expect<'_>) {
        // Another thread that came first knows as much.
        let _ = self.cell(expect).compare_exchange(0, 1, Relaxed, Relaxed);
    }

    /// The service ignored or refused the condition.
    pub fn ignored(&self, expect: Expect<'_>) {
        self.cell(expect).store(2, Relaxed);
    }

    fn cell(&self, expect: Expect<'_>) -> &AtomicU8 {
        match expect {
            Expect::Absent => &self.create,
            Expect::Version(_) => &self.replace,
        }
    }
}

/// Whether what was `found` is what a write expects; `what` names the write.
///
/// # Errors
/// `Exists` or `Changed`.
pub fn check(what: &str, expect: Expect<'_>, found: Option<&Entry>) -> Result<()> {
    match (expect, found) {
        (Expect::Absent, None) => Ok(()),
        (Expect::Absent, Some(_)) => Err(Error::new(Kind::Exists, what, "something is there")),
        (Expect::Version(version), Some(entry)) if entry.print.version == *version => Ok(()),
        (Expect::Version(_), Some(_)) => {
            Err(Error::new(Kind::Changed, what, "it was changed in the meantime"))
        }
        (Expect::Version(_), None) => {
            Err(Error::new(Kind::Changed, what, "it was removed in the meantime"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Version;

    #[test]
    fn doubt_wins() {
        let version = Version::new("v");
        let conditions = Conditions::default();
        for expect in [Expect::Absent, Expect::Version(&version)] {
            assert_eq!(conditions.support(expect), Support::Unknown);
            conditions.honoured(expect);
            assert_eq!(conditions.support(expect), Support::Honoured);
            conditions.ignored(expect);
            conditions.honoured(expect);
            assert_eq!(conditions.support(expect), Support::Ignored);
        }
    }
}
