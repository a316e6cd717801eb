//! The panel that the daemon serves itself: its login, its files, and what it refuses.

use crate::common::bridge::{Answer, Running};
use crate::common::pair::eventually;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const PASSWORD: &str = "correct horse battery";
const LIST: &str = r#"{"request":"connection_list"}"#;

/// A state folder and a panel, gone when the test ends.
struct Home {
    folder: PathBuf,
    port: u16,
}

/// A request with header fields; the host is right unless it is given.
struct Sent<'a> {
    line: &'a str,
    fields: Vec<(&'a str, &'a str)>,
    body: &'a str,
}

impl Home {
    fn new(name: &str) -> Home {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("loopback").join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("ui/texts")).unwrap();
        for (file, text) in [
            ("ui/index.html", "<!doctype html>the page"),
            ("ui/page.js", "the script"),
            ("ui/config", "not for browsers"),
            ("ui/api.cgi", "not for browsers"),
            ("ui/texts/enu.txt", "the texts"),
            ("secret.html", "a secret"),
        ] {
            fs::write(folder.join(file), text).unwrap();
        }
        symlink("../secret.html", folder.join("ui/link.html")).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Home { folder, port }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooring"));
        command.args(words).env("MOORING_STATE", self.folder.join("state"));
        command
    }

    fn run(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // What is refused isn't read.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn set_password(&self, password: &str) {
        let output = self.run(&["settings", "password"], &format!("{password}\n"));
        assert!(output.status.success(), "{output:?}");
    }

    fn daemon(&self) -> Running {
        let panel = self.folder.join("ui");
        let port = self.port.to_string();
        let words = ["daemon", "--listen", &port, "--panel", panel.to_str().unwrap()];
        let child = self.command(&words).stderr(Stdio::null()).spawn().unwrap();
        let running = Running::of(child);
        eventually("it listens", || TcpStream::connect(("127.0.0.1", self.port)).is_ok());
        running
    }

    fn send(&self, sent: Sent<'_>) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut head = format!("{} HTTP/1.1\r\n", sent.line);
        let host = format!("localhost:{}", self.port);
        let has = |name: &str| sent.fields.iter().any(|(each, _)| each.eq_ignore_ascii_case(name));
        if !has("Host") {
            head += &format!("Host: {host}\r\n");
        }
        for (name, value) in &sent.fields {
            head += &format!("{name}: {value}\r\n");
        }
        if !has("Content-Length") && !sent.body.is_empty() {
            head += &format!("Content-Length: {}\r\n", sent.body.len());
        }
        // What is refused needn't be read.
        let _ = stream.write_all(format!("{head}\r\n{}", sent.body).as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Answer::of(&bytes, "HTTP/1.1 ")
    }

    fn get(&self, path: &str, cookie: &str) -> Answer {
        let line = format!("GET {path}");
        self.send(Sent { line: &line, fields: vec![("Cookie", cookie)], body: "" })
    }

    /// Logs in; gives the cookie.
    fn log_in(&self) -> String {
        let answer = self.send(login(PASSWORD));
        assert_eq!(
            (answer.status, &answer.body["logged_in"]),
            (200, &true.into()),
            "{}",
            answer.text
        );
        let cookie = answer.header("set-cookie").unwrap();
        for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
            assert!(cookie.contains(&format!("; {word}")), "{cookie}");
        }
        cookie.split(';').next().unwrap().to_owned()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What the page sends.
fn post<'a>(line: &'a str, cookie: &'a str, body: &'a str) -> Sent<'a> {
    let fields = vec![
        ("Cookie", cookie),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/json"),
    ];
    Sent { line, fields, body }
}

impl<'a> Sent<'a> {
    fn field(mut self, name: &'a str, value: &'a str) -> Self {
        self.fields.retain(|(each, _)| *each != name);
        if !value.is_empty() {
            self.fields.push((name, value));
        }
        self
    }
}

fn login(password: &str) -> Sent<'static> {
    let body = serde_json::json!({ "password": password }).to_string();
    post("POST /api.cgi/v1/login", "", body.leak())
}

#[test]
fn who_knows_the_password_is_an_administrator() {
    let home = Home::new("login");
    home.set_password(PASSWORD);
    let daemon = home.daemon();
    for path in ["session", "status"] {
        let answer = home.get(&format!("/api.cgi/v1/{path}"), "mooring-session=0000");
        assert_eq!((answer.status, &answer.body["error"]["kind"]), (200, &"sign-in".into()));
    }
    let request = |cookie: &str| {
        let answer = home.send(post("POST /api.cgi/v1/request", cookie, LIST));
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.body.is_array(), answer.body["error"]["kind"] != "sign-in");
        answer.body.is_array()
    };
    assert!(!request("") && !request("mooring-session="));

    for wrong in ["", "correct horse batter", "wrong"] {
        let answer = home.send(login(wrong));
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None), "{}", answer.text);
        assert_eq!(answer.body["error"]["kind"], "sign-in");
    }
    let cookie = home.log_in();
    let session = home.get("/api.cgi/v1/session", &format!("other=1; {cookie}"));
    assert_eq!((&session.body["user"], &session.body["administrator"]), (&"".into(), &true.into()));
    assert_eq!(home.get("/api.cgi/v1/status", &cookie).body["daemon"], true);
    assert!(request(&cookie));
    let set = r#"{"request":"settings_set","key":"transfers","value":"3"}"#;
    assert_eq!(home.send(post("POST /api.cgi/v1/request", &cookie, set)).body["transfers"], 3);
    let password = r#"{"request":"password_set","password":"another one"}"#;
    let refused = home.send(post("POST /api.cgi/v1/request", &cookie, password));
    assert_eq!(refused.body["error"]["kind"], "denied", "{}", refused.text);

    let other = home.log_in();
    assert_ne!(cookie, other);
    let logout = home.send(post("POST /api.cgi/v1/logout", &cookie, "{}"));
    assert_eq!(logout.body["logged_in"], false, "{}", logout.text);
    assert!(!request(&cookie) && request(&other));
    // Another password ends all sessions.
    home.set_password("another password");
    assert!(!request(&other));
    home.set_password(PASSWORD);
    let cookie = home.log_in();
    drop(daemon);
    let _daemon = home.daemon();
    assert!(!request(&cookie));
    home.log_in();
    let off = home.run(&["settings", "password", "off"], "");
    assert!(off.status.success());
    let answer = home.send(login(PASSWORD));
    assert!(answer.text.contains("no password has been set"), "{}", answer.text);
}

#[test]
fn guesses_take_their_time_though_who_guesses_hangs_up() {
    let home = Home::new("guesses");
    home.set_password(PASSWORD);
    let _daemon = home.daemon();
    // As many as may wait.
    for _ in 0..4 {
        let mut stream = TcpStream::connect(("127.0.0.1", home.port)).unwrap();
        let body = r#"{"password":"a guess"}"#;
        write!(
            stream,
            "POST /api.cgi/v1/login HTTP/1.1\r\nHost: localhost:{}\r\nSec-Fetch-Site: same-origin\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            home.port,
            body.len()
        )
        .unwrap();
        // Time for it to be read.
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let answer = home.send(login("a guess"));
    assert_eq!(answer.body["error"]["kind"], "busy", "{}", answer.text);
    // All of them were wrong, and have been paid for.
    let mut last = answer;
    eventually("the right one is let in", || {
        last = home.send(login(PASSWORD));
        last.body["logged_in"] == true
    });
}

#[test]
fn only_a_hash_of_the_password_is_kept() {
    let home = Home::new("kept");
    for (words, input, said) in [
        (&["settings", "password"][..], "short\n", "8 characters"),
        (&["settings", "password"], "", "empty"),
        (&["settings", "password", "correct horse"], "", "can be read by everyone"),
        (&["settings", "password", "@/nowhere/at/all"], "", "/nowhere/at/all"),
    ] {
        let output = home.run(words, input);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(said), "{words:?}: {text}");
    }
    fs::write(home.folder.join("password"), PASSWORD).unwrap();
    let file = format!("@{}", home.folder.join("password").display());
    assert!(home.run(&["settings", "password", &file], "").status.success());
    let state = fs::read(home.folder.join("state/settings.redb")).unwrap();
    assert!(!state.windows(PASSWORD.len()).any(|it| it == PASSWORD.as_bytes()));
    let _daemon = home.daemon();
    home.log_in();
}

#[test]
fn what_another_site_sends_gets_nothing() {
    let home = Home::new("foreign");
    home.set_password(PASSWORD);
    let _daemon = home.daemon();
    let cookie = &home.log_in();
    let line = "POST /api.cgi/v1/request";
    let right = || post(line, cookie, LIST);
    let own = format!("http://localhost:{}", home.port);
    let large = "x".repeat(65 << 10);
    let rebound = format!("evil.example.com:{}", home.port);
    let done = |sent| home.send(sent).body.is_array();
    assert!(done(right()));
    assert!(done(right().field("Sec-Fetch-Site", "").field("Origin", &own)));
    for (what, sent, kind) in [
        ("another site", right().field("Sec-Fetch-Site", "cross-site"), "denied"),
        ("another port", right().field("Sec-Fetch-Site", "same-site"), "denied"),
        ("no word of a site", right().field("Sec-Fetch-Site", ""), "denied"),
        (
            "a foreign origin",
            right().field("Sec-Fetch-Site", "").field("Origin", "http://localhost"),
            "denied",
        ),
        ("a form", right().field("Content-Type", "application/x-www-form-urlencoded"), "denied"),
        ("no kind", right().field("Content-Type", ""), "denied"),
        ("a rebound name", right().field("Host", &rebound), "denied"),
        ("a rebound origin", right().field("Host", &rebound).field("Origin", &rebound), "denied"),
        ("another's name in ours", right().field("Host", "localhost@evil.example.com"), "denied"),
        ("a large body", post(line, cookie, &large), "usage"),
        ("a forged user", post(line, "", LIST).field("mooring-user", "admin"), "sign-in"),
        ("a login from elsewhere", login(PASSWORD).field("Sec-Fetch-Site", "cross-site"), "denied"),
        ("a login by a rebound name", login(PASSWORD).field("Host", &rebound), "denied"),
        (
            "a logout from elsewhere",
            post("POST /api.cgi/v1/logout", cookie, "{}").field("Sec-Fetch-Site", "none"),
            "denied",
        ),
        ("a preflight", Sent { line: "OPTIONS /api.cgi/v1/request", ..right() }, "denied"),
        ("another method", Sent { line: "PUT /api.cgi/v1/request", ..right() }, "denied"),
        ("no call", Sent { line: "POST /api.cgi/v1/", ..right() }, "not-found"),
        ("another spelling", Sent { line: "POST /api.cgi/v1/%72equest", ..right() }, "not-found"),
        (
            "a way around",
            Sent { line: "POST /api.cgi/v1//api.cgi/v1/request", ..right() },
            "not-found",
        ),
        (
            "a change as a question",
            Sent { line: "GET /api.cgi/v1/request", ..right() },
            "not-found",
        ),
        ("the daemon's log", Sent { line: "GET /api.cgi/v1/log", ..right() }, "not-found"),
    ] {
        let answer = home.send(sent);
        let told = (answer.status, &answer.body["error"]["kind"]);
        assert_eq!(told, (200, &kind.into()), "{what}: {}", answer.text);
        assert!(
            !answer.body.is_array() && answer.header("set-cookie").is_none(),
            "{what}: {}",
            answer.text
        );
        assert!(!answer.head.to_lowercase().contains("access-control-"), "{what}: {}", answer.head);
    }
    let socket = home.send(Sent { line: "POST /v1/request", ..right() });
    assert_eq!((socket.status, socket.text.as_str()), (404, "not found"));
    for host in ["evil.example.com", "", "localhost.evil.example.com", "10.0.0.1"] {
        let fields = vec![("Host", host), ("Cookie", cookie.as_str())];
        let answer = home.send(Sent { line: "GET /index.html", fields, body: "" });
        assert_eq!(answer.status, 403, "{host}");
    }
    assert!(done(right()));
}

#[test]
fn files_of_the_page_and_no_others_are_served() {
    let home = Home::new("files");
    let _daemon = home.daemon();
    for (path, kind, text) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>the page"),
        ("/index.html?x=1", "text/html; charset=utf-8", "<!doctype html>the page"),
        ("/page.js", "text/javascript; charset=utf-8", "the script"),
        ("/texts/enu.txt", "text/plain; charset=utf-8", "the texts"),
    ] {
        let answer = home.get(path, "");
        assert_eq!((answer.status, answer.text.as_str()), (200, text), "{path}");
        assert_eq!(answer.header("content-type"), Some(kind));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
    }
    for path in [
        "/config",
        "/api.cgi",
        "/api.cgi/",
        "/texts",
        "/../secret.html",
        "/%2e%2e/secret.html",
        "/texts/../../secret.html",
        "/link.html",
        "//index.html",
        "/state/settings.redb",
    ] {
        let answer = home.get(path, "");
        assert_eq!((answer.status, answer.text.as_str()), (404, "not found"), "{path}");
    }
}

#[test]
fn it_listens_where_it_is_told_or_says_why_not() {
    let home = Home::new("listen");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (words, said) in [
        (&["daemon", "--listen", "nonsense"][..], "neither ADDRESS:PORT nor a port"),
        (&["daemon", "--listen", "localhost:80"], "neither ADDRESS:PORT nor a port"),
        (&["daemon", "--panel", "/tmp"], "--listen is missing"),
        (&["daemon", "--listen", &address], "choose another port"),
    ] {
        let output = home.run(words, "");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(said), "{words:?}: {text}");
    }
    let help = home.run(&["daemon", "--help"], "");
    assert!(
        String::from_utf8_lossy(&help.stdout).contains("TLS is the business of a reverse proxy")
    );
}
