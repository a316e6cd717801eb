//! Waits at this machine's loopback address for the browser that ends a sign-in.

use crate::error::{Error, Kind, Result};
use crate::http::oauth;
use crate::settings::SIGN_IN_PATIENCE;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, REFERRER_POLICY};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode, http};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

/// Time for a browser to send its request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a failure to accept.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

const HEARD: &str = "Mooring has its answer. You can close this window.";
const ASTRAY: &str = "This isn't the answer that Mooring waits for.";

/// Listens where a browser is to end.
pub struct Listener {
    runtime: Runtime,
    socket: TcpListener,
}

impl Listener {
    /// Listens at the loopback address of this redirect.
    ///
    /// # Errors
    /// When it can't be had, mostly because something else listens there.
    pub fn bind(redirect: &str) -> Result<Listener> {
        let failed = |cause: String| {
            Error::new(Kind::Disk, format!("listening at {redirect}"), cause)
                .remedy("leave --listen out, and paste the address that the browser ends at")
        };
        let address = redirect.strip_prefix("http://").unwrap_or(redirect);
        let address = address.split('/').next().unwrap_or_default();
        let address: SocketAddr =
            address.parse().map_err(|_| failed("it isn't an address of this machine".into()))?;
        let io = |error: std::io::Error| failed(error.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(io)?;
        let socket = runtime.block_on(TcpListener::bind(address)).map_err(io)?;
        Ok(Listener { runtime, socket })
    }

    /// Waits for the answer to the sign-in of this state. Whatever else comes is told so.
    ///
    /// # Errors
    /// `Approval` when none comes while the sign-in lasts.
    pub fn hear(self, state: &str) -> Result<String> {
        let (tell, mut answers) = mpsc::channel(1);
        let Listener { runtime, socket } = self;
        runtime.spawn(accept(socket, state.into(), tell));
        let answer = runtime
            .block_on(async { tokio::time::timeout(SIGN_IN_PATIENCE, answers.recv()).await });
        answer.ok().flatten().ok_or_else(|| {
            Error::new(Kind::Approval, "the sign-in", "no browser has brought an answer")
                .remedy("begin it again")
        })
    }
}

async fn accept(socket: TcpListener, state: Arc<str>, tell: mpsc::Sender<String>) {
    loop {
        match socket.accept().await {
            // A browser may open connections and say nothing.
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, state.clone(), tell.clone()))),
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Answers a browser, and tells its answer once it has been answered.
async fn serve(stream: TcpStream, state: Arc<str>, tell: mpsc::Sender<String>) {
    let heard = Mutex::new(None);
    let service = service_fn(|request: http::Request<Incoming>| {
        let query = request.uri().query().unwrap_or_default();
        let is_answer = oauth::is_answer(query, &state);
        if is_answer {
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(query.to_owned());
        }
        async move { Ok::<_, Infallible>(page(is_answer)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A browser that hangs up has said what it had to.
    let _ = connection.await;
    if let Some(answer) = heard.into_inner().unwrap_or_else(PoisonError::into_inner) {
        // Nobody waits for a second one.
        let _ = tell.send(answer).await;
    }
}

fn page(is_answer: bool) -> Response<Full<Bytes>> {
    let (status, text) =
        if is_answer { (StatusCode::OK, HEARD) } else { (StatusCode::NOT_FOUND, ASTRAY) };
    let page = format!("<!doctype html><meta charset=utf-8><title>Mooring</title><p>{text}\n");
    let mut response = Response::new(Full::new(Bytes::from(page)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        // The address of this page carries the code.
        (REFERRER_POLICY, "no-referrer"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread;

    fn get(address: SocketAddr, target: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn only_the_answer_that_is_waited_for_is_taken() {
        let listener = Listener::bind("http://127.0.0.1:0/").unwrap();
        let address = listener.socket.local_addr().unwrap();
        let heard = thread::spawn(move || listener.hear("mine"));
        let silent = TcpStream::connect(address).unwrap();
        for target in ["/", "/favicon.ico", "/?code=c", "/?code=c&state=other", "/?state=mine"] {
            assert!(get(address, target).starts_with("HTTP/1.1 404"), "{target}");
        }
        let page = get(address, "/?state=mine&code=4%2Fc");
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("close this window"), "{page}");
        assert_eq!(heard.join().unwrap().unwrap(), "state=mine&code=4%2Fc");
        drop(silent);
    }

    #[test]
    fn what_is_not_on_this_machine_is_not_listened_for() {
        for redirect in ["https://nas.example.com/", "http://localhost", "", "http://127.0.0.1/"] {
            assert!(Listener::bind(redirect).is_err(), "{redirect}");
        }
        let first = Listener::bind("http://127.0.0.1:0/").unwrap();
        let taken = format!("http://{}/", first.socket.local_addr().unwrap());
        let error = Listener::bind(&taken).map(drop).unwrap_err();
        assert!(error.advice().contains("leave --listen out"), "{error}");
    }
}
