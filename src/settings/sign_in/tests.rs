//! What the settings file keeps of a sign-in, with a service of the tests' own.

use super::*;
use crate::remote::{Answer, Field, FieldKind, Grant, Listing, Moves, NameRule, Needed};
use crate::remote::{Remote, Service, Settings};
use crate::settings::Entered;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

static CLOUD: Descriptor = Descriptor {
    name: "cloud",
    label: "Cloud",
    fields: &[Field {
        key: "endpoint",
        label: "Address",
        help: "",
        kind: FieldKind::Url,
        needed: Needed::No,
        place: true,
    }],
    providers: &[],
    task_fields: &[],
    sign_in: Some(SIGN_IN),
    listing: Listing::Folders,
    folders_implied: false,
    moves: Moves::Trees,
    keeps_mtime: true,
    hash: None,
    folds_case: false,
    namesakes: false,
    max_size: None,
    max_path: 1000,
    names: NameRule::NONE,
    stored_bytes: None,
    bucket: None,
};

const SIGN_IN: SignIn = SignIn {
    authorize: "https://cloud.example/authorize",
    token: "https://cloud.example/token",
    scopes: &["files"],
    parameters: &[],
    answer: Answer::Redirect { loopback_port: 53682 },
    secret: false,
    instead: None,
};

struct Cloud;

impl Service for Cloud {
    fn descriptor(&self) -> &'static Descriptor {
        &CLOUD
    }

    fn open(&self, settings: &Settings, http: Http, root: &str) -> Result<Arc<dyn Remote>> {
        settings.grant()?;
        // Nobody asks it for files.
        let url = [("url".to_owned(), "http://cloud.example/".to_owned())];
        services::find("webdav")?.open(&url.into_iter().collect(), http, root)
    }
}

/// A state folder with a connection, gone when the test ends.
struct State {
    folder: PathBuf,
}

impl State {
    fn new(name: &str, endpoint: &str) -> State {
        let folder = std::env::temp_dir().join(format!("mooring-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let state = State { folder };
        let pairs = [("client-id", "app"), ("endpoint", endpoint)];
        let connection = Connection {
            name: "c".into(),
            service: "cloud".into(),
            values: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            secrets: Vec::new(),
            paused: false,
            schedule: Default::default(),
            owner: None,
        };
        let file = state.book().file;
        file.write(|change| change.put(CONNECTIONS, "c", &connection)).unwrap();
        state
    }

    fn book(&self) -> Book {
        Book::open(&self.folder).unwrap()
    }

    /// Begins a sign-in and tells the answer that a browser would end at.
    fn begin(&self, book: &Book) -> String {
        let sign_in = CLOUD.sign_in.as_ref().unwrap();
        let begun = book.begin(&book.connection("c").unwrap(), sign_in, None).unwrap();
        assert_eq!(begun.redirect.as_deref(), Some("http://127.0.0.1:53682/"));
        assert!(begun.url.contains(&begun.state));
        format!("http://127.0.0.1:53682/?code=the-code&state={}", begun.state)
    }

    fn finish(&self, book: &Book, answer: &str) -> Result<()> {
        book.finish(&book.connection("c").unwrap(), &CLOUD, Secret::new(answer.to_owned()))
    }

    fn bearer(&self, book: &Book) -> Result<String> {
        let http = Http::new(&Default::default(), Cancel::default()).unwrap();
        book.grant("c", CLOUD.sign_in.as_ref().unwrap()).bearer(&http)
    }

    fn enter(&self, book: &Book, values: &[(&str, &str)], secrets: &[(&str, &str)]) -> Connection {
        let values = values.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        let secrets =
            secrets.iter().map(|(key, value)| (key.to_string(), Secret::new(value.to_string())));
        let (values, secrets) = (values.collect(), secrets.collect());
        let entered = Entered { values, secrets, ..Entered::default() };
        book.enter(&Cloud, book.connection("c").unwrap(), entered, &[]).unwrap()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Gives `access-N` for the N-th request, and `refresh-N` if it is for a code or if it rotates.
fn giver(rotates: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            // The last field of every form.
            while !text.contains("client_id=app") {
                let length = stream.read(&mut buffer).unwrap();
                text += std::str::from_utf8(&buffer[..length]).unwrap();
            }
            let number = counted.fetch_add(1, SeqCst) + 1;
            let refresh = if rotates || text.contains("code=the-code") {
                format!(r#","refresh_token":"refresh-{number}""#)
            } else {
                String::new()
            };
            let body =
                format!(r#"{{"access_token":"access-{number}","expires_in":9999{refresh}}}"#);
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}");
            stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        }
    });
    (url, count)
}

fn holds(folder: &Path, text: &str) -> bool {
    let file = fs::read(folder.join("settings.redb")).unwrap();
    file.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn a_sign_in_is_begun_and_finished_by_two_processes() {
    let (url, count) = giver(false);
    let state = State::new("two", &url);
    let error = state.bearer(&state.book()).unwrap_err();
    assert_eq!(error.kind(), Kind::SignIn);
    assert_eq!(
        error.to_string(),
        "the sign-in of connection c: nobody has signed in yet; \
         sign in again: mooring connection authorize \"c\""
    );
    let answer = state.begin(&state.book());
    assert!(!holds(&state.folder, "verifier"), "what was begun isn't sealed");

    let book = state.book();
    let other = answer.replace("state=", "state=x");
    assert_eq!(state.finish(&book, &other).unwrap_err().kind(), Kind::Usage);
    assert_eq!(count.load(SeqCst), 0);
    state.finish(&book, &answer).unwrap();
    assert_eq!(book.connection("c").unwrap().secrets, [REFRESH_TOKEN]);
    assert!(!holds(&state.folder, "refresh-1"), "the refresh token isn't sealed");
    assert_eq!(state.bearer(&book).unwrap(), "access-2");
    let again = state.finish(&book, &answer).unwrap_err();
    assert_eq!(again.kind(), Kind::Usage, "{again}");
    assert!(again.to_string().contains("it was finished"), "{again}");

    drop(book);
    let book = state.book();
    let before = fs::read(state.folder.join("settings.redb")).unwrap();
    assert_eq!(state.bearer(&book).unwrap(), "access-3");
    assert!(before == fs::read(state.folder.join("settings.redb")).unwrap(), "it wrote");
}

#[test]
fn the_last_sign_in_that_was_begun_counts_for_half_an_hour() {
    let (url, _) = giver(false);
    let state = State::new("late", &url);
    let book = state.book();
    let old = state.begin(&book);
    let answer = state.begin(&book);
    assert!(state.finish(&book, &old).unwrap_err().to_string().contains("another sign-in"));
    let begun_before = |seconds: i64| {
        let sealed = book.file.secret("c", ATTEMPT).unwrap().unwrap().reveal();
        let pending: Pending = serde_json::from_str(&sealed).unwrap();
        let begun = unix_seconds(SystemTime::now()) - seconds;
        book.keep_attempt("c", &Pending { begun, ..pending }).unwrap();
    };
    for seconds in [31 * 60, -31 * 60] {
        begun_before(seconds);
        let error = state.finish(&book, &answer).unwrap_err();
        assert!(error.to_string().contains("30 minutes"), "{error}");
    }
    begun_before(-60);
    state.finish(&book, &answer).unwrap();
}

#[test]
fn a_replaced_refresh_token_is_the_one_of_the_next_process() {
    let (url, _) = giver(true);
    let state = State::new("rotated", &url);
    let answer = state.begin(&state.book());
    state.finish(&state.book(), &answer).unwrap();
    for _ in 0..2 {
        let book = state.book();
        let bearer = state.bearer(&book).unwrap();
        let kept = book.file.secret("c", REFRESH_TOKEN).unwrap().unwrap().reveal();
        assert_eq!(bearer.replace("access", "refresh"), kept);
    }
}

#[test]
fn all_who_ask_share_a_grant_and_a_new_sign_in_reaches_them() {
    let (url, count) = giver(false);
    let state = State::new("shared", &url);
    let book = state.book();
    state.finish(&book, &state.begin(&book)).unwrap();
    let sign_in = CLOUD.sign_in.as_ref().unwrap();
    assert!(Arc::ptr_eq(&book.grant("c", sign_in), &book.grant("c", sign_in)));
    assert_eq!(state.bearer(&book).unwrap(), "access-2");
    assert_eq!(state.bearer(&book).unwrap(), "access-2");
    state.finish(&book, &state.begin(&book)).unwrap();
    assert_eq!(state.bearer(&book).unwrap(), "access-4");
    assert_eq!(count.load(SeqCst), 4);
}

#[test]
fn a_lost_key_asks_for_a_sign_in() {
    let (url, _) = giver(false);
    let state = State::new("lost", &url);
    let book = state.book();
    state.finish(&book, &state.begin(&book)).unwrap();
    let answer = state.begin(&book);
    fs::remove_file(state.folder.join("state.key")).unwrap();
    for error in [state.bearer(&book).map(drop), state.finish(&book, &answer)] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::SignIn);
        assert_eq!(error.advice(), "sign in again: mooring connection authorize \"c\"");
    }
    state.finish(&book, &state.begin(&book)).unwrap();
    state.bearer(&book).unwrap();
}

#[test]
fn another_app_ends_the_sign_in_and_nothing_else_does() {
    let (url, _) = giver(false);
    let state = State::new("app", &url);
    let book = state.book();
    state.finish(&book, &state.begin(&book)).unwrap();
    let connection = state.enter(&book, &[("poll", "120")], &[("client-secret", "s")]);
    assert_eq!(connection.secrets, ["client-secret", REFRESH_TOKEN]);
    let begun = state.begin(&book);
    let connection = state.enter(&book, &[("client-id", "another")], &[]);
    assert_eq!(connection.secrets, ["client-secret"]);
    assert!(book.file.secret("c", REFRESH_TOKEN).unwrap().is_none());
    assert_eq!(state.bearer(&book).unwrap_err().kind(), Kind::SignIn);
    assert_eq!(state.finish(&book, &begun).unwrap_err().kind(), Kind::Usage);
    // Both at once come from elsewhere.
    let both = state.enter(&book, &[("client-id", "app")], &[(REFRESH_TOKEN, "made elsewhere")]);
    assert_eq!(both.secrets, ["client-secret", REFRESH_TOKEN]);
    state.bearer(&book).unwrap();
    book.remove_connection("c").unwrap();
    assert!(book.file.secret("c", REFRESH_TOKEN).unwrap().is_none());
}

#[test]
fn what_is_no_address_is_no_redirect() {
    let state = State::new("redirect", "http://127.0.0.1:1");
    let book = state.book();
    let connection = book.connection("c").unwrap();
    let sign_in = CLOUD.sign_in.as_ref().unwrap();
    for redirect in ["", "nas.example.com", "ftp://h/", "https://", "https://h/ö", "http://h/\n"] {
        let error = book.begin(&connection, sign_in, Some(redirect.into())).map(drop).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage, "{redirect}");
    }
    let own = "https://nas.example.com/mooring".to_owned();
    let begun = book.begin(&connection, sign_in, Some(own.clone())).unwrap();
    assert_eq!(begun.redirect, Some(own));
}
