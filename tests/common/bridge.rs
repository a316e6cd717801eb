//! The bridge with stand-ins for what only a NAS has, run by a real web server or by the test itself.

use super::pair::eventually;
use super::peers::CgiPeer;
use super::tls::{client_of, unknown_authority};
use rustls::{ClientConnection, ServerConnection, StreamOwned};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

/// The token that the stand-in for the NAS's program wants to see.
pub const GOOD_TOKEN: &str = "Good.token-1_";

/// What the panel may ask.
pub fn request() -> &'static str {
    r#"{"request":"connection_list"}"#
}

/// Notes what it sees, and knows some users by their cookies.
const HELPER: &str = r#"#!/bin/sh
folder=${0%/*}
env >"$folder/variables"
cat >"$folder/input"
: >"$folder/seen"
[ "$QUERY_STRING" = "SynoToken=Good.token-1_" ] || exit 0
case $HTTP_COOKIE in
    id=alice) echo alice ;;
    id=admin) echo admin ;;
    id=domain) printf '%s\n' 'NAS\Zoë B' ;;
    id=deleted) echo deleted ;;
    id=root) echo root ;;
    id=lines) printf 'alice\nadmin\n' ;;
esac
"#;
const ID: &str = r#"#!/bin/sh
[ "$1 $2" = "-G --" ] || exit 1
case $3 in
    alice | 'NAS\Zoë B') echo 100 ;;
    admin) echo 100 101 ;;
    *) exit 1 ;;
esac
"#;

/// The bridge in a folder of its own, which is gone when the test ends.
pub struct Bridge {
    pub folder: PathBuf,
    peer: Option<&'static CgiPeer>,
}

impl Bridge {
    /// One that this web server runs.
    pub fn at(peer: &'static CgiPeer, name: &str) -> Bridge {
        Bridge::new(peer.files.join(name), Some(peer))
    }

    /// One that the test runs.
    pub fn alone(name: &str) -> Bridge {
        let name = format!("mooring-{}-bridge-{name}", std::process::id());
        Bridge::new(std::env::temp_dir().join(name), None)
    }

    fn new(folder: PathBuf, peer: Option<&'static CgiPeer>) -> Bridge {
        fs::create_dir(&folder).unwrap();
        // The web server may run programs as somebody else.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_mooring"));
        let copy = folder.join("mooring");
        fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop)).unwrap();
        let bridge = Bridge { folder, peer };
        fs::create_dir(bridge.state()).unwrap();
        bridge.program("helper", HELPER);
        bridge.program("id", ID);
        let words = bridge.words().join(" ");
        let shim = format!("#!/bin/sh\nexec {}/mooring {words}\n", bridge.folder.display());
        bridge.program("api.cgi", &shim);
        bridge
    }

    fn words(&self) -> [String; 7] {
        let [helper, id, state] =
            ["helper", "id", "state"].map(|name| self.folder.join(name).to_str().unwrap().into());
        ["cgi".into(), "--helper".into(), helper, "--id".into(), id, "--state".into(), state]
    }

    /// Puts a program in the folder.
    pub fn program(&self, name: &str, text: &str) {
        // Written beside its place: another thread may be forking, which keeps it open for a moment.
        let file = self.folder.join(name);
        let status = Command::new("/bin/sh")
            .args(["-c", r#"printf %s "$1" >"$2.new" && chmod 755 "$2.new" && mv "$2.new" "$2""#])
            .args([Path::new("sh"), Path::new(text), &file])
            .status();
        assert!(status.unwrap().success());
    }

    pub fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    pub fn socket(&self) -> PathBuf {
        self.state().join("mooring.sock")
    }

    /// The variables and the input that the NAS's program saw last.
    pub fn seen(&self) -> (String, String) {
        let [variables, input] =
            ["variables", "input"].map(|name| fs::read_to_string(self.folder.join(name)).unwrap());
        (variables, input)
    }

    /// Sends a request to the web server.
    pub fn send(&self, sent: Sent) -> Answer {
        let length = sent.body.as_ref().map_or(0, String::len);
        self.send_part(sent, length).expect("the web server hung up")
    }

    /// The same, with so many bytes of the body only. A web server that waits for the rest in vain may hang up.
    pub fn send_part(&self, sent: Sent, bytes: usize) -> Option<Answer> {
        let peer = self.peer.unwrap();
        let name = self.folder.file_name().unwrap().to_str().unwrap();
        let mut head = format!("{} /{name}/api.cgi{}", sent.method, sent.path);
        if let Some(query) = &sent.query {
            head += &format!("?{query}");
        }
        head += &format!(" HTTP/1.0\r\nHost: {}\r\n", peer.address);
        for (field, value) in &sent.fields {
            head += &format!("{field}: {value}\r\n");
        }
        if let Some(body) = &sent.body
            && !sent.fields.iter().any(|(field, _)| field == "Content-Length")
        {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut stream = TcpStream::connect(&peer.address).unwrap();
        let server = "127.0.0.1".try_into().unwrap();
        let mut tls = ClientConnection::new(client_of(&peer.certificates), server).unwrap();
        let mut stream = rustls::Stream::new(&mut tls, &mut stream);
        let body = sent.body.unwrap_or_default();
        // A server that refuses needn't read on, and may hang up as it likes once it has answered.
        let _ = stream.write_all(format!("{head}\r\n").as_bytes());
        let _ = stream.write_all(&body.as_bytes()[..bytes]);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        (!bytes.is_empty()).then(|| Answer::of(&bytes, "HTTP/1.1 "))
    }

    /// Runs the bridge with the variables that a web server makes of a request, some of them otherwise.
    pub fn run(&self, sent: Sent, otherwise: &[(&str, &str)], input: &str) -> Answer {
        self.run_as(|_| {}, sent, otherwise, input)
    }

    /// The same, as somebody else.
    pub fn run_as(
        &self,
        become_another: impl Fn(&mut Command),
        sent: Sent,
        otherwise: &[(&str, &str)],
        input: &str,
    ) -> Answer {
        let mut command = Command::new(self.folder.join("mooring"));
        command.args(self.words());
        become_another(&mut command);
        ended(command, sent, otherwise, input)
    }

    /// Runs the bridge with an input that doesn't end.
    pub fn run_slowly(&self, sent: Sent, input: &str) -> Answer {
        let mut command = Command::new(self.folder.join("mooring"));
        command.args(self.words());
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(input.as_bytes()).unwrap();
        command.stdin(reader);
        finished(command, sent, &[])
    }

    /// The same by another program with other words.
    pub fn run_by(
        &self,
        program: &Path,
        words: &[&str],
        sent: Sent,
        otherwise: &[(&str, &str)],
        input: &str,
    ) -> Answer {
        let mut command = Command::new(program);
        command.args(words).env("MOORING_STATE", self.state());
        ended(command, sent, otherwise, input)
    }

    /// The real daemon, as the user that the web server runs programs as.
    pub fn real_daemon(&self) -> Running {
        let user = self.peer.map(|peer| peer.user).filter(|_| nix::unistd::geteuid().is_root());
        self.real_daemon_as(|command| {
            if let Some(user) = user {
                command.uid(user).gid(user);
            }
        })
    }

    /// The real daemon, as somebody else.
    pub fn real_daemon_as(&self, become_another: impl Fn(&mut Command)) -> Running {
        let mut command = Command::new(self.folder.join("mooring"));
        command.arg("daemon").arg("--state").arg(self.state()).stderr(Stdio::null());
        // It makes the folder for itself.
        let _ = fs::remove_dir_all(self.state());
        become_another(&mut command);
        let child = command.spawn().unwrap();
        eventually("the daemon answers", || UnixStream::connect(self.socket()).is_ok());
        Running(child)
    }

    /// Asks the daemon's socket, with more header fields.
    pub fn ask_daemon(&self, fields: &str, call: &str, body: &str) -> Answer {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        let head = format!("{call} HTTP/1.1\r\nhost: mooring\r\n{fields}");
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::of(&bytes, "HTTP/1.1 ")
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn ended(mut command: Command, sent: Sent, otherwise: &[(&str, &str)], input: &str) -> Answer {
    let (reader, mut writer) = std::io::pipe().unwrap();
    command.stdin(reader);
    // It fits into the pipe.
    writer.write_all(input.as_bytes()).unwrap();
    drop(writer);
    finished(command, sent, otherwise)
}

fn finished(mut command: Command, sent: Sent, otherwise: &[(&str, &str)]) -> Answer {
    let mut variables = vec![
        ("GATEWAY_INTERFACE".to_owned(), "CGI/1.1".to_owned()),
        ("PATH_INFO".into(), sent.path),
        ("QUERY_STRING".into(), sent.query.unwrap_or_default()),
        ("REMOTE_ADDR".into(), "127.0.0.1".into()),
        ("REQUEST_METHOD".into(), sent.method.into()),
        ("CONTENT_LENGTH".into(), sent.body.map_or(String::new(), |body| body.len().to_string())),
    ];
    variables.extend(sent.fields.into_iter().map(|(field, value)| {
        let name = field.to_uppercase().replace('-', "_");
        (if name == "CONTENT_TYPE" { name } else { format!("HTTP_{name}") }, value)
    }));
    variables.extend(otherwise.iter().map(|(name, value)| (name.to_string(), value.to_string())));
    let output = command.envs(variables).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Answer::of(&output.stdout, "Status: ")
}

/// A request to be sent.
#[derive(Clone)]
pub struct Sent {
    method: &'static str,
    path: String,
    query: Option<String>,
    fields: Vec<(String, String)>,
    body: Option<String>,
}

impl Sent {
    pub fn new(method: &'static str, path: &str) -> Sent {
        Sent { method, path: path.into(), query: None, fields: Vec::new(), body: None }
    }

    /// With this header field and no other of its name.
    pub fn field(self, name: &str, value: &str) -> Sent {
        let mut sent = self.without(name);
        sent.fields.push((name.into(), value.into()));
        sent
    }

    pub fn without(mut self, name: &str) -> Sent {
        self.fields.retain(|(each, _)| each != name);
        self
    }

    pub fn method(self, method: &'static str) -> Sent {
        Sent { method, ..self }
    }

    pub fn path(self, path: &str) -> Sent {
        Sent { path: path.into(), ..self }
    }

    pub fn query(self, query: &str) -> Sent {
        Sent { query: Some(query.into()), ..self }
    }

    pub fn body(self, body: &str) -> Sent {
        Sent { body: Some(body.into()), ..self }
    }
}

/// An answer, as HTTP or as CGI has it.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
    /// Null if it isn't JSON.
    pub body: Value,
}

impl Answer {
    #[track_caller]
    pub fn of(bytes: &[u8], before_status: &str) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let (head, text) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text:?}"));
        let status = head.strip_prefix(before_status).and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{head}"));
        let body = serde_json::from_str(text).unwrap_or_default();
        Answer { status, head: head.into(), text: text.into(), body }
    }

    /// The value of a header field that comes once.
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = fields.filter(|(each, _)| each.eq_ignore_ascii_case(name));
        let value = values.next().map(|(_, value)| value);
        assert!(values.next().is_none(), "{}", self.head);
        value
    }
}

/// A program that is killed with the test.
pub struct Running(Child);

impl Running {
    pub fn of(child: Child) -> Running {
        Running(child)
    }

    /// What the system knows it by.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What stands in for the daemon: notes what it is asked, and answers always the same.
pub struct Daemon {
    socket: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// One that answers that all is well.
    pub fn start(bridge: &Bridge) -> Daemon {
        Daemon::answering(bridge, 200, r#"{"ok":true}"#)
    }

    /// One that answers so.
    pub fn answering(bridge: &Bridge, status: u16, document: &str) -> Daemon {
        let length = document.len();
        Daemon::saying(
            bridge,
            format!("HTTP/1.1 {status} So\r\ncontent-length: {length}\r\n\r\n{document}"),
        )
    }

    /// One that hangs up.
    pub fn silent(bridge: &Bridge) -> Daemon {
        Daemon::saying(bridge, String::new())
    }

    fn saying(bridge: &Bridge, answer: String) -> Daemon {
        let socket = bridge.socket();
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let number = {
                    let mut noted = noted.lock().unwrap();
                    noted.push(String::new());
                    noted.len() - 1
                };
                let text = read_request(&mut stream);
                noted.lock().unwrap()[number] = text;
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Daemon { socket, asked }
    }

    /// How often somebody connected.
    pub fn contacts(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// What it was asked last.
    pub fn last(&self) -> String {
        self.asked.lock().unwrap().last().cloned().unwrap_or_default()
    }

    /// All that anybody said.
    pub fn said(&self) -> String {
        self.asked.lock().unwrap().concat()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

/// A request of HTTP as it came, with its body.
fn read_request(stream: &mut impl Read) -> String {
    let mut reader = BufReader::new(stream);
    let (mut text, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return text;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        text += &line;
        if line == "\r\n" {
            break;
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

/// What stands in for the web server of the NAS: answers always the same.
pub struct Http {
    pub port: String,
    asked: Arc<Mutex<String>>,
}

impl Http {
    /// One that answers so; where it redirects, with the field instead of a body.
    pub fn start(status: u16, body: &str, tls: bool) -> Http {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let (fields, body) = if status == 302 { (body, "") } else { ("", body) };
        let answer = format!(
            "HTTP/1.1 {status} So\r\n{fields}content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let asked = Arc::new(Mutex::new(String::new()));
        let noted = asked.clone();
        let config = tls.then(|| unknown_authority().1);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                match &config {
                    Some(config) => {
                        let session = ServerConnection::new(config.clone()).unwrap();
                        reply(StreamOwned::new(session, stream), &noted, &answer);
                    }
                    None => reply(stream, &noted, &answer),
                }
            }
        });
        Http { port, asked }
    }

    /// All that it was asked.
    pub fn asked(&self) -> String {
        self.asked.lock().unwrap().clone()
    }
}

fn reply(mut stream: impl Read + Write, noted: &Mutex<String>, answer: &str) {
    *noted.lock().unwrap() += &read_request(&mut stream);
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.flush();
}
