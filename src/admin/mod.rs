//! What a person or a program can ask of Mooring, and the answers.
//!
//! The command line, the daemon's socket and the panel all speak in [`Request`]s, so that each
//! does the same thing, whoever asks and whether or not a daemon runs. The answers are the
//! documents of [`view`]. No secret is in one, but for the key that [`Request::ConnectionKey`] is
//! there to hand out.

mod folders;
mod reach;
mod sight;
#[cfg(test)]
mod types;
pub mod view;

pub use reach::Reach;
pub use sight::Sight;

use crate::caller::Caller;
use crate::crypt;
use crate::engine::{Engine, Setup};
use crate::error::{Error, Kind, Result};
use crate::http::{Cancel, Http};
use crate::remote::Settings as Values;
use crate::services;
use crate::settings::{Book, Entered, NewTask, Scope, Secret, Task, TaskChange};
use crate::store::Trees;
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
pub fn perform(book: &Book, state: &Path, caller: &Caller, request: Request) -> Result<Value> {
    let sight = Sight::new(book, caller, book.globals()?.admin_mode);
    sight.permit(&request)?;
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
        Request::ConnectionAuthorize { name, redirect } => {
            let begun = book.begin_sign_in(&name, redirect)?;
            document(&Authorization::of(name, begun))
        }
        Request::ConnectionAuthorized { name, answer } => {
            book.finish_sign_in(&name, answer)?;
            document(&SignedIn { connection: name, signed_in: true })
        }
        Request::ConnectionKey { name } => {
            let key = book.encryption_key(&name)?;
            document(&KeyView { connection: name, key })
        }
        Request::ConnectionRemove { name } => {
            book.remove_connection(&name)?;
            document(&Removed { removed: name })
        }
        Request::TaskList => document(&sight.tasks()?.iter().map(TaskView::of).collect::<Vec<_>>()),
        Request::TaskShow { name } => {
            let task = book.task(&name)?;
            let details = with_trees(state, &task, TaskDetails::of)?;
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
        Request::Log { task, limit } => {
            document(&log(&sight, book, state, task.as_deref(), limit)?)
        }
        Request::Settings => document(&SettingsView::of(&book.globals()?)),
        Request::SettingsSet { key, value } => {
            document(&SettingsView::of(&book.set_global(&key, &value)?))
        }
        Request::PasswordSet { password } => {
            document(&PasswordView { set: book.set_password(password)? })
        }
        Request::Status => document(&status(&sight, book, state)?),
        Request::TaskStatus { name, after, limit } => {
            let task = book.task(&name)?;
            let status = task_status(book, state, &task)?;
            let page = items(state, &task, after.as_deref(), limit)?;
            document(&TaskItems { status, page })
        }
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
pub fn open_task(book: &Book, state: &Path, name: &str, cancel: Cancel) -> Result<Engine> {
    open_by(Engine::open, book, state, name, cancel)
}

/// Opens a task only to verify it: its state isn't written.
///
/// # Errors
/// As [`open_task`], and `NotFound` when it was never synced.
pub fn open_task_to_verify(
    book: &Book,
    state: &Path,
    name: &str,
    cancel: Cancel,
) -> Result<Engine> {
    open_by(Engine::open_to_verify, book, state, name, cancel)
}

fn open_by(
    open: fn(Setup<'_>) -> Result<Engine>,
    book: &Book,
    state: &Path,
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
        state,
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
    state: &Path,
    task: Option<&str>,
    limit: usize,
) -> Result<Vec<LogLine>> {
    let tasks = match task {
        Some(name) => vec![book.task(name)?],
        None => sight.tasks()?,
    };
    let mut lines = Vec::new();
    for task in &tasks {
        let newest = with_trees(state, task, |trees| LogLine::newest(task, trees, limit))?;
        lines.extend(newest.unwrap_or_default());
    }
    Ok(LogLine::last(lines, limit))
}

fn status(sight: &Sight<'_>, book: &Book, state: &Path) -> Result<StatusView> {
    let mut tasks = Vec::new();
    for task in sight.tasks()? {
        tasks.push(task_status(book, state, &task)?);
    }
    Ok(StatusView { daemon: false, paused: book.globals()?.paused, tasks })
}

fn task_status(book: &Book, state: &Path, task: &Task) -> Result<TaskStatus> {
    let word = if book.is_paused(task)? { "paused" } else { "stopped" };
    let mut status = TaskStatus::of(task, word);
    // One damaged state mustn't hide how the other tasks are.
    if let Err(error) = with_trees(state, task, |trees| status.read(trees)) {
        status.message = Some(error.to_string());
    }
    if status.message.is_none()
        && let Err(error) = book.values(&book.connection(&task.connection)?)
    {
        status.message = Some(error.to_string());
    }
    Ok(status)
}

/// What the state of a task that nobody has open tells; `None` when it was never synced.
///
/// # Errors
/// `State` when it is damaged or open, or a disk error.
pub fn overview(state: &Path, task: &Task) -> Result<Option<Overview>> {
    with_trees(state, task, Overview::of)
}

/// The items of a task that nobody has open, as [`ItemsPage::of`]; none when it was never synced.
///
/// # Errors
/// Those of [`overview`] and [`ItemsPage::of`].
pub fn items(state: &Path, task: &Task, after: Option<&str>, limit: usize) -> Result<ItemsPage> {
    let page = with_trees(state, task, |trees| ItemsPage::of(trees, after, limit))?;
    Ok(page.unwrap_or_default())
}

/// Reads a task's state; `None` when it was never synced.
fn with_trees<T>(
    state: &Path,
    task: &Task,
    read: impl FnOnce(&Trees) -> Result<T>,
) -> Result<Option<T>> {
    let file = task.state_file(state);
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
            r#"{"request":"task_status","name":"docs","after":"p1-61","limit":100}"#,
            r#"{"request":"task_status","name":"docs","limit":100}"#,
            r#"{"request":"sync","task":"docs","approve":true}"#,
            r#"{"request":"verify","task":"docs","quick":true}"#,
            r#"{"request":"verify","task":"docs","after":"a/b","quick":false}"#,
            r#"{"request":"connection_authorize","name":"cloud"}"#,
            r#"{"request":"connection_authorized","name":"cloud","answer":"code"}"#,
            r#"{"request":"connection_try","service":"s3","entered":{"values":[["bucket","b"]],"secrets":[]}}"#,
            r#"{"request":"connection_set","name":"cloud","entered":{"values":[["poll","9"]],"secrets":[["secret-key","s"]]}}"#,
            r#"{"request":"connection_set","name":"cloud","entered":{"values":[],"secrets":[],"schedule":{"enabled":false}}}"#,
        ] {
            let request: Request = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
        }
    }
}
