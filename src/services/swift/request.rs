//! Requests, and what replies that aren't a success mean.

use super::Store;
use super::auth::Session;
use crate::error::{Error, Kind, Result};
use crate::http::sigv4::{encode_path, encode_query};
use crate::http::{Call, Payload, Reply};
use crate::services::fault::{self, Fault, Look};
use crate::services::parts::lock;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

/// A copy within the service says nothing until it is done.
const COPY_PATIENCE: Duration = Duration::from_secs(600);

/// A request that a token is still to be put to.
pub(super) struct Ask<'a> {
    method: &'static str,
    /// `/container/name`, not encoded; empty for the account.
    target: &'a str,
    query: &'a [(&'a str, &'a str)],
    pub headers: Vec<(&'static str, String)>,
    payload: Payload<'a>,
    patience: Option<Duration>,
    /// What is looked at before it is sent once more.
    again: Option<Look<'a>>,
}

impl<'a> Ask<'a> {
    pub fn new(method: &'static str, target: &'a str) -> Self {
        let (headers, payload) = (Vec::new(), Payload::None);
        Ask { method, target, query: &[], headers, payload, patience: None, again: None }
    }

    /// One that makes `target` of another object, if that is of this version.
    pub fn copy(source: &str, version: &str, target: &'a str) -> Self {
        let ask = Ask::new("PUT", target).payload(Payload::Bytes(&[]));
        let ask = ask.header("x-copy-from", encode_path(source)).header("if-match", version);
        ask.patience(COPY_PATIENCE)
    }

    pub fn query(mut self, query: &'a [(&'a str, &'a str)]) -> Self {
        self.query = query;
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn payload(mut self, payload: Payload<'a>) -> Self {
        self.payload = payload;
        self
    }

    /// Lets the service say nothing for so long.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Has this looked at before it is sent once more; see [`fault::call`].
    pub fn again(mut self, look: Option<Look<'a>>) -> Self {
        self.again = look;
        self
    }

    fn call(&self, session: &Session) -> Call<'a> {
        let (path, query) = (encode_path(self.target), encode_query(self.query));
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{path}{mark}{query}", session.storage);
        // Sending any request here twice does no harm: it writes or removes the same again where nobody
        // else wrote (`Ask::again`), or has a condition whose failure is looked into.
        let mut call = Call::new(self.method, url, true).payload(self.payload);
        call.patience = self.patience;
        call.headers.clone_from(&self.headers);
        call.header("X-Auth-Token", session.token.as_str())
    }
}

/// What the service can, as far as it tells.
#[derive(Deserialize)]
pub(super) struct Info {
    #[serde(default)]
    swift: Limits,
    /// `None` where it has no static large objects.
    pub slo: Option<Slo>,
    /// `None` where each removal takes a request.
    pub bulk_delete: Option<BulkDelete>,
}

#[derive(Deserialize)]
struct Limits {
    #[serde(default = "most_bytes")]
    max_file_size: u64,
}

#[derive(Deserialize)]
pub(super) struct Slo {
    #[serde(default = "most_segments")]
    pub max_manifest_segments: u64,
    #[serde(default)]
    pub min_segment_size: u64,
}

#[derive(Deserialize)]
pub(super) struct BulkDelete {
    #[serde(default)]
    pub max_deletes_per_request: usize,
}

/// What Swift has where it isn't set otherwise.
fn most_bytes() -> u64 {
    5 << 30
}

fn most_segments() -> u64 {
    1000
}

impl Default for Limits {
    fn default() -> Self {
        Limits { max_file_size: most_bytes() }
    }
}

impl Default for Info {
    /// One that doesn't tell has what came with the first versions.
    fn default() -> Self {
        let slo = Slo { max_manifest_segments: most_segments(), min_segment_size: 1 };
        Info { swift: Limits::default(), slo: Some(slo), bulk_delete: None }
    }
}

impl Info {
    /// Bytes of the largest object that isn't made of segments.
    pub fn max_object(&self) -> u64 {
        self.swift.max_file_size
    }
}

impl Store {
    /// The present session; a burst of calls signs in once.
    fn session(&self, what: &str) -> Result<Arc<Session>> {
        let mut session = lock(&self.session);
        if let Some(session) = session.as_ref().filter(|session| session.is_good()) {
            return Ok(session.clone());
        }
        let new = Arc::new(self.identity.sign_in(&self.http, what)?);
        *session = Some(new.clone());
        Ok(new)
    }

    /// Ends a session that isn't good any more, unless another thread has done so.
    fn end(&self, session: &Arc<Session>) {
        let mut current = lock(&self.session);
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            *current = None;
        }
    }

    /// Sends a request, once more with a new token when the first isn't taken.
    pub fn send(&self, what: &str, ask: &Ask<'_>) -> Result<Reply, Fault> {
        let (mut renewed, mut again) = (false, false);
        loop {
            let session = self.session(what)?;
            let call = &mut || Ok(ask.call(&session));
            let (reply, is_again) = fault::call(&self.http, what, ask.again, call)?;
            again |= is_again;
            match reply.status {
                200..300 => return Ok(reply),
                // What isn't let in isn't carried out.
                401 if !renewed => {
                    reply.drain();
                    self.end(&session);
                    renewed = true;
                }
                _ => return Err(Fault { again, ..self.fault(what, reply) }),
            }
        }
    }

    fn fault(&self, what: &str, reply: Reply) -> Fault {
        let status = reply.status;
        // Both of Swift and of Ceph; a proxy or a router has none.
        let is_swift = reply.header("x-trans-id").is_some();
        let body = reply.excerpt();
        // `<html><h1>…</h1><p>…</p></html>`, or plain text.
        let message = body.split_once("<p>").and_then(|(_, rest)| rest.split_once("</p>"));
        let message = match message {
            Some((message, _)) => message,
            None if body.starts_with('<') => "",
            None => &body,
        };
        self.explain(what, status, is_swift, message)
    }

    /// The error that a status and the service's words stand for.
    pub fn explain(&self, what: &str, status: u16, is_swift: bool, message: &str) -> Fault {
        let is_quota = message.to_ascii_lowercase().contains("quota");
        let kind = match status {
            401 => Kind::SignIn,
            403 => Kind::Denied,
            // A page of somebody else must not be taken for a file that is gone.
            404 if is_swift => Kind::NotFound,
            // The last: the file was changed while it was sent.
            409 | 412 | 416 | 422 => Kind::Changed,
            413 if is_quota => Kind::QuotaFull,
            413 => Kind::TooLarge,
            414 => Kind::BadName,
            507 => Kind::QuotaFull,
            _ => Kind::Protocol,
        };
        let error = Error::new(kind, what, fault::cause(status, "", message));
        let error = match kind {
            Kind::SignIn => error.remedy("check the connection's user and key"),
            Kind::Denied => error.remedy(format!(
                "give the user a role in the project that may read and write, or access to the \
                 containers {0} and {0}_segments",
                self.container
            )),
            Kind::Protocol => {
                error.remedy("check that the address is that of an identity service of OpenStack")
            }
            _ => error,
        };
        Fault { status, ..Fault::from(error) }
    }

    /// What the service can. One that doesn't tell isn't asked again.
    pub fn info(&self, what: &str) -> Result<Arc<Info>> {
        let mut known = lock(&self.info);
        if let Some(info) = &*known {
            return Ok(info.clone());
        }
        let session = self.session(what)?;
        // It stands beside the version of the API: /v1/AUTH_account, or /swift/v1 of Ceph.
        let (base, _) = session.storage.rsplit_once('/').unwrap_or_default();
        let (base, _) = base.rsplit_once('/').unwrap_or_default();
        let url = format!("{base}/info");
        let reply = self.http.call(what, &mut || Ok(Call::new("GET", url.clone(), true)))?;
        let info = match reply.status {
            200 => reply.json::<Info>(what).unwrap_or_default(),
            _ => {
                reply.drain();
                Info::default()
            }
        };
        let info = Arc::new(info);
        *known = Some(info.clone());
        Ok(info)
    }
}

/// What a bulk request did, in a reply whose status is good whatever came of it.
#[derive(Deserialize)]
pub(super) struct Bulk {
    #[serde(rename = "Response Status")]
    pub status: String,
    #[serde(rename = "Number Deleted", default)]
    pub deleted: usize,
    #[serde(rename = "Number Not Found", default)]
    pub not_found: usize,
    /// Names, percent-encoded, with the status of each.
    #[serde(rename = "Errors", default)]
    pub errors: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_does_not_tell_of_itself_is_known() {
        let told = |json: &str| serde_json::from_str::<Info>(json).unwrap();
        let none = told("{}");
        assert!(none.slo.is_none() && none.bulk_delete.is_none());
        assert_eq!(none.max_object(), 5 << 30);
        let some = told(r#"{"swift": {"max_file_size": 9}, "slo": {"max_manifest_segments": 7}}"#);
        assert_eq!((some.max_object(), some.slo.unwrap().max_manifest_segments), (9, 7));
        // One that tells nothing at all is taken for what most are.
        assert!(Info::default().slo.is_some_and(|slo| slo.max_manifest_segments == 1000));
    }
}
