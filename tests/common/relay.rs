//! A relay in front of a server: passes on, counts, and stops an upload where a test wants it.

use std::io::{BufRead, BufReader, Read, Write, copy, sink};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

/// Requests that may change something on a server.
const WRITES: &[&str] =
    &["PUT", "POST", "DELETE", "MKCOL", "MOVE", "COPY", "PROPPATCH", "PATCH", "LOCK"];

/// What is asked by POST and changes nothing all the same: tokens, and whatever Dropbox and Backblaze B2 are asked, which
/// know no other method.
const READS: &[&str] = &[
    "/token",
    "/oauth2/token",
    "/2/files/download",
    "/2/files/get_metadata",
    "/2/files/list_folder",
    "/2/users/get_current_account",
    "/b2api/v4/b2_list_",
];

/// Listens on the loopback address until the process ends.
pub struct Relay {
    authority: String,
    tally: Arc<Tally>,
}

#[derive(Default)]
struct Tally {
    /// The first line of each request.
    requests: Mutex<Vec<String>>,
    /// Bytes of both directions.
    bytes: AtomicU64,
    connections: AtomicU64,
    /// What a request's first line has in it of which only so many are passed on.
    most: Mutex<Option<(&'static str, usize)>>,
}

impl Tally {
    /// Counts a request by its first line. Tells whether it is passed on.
    fn passes(&self, line: &str) -> bool {
        let mut requests = self.requests.lock().unwrap();
        requests.push(line.into());
        self.most.lock().unwrap().is_none_or(|(part, most)| {
            !line.contains(part)
                || requests.iter().filter(|line| line.contains(part)).count() <= most
        })
    }
}

impl Relay {
    /// In front of the server of this URL.
    pub fn before(url: &str) -> Relay {
        let server = authority(url).to_string();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let relay =
            Relay { authority: listener.local_addr().unwrap().to_string(), tally: Arc::default() };
        let tally = relay.tally.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, tally, server) = (client.unwrap(), tally.clone(), server.clone());
                tally.connections.fetch_add(1, SeqCst);
                // Either end may hang up at any moment: that is what it is for.
                thread::spawn(move || {
                    let _ = pass(&client, &server, &tally);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        relay
    }

    /// A URL of the server, by way of this relay.
    pub fn url(&self, url: &str) -> String {
        url.replacen(authority(url), &self.authority, 1)
    }

    /// From now on, of the requests with this in their first line only the first of all are passed
    /// on, so many; who asks one more waits for the answer in vain.
    pub fn pass_at_most(&self, count: usize, part: &'static str) {
        *self.tally.most.lock().unwrap() = Some((part, count));
    }

    /// Passes everything on again.
    pub fn pass_all(&self) {
        *self.tally.most.lock().unwrap() = None;
    }

    /// Bytes that went through, in both directions.
    pub fn bytes(&self) -> u64 {
        self.tally.bytes.load(SeqCst)
    }

    /// How many connections were opened so far.
    pub fn connections(&self) -> u64 {
        self.tally.connections.load(SeqCst)
    }

    /// The first line of every request so far.
    pub fn requests(&self) -> Vec<String> {
        self.tally.requests.lock().unwrap().clone()
    }

    /// The requests after the first `from` that may have changed something.
    pub fn writes_since(&self, from: usize) -> Vec<String> {
        let mut requests = self.requests().split_off(from);
        requests.retain(|line| {
            let (method, target) = line.split_once(' ').unwrap_or_default();
            WRITES.contains(&method) && !READS.iter().any(|read| target.starts_with(read))
        });
        requests
    }
}

fn authority(url: &str) -> &str {
    url.split('/').nth(2).unwrap()
}

fn pass(client: &TcpStream, server: &str, tally: &Arc<Tally>) -> std::io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    let counted = tally.clone();
    thread::spawn(move || {
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = answers.read(&mut buffer) {
            counted.bytes.fetch_add(count as u64, SeqCst);
            if back.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
    });
    let ended = requests(&mut BufReader::new(client), &server, tally);
    let _ = server.shutdown(Shutdown::Both);
    ended
}

/// Passes on requests, each with a body of the length it tells.
fn requests(
    client: &mut BufReader<&TcpStream>,
    mut server: &TcpStream,
    tally: &Tally,
) -> std::io::Result<()> {
    loop {
        let (mut head, mut length, mut line) = (Vec::new(), 0, Vec::new());
        while line != b"\r\n" {
            line.clear();
            if client.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            head.extend_from_slice(&line);
            let text = String::from_utf8_lossy(&line).to_ascii_lowercase();
            if let Some(value) = text.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            assert!(!text.starts_with("transfer-encoding:"), "a request of unknown length");
        }
        let text = String::from_utf8_lossy(&head);
        if !tally.passes(text.lines().next().unwrap_or_default()) {
            return copy(client, &mut sink()).map(drop);
        }
        tally.bytes.fetch_add(head.len() as u64, SeqCst);
        server.write_all(&head)?;
        let mut buffer = [0; 16 << 10];
        let mut body = client.by_ref().take(length);
        while let count @ 1.. = body.read(&mut buffer)? {
            server.write_all(&buffer[..count])?;
            tally.bytes.fetch_add(count as u64, SeqCst);
        }
        if body.limit() > 0 {
            return Ok(());
        }
    }
}
