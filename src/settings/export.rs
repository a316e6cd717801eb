//! All settings as one document, and taking such a document over.
//!
//! Secrets aren't in it, unless a person gives a password to seal them with. They are then sealed
//! as one text: a JSON object of each connection's secrets by key, encrypted with ChaCha20-Poly1305
//! (nonce of zeros, as no key is used twice) under the key that Argon2id (version 19; 19,456 KiB, 2
//! passes, 1 lane) makes of the password and the salt. Where the connections lead is authenticated
//! with it: whoever changes an address in the document gets no secret sent there, neither one of these
//! nor one that is here already.
//!
//! Taking a document over adds and replaces, by name, and removes nothing.

use super::encryption::is_of_encryption;
use super::password;
use super::{
    Book, Connection, Entered, FilterChange, Globals, NewTask, Scope, Secret, Task, TaskChange,
    check,
};
use crate::caller::is_user_name;
use crate::crypt::{Cost, password_cipher};
use crate::error::{Error, Kind, Result};
use crate::logs::{LEVEL_WORDS, Level};
use crate::random::random;
use crate::remote::{Field, FieldKind, Needed, Service};
use crate::rules::Filter;
use crate::services;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, NONCE_LEN, Nonce};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Number of the document's form.
const FORMAT: u32 = 1;
/// How secrets are sealed.
const METHOD: &str = "argon2id-chacha20poly1305";
/// Cost of making a key of a password.
const COST: Cost = Cost { memory_kib: 19_456, passes: 2, lanes: 1 };
const SALT: usize = 16;

/// All settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Export {
    /// Number of the document's form.
    format: u32,
    /// Version of the program that wrote it.
    version: String,
    /// Those of the program as a whole.
    settings: Common,
    /// All connections.
    connections: Vec<Connection>,
    /// All tasks.
    tasks: Vec<Exported>,
    /// The secrets of the connections, if they were wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secrets: Option<Sealed>,
}

/// Settings of the program as a whole that are good for any box.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Common {
    transfers: u32,
    history: u32,
    admin_mode: bool,
    log_level: Option<Level>,
}

/// A task without what only its state knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Exported {
    #[serde(flatten)]
    task: NewTask,
    paused: bool,
}

/// Secrets, sealed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Sealed {
    /// How.
    method: String,
    /// In Base64.
    salt: String,
    /// In Base64.
    text: String,
}

/// Secrets by connection and key.
type Secrets = BTreeMap<String, BTreeMap<String, Secret>>;

/// What becomes of one thing in a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ImportLine {
    /// What it is.
    pub thing: Thing,
    /// Its name; empty for the settings of the program.
    pub name: String,
    /// What becomes of it.
    pub fate: Fate,
    /// What differs, is still to be entered, or stands in the way; empty when there is nothing to
    /// say.
    pub detail: String,
}

/// What can be in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Thing {
    /// The settings of the program as a whole.
    Settings,
    /// A connection.
    Connection,
    /// A task.
    Task,
}

/// What becomes of a thing in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Fate {
    /// It is new here.
    Add,
    /// It takes the place of what is here.
    Replace,
    /// It is here already.
    Same,
    /// It can't be taken over.
    Refuse,
}

impl Book {
    /// All settings; with the secrets, sealed, when there is a password to seal them with. That
    /// takes a moment and 19 MiB of memory.
    ///
    /// # Errors
    /// `Usage` when the password is too short or too long, `SignIn` when a secret can't be unsealed.
    pub fn export(&self, password: Option<Secret>) -> Result<Export> {
        let globals = self.globals()?;
        let connections = self.connections()?;
        let secrets = match password {
            Some(password) => Some(seal(&self.all_secrets(&connections)?, password, &connections)?),
            None => None,
        };
        Ok(Export {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            settings: Common::of(&globals),
            connections,
            tasks: self.tasks()?.into_iter().map(Exported::of).collect(),
            secrets,
        })
    }

    /// Tells what becomes of each thing in a document, and has it so if `apply` is true. What can't
    /// be taken over keeps nothing else from it. No task may be open then.
    ///
    /// # Errors
    /// `Usage` when the document is of another form, or the password isn't that of its secrets.
    pub fn import(
        &self,
        export: Export,
        password: Option<Secret>,
        apply: bool,
    ) -> Result<Vec<ImportLine>> {
        if export.format != FORMAT {
            let cause = format!("its form {} isn't known to this version", export.format);
            return Err(wrong(cause).remedy("bring Mooring up to date first"));
        }
        let mut secrets = match (&export.secrets, password) {
            (Some(sealed), Some(password)) => unseal(sealed, password, &export.connections)?,
            _ => Secrets::new(),
        };
        let mut lines = vec![self.import_common(&export.settings, apply)];
        for connection in &export.connections {
            let secrets = secrets.remove(&connection.name).unwrap_or_default();
            lines.push(self.import_connection(connection, secrets, apply));
        }
        let taken = lines.iter().filter(|line| line.fate != Fate::Refuse);
        let taken: BTreeSet<_> = taken.map(|line| line.name.clone()).collect();
        for task in export.tasks {
            let connection = &task.task.connection;
            let line = if taken.contains(connection) || self.connection(connection).is_ok() {
                self.import_task(task, apply)
            } else {
                let cause = format!("there is no connection {connection}");
                told(Thing::Task, &task.task.name, Fate::Refuse, cause)
            };
            lines.push(line);
        }
        Ok(lines)
    }

    fn import_common(&self, new: &Common, apply: bool) -> ImportLine {
        let line = |fate, detail| told(Thing::Settings, "", fate, detail);
        let changed = || -> Result<Vec<&str>> {
            let known = Common::of(&self.globals()?);
            let changed: Vec<_> =
                new.values().into_iter().filter(|each| !known.values().contains(each)).collect();
            for (key, value) in changed.iter().filter(|_| apply) {
                self.set_global(key, value)?;
            }
            Ok(changed.into_iter().map(|(key, _)| key).collect())
        };
        match changed() {
            Ok(keys) if keys.is_empty() => line(Fate::Same, String::new()),
            Ok(keys) => line(Fate::Replace, keys.join(", ")),
            Err(error) => line(Fate::Refuse, error.to_string()),
        }
    }

    fn import_connection(
        &self,
        new: &Connection,
        secrets: BTreeMap<String, Secret>,
        apply: bool,
    ) -> ImportLine {
        let line = |fate, detail| told(Thing::Connection, &new.name, fate, detail);
        match self.take_connection(new, secrets, apply) {
            Ok((fate, detail)) => line(fate, detail),
            Err(error) => line(Fate::Refuse, error.to_string()),
        }
    }

    fn take_connection(
        &self,
        new: &Connection,
        secrets: BTreeMap<String, Secret>,
        apply: bool,
    ) -> Result<(Fate, String)> {
        check::name("connection", &new.name)?;
        let service = services::find(&new.service)?;
        let known = self.connections()?.into_iter().find(|each| each.name == new.name);
        if known.as_ref().is_some_and(|known| known.service != new.service) {
            let what = format!("connection {}", new.name);
            let cause = "a connection to another service has this name";
            return Err(Error::new(Kind::Usage, what, cause).remedy("remove that one first"));
        }
        if new.owner.as_deref().is_some_and(|owner| !is_user_name(owner)) {
            let what = format!("the owner of connection {}", new.name);
            return Err(Error::new(Kind::Usage, what, "no user of a NAS has this name"));
        }
        let changed = known.as_ref().map(|known| self.changed(known, new, &secrets)).transpose()?;
        let mut secrets = secrets;
        if let (Some(known), Some(changed)) = (&known, &changed) {
            let leads_elsewhere = service
                .descriptor()
                .all_fields()
                .any(|field| field.kind.is_address() && changed.iter().any(|key| key == field.key));
            // An empty one takes the one that is here back.
            let is_sent = |key: &&String| leads_elsewhere && !is_of_encryption(key);
            for key in known.secrets.iter().filter(is_sent) {
                secrets.entry(key.clone()).or_default();
            }
            self.keep_encryption(known, &secrets)?;
        }
        let has = |key: &str| match secrets.get(key) {
            Some(secret) => !secret.is_empty(),
            None => known.as_ref().is_some_and(|known| known.secrets.iter().any(|it| it == key)),
        };
        let is_lacking = |field: &&Field| {
            field.kind == FieldKind::Secret && field.needed == Needed::Yes && !has(field.key)
        };
        let lacks = service.descriptor().all_fields().filter(is_lacking);
        let lacks: Vec<_> = lacks.map(|field| field.key).collect();
        let (fate, mut told) = match changed {
            None => (Fate::Add, Vec::new()),
            Some(keys) if keys.is_empty() => return Ok((Fate::Same, String::new())),
            Some(keys) => (Fate::Replace, vec![keys.join(", ")]),
        };
        if !lacks.is_empty() {
            told.push(format!("still to be entered: {}", lacks.join(", ")));
        }
        if apply {
            self.put_connection(service, known, new, secrets, &lacks)?;
        }
        Ok((fate, told.join("; ")))
    }

    fn put_connection(
        &self,
        service: &dyn Service,
        known: Option<Connection>,
        new: &Connection,
        secrets: BTreeMap<String, Secret>,
        lacks: &[&str],
    ) -> Result<()> {
        let before = known.unwrap_or_else(|| Connection {
            values: Vec::new(),
            secrets: Vec::new(),
            ..new.clone()
        });
        let gone = before.values.iter().filter(|(key, _)| !has_key(&new.values, key));
        let gone = gone.map(|(key, _)| (key.clone(), String::new()));
        let entered = Entered {
            values: gone.chain(new.values.iter().cloned()).collect(),
            secrets: secrets.into_iter().collect(),
            schedule: None,
        };
        let connection = Connection { schedule: new.schedule, paused: new.paused, ..before };
        let _turn = self.turn();
        self.enter(service, connection, entered, lacks).map(drop)
    }

    /// Which settings of a connection are others in a document.
    fn changed(
        &self,
        known: &Connection,
        new: &Connection,
        secrets: &BTreeMap<String, Secret>,
    ) -> Result<Vec<String>> {
        let both = [(&known.values, &new.values), (&new.values, &known.values)];
        let differ = both.into_iter().flat_map(|(these, those)| {
            these.iter().filter(|each| !those.contains(each)).map(|(key, _)| key.clone())
        });
        let mut keys: BTreeSet<String> = differ.collect();
        for (key, secret) in secrets {
            if self.file.secret(&known.name, key)?.as_ref() != Some(secret) {
                keys.insert(key.clone());
            }
        }
        let rest =
            [("schedule", known.schedule != new.schedule), ("paused", known.paused != new.paused)];
        keys.extend(rest.iter().filter(|(_, differs)| *differs).map(|(key, _)| key.to_string()));
        Ok(keys.into_iter().collect())
    }

    fn import_task(&self, new: Exported, apply: bool) -> ImportLine {
        let name = new.task.name.clone();
        match self.take_task(new, apply) {
            Ok((fate, detail)) => told(Thing::Task, &name, fate, detail),
            Err(error) => told(Thing::Task, &name, Fate::Refuse, error),
        }
    }

    fn take_task(
        &self,
        Exported { task: new, paused }: Exported,
        apply: bool,
    ) -> Result<(Fate, String)> {
        check::name("task", &new.name)?;
        let local = self.local_folder(&new.local)?;
        let Some(known) = self.tasks()?.into_iter().find(|each| each.name == new.name) else {
            if apply {
                let added = self.add_task(new)?;
                self.pause(&Scope::Task(added.name), paused)?;
            }
            return Ok((Fate::Add, String::new()));
        };
        if known.connection != new.connection {
            let what = format!("task {}", new.name);
            let cause = format!("the one that is here is of connection {}", known.connection);
            return Err(Error::new(Kind::Usage, what, cause).remedy("remove that one first"));
        }
        let filter = new.filter.clone().apply(&Filter::default())?;
        let remote = check::remote_folder(&new.remote)?;
        let differs = [
            ("local", known.local != local),
            ("remote", known.remote != remote),
            ("direction", known.direction != new.direction),
            ("conflict", known.conflict != new.conflict),
            ("consistency_check", known.consistency_check != new.consistency_check),
            ("keep_removed", known.keep_removed != new.keep_removed),
            ("recycle_days", known.recycle_days != new.recycle_days),
            ("filter", known.filter != filter),
            ("settings", known.settings != new.settings),
            ("paused", known.paused != paused),
        ];
        let keys: Vec<_> = differs.iter().filter(|(_, it)| *it).map(|(key, _)| *key).collect();
        if keys.is_empty() {
            return Ok((Fate::Same, String::new()));
        }
        if apply {
            let gone = known.settings.iter().filter(|(key, _)| !has_key(&new.settings, key));
            let gone: Vec<_> = gone.map(|(key, _)| (key.clone(), String::new())).collect();
            let change = TaskChange {
                local: Some(local),
                remote: Some(remote),
                direction: Some(new.direction),
                conflict: Some(new.conflict),
                consistency_check: Some(new.consistency_check),
                keep_removed: Some(new.keep_removed),
                recycle_days: Some(new.recycle_days),
                filter: FilterChange {
                    include_folders: known
                        .filter
                        .folders
                        .difference(&filter.folders)
                        .cloned()
                        .collect(),
                    include: known.filter.patterns.difference(&filter.patterns).cloned().collect(),
                    max_size: Some(filter.max_size.unwrap_or(0)),
                    ..new.filter
                },
                settings: gone.into_iter().chain(new.settings).collect(),
            };
            self.agree_on_change(&new.name, &change)?;
            self.change_task(&new.name, change)?;
            self.pause(&Scope::Task(new.name), paused)?;
        }
        Ok((Fate::Replace, keys.join(", ")))
    }

    fn all_secrets(&self, connections: &[Connection]) -> Result<Secrets> {
        let mut all = Secrets::new();
        for connection in connections {
            for key in &connection.secrets {
                if let Some(secret) = self.file.secret(&connection.name, key)? {
                    all.entry(connection.name.clone()).or_default().insert(key.clone(), secret);
                }
            }
        }
        Ok(all)
    }
}

impl Common {
    fn of(globals: &Globals) -> Common {
        Common {
            transfers: globals.transfers,
            history: globals.history,
            admin_mode: globals.admin_mode,
            log_level: globals.log_level,
        }
    }

    /// As they are entered.
    fn values(&self) -> Vec<(&'static str, String)> {
        let switch = if self.admin_mode { "on" } else { "off" };
        let mut values = vec![
            ("transfers", self.transfers.to_string()),
            ("history", self.history.to_string()),
            ("admin-mode", switch.to_owned()),
        ];
        let level = LEVEL_WORDS.iter().find(|(_, level)| Some(*level) == self.log_level);
        values.extend(level.map(|(word, _)| ("log-level", (*word).to_owned())));
        values
    }
}

impl Exported {
    fn of(task: Task) -> Exported {
        let Filter { folders, patterns, max_size } = task.filter;
        Exported {
            paused: task.paused,
            task: NewTask {
                name: task.name,
                connection: task.connection,
                local: task.local,
                remote: format!("/{}", task.remote),
                direction: task.direction,
                conflict: task.conflict,
                consistency_check: task.consistency_check,
                keep_removed: task.keep_removed,
                recycle_days: task.recycle_days,
                filter: FilterChange {
                    exclude_folders: folders.into_iter().collect(),
                    exclude: patterns.into_iter().collect(),
                    max_size,
                    ..FilterChange::default()
                },
                settings: task.settings,
            },
        }
    }
}

fn seal(secrets: &Secrets, password: Secret, connections: &[Connection]) -> Result<Sealed> {
    let password = password.reveal();
    password::check(&password)?;
    let what = "sealing the secrets";
    let salt = random::<SALT>(what)?;
    let cipher = password_cipher(&password, &salt, COST)?;
    let failed = |_| Error::new(Kind::State, what, "the cipher failed");
    let mut text = document(secrets)?;
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let aad = Aad::from(places(connections)?);
    cipher.seal_in_place_append_tag(nonce, aad, &mut text).map_err(failed)?;
    let [salt, text] = [salt.as_slice(), &text].map(|bytes| STANDARD.encode(bytes));
    Ok(Sealed { method: METHOD.into(), salt, text })
}

fn unseal(sealed: &Sealed, password: Secret, connections: &[Connection]) -> Result<Secrets> {
    if sealed.method != METHOD {
        return Err(wrong("its secrets are sealed in a way that this version doesn't know")
            .remedy("bring Mooring up to date first"));
    }
    let other = || {
        let what = "the secrets in the document";
        Error::new(Kind::Usage, what, "this isn't their password, or it was changed since")
            .remedy("give the password that it was exported with, or import it without the secrets")
    };
    let decoded = |text: &str| STANDARD.decode(text).map_err(|_| other());
    let (salt, mut text) = (decoded(&sealed.salt)?, decoded(&sealed.text)?);
    let password = password.reveal();
    if salt.len() != SALT || password.len() > password::MOST {
        return Err(other());
    }
    let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
    let aad = Aad::from(places(connections)?);
    let cipher = password_cipher(&password, &salt, COST)?;
    let text = cipher.open_in_place(nonce, aad, &mut text).map_err(|_| other())?;
    serde_json::from_slice(text).map_err(|_| other())
}

/// Where the connections lead, as the secrets are bound to it.
fn places(connections: &[Connection]) -> Result<Vec<u8>> {
    let places = connections.iter().map(|each| (&each.name, &each.service, &each.values));
    document(&places.collect::<Vec<_>>())
}

fn document<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(Kind::State, "the document", error))
}

fn has_key(pairs: &[(String, String)], key: &str) -> bool {
    pairs.iter().any(|(each, _)| each == key)
}

fn told(thing: Thing, name: &str, fate: Fate, detail: impl ToString) -> ImportLine {
    ImportLine { thing, name: name.to_owned(), fate, detail: detail.to_string() }
}

fn wrong(cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Usage, "the document", cause)
}
