//! Every connection, task and global setting, read and changed by name.

use super::encryption::keep_way;
use super::file::{CONNECTIONS, File, GLOBALS, TASKS};
use super::sign_in::{ATTEMPT, Signed};
use super::{
    Connection, Entered, Globals, NewTask, Password, STATE_LOCATION, Scope, Secret, Task,
    TaskChange, check,
};
use crate::error::{Error, Kind, Result};
use crate::http::{Cancel, Http, Traffic};
use crate::logs::{LEVEL_WORDS, Level};
use crate::remote::{self, Descriptor, FieldKind, REFRESH_TOKEN, Service, SignIn};
use crate::rules::{Filter, Schedule};
use crate::services;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The rows of [`GLOBALS`].
pub(super) const GLOBALS_ROW: &str = "globals";
const PASSWORD_ROW: &str = "password";

/// What stands for a secret where only its presence matters.
const PRESENT: &str = "(sealed)";

/// Global settings that a person can change, with what they may be.
const TRANSFERS: RangeInclusive<u32> = 1..=20;
const HISTORY: RangeInclusive<u32> = 5..=100_000;

/// The settings in the state folder. Only one process at a time has them open, and in it one
/// thread at a time should change tasks that are there: a change is checked against what was read
/// before it.
pub struct Book {
    pub(super) file: Arc<File>,
    pub(super) state: PathBuf,
    /// Held by who changes a connection or adds a task, which more than one thread may do.
    turn: Mutex<()>,
    /// What gives access to the services that people signed in to, by connection.
    grants: Mutex<BTreeMap<String, Arc<Signed>>>,
    /// The limits that all transfers of a connection share, by connection.
    traffic: Mutex<BTreeMap<String, Arc<Traffic>>>,
}

impl Book {
    /// Opens the settings in the state folder, which is made if it isn't there.
    ///
    /// # Errors
    /// `State` when another process has them open or the file is damaged, or a disk error.
    pub fn open(state: &Path) -> Result<Book> {
        let book = Book {
            file: Arc::new(File::open(state)?),
            state: state.to_owned(),
            turn: Mutex::default(),
            grants: Mutex::default(),
            traffic: Mutex::default(),
        };
        book.tidy();
        Ok(book)
    }

    /// All connections, by name.
    pub fn connections(&self) -> Result<Vec<Connection>> {
        self.file.all(CONNECTIONS)
    }

    /// The connection of this name.
    ///
    /// # Errors
    /// `Usage` when there is none.
    pub fn connection(&self, name: &str) -> Result<Connection> {
        self.file.one(CONNECTIONS, name)?.ok_or_else(|| unknown("connection", name))
    }

    /// Adds a connection, which belongs to this NAS user, if any.
    ///
    /// # Errors
    /// `Usage` when the name is taken or anything entered breaks a rule.
    pub fn add_connection(
        &self,
        name: &str,
        service: &str,
        owner: Option<&str>,
        entered: Entered,
    ) -> Result<Connection> {
        check::name("connection", name)?;
        let _turn = self.turn();
        if self.file.one::<Connection>(CONNECTIONS, name)?.is_some() {
            return Err(taken("connection", name));
        }
        let connection = Connection {
            name: name.to_owned(),
            service: service.to_owned(),
            values: Vec::new(),
            secrets: Vec::new(),
            paused: false,
            schedule: Schedule::default(),
            owner: owner.map(str::to_owned),
        };
        self.enter(services::find(service)?, connection, entered, &[])
    }

    /// Changes settings of a connection; what isn't entered stays. When it leads elsewhere
    /// afterwards, the state of its tasks begins anew.
    ///
    /// # Errors
    /// `Usage` when anything entered breaks a rule.
    pub fn change_connection(&self, name: &str, entered: Entered) -> Result<Connection> {
        let _turn = self.turn();
        let connection = self.connection(name)?;
        self.keep_encryption(&connection, entered.secrets.iter().map(|(key, it)| (key, it)))?;
        self.enter(services::find(&connection.service)?, connection, entered, &[])
    }

    /// Takes over what is entered. Secrets that it `lacks` are entered later.
    pub(super) fn enter(
        &self,
        service: &dyn Service,
        mut connection: Connection,
        entered: Entered,
        lacks: &[&str],
    ) -> Result<Connection> {
        let descriptor = service.descriptor();
        let known = self.file.settings(&connection);
        let before = connection.clone();
        let mut values: BTreeMap<_, _> = connection.values.drain(..).collect();
        let mut secrets: BTreeSet<_> = connection.secrets.drain(..).collect();
        for (key, value) in entered.values {
            expect_secret(descriptor, &key, false)?;
            values.insert(key, value);
        }
        values.retain(|_, value| !value.is_empty());
        connection.values = values.into_iter().collect();
        // A refresh token is good for the app that it was given to, and nobody else is to see it.
        let signed_out = descriptor.sign_in.is_some() && app(&connection) != app(&before);
        if signed_out {
            secrets.remove(REFRESH_TOKEN);
        }
        for (key, secret) in &entered.secrets {
            expect_secret(descriptor, key, true)?;
            if secret.is_empty() {
                secrets.remove(key)
            } else {
                secrets.insert(key.clone())
            };
        }
        let mut all: remote::Settings = connection.values.iter().cloned().collect();
        for key in &secrets {
            let new = entered.secrets.iter().rfind(|(name, _)| name == key);
            let old = known.as_ref().ok().and_then(|known| known.given(key));
            let text = match new {
                Some((_, secret)) => secret.clone().reveal(),
                None => old.unwrap_or(PRESENT).to_owned(),
            };
            all.extend([(key.clone(), text)]);
        }
        all.extend(lacks.iter().map(|key| ((*key).to_owned(), PRESENT.to_owned())));
        check::values(descriptor, &all)?;
        let limits = all.limits(descriptor);
        // A lost key file must not stop a person from entering the secrets again, one by one.
        if known.is_ok() && lacks.is_empty() {
            let http = Http::new(&all.http_options(descriptor, 1), Cancel::default())?;
            if let Some(sign_in) = &descriptor.sign_in {
                all = all.with_grant(Arc::new(self.signed(&connection.name, sign_in)));
            }
            service.open(&all, http, "")?;
        }
        connection.secrets = secrets.into_iter().collect();
        connection.schedule = entered.schedule.unwrap_or_default().apply(connection.schedule);
        let mut lost = Vec::new();
        if place(descriptor, &connection) != place(descriptor, &before) {
            lost = self.tasks_of(&connection.name)?;
        }
        self.file.write(|change| {
            change.put(CONNECTIONS, &connection.name, &connection)?;
            for task in &lost {
                change.put_anew(&mut task.clone())?;
            }
            if signed_out {
                change.remove_secret(&connection.name, REFRESH_TOKEN)?;
                change.remove_secret(&connection.name, ATTEMPT)?;
            }
            entered
                .secrets
                .iter()
                .try_for_each(|(key, secret)| change.put_secret(&connection.name, key, secret))
        })?;
        // Those that run keep to it too.
        let traffic = self.traffic().entry(connection.name.clone()).or_default().clone();
        traffic.limit(limits);
        self.forget_access(&connection.name);
        lost.iter().try_for_each(|task| self.forget_state(task))?;
        Ok(connection)
    }

    /// The values that a connection would have with what a person entered, secrets unsealed, to
    /// try it out: one of these settings, or a new one. Nothing of it is saved.
    ///
    /// # Errors
    /// `Usage` when anything entered breaks a rule, and those of [`Book::values`].
    pub fn values_entered(
        &self,
        name: Option<&str>,
        service: &str,
        entered: Entered,
    ) -> Result<remote::Settings> {
        let all = self.values_merged(name, service, entered)?;
        check::values(services::find(service)?.descriptor(), &all)?;
        Ok(all)
    }

    /// As [`Book::values_entered`], but for the bucket, which is still to be chosen.
    ///
    /// # Errors
    /// Likewise, and `Usage` when the service has no buckets.
    pub fn values_but_bucket(
        &self,
        name: Option<&str>,
        service: &str,
        entered: Entered,
    ) -> Result<remote::Settings> {
        let all = self.values_merged(name, service, entered)?;
        services::find(service)?.descriptor().check_but_bucket(&all)?;
        Ok(all)
    }

    fn values_merged(
        &self,
        name: Option<&str>,
        service: &str,
        entered: Entered,
    ) -> Result<remote::Settings> {
        let descriptor = services::find(service)?.descriptor();
        let connection = name.map(|name| self.connection(name)).transpose()?;
        let mut all = match &connection {
            Some(connection) => self.values(connection)?,
            None => remote::Settings::default(),
        };
        for (key, value) in entered.values {
            expect_secret(descriptor, &key, false)?;
            all.extend([(key, value)]);
        }
        for (key, secret) in entered.secrets {
            expect_secret(descriptor, &key, true)?;
            all.extend([(key, secret.reveal())]);
        }
        Ok(all)
    }

    /// Removes a connection and its secrets.
    ///
    /// # Errors
    /// `Usage` when a task uses it.
    pub fn remove_connection(&self, name: &str) -> Result<()> {
        let _turn = self.turn();
        let connection = self.connection(name)?;
        let users: Vec<_> = self.tasks_of(name)?.into_iter().map(|task| task.name).collect();
        if !users.is_empty() {
            let what = format!("connection {name}");
            let cause = format!("tasks use it: {}", users.join(", "));
            return Err(Error::new(Kind::Usage, what, cause).remedy("remove these tasks first"));
        }
        self.file.write(|change| {
            change.remove(CONNECTIONS, name)?;
            let secrets = connection.secrets.iter().map(String::as_str);
            secrets.chain([ATTEMPT]).try_for_each(|key| change.remove_secret(name, key))
        })?;
        self.forget_access(name);
        self.grants().remove(name);
        self.traffic().remove(name);
        Ok(())
    }

    /// A connection's values with its secrets unsealed, to open it with. Its limits are with them,
    /// and what gives access where its service is signed in to, the same for all who ask.
    ///
    /// # Errors
    /// `SignIn` when the key file is lost or is another one.
    pub fn values(&self, connection: &Connection) -> Result<remote::Settings> {
        let descriptor = services::find(&connection.service)?.descriptor();
        let settings = self.file.settings(connection)?;
        let mut traffic = self.traffic();
        let traffic = traffic.entry(connection.name.clone()).or_insert_with(|| {
            let traffic = Traffic::default();
            traffic.limit(settings.limits(descriptor));
            Arc::new(traffic)
        });
        let settings = settings.with_traffic(traffic.clone());
        let Some(sign_in) = &descriptor.sign_in else { return Ok(settings) };
        Ok(settings.with_grant(self.grant(&connection.name, sign_in)))
    }

    /// All secrets, to see to it that a text has none of them.
    pub(crate) fn secrets_to_hide(&self) -> Result<Vec<String>> {
        Ok(self.file.secrets()?.into_iter().map(Secret::reveal).collect())
    }

    fn traffic(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Traffic>>> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What gives access to a connection's service, one for all who ask.
    pub(super) fn grant(&self, connection: &str, sign_in: &'static SignIn) -> Arc<Signed> {
        let mut grants = self.grants();
        let grant = grants.entry(connection.to_owned());
        grant.or_insert_with(|| Arc::new(self.signed(connection, sign_in))).clone()
    }

    /// What was given for access to a connection's service is asked for anew.
    pub(super) fn forget_access(&self, connection: &str) {
        if let Some(grant) = self.grants().get(connection) {
            grant.forget();
        }
    }

    fn grants(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Signed>>> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else changes a connection. Nobody does so for long.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All tasks, by name.
    pub fn tasks(&self) -> Result<Vec<Task>> {
        self.file.all(TASKS)
    }

    /// The tasks of a connection, by name.
    pub fn tasks_of(&self, connection: &str) -> Result<Vec<Task>> {
        let mut tasks = self.tasks()?;
        tasks.retain(|task| task.connection == connection);
        Ok(tasks)
    }

    /// The task of this name.
    ///
    /// # Errors
    /// `Usage` when there is none.
    pub fn task(&self, name: &str) -> Result<Task> {
        self.file.one(TASKS, name)?.ok_or_else(|| unknown("task", name))
    }

    /// Adds a task. For one that is encrypted this asks the service, and takes as long as the
    /// network does.
    ///
    /// # Errors
    /// `Usage` when the name is taken, the connection unknown, the local folder not there, a folder
    /// overlaps that of another task of the connection, or what is left out breaks a rule; `Denied`
    /// when the password doesn't open the remote folder.
    pub fn add_task(&self, new: NewTask) -> Result<Task> {
        check::name("task", &new.name)?;
        if self.file.one::<Task>(TASKS, &new.name)?.is_some() {
            return Err(taken("task", &new.name));
        }
        let connection = self.connection(&new.connection)?;
        let mut task = Task {
            name: new.name,
            id: 0,
            connection: new.connection,
            local: self.local_folder(&new.local)?,
            remote: check::remote_folder(&new.remote)?,
            direction: new.direction,
            conflict: new.conflict,
            consistency_check: new.consistency_check,
            keep_removed: new.keep_removed,
            recycle_days: check::recycle_days(new.recycle_days)?,
            filter: new.filter.apply(&Filter::default())?,
            settings: Vec::new(),
            paused: false,
            revision: 0,
        };
        let descriptor = services::find(&connection.service)?.descriptor();
        enter(&mut task, new.settings, descriptor)?;
        self.check_apart(descriptor, &task)?;
        self.agree_on_key(&task)?;
        let _turn = self.turn();
        // Others may have come first meanwhile.
        if self.file.one::<Task>(TASKS, &task.name)?.is_some() {
            return Err(taken("task", &task.name));
        }
        self.connection(&task.connection)?;
        self.check_apart(descriptor, &task)?;
        self.file.write(|change| change.put_anew(&mut task))?;
        Ok(task)
    }

    /// Makes sure, before a task is changed, that it may write what it only read: that may open with
    /// less than what is written is locked with. For one that is encrypted this asks the service, and
    /// takes as long as the network does.
    ///
    /// # Errors
    /// As [`Book::add_task`].
    pub fn agree_on_change(&self, name: &str, change: &TaskChange) -> Result<()> {
        let before = self.task(name)?;
        let reads = !before.writes();
        let task = Task { direction: change.direction.unwrap_or(before.direction), ..before };
        if reads && task.writes() { self.agree_on_key(&task) } else { Ok(()) }
    }

    /// Changes a task, after [`Book::agree_on_change`]. Other folders make another pair: their state
    /// begins anew, and nothing that was agreed on before counts.
    ///
    /// # Errors
    /// As [`Book::add_task`].
    pub fn change_task(&self, name: &str, change: TaskChange) -> Result<Task> {
        let before = self.task(name)?;
        let mut task = before.clone();
        if let Some(local) = change.local {
            task.local = self.local_folder(&local)?;
        }
        if let Some(remote) = change.remote {
            task.remote = check::remote_folder(&remote)?;
        }
        task.direction = change.direction.unwrap_or(task.direction);
        task.conflict = change.conflict.unwrap_or(task.conflict);
        task.consistency_check = change.consistency_check.unwrap_or(task.consistency_check);
        task.keep_removed = change.keep_removed.unwrap_or(task.keep_removed);
        if let Some(days) = change.recycle_days {
            task.recycle_days = check::recycle_days(days)?;
        }
        task.filter = change.filter.apply(&task.filter)?;
        let service = services::find(&self.connection(&task.connection)?.service)?;
        enter(&mut task, change.settings, service.descriptor())?;
        if task == before {
            return Ok(task);
        }
        keep_way(&before, &task)?;
        let moved = task.local != before.local || task.remote != before.remote;
        if moved {
            self.check_apart(service.descriptor(), &task)?;
        }
        let same_rules = (task.direction, task.keep_removed)
            == (before.direction, before.keep_removed)
            && (&task.filter, &task.settings) == (&before.filter, &before.settings);
        if !same_rules {
            task.revision += 1;
        }
        self.file.write(|change| {
            if moved { change.put_anew(&mut task) } else { change.put(TASKS, name, &task) }
        })?;
        if moved {
            self.forget_state(&before)?;
        }
        Ok(task)
    }

    /// Removes a task and its state. Its folders stay as they are, and so does what it kept of
    /// removed files.
    pub fn remove_task(&self, name: &str) -> Result<()> {
        let task = self.task(name)?;
        self.file.write(|change| change.remove(TASKS, name))?;
        self.forget_state(&task)
    }

    pub(super) fn local_folder(&self, folder: &Path) -> Result<PathBuf> {
        check::local_folder(folder, [&self.state, &self.base()?])
    }

    fn check_apart(&self, descriptor: &Descriptor, task: &Task) -> Result<()> {
        let others = self.tasks_of(&task.connection)?;
        others
            .iter()
            .filter(|other| other.name != task.name)
            .try_for_each(|other| check::apart(descriptor, task, other))
    }

    fn forget_state(&self, task: &Task) -> Result<()> {
        match fs::remove_file(task.state_file(&self.base()?)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::disk(format!("removing the old state of task {}", task.name), error))
            }
            _ => Ok(()),
        }
    }

    /// Pauses or resumes. What is paused of its own stays so when what is around it is resumed.
    pub fn pause(&self, scope: &Scope, paused: bool) -> Result<()> {
        match scope {
            Scope::Everything => {
                let globals = Globals { paused, ..self.globals()? };
                self.file.write(|change| change.put(GLOBALS, GLOBALS_ROW, &globals))
            }
            Scope::Connection(name) => {
                let _turn = self.turn();
                let connection = Connection { paused, ..self.connection(name)? };
                self.file.write(|change| change.put(CONNECTIONS, name, &connection))
            }
            Scope::Task(name) => {
                let task = Task { paused, ..self.task(name)? };
                self.file.write(|change| change.put(TASKS, name, &task))
            }
        }
    }

    /// Whether a task is paused, of its own or with its connection or everything.
    pub fn is_paused(&self, task: &Task) -> Result<bool> {
        Ok(task.paused || self.globals()?.paused || self.connection(&task.connection)?.paused)
    }

    /// The settings of the program as a whole.
    pub fn globals(&self) -> Result<Globals> {
        Ok(self.file.one(GLOBALS, GLOBALS_ROW)?.unwrap_or_default())
    }

    /// Changes a setting of the program as a whole: `transfers`, `history`, `admin-mode`, `log-level`,
    /// or `state-location` as [`Book::move_state`] does.
    ///
    /// # Errors
    /// `Usage` when there is no such setting or the value is out of range.
    pub fn set_global(&self, key: &str, value: &str) -> Result<Globals> {
        let mut globals = self.globals()?;
        match key {
            "transfers" => globals.transfers = number(key, value, TRANSFERS)?,
            "history" => globals.history = number(key, value, HISTORY)?,
            "admin-mode" => globals.admin_mode = switch(key, value)?,
            "log-level" => globals.log_level = Some(level(key, value)?),
            STATE_LOCATION => return self.move_state(value),
            _ => {
                let what = format!("setting {key}");
                return Err(Error::new(Kind::Usage, what, "there is no such setting")
                    .remedy("choose transfers, history, admin-mode, log-level or state-location"));
            }
        }
        self.file.write(|change| change.put(GLOBALS, GLOBALS_ROW, &globals))?;
        Ok(globals)
    }

    /// The panel's password, if one has been set.
    pub fn password(&self) -> Result<Option<Password>> {
        self.file.one(GLOBALS, PASSWORD_ROW)
    }

    /// Sets the panel's password; an empty one takes it back. Tells whether there is one.
    ///
    /// # Errors
    /// `Usage` when it is too short or too long.
    pub fn set_password(&self, password: Secret) -> Result<bool> {
        if password.is_empty() {
            self.file.write(|change| change.remove(GLOBALS, PASSWORD_ROW))?;
            return Ok(false);
        }
        let password = Password::new(password)?;
        self.file.write(|change| change.put(GLOBALS, PASSWORD_ROW, &password))?;
        Ok(true)
    }
}

fn number(key: &str, value: &str, range: RangeInclusive<u32>) -> Result<u32> {
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        let cause = format!("'{value}' isn't a number in its range");
        Error::new(Kind::Usage, format!("setting {key}"), cause).remedy(format!(
            "choose a number from {} to {}",
            range.start(),
            range.end()
        ))
    })
}

fn level(key: &str, value: &str) -> Result<Level> {
    LEVEL_WORDS.into_iter().find(|(word, _)| *word == value).map(|(_, level)| level).ok_or_else(
        || {
            let cause = format!("'{value}' is no level");
            Error::new(Kind::Usage, format!("setting {key}"), cause)
                .remedy("choose error, warn, info, debug or trace")
        },
    )
}

fn switch(key: &str, value: &str) -> Result<bool> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => {
            let cause = format!("'{value}' is neither on nor off");
            Err(Error::new(Kind::Usage, format!("setting {key}"), cause).remedy("choose on or off"))
        }
    }
}

/// Takes over a task's settings, if they make sense with the rest of it.
fn enter(task: &mut Task, entered: Vec<(String, String)>, descriptor: &Descriptor) -> Result<()> {
    let mut settings: BTreeMap<_, _> = task.settings.drain(..).chain(entered).collect();
    settings.retain(|_, value| !value.is_empty());
    descriptor.check_task(&settings.clone().into(), task.direction)?;
    task.settings = settings.into_iter().collect();
    Ok(())
}

/// Where a connection leads.
fn place<'a>(descriptor: &Descriptor, connection: &'a Connection) -> Vec<&'a (String, String)> {
    let is_place = |key: &str| descriptor.all_fields().any(|each| each.place && each.key == key);
    connection.values.iter().filter(|(key, _)| is_place(key)).collect()
}

/// The app that a connection is signed in with, and where.
fn app(connection: &Connection) -> Vec<&(String, String)> {
    let of_app = |key: &str| matches!(key, "client-id" | "endpoint");
    connection.values.iter().filter(|(key, _)| of_app(key)).collect()
}

/// Refuses a secret that comes in as a plain value, and the other way round.
fn expect_secret(descriptor: &Descriptor, key: &str, secret: bool) -> Result<()> {
    let Some(field) = descriptor.all_fields().find(|field| field.key == key) else {
        return Err(Error::new(
            Kind::Usage,
            format!("setting {key} of {}", descriptor.label),
            "there is no such setting",
        )
        .remedy(format!("see mooring service show {}", descriptor.name)));
    };
    let (cause, remedy) = match (field.kind == FieldKind::Secret, secret) {
        (true, false) => (
            "it is a secret, which everyone could read in the list of processes",
            format!("give it as --secret {key}=@FILE, or {key}=- for standard input"),
        ),
        (false, true) => ("it isn't a secret", format!("give it as --set {key}=VALUE")),
        _ => return Ok(()),
    };
    let what = format!("setting {key} of {}", descriptor.label);
    Err(Error::new(Kind::Usage, what, cause).remedy(remedy))
}

/// Nothing has this name.
pub(crate) fn unknown(thing: &str, name: &str) -> Error {
    Error::new(Kind::Usage, format!("{thing} {name}"), format!("there is no such {thing}"))
        .remedy(format!("see mooring {thing} list"))
}

fn taken(thing: &str, name: &str) -> Error {
    Error::new(Kind::Usage, format!("{thing} {name}"), "the name is taken")
        .remedy("choose another name")
}
