//! The panel without a NAS's web server: its page and its calls on an address of this machine, with
//! a login of its own.
//!
//! - `GET /` and the other files of the page, from its folder.
//! - `GET /api.cgi/v1/session`, `/api.cgi/v1/status` and `POST /api.cgi/v1/request`, as the bridge
//!   has them (see [`crate::cgi`]), for who is logged in.
//! - `POST /api.cgi/v1/login` with `{"password"}` begins a session by a cookie that no script
//!   reads, and so does `{"ticket"}` with one that was given out; `POST /api.cgi/v1/logout` with any JSON ends it.
//!
//! Who is logged in is an administrator. A browser that was led here by another site's name, or
//! asks for another site's page, is refused.

mod files;
mod login;

pub use login::{Login, Ticket};

use super::api::{self, Ask, Room};
use crate::admin::Request;
use crate::admin::view::{LoginView, SessionView};
use crate::browser::{is_json, is_same_origin};
use crate::caller::Caller;
use crate::error::{Error, Kind, Result};
use crate::settings::Book;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Response, StatusCode, http};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Where the calls are.
const CALLS: &str = "/api.cgi/v1/";
const COOKIE: &str = "mooring-session";
/// A name that always means this machine.
const LOCALHOST: &str = "localhost";
/// What goes with every answer. The page has only what is its own.
const FIELDS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// Where the panel is, and its page.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it listens.
    pub address: SocketAddr,
    /// The folder with the page; only the calls are there without it.
    pub folder: Option<PathBuf>,
    /// Stands for the password once, if there is one.
    pub ticket: Option<Ticket>,
}

/// The panel's socket.
pub struct Panel {
    listener: TcpListener,
    site: Arc<Site>,
}

/// What answers need.
struct Site {
    address: IpAddr,
    folder: Option<PathBuf>,
    book: Arc<Book>,
    login: Arc<Login>,
}

impl Panel {
    /// Listens there.
    ///
    /// # Errors
    /// When the address can't be had, mostly because something else listens there.
    pub async fn bind(place: Place, book: Arc<Book>, login: Arc<Login>) -> Result<Panel> {
        let Place { address, folder, ticket } = place;
        if let Some(ticket) = ticket {
            login.admit(ticket);
        }
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Error::disk(format!("listening at {address}"), error)
                .remedy("choose another port with --listen, or stop what listens there")
        })?;
        let site = Site { address: address.ip(), folder, book, login };
        Ok(Panel { listener, site: Arc::new(site) })
    }

    /// Takes requests for as long as anyone answers them.
    pub async fn serve(self, ask: Ask) {
        let Panel { listener, site } = self;
        let room = Room::default();
        while let Some(entry) = room.entry().await {
            let Ok((stream, _)) = listener.accept().await else {
                Room::pause().await;
                continue;
            };
            let (site, ask) = (site.clone(), ask.clone());
            entry.attend(stream, move |request| answer(site.clone(), request, ask.clone()));
        }
    }
}

async fn answer(
    site: Arc<Site>,
    request: http::Request<Incoming>,
    ask: Ask,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_call = request.uri().path().starts_with(CALLS);
    let mut response = match site.refusal(request.headers()) {
        Some(refusal) if is_call => document(&Err(refusal)),
        Some(refusal) => {
            respond(StatusCode::FORBIDDEN, "text/plain", "no-store", refusal.to_string())
        }
        None if is_call => site.call(request, ask).await,
        None => site.file(&request),
    };
    for (name, value) in FIELDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

impl Site {
    /// Why a browser isn't where it thinks, if so. A name of another site that leads here would let
    /// that site's pages in.
    fn refusal(&self, headers: &HeaderMap) -> Option<Error> {
        let host = only(headers, header::HOST).and_then(|host| host.parse::<Authority>().ok());
        if host.is_some_and(|host| is_ours(&host, self.address)) {
            return None;
        }
        let error = Error::new(Kind::Denied, "the request", "it is for another host");
        Some(error.remedy("use http://localhost and the port; a reverse proxy has to say that"))
    }

    fn file(&self, request: &http::Request<Incoming>) -> Response<Full<Bytes>> {
        let found = match (&self.folder, request.method()) {
            (Some(folder), &Method::GET) => files::read(folder, request.uri().path()),
            _ => None,
        };
        match found {
            Some((kind, bytes)) => respond(StatusCode::OK, kind, "no-cache", bytes),
            None => respond(StatusCode::NOT_FOUND, "text/plain", "no-store", "not found"),
        }
    }

    /// The web server of a NAS may replace what comes with a status that isn't a good one, and the page
    /// is the same here: every answer has 200.
    async fn call(&self, request: http::Request<Incoming>, ask: Ask) -> Response<Full<Bytes>> {
        let is_change = request.method() != Method::GET;
        let name = request.uri().path().strip_prefix(CALLS).unwrap_or_default().to_owned();
        let result = match (is_change, name.as_str()) {
            (true, "login") => return self.begin(request).await,
            (true, "logout") => return self.end(request),
            (false, "session") => {
                self.caller(request.headers()).map(|it| json!(SessionView::of(&it)))
            }
            (false, "status") => match self.caller(request.headers()) {
                Ok(caller) => api::forward(caller, Request::Status, &ask).await,
                Err(error) => Err(error),
            },
            (true, "request") => self.change(request, ask).await,
            _ => Err(Error::new(Kind::NotFound, name, "no such call").remedy("open the page anew")),
        };
        document(&result)
    }

    async fn change(&self, request: http::Request<Incoming>, ask: Ask) -> Result<Value> {
        of_the_page(&request)?;
        let caller = self.caller(request.headers())?;
        let body = api::body(request).await?;
        let request = serde_json::from_slice(&body).map_err(api::wrong)?;
        api::forward(caller, request, &ask).await
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Caller> {
        if token(headers).is_some_and(|token| self.login.knows(token)) {
            return Ok(Caller::Panel);
        }
        Err(Error::new(Kind::SignIn, "the session", "nobody is logged in, or it has ended")
            .remedy("log in"))
    }

    async fn begin(&self, request: http::Request<Incoming>) -> Response<Full<Bytes>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Entered {
            Password(String),
            Ticket(String),
        }
        let begun = async {
            of_the_page(&request)?;
            let body = api::body(request).await?;
            match serde_json::from_slice(&body).map_err(api::wrong)? {
                Entered::Password(password) => self.login.begin(&self.book, password).await,
                Entered::Ticket(ticket) => self.login.begin_by(&ticket),
            }
        };
        match begun.await {
            Ok(token) => with_cookie(true, &format!("{COOKIE}={token}; Path=/")),
            Err(error) => document(&Err(error)),
        }
    }

    fn end(&self, request: http::Request<Incoming>) -> Response<Full<Bytes>> {
        if let Err(error) = of_the_page(&request) {
            return document(&Err(error));
        }
        if let Some(token) = token(request.headers()) {
            self.login.end(token);
        }
        with_cookie(false, &format!("{COOKIE}=; Path=/; Max-Age=0"))
    }
}

/// Refuses what the page doesn't send.
fn of_the_page(request: &http::Request<Incoming>) -> Result<()> {
    let headers = request.headers();
    let field = |name| only(headers, name);
    let site = field(HeaderName::from_static("sec-fetch-site"));
    let cause = if request.method() != Method::POST {
        "its method isn't that of the call"
    } else if !is_same_origin(site, field(header::ORIGIN), field(header::HOST)) {
        "it comes from another site"
    } else if !is_json(field(header::CONTENT_TYPE)) {
        "it isn't application/json"
    } else {
        return Ok(());
    };
    Err(Error::new(Kind::Denied, "the request", cause).remedy("open the page anew"))
}

/// The value of a field that comes once; an empty one where it comes more often, which is nothing
/// that is looked for.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    Some(if values.next().is_none() { value.to_str().unwrap_or_default() } else { "" })
}

fn token(headers: &HeaderMap) -> Option<&str> {
    let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
    let mut pairs = fields.flat_map(|field| field.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whether a host is this machine by a name that only it has, or by the address that it listens at.
fn is_ours(host: &Authority, listening: IpAddr) -> bool {
    if host.as_str().contains('@') {
        return false;
    }
    let host = host.host();
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        // It listens at each of the machine's, and no other site has an address for a name.
        Ok(_) if listening.is_unspecified() => true,
        Ok(address) => address == listening || address.is_loopback(),
        Err(_) => bare.eq_ignore_ascii_case(LOCALHOST),
    }
}

fn document(result: &Result<Value>) -> Response<Full<Bytes>> {
    let document = match result {
        Ok(document) => document.to_string(),
        Err(error) => json!({ "error": error.document() }).to_string(),
    };
    respond(StatusCode::OK, "application/json", "no-store", document)
}

fn with_cookie(logged_in: bool, cookie: &str) -> Response<Full<Bytes>> {
    let mut response = document(&Ok(json!(LoginView { logged_in })));
    // It is made of what may be in a field.
    if let Ok(cookie) = HeaderValue::from_str(&format!("{cookie}; HttpOnly; SameSite=Strict")) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

fn respond(
    status: StatusCode,
    kind: &'static str,
    keep: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    for (name, value) in [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, keep)] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let ours = |host: &str, listening: &str| {
            host.parse().is_ok_and(|host| is_ours(&host, listening.parse().unwrap()))
        };
        for host in ["localhost", "LOCALHOST:8790", "127.0.0.1", "127.0.0.1:1", "[::1]:8790"] {
            assert!(ours(host, "127.0.0.1"), "{host}");
        }
        for host in [
            "",
            "evil.example.com",
            "localhost.evil.com",
            "localhost@evil.com",
            "evil@localhost",
            "10.0.0.5",
        ] {
            assert!(!ours(host, "127.0.0.1"), "{host}");
        }
        assert!(ours("10.0.0.5:8790", "10.0.0.5") && !ours("10.0.0.6", "10.0.0.5"));
        assert!(ours("10.0.0.5", "0.0.0.0") && !ours("nas.local", "0.0.0.0"));
    }
}
