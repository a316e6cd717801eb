//! Asks a running daemon.

use super::api::socket_path;
use crate::admin::Request;
use crate::engine::Report;
use crate::error::{Error, Kind, Result};
use crate::progress::ProgressView;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

/// Between two looks at how far a sync is.
const PROGRESS_PAUSE: Duration = Duration::from_millis(250);

/// A line to the daemon that has a state folder open. Its calls wait for the answer.
pub struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

impl Client {
    /// The daemon of this state folder; `None` when none runs.
    pub fn connect(state: &Path) -> Result<Option<Client>> {
        let socket = socket_path(state);
        match std::os::unix::net::UnixStream::connect(&socket) {
            Ok(_) => {}
            Err(error) if is_nobody(&error) => return Ok(None),
            Err(error) => return Err(Error::disk(format!("socket {}", socket.display()), error)),
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Some(Client { socket, runtime: runtime.map_err(lost)? }))
    }

    /// Has a request answered.
    ///
    /// # Errors
    /// What the daemon says, or `Offline` when it ends meanwhile.
    pub fn call(&self, request: &Request) -> Result<Value> {
        let body = serde_json::to_vec(request).map_err(lost)?;
        self.runtime.block_on(exchange(self.socket.clone(), "POST", "/v1/request", body))
    }

    /// How all tasks are.
    pub fn status(&self) -> Result<Value> {
        self.runtime.block_on(exchange(self.socket.clone(), "GET", "/v1/status", Vec::new()))
    }

    /// The daemon's last log lines.
    pub fn log(&self) -> Result<Value> {
        self.runtime.block_on(exchange(self.socket.clone(), "GET", "/v1/log", Vec::new()))
    }

    /// Has a task synced, telling how far it is.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn sync(
        &self,
        task: &str,
        approve: bool,
        progress: &mut dyn FnMut(ProgressView),
    ) -> Result<Report> {
        let request = Request::Sync { task: task.into(), approve, shown: None };
        let body = serde_json::to_vec(&request).map_err(lost)?;
        let document = self.runtime.block_on(async {
            let answer = exchange(self.socket.clone(), "POST", "/v1/request", body);
            let mut answer = tokio::spawn(answer);
            loop {
                match tokio::time::timeout(PROGRESS_PAUSE, &mut answer).await {
                    Ok(answer) => return answer.map_err(lost)?,
                    Err(_) => {
                        let status = self.socket.clone();
                        let status = exchange(status, "GET", "/v1/status", Vec::new()).await?;
                        if let Some(view) = shown(&status, task) {
                            progress(view);
                        }
                    }
                }
            }
        })?;
        serde_json::from_value(document).map_err(lost)
    }
}

/// How far a task is, in a status document.
fn shown(status: &Value, task: &str) -> Option<ProgressView> {
    #[derive(Deserialize)]
    struct Shown {
        phase: String,
        seen: u64,
        files: u64,
        files_done: u64,
        bytes: u64,
        bytes_done: u64,
        current: Vec<(String, u64, u64)>,
    }
    const PHASES: [&str; 4] = ["observing", "planning", "transferring", "removing"];
    let tasks = status.get("tasks")?.as_array()?;
    let task = tasks.iter().find(|each| each.get("name").is_some_and(|name| name == task))?;
    let shown = Shown::deserialize(task.get("progress")?).ok()?;
    Some(ProgressView {
        phase: PHASES.into_iter().find(|phase| *phase == shown.phase).unwrap_or_default(),
        seen: shown.seen,
        files: shown.files,
        files_done: shown.files_done,
        bytes: shown.bytes,
        bytes_done: shown.bytes_done,
        current: shown.current,
    })
}

async fn exchange(
    socket: PathBuf,
    method: &'static str,
    path: &'static str,
    body: Vec<u8>,
) -> Result<Value> {
    let stream = UnixStream::connect(&socket).await.map_err(lost)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "mooring")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(lost)?;
    let response = sender.send_request(request).await.map_err(lost)?;
    let is_good = response.status().is_success();
    let bytes = response.into_body().collect().await.map_err(lost)?.to_bytes();
    connection.abort();
    let document = serde_json::from_slice(&bytes).map_err(lost)?;
    if is_good { Ok(document) } else { Err(told(&document)) }
}

/// The error that the daemon told.
fn told(document: &Value) -> Error {
    let text = |key: &str| document["error"][key].as_str().unwrap_or_default();
    let kind = Kind::of_word(text("kind")).unwrap_or(Kind::Protocol);
    let (what, cause) = text("reason").split_once(": ").unwrap_or(("the daemon", "it failed"));
    Error::new(kind, what, cause).remedy(text("remedy"))
}

fn lost(cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Offline, "the daemon", cause)
        .remedy("see whether it still runs: mooring status")
}

fn is_nobody(error: &std::io::Error) -> bool {
    // The last is a path too long for a socket: no daemon can have made one.
    use ErrorKind::{ConnectionRefused, InvalidInput, NotFound};
    matches!(error.kind(), NotFound | ConnectionRefused | InvalidInput)
}
