//! The key that the tasks of a connection are encrypted with.

use super::file::{CONNECTIONS, Change};
use super::{Book, Connection, Secret, Task};
use crate::crypt::{self, Encryption};
use crate::error::{Error, Kind, Result};
use crate::http::{Cancel, Http};
use crate::remote::{ENCRYPTION, ENCRYPTION_KEY, ENCRYPTION_PASSWORD};
use crate::services;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

impl Book {
    /// The key that the tasks of a connection are encrypted with, to be kept in a safe place: with
    /// it, another connection goes on, or rclone. Of a key pair in Cloud Sync's format also what
    /// Cloud Sync makes of it, an archive, in base64.
    ///
    /// # Errors
    /// `Usage` when there is none, and those of [`Book::values`].
    pub fn encryption_key(&self, connection: &str) -> Result<(Secret, Option<Secret>)> {
        let connection = self.connection(connection)?;
        let key = self.file.secret(&connection.name, ENCRYPTION_KEY)?.ok_or_else(|| {
            let what = format!("connection {}", connection.name);
            Error::new(Kind::Usage, what, "it has no encryption key")
                .remedy("it gets one with its first encrypted task")
        })?;
        let text = key.reveal();
        let zip = crypt::key_zip(&text)?.map(|zip| Secret::new(BASE64.encode(zip)));
        Ok((Secret::new(text), zip))
    }

    /// Makes sure, before a task is added, that its remote folder is encrypted with the key of its
    /// connection, which is found out or made if need be. Takes as long as the network does.
    ///
    /// # Errors
    /// Those of [`crypt::agree`], and of [`Book::values`].
    pub(super) fn agree_on_key(&self, task: &Task) -> Result<()> {
        let Some(encryption) = Encryption::of(&task.settings) else { return Ok(()) };
        let connection = self.connection(&task.connection)?;
        let service = services::find(&connection.service)?;
        let values = self.values(&connection)?;
        let http = Http::new(&values.http_options(service.descriptor(), 1), Cancel::default())?;
        let remote = service.open(&values, http, &task.remote)?;
        let known = values.given(ENCRYPTION_KEY);
        let password = values.given(ENCRYPTION_PASSWORD);
        let key = crypt::agree(&remote, known, password, encryption, task.writes())?;
        let Some(key) = key.filter(|_| known.is_none()) else { return Ok(()) };
        let _turn = self.turn();
        self.file.write(|change| keep_key(change, &connection.name, Secret::new(key)))
    }

    /// Refuses another key or password for a connection that has encrypted tasks: what is in their
    /// folders opens with the one that it was encrypted with.
    pub(super) fn keep_encryption<'a>(
        &self,
        connection: &Connection,
        entered: impl IntoIterator<Item = (&'a String, &'a Secret)>,
    ) -> Result<()> {
        for (key, secret) in entered.into_iter().filter(|(key, _)| is_of_encryption(key)) {
            let tasks = self.tasks_of(&connection.name)?;
            let encrypted = tasks.iter().find(|task| Encryption::of(&task.settings).is_some());
            let Some(task) = encrypted else { return Ok(()) };
            // A lost key file of the state mustn't keep a person from entering them again.
            let known = self.file.secret(&connection.name, key);
            if known.is_ok_and(|known| known.is_some_and(|known| known != *secret)) {
                let what = format!("secret {key} of connection {}", connection.name);
                let cause = format!("task {} is encrypted with it", task.name);
                return Err(Error::new(Kind::Usage, what, cause).remedy(
                    "what is in the cloud opens only with the old one: to encrypt it with another, \
                     remove the tasks, and add them with a new connection and new remote folders",
                ));
            }
        }
        Ok(())
    }
}

/// Whether a secret is for encrypting, and goes to no service.
pub(super) fn is_of_encryption(key: &str) -> bool {
    key == ENCRYPTION_KEY || key == ENCRYPTION_PASSWORD
}

/// Refuses to change what makes a task's remote folder what it is.
pub(super) fn keep_way(before: &Task, task: &Task) -> Result<()> {
    let (was, is) = (Encryption::of(&before.settings), Encryption::of(&task.settings));
    let moved = is.is_some() && task.remote != before.remote;
    if was == is && !moved {
        return Ok(());
    }
    let (what, cause) = match moved {
        false => (
            format!("setting {ENCRYPTION} of task {}", task.name),
            "what is in its remote folder stays as it was written, encrypted or not",
        ),
        true => (
            format!("task {}", task.name),
            "another remote folder has to be encrypted from its start",
        ),
    };
    Err(Error::new(Kind::Usage, what, cause).remedy(
        "add another task for the same local folder with a new remote folder, once this one is removed",
    ))
}

fn keep_key(change: &Change<'_>, name: &str, key: Secret) -> Result<()> {
    let gone =
        || Error::new(Kind::Changed, format!("connection {name}"), "it was removed meanwhile");
    let mut connection: Connection = change.one(CONNECTIONS, name)?.ok_or_else(gone)?;
    if connection.secrets.iter().any(|key| key == ENCRYPTION_KEY) {
        let cause = "it got another key meanwhile";
        return Err(Error::new(Kind::Changed, format!("connection {name}"), cause)
            .remedy("add the task again, with a new remote folder"));
    }
    connection.secrets.push(ENCRYPTION_KEY.into());
    connection.secrets.sort();
    change.put(CONNECTIONS, name, &connection)?;
    change.put_secret(name, ENCRYPTION_KEY, &key)
}
