//! The one error type: what failed, why, what a person can do, and what the engine does next.
//!
//! Adapters and file code choose a [`Kind`]; they never retry or wait themselves. The engine asks
//! [`Kind::reaction`] and needs to know nothing else.

use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// The result of everything that can fail in Mooring.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something failed, in terms that don't depend on a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The other end can't be reached, hangs, or cut the connection.
    Offline,
    /// The service asks to slow down or is broken for the moment (429, 5xx).
    Busy,
    /// The service doesn't accept the credentials.
    SignIn,
    /// The credentials are good, but this isn't allowed; or a local permission is missing.
    Denied,
    /// The thing isn't there.
    NotFound,
    /// The thing is there already.
    Exists,
    /// The thing isn't what the plan was made against any more.
    Changed,
    /// The local disk is full.
    DiskFull,
    /// The account or bucket is full.
    QuotaFull,
    /// The service or the disk refuses this name.
    BadName,
    /// Another item has this name, as the service compares names.
    NameTaken,
    /// One side has a file and the other a folder of this name.
    NameClash,
    /// The service refuses a file of this size.
    TooLarge,
    /// The other end said something that makes no sense.
    Protocol,
    /// Bytes don't have the length or hash they should have.
    Integrity,
    /// The disk altered or lost a file by itself.
    Damaged,
    /// A local disk operation failed.
    Disk,
    /// A program is still writing to the local file.
    InUse,
    /// The certificate of the other end isn't trusted.
    Untrusted,
    /// The local or remote root isn't what the task was linked with.
    RootLost,
    /// A person has to approve something first.
    Approval,
    /// The state can't be read or written.
    State,
    /// A setting or argument is wrong.
    Usage,
    /// Somebody asked to stop.
    Cancelled,
}

/// What the engine does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Look again and plan this item anew, at once.
    Replan,
    /// Try this item again in the next cycle.
    Retry,
    /// Stop using this side for now and try the whole cycle later.
    Wait,
    /// Leave this item until it, or a setting, changes.
    Skip,
    /// Nothing goes on until a person acts.
    Ask,
    /// End the work now.
    Stop,
}

impl Reaction {
    /// Whether nothing else can be done after the error; else it concerns one item, and the others
    /// go on.
    pub fn ends_cycle(self) -> bool {
        matches!(self, Reaction::Wait | Reaction::Ask | Reaction::Stop)
    }
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 24] = [
        Kind::Offline,
        Kind::Busy,
        Kind::SignIn,
        Kind::Denied,
        Kind::NotFound,
        Kind::Exists,
        Kind::Changed,
        Kind::DiskFull,
        Kind::QuotaFull,
        Kind::BadName,
        Kind::NameTaken,
        Kind::NameClash,
        Kind::TooLarge,
        Kind::Protocol,
        Kind::Integrity,
        Kind::Damaged,
        Kind::Disk,
        Kind::InUse,
        Kind::Untrusted,
        Kind::RootLost,
        Kind::Approval,
        Kind::State,
        Kind::Usage,
        Kind::Cancelled,
    ];

    /// What the engine does about an error of this kind.
    pub fn reaction(self) -> Reaction {
        match self {
            Kind::Changed | Kind::Exists | Kind::NotFound => Reaction::Replan,
            Kind::Protocol | Kind::Integrity | Kind::Disk | Kind::InUse => Reaction::Retry,
            Kind::Offline | Kind::Busy | Kind::DiskFull | Kind::QuotaFull => Reaction::Wait,
            Kind::Denied
            | Kind::BadName
            | Kind::NameTaken
            | Kind::NameClash
            | Kind::TooLarge
            | Kind::Damaged => Reaction::Skip,
            Kind::SignIn | Kind::Untrusted | Kind::RootLost | Kind::Approval | Kind::Usage => {
                Reaction::Ask
            }
            Kind::Cancelled | Kind::State => Reaction::Stop,
        }
    }

    /// A word for scripts and logs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Offline => "offline",
            Kind::Busy => "busy",
            Kind::SignIn => "sign-in",
            Kind::Denied => "denied",
            Kind::NotFound => "not-found",
            Kind::Exists => "exists",
            Kind::Changed => "changed",
            Kind::DiskFull => "disk-full",
            Kind::QuotaFull => "quota-full",
            Kind::BadName => "bad-name",
            Kind::NameTaken => "name-taken",
            Kind::NameClash => "name-clash",
            Kind::TooLarge => "too-large",
            Kind::Protocol => "protocol",
            Kind::Integrity => "integrity",
            Kind::Damaged => "damaged",
            Kind::Disk => "disk",
            Kind::InUse => "in-use",
            Kind::Untrusted => "untrusted",
            Kind::RootLost => "root-lost",
            Kind::Approval => "approval",
            Kind::State => "state",
            Kind::Usage => "usage",
            Kind::Cancelled => "cancelled",
        }
    }

    /// The kind of this word.
    pub fn of_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether what failed so waits for a person, and not only for time.
    pub fn waits_for_person(self) -> bool {
        matches!(self.reaction(), Reaction::Ask | Reaction::Skip)
    }

    /// What a person can do about it when nothing more precise is known.
    fn remedy(self) -> &'static str {
        match self {
            Kind::Offline => "check the network and the address; Mooring tries again by itself",
            Kind::Busy => "nothing to do; Mooring tries again by itself",
            Kind::SignIn => "check the credentials of the connection",
            Kind::Denied => "give the account or the user Mooring runs as permission for it",
            Kind::NotFound | Kind::Exists | Kind::Changed => "nothing to do; Mooring looks again",
            Kind::DiskFull => "free space on the volume; Mooring goes on by itself",
            Kind::QuotaFull => "free space in the account; Mooring goes on by itself",
            Kind::BadName => "rename it",
            Kind::NameTaken | Kind::NameClash => "rename one of them",
            Kind::TooLarge => "split it or leave it out",
            Kind::Protocol => "check that the address is that of the service",
            Kind::Integrity => "nothing to do; Mooring tries again by itself",
            Kind::Damaged => "save what the service has over it",
            Kind::Disk => "check the disk and its file system",
            Kind::InUse => "nothing to do; it is synced once it is closed",
            Kind::Untrusted => {
                "if it should be, give the connection its authority: mooring connection set NAME --set ca=@FILE.pem"
            }
            Kind::RootLost => "mount the volume or correct the folder of the task",
            Kind::Approval => "look at the plan and approve it",
            Kind::State => "check the state folder; without it, both sides are compared anew",
            Kind::Usage => "see mooring --help",
            Kind::Cancelled => "start it again",
        }
    }
}

/// An error: what was attempted, why it failed, and what to do.
#[derive(Clone, Debug)]
pub struct Error {
    kind: Kind,
    what: String,
    cause: String,
    remedy: Option<String>,
    after: Option<Duration>,
}

impl Error {
    /// An error of `kind`: `what` names the operation and the thing, `cause` says why it failed.
    pub fn new(kind: Kind, what: impl Into<String>, cause: impl fmt::Display) -> Self {
        Error { kind, what: what.into(), cause: cause.to_string(), remedy: None, after: None }
    }

    /// Replaces the general remedy of the kind by one that fits better.
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Gives a remedy unless there is one that fits better than the kind's.
    pub fn or_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy.get_or_insert_with(|| remedy.into());
        self
    }

    /// The service asked not to be called again before this time has passed.
    pub fn after(mut self, wait: Duration) -> Self {
        self.after = Some(wait);
        self
    }

    /// The kind, which decides what happens next.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How long the service asked to wait, if it did.
    pub fn wait(&self) -> Option<Duration> {
        self.after
    }

    /// Names the operation and the thing when the place that failed couldn't.
    pub fn context(mut self, what: impl Into<String>) -> Self {
        self.what = what.into();
        self
    }

    /// The same failure where it means something else to the engine.
    pub fn meaning(self, kind: Kind) -> Self {
        let remedy = self.kind.remedy();
        Error { kind, ..self.or_remedy(remedy) }
    }

    /// What to do, for a person.
    pub fn advice(&self) -> &str {
        self.remedy.as_deref().unwrap_or(self.kind.remedy())
    }

    /// What failed and why, without the remedy.
    pub fn reason(&self) -> String {
        format!("{}: {}", self.what, self.cause)
    }

    /// The same for programs: `kind`, `reason` and `remedy`.
    pub fn document(&self) -> Value {
        json!({ "kind": self.kind.word(), "reason": self.reason(), "remedy": self.advice() })
    }

    /// A failed local disk operation on the thing that `what` names.
    pub fn disk(what: impl Into<String>, cause: std::io::Error) -> Self {
        use std::io::ErrorKind::*;
        let kind = match cause.kind() {
            NotFound | NotADirectory => Kind::NotFound,
            AlreadyExists => Kind::Exists,
            PermissionDenied => Kind::Denied,
            StorageFull | QuotaExceeded => Kind::DiskFull,
            InvalidFilename => Kind::BadName,
            FileTooLarge => Kind::TooLarge,
            _ => Kind::Disk,
        };
        // A volume that is mounted so only for a while settles nothing for good.
        let read_only = cause.kind() == ReadOnlyFilesystem;
        let error = Error::new(kind, what, cause);
        if read_only {
            return error.remedy("give Mooring permission to write there, or mount it for writing");
        }
        error
    }

    /// Somebody asked to stop.
    pub fn cancelled() -> Self {
        Error::new(Kind::Cancelled, "the work", "it was stopped")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.what, self.cause, self.advice())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_again() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of_word(kind.word()), Some(kind));
        }
        assert_eq!(Kind::of_word("in-use"), Some(Kind::InUse));
    }

    #[test]
    fn another_meaning_keeps_the_remedy() {
        let gone = Error::new(Kind::NotFound, "what", "why").remedy("make it");
        let lost = gone.meaning(Kind::RootLost);
        assert_eq!(
            (lost.kind(), lost.to_string().as_str()),
            (Kind::RootLost, "what: why; make it")
        );
    }
}
