//! Access to a service that a person signed in to: short-lived tokens, renewed when they end.

use crate::error::{Error, Kind, Result};
use crate::http::Http;
use crate::http::oauth::Client;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A token that ends within this time is replaced before it is used.
const MARGIN: Duration = Duration::from_secs(60);

/// Gives the access tokens of one connection to all who talk to its service.
pub trait Grant: Send + Sync {
    /// An access token that is good for a while, to send as `Authorization: Bearer …`.
    ///
    /// # Errors
    /// `SignIn` when a person has to sign in, or sign in again, and what [`Http::call`] fails with.
    fn bearer(&self, http: &Http) -> Result<String>;

    /// The service didn't accept this access token: the next [`Grant::bearer`] gets another one.
    /// An adapter then tries its request once more.
    fn refused(&self, bearer: &str);
}

/// Where a refresh token is kept.
pub trait Keeper: Send + Sync {
    /// The app and the refresh token, as they are now.
    ///
    /// # Errors
    /// `SignIn` when nobody has signed in.
    fn read(&self) -> Result<Kept>;

    /// Replaces `old` by `new`, durably. Does nothing and says no when what is kept isn't `old`
    /// any more.
    fn replace(&self, old: &str, new: &str) -> Result<bool>;
}

/// What a [`Keeper`] keeps.
pub struct Kept {
    /// The app.
    pub client: Client,
    /// The refresh token.
    pub refresh_token: String,
}

/// A [`Grant`] that refreshes: one request at a time, whose outcome is that of all who waited.
/// The access token is in memory only.
pub struct Refresher<K> {
    keeper: K,
    /// Held while a refresh is under way.
    turn: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    access: Option<Access>,
    /// A refresh token that couldn't be kept yet. It may be the only one that is still good.
    unkept: Option<Rotated>,
    /// Counts the refreshes that came to an end.
    ended: u64,
    /// Why the last of them failed.
    failure: Option<Error>,
    /// Counts the sign-ins: what comes of an older one is dropped.
    epoch: u64,
}

pub(super) struct Access {
    pub token: String,
    /// When to replace it; `None`: when it is refused. By a clock that nobody sets.
    pub until: Option<Instant>,
}

impl Access {
    pub fn is_good(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

struct Rotated {
    old: String,
    new: String,
    access: Access,
}

impl<K: Keeper> Refresher<K> {
    /// A grant with what this keeper keeps.
    pub fn new(keeper: K) -> Self {
        Refresher { keeper, turn: Mutex::default(), state: Mutex::default() }
    }

    /// A person signed in anew, or changed the connection: nothing from before counts. Never waits
    /// for a refresh.
    pub fn forget(&self) {
        let mut state = self.state();
        // Its keeper knows whether it still is of any use.
        let unkept = state.unkept.take();
        *state = State { unkept, epoch: state.epoch + 1, ended: state.ended, ..State::default() };
    }

    /// Refreshes. `None` when what is kept was replaced meanwhile.
    fn refresh(&self, http: &Http) -> Result<Option<Access>> {
        let unkept = self.state().unkept.take();
        let rotated = match unkept {
            Some(rotated) => rotated,
            None => {
                let Kept { client, refresh_token: old } = self.keeper.read()?;
                let asked = Instant::now();
                let tokens = client.refresh(http, &old)?;
                let access = Access { token: tokens.access, until: until(asked, tokens.lifetime) };
                match tokens.refresh {
                    Some(new) => Rotated { old, new, access },
                    None => return Ok(Some(access)),
                }
            }
        };
        // Kept before the access token is used: whoever uses the one may have ended the other.
        match self.keeper.replace(&rotated.old, &rotated.new) {
            Ok(true) => Ok(Some(rotated.access)),
            Ok(false) => Ok(None),
            Err(error) => {
                self.state().unkept = Some(rotated);
                Err(error)
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No panic can leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Keeper> Grant for Refresher<K> {
    fn bearer(&self, http: &Http) -> Result<String> {
        let known = {
            let state = self.state();
            if let Some(token) = state.token() {
                return Ok(token);
            }
            state.ended
        };
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let epoch = {
                let state = self.state();
                if let Some(token) = state.token() {
                    return Ok(token);
                }
                if let Some(error) = state.failure.as_ref().filter(|_| state.ended > known) {
                    return Err(error.clone());
                }
                state.epoch
            };
            let outcome = self.refresh(http);
            let mut state = self.state();
            if state.epoch != epoch {
                continue;
            }
            match outcome {
                Ok(None) => {}
                Ok(Some(access)) => {
                    let token = access.token.clone();
                    (state.ended, state.failure) = (state.ended + 1, None);
                    state.access = Some(access);
                    return Ok(token);
                }
                // Who waited may go on all the same.
                Err(error) if error.kind() == Kind::Cancelled => return Err(error),
                Err(error) => {
                    (state.ended, state.failure) = (state.ended + 1, Some(error.clone()));
                    return Err(error);
                }
            }
        }
    }

    fn refused(&self, bearer: &str) {
        let mut state = self.state();
        // Somebody else may have got another one by now.
        state.access.take_if(|access| access.token == bearer);
    }
}

impl State {
    fn token(&self) -> Option<String> {
        let access = self.access.as_ref()?;
        access.is_good().then(|| access.token.clone())
    }
}

/// When to replace a token that was asked for at this time. One that doesn't last is used for
/// half of its time, or each request would need two.
pub(super) fn until(asked: Instant, lifetime: Option<Duration>) -> Option<Instant> {
    let lifetime = lifetime?;
    asked.checked_add(lifetime - MARGIN.min(lifetime / 2))
}
