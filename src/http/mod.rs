//! The one HTTP layer under every adapter: connections, TLS, timeouts, retries, limits, counting
//! and cancelling.
//!
//! An adapter describes a [`Call`] anew for each attempt (a signature carries the time), and gets
//! a [`Reply`] for every status that isn't a matter of waiting. Nothing here knows a service.

mod cancel;
mod exact;
pub mod oauth;
mod resolver;
pub mod shared_key;
pub mod sigcos;
pub mod sigoss;
pub mod sigv2;
pub mod sigv4;
mod traffic;
mod userauth;
pub mod xml;

pub use cancel::Cancel;
pub use exact::Exact;
pub use traffic::Traffic;
pub use userauth::{Shown, UserAuth};

use self::resolver::Remembering;
use crate::content::{Content, Slice};
use crate::error::{Error, Kind, Result};
use serde::de::DeserializeOwned;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};
use ureq::http::header::{CONTENT_LENGTH, HeaderMap};
use ureq::http::request::Builder;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, AsSendBody, SendBody};

/// Attempts at a request before its failure is the caller's.
const ATTEMPTS: u32 = 4;
/// First pause between two attempts; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A longer Retry-After isn't waited for here but handed to the engine.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Most bytes of a reply that is read into memory as a whole.
const REPLY_LIMIT: u64 = 1 << 20;
/// Most bytes of JSON that is read as it comes.
const JSON_LIMIT: u64 = 64 << 20;

/// How to reach a service, from the settings of its connection.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Time without a byte after which a request is given up.
    pub idle: Duration,
    /// Authorities to trust instead of the public ones, in PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// `http://[user:password@]host:port`.
    pub proxy: Option<String>,
    /// Most connections kept open for the next request.
    pub connections: usize,
    /// How fast bodies may go, together with all others that have the same.
    pub traffic: Arc<Traffic>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            idle: Duration::from_secs(60),
            ca_pem: None,
            proxy: None,
            connections: 4,
            traffic: Arc::default(),
        }
    }
}

/// What went over the wire, for reports and budgets.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests sent, every attempt counted.
    pub requests: AtomicU64,
    /// Bytes of request bodies.
    pub bytes_up: AtomicU64,
    /// Bytes of reply bodies.
    pub bytes_down: AtomicU64,
}

/// The HTTP client of one connection. Clones share everything.
#[derive(Clone)]
pub struct Http {
    agent: Agent,
    cancel: Cancel,
    traffic: Arc<Traffic>,
    counters: Arc<Counters>,
    /// What to add to our clock to get the service's, in seconds.
    skew: Arc<AtomicI64>,
    connections: usize,
}

/// One request.
pub struct Call<'a> {
    /// Method; it need not be one of HTTP's own.
    pub method: &'static str,
    /// Whole address, percent-encoded. It is sent as it is.
    pub url: String,
    /// Header fields besides `Host` and `Content-Length`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub payload: Payload<'a>,
    /// Whether sending it twice does no harm. Only then is it tried again after a failure.
    pub idempotent: bool,
    /// How long the service may say nothing, where it waits for something before it answers;
    /// [`HttpOptions::idle`] otherwise.
    pub patience: Option<Duration>,
}

impl Call<'_> {
    /// A request without a body and without header fields.
    pub fn new(method: &'static str, url: String, idempotent: bool) -> Self {
        let headers = Vec::new();
        Call { method, url, headers, payload: Payload::None, idempotent, patience: None }
    }

    /// Adds a header field.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl<'a> Call<'a> {
    /// Lets the service say nothing for so long.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = Some(patience);
        self
    }

    /// Sets the body.
    pub fn payload(mut self, payload: Payload<'a>) -> Self {
        self.payload = payload;
        self
    }
}

/// The body of a request.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    /// None, and no `Content-Length` either.
    None,
    /// These bytes.
    Bytes(&'a [u8]),
    /// A part of a file: `length` bytes from `from` on.
    Part {
        /// The file.
        content: &'a dyn Content,
        /// First byte.
        from: u64,
        /// Bytes.
        length: u64,
    },
    /// A whole file between other bytes, as it is in a body of several parts.
    Framed {
        /// What comes before it.
        head: &'a [u8],
        /// The file.
        content: &'a dyn Content,
        /// What comes after it.
        tail: &'a [u8],
    },
}

impl Payload<'_> {
    /// Bytes; `None` when there is no body.
    pub fn length(&self) -> Option<u64> {
        match self {
            Payload::None => None,
            Payload::Bytes(bytes) => Some(bytes.len() as u64),
            Payload::Part { length, .. } => Some(*length),
            Payload::Framed { head, content, tail } => {
                Some(head.len() as u64 + content.size() + tail.len() as u64)
            }
        }
    }
}

/// A reply whose body hasn't been read yet.
pub struct Reply {
    /// Status.
    pub status: u16,
    headers: HeaderMap,
    body: ureq::Body,
    cancel: Cancel,
    traffic: Arc<Traffic>,
    counters: Arc<Counters>,
}

impl Reply {
    /// A header field's value, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All values of a header field that may come more than once.
    pub fn header_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Bytes of the body as announced.
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// A time in a header field, in seconds since 1970.
    pub fn header_time(&self, name: &str) -> Option<i64> {
        parse_http_date(self.header(name)?)
    }

    /// The body as a stream. Ends with an error when fewer bytes come than announced.
    pub fn into_reader(self) -> impl Read + Send + 'static {
        let Reply { body, cancel, traffic, counters, .. } = self;
        let left = body.content_length();
        let inner = body.into_with_config().limit(u64::MAX).reader();
        ReplyReader { inner, left, cancel, traffic, counters }
    }

    /// The whole body of a small reply.
    ///
    /// # Errors
    /// `Offline` when the connection ends early, `Protocol` when there is more than 1 MiB.
    pub fn bytes(self, what: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut reader = self.into_reader().take(REPLY_LIMIT + 1);
        reader.read_to_end(&mut bytes).map_err(|error| read_error(what, error))?;
        if bytes.len() as u64 > REPLY_LIMIT {
            return Err(Error::new(Kind::Protocol, what, "the reply is far too long"));
        }
        Ok(bytes)
    }

    /// The body as JSON, read as it comes: a page of a listing may be longer than fits in memory
    /// as text.
    ///
    /// # Errors
    /// `Offline` when the connection ends early, `Protocol` when it isn't what was expected, or is
    /// longer than 64 MiB.
    pub fn json<T: DeserializeOwned>(self, what: &str) -> Result<T> {
        let reader = BufReader::with_capacity(16 << 10, self.into_reader().take(JSON_LIMIT));
        serde_json::from_reader(reader).map_err(|error| match error.io_error_kind() {
            Some(_) => read_error(what, error.into()),
            None => {
                let cause = format!("the reply isn't what was expected ({error})");
                Error::new(Kind::Protocol, what, cause)
            }
        })
    }

    /// The start of the body as text, for an error message: never fails, never long.
    pub fn excerpt(self) -> String {
        let (mut bytes, mut reader) = (Vec::new(), self.into_reader());
        // What can't be read of an error's explanation is simply not shown.
        let _ = (&mut reader).take(4096).read_to_end(&mut bytes);
        drain(reader);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads and drops the body so that its connection can be used again.
    pub fn drain(self) {
        drain(self.into_reader());
    }
}

/// Reads and drops what is left of a small reply's body, so that its connection can be used again.
pub fn drain(reader: impl Read) {
    // A body that can't be read costs a connection, nothing else.
    let _ = io::copy(&mut reader.take(REPLY_LIMIT), &mut io::sink());
}

impl Http {
    /// A client with its own connections.
    ///
    /// # Errors
    /// `Usage` when the certificates or the proxy address can't be understood.
    pub fn new(options: &HttpOptions, cancel: Cancel) -> Result<Self> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_redirects(0)
            .timeout_connect(Some(options.idle.min(Duration::from_secs(20))))
            .timeout_resolve(Some(options.idle.min(Duration::from_secs(20))))
            .timeout_per_read(Some(options.idle))
            .timeout_per_write(Some(options.idle))
            // Many servers and proxies never answer `Expect: 100-continue`.
            .timeout_await_100(Some(Duration::from_secs(1)))
            .max_idle_connections(options.connections)
            .max_idle_connections_per_host(options.connections)
            .max_idle_age(Duration::from_secs(15))
            .input_buffer_size(32 << 10)
            .output_buffer_size(32 << 10)
            .user_agent(concat!("Mooring/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .tls_config(tls(options.ca_pem.as_deref())?)
            .proxy(options.proxy.as_deref().map(proxy).transpose()?)
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::new(), Remembering::default());
        let of_agent = agent.clone();
        cancel.on_cancel(move || of_agent.clone().shutdown());
        let traffic = options.traffic.clone();
        let (counters, skew) = (Arc::default(), Arc::default());
        Ok(Http { agent, cancel, traffic, counters, skew, connections: options.connections })
    }

    /// Most connections that are kept open.
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// What went over the wire so far.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Pauses between two looks at something that takes the service a while.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn pause(&self, time: Duration) -> Result<()> {
        self.cancel.sleep(time)
    }

    /// The time by the service's clock as far as it is known.
    pub fn service_time(&self) -> SystemTime {
        let skew = self.skew.load(Relaxed);
        let size = Duration::from_secs(skew.unsigned_abs());
        let now = SystemTime::now();
        if skew < 0 { now - size } else { now + size }
    }

    /// Takes over the service's clock from a reply's `Date` when it is more than `tolerance`
    /// away from what [`Http::service_time`] says. Tells whether it did.
    pub fn correct_clock(&self, reply: &Reply, tolerance: Duration) -> bool {
        let Some(theirs) = reply.header_time("date") else { return false };
        let off = theirs - unix_seconds(self.service_time());
        if off.unsigned_abs() <= tolerance.as_secs() {
            return false;
        }
        self.skew.store(theirs - unix_seconds(SystemTime::now()), Relaxed);
        true
    }

    /// Sends a request, again after a pause while the service is busy or out of reach and the
    /// request may be repeated. `build` makes it anew for each attempt.
    ///
    /// `what` names the operation and the thing for error messages.
    ///
    /// # Errors
    /// `Offline`, `Untrusted`, `Busy` (with the wait that the service asked for), `Cancelled`,
    /// and whatever `build` fails with.
    pub fn call<'a>(
        &self,
        what: &str,
        build: &mut dyn FnMut() -> Result<Call<'a>>,
    ) -> Result<Reply> {
        let mut attempt = 0;
        loop {
            self.cancel.check()?;
            attempt += 1;
            let call = build()?;
            let idempotent = call.idempotent;
            let error = match self.send(what, &call) {
                Ok(reply) if !is_busy(reply.status) => return Ok(reply),
                Ok(reply) => busy(what, reply),
                Err(error) => error,
            };
            self.cancel.check()?;
            // A refused request wasn't carried out, whatever it was; a lost reply may hide one that was.
            let again = match error.kind() {
                Kind::Busy => idempotent || error.wait().is_some(),
                Kind::Offline => idempotent,
                _ => false,
            };
            let pause = error.wait().unwrap_or_else(|| backoff(FIRST_PAUSE, attempt));
            if !again || attempt == ATTEMPTS || pause > LONGEST_PAUSE {
                return Err(error);
            }
            tracing::debug!(what, attempt, reason = error.reason(), "trying again");
            self.cancel.sleep(pause)?;
        }
    }

    fn send(&self, what: &str, call: &Call<'_>) -> Result<Reply> {
        let mut request = Request::builder().method(call.method).uri(&call.url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(length) = call.payload.length() {
            request = request.header(CONTENT_LENGTH, length);
        }
        self.counters.requests.fetch_add(1, Relaxed);
        let mut failed = None;
        let sent = match call.payload {
            Payload::None => {
                let request = request.body(()).map_err(|error| invalid(what, error))?;
                self.exchange(request, call.patience)
            }
            Payload::Bytes(bytes) => self.run(what, request, call.patience, bytes)?,
            Payload::Part { content, from, length } => {
                let slice = Slice::new(content, from, length);
                let part = FileReader { slice, failed: &mut failed };
                self.run(what, request, call.patience, part)?
            }
            Payload::Framed { head, content, tail } => {
                let file = FileReader { slice: Slice::whole(content), failed: &mut failed };
                self.run(what, request, call.patience, head.chain(file).chain(tail))?
            }
        };
        if let Some(error) = failed {
            return Err(error);
        }
        let response = sent.map_err(|error| transport_error(what, &call.url, error))?;
        let (parts, body) = response.into_parts();
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            cancel: self.cancel.clone(),
            traffic: self.traffic.clone(),
            counters: self.counters.clone(),
        })
    }

    /// Sends a request with a body. The outer error is the request's own.
    fn run(
        &self,
        what: &str,
        request: Builder,
        patience: Option<Duration>,
        body: impl Read,
    ) -> Result<Result<Response<ureq::Body>, ureq::Error>> {
        let mut body = RequestReader { inner: body, http: self };
        let request = request.body(SendBody::from_reader(&mut body));
        let request = request.map_err(|error| invalid(what, error))?;
        Ok(self.exchange(request, patience))
    }

    fn exchange<B: AsSendBody>(
        &self,
        request: Request<B>,
        patience: Option<Duration>,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        match patience {
            None => self.agent.run(request),
            patience => {
                let request = self.agent.configure_request(request).timeout_per_read(patience);
                self.agent.run(request.build())
            }
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").finish_non_exhaustive()
    }
}

/// Reads a file for an upload, remembering the file's own error: it isn't the network's.
struct FileReader<'a, 'b> {
    slice: Slice<'a>,
    failed: &'b mut Option<Error>,
}

impl Read for FileReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.slice.read(buffer).map_err(|error| {
            *self.failed = Some(match error.downcast::<Error>() {
                Ok(own) => own,
                Err(other) => Error::new(Kind::Changed, "reading the file", other),
            });
            io::Error::other("the file can't be read")
        })
    }
}

/// A request's body on its way.
struct RequestReader<'a, R> {
    inner: R,
    http: &'a Http,
}

impl<R: Read> Read for RequestReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Http { cancel, traffic, counters, .. } = self.http;
        cancel.check().map_err(io::Error::other)?;
        let most = buffer.len().min(traffic.up.chunk());
        let count = self.inner.read(&mut buffer[..most])?;
        traffic.up.pass(count, cancel).map_err(io::Error::other)?;
        counters.bytes_up.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}

/// A reply's body as it comes.
struct ReplyReader<R> {
    inner: R,
    /// Bytes that are to come, where that was announced.
    left: Option<u64>,
    cancel: Cancel,
    traffic: Arc<Traffic>,
    counters: Arc<Counters>,
}

impl<R: Read> Read for ReplyReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        let most = buffer.len().min(self.traffic.down.chunk());
        let count = self.inner.read(&mut buffer[..most])?;
        self.left = self.left.map(|left| left.saturating_sub(count as u64));
        // The connection is given back when the end is seen, which takes no waiting here.
        if self.left == Some(0) && count > 0 {
            self.inner.read(&mut [0])?;
        }
        self.traffic.down.pass(count, &self.cancel).map_err(io::Error::other)?;
        self.counters.bytes_down.fetch_add(count as u64, Relaxed);
        Ok(count)
    }
}

/// What an error means that came while reading a reply's body.
pub fn read_error(what: &str, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => own,
        Err(error) => Error::new(Kind::Offline, what, format!("the reply broke off ({error})")),
    }
}

/// The `Range` that asks for these bytes of a file, up to its last where the end is `u64::MAX`;
/// `None` for all of them.
pub fn range(bytes: &Range<u64>) -> Option<String> {
    match (bytes.start, bytes.end) {
        (0, u64::MAX) => None,
        (start, u64::MAX) => Some(format!("bytes={start}-")),
        (start, end) => Some(format!("bytes={start}-{}", end.saturating_sub(1))),
    }
}

/// Which bytes a `Content-Range` says they are, and the whole file's size if it is told.
pub fn content_range(value: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, size) = value.trim().strip_prefix("bytes")?.trim_start().split_once('/')?;
    let (start, last) = range.split_once('-')?;
    let (start, last) = (start.trim().parse::<u64>().ok()?, last.trim().parse::<u64>().ok()?);
    let (end, size) = (last.checked_add(1)?, size.trim().parse().ok());
    (start < end && size.is_none_or(|size| end <= size)).then_some((start..end, size))
}

/// Seconds since 1970 of an HTTP date.
pub fn parse_http_date(text: &str) -> Option<i64> {
    httpdate::parse_http_date(text).ok().map(unix_seconds)
}

/// Seconds since 1970.
pub fn unix_seconds(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_secs()).unwrap_or(i64::MAX),
    }
}

fn tls(ca_pem: Option<&[u8]>) -> Result<TlsConfig> {
    let Some(pem) = ca_pem else { return Ok(TlsConfig::builder().build()) };
    let wrong = |cause: String| Error::new(Kind::Usage, "setting ca", cause);
    let mut own: Vec<Certificate<'static>> = Vec::new();
    for item in ureq::tls::parse_pem(pem) {
        match item.map_err(|error| wrong(error.to_string()))? {
            PemItem::Certificate(certificate) => own.push(certificate),
            _ => return Err(wrong("the file holds something else than certificates".into())),
        }
    }
    if own.is_empty() {
        return Err(wrong("there is no certificate in the file".into()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::new_with_certs(&own)).build())
}

fn proxy(address: &str) -> Result<ureq::Proxy> {
    // The address may hold a password, so it isn't repeated in the message.
    ureq::Proxy::new(address).map_err(|_| {
        Error::new(Kind::Usage, "setting proxy", "this is not an address of a proxy")
            .remedy("write it as http://host:port or http://user:password@host:port")
    })
}

fn is_busy(status: u16) -> bool {
    // 498 is OpenStack Swift's word for too many requests.
    matches!(status, 408 | 425 | 429 | 498 | 500 | 502 | 503 | 504)
}

fn busy(what: &str, reply: Reply) -> Error {
    let status = reply.status;
    let wait = reply.header("retry-after").and_then(|value| pause(value, reply.header("date")));
    reply.drain();
    let error = Error::new(Kind::Busy, what, format!("the service is busy (status {status})"));
    match wait {
        Some(wait) => error.after(wait),
        None => error,
    }
}

/// How long a service asks to wait: for so many seconds, or until a time by its own clock, which the
/// reply's date tells.
fn pause(asked: &str, date: Option<&str>) -> Option<Duration> {
    let seconds = asked.parse().ok().or_else(|| {
        let now = date.and_then(parse_http_date);
        let now = now.unwrap_or_else(|| unix_seconds(SystemTime::now()));
        let until = parse_http_date(asked)?.saturating_sub(now);
        Some(u64::try_from(until).unwrap_or(0))
    });
    seconds.map(Duration::from_secs)
}

/// The pause after the `attempt`-th failure: doubling up to 64 times the first, and of random
/// length between half and whole so that many clients don't come back at the same moment.
pub fn backoff(first: Duration, attempt: u32) -> Duration {
    let whole = first * 2_u32.saturating_pow(attempt - 1).min(64);
    let nanos =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
    whole / 2 + whole / 2 * (nanos % 1000) / 1000
}

fn transport_error(what: &str, url: &str, error: ureq::Error) -> Error {
    let host = url.split('/').nth(2).unwrap_or(url);
    let host = host.rsplit('@').next().unwrap_or(host);
    let offline = |cause: String| Error::new(Kind::Offline, what, cause);
    match error {
        ureq::Error::HostNotFound => offline(format!("there is no host {host}")),
        ureq::Error::Timeout(_) => offline(format!("{host} doesn't answer in time")),
        ureq::Error::ConnectionFailed => offline(format!("{host} can't be reached")),
        ureq::Error::ConnectProxyFailed(cause) => offline(format!("the proxy refused: {cause}")),
        ureq::Error::Io(cause) => match tls_cause(&cause) {
            Some(cause) => untrusted(what, host, cause),
            None => offline(format!("{host}: {cause}")),
        },
        ureq::Error::Rustls(cause) => untrusted(what, host, &cause),
        ureq::Error::Protocol(cause) => {
            Error::new(Kind::Protocol, what, format!("{host} doesn't speak HTTP properly: {cause}"))
        }
        ureq::Error::BadUri(cause) => {
            Error::new(Kind::Usage, what, format!("bad address: {cause}"))
        }
        other => offline(format!("{host}: {other}")),
    }
}

fn invalid(what: &str, error: ureq::http::Error) -> Error {
    Error::new(Kind::Usage, what, error)
}

fn tls_cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

fn untrusted(what: &str, host: &str, cause: &rustls::Error) -> Error {
    match cause {
        rustls::Error::InvalidCertificate(_) => Error::new(
            Kind::Untrusted,
            what,
            format!("the certificate of {host} isn't trusted ({cause})"),
        ),
        _ => Error::new(Kind::Offline, what, format!("no secure connection to {host} ({cause})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_until_is_by_the_services_clock() {
        let told = |asked, date| pause(asked, date).map(|pause| pause.as_secs());
        let (now, then) = ("Mon, 01 Jan 2001 00:00:00 GMT", "Mon, 01 Jan 2001 00:20:00 GMT");
        assert_eq!(told(then, Some(now)), Some(1200));
        assert_eq!(told(now, Some(then)), Some(0));
        // By ours it is over.
        assert_eq!((told(then, None), told(then, Some("now"))), (Some(0), Some(0)));
        assert_eq!((told("90", Some(now)), told("soon", Some(now))), (Some(90), None));
    }

    #[test]
    fn ranges_are_asked_for_and_understood() {
        assert_eq!(range(&(0..u64::MAX)), None);
        assert_eq!(range(&(5..u64::MAX)).as_deref(), Some("bytes=5-"));
        assert_eq!(range(&(0..10)).as_deref(), Some("bytes=0-9"));
        assert_eq!(content_range("bytes 5-9/10"), Some((5..10, Some(10))));
        assert_eq!(content_range("bytes 5-8/10"), Some((5..9, Some(10))));
        assert_eq!(content_range("bytes 5-9/*"), Some((5..10, None)));
        for wrong in [
            "",
            "bytes",
            "bytes 5/10",
            "bytes */10",
            "5-9/10",
            "items 0-1/2",
            "bytes 9-5/6",
            "bytes 5-10/10",
            "bytes 0-18446744073709551615/0",
            "bytes -5-9/10",
        ] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
