//! The daemon's socket: HTTP/1.1 with JSON, one request on each connection.
//!
//! - `POST /v1/request` with a [`Request`] answers with its document.
//! - `POST /v1/tasks/NAME/sync` (`?approve=true`: the mass removals and overwrites
//!   that the status tells go ahead) syncs once and answers with the report.
//! - `GET /v1/status` tells how all tasks are. What holds one up is in its `holds`; which of its
//!   items aren't in sync, and why, [`Request::TaskStatus`] tells a page at a time.
//! - `GET /v1/log` tells the last log lines.
//!
//! A failure is `{"error": {"kind", "reason", "remedy"}}`. Only the user it belongs to and root are
//! answered, and may do everything. The bridge says by two headers for whom it asks:
//! `mooring-user`, percent-encoded, and `mooring-administrator`, `true` or `false`. They are
//! believed only from a process of the daemon's own user.

use crate::admin::{MOST_BYTES, Request};
use crate::caller::{Caller, is_user_name};
use crate::error::{Error, Kind, Reaction, Result};
use crate::logs;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode, http};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::unistd::geteuid;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Says for which user of the NAS something is asked: percent-encoded.
pub const USER: &str = "mooring-user";
/// Says whether that user administrates the NAS: `true` or `false`.
pub const ADMINISTRATOR: &str = "mooring-administrator";

/// The user who may do everything anyway.
const ROOT: u32 = 0;
/// Connections at a time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 16;
/// Time for a client to send its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that the kernel takes for a socket's path, and one.
const LONGEST_PATH: usize = 108;
/// Pause after a failure to accept, which is mostly a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// A request on its way to the daemon, and where the answer goes.
pub struct Asked {
    /// Who asks.
    pub caller: Caller,
    /// The request.
    pub request: Request,
    /// For the answer.
    pub reply: Reply,
}

/// For requests on their way to the daemon.
pub type Ask = mpsc::Sender<Asked>;

/// Where an answer goes. Nobody may be waiting for it any more.
pub type Reply = oneshot::Sender<Result<Value>>;

/// The socket in the state folder, which goes with this.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

/// Where the daemon of a state folder has its socket.
pub fn socket_path(state: &Path) -> PathBuf {
    state.join("mooring.sock")
}

/// Whether somebody listens on the socket of this state folder.
pub fn is_served(state: &Path) -> bool {
    UnixStream::connect(socket_path(state)).is_ok()
}

impl Socket {
    /// Makes the socket, in place of one that a killed daemon left behind. Who calls this has the
    /// settings open, so no other daemon runs.
    pub fn bind(state: &Path) -> Result<Socket> {
        let path = socket_path(state);
        let failed = |error| Error::disk(format!("socket {}", path.display()), error);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(|error| {
            let error = failed(error);
            if path.as_os_str().len() < LONGEST_PATH {
                return error;
            }
            error.remedy("choose a state folder with a shorter path, by --state or MOORING_STATE")
        })?;
        // RACE: until here, who may enter the state folder may connect, and that is only us.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Socket { listener, path })
    }

    /// Takes requests for as long as anyone answers them.
    pub async fn serve(self, ask: Ask) {
        let room = Room::default();
        while let Some(entry) = room.entry().await {
            let Ok((stream, _)) = self.listener.accept().await else {
                Room::pause().await;
                continue;
            };
            // One that can't be told is nobody we know.
            let peer = stream.peer_cred().map(|peer| peer.uid()).ok();
            let ask = ask.clone();
            entry.attend(stream, move |request| answer(request, peer, ask.clone()));
        }
    }
}

/// Room for some connections.
pub struct Room(Arc<Semaphore>);

/// Room for one connection.
pub struct Entry(OwnedSemaphorePermit);

impl Default for Room {
    fn default() -> Self {
        Room(Arc::new(Semaphore::new(MOST_CONNECTIONS)))
    }
}

impl Room {
    /// Room for another connection, as soon as there is some.
    pub async fn entry(&self) -> Option<Entry> {
        // Never fails: the semaphore isn't closed.
        self.0.clone().acquire_owned().await.ok().map(Entry)
    }

    /// Waits after a failure to accept a connection.
    pub async fn pause() {
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

impl Entry {
    /// Has the one request of a connection answered.
    pub fn attend<S, F, A>(self, stream: S, answer: F)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Fn(http::Request<Incoming>) -> A + Send + 'static,
        A: Future<Output = Result<Response<Full<Bytes>>, Infallible>> + Send + 'static,
    {
        let Entry(room) = self;
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            // A client that hangs up has its reasons.
            let _ = connection.await;
            drop(room);
        });
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A socket left behind does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

async fn answer(
    request: http::Request<Incoming>,
    peer: Option<u32>,
    ask: Ask,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let result = match caller(request.headers(), peer, geteuid().as_raw()) {
        Ok(caller) => answer_to(caller, request, &ask).await,
        Err(error) => Err(error),
    };
    let (status, document) = match result {
        Ok(document) => (StatusCode::OK, document),
        Err(error) => (status_of(&error), json!({ "error": error.document() })),
    };
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// Who asks, by the user of the process at the other end and what it says of itself.
fn caller(headers: &HeaderMap, peer: Option<u32>, own: u32) -> Result<Caller> {
    let refused = |cause: &str| {
        Error::new(Kind::Denied, "the daemon's socket", cause)
            .remedy("ask as the user that Mooring runs as, or as root")
    };
    if peer != Some(own) && peer != Some(ROOT) {
        return Err(refused("it answers only the user it belongs to"));
    }
    let [user, administrator] = [USER, ADMINISTRATOR].map(|name| {
        let mut values = headers.get_all(name).iter();
        (values.next(), values.next().is_some())
    });
    let (user, administrator) = match (user, administrator) {
        ((None, _), (None, _)) => return Ok(Caller::Host),
        ((Some(user), false), (Some(administrator), false)) => (user, administrator),
        _ => return Err(refused("it isn't said plainly for whom this is asked")),
    };
    if peer != Some(own) {
        return Err(refused("this program can't ask for a user of the NAS"));
    }
    let name = percent_encoding::percent_decode(user.as_bytes()).decode_utf8().ok();
    let administrator = administrator.to_str().ok().and_then(|word| word.parse().ok());
    match (name, administrator) {
        (Some(name), Some(administrator)) if is_user_name(&name) => {
            Ok(Caller::User { name: name.into_owned(), administrator })
        }
        _ => Err(refused("it isn't said plainly for whom this is asked")),
    }
}

async fn answer_to(caller: Caller, request: http::Request<Incoming>, ask: &Ask) -> Result<Value> {
    match route(request).await? {
        // It tells of everybody's tasks.
        Route::Log if matches!(caller, Caller::User { .. }) => {
            Err(Error::new(Kind::Denied, "the daemon's log", "it is shown to nobody from here")
                .remedy("ask for it by the command line"))
        }
        Route::Log => Ok(json!({ "lines": logs::recent() })),
        Route::Ask(request) => forward(caller, *request, ask).await,
    }
}

enum Route {
    Log,
    Ask(Box<Request>),
}

async fn route(request: http::Request<Incoming>) -> Result<Route> {
    let path = request.uri().path();
    let task = path.strip_prefix("/v1/tasks/").and_then(|rest| rest.strip_suffix("/sync"));
    match (request.method(), path, task) {
        (&Method::GET, "/v1/status", _) => Ok(Route::Ask(Request::Status.into())),
        (&Method::GET, "/v1/log", _) => Ok(Route::Log),
        (&Method::POST, "/v1/request", _) => {
            serde_json::from_slice(&body(request).await?).map(Route::Ask).map_err(wrong)
        }
        (&Method::POST, _, Some(task)) => {
            let task = percent_encoding::percent_decode_str(task).decode_utf8();
            let task = task.map_err(wrong)?.into_owned();
            let approve = request.uri().query() == Some("approve=true");
            Ok(Route::Ask(Request::Sync { task, approve, shown: None }.into()))
        }
        _ => {
            Err(Error::new(Kind::NotFound, format!("{} {path}", request.method()), "no such call")
                .remedy("POST /v1/request, /v1/tasks/NAME/sync; GET /v1/status, /v1/log"))
        }
    }
}

/// The body of a request.
///
/// # Errors
/// `Usage` when it is too large or doesn't come in time.
pub async fn body(request: http::Request<Incoming>) -> Result<Bytes> {
    let whole = Limited::new(request.into_body(), MOST_BYTES).collect();
    let body = tokio::time::timeout(PATIENCE, whole).await.map_err(wrong)?;
    body.map(|body| body.to_bytes()).map_err(wrong)
}

/// What isn't understood.
pub fn wrong(cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Usage, "the request", cause).remedy("send what the program's client sends")
}

/// Has the daemon answer a request.
pub async fn forward(caller: Caller, request: Request, ask: &Ask) -> Result<Value> {
    let (reply, answer) = oneshot::channel();
    // Both fail only when the daemon is about to end.
    ask.send(Asked { caller, request, reply }).await.map_err(|_| Error::cancelled())?;
    answer.await.map_err(|_| Error::cancelled())?
}

/// The status that goes with an error.
fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        Kind::Usage => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Denied => StatusCode::FORBIDDEN,
        Kind::Offline | Kind::Busy | Kind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        kind if kind.reaction() == Reaction::Ask => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 1030;

    fn told(peer: Option<u32>, headers: &[(&'static str, &str)]) -> Option<Caller> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        caller(&map, peer, OWN).ok()
    }

    #[test]
    fn only_a_process_of_our_own_user_speaks_for_others() {
        let alice = [(USER, "alice"), (ADMINISTRATOR, "false")];
        let user = |name: &str, administrator| Caller::User { name: name.into(), administrator };
        let own = Some(OWN);
        assert_eq!(told(own, &[]), Some(Caller::Host));
        assert_eq!(told(Some(ROOT), &[]), Some(Caller::Host));
        assert_eq!(told(own, &alice), Some(user("alice", false)));
        let domain = [(USER, "DOMAIN%5CZo%C3%AB%20B"), (ADMINISTRATOR, "true")];
        assert_eq!(told(own, &domain), Some(user("DOMAIN\\Zoë B", true)));
        for (peer, headers) in [
            (None, &[][..]),
            (Some(1031), &[]),
            (Some(1031), &alice),
            (Some(ROOT), &alice),
            (own, &alice[..1]),
            (own, &alice[1..]),
            (own, &[alice[0], alice[0], alice[1]]),
            (own, &[alice[0], alice[1], (ADMINISTRATOR, "true")]),
            (own, &[(USER, ""), alice[1]]),
            (own, &[(USER, "root"), alice[1]]),
            (own, &[(USER, "%72oot"), alice[1]]),
            (own, &[(USER, "%ff"), alice[1]]),
            (own, &[(USER, "a%0ab"), alice[1]]),
            (own, &[alice[0], (ADMINISTRATOR, "yes")]),
            (own, &[alice[0], (ADMINISTRATOR, "")]),
        ] {
            assert_eq!(told(peer, headers), None, "{peer:?} {headers:?}");
        }
    }
}
