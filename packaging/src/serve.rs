//! Serves a package source: what a box asks for at `/`, packages and icons by their names. Put a web server with a
//! certificate before it.

use crate::Result;
use crate::source::{Asked, Refusal, Source};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Requests answered at the same time; more wait to be accepted.
const THREADS: usize = 8;
/// Bytes of a request, and of its body.
const MOST: u64 = 16 << 10;
/// How long a request may take to come, and to take its answer: a package comes at 32 KiB a second in that time.
const PATIENCE: Duration = Duration::from_secs(10);
const LONG_PATIENCE: Duration = Duration::from_secs(300);
/// Pause after a failure to accept, which is mostly a lack of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// A request, as far as it is looked at.
struct Request {
    method: String,
    path: String,
    query: String,
    body: String,
}

/// The other end, which may take so long and no longer.
struct Timed<'s> {
    stream: &'s TcpStream,
    until: Instant,
}

impl<'s> Timed<'s> {
    fn new(stream: &'s TcpStream, patience: Duration) -> Self {
        Timed { stream, until: Instant::now() + patience }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// A status with its reason, and what it is of.
enum Reply {
    Document(String),
    File(File),
    Failure(&'static str),
}

/// Serves until the process is ended.
pub fn run(source: Source, address: &str) -> Result<()> {
    let listener = TcpListener::bind(address).map_err(|error| format!("{address}: {error}"))?;
    println!("http://{}/", listener.local_addr()?);
    let (source, listener) = (Arc::new(source), Arc::new(listener));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (source, listener) = (source.clone(), listener.clone());
            thread::spawn(move || accept(&source, &listener))
        })
        .collect();
    for thread in threads {
        thread.join().map_err(|_| "serving ended")?;
    }
    Ok(())
}

fn accept(source: &Source, listener: &TcpListener) {
    loop {
        match listener.accept() {
            // Who hangs up has their reasons.
            Ok((stream, _)) => drop(serve(source, &stream)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn serve(source: &Source, stream: &TcpStream) -> io::Result<()> {
    let (reply, has_body) = match read(Timed::new(stream, PATIENCE))? {
        Some(request) => (answer(source, &request), request.method != "HEAD"),
        None => (Reply::Failure("400 Bad Request"), true),
    };
    write(Timed::new(stream, LONG_PATIENCE), reply, has_body)
}

fn answer(source: &Source, request: &Request) -> Reply {
    let values = match request.method.as_str() {
        "GET" | "HEAD" => values(&request.query),
        "POST" => values(&request.body),
        _ => return Reply::Failure("405 Method Not Allowed"),
    };
    if request.path != "/" {
        let file = source.file(request.path.trim_start_matches('/'));
        let opened = file.and_then(|file| File::open(file).ok());
        return opened.map_or(Reply::Failure("404 Not Found"), Reply::File);
    }
    match Asked::new(&values).and_then(|asked| source.told(&asked)) {
        Ok(document) => Reply::Document(document.to_string()),
        Err(Refusal::Missing) => Reply::Failure("400 Bad Request"),
        Err(Refusal::Unknown) => Reply::Failure("422 Unprocessable Content"),
    }
}

/// `None` if it makes no sense.
fn read(stream: impl Read) -> io::Result<Option<Request>> {
    let mut stream = BufReader::new(stream.take(2 * MOST));
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first().map_or("", String::as_str).split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Ok(0), |(_, length)| length.trim().parse());
    let Some(length) = length.ok().filter(|length| *length <= MOST) else { return Ok(None) };
    let mut body = String::new();
    stream.take(length).read_to_string(&mut body)?;
    Ok(Some(Request { method: method.into(), path: path.into(), query: query.into(), body }))
}

/// The values of a query or a form by their keys.
fn values(form: &str) -> BTreeMap<String, String> {
    let decoded =
        |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = form.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

fn write(mut stream: impl Write, reply: Reply, has_body: bool) -> io::Result<()> {
    let (status, kind, length) = match &reply {
        Reply::Document(text) => ("200 OK", "application/json", text.len() as u64),
        Reply::File(file) => ("200 OK", "application/octet-stream", file.metadata()?.len()),
        Reply::Failure(status) => (*status, "text/plain", status.len() as u64),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    )?;
    if has_body {
        match reply {
            Reply::Document(text) => stream.write_all(text.as_bytes())?,
            Reply::File(file) => drop(io::copy(&mut file.take(length), &mut stream)?),
            Reply::Failure(status) => stream.write_all(status.as_bytes())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_that_comes_drop_by_drop_is_waited_for_a_while_only() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let drops = thread::spawn(move || {
            for _ in 0..200 {
                if client.write_all(b"x").is_err() {
                    return;
                }
                thread::sleep(Duration::from_millis(50));
            }
            drop(client.write_all(b"\r\n\r\n"));
        });
        let Err(error) = read(Timed::new(&stream, Duration::from_millis(500))) else {
            panic!("it was waited for");
        };
        let late = [io::ErrorKind::TimedOut, io::ErrorKind::WouldBlock];
        assert!(late.contains(&error.kind()), "{error}");
        drop(stream);
        drops.join().unwrap();
    }
}
