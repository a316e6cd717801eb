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
use std::time::Duration;

/// Requests answered at the same time; more wait to be accepted.
const THREADS: usize = 8;
/// Bytes of a request, and of its body.
const MOST: u64 = 16 << 10;
/// How long the other end may take for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a failure to accept, which is mostly a lack of file descriptors.
const PAUSE: Duration = Duration::from_secs(1);

/// A request, as far as it is looked at.
struct Request {
    method: String,
    path: String,
    query: String,
    body: String,
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
            Ok((stream, _)) => drop(serve(source, stream)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

fn serve(source: &Source, stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let (reply, has_body) = match read(&stream)? {
        Some(request) => (answer(source, &request), request.method != "HEAD"),
        None => (Reply::Failure("400 Bad Request"), true),
    };
    write(stream, reply, has_body)
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
fn read(stream: &TcpStream) -> io::Result<Option<Request>> {
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

fn write(mut stream: TcpStream, reply: Reply, has_body: bool) -> io::Result<()> {
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
