//! What a person or a program can ask of Mooring, and the answers.
//!
//! The command line, the daemon's socket and the panel all speak in [`Request`]s, so that each
//! does the same thing, whoever asks and whether or not a daemon runs. The answers are the
//! documents of [`view`]. No secret is in one, but for the key that [`Request::ConnectionKey`] is
//! there to hand out.

mod buckets;
pub mod diagnostics;
mod folders;
pub mod history;
mod reach;
mod removed;
mod rename;
mod sight;
#[cfg(test)]
mod types;
pub mod view;

pub use reach::Reach;
pub use sight::Sight;

use crate::caller::Caller;
use crate::crypt;
use crate::engine::{Approval, Engine, Setup};
use crate::error::{Error, Kind, Result};
use crate::http::{Cancel, Http};
use crate::remote::Settings as Values;
use crate::services;
use crate::settings::{Book, Entered, NewTask, Scope, Secret, Task, TaskChange};
use crate::store::Trees;
use history::Wanted;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};
use view::{
    Authorization, ConnectionView, ItemsPage, KeyView, LogLine, Overview, PasswordView, Paused,
    Removed, ServiceName, ServiceView, SettingsView, SignedIn, StatusView, TaskDetails, TaskItems,
    TaskStatus, TaskView, Tested,
};

/// Most bytes of a [`Request`] as JSON.
pub const MOST_BYTES: usize = 64 << 10;

/// Something asked of Mooring. Each variant is named like the command that asks it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Request {
    /// Which services there are: [`ServiceName`]s.
    ServiceList,
    /// All about a service: a [`ServiceView`].
    ServiceShow {
        /// Its name.
        name: String,
    },
    /// All connections: [`ConnectionView`]s.
    ConnectionList,
    /// All about a connection: a [`ConnectionView`].
    ConnectionShow {
        /// Its name.
        name: String,
    },
    /// Adds a connection, answering with its [`ConnectionView`].
    ConnectionAdd {
        /// A new name.
        name: String,
        /// Name of its service.
        service: String,
        /// Its settings.
        entered: Entered,
    },
    /// Changes a connection, answering with its [`ConnectionView`].
    ConnectionSet {
        /// Its name.
        name: String,
        /// The settings to change.
        entered: Entered,
    },
    /// Tries a connection out: [`Tested`], or the error that says what is wrong. Takes as long as
    /// the network does.
    ConnectionTest {
        /// Its name.
        name: String,
    },
    /// Tries out what a person entered before anything of it is saved, as
    /// [`Request::ConnectionTest`] does: [`Tested`].
    ConnectionTry {
        /// The connection that it changes; none where it is a new one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Name of its service.
        service: String,
        /// Its settings; what isn't entered is as it was.
        entered: Entered,
    },
    /// The buckets that a person chooses from for a connection, before anything that was entered is
    /// saved: a [`view::BucketsView`]. Takes as long as the network does.
    Buckets {
        /// The connection that it changes; none where it is a new one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Name of its service.
        service: String,
        /// Its settings; what isn't entered is as it was, and the bucket may be missing.
        entered: Entered,
    },
    /// Makes a bucket for a connection, likewise: a [`view::BucketMade`]. One that the account has
    /// already is as good. Takes as long as the network does.
    BucketMake {
        /// The connection that it changes; none where it is a new one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Name of its service.
        service: String,
        /// Its settings; what isn't entered is as it was, and the bucket may be missing.
        entered: Entered,
        /// Name of the bucket.
        bucket: String,
    },
    /// Begins to sign in to a service: an [`Authorization`] that says what a person does next.
    ConnectionAuthorize {
        /// Its name.
        name: String,
        /// Where the browser is to end; what suits the service when it is left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redirect: Option<String>,
    },
    /// Finishes what [`Request::ConnectionAuthorize`] began within the last half hour:
    /// [`SignedIn`]. Takes as long as the network does.
    ConnectionAuthorized {
        /// Its name.
        name: String,
        /// What the person brought back: the address that the browser ended at, or the code.
        #[cfg_attr(test, ts(type = "string"))]
        answer: Secret,
    },
    /// Hands out the key that the tasks of a connection are encrypted with, to be kept in a safe
    /// place: a [`KeyView`].
    ConnectionKey {
        /// Its name.
        name: String,
    },
    /// Removes a connection: [`Removed`].
    ConnectionRemove {
        /// Its name.
        name: String,
    },
    /// All tasks: [`TaskView`]s.
    TaskList,
    /// All about a task: a [`TaskView`] with [`TaskDetails`].
    TaskShow {
        /// Its name.
        name: String,
    },
    /// Adds a task, answering with its [`TaskView`].
    TaskAdd {
        /// The task.
        task: NewTask,
        /// Whether it waits to be resumed, to be previewed first.
        #[serde(default, skip_serializing_if = "is_false")]
        paused: bool,
    },
    /// Changes a task, answering with its [`TaskView`].
    TaskSet {
        /// Its name.
        name: String,
        /// What to change.
        change: TaskChange,
    },
    /// Removes a task, but neither of its folders: [`Removed`].
    TaskRemove {
        /// Its name.
        name: String,
    },
    /// The folders in a folder of the NAS, to choose from: a [`view::FoldersView`]. A NAS user is
    /// told of those that this user may look into.
    LocalFolders {
        /// The folder; an empty path stands for where to begin.
        path: PathBuf,
    },
    /// Makes a folder on the NAS and tells what is in it: a [`view::FoldersView`].
    LocalFolderMake {
        /// The folder, in one that is there.
        path: PathBuf,
    },
    /// The folders in a folder of a service, to choose from: a [`view::FoldersView`]. Takes as
    /// long as the network does.
    RemoteFolders {
        /// Name of the connection.
        connection: String,
        /// The folder; a `/` at either end means nothing.
        path: String,
    },
    /// Makes a folder on a service and tells what is in it: a [`view::FoldersView`]. Takes as long
    /// as the network does.
    RemoteFolderMake {
        /// Name of the connection.
        connection: String,
        /// The folder; a `/` at either end means nothing.
        path: String,
    },
    /// Pauses: [`Paused`].
    Pause {
        /// What.
        scope: Scope,
    },
    /// Resumes: [`Paused`].
    Resume {
        /// What.
        scope: Scope,
    },
    /// The last lines of the history, oldest first: [`LogLine`]s.
    Log {
        /// Of this task only.
        task: Option<String>,
        /// At most so many lines.
        limit: usize,
    },
    /// The history a page at a time, the newest lines first: a [`view::HistoryPage`].
    History {
        /// Of this task only.
        task: Option<String>,
        /// The `next` of the page before; the newest lines without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// At most so many lines, up to 1,000.
        limit: usize,
        /// What happened; anything if it is empty.
        #[serde(default)]
        action: String,
        /// What the item's path or the detail has in it, in upper or lower case.
        #[serde(default)]
        search: String,
    },
    /// The settings of the program as a whole: [`SettingsView`].
    Settings,
    /// Changes one of them, answering with all: [`SettingsView`].
    SettingsSet {
        /// Its name.
        key: String,
        /// Its new value.
        value: String,
    },
    /// Sets the password of the panel where it has a login of its own: [`PasswordView`]. Ends all
    /// sessions there.
    PasswordSet {
        /// The password; an empty one takes it back.
        #[cfg_attr(test, ts(type = "string"))]
        password: Secret,
    },
    /// All settings as one document: a [`crate::settings::Export`].
    Export {
        /// Seals the secrets; without it, they aren't in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "string | null"))]
        password: Option<Secret>,
    },
    /// Takes such a document over, which adds and replaces but removes nothing:
    /// [`crate::settings::ImportLine`]s.
    Import {
        /// The document.
        #[cfg_attr(test, ts(type = "unknown"))]
        document: Value,
        /// What its secrets were sealed with; without it, they are left out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(type = "string | null"))]
        password: Option<Secret>,
        /// Whether it is done; else it is only told.
        apply: bool,
    },
    /// Everything that helps to find out what is wrong, without secrets: a document for people.
    Diagnostics {
        /// Whether names of files, folders and whatever a person named are left in.
        names: bool,
    },
    /// How all tasks are: a [`StatusView`].
    Status,
    /// How a task is and which of its items aren't in sync, a page at a time: [`TaskItems`].
    TaskStatus {
        /// Its name.
        name: String,
        /// The `next` of the page before; the first page without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// At most so many items, up to 1,000.
        limit: usize,
    },
    /// Renames an item on the disk that can't be synced by its name, in the folder where it is and
    /// never over another: a [`view::Renamed`].
    ItemRename {
        /// The task.
        task: String,
        /// The item, by its path in the task.
        path: String,
        /// Its new name, which has to be one that can be synced.
        name: String,
    },
    /// What is in a folder of the files that a task removed from the disk and keeps, a page at a
    /// time: [`view::RemovedFiles`].
    RemovedFiles {
        /// The task.
        task: String,
        /// A day, as `2026-11-23`, perhaps with a folder of the task behind it; the days themselves
        /// for an empty path.
        path: String,
        /// The `next` of the page before; the first page without it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    /// Puts one of these files back to where it was, never over another: a [`view::Restored`].
    RemovedRestore {
        /// The task.
        task: String,
        /// The file: its day, and its path in the task.
        path: String,
    },
    /// What a sync would do: a [`view::Preview`].
    Preview {
        /// The task.
        task: String,
    },
    /// Syncs once: a report.
    Sync {
        /// The task.
        task: String,
        /// Whether mass removals and overwrites that wait for a person's word go ahead.
        approve: bool,
        /// How many of them the person was shown, if it isn't what the status tells now: more than
        /// these wait again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shown: Option<Approval>,
    },
    /// Compares disk, state and service for some seconds: `findings`, and `verified` that says
    /// where to go on, if anything is left.
    Verify {
        /// The task.
        task: String,
        /// The item after which to go on; from the beginning without it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        after: String,
        /// Whether no content is read.
        quick: bool,
    },
}

/// Whether [`prepare`] may have to ask a service.
pub fn asks_service(request: &Request) -> bool {
    matches!(request, Request::TaskSet { change, .. } if change.direction.is_some())
}

/// Asks the service what has to be known before a request is performed, if anything has to. Takes as
/// long as the network does then.
///
/// # Errors
/// Those of [`Book::agree_on_change`].
pub fn prepare(book: &Book, request: &Request) -> Result<()> {
    match request {
        Request::TaskSet { name, change } => book.agree_on_change(name, change),
        _ => Ok(()),
    }
}

/// Does what is asked with the settings alone, where no daemon runs or where it doesn't matter.
///
/// A daemon answers [`Request::TaskShow`], [`Request::TaskStatus`], [`Request::Log`] and
/// [`Request::Status`] itself, from
/// the states it has open; who has an [`Engine`] does [`Request::Preview`], [`Request::Sync`] and
/// [`Request::Verify`].
///
/// # Errors
/// Those of [`Sight::permit`], `Usage` when what is asked breaks a rule, and whatever the disk and
/// the service say.
pub fn perform(book: &Book, caller: &Caller, request: Request) -> Result<Value> {
    let sight = Sight::new(book, caller, book.globals()?.admin_mode);
    sight.permit(&request)?;
    let base = &book.base()?;
    match request {
        Request::ServiceList => service_list(),
        Request::ServiceShow { name } => service_show(&name),
        Request::ConnectionList => {
            let connections = sight.connections()?;
            let views = connections.iter().map(|each| ConnectionView::of(book, each));
            document(&views.collect::<Result<Vec<_>>>()?)
        }
        Request::ConnectionShow { name } => {
            document(&ConnectionView::of(book, &book.connection(&name)?)?)
        }
        Request::ConnectionAdd { name, service, entered } => {
            let added = book.add_connection(&name, &service, caller.owner(), entered)?;
            document(&ConnectionView::of(book, &added)?)
        }
        Request::ConnectionSet { name, entered } => {
            let changed = book.change_connection(&name, entered)?;
            document(&ConnectionView::of(book, &changed)?)
        }
        Request::ConnectionTest { name } => {
            let connection = book.connection(&name)?;
            test(&connection.service, &book.values(&connection)?)?;
            document(&Tested { connection: connection.name, ok: true })
        }
        Request::ConnectionTry { name, service, entered } => {
            let values = book.values_entered(name.as_deref(), &service, entered)?;
            test(&service, &values)?;
            document(&Tested { connection: name.unwrap_or_default(), ok: true })
        }
        Request::Buckets { name, service, entered } => {
            document(&buckets::list(book, name.as_deref(), &service, entered)?)
        }
        Request::BucketMake { name, service, entered, bucket } => {
            document(&buckets::make(book, name.as_deref(), &service, entered, bucket)?)
        }
        Request::ConnectionAuthorize { name, redirect } => {
            let begun = book.begin_sign_in(&name, redirect)?;
            document(&Authorization::of(name, begun))
        }
        Request::ConnectionAuthorized { name, answer } => {
            book.finish_sign_in(&name, answer)?;
            document(&SignedIn { connection: name, signed_in: true })
        }
        Request::ConnectionKey { name } => {
            let (key, zip) = book.encryption_key(&name)?;
            document(&KeyView { connection: name, key, zip })
        }
        Request::ConnectionRemove { name } => {
            book.remove_connection(&name)?;
            document(&Removed { removed: name })
        }
        Request::TaskList => document(&sight.tasks()?.iter().map(TaskView::of).collect::<Vec<_>>()),
        Request::TaskShow { name } => {
            let task = book.task(&name)?;
            let details = with_trees(base, &task, TaskDetails::of)?;
            document(&TaskView { details, ..TaskView::of(&task) })
        }
        Request::TaskAdd { task, paused } => {
            let added = book.add_task(task)?;
            if paused {
                book.pause(&Scope::Task(added.name.clone()), true)?;
            }
            document(&TaskView::of(&book.task(&added.name)?))
        }
        Request::TaskSet { name, change } => {
            document(&TaskView::of(&book.change_task(&name, change)?))
        }
        Request::TaskRemove { name } => {
            book.remove_task(&name)?;
            document(&Removed { removed: name })
        }
        Request::LocalFolders { path } => document(&folders::local(sight.confined_to(), &path)?),
        Request::LocalFolderMake { path } => {
            document(&folders::make_local(sight.confined_to(), &path)?)
        }
        Request::RemoteFolders { connection, path } => {
            document(&folders::remote(book, &connection, &path)?)
        }
        Request::RemoteFolderMake { connection, path } => {
            document(&folders::make_remote(book, &connection, &path)?)
        }
        Request::Pause { scope } => {
            book.pause(&scope, true)?;
            document(&Paused::of(book, &sight)?)
        }
        Request::Resume { scope } => {
            book.pause(&scope, false)?;
            document(&Paused::of(book, &sight)?)
        }
        Request::Log { task, limit } => document(&log(&sight, book, base, task.as_deref(), limit)?),
        Request::History { task, before, limit, action, search } => {
            let wanted = Wanted::new(limit, &action, &search, before.as_deref())?;
            let mut found = Vec::new();
            for task in history_tasks(&sight, book, task.as_deref())? {
                found.extend(with_trees(base, &task, |trees| wanted.find(&task, trees))?);
            }
            document(&wanted.page(found))
        }
        Request::Settings => document(&SettingsView::of(&book.globals()?)),
        Request::SettingsSet { key, value } => {
            document(&SettingsView::of(&book.set_global(&key, &value)?))
        }
        Request::PasswordSet { password } => {
            document(&PasswordView { set: book.set_password(password)? })
        }
        Request::Export { password } => document(&book.export(password)?),
        Request::Import { document: entered, password, apply } => {
            let export = serde_json::from_value(entered).map_err(|error| {
                Error::new(Kind::Usage, "the document", error)
                    .remedy("give one that was exported: mooring settings export")
            })?;
            document(&book.import(export, password, apply)?)
        }
        Request::Diagnostics { names } => {
            let (status, history) = (
                document(&status(&sight, book, base)?)?,
                document(&log(&sight, book, base, None, diagnostics::HISTORY)?)?,
            );
            diagnostics::document(book, &sight, status, history, names)
        }
        Request::Status => document(&status(&sight, book, base)?),
        Request::TaskStatus { name, after, limit } => {
            let task = book.task(&name)?;
            let status = task_status(book, base, &task)?;
            let page = items(base, &task, after.as_deref(), limit)?;
            document(&TaskItems { status, page })
        }
        Request::ItemRename { task, path, name } => {
            document(&rename::item(book, &task, &path, &name)?)
        }
        Request::RemovedFiles { task, path, after } => {
            document(&removed::list(book, &task, &path, after.as_deref().unwrap_or_default())?)
        }
        Request::RemovedRestore { task, path } => document(&removed::restore(book, &task, &path)?),
        Request::Preview { task } | Request::Sync { task, .. } | Request::Verify { task, .. } => {
            let what = format!("task {}", book.task(&task)?.name);
            Err(Error::new(Kind::Usage, what, "only who has opened it can look or sync")
                .remedy("ask by mooring plan, mooring sync or mooring verify"))
        }
    }
}

/// Answers [`Request::ServiceList`], for which no settings are needed.
pub fn service_list() -> Result<Value> {
    let names = services::ALL.iter().map(|service| ServiceName::of(service.descriptor()));
    document(&names.collect::<Vec<_>>())
}

/// Answers [`Request::ServiceShow`], for which no settings are needed.
pub fn service_show(name: &str) -> Result<Value> {
    document(&ServiceView::of(services::find(name)?.descriptor()))
}

/// Opens a task to preview or sync it.
///
/// # Errors
/// `Usage` when there is none or its connection is incomplete, `SignIn` when its secrets can't
/// be unsealed, `State` when it is open elsewhere, and those of [`Reach::disk`].
pub fn open_task(book: &Book, name: &str, cancel: Cancel) -> Result<Engine> {
    open_by(Engine::open, book, name, cancel)
}

/// Opens a task only to verify it: its state isn't written.
///
/// # Errors
/// As [`open_task`], and `NotFound` when it was never synced.
pub fn open_task_to_verify(book: &Book, name: &str, cancel: Cancel) -> Result<Engine> {
    open_by(Engine::open_to_verify, book, name, cancel)
}

fn open_by(
    open: fn(Setup<'_>) -> Result<Engine>,
    book: &Book,
    name: &str,
    cancel: Cancel,
) -> Result<Engine> {
    let task = book.task(name)?;
    let connection = book.connection(&task.connection)?;
    let globals = book.globals()?;
    open(Setup {
        task: &task,
        disk: Reach::of(&connection, &globals).disk(&task)?,
        service: crypt::of_task(services::find(&connection.service)?, &task.settings),
        values: &book.values(&connection)?,
        state: &book.base()?,
        transfers: globals.transfers as usize,
        history: globals.history.into(),
        cancel,
    })
}

/// Refuses to sync a task that a person paused.
///
/// # Errors
/// `Approval` when the task, its connection or everything is paused.
pub fn refuse_paused(book: &Book, task: &Task) -> Result<()> {
    let remedy = if task.paused {
        format!("resume it: mooring resume \"{}\"", task.name)
    } else if book.connection(&task.connection)?.paused {
        format!("resume its connection: mooring resume --connection \"{}\"", task.connection)
    } else if book.globals()?.paused {
        "resume everything: mooring resume".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Approval, format!("task {}", task.name), "it is paused").remedy(remedy))
}

/// Tries out a service with these values.
fn test(service: &str, values: &Values) -> Result<()> {
    let service = services::find(service)?;
    let options = values.http_options(service.descriptor(), 1);
    service.open(values, Http::new(&options, Cancel::default())?, "")?.test()
}

fn log(
    sight: &Sight<'_>,
    book: &Book,
    base: &Path,
    task: Option<&str>,
    limit: usize,
) -> Result<Vec<LogLine>> {
    let mut lines = Vec::new();
    for task in &history_tasks(sight, book, task)? {
        let newest = with_trees(base, task, |trees| LogLine::newest(task, trees, limit))?;
        lines.extend(newest.unwrap_or_default());
    }
    Ok(LogLine::last(lines, limit))
}

/// The tasks whose history is asked for.
pub fn history_tasks(sight: &Sight<'_>, book: &Book, task: Option<&str>) -> Result<Vec<Task>> {
    match task {
        Some(name) => Ok(vec![book.task(name)?]),
        None => sight.tasks(),
    }
}

fn status(sight: &Sight<'_>, book: &Book, base: &Path) -> Result<StatusView> {
    let mut tasks = Vec::new();
    for task in sight.tasks()? {
        tasks.push(task_status(book, base, &task)?);
    }
    Ok(StatusView { daemon: false, paused: book.globals()?.paused, tasks })
}

fn task_status(book: &Book, base: &Path, task: &Task) -> Result<TaskStatus> {
    let word = if book.is_paused(task)? { "paused" } else { "stopped" };
    let mut status = TaskStatus::of(task, word);
    // One damaged state mustn't hide how the other tasks are.
    if let Err(error) = with_trees(base, task, |trees| status.read(trees, task.id)) {
        status.tell(Some((&error).into()));
    }
    if status.message.is_none()
        && let Err(error) = book.values(&book.connection(&task.connection)?)
    {
        status.tell(Some((&error).into()));
    }
    Ok(status)
}

/// What the state of a task that nobody has open tells; `None` when it was never synced.
///
/// # Errors
/// `State` when it is damaged or open, or a disk error.
pub fn overview(base: &Path, task: &Task) -> Result<Option<Overview>> {
    with_trees(base, task, |trees| Overview::of(trees, task.id))
}

/// The items of a task that nobody has open, as [`ItemsPage::of`]; none when it was never synced.
///
/// # Errors
/// Those of [`overview`] and [`ItemsPage::of`].
pub fn items(base: &Path, task: &Task, after: Option<&str>, limit: usize) -> Result<ItemsPage> {
    let page = with_trees(base, task, |trees| ItemsPage::of(trees, after, limit))?;
    Ok(page.unwrap_or_default())
}

/// Reads the state of a task that nobody has open; `None` when it was never synced.
///
/// # Errors
/// `State` when it is damaged or open, or a disk error.
pub fn with_trees<T>(
    base: &Path,
    task: &Task,
    read: impl FnOnce(&Trees) -> Result<T>,
) -> Result<Option<T>> {
    let file = task.state_file(base);
    // Opening would make it, and asking how things are mustn't write.
    if file.exists() { read(&Trees::open(&file)?).map(Some) } else { Ok(None) }
}

/// What is left out of a request when it doesn't hold.
fn is_false(holds: &bool) -> bool {
    !holds
}

fn document<T: Serialize>(view: &T) -> Result<Value> {
    serde_json::to_value(view).map_err(|error| Error::new(Kind::State, "the answer", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_their_form() {
        for text in [
            r#"{"request":"task_show","name":"docs"}"#,
            r#"{"request":"pause","scope":"everything"}"#,
            r#"{"request":"resume","scope":{"connection":"cloud"}}"#,
            r#"{"request":"log","task":null,"limit":100}"#,
            r#"{"request":"history","task":null,"before":"1-30","limit":200,"action":"moved","search":""}"#,
            r#"{"request":"task_status","name":"docs","after":"p1-61","limit":100}"#,
            r#"{"request":"task_status","name":"docs","limit":100}"#,
            r#"{"request":"sync","task":"docs","approve":true}"#,
            r#"{"request":"sync","task":"docs","approve":true,"shown":{"local":{"removals":60,"overwrites":0},"remote":{"removals":0,"overwrites":9}}}"#,
            r#"{"request":"verify","task":"docs","quick":true}"#,
            r#"{"request":"verify","task":"docs","after":"a/b","quick":false}"#,
            r#"{"request":"connection_authorize","name":"cloud"}"#,
            r#"{"request":"connection_authorized","name":"cloud","answer":"code"}"#,
            r#"{"request":"connection_try","service":"s3","entered":{"values":[["bucket","b"]],"secrets":[]}}"#,
            r#"{"request":"connection_set","name":"cloud","entered":{"values":[["poll","9"]],"secrets":[["secret-key","s"]]}}"#,
            r#"{"request":"export"}"#,
            r#"{"request":"import","document":{},"password":"secret","apply":false}"#,
            r#"{"request":"diagnostics","names":false}"#,
            r#"{"request":"connection_set","name":"cloud","entered":{"values":[],"secrets":[],"schedule":{"enabled":false}}}"#,
        ] {
            let request: Request = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
        }
    }
}
