//! The daemon: keeps every task in sync until it is told to stop.
//!
//! One thread, the control plane, owns all that is known and decides; it waits in one place for
//! whatever comes first of requests, signals, changes on the disk, workers' news and due times.
//! It reads the settings and asks the kernel, but moves no file and talks to no service: that is
//! the [`worker`]s' work, at most [`MOST_WORKERS`] pieces of it at a time over all tasks.

mod api;
pub mod client;
mod hours;
mod listen;
mod panel;
mod schedule;
mod status;
mod task;
#[cfg(test)]
mod tests;
mod wake;
mod worker;

use crate::accounts;
use crate::admin::history::Wanted;
use crate::admin::{self, Reach, Request, Sight};
use crate::caller::Caller;
use crate::crypt::{self, Encryption};
use crate::engine::{Approval, Scrutiny};
use crate::error::{Error, Kind, Result};
use crate::local::WatchBudget;
use crate::services;
use crate::settings::{Book, Connection, STATE_LOCATION, Scope, Task};
use crate::{logs, threads};
pub use api::{ADMINISTRATOR, USER, socket_path};
use api::{Asked, Reply, Socket};
use hours::{Local, Rest};
use panel::{Login, Panel};
pub use panel::{Place, Ticket};
use schedule::Window;
#[cfg(test)]
pub(crate) use status::status_types;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use task::TaskRun;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::sleep;
use wake::{Alarm, Calendar};
use worker::{News, Workplace};

/// Pieces of work done at the same time.
const MOST_WORKERS: usize = 2;
/// Requests that may wait: for work to end, for it to end before settings change, and for a service or
/// the NAS to answer; those of one user of the NAS among the last. The rest of the connections stay free
/// for others.
const MOST_WAITING: usize = 8;
const MOST_DEFERRED: usize = 2;
const MOST_ASIDE: usize = 4;
const MOST_ASIDE_EACH: usize = 2;
/// Things told to the control plane that it hasn't looked at yet.
const MOST_EVENTS: usize = 32;
/// Events of the kernel within this time are looked at together.
const STIR_PAUSE: Duration = Duration::from_millis(50);
/// How long to wait for a command that has the settings open.
const SETTINGS_PATIENCE: Duration = Duration::from_secs(5);
/// How long a daemon that was killed may look alive: its socket and its lock go with the last of its
/// threads.
const KILLED_PATIENCE: Duration = Duration::from_secs(1);
/// How long workers may take to end once they have been told to.
const END_PATIENCE: Duration = Duration::from_secs(20);

/// What wakes the control plane.
enum Event {
    /// A request came in.
    Asked(Asked),
    /// The kernel has something to tell of a task's folder.
    Stirred(u64),
    /// A time has come.
    Due,
    /// An hour has come in which schedules say something else, or the clock was set.
    Hour,
    /// A task's worker has something to tell.
    News(u64, News),
    /// A task's service was listened to: which time it was, and that something changed or what went
    /// wrong.
    Heard(u64, u64, Result<()>),
    /// What had to be asked before a request is done: the folder that its sender may have, if it
    /// names one, or why it can't be done.
    Prepared(Asked, Result<Option<PathBuf>>),
    /// What changes the settings was done aside, and somebody waits for the answer. Tasks of this
    /// connection, if one is named, may go on by it.
    Entered(Option<String>, Result<serde_json::Value>, Reply),
    /// What had to be done while no task is open is done, or failed.
    Rested(Result<serde_json::Value>, Reply),
    /// Somebody asks the daemon to end.
    Stop,
}

/// Runs until `SIGTERM` or `SIGINT`; with a panel of its own if it is told where.
///
/// # Errors
/// `State` when another daemon runs on this state folder, and what opening it and listening say.
pub fn run(state: &Path, panel: Option<Place>) -> Result<()> {
    let book = open_settings(state)?;
    let failed = |error| Error::new(Kind::Disk, "starting the daemon", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let result = runtime.block_on(Daemon::run(book, state, panel));
    // Whoever still waits for an answer is told that there will be none.
    runtime.shutdown_background();
    result
}

/// Opens the settings, waiting a moment for a command that is using them or a daemon that was
/// killed.
fn open_settings(state: &Path) -> Result<Book> {
    let begun = Instant::now();
    loop {
        match Book::open(state) {
            Err(error) if error.kind() == Kind::State => {
                if api::is_served(state) && begun.elapsed() >= KILLED_PATIENCE {
                    let what = format!("state folder {}", state.display());
                    return Err(Error::new(Kind::State, what, "another daemon runs on it")
                        .remedy("stop the other one first"));
                }
                if begun.elapsed() >= SETTINGS_PATIENCE {
                    return Err(error);
                }
                thread::sleep(STIR_PAUSE);
            }
            book => return book,
        }
    }
}

struct Daemon {
    book: Arc<Book>,
    tasks: BTreeMap<u64, TaskRun>,
    watches: WatchBudget,
    /// Tells the local time.
    local: Box<dyn Fn() -> Local>,
    /// All connections as the settings have them, so that telling how they are reads nothing.
    connections: Vec<Connection>,
    /// Whether everything is paused.
    paused: bool,
    /// Whether administrators have what belongs to others.
    admin_mode: bool,
    /// Who is logged in to the panel.
    login: Arc<Login>,
    /// What their schedules have suspended, by connection.
    rests: BTreeMap<String, Rest>,
    /// When the first of them says something else.
    turn: Option<SystemTime>,
    events: mpsc::Sender<Event>,
    /// Requests that wait for their task's work to end.
    deferred: Vec<Asked>,
    /// Whether no task may be open, and the request that waits for it.
    resting: bool,
    rested: Option<Asked>,
    /// Whose requests are answered aside, as long as they are.
    aside: Vec<(Option<String>, Weak<()>)>,
    /// When to end at the latest.
    ending: Option<Instant>,
}

impl Daemon {
    async fn run(book: Book, state: &Path, panel: Option<Place>) -> Result<()> {
        let (events, mut inbox) = mpsc::channel(MOST_EVENTS);
        listen_to_signals(&events)?;
        let (ask, mut asked) = mpsc::channel(1);
        tokio::spawn(Socket::bind(state)?.serve(ask.clone()));
        let requests = events.clone();
        tokio::spawn(async move {
            while let Some(request) = asked.recv().await {
                if requests.send(Event::Asked(request)).await.is_err() {
                    return;
                }
            }
        });
        let mut alarm = Alarm::new(events.clone())?;
        let mut calendar = Calendar::new(events.clone())?;
        let mut daemon = Daemon::new(book, events, Box::new(Local::now))?;
        if let Some(place) = panel {
            let panel = Panel::bind(place, daemon.book.clone(), daemon.login.clone()).await?;
            tokio::spawn(panel.serve(ask));
        }
        tracing::info!("the daemon runs, with {} tasks", daemon.tasks.len());
        while !daemon.is_over(Instant::now()) {
            let now = Instant::now();
            let wake = daemon.advance(now);
            alarm.set(wake, now)?;
            calendar.set(daemon.turn)?;
            if let Some(event) = inbox.recv().await {
                daemon.take(event, Instant::now());
            }
        }
        tracing::info!("the daemon ends");
        drop(daemon);
        // For the last answers to be written.
        sleep(STIR_PAUSE).await;
        Ok(())
    }

    fn new(
        book: Book,
        events: mpsc::Sender<Event>,
        local: Box<dyn Fn() -> Local>,
    ) -> Result<Daemon> {
        let mut daemon = Daemon {
            book: Arc::new(book),
            tasks: BTreeMap::new(),
            watches: WatchBudget::of_machine(),
            local,
            connections: Vec::new(),
            paused: false,
            admin_mode: false,
            login: Arc::default(),
            rests: BTreeMap::new(),
            turn: None,
            events,
            deferred: Vec::new(),
            resting: false,
            rested: None,
            aside: Vec::new(),
            ending: None,
        };
        daemon.reload(Instant::now())?;
        Ok(daemon)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.ending.is_some_and(|end| end <= now || !self.tasks.values().any(TaskRun::is_running))
    }

    /// Does all that is due and tells when something will be.
    fn advance(&mut self, now: Instant) -> Option<Instant> {
        if self.ending.is_some() {
            return self.ending;
        }
        let window = Window::at(now, self.tasks.values().flat_map(TaskRun::slots));
        for task in self.tasks.values_mut() {
            task.tick(&window, now);
        }
        let mut workers = self.tasks.values().filter(|task| task.is_running()).count();
        while workers < MOST_WORKERS {
            // Who has waited longest comes first.
            let ready = self
                .tasks
                .iter_mut()
                .filter_map(|(id, task)| Some((task.ready_since(now)?, *id, task)));
            let Some((_, id, task)) = ready.min_by_key(|(since, id, _)| (*since, *id)) else {
                break;
            };
            let events = self.events.clone();
            // Fails when the daemon has ended without waiting for this worker.
            let tell = move |news| drop(events.blocking_send(Event::News(id, news)));
            if let Err(error) = task.start(tell) {
                task.ended(None, Err(error), now);
            }
            workers += 1;
        }
        for (id, task) in &mut self.tasks {
            let (events, id) = (self.events.clone(), *id);
            task.listen(now, move |number, result| {
                drop(events.blocking_send(Event::Heard(id, number, result)));
            });
        }
        self.tasks.values().filter_map(|task| task.wake(now)).min()
    }

    fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Asked(asked) => self.receive(asked, now),
            Event::Prepared(asked, folder) => self.settle(asked, folder, now),
            Event::Stirred(id) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.stirred(now);
                }
            }
            Event::Due => {}
            Event::Hour => self.follow_schedules(now),
            Event::News(id, news) => self.hear(id, news, now),
            Event::Heard(id, number, result) => {
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.heard(number, result, now);
                }
            }
            Event::Entered(connection, answer, reply) => {
                let answer = answer.and_then(|answer| self.reload(now).map(|()| answer));
                if let Some(connection) = connection {
                    self.resume(&Scope::Connection(connection), now);
                }
                // Who asked may have left.
                let _ = reply.send(answer);
            }
            Event::Rested(answer, reply) => {
                self.rest(false);
                let answer = self.reload(now).and(answer);
                // Who asked may have left.
                let _ = reply.send(answer);
            }
            Event::Stop => {
                self.ending = Some(now + END_PATIENCE);
                self.deferred.clear();
                self.rested = None;
                self.tasks.values_mut().for_each(TaskRun::close);
            }
        }
    }

    fn hear(&mut self, id: u64, news: News, now: Instant) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        match news {
            News::Watching(watch) => {
                let events = self.events.clone();
                let stirred = move || Event::Stirred(id);
                let wake = |watch: &_| wake::on_readable(watch, stirred, STIR_PAUSE, events);
                task.watching(watch, wake, now);
            }
            News::Opened(progress, trees) => task.opened(progress, trees),
            News::Ended(left, result) => {
                task.ended(left, result, now);
                for asked in std::mem::take(&mut self.deferred) {
                    self.answer(asked, now);
                }
                self.perform_at_rest();
            }
        }
    }

    /// Takes a request in, if it is its sender's to make. Whether a NAS user may write a folder takes
    /// the NAS a while to tell, and whether a task may write what it only read, its service.
    fn receive(&mut self, mut asked: Asked, now: Instant) {
        let sight = Sight::new(&self.book, &asked.caller, self.admin_mode);
        let permitted = sight.permit(&asked.request).map(|()| {
            let confined = sight.confined(&mut asked.request);
            confined.map(|(user, folder)| (user.to_owned(), folder.clone()))
        });
        match permitted {
            Ok(None) if !admin::asks_service(&asked.request) => self.answer(asked, now),
            Ok(confined) => {
                let place = match self.place_aside(&asked.caller) {
                    Ok(place) => place,
                    // Who asked may have left.
                    Err(error) => return drop(asked.reply.send(Err(error))),
                };
                let (book, events) = (self.book.clone(), self.events.clone());
                // When there is no thread to be had, the reply is dropped, which says as much.
                let _ = threads::named("prepare").spawn(move || {
                    let found = admin::prepare(&book, &asked.request).and_then(|()| {
                        let found =
                            confined.map(|(user, it)| accounts::writable_folder(&user, &it));
                        found.transpose()
                    });
                    drop(place);
                    // Fails when the daemon has ended meanwhile.
                    drop(events.blocking_send(Event::Prepared(asked, found)));
                });
            }
            // Who asked may have left.
            Err(error) => drop(asked.reply.send(Err(error))),
        }
    }

    /// Goes on with a request once it is known which folder its sender may have.
    fn settle(&mut self, mut asked: Asked, folder: Result<Option<PathBuf>>, now: Instant) {
        match folder {
            Ok(folder) => {
                let sight = Sight::new(&self.book, &asked.caller, self.admin_mode);
                if let Some(folder) = folder
                    && let Some((_, place)) = sight.confined(&mut asked.request)
                {
                    *place = folder;
                }
                self.answer(asked, now);
            }
            // Who asked may have left.
            Err(error) => drop(asked.reply.send(Err(error))),
        }
    }

    /// Answers a request, or sees to it that somebody will.
    fn answer(&mut self, Asked { caller, request, reply }: Asked, now: Instant) {
        let answer = match request {
            request if self.resting && !is_apart(&request) => {
                Err(busy("the request", "the settings and the state are being moved"))
            }
            request if needs_rest(&request) => {
                self.rest(true);
                self.rested = Some(Asked { caller, request, reply });
                return self.perform_at_rest();
            }
            Request::Sync { task, approve, shown } => match self.task_to_sync(&task) {
                Ok(task) => {
                    let approve = match (approve, shown) {
                        (false, _) => Approval::NONE,
                        (true, Some(shown)) => shown,
                        (true, None) => task.told(),
                    };
                    return task.sync(approve, reply, now);
                }
                Err(error) => Err(error),
            },
            Request::Preview { task } => match self.task_to_work(&task) {
                Ok(task) => return task.preview(reply),
                Err(error) => Err(error),
            },
            Request::Verify { task, after, quick } => match self.task_to_work(&task) {
                Ok(task) => return task.verify(Scrutiny { after, quick, most: None }, reply),
                Err(error) => Err(error),
            },
            // These talk to the service, look about on the disk, or make a key of a password, which takes its
            // time.
            Request::ConnectionTest { .. }
            | Request::ConnectionTry { .. }
            | Request::Buckets { .. }
            | Request::BucketMake { .. }
            | Request::ConnectionAuthorized { .. }
            | Request::Export { .. }
            | Request::Import { apply: false, .. }
            | Request::LocalFolders { .. }
            | Request::LocalFolderMake { .. }
            | Request::RemoteFolders { .. }
            | Request::RemoteFolderMake { .. }
            | Request::ItemRename { .. }
            | Request::RemovedFiles { .. } => {
                return self.perform_aside(caller, request, reply);
            }
            // It asks the service with which key the remote folder is encrypted.
            Request::TaskAdd { ref task, .. } if Encryption::of(&task.settings).is_some() => {
                return self.perform_aside(caller, request, reply);
            }
            Request::TaskSet { ref name, .. }
            | Request::TaskRemove { ref name }
            | Request::RemovedRestore { task: ref name, .. } => {
                // Its state is written, or removed: nobody must be using it.
                let is_full = self.deferred.len() >= MOST_DEFERRED;
                match self.task_named(name) {
                    Ok(task) if task.is_running() && is_full => {
                        Err(busy(format!("task {name}"), "too many wait for work to end"))
                    }
                    Ok(task) if task.is_running() => {
                        task.close();
                        return self.deferred.push(Asked { caller, request, reply });
                    }
                    found => {
                        found.into_iter().for_each(TaskRun::close);
                        self.perform(&caller, request, now)
                    }
                }
            }
            request => self.perform(&caller, request, now),
        };
        // Who asked may have left.
        let _ = reply.send(answer);
    }

    fn perform(
        &mut self,
        caller: &Caller,
        request: Request,
        now: Instant,
    ) -> Result<serde_json::Value> {
        let resumed = match &request {
            Request::Status => return self.status(caller, now),
            Request::Diagnostics { names } => return self.diagnostics(caller, *names, now),
            Request::TaskShow { name } => return self.show(name),
            Request::TaskStatus { name, after, limit } => {
                return self.task_status(name, after.as_deref(), *limit);
            }
            Request::Log { task, limit } => {
                return self.history(caller, task.as_deref(), *limit);
            }
            Request::History { task, before, limit, action, search } => {
                let wanted = Wanted::new(*limit, action, search, before.as_deref())?;
                return self.history_page(caller, task.as_deref(), &wanted);
            }
            Request::Resume { scope } => Some(scope.clone()),
            // It may be what a task on hold was waiting for, even if its other settings stay.
            Request::ConnectionSet { name, .. } => Some(Scope::Connection(name.clone())),
            _ => None,
        };
        let is_password = matches!(request, Request::PasswordSet { .. });
        let answer = admin::perform(&self.book, caller, request)?;
        self.reload(now)?;
        if is_password {
            self.login.end_all();
        }
        if let Some(scope) = resumed {
            self.resume(&scope, now);
        }
        Ok(answer)
    }

    /// A person acted: the tasks in this scope go on where they were stopped.
    fn resume(&mut self, scope: &Scope, now: Instant) {
        for task in self.tasks.values_mut() {
            if covers(scope, &task.place().task) {
                task.resume(now);
            }
        }
    }

    /// A place for a request that is answered aside, which is held until that is dropped.
    ///
    /// # Errors
    /// `Busy` when its sender, or all together, have enough of them.
    fn place_aside(&mut self, caller: &Caller) -> Result<Arc<()>> {
        self.aside.retain(|(_, place)| place.strong_count() > 0);
        let owner = caller.owner();
        let of_owner = self.aside.iter().filter(|(each, _)| each.as_deref() == owner).count();
        if self.aside.len() >= MOST_ASIDE || owner.is_some() && of_owner >= MOST_ASIDE_EACH {
            return Err(busy("the request", "too many wait for services to answer"));
        }
        let place = Arc::new(());
        self.aside.push((owner.map(str::to_owned), Arc::downgrade(&place)));
        Ok(place)
    }

    fn perform_aside(&mut self, caller: Caller, request: Request, reply: Reply) {
        let place = match self.place_aside(&caller) {
            Ok(place) => place,
            // Who asked may have left.
            Err(error) => return drop(reply.send(Err(error))),
        };
        let (book, events) = (self.book.clone(), self.events.clone());
        // When there is no thread to be had, the reply is dropped, which says as much.
        let _ = threads::named("request").spawn(move || {
            let entered = match &request {
                Request::ConnectionAuthorized { name, .. } => Some(Some(name.clone())),
                Request::TaskAdd { .. } => Some(None),
                _ => None,
            };
            let answer = admin::perform(&book, &caller, request);
            drop(place);
            match entered.filter(|_| answer.is_ok()) {
                // Fails when the daemon has ended meanwhile.
                Some(name) => drop(events.blocking_send(Event::Entered(name, answer, reply))),
                None => drop(reply.send(answer)),
            }
        });
    }

    /// Does what waits for all tasks to be closed, once they are, in a thread of its own: it may take
    /// long.
    fn perform_at_rest(&mut self) {
        if self.tasks.values().any(TaskRun::is_running) {
            return;
        }
        let Some(Asked { caller, request, reply }) = self.rested.take() else { return };
        let (book, events) = (self.book.clone(), self.events.clone());
        let work = move || {
            let answer = admin::perform(&book, &caller, request);
            // Fails when the daemon has ended meanwhile.
            drop(events.blocking_send(Event::Rested(answer, reply)));
        };
        if threads::named("rest").spawn(work).is_err() {
            // The reply was dropped, which says as much.
            self.rest(false);
        }
    }

    /// Closes all tasks, so that nobody uses their states, or lets them open again.
    fn rest(&mut self, resting: bool) {
        self.resting = resting;
        self.tasks.values_mut().for_each(|task| task.rest_closed(resting));
    }

    fn task_named(&mut self, name: &str) -> Result<&mut TaskRun> {
        let id = self.book.task(name)?.id;
        self.tasks.get_mut(&id).ok_or_else(|| {
            Error::new(Kind::Usage, format!("task {name}"), "its service isn't part of this build")
        })
    }

    fn task_to_work(&mut self, name: &str) -> Result<&mut TaskRun> {
        let waiting: usize = self.tasks.values().map(TaskRun::waiting).sum();
        if waiting >= MOST_WAITING {
            return Err(busy(format!("task {name}"), "too many wait for syncs"));
        }
        self.task_named(name)
    }

    fn task_to_sync(&mut self, name: &str) -> Result<&mut TaskRun> {
        admin::refuse_paused(&self.book, &self.book.task(name)?)?;
        self.task_to_work(name)
    }

    /// Takes over what the settings say now.
    fn reload(&mut self, now: Instant) -> Result<()> {
        let globals = self.book.globals()?;
        let (tasks, base) = (self.book.tasks()?, self.book.base()?);
        self.tasks.retain(|id, _| tasks.iter().any(|task| task.id == *id));
        for task in tasks {
            let connection = self.book.connection(&task.connection)?;
            let service = match services::find(&connection.service) {
                Ok(service) => crypt::of_task(service, &task.settings),
                Err(error) => {
                    tracing::warn!("task {}: {error}", task.name);
                    continue;
                }
            };
            let paused = self.book.is_paused(&task)?;
            // Secrets that can't be unsealed concern the tasks that need them, and no other.
            let (values, failure) = match self.book.values(&connection) {
                Ok(values) => (values, None),
                Err(error) => (Default::default(), Some(error)),
            };
            let place = Workplace {
                service,
                values,
                state: base.clone(),
                transfers: globals.transfers as usize,
                history: globals.history.into(),
                watches: self.watches.clone(),
                reach: Reach::of(&connection, &globals),
                task,
            };
            let id = place.task.id;
            let run = self.tasks.entry(id).or_insert_with(|| TaskRun::new(place.clone(), now));
            run.set(place, paused, now);
            if let Some(error) = failure.filter(|_| run.is_active()) {
                run.hold(error, now);
            }
        }
        self.connections = self.book.connections()?;
        (self.paused, self.admin_mode) = (globals.paused, globals.admin_mode);
        logs::keep_to(globals.log_level);
        self.follow_schedules(now);
        Ok(())
    }

    /// Suspends what its schedule suspends in this hour, and lets the rest run.
    fn follow_schedules(&mut self, now: Instant) {
        let local = (self.local)();
        let scheduled = || self.connections.iter().filter(|each| each.schedule.enabled);
        let rest = |each: &Connection| Some((each.name.clone(), local.rest(&each.schedule)?));
        self.rests = scheduled().filter_map(rest).collect();
        self.turn = scheduled().filter_map(|each| local.next_change(&each.schedule)).min();
        for task in self.tasks.values_mut() {
            let rest = self.rests.get(&task.place().task.connection).copied();
            task.suspend(rest, now);
        }
    }
}

fn busy(what: impl Into<String>, cause: &str) -> Error {
    Error::new(Kind::Busy, what, cause).remedy("try again in a minute")
}

/// Whether a request is done while no task is open: states are moved, or begin anew.
fn needs_rest(request: &Request) -> bool {
    match request {
        Request::SettingsSet { key, .. } => key == STATE_LOCATION,
        Request::Import { apply, .. } => *apply,
        _ => false,
    }
}

/// Whether a request has nothing to do with the state of tasks, and changes nothing.
fn is_apart(request: &Request) -> bool {
    matches!(
        request,
        Request::ServiceList
            | Request::ServiceShow { .. }
            | Request::ConnectionList
            | Request::ConnectionShow { .. }
            | Request::TaskList
            | Request::Settings
            | Request::Status
    )
}

/// Whether a scope includes a task.
fn covers(scope: &Scope, task: &Task) -> bool {
    match scope {
        Scope::Everything => true,
        Scope::Connection(name) => task.connection == *name,
        Scope::Task(name) => task.name == *name,
    }
}

/// Turns signals into events. A hang-up of the terminal is nothing to us.
fn listen_to_signals(events: &mpsc::Sender<Event>) -> Result<()> {
    let failed = |error| Error::new(Kind::Disk, "listening to signals", error);
    drop(signal(SignalKind::hangup()).map_err(failed)?);
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind).map_err(failed)?;
        let events = events.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if events.send(Event::Stop).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}
