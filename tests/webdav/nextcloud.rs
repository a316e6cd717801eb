//! A stand-in for Nextcloud, which can't be installed for a test: what its documentation says of
//! ETags of folders, `X-OC-Mtime`, checksums and refusals, on files in memory.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Where its files are, as for a user whose name takes encoding.
const BASE: &str = "/remote.php/dav/files/some%20user";

pub struct Nextcloud {
    pub url: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Held while a request is answered: what it decides by stays true until it has acted.
    turn: Mutex<()>,
    /// By path with a slash before each part; the root is empty.
    items: Mutex<BTreeMap<String, Item>>,
    count: AtomicUsize,
    lose: AtomicBool,
}

#[derive(Clone)]
struct Item {
    /// `None` for a folder.
    bytes: Option<Vec<u8>>,
    etag: String,
    mtime: u64,
}

pub struct Request {
    pub method: String,
    pub target: String,
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl From<u16> for Answer {
    fn from(status: u16) -> Self {
        Answer { status, headers: Vec::new(), body: Vec::new() }
    }
}

impl Nextcloud {
    /// Starts one, for `user` with `password`, that ends with the process.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}{BASE}", listener.local_addr().unwrap());
        let state = Arc::new(State::default());
        state.put("", None, None);
        let served = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let state = served.clone();
                std::thread::spawn(move || state.serve(stream.unwrap()));
            }
        });
        Nextcloud { url, state }
    }

    /// The next PUT is done, but its reply never sent.
    pub fn lose_next_reply_to_put(&self) {
        self.state.lose.store(true, Relaxed);
    }
}

/// The next request; `None` when the connection ended before it was complete.
pub fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, target, headers, body })
}

impl State {
    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while let Some(request) = read_request(&mut reader) {
            let answer = self.answer(&request);
            if request.method == "PUT" && answer.status < 300 && self.lose.swap(false, Relaxed) {
                return;
            }
            let mut text = format!("HTTP/1.1 {} -\r\n", answer.status);
            for (name, value) in &answer.headers {
                text += &format!("{name}: {value}\r\n");
            }
            if answer.status != 204 {
                text += &format!("Content-Length: {}\r\n", answer.body.len());
            }
            let bytes = [text.as_bytes(), b"\r\n", &answer.body].concat();
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        let _turn = self.turn.lock().unwrap();
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        // user:password
        if header("authorization") != Some("Basic dXNlcjpwYXNzd29yZA==") {
            let headers = vec![("WWW-Authenticate", "Basic realm=\"Nextcloud\"".to_string())];
            return Answer { headers, ..401.into() };
        }
        let Some(path) = path_of(&request.target) else { return 404.into() };
        let item = self.items.lock().unwrap().get(&path).cloned();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let has_parent = self.is_folder(parent);
        let quoted = item.as_ref().map(|item| format!("\"{}\"", item.etag));
        if header("if-none-match") == Some("*") && item.is_some()
            || header("if-match").is_some_and(|wanted| Some(wanted) != quoted.as_deref())
        {
            return 412.into();
        }
        match (request.method.as_str(), item) {
            ("PUT", Some(Item { bytes: None, .. })) => 409.into(),
            ("PUT", _) if !has_parent => 409.into(),
            ("PUT", old) => match path.rsplit('/').next() {
                Some("too much") => 507.into(),
                Some("locked") => 423.into(),
                Some("huge") => 413.into(),
                Some("forbidden") => 403.into(),
                Some(".htaccess") => {
                    let body = b"<s:exception>OCA\\DAV\\InvalidPath</s:exception>".to_vec();
                    Answer { body, ..400.into() }
                }
                _ => {
                    let mtime = header("x-oc-mtime").map(|time| time.parse().unwrap());
                    let etag = self.put(&path, Some(request.body.clone()), mtime);
                    let mut headers =
                        vec![("ETag", format!("\"{etag}\"")), ("OC-ETag", format!("\"{etag}\""))];
                    if mtime.is_some() {
                        headers.push(("X-OC-MTime", "accepted".into()));
                    }
                    Answer { headers, ..(if old.is_some() { 204 } else { 201 }).into() }
                }
            },
            ("MKCOL", Some(_)) => 405.into(),
            ("MKCOL", None) if !has_parent => 409.into(),
            ("MKCOL", None) => {
                self.put(&path, None, None);
                201.into()
            }
            (_, None) => 404.into(),
            ("PROPFIND", Some(_)) => self.propfind(&path, header("depth") == Some("1")),
            ("GET", Some(Item { bytes: Some(bytes), etag, mtime })) => {
                let mut headers =
                    vec![("ETag", format!("\"{etag}\"")), ("Last-Modified", date(mtime))];
                let from = header("range").and_then(|range| {
                    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok()
                });
                match from {
                    Some(from) if from >= bytes.len() => 416.into(),
                    Some(from) => {
                        let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                        headers.push(("Content-Range", range));
                        Answer { status: 206, headers, body: bytes[from..].to_vec() }
                    }
                    None => Answer { status: 200, headers, body: bytes },
                }
            }
            ("DELETE", Some(_)) => {
                self.items.lock().unwrap().retain(|other, _| !is_in(other, &path));
                self.touch(parent);
                204.into()
            }
            (method @ ("MOVE" | "COPY"), Some(_)) => {
                let Some(to) = header("destination").and_then(path_of) else { return 400.into() };
                let target = to.rsplit_once('/').map_or("", |(parent, _)| parent);
                if !self.is_folder(target) {
                    return 409.into();
                }
                let mut items = self.items.lock().unwrap();
                if items.contains_key(&to) && header("overwrite") == Some("F") {
                    return 412.into();
                }
                let moved: Vec<_> = items
                    .iter()
                    .filter(|(other, _)| is_in(other, &path))
                    .map(|(other, item)| (format!("{to}{}", &other[path.len()..]), item.clone()))
                    .collect();
                if method == "MOVE" {
                    items.retain(|other, _| !is_in(other, &path));
                }
                items.extend(moved);
                drop(items);
                self.touch(parent);
                self.touch(target);
                201.into()
            }
            _ => 405.into(),
        }
    }

    fn propfind(&self, path: &str, children: bool) -> Answer {
        let items = self.items.lock().unwrap();
        let mut xml = String::from(
            r#"<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"
               xmlns:oc="http://owncloud.org/ns">"#,
        );
        let told = |other: &str| {
            other == path
                || children && is_in(other, path) && !other[path.len() + 1..].contains('/')
        };
        for (path, item) in items.iter().filter(|(other, _)| told(other)) {
            let encode = |part| utf8_percent_encode(part, NON_ALPHANUMERIC).to_string();
            let href: Vec<String> = path.split('/').map(encode).collect();
            let slash = if item.bytes.is_none() { "/" } else { "" };
            let kind = if item.bytes.is_none() { "<d:collection/>" } else { "" };
            xml += &format!(
                "<d:response><d:href>{BASE}{}{slash}</d:href><d:propstat><d:prop>
                <d:resourcetype>{kind}</d:resourcetype><d:getetag>&quot;{}&quot;</d:getetag>
                <d:getlastmodified>{}</d:getlastmodified><oc:fileid>7</oc:fileid>",
                href.join("/"),
                item.etag,
                date(item.mtime)
            );
            if let Some(bytes) = &item.bytes {
                xml += &format!("<d:getcontentlength>{}</d:getcontentlength>", bytes.len());
                if bytes == b"bytes" {
                    xml += "<oc:checksums><oc:checksum>SHA1:00 \
                        MD5:4b3a6218bb3e3a7303e8a171a60fcf92</oc:checksum></oc:checksums>";
                }
            }
            xml += "</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat><d:propstat><d:prop>\
                <oc:other/></d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>\
                </d:response>";
        }
        xml += "</d:multistatus>";
        Answer { body: xml.into_bytes(), ..207.into() }
    }

    fn is_folder(&self, path: &str) -> bool {
        self.items.lock().unwrap().get(path).is_some_and(|item| item.bytes.is_none())
    }

    fn put(&self, path: &str, bytes: Option<Vec<u8>>, mtime: Option<u64>) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let item = Item { bytes, etag: String::new(), mtime: mtime.unwrap_or(now) };
        self.items.lock().unwrap().insert(path.into(), item);
        self.touch(path)
    }

    /// Gives the item and all folders above it a new ETag.
    fn touch(&self, path: &str) -> String {
        let etag = format!("{:032x}", self.count.fetch_add(1, Relaxed) + 0xfeed);
        for (other, item) in self.items.lock().unwrap().iter_mut() {
            if is_in(path, other) {
                item.etag = etag.clone();
            }
        }
        etag
    }
}

/// Whether the first path is the second, or below it.
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn path_of(target: &str) -> Option<String> {
    let path = target.split_once("//").map_or(target, |(_, rest)| &rest[rest.find('/').unwrap()..]);
    let below = percent_decode_str(path).decode_utf8().ok()?;
    let base = percent_decode_str(BASE).decode_utf8().ok()?;
    Some(below.strip_prefix(&*base)?.trim_end_matches('/').to_string())
}

fn date(seconds: u64) -> String {
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}
