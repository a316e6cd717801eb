//! The daemon's socket: HTTP/1.1 with JSON, one request on each connection.
//!
//! - `POST /v1/request` with a [`Request`] answers with its document.
//! - `POST /v1/tasks/NAME/sync` (`?approve=true`: mass removals and overwrites go
//!   ahead) syncs once and answers with the report.
//! - `GET /v1/status` tells how all tasks are. What holds one up is in its `holds`; which of its
//!   items aren't in sync, and why, [`Request::TaskStatus`] tells a page at a time.
//! - `GET /v1/log` tells the last log lines.
//!
//! A failure is `{"error": {"kind", "reason", "remedy"}}`. Who may open the socket may do
//! everything; that is the user it belongs to.

use crate::admin::Request;
use crate::error::{Error, Kind, Reaction, Result};
use crate::logs;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode, http};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Bytes of a request's body.
const MOST_BYTES: usize = 64 << 10;
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
    /// The request.
    pub request: Request,
    /// For the answer.
    pub reply: Reply,
}

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
    pub async fn serve(self, ask: mpsc::Sender<Asked>) {
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            // Never fails: the semaphore isn't closed.
            let Ok(place) = room.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let ask = ask.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| answer(request, ask.clone()));
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(PATIENCE)
                    .keep_alive(false)
                    .serve_connection(TokioIo::new(stream), service);
                // A client that hangs up has its reasons.
                let _ = connection.await;
                drop(place);
            });
        }
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
    ask: mpsc::Sender<Asked>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let result = match route(request).await {
        Ok(Route::Log) => Ok(json!({ "lines": logs::recent() })),
        Ok(Route::Ask(request)) => forward(*request, &ask).await,
        Err(error) => Err(error),
    };
    let (status, document) = match result {
        Ok(document) => (StatusCode::OK, document),
        Err(error) => (status_of(&error), error_document(&error)),
    };
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
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
            Ok(Route::Ask(Request::Sync { task, approve }.into()))
        }
        _ => {
            Err(Error::new(Kind::NotFound, format!("{} {path}", request.method()), "no such call")
                .remedy("POST /v1/request, /v1/tasks/NAME/sync; GET /v1/status, /v1/log"))
        }
    }
}

async fn body(request: http::Request<Incoming>) -> Result<Bytes> {
    let whole = Limited::new(request.into_body(), MOST_BYTES).collect();
    let body = tokio::time::timeout(PATIENCE, whole).await.map_err(wrong)?;
    body.map(|body| body.to_bytes()).map_err(wrong)
}

fn wrong(cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Usage, "the request", cause).remedy("send what the program's client sends")
}

async fn forward(request: Request, ask: &mpsc::Sender<Asked>) -> Result<Value> {
    let (reply, answer) = oneshot::channel();
    // Both fail only when the daemon is about to end.
    ask.send(Asked { request, reply }).await.map_err(|_| Error::cancelled())?;
    answer.await.map_err(|_| Error::cancelled())?
}

fn error_document(error: &Error) -> Value {
    json!({ "error": {
        "kind": error.kind().word(),
        "reason": error.reason(),
        "remedy": error.advice(),
    } })
}

fn status_of(error: &Error) -> StatusCode {
    match error.kind() {
        Kind::Usage => StatusCode::BAD_REQUEST,
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::Offline | Kind::Busy | Kind::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        kind if kind.reaction() == Reaction::Ask => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
