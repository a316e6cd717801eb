//! What Mooring knows of a service before it talks to it: the one truth that the command line,
//! the name checks and the documentation read.

use super::{Remote, Settings, SignIn};
use crate::error::{Error, Kind, Result};
use crate::hash::HashKind;
use crate::http::Http;
use crate::model::Direction;
use std::sync::Arc;

/// A kind of cloud: its description and how to open it.
pub trait Service: Sync {
    /// What is known of it.
    fn descriptor(&self) -> &'static Descriptor;

    /// Opens the remote folder `root` (relative to the bucket or account, empty for its root)
    /// without sending anything.
    ///
    /// # Errors
    /// `Usage` when a setting is missing or makes no sense.
    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>>;

    /// Calls `each` for the buckets that these credentials may see. The settings needn't name one.
    ///
    /// # Errors
    /// As [`Service::open`]; `Denied` where a key may use buckets but not see which there are; and
    /// what `each` says: nothing more is told then.
    fn buckets(
        &self,
        settings: &Settings,
        http: Http,
        each: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let _ = (settings, http, each);
        Err(self.descriptor().no_buckets())
    }

    /// Makes a bucket. One that this account has already is as good.
    ///
    /// # Errors
    /// As [`Service::open`]; `NameTaken` when somebody else has the name.
    fn make_bucket(&self, settings: &Settings, http: Http, bucket: &str) -> Result<()> {
        let _ = (settings, http, bucket);
        Err(self.descriptor().no_buckets())
    }
}

/// A service's facts.
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// The word for it in commands and settings.
    pub name: &'static str,
    /// Its name for a person.
    pub label: &'static str,
    /// What a connection has to be told, apart from what signing in takes.
    pub fields: &'static [Field],
    /// Who offers such a service, where there are several or it is in several regions.
    pub providers: &'static [Provider],
    /// What a task may be told.
    pub task_fields: &'static [TaskField],
    /// How a person signs in; `None` where the settings are all there is to it.
    pub sign_in: Option<SignIn>,
    /// How it tells what is there.
    pub listing: Listing,
    /// Whether a folder is there only because something is in it.
    pub folders_implied: bool,
    /// What it can move without sending content again.
    pub moves: Moves,
    /// Whether it takes names for the same that differ only in the case of letters.
    pub folds_case: bool,
    /// Whether a folder may have several items of one name.
    pub namesakes: bool,
    /// Whether it keeps the time of modification that Mooring gives it.
    pub keeps_mtime: bool,
    /// Hash of a file's content that it may know.
    pub hash: Option<HashKind>,
    /// Largest file in bytes.
    pub max_size: Option<u64>,
    /// Longest path in bytes of UTF-8, root included.
    pub max_path: usize,
    /// Names and characters it doesn't take, beyond the general rules.
    pub names: NameRule,
    /// How many bytes a name of so many bytes of UTF-8 is stored under, where that isn't as many.
    pub stored_bytes: Option<fn(usize) -> usize>,
    /// Rule of its bucket names.
    pub bucket: Option<Bucket>,
}

/// Somebody who offers a service, or a program that does.
#[derive(Clone, Copy, Debug)]
pub struct Provider {
    /// The word for it in settings.
    pub name: &'static str,
    /// Its name for a person.
    pub label: &'static str,
    /// Its host, with `{region}` where the region stands, or what an address of one's own there
    /// looks like.
    pub address: &'static str,
    /// Whether everybody has an address of their own there.
    pub own_address: bool,
    /// Its regions, as far as they are known. Where it has but one, or the first is taken unless
    /// another is told, it needn't be told.
    pub regions: &'static [&'static str],
}

/// How a service tells what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// One ordered listing of everything below the root.
    Flat,
    /// A listing for each folder.
    Folders,
}

/// What a service can move without sending content again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moves {
    /// A file; a folder's files one by one.
    Files,
    /// A file, or a folder with everything in it.
    Trees,
}

/// Names and characters that a service doesn't take.
#[derive(Clone, Copy, Debug)]
pub struct NameRule {
    /// Characters that mustn't be in a path.
    pub characters: &'static str,
    /// Whole names that an item mustn't have.
    pub names: &'static [&'static str],
    /// Beginnings of the names of files, in lower case.
    pub beginnings: &'static [&'static str],
    /// What mustn't be anywhere in a name, in lower case.
    pub parts: &'static [&'static str],
    /// Characters that a name mustn't end with.
    pub ends: &'static str,
    /// Most bytes of UTF-8 of a name; `None` where the limit of all names is shorter.
    pub longest: Option<usize>,
}

impl NameRule {
    /// No rule beyond the general ones.
    pub const NONE: NameRule = NameRule {
        characters: "",
        names: &[],
        beginnings: &[],
        parts: &[],
        ends: "",
        longest: None,
    };
}

/// Rule of bucket names.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Fewest characters.
    pub min: usize,
    /// Most characters.
    pub max: usize,
    /// Characters allowed besides lower-case letters and digits.
    pub extra: &'static str,
}

/// A setting of a connection.
#[derive(Debug)]
pub struct Field {
    /// The word for it in commands.
    pub key: &'static str,
    /// Its name for a person.
    pub label: &'static str,
    /// What to enter.
    pub help: &'static str,
    /// What kind of value it takes.
    pub kind: FieldKind,
    /// Whether it has to be given.
    pub needed: Needed,
    /// Whether it says where a connection leads. Behind another place there are other items, and
    /// what was agreed on about the old ones would read as if all of them had been removed.
    pub place: bool,
}

/// A setting that doesn't say where a connection leads.
pub const fn field(
    key: &'static str,
    label: &'static str,
    help: &'static str,
    kind: FieldKind,
    needed: Needed,
) -> Field {
    Field { key, label, help, kind, needed, place: false }
}

/// A setting that says where a connection leads.
pub const fn place(
    key: &'static str,
    label: &'static str,
    help: &'static str,
    kind: FieldKind,
    needed: Needed,
) -> Field {
    Field { key, label, help, kind, needed, place: true }
}

/// A setting of a task that only this service has.
#[derive(Debug)]
pub struct TaskField {
    /// The setting.
    pub field: Field,
    /// The one direction in which it may be anything but its default.
    pub only: Option<Direction>,
}

/// What kind of value a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Any text.
    Text,
    /// A text that is sealed at rest and never shown.
    Secret,
    /// An `http://` or `https://` address.
    Url,
    /// A whole number from the first to the second.
    Number(u32, u32),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Any text; most people take one of these.
    TextLike(&'static [Suggestion]),
    /// An `http://` or `https://` address; most people take one of these.
    UrlLike(&'static [Suggestion]),
    /// The name of a bucket, of those that [`Service::buckets`] tells or another.
    Bucket,
}

/// A value that a setting may take, among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The value.
    pub value: &'static str,
    /// What it stands for, as the service calls it.
    pub label: &'static str,
}

impl FieldKind {
    /// Whether it is an `http://` or `https://` address, suggested or not.
    pub fn is_address(self) -> bool {
        matches!(self, FieldKind::Url | FieldKind::UrlLike(_))
    }
}

/// Whether a setting has to be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// It has to be given.
    Yes,
    /// It may be left out.
    No,
    /// This is taken when it is left out.
    Default(&'static str),
}

/// The setting of a task that says what of it is encrypted.
pub const ENCRYPTION: &str = "encryption";
/// The secret of a connection that its tasks are encrypted with.
pub const ENCRYPTION_KEY: &str = "encryption-key";
/// The secret of a connection by which the key is found in an encrypted folder.
pub const ENCRYPTION_PASSWORD: &str = "encryption-password";

/// Settings of every task, whatever its service.
const COMMON_TASK_FIELDS: &[TaskField] = &[TaskField {
    field: Field {
        key: ENCRYPTION,
        label: "Encryption",
        help: "new tasks only, with the connection's password or key: on for contents and names; contents, so that names stay readable; cloud-sync for Cloud Sync's format, to go on with its folders",
        kind: FieldKind::Choice(&["off", "on", "contents", "cloud-sync"]),
        needed: Needed::Default("off"),
        place: false,
    },
    only: None,
}];

/// Settings of every connection, whatever its service.
pub const COMMON_FIELDS: &[Field] = &[
    Field {
        key: "poll",
        label: "Polling period",
        help: "longest pause between two looks at the service in seconds, 1 to 86400; after a change it is shorter",
        kind: FieldKind::Number(1, 86_400),
        needed: Needed::Default("60"),
        place: false,
    },
    Field {
        key: "timeout",
        label: "Timeout",
        help: "seconds without a byte after which a request is given up, 1 to 3600",
        kind: FieldKind::Number(1, 3600),
        needed: Needed::Default("60"),
        place: false,
    },
    Field {
        key: "max-upload",
        label: "Maximum upload rate",
        help: "KiB a second for all transfers together, up to 10485760; 0 is no limit",
        kind: FieldKind::Number(0, 10 << 20),
        needed: Needed::Default("0"),
        place: false,
    },
    Field {
        key: "max-download",
        label: "Maximum download rate",
        help: "KiB a second for all transfers together, up to 10485760; 0 is no limit",
        kind: FieldKind::Number(0, 10 << 20),
        needed: Needed::Default("0"),
        place: false,
    },
    Field {
        key: "ca",
        label: "Certificate authority",
        help: "PEM of the authority to trust instead of the public ones; @FILE reads it from a file",
        kind: FieldKind::Text,
        needed: Needed::No,
        place: false,
    },
    Field {
        key: "proxy",
        label: "Proxy",
        help: "http://[user:password@]host:port",
        kind: FieldKind::Secret,
        needed: Needed::No,
        place: false,
    },
    Field {
        key: ENCRYPTION_PASSWORD,
        label: "Encryption password",
        help: "for encrypted tasks, at least 8 characters; on another NAS it opens their folders again",
        kind: FieldKind::Secret,
        needed: Needed::No,
        place: false,
    },
    Field {
        key: ENCRYPTION_KEY,
        label: "Encryption key",
        help: "that was exported, to go on without the password; made with the first encrypted task. For Cloud Sync's folders its private.pem",
        kind: FieldKind::Secret,
        needed: Needed::No,
        place: false,
    },
];

impl Descriptor {
    /// Every setting of a connection: the service's own, those of signing in, then those of all
    /// services.
    pub fn all_fields(&self) -> impl Iterator<Item = &'static Field> {
        let sign_in = self.sign_in.as_ref().map_or([].as_slice(), SignIn::fields);
        self.fields.iter().chain(sign_in).chain(COMMON_FIELDS)
    }

    /// The key of the setting that names a bucket; `None` where there are no buckets.
    pub fn bucket_key(&self) -> Option<&'static str> {
        self.fields.iter().find(|field| field.kind == FieldKind::Bucket).map(|field| field.key)
    }

    /// Every setting of a task: the service's own, then those of all services.
    pub fn all_task_fields(&self) -> impl Iterator<Item = &'static TaskField> {
        self.task_fields.iter().chain(COMMON_TASK_FIELDS)
    }

    /// Checks what a person entered for a connection: unknown keys, missing and malformed values.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn check(&self, settings: &Settings) -> Result<()> {
        self.check_fields(settings, &mut self.all_fields(), None)
    }

    /// As [`Descriptor::check`], but for the bucket, which is still to be chosen.
    ///
    /// # Errors
    /// Likewise, and `Usage` where there are no buckets.
    pub fn check_but_bucket(&self, settings: &Settings) -> Result<()> {
        let bucket = self.bucket_key().ok_or_else(|| self.no_buckets())?;
        self.check_fields(settings, &mut self.all_fields(), Some(bucket))
    }

    /// What asking for buckets is answered with where there are none.
    fn no_buckets(&self) -> Error {
        Error::new(Kind::Usage, format!("buckets of {}", self.label), "it has none")
            .remedy("make a connection to it without")
    }

    /// Checks what a person entered for a task of this direction.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn check_task(&self, settings: &Settings, direction: Direction) -> Result<()> {
        let fields = &mut self.all_task_fields().map(|each| &each.field);
        self.check_fields(settings, fields, None)?;
        for TaskField { field, only } in self.all_task_fields() {
            let changed = settings.given(field.key).is_some_and(
                |value| !matches!(field.needed, Needed::Default(default) if default == value),
            );
            if changed && only.is_some_and(|only| only != direction) {
                let what = format!("setting {} of a task on {}", field.key, self.label);
                let cause = "it is for tasks of another direction";
                return Err(Error::new(Kind::Usage, what, cause).remedy(field.help));
            }
        }
        Ok(())
    }

    /// The one that is `open` may be missing.
    fn check_fields(
        &self,
        settings: &Settings,
        fields: &mut dyn Iterator<Item = &'static Field>,
        open: Option<&str>,
    ) -> Result<()> {
        let wrong = |key: &str, cause: String| {
            Err(Error::new(Kind::Usage, format!("setting {key} of {}", self.label), cause)
                .remedy(format!("see mooring service show {}", self.name)))
        };
        let fields: Vec<_> = fields.collect();
        for key in settings.keys() {
            if !fields.iter().any(|field| field.key == key) {
                return wrong(key, "there is no such setting".into());
            }
        }
        for field in fields {
            let Some(value) = settings.given(field.key) else {
                if field.needed == Needed::Yes && open != Some(field.key) {
                    return wrong(field.key, "it is missing".into());
                }
                continue;
            };
            match field.kind {
                FieldKind::Number(least, most)
                    if !value.parse().is_ok_and(|number| (least..=most).contains(&number)) =>
                {
                    let cause = format!("'{value}' is not a whole number from {least} to {most}");
                    return wrong(field.key, cause);
                }
                kind if kind.is_address()
                    && !(value.starts_with("http://") || value.starts_with("https://")) =>
                {
                    return wrong(field.key, format!("'{value}' is not an http(s) address"));
                }
                FieldKind::Choice(words) if !words.contains(&value) => {
                    return wrong(field.key, format!("'{value}' is none of {}", words.join(", ")));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
