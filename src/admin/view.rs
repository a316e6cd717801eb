//! The answers as documents: what `--json` prints and what the panel reads.
//!
//! Scripts rely on the names here. Fields may be added, not renamed.

use super::Sight;
use crate::caller::Caller;
use crate::engine::{Approval, Intent, Report, has_looked};
use crate::error::{Error, Kind, Result};
use crate::hash::HashKind;
use crate::logs::{self, Level};
use crate::model::{ConflictPolicy, Direction, ItemKind, Nanos, Side, from_hex, to_hex};
use crate::remote::{Descriptor, Field, FieldKind, Listing, Moves, Needed, Provider, Suggestion};
use crate::rules::{Filter, Schedule, recycle_area};
use crate::settings::{Begun, Book, Connection, Globals, Secret, Task};
use crate::store::{Event, Hold, Key, Problem, Recycled, Skip, Snapshot, Trees};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

/// Problems and skipped items that a document lists; it always tells how many there are.
const LISTED: usize = 100;
/// Most items of a page.
const MOST_ITEMS: usize = 1000;
/// What stands for a secret that is set.
const SEALED: &str = "(sealed)";

/// Who asks, as the panel shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SessionView {
    /// Name of the NAS user; empty where they gave the panel's own password.
    pub user: String,
    /// Whether they may change settings of the program as a whole.
    pub administrator: bool,
    /// Version of the program.
    pub version: String,
}

impl SessionView {
    /// Tells who this is.
    pub fn of(caller: &Caller) -> Self {
        SessionView {
            user: caller.owner().unwrap_or_default().into(),
            administrator: caller.is_administrator(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// A service in a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ServiceName {
    /// The word for it in commands.
    pub name: String,
    /// Its name for a person.
    pub label: String,
}

impl ServiceName {
    /// The name of this service.
    pub fn of(descriptor: &Descriptor) -> Self {
        ServiceName { name: descriptor.name.into(), label: descriptor.label.into() }
    }
}

/// A service: what a connection to it has to be told, and its limits and rules.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ServiceView {
    /// The word for it in commands.
    pub name: String,
    /// Its name for a person.
    pub label: String,
    /// What a connection has to be told.
    pub fields: Vec<FieldView>,
    /// Who offers it, where there are several or it is in several regions.
    pub providers: Vec<ProviderView>,
    /// Whether a person signs in to it.
    pub sign_in: bool,
    /// Key of the secret that stands for signing in, where there is one.
    pub sign_in_instead: Option<String>,
    /// What a task may be told.
    pub task_fields: Vec<FieldView>,
    /// `flat`: one listing of everything; `folders`: one of each folder.
    pub listing: String,
    /// Whether a folder is there only because something is in it.
    pub folders_implied: bool,
    /// `files` or `trees`: what it moves without sending content again.
    pub moves: String,
    /// Whether it keeps times of modification.
    pub keeps_mtime: bool,
    /// Hash of a file's content that it may know.
    pub hash: String,
    /// Largest file in bytes.
    pub max_size: Option<u64>,
    /// Longest path in bytes of UTF-8, root included.
    pub max_path: usize,
    /// Longest name in bytes of UTF-8, where that is a limit of its own.
    pub max_name: Option<usize>,
    /// Characters that mustn't be in a path.
    pub forbidden_characters: String,
    /// Whole names that an item mustn't have.
    pub forbidden_names: Vec<String>,
    /// Rule of its bucket names.
    pub bucket: Option<BucketView>,
}

impl ServiceView {
    /// All about this service.
    pub fn of(descriptor: &Descriptor) -> Self {
        ServiceView {
            name: descriptor.name.into(),
            label: descriptor.label.into(),
            fields: descriptor.all_fields().map(FieldView::of).collect(),
            providers: descriptor.providers.iter().map(ProviderView::of).collect(),
            task_fields: descriptor.all_task_fields().map(|it| FieldView::of(&it.field)).collect(),
            sign_in: descriptor.sign_in.is_some(),
            sign_in_instead: descriptor.sign_in.and_then(|it| it.instead).map(str::to_owned),
            listing: match descriptor.listing {
                Listing::Flat => "flat",
                Listing::Folders => "folders",
            }
            .into(),
            folders_implied: descriptor.folders_implied,
            moves: match descriptor.moves {
                Moves::Files => "files",
                Moves::Trees => "trees",
            }
            .into(),
            keeps_mtime: descriptor.keeps_mtime,
            hash: descriptor.hash.map_or("", HashKind::label).into(),
            max_size: descriptor.max_size,
            max_path: descriptor.max_path,
            max_name: descriptor.names.longest,
            forbidden_characters: descriptor.names.characters.into(),
            forbidden_names: descriptor.names.names.iter().map(ToString::to_string).collect(),
            bucket: descriptor.bucket.as_ref().map(|rule| BucketView {
                min: rule.min,
                max: rule.max,
                extra: rule.extra.into(),
            }),
        }
    }
}

/// Somebody who offers a service, or a program that does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ProviderView {
    /// The word for it in settings.
    pub name: String,
    /// Its name for a person.
    pub label: String,
    /// Its host, with `{region}` where the region stands, or what an address of one's own there
    /// looks like.
    pub address: String,
    /// Whether everybody has an address of their own there.
    pub own_address: bool,
    /// Its regions, as far as they are known.
    pub regions: Vec<String>,
}

impl ProviderView {
    fn of(provider: &Provider) -> Self {
        ProviderView {
            name: provider.name.into(),
            label: provider.label.into(),
            address: provider.address.into(),
            own_address: provider.own_address,
            regions: provider.regions.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Rule of a service's bucket names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct BucketView {
    /// Fewest characters.
    pub min: usize,
    /// Most characters.
    pub max: usize,
    /// Characters allowed besides lower-case letters and digits.
    pub extra: String,
}

/// A setting of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FieldView {
    /// The word for it in commands.
    pub key: String,
    /// Its name for a person.
    pub label: String,
    /// What to enter.
    pub help: String,
    /// text, secret, url, number, choice or bucket.
    pub kind: String,
    /// The words to choose from; none for other kinds.
    pub choices: Vec<String>,
    /// Values that most people take; any other may be.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub suggestions: Vec<SuggestionView>,
    /// The smallest and the largest number; absent for other kinds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub range: Option<[u32; 2]>,
    /// Whether it has to be given.
    pub needed: bool,
    /// What is taken when it is left out.
    pub default: Option<String>,
}

impl FieldView {
    fn of(field: &Field) -> Self {
        let (kind, choices, suggestions) = match field.kind {
            FieldKind::Text => ("text", [].as_slice(), [].as_slice()),
            FieldKind::TextLike(suggestions) => ("text", [].as_slice(), suggestions),
            FieldKind::Secret => ("secret", [].as_slice(), [].as_slice()),
            FieldKind::Url => ("url", [].as_slice(), [].as_slice()),
            FieldKind::UrlLike(suggestions) => ("url", [].as_slice(), suggestions),
            FieldKind::Number(..) => ("number", [].as_slice(), [].as_slice()),
            FieldKind::Choice(words) => ("choice", words, [].as_slice()),
            FieldKind::Bucket => ("bucket", [].as_slice(), [].as_slice()),
        };
        FieldView {
            key: field.key.into(),
            label: field.label.into(),
            help: field.help.into(),
            kind: kind.into(),
            choices: choices.iter().map(ToString::to_string).collect(),
            suggestions: suggestions.iter().map(SuggestionView::of).collect(),
            range: match field.kind {
                FieldKind::Number(least, most) => Some([least, most]),
                _ => None,
            },
            needed: field.needed == Needed::Yes,
            default: match field.needed {
                Needed::Default(value) => Some(value.into()),
                _ => None,
            },
        }
    }
}

/// A value that a setting may take.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SuggestionView {
    /// The value.
    pub value: String,
    /// What it stands for, as the service calls it.
    pub label: String,
}

impl SuggestionView {
    fn of(suggestion: &Suggestion) -> Self {
        SuggestionView { value: suggestion.value.into(), label: suggestion.label.into() }
    }
}

/// Buckets to choose from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct BucketsView {
    /// Their names, sorted.
    pub buckets: Vec<String>,
    /// Whether there are more than are told.
    pub more: bool,
}

/// A bucket that is there now.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct BucketMade {
    /// Its name.
    pub bucket: String,
}

/// A connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ConnectionView {
    /// What a person calls it.
    pub name: String,
    /// Name of its service.
    pub service: String,
    /// Whether it was paused of its own.
    pub paused: bool,
    /// When its tasks run by themselves.
    pub schedule: Schedule,
    /// Whether a person has signed in; absent where the settings are all there is to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signed_in: Option<bool>,
    /// What is set, by key. A secret is told as `(sealed)`.
    pub settings: BTreeMap<String, String>,
    /// Names of the tasks that use it.
    pub tasks: Vec<String>,
    /// The NAS user it belongs to; absent where it is nobody's.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
}

impl ConnectionView {
    /// All about this connection, secrets apart.
    pub fn of(book: &Book, connection: &Connection) -> Result<Self> {
        let mut settings: BTreeMap<_, _> = connection.values.iter().cloned().collect();
        settings.extend(connection.secrets.iter().map(|key| (key.clone(), SEALED.to_owned())));
        let tasks = book.tasks_of(&connection.name)?;
        Ok(ConnectionView {
            name: connection.name.clone(),
            service: connection.service.clone(),
            paused: connection.paused,
            schedule: connection.schedule,
            signed_in: connection.is_signed_in(),
            settings,
            tasks: tasks.into_iter().map(|task| task.name).collect(),
            owner: connection.owner.clone(),
        })
    }
}

/// A connection that was tried out and is good.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Tested {
    /// Its name.
    pub connection: String,
    /// True; what is wrong is told as an error.
    pub ok: bool,
}

/// How to sign in to a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Authorization {
    /// Name of the connection.
    pub connection: String,
    /// False where the settings are all there is to it.
    pub needed: bool,
    /// What a person does next, where it is needed; its fields stand beside these.
    #[serde(flatten)]
    #[cfg_attr(test, ts(skip))]
    pub page: Option<SignInPage>,
}

/// A sign-in that was begun and waits for a person.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SignInPage {
    /// The address to open in a browser, on any machine.
    pub url: String,
    /// Where the browser ends; null when the service shows a code instead.
    pub redirect: Option<String>,
    /// `address`: bring back the one that the browser ends at; `code`: bring back the code.
    pub answer: String,
    /// Tells its answer from others.
    pub state: String,
}

impl Authorization {
    /// What was begun for a connection, if anything has to be.
    pub fn of(connection: String, begun: Option<Begun>) -> Self {
        let page = begun.map(|Begun { url, redirect, state }| SignInPage {
            url,
            answer: if redirect.is_some() { "address" } else { "code" }.into(),
            redirect,
            state,
        });
        Authorization { connection, needed: page.is_some(), page }
    }
}

/// A connection that a person has signed in to.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SignedIn {
    /// Its name.
    pub connection: String,
    /// True; what is wrong is told as an error.
    pub signed_in: bool,
}

/// Something that is gone.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Removed {
    /// Its name.
    pub removed: String,
}

/// Folders in a folder, to choose from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct FoldersView {
    /// The folder they are in, beginning with `/`.
    pub path: String,
    /// Their names, sorted.
    pub folders: Vec<String>,
    /// Whether there are more than are told.
    pub more: bool,
}

/// What a sync would do.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Preview {
    /// The first intents.
    pub intents: Vec<Intent>,
    /// All of them counted, by action.
    pub totals: Vec<PreviewTotal>,
    /// What is left out or waits.
    pub report: Report,
}

/// How much a sync would do of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PreviewTotal {
    /// As in an intent.
    pub action: String,
    /// How many items.
    pub items: u64,
    /// Bytes to transfer.
    pub bytes: u64,
}

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TaskView {
    /// What a person calls it.
    pub name: String,
    /// Names its state.
    pub id: u64,
    /// Name of its connection.
    pub connection: String,
    /// The local folder.
    pub local: PathBuf,
    /// The remote folder, beginning with `/`.
    pub remote: String,
    /// both, upload or download.
    pub direction: Direction,
    /// local, remote, newer or both.
    pub conflict: ConflictPolicy,
    /// Whether contents are compared where size and time of modification would do.
    pub consistency_check: bool,
    /// Nothing is removed at the destination.
    pub keep_removed: bool,
    /// For how many days files that it removes from the disk are kept; 0 for none.
    pub recycle_days: u32,
    /// What is left out on both sides.
    pub filter: Filter,
    /// What its service is told of it, by key.
    pub settings: BTreeMap<String, String>,
    /// Whether it was paused of its own.
    pub paused: bool,
    /// What its state tells; absent in lists and before the first sync.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub details: Option<TaskDetails>,
}

impl TaskView {
    /// The task without details.
    pub fn of(task: &Task) -> Self {
        TaskView {
            name: task.name.clone(),
            id: task.id,
            connection: task.connection.clone(),
            local: task.local.clone(),
            remote: format!("/{}", task.remote),
            direction: task.direction,
            conflict: task.conflict,
            consistency_check: task.consistency_check,
            keep_removed: task.keep_removed,
            recycle_days: task.recycle_days,
            filter: task.filter.clone(),
            settings: task.settings.iter().cloned().collect(),
            paused: task.paused,
            details: None,
        }
    }
}

/// What a task's state tells.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TaskDetails {
    /// How many of what.
    pub counts: Counts,
    /// The first items that failed or wait for a person.
    pub problems: Vec<ItemLine>,
    /// The first items that a rule leaves out.
    pub skipped: Vec<ItemLine>,
}

impl TaskDetails {
    /// What this state tells.
    pub fn of(trees: &Trees) -> Result<Self> {
        let snapshot = trees.snapshot()?;
        let problems = snapshot.problems(None)?.take(LISTED).map(|row| {
            let (key, problem) = row?;
            ItemLine::of_problem(&snapshot, &key, problem)
        });
        let skipped =
            snapshot.skipped(None)?.take(LISTED).map(|key| ItemLine::of_skipped(&snapshot, &key?));
        Ok(TaskDetails {
            counts: Counts::of(&snapshot)?,
            problems: problems.collect::<Result<_>>()?,
            skipped: skipped.collect::<Result<_>>()?,
        })
    }
}

/// How many items of a task are in which state.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Counts {
    /// Files known on the disk.
    pub local_files: u64,
    /// Files known on the service.
    pub remote_files: u64,
    /// Items that are to be synced and have nothing wrong with them.
    pub pending: u64,
    /// Items that a rule leaves out.
    pub skipped: u64,
    /// Items that failed or wait for a person.
    pub problems: u64,
}

impl Counts {
    /// The counts of this state.
    pub fn of(snapshot: &Snapshot) -> Result<Self> {
        let mut pending = snapshot.dirty_count()?;
        for hold in snapshot.holds()? {
            pending = pending.saturating_sub(hold.items);
        }
        for row in snapshot.problems(None)? {
            if pending == 0 {
                break;
            }
            // A folder that can't be listed may be in sync itself.
            pending -= u64::from(snapshot.is_dirty(&row?.0)?);
        }
        Ok(Counts {
            local_files: snapshot.known_files(Side::Local)?,
            remote_files: snapshot.known_files(Side::Remote)?,
            pending,
            skipped: snapshot.skipped_count()?,
            problems: snapshot.problem_count()?,
        })
    }
}

/// What holds up a task, or one side of it, as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct HoldLine {
    /// Why, in a word that doesn't change: mass-removal, mass-overwrite, disk-full, quota-full,
    /// sign-in, root-lost, offline or another error's word.
    pub code: String,
    /// local or remote: the side that isn't written to, while the other goes on; null when the
    /// whole task waits.
    pub side: Option<Side>,
    /// What happened and why.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// When it began: RFC 3339, UTC.
    pub since: String,
    /// Items that wait because of it; 0 where they aren't counted.
    pub items: u64,
    /// Files known on the side, for mass-removal and mass-overwrite; else 0.
    pub known: u64,
    /// Paths of some of the items, at most 10.
    pub sample: Vec<String>,
}

impl HoldLine {
    fn of(hold: Hold) -> Self {
        let Hold { code, side, reason, remedy, since, items, known, sample } = hold;
        HoldLine { code, side, reason, remedy, since: rfc3339(since), items, known, sample }
    }
}

/// An item that isn't in sync, and the one reason for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ItemLine {
    /// The item.
    pub path: String,
    /// file or folder.
    pub kind: ItemKind,
    /// Whether it is on the disk.
    pub local: bool,
    /// `skipped`: a rule leaves it out; `held`: it waits for a person; `failed`: it is tried again
    /// by itself.
    pub state: String,
    /// The rule's or the error's word, which doesn't change.
    pub code: String,
    /// What the rule's word says nothing of: the character, the pattern, or the limit in bytes.
    pub detail: String,
    /// The same for a person.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// Since when: RFC 3339, UTC.
    pub since: String,
}

impl ItemLine {
    fn of_problem(snapshot: &Snapshot, key: &Key, problem: Problem) -> Result<Self> {
        let record = snapshot.get(key)?;
        Ok(ItemLine {
            path: snapshot.path(key)?,
            kind: key.kind(),
            local: record.is_some_and(|record| record.is_on(Side::Local)),
            state: if problem.waits_for_person() { "held" } else { "failed" }.into(),
            code: problem.kind,
            detail: String::new(),
            reason: problem.reason,
            remedy: problem.remedy,
            since: rfc3339(problem.since),
        })
    }

    fn of_skipped(snapshot: &Snapshot, key: &Key) -> Result<Self> {
        let record = snapshot.get(key)?;
        let local = record.as_ref().is_some_and(|record| record.is_on(Side::Local));
        let Some(Skip { reason, since }) = record.and_then(|record| record.skip) else {
            return Err(Error::new(Kind::State, key.plain(), "it is listed as skipped and isn't"));
        };
        Ok(ItemLine {
            path: snapshot.path(key)?,
            kind: key.kind(),
            local,
            state: "skipped".into(),
            code: reason.word().into(),
            detail: reason.detail(),
            reason: reason.to_string(),
            remedy: reason.remedy().into(),
            since: rfc3339(since),
        })
    }
}

/// An item that has another name now.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Renamed {
    /// Its new path in the task.
    pub path: String,
}

/// A page of what is in a folder of the files that a task removed and keeps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RemovedFiles {
    /// By name; of days, the newest first.
    pub items: Vec<RemovedFile>,
    /// What to give as `after` for the next page; null when this is the last one.
    pub next: Option<String>,
}

/// A file that a task removed and keeps, or a folder with such files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RemovedFile {
    /// Its name there.
    pub name: String,
    /// file or folder.
    pub kind: ItemKind,
    /// Bytes of a file.
    pub bytes: u64,
}

/// A removed file that is back.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Restored {
    /// Its path in the task.
    pub path: String,
}

/// A page of the items that aren't in sync: first those that failed or wait for a person, then
/// those that a rule leaves out.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ItemsPage {
    /// The items, each once.
    pub items: Vec<ItemLine>,
    /// What to give as `after` for the next page; null when this is the last one.
    pub next: Option<String>,
}

impl ItemsPage {
    /// The items after the place that `after` stands for, at most `limit` (which is taken as one
    /// of 1 to 1,000).
    ///
    /// # Errors
    /// `Usage` when `after` isn't from an earlier page.
    pub fn of(trees: &Trees, after: Option<&str>, limit: usize) -> Result<Self> {
        let snapshot = trees.snapshot()?;
        let limit = limit.clamp(1, MOST_ITEMS);
        let (mut list, mut at) = match after {
            Some(after) => {
                let (list, key) = place_of(after).ok_or_else(|| wrong_place(after))?;
                (list, Some(key))
            }
            None => (List::Problems, None),
        };
        let mut page = ItemsPage::default();
        let mut last = None;
        if list == List::Problems {
            for row in snapshot.problems(at.as_ref())?.take(limit) {
                let (key, problem) = row?;
                page.items.push(ItemLine::of_problem(&snapshot, &key, problem)?);
                last = Some((list, key));
            }
            if page.items.len() < limit {
                (list, at) = (List::Skipped, None);
            }
        }
        if list == List::Skipped {
            for key in snapshot.skipped(at.as_ref())?.take(limit - page.items.len()) {
                let key = key?;
                page.items.push(ItemLine::of_skipped(&snapshot, &key)?);
                last = Some((list, key));
            }
        }
        if let Some((list, key)) = last
            && page.items.len() == limit
        {
            let more = match list {
                List::Problems => {
                    snapshot.problems(Some(&key))?.next().is_some()
                        || snapshot.skipped(None)?.next().is_some()
                }
                List::Skipped => snapshot.skipped(Some(&key))?.next().is_some(),
            };
            page.next = more.then(|| place_to(list, &key));
        }
        Ok(page)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Problems,
    Skipped,
}

/// A place in the lists as one word without characters that mean something to a shell.
fn place_to(list: List, key: &Key) -> String {
    let letter = if list == List::Problems { 'p' } else { 's' };
    format!("{letter}{}-{}", key.folder, to_hex(key.name.as_bytes()))
}

fn place_of(text: &str) -> Option<(List, Key)> {
    let (list, rest) = match text.strip_prefix('p') {
        Some(rest) => (List::Problems, rest),
        None => (List::Skipped, text.strip_prefix('s')?),
    };
    let (folder, name) = rest.split_once('-')?;
    let name = String::from_utf8(from_hex(name)?).ok()?;
    Some((list, Key { folder: folder.parse().ok()?, name }))
}

fn wrong_place(after: &str) -> Error {
    Error::new(Kind::Usage, format!("the place {after}"), "it is none that was told as next")
        .remedy("begin without one")
}

/// What is paused after pausing or resuming.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Paused {
    /// Whether everything is.
    pub everything: bool,
    /// Connections paused of their own.
    pub connections: Vec<String>,
    /// Tasks paused of their own.
    pub tasks: Vec<String>,
}

impl Paused {
    /// What is paused now, of what is there for who asks.
    pub fn of(book: &Book, sight: &Sight<'_>) -> Result<Self> {
        let connections = sight.connections()?.into_iter().filter(|each| each.paused);
        let tasks = sight.tasks()?.into_iter().filter(|each| each.paused);
        Ok(Paused {
            everything: book.globals()?.paused,
            connections: connections.map(|each| each.name).collect(),
            tasks: tasks.map(|each| each.name).collect(),
        })
    }
}

/// A line of the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct LogLine {
    /// When it happened: RFC 3339, UTC.
    pub time: String,
    /// Name of the task.
    pub task: String,
    /// What happened: uploaded, downloaded, moved …
    pub action: String,
    /// The item; empty when it concerns the task.
    pub path: String,
    /// Bytes transferred.
    pub bytes: u64,
    /// What else there is to say.
    pub detail: String,
}

impl LogLine {
    /// The newest lines of a task's history.
    pub fn newest(task: &Task, trees: &Trees, limit: usize) -> Result<Vec<LogLine>> {
        let newest = trees.snapshot()?.history()?.take(limit);
        newest.map(|event| Ok(LogLine::of(task, event?))).collect()
    }

    /// A line of a task's history.
    pub fn of(task: &Task, event: Event) -> Self {
        LogLine {
            time: rfc3339(event.time),
            task: task.name.clone(),
            action: event.action,
            path: event.path,
            bytes: event.bytes,
            detail: event.detail,
        }
    }

    /// The last lines of several tasks' newest ones, oldest first.
    pub fn last(mut lines: Vec<LogLine>, limit: usize) -> Vec<LogLine> {
        // Each task's come newest first; the sort is stable and their times sort as text.
        lines.reverse();
        lines.sort_by(|a, b| a.time.cmp(&b.time));
        lines.split_off(lines.len().saturating_sub(limit))
    }
}

/// A page of the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct HistoryPage {
    /// Its lines, the newest first. There may be none before the end.
    pub lines: Vec<LogLine>,
    /// Where to go on; null at the end.
    pub next: Option<String>,
    /// Lines that are kept in all.
    pub kept: u64,
}

/// The settings of the program as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct SettingsView {
    /// Transfers of a task at the same time.
    pub transfers: u32,
    /// Lines of each task's history that are kept.
    pub history: u32,
    /// Whether administrators of the NAS see and change what belongs to others.
    pub admin_mode: bool,
    /// The least important lines that the log tells.
    pub log_level: Level,
    /// The folder in which the tasks' states lie; empty when that is the state folder.
    pub state_location: PathBuf,
}

impl SettingsView {
    /// These settings.
    pub fn of(globals: &Globals) -> Self {
        SettingsView {
            transfers: globals.transfers,
            history: globals.history,
            admin_mode: globals.admin_mode,
            log_level: globals.log_level.unwrap_or_else(logs::level),
            state_location: globals.state_location.clone().unwrap_or_default(),
        }
    }
}

/// The key that the tasks of a connection are encrypted with.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct KeyView {
    /// The connection.
    pub connection: String,
    /// The key. With it, everything in the encrypted folders can be read.
    #[cfg_attr(test, ts(type = "string"))]
    pub key: Secret,
    /// Where the key is the private one of a pair in Cloud Sync's format: a ZIP archive with both, as
    /// Cloud Sync exports them, in base64.
    #[cfg_attr(test, ts(type = "string | null"))]
    pub zip: Option<Secret>,
}

/// The password of the panel.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct PasswordView {
    /// Whether there is one.
    pub set: bool,
}

/// What became of logging in to the panel, or out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct LoginView {
    /// Whether one is logged in; what is wrong is told as an error.
    pub logged_in: bool,
}

/// How all tasks are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StatusView {
    /// Whether a daemon runs.
    pub daemon: bool,
    /// Whether everything is paused.
    pub paused: bool,
    /// The tasks.
    pub tasks: Vec<TaskStatus>,
}

/// How a task is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// Name of its connection.
    pub connection: String,
    /// In a word: stopped (no daemon runs), paused, or what the daemon says.
    pub state: String,
    /// What its state tells; its fields stand beside these, and are absent before the first sync.
    #[serde(flatten)]
    #[cfg_attr(test, ts(skip))]
    pub overview: Option<Overview>,
    /// What a person should know first: an error or a hold, and what to do.
    pub message: Option<String>,
    /// The word of that error or hold, which doesn't change; null where there is none.
    pub code: Option<String>,
}

/// What a person should know of a task first.
#[derive(Clone, Debug)]
pub struct Message {
    /// What, why, and what to do.
    pub text: String,
    /// The word of the error or hold that it tells.
    pub code: Option<String>,
}

impl From<&Error> for Message {
    fn from(error: &Error) -> Self {
        Message { text: error.to_string(), code: Some(error.kind().word().into()) }
    }
}

/// What a task keeps of the files that it removed from the disk, as far as nobody else has put
/// something there or taken it out.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct RecycledView {
    /// How many files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Where they are: a folder in the local folder.
    pub folder: String,
}

impl RecycledView {
    fn of(recycled: Recycled, task: u64) -> Self {
        let folder = recycle_area(task);
        RecycledView { files: recycled.files(), bytes: recycled.bytes(), folder }
    }
}

/// What a task's state tells of it as a whole.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Overview {
    /// Both sides were the same when they were last looked at, apart from what is skipped, held or
    /// failed and counted as such.
    pub up_to_date: bool,
    /// How many of what.
    pub counts: Counts,
    /// What holds up the task, or one side of it, as a whole.
    pub holds: Vec<HoldLine>,
    /// What it keeps of the files that it removed from the disk.
    pub recycled: RecycledView,
}

impl Overview {
    /// What this state tells of the task with this id.
    pub fn of(trees: &Trees, task: u64) -> Result<Self> {
        let snapshot = trees.snapshot()?;
        let counts = Counts::of(&snapshot)?;
        let holds: Vec<_> = snapshot.holds()?.into_iter().map(HoldLine::of).collect();
        let up_to_date = counts.pending == 0 && holds.is_empty() && has_looked(&snapshot)?;
        let recycled = RecycledView::of(snapshot.recycled()?.unwrap_or_default(), task);
        Ok(Overview { up_to_date, counts, holds, recycled })
    }

    /// The mass removals and overwrites that wait for a person's word.
    pub fn sweeps(&self) -> Approval {
        Approval::of(self.holds.iter().map(|hold| (&*hold.code, hold.side, hold.items)))
    }

    /// The first of what holds it up, with what to do.
    pub fn message(&self) -> Option<Message> {
        self.holds.first().map(|hold| Message {
            text: format!("{}; {}", hold.reason, hold.remedy),
            code: Some(hold.code.clone()),
        })
    }
}

impl TaskStatus {
    /// A task of which nothing but its state's word is known yet.
    pub fn of(task: &Task, state: &str) -> Self {
        TaskStatus {
            name: task.name.clone(),
            connection: task.connection.clone(),
            state: state.to_owned(),
            overview: None,
            message: None,
            code: None,
        }
    }

    /// Takes in what a person should know first.
    pub fn tell(&mut self, message: Option<Message>) {
        let (text, code) = message.map(|Message { text, code }| (text, code)).unzip();
        (self.message, self.code) = (text, code.flatten());
    }

    /// Takes in what the state of the task with this id tells.
    pub fn read(&mut self, trees: &Trees, task: u64) -> Result<()> {
        let overview = Overview::of(trees, task)?;
        self.tell(overview.message());
        self.overview = Some(overview);
        Ok(())
    }
}

/// How a task is, and which of its items aren't in sync.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct TaskItems {
    /// How it is; its fields stand beside these.
    #[serde(flatten)]
    pub status: TaskStatus,
    /// A page of the items; its fields stand beside these.
    #[serde(flatten)]
    pub page: ItemsPage,
}

fn rfc3339(time: Nanos) -> String {
    // A clock before 1970 isn't worth a failure.
    let since = Duration::from_nanos(u64::try_from(time).unwrap_or(0));
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_understood_again() {
        for (list, name) in [(List::Problems, "a-b/"), (List::Skipped, "ü\n")] {
            let key = Key { folder: 7, name: name.into() };
            let text = place_to(list, &key);
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{text}");
            assert!(place_of(&text) == Some((list, key)));
        }
        for wrong in ["", "p", "p1", "p1-", "p1-f", "p1-ff", "x1-61", "p-61", "s1-61-61"] {
            assert!(place_of(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn the_last_lines_of_all_tasks_come_oldest_first() {
        let line = |task: &str, time: Nanos, path: &str| LogLine {
            time: rfc3339(time * 1_000_000),
            task: task.into(),
            action: "uploaded".into(),
            path: path.into(),
            bytes: 0,
            detail: String::new(),
        };
        // Each task's newest first, as they are read.
        let lines = vec![
            line("a", 9, "a3"),
            line("a", 5, "a2"),
            line("a", 5, "a1"),
            line("b", 7, "b2"),
            line("b", -1, "b1"),
        ];
        let last = |limit| {
            let lines = LogLine::last(lines.clone(), limit);
            lines.into_iter().map(|line| line.path).collect::<Vec<_>>()
        };
        assert_eq!(last(10), ["b1", "a1", "a2", "b2", "a3"]);
        assert_eq!(last(2), ["b2", "a3"]);
        assert!(last(0).is_empty());
    }
}
