//! Calls to a service that wants an access token with each, and that says in its own words when
//! it is asked too often.

use super::Grant;
use crate::error::{Error, Kind, Result};
use crate::http::{Call, Http, Reply, backoff};
use std::sync::Arc;
use std::time::Duration;

/// Attempts at a call that the service refuses for being one too many.
const ATTEMPTS: u32 = 6;
/// First pause between two of them; it doubles. (Google asks for a second, then up to 64.)
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A longer wait that the service asks for isn't waited for here but handed to the engine.
const LONGEST_PAUSE: Duration = Duration::from_secs(64);

/// What a reply that isn't a success means: from the status and the beginning of the body. The
/// first argument names the operation and the thing.
pub type Refusal = fn(what: &str, status: u16, body: &str) -> Error;

/// A service behind access tokens.
pub struct Api {
    http: Http,
    grant: Result<Arc<dyn Grant>>,
    refusal: Refusal,
}

impl Api {
    /// The service that is reached so. Without a sign-in it can be opened but not called.
    pub fn new(http: Http, grant: Result<Arc<dyn Grant>>, refusal: Refusal) -> Self {
        Api { http, grant, refusal }
    }

    /// The client below, for calls that take no token.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// Sends a request with an access token. Any status but 2xx and those of `accept` is an error.
    ///
    /// A request is repeated with another token when the first isn't taken, and after a pause when
    /// [`Refusal`] says that the service is busy: it wasn't carried out then.
    ///
    /// # Errors
    /// Those of [`Http::call`], of [`Grant::bearer`], and what the reply means.
    pub fn call<'a>(
        &self,
        what: &str,
        accept: &[u16],
        build: &mut dyn FnMut() -> Result<Call<'a>>,
    ) -> Result<Reply> {
        let grant = self.grant.as_ref().map_err(Error::clone)?;
        let mut renewed = false;
        let mut attempt = 0;
        loop {
            let token = grant.bearer(&self.http)?;
            let authorization = format!("Bearer {token}");
            let reply = self
                .http
                .call(what, &mut || Ok(build()?.header("Authorization", authorization.as_str())))?;
            let status = reply.status;
            if (200..300).contains(&status) || accept.contains(&status) {
                return Ok(reply);
            }
            if status == 401 && !renewed {
                reply.drain();
                grant.refused(&token);
                renewed = true;
                continue;
            }
            let error = (self.refusal)(what, status, &reply.excerpt());
            attempt += 1;
            let pause = error.wait().unwrap_or_else(|| backoff(FIRST_PAUSE, attempt));
            if error.kind() != Kind::Busy || attempt == ATTEMPTS || pause > LONGEST_PAUSE {
                return Err(error);
            }
            tracing::debug!(what, attempt, reason = error.reason(), "trying again");
            self.http.pause(pause)?;
        }
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}
