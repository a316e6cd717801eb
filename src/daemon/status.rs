//! What the daemon tells of itself: the documents of [`admin::view`](crate::admin::view), with
//! what only a running daemon knows.

use super::Daemon;
use super::hours::Rest;
use super::task::TaskRun;
use crate::admin::history::Wanted;
use crate::admin::view::{ItemsPage, LogLine, TaskDetails, TaskItems, TaskStatus, TaskView};
use crate::admin::{self, Request, Sight, diagnostics};
use crate::caller::Caller;
use crate::engine::Report;
use crate::error::{Error, Kind, Result};
use crate::progress::ProgressView;
use crate::settings::{Connection, Task};
use crate::store::Trees;
use serde::Serialize;
use serde_json::Value;
use std::time::{Instant, SystemTime};

/// How everything is.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
struct Status {
    daemon: bool,
    paused: bool,
    connections: Vec<ConnectionStatus>,
    tasks: Vec<LiveTask>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
struct ConnectionStatus {
    name: String,
    service: String,
    paused: bool,
    /// Whether its schedule suspends it in this hour.
    suspended: bool,
    /// When its schedule lets it run again: RFC 3339, UTC; absent while it runs.
    runs_again: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
struct LiveTask {
    #[serde(flatten)]
    task: TaskStatus,
    /// How far the running cycle is; absent when none runs.
    progress: Option<ProgressView>,
    last: Option<LastCycle>,
    /// Seconds until the service is asked again; absent while it isn't.
    next_poll: Option<f64>,
    /// When its connection's schedule lets it run again: RFC 3339, UTC; absent while it runs.
    runs_again: Option<String>,
    /// Whether changes in some folders are found only by looking every few minutes.
    watch_limited: bool,
}

/// The last cycle that came to its end.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
struct LastCycle {
    /// When it did: RFC 3339, UTC.
    time: String,
    report: Report,
}

impl LiveTask {
    fn of(run: &mut TaskRun, now: Instant) -> Self {
        LiveTask {
            task: status_of(run),
            progress: run.progress(),
            last: run
                .last()
                .map(|(time, report)| LastCycle { time: rfc3339(*time), report: report.clone() }),
            next_poll: run.next_poll().map(|at| at.saturating_duration_since(now).as_secs_f64()),
            runs_again: run.rest().and_then(|rest| rest.until()).map(rfc3339),
            watch_limited: run.is_limited(),
        }
    }
}

impl Daemon {
    /// How all connections and tasks are. All of it is in memory: asking doesn't wake a disk.
    pub(super) fn status(&mut self, caller: &Caller, now: Instant) -> Result<Value> {
        let sees = |each: &&Connection| caller.sees(each.owner.as_deref(), self.admin_mode);
        let connections = self.connections.iter().filter(sees).map(|each| {
            let rest = self.rests.get(&each.name);
            ConnectionStatus {
                name: each.name.clone(),
                service: each.service.clone(),
                paused: each.paused,
                suspended: rest.is_some(),
                runs_again: rest.and_then(Rest::until).map(rfc3339),
            }
        });
        let connections: Vec<_> = connections.collect();
        let is_there = |task: &&mut TaskRun| {
            connections.iter().any(|each| each.name == task.place().task.connection)
        };
        let tasks = self.tasks.values_mut().filter(is_there);
        let mut tasks: Vec<_> = tasks.map(|task| LiveTask::of(task, now)).collect();
        tasks.sort_by(|a, b| a.task.name.cmp(&b.task.name));
        document(&Status { daemon: true, paused: self.paused, connections, tasks })
    }

    /// All about a task.
    pub(super) fn show(&self, name: &str) -> Result<Value> {
        let task = self.book.task(name)?;
        let details = self.read(&task, TaskDetails::of)?;
        document(&TaskView { details, ..TaskView::of(&task) })
    }

    /// What the state of a task tells; `None` when it was never synced, or is just being opened: what
    /// isn't open is opened here for a moment, which would be in the way of who works with it.
    fn read<T>(&self, task: &Task, read: impl FnOnce(&Trees) -> Result<T>) -> Result<Option<T>> {
        match self.tasks.get(&task.id) {
            Some(run) => match run.trees() {
                Some(trees) => read(trees).map(Some),
                None if run.is_running() => Ok(None),
                None => admin::with_trees(&self.book.base()?, task, read),
            },
            None => admin::with_trees(&self.book.base()?, task, read),
        }
    }

    /// How a task is and which of its items aren't in sync.
    pub(super) fn task_status(
        &mut self,
        name: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Value> {
        let task = self.book.task(name)?;
        let Some(run) = self.tasks.get_mut(&task.id) else {
            let after = after.map(str::to_owned);
            return self.closed(Request::TaskStatus { name: name.into(), after, limit });
        };
        let status = status_of(run);
        let page = self.read(&task, |trees| ItemsPage::of(trees, after, limit))?;
        document(&TaskItems { status, page: page.unwrap_or_default() })
    }

    /// The last lines of the history, oldest first.
    pub(super) fn history(
        &self,
        caller: &Caller,
        name: Option<&str>,
        limit: usize,
    ) -> Result<Value> {
        let mut lines = Vec::new();
        for task in &self.history_tasks(caller, name)? {
            let newest = self.read(task, |trees| LogLine::newest(task, trees, limit))?;
            lines.extend(newest.unwrap_or_default());
        }
        document(&LogLine::last(lines, limit))
    }

    /// A page of the history, the newest lines first.
    pub(super) fn history_page(
        &self,
        caller: &Caller,
        name: Option<&str>,
        wanted: &Wanted,
    ) -> Result<Value> {
        let mut found = Vec::new();
        for task in &self.history_tasks(caller, name)? {
            found.extend(self.read(task, |trees| wanted.find(task, trees))?);
        }
        document(&wanted.page(found))
    }

    fn history_tasks(&self, caller: &Caller, name: Option<&str>) -> Result<Vec<Task>> {
        admin::history_tasks(&Sight::new(&self.book, caller, self.admin_mode), &self.book, name)
    }

    /// Everything that helps to find out what is wrong.
    pub(super) fn diagnostics(
        &mut self,
        caller: &Caller,
        names: bool,
        now: Instant,
    ) -> Result<Value> {
        let status = self.status(caller, now)?;
        let history = self.history(caller, None, diagnostics::HISTORY)?;
        let sight = Sight::new(&self.book, caller, self.admin_mode);
        diagnostics::document(&self.book, &sight, status, history, names)
    }

    fn closed(&self, request: Request) -> Result<Value> {
        admin::perform(&self.book, &Caller::Host, request)
    }
}

fn status_of(run: &mut TaskRun) -> TaskStatus {
    // What the state tells decides about the word and the message, too.
    let overview = run.overview();
    let mut status = TaskStatus::of(&run.place().task, run.word());
    status.tell(run.message());
    status.overview = overview;
    status
}

fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn document<T: Serialize>(view: &T) -> Result<Value> {
    serde_json::to_value(view).map_err(broken)
}

fn broken(error: serde_json::Error) -> Error {
    Error::new(Kind::State, "the answer", error)
}

/// These documents as the panel's own language has them.
#[cfg(test)]
pub(crate) fn status_types(config: &ts_rs::Config) -> Vec<String> {
    use ts_rs::TS;
    vec![
        Status::decl(config),
        ConnectionStatus::decl(config),
        LiveTask::decl(config),
        LastCycle::decl(config),
    ]
}
