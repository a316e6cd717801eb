//! Signing in to a connection's service, and what is kept of it.
//!
//! A sign-in is begun and finished by two requests, which may come to two processes: what has to
//! be known in between is sealed in the settings. The refresh token that comes of it is sealed
//! too, and read anew for each refresh.

use super::file::{CONNECTIONS, File};
use super::{Book, Connection, Secret};
use crate::error::{Error, Kind, Result};
use crate::http::oauth::{self, Attempt};
use crate::http::{Cancel, Http, unix_seconds};
use crate::remote::{Descriptor, Keeper, Kept, REFRESH_TOKEN, Refresher, SignIn};
use crate::services;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Where a sign-in that was begun is kept; no setting has this key.
pub(super) const ATTEMPT: &str = "(sign-in)";
/// Time within which a sign-in has to be finished.
pub const SIGN_IN_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// Gives access to a connection's service.
pub(super) type Signed = Refresher<SealedToken>;

/// The refresh token of a connection in the settings file.
pub(super) struct SealedToken {
    file: Arc<File>,
    connection: String,
    sign_in: &'static SignIn,
}

/// A sign-in that was begun: what a person does next.
pub struct Begun {
    /// The address to open in a browser, on any machine.
    pub url: String,
    /// Where the browser ends; `None` when the service shows a code.
    pub redirect: Option<String>,
    /// Tells its answer from others.
    pub state: String,
}

/// What is sealed of a sign-in that was begun.
#[derive(Serialize, Deserialize)]
struct Pending {
    attempt: Attempt,
    /// Seconds since 1970.
    begun: i64,
}

impl Book {
    /// Begins to sign in, in place of a sign-in that was begun before. `None` when the service
    /// of the connection has none, or the connection has what stands for one.
    ///
    /// # Errors
    /// `Usage` when there is no such connection or `redirect` isn't an address.
    pub fn begin_sign_in(&self, name: &str, redirect: Option<String>) -> Result<Option<Begun>> {
        let connection = self.connection(name)?;
        let sign_in = descriptor_of(&connection)?.sign_in.as_ref();
        let sign_in = sign_in.filter(|sign_in| !connection.has_instead(sign_in));
        sign_in.map(|sign_in| self.begin(&connection, sign_in, redirect)).transpose()
    }

    fn begin(
        &self,
        connection: &Connection,
        sign_in: &'static SignIn,
        redirect: Option<String>,
    ) -> Result<Begun> {
        let name = &connection.name;
        if let Some(redirect) = redirect.as_deref().filter(|redirect| !is_address(redirect)) {
            let what = format!("redirect {redirect:?}");
            return Err(Error::new(Kind::Usage, what, "it isn't an http(s) address")
                .remedy("give it as it is entered for the app at the service"));
        }
        let attempt = Attempt::new(redirect.or_else(|| sign_in.redirect()))?;
        let client = sign_in.client(name, &self.file.settings(connection)?);
        let begun = Begun {
            url: client.page(sign_in.scopes, sign_in.parameters, &attempt),
            redirect: attempt.redirect().map(str::to_owned),
            state: attempt.state().to_owned(),
        };
        self.keep_attempt(name, &Pending { attempt, begun: unix_seconds(SystemTime::now()) })?;
        Ok(begun)
    }

    fn keep_attempt(&self, name: &str, pending: &Pending) -> Result<()> {
        let pending = serde_json::to_string(pending)
            .map_err(|error| Error::new(Kind::State, "beginning a sign-in", error))?;
        let _turn = self.turn();
        self.file.write(|change| change.put_secret(name, ATTEMPT, &Secret::new(pending)))
    }

    /// Finishes the sign-in that was begun last, with what the person brought back. Takes as long
    /// as the network does.
    ///
    /// # Errors
    /// `Usage` when none was begun or the answer isn't one to it, `SignIn` when the service
    /// refuses it, and what the network says.
    pub fn finish_sign_in(&self, name: &str, answer: Secret) -> Result<()> {
        let connection = self.connection(name)?;
        self.finish(&connection, descriptor_of(&connection)?, answer)
    }

    fn finish(
        &self,
        connection: &Connection,
        descriptor: &'static Descriptor,
        answer: Secret,
    ) -> Result<()> {
        let name = &connection.name;
        let Some(sign_in) = &descriptor.sign_in else {
            let what = format!("the sign-in of connection {name}");
            let cause = "its service has none: its settings are enough";
            return Err(Error::new(Kind::Usage, what, cause)
                .remedy(format!("try it out: mooring connection test \"{name}\"")));
        };
        let sealed = self.file.sealed(name, ATTEMPT)?;
        let pending = sealed.clone().ok_or_else(|| none_begun(name))?.reveal();
        let pending: Pending = serde_json::from_str(&pending).map_err(|_| none_begun(name))?;
        // Either way: a clock may have been set back in between.
        let age = unix_seconds(SystemTime::now()).abs_diff(pending.begun);
        if age > SIGN_IN_PATIENCE.as_secs() {
            return Err(none_begun(name));
        }
        let settings = self.file.settings(connection)?;
        let client = sign_in.client(name, &settings);
        let code = client.code(&pending.attempt, &answer.reveal())?;
        let http = Http::new(&settings.http_options(descriptor, 1), Cancel::default())?;
        let tokens = client.exchange(&http, &pending.attempt, &code)?;
        let token = Secret::new(tokens.refresh.unwrap_or_default());
        let _turn = self.turn();
        self.file.write(|change| {
            // Another app or another sign-in may have come in between.
            let connection = change.one::<Connection>(CONNECTIONS, name)?;
            let (Some(mut connection), true) =
                (connection, change.secret(name, ATTEMPT)? == sealed)
            else {
                return Err(none_begun(name));
            };
            if !connection.secrets.iter().any(|key| key == REFRESH_TOKEN) {
                connection.secrets.push(REFRESH_TOKEN.into());
            }
            change.put(CONNECTIONS, name, &connection)?;
            change.put_secret(name, REFRESH_TOKEN, &token)?;
            change.remove_secret(name, ATTEMPT)
        })?;
        self.forget_access(name);
        Ok(())
    }

    /// What gives access to the service of this connection.
    pub(super) fn signed(&self, connection: &str, sign_in: &'static SignIn) -> Signed {
        let (file, connection) = (self.file.clone(), connection.to_owned());
        Refresher::new(SealedToken { file, connection, sign_in })
    }
}

impl Connection {
    /// Whether a person has signed in; `None` where nobody has to.
    pub fn is_signed_in(&self) -> Option<bool> {
        // A service that isn't part of this build has nothing to tell.
        let sign_in = descriptor_of(self).ok()?.sign_in.as_ref()?;
        if self.has_instead(sign_in) {
            return None;
        }
        Some(self.secrets.iter().any(|key| key == REFRESH_TOKEN))
    }

    /// Whether it has what stands for a sign-in.
    fn has_instead(&self, sign_in: &SignIn) -> bool {
        sign_in.instead.is_some_and(|instead| self.secrets.iter().any(|key| key == instead))
    }
}

impl Keeper for SealedToken {
    fn read(&self) -> Result<Kept> {
        let name = &self.connection;
        let signed_out = |cause| {
            Error::new(Kind::SignIn, format!("the sign-in of connection {name}"), cause)
                .remedy(oauth::sign_in_again(name))
        };
        let connection = self.file.one::<Connection>(CONNECTIONS, name)?;
        let connection = connection.ok_or_else(|| signed_out("the connection was removed"))?;
        let token = self.file.sealed(name, REFRESH_TOKEN)?;
        let token = token.ok_or_else(|| signed_out("nobody has signed in yet"))?;
        let client = self.sign_in.client(name, &self.file.settings(&connection)?);
        Ok(Kept { client, refresh_token: token.reveal() })
    }

    fn replace(&self, old: &str, new: &str) -> Result<bool> {
        let name = &self.connection;
        self.file.write(|change| {
            let kept = change.secret(name, REFRESH_TOKEN)?;
            let is_old = kept.is_some_and(|kept| kept.reveal() == old);
            if is_old {
                change.put_secret(name, REFRESH_TOKEN, &Secret::new(new.to_owned()))?;
            }
            Ok(is_old)
        })
    }
}

impl File {
    /// What is kept of a sign-in. When it can't be unsealed, only another sign-in helps.
    fn sealed(&self, connection: &str, key: &str) -> Result<Option<Secret>> {
        self.secret(connection, key).map_err(|error| match error.kind() {
            Kind::SignIn => error.remedy(oauth::sign_in_again(connection)),
            _ => error,
        })
    }
}

fn descriptor_of(connection: &Connection) -> Result<&'static Descriptor> {
    Ok(services::find(&connection.service)?.descriptor())
}

fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()))
}

fn none_begun(name: &str) -> Error {
    let what = format!("the sign-in of connection {name}");
    Error::new(Kind::Usage, what, "none was begun within the last 30 minutes, or it was finished")
        .remedy(format!("begin one: mooring connection authorize \"{name}\""))
}

#[cfg(test)]
mod tests;
