//! The services that people sign in to and that tell what changed, through the real program against
//! fakes of them.
//!
//! Nothing here sleeps to be safe or asserts a time: a condition is polled for until it holds.

use crate::common::contract::pattern;
use crate::common::pair::{Pair, Peer, eventually};
use crate::common::peers::{self, FakePeer};
use crate::common::relay::Relay;
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::SystemTime;

/// Sent in several parts.
const LARGE: usize = 20 << 20;

const SIGN_IN_AGAIN: &str = "mooring connection authorize";

/// The services, each with files of its own, so that a test may make faults for all there is.
fn alone() -> Vec<Peer> {
    vec![google_drive_alone(), dropbox_alone()]
}

fn dropbox_alone() -> Peer {
    kept(peers::new_dropbox())
}

fn google_drive_alone() -> Peer {
    kept(peers::new_google_drive())
}

/// The services, with files that other tests share.
fn shared() -> Vec<Peer> {
    peers::fakes().into_iter().map(Peer::Fake).collect()
}

/// To the end of the process, as is what runs it.
fn kept(fake: FakePeer) -> Peer {
    Peer::Fake(Box::leak(Box::new(fake)))
}

fn control(pair: &Pair, what: &str, body: Value) -> Value {
    let Peer::Fake(fake) = pair.peer else { panic!("{} isn't a fake", pair.peer.name()) };
    fake.control(what, body)
}

/// Code, standard output and standard error.
struct Ended {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Ended {
    fn of(output: Output) -> Ended {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ended = Ended {
            code: output.status.code(),
            out: text(output.stdout),
            errors: text(output.stderr),
        };
        assert!(!ended.errors.contains("panicked"), "{}", ended.errors);
        ended
    }

    #[track_caller]
    fn with(self, code: i32, words: &[&str]) -> Ended {
        let text = format!("{}{}", self.out, self.errors);
        assert_eq!(self.code, Some(code), "{text}");
        for word in words {
            assert!(text.contains(word), "it didn't say {word:?}: {text}");
        }
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

fn run(pair: &Pair, args: &[&str]) -> Ended {
    Ended::of(pair.run(args))
}

/// Runs a command that reads this from its standard input.
fn tell(pair: &Pair, args: &[&str], input: &str) -> Ended {
    let mut command = pair.command(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that doesn't want it may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    Ended::of(child.wait_with_output().unwrap())
}

/// A request of a browser: the address that it is sent to next, and what it is shown.
fn browse(url: &str) -> (Option<String>, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    let agent = ureq::Agent::from(config.proxy(None).build());
    let mut reply = agent.get(url).call().unwrap();
    let next = reply.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    (next, reply.body_mut().read_to_string().unwrap())
}

/// Begins a sign-in.
fn begin(pair: &Pair) -> Value {
    let begun = run(pair, &["connection", "authorize", "cloud", "--json"]).with(3, &[]).json();
    assert_eq!(begun["needed"], true, "{begun}");
    begun
}

/// What a person brings back who agrees to this sign-in in a browser.
fn agree(begun: &Value) -> String {
    let (next, shown) = browse(begun["url"].as_str().unwrap());
    match next {
        Some(address) => {
            assert!(address.starts_with(begun["redirect"].as_str().unwrap()), "{address}");
            assert_eq!(begun["answer"], "address");
            address
        }
        None => {
            assert_eq!(begun["answer"], "code");
            shown.strip_prefix("code: ").unwrap_or_else(|| panic!("{shown}")).to_owned()
        }
    }
}

fn answer(pair: &Pair, answer: &str) -> Ended {
    tell(pair, &["connection", "authorize", "cloud", "--answer", "-"], answer)
}

/// Signs in, as a person does.
fn sign_in(pair: &Pair) {
    answer(pair, &agree(&begin(pair))).with(0, &["signed in"]);
}

fn connection(pair: &Pair) -> Value {
    run(pair, &["connection", "show", "cloud", "--json"]).with(0, &[]).json()
}

/// The names of all files below a folder.
fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files
}

/// What is secret of a sign-in isn't in this; `code` is one that was used.
#[track_caller]
fn keeps_secrets(what: &str, bytes: &[u8], code: &str) {
    let text = String::from_utf8_lossy(bytes);
    for secret in ["tester-secret", "tester-refresh", "access-", code] {
        // That is the name of a setting of another service, which help may name.
        let text = text.replace("access-key", "");
        assert!(!text.contains(secret), "{what} tells {secret}");
    }
    // The fakes' refresh tokens begin like the name of the setting that holds them.
    for (at, word) in text.match_indices("refresh-") {
        let rest = &text[at + word.len()..];
        assert!(rest.starts_with("token"), "{what} tells a refresh token");
    }
}

/// The part of an answer that is the code.
fn code_in(answer: &str) -> &str {
    answer.split_once("code=").map_or(answer, |(_, code)| code.split('&').next().unwrap())
}

#[test]
fn a_person_signs_in() {
    for peer in alone() {
        let pair = Pair::new(peer, &[]);
        pair.write("mine", "mine");
        pair.done(&["connection", "set", "cloud", "--secret", "refresh-token="]);
        for line in [["connection", "test", "cloud"].as_slice(), &["sync", "docs"]] {
            run(&pair, line).with(3, &["nobody has signed in yet", SIGN_IN_AGAIN]);
        }
        assert_eq!(connection(&pair)["signed_in"], false);
        answer(&pair, "code").with(2, &["none was begun", SIGN_IN_AGAIN]);
        if peer.name() == "dropbox" {
            let line = ["connection", "authorize", "cloud", "--listen"];
            run(&pair, &line).with(2, &["its service shows a code", "leave --listen out"]);
        }

        // What goes wrong changes nothing.
        let before = connection(&pair);
        let begun = begin(&pair);
        let state = begun["state"].as_str().unwrap();
        let denied = format!("http://127.0.0.1:53682/?error=access_denied&state={state}");
        answer(&pair, &denied).with(3, &["refused there", "access_denied", SIGN_IN_AGAIN]);
        let other = "http://127.0.0.1:53682/?code=other&state=other";
        answer(&pair, other).with(2, &["answer to another sign-in", SIGN_IN_AGAIN]);
        answer(&pair, "no code").with(2, &["there is no code in this"]);
        let unknown = format!("http://127.0.0.1:53682/?code=unknown&state={state}");
        answer(&pair, &unknown).with(3, &[SIGN_IN_AGAIN]);
        assert_eq!(connection(&pair), before);
        run(&pair, &["connection", "test", "cloud"]).with(3, &["nobody has signed in yet"]);

        let given = agree(&begun);
        let ended = answer(&pair, &given).with(0, &["Connection cloud is signed in"]);
        keeps_secrets("the answer", ended.out.as_bytes(), code_in(&given));
        let shown = connection(&pair);
        assert_eq!(
            (&shown["signed_in"], &shown["settings"]["refresh-token"]),
            (&true.into(), &"(sealed)".into())
        );
        keeps_secrets("connection show", shown.to_string().as_bytes(), code_in(&given));
        run(&pair, &["connection", "test", "cloud"]).with(0, &["works"]);
        pair.sync();
        pair.is_equal();

        // An answer is good once, and spoils nothing.
        answer(&pair, &given).with(2, &["it was finished", SIGN_IN_AGAIN]);
        let again = begin(&pair);
        let reused =
            format!("?code={}&state={}", code_in(&given), again["state"].as_str().unwrap());
        let ended = answer(&pair, &reused).with(3, &[SIGN_IN_AGAIN]);
        keeps_secrets("an error", ended.errors.as_bytes(), code_in(&given));
        assert_eq!(connection(&pair), shown);
        pair.sync();

        let mut daemon = pair.daemon();
        eventually("the task is idle", || pair.status()["tasks"][0]["state"] == "idle");
        assert!(!daemon.has_ended());
        control(&pair, "revoke", json!({}));
        let ended = run(&pair, &["sync", "docs"]).with(3, &[SIGN_IN_AGAIN]);
        keeps_secrets("an error", ended.errors.as_bytes(), code_in(&given));
        daemon.signal("TERM");
        let (_, log) = daemon.end();
        keeps_secrets("the log", log.as_bytes(), code_in(&given));
        for file in files_below(&pair.state()) {
            keeps_secrets(&file.display().to_string(), &fs::read(&file).unwrap(), code_in(&given));
        }
    }
}

#[test]
fn a_browser_on_this_machine_brings_the_answer_itself() {
    let peer = Peer::Fake(peers::google_drive());
    let pair = Pair::new(peer, &[]);
    pair.done(&["connection", "set", "cloud", "--secret", "refresh-token="]);
    // The port is a fixed one: somebody else on this machine may have it at the moment.
    eventually("the browser's answer is heard", || {
        let mut command = pair.command(&["connection", "authorize", "cloud", "--listen"]);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let lines = out.by_ref().lines().map(Result::unwrap);
        let mut told = lines.take_while(|line| !line.contains("waits for it there"));
        let url = told.find(|line| line.trim().starts_with("http"));
        let Some(url) = url else {
            let ended = Ended::of(child.wait_with_output().unwrap());
            ended.with(1, &["leave --listen out"]);
            return false;
        };
        // It listens before it shows the address.
        let (next, _) = browse(url.trim());
        let (_, shown) = browse(&next.unwrap());
        assert!(shown.contains("You can close this window"), "{shown}");
        let rest: Vec<_> = out.lines().map(Result::unwrap).collect();
        assert!(rest.iter().any(|line| line.contains("is signed in")), "{rest:?}");
        Ended::of(child.wait_with_output().unwrap()).with(0, &[]);
        true
    });
    run(&pair, &["connection", "test", "cloud"]).with(0, &[]);
}

/// Requests that send a whole file.
fn uploads(relay: &Relay) -> usize {
    let starts = ["POST /upload/drive/v3/files?uploadType=multipart", "POST /2/files/upload "];
    let requests = relay.requests();
    requests.iter().filter(|line| starts.iter().any(|start| line.starts_with(start))).count()
}

/// Files that take a while, one after the other.
fn write_many(pair: &Pair, folder: &str) -> usize {
    const MANY: usize = 150;
    for number in 0..MANY {
        pair.write(&format!("{folder}/{number}"), pattern(10_000, number as u8));
    }
    MANY
}

#[test]
fn a_sync_whose_sign_in_is_revoked_goes_on_where_it_was() {
    for peer in alone() {
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), &[]);
        pair.done(&["settings", "transfers", "1"]);
        let many = write_many(&pair, "cli");
        let syncing = pair.start(&["sync", "docs"]);
        eventually("some files are sent", || uploads(&relay) > 3);
        control(&pair, "revoke", json!({}));
        let (done, said) = syncing.end();
        assert!(!done && said.contains("sign in again"), "{said}");
        assert!(said.contains(SIGN_IN_AGAIN), "{said}");
        let there = pair.remote_tree().len() - 1;
        assert!((3..many).contains(&there), "{there} files were sent");
        run(&pair, &["sync", "docs"]).with(3, &["sign in again", SIGN_IN_AGAIN]);
        assert_eq!(pair.local_tree().len(), many + 1);

        sign_in(&pair);
        let before = uploads(&relay);
        let report = pair.sync();
        assert_eq!(uploads(&relay) - before, many - there, "{report}");
        assert_eq!(pair.is_equal().len(), many + 1);
    }
}

#[test]
fn a_daemon_whose_sign_in_is_revoked_goes_on_where_it_was() {
    for peer in alone() {
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), &[]);
        pair.done(&["settings", "transfers", "1"]);
        let many = write_many(&pair, "daemon");
        let _daemon = pair.daemon();
        let task = |key: &str| pair.status()["tasks"][0][key].clone();
        eventually("some files are sent", || uploads(&relay) > 3);
        control(&pair, "revoke", json!({}));
        eventually("the task is held", || task("state") == "held");
        let message = task("message").as_str().unwrap().to_owned();
        assert!(message.contains("sign in again") && message.contains(SIGN_IN_AGAIN), "{message}");
        let shown = run(&pair, &["status"]).with(0, &["held", SIGN_IN_AGAIN]);
        keeps_secrets("status", shown.out.as_bytes(), "tester-refresh");
        let there = pair.remote_tree().len() - 1;
        assert!((3..many).contains(&there), "{there} files were sent");

        let before = uploads(&relay);
        sign_in(&pair);
        eventually("the task is idle", || task("state") == "idle");
        assert_eq!(task("message"), Value::Null);
        assert_eq!(uploads(&relay) - before, many - there);
        assert_eq!(pair.is_equal().len(), many + 1);
    }
}

#[test]
fn refresh_tokens_that_are_replaced_with_each_use_are_never_lost() {
    for peer in alone() {
        let pair = Pair::new(peer, &[]);
        control(&pair, "rotate", json!({ "on": true }));
        let more = pair.local.with_file_name("more");
        fs::create_dir(&more).unwrap();
        let remote = pair.there("../more").replace("docs/../", "");
        let line = ["task", "add", "more", "--connection", "cloud", "--remote", &remote, "--local"];
        pair.done(&[&line[..], &[more.to_str().unwrap()]].concat());
        for round in 0..3 {
            pair.write(&format!("cli {round}"), "docs");
            fs::write(more.join(format!("cli {round}")), "more").unwrap();
            for task in ["docs", "more"] {
                control(&pair, "expire", json!({}));
                run(&pair, &["sync", task]).with(0, &["1 uploaded"]);
            }
        }
        let is_there = |path: &str| {
            let tree = control(&pair, "tree", json!({ "path": remote }));
            tree.as_object().unwrap().keys().any(|at| at.ends_with(path))
        };
        for round in 0..3 {
            let daemon = pair.daemon();
            for step in 0..3 {
                control(&pair, "expire", json!({}));
                let name = format!("daemon {round} {step}");
                pair.write(&name, "docs");
                fs::write(more.join(&name), "more").unwrap();
                run(&pair, &["connection", "test", "cloud"]).with(0, &[]);
                eventually("docs is synced", || pair.remote(&name).is_some());
                eventually("more is synced", || is_there(&format!("/{name}")));
            }
            daemon.signal("TERM");
            let (ended, log) = daemon.end();
            assert!(ended, "{log}");
            control(&pair, "expire", json!({}));
            for task in ["docs", "more"] {
                run(&pair, &["sync", task]).with(0, &[]);
            }
        }
        pair.is_equal();
    }
}

/// What the state of the only task is: its bytes, and when they were written.
fn state_of(pair: &Pair) -> (Vec<u8>, SystemTime) {
    let file = pair.state().join("tasks/1.redb");
    (fs::read(&file).unwrap(), fs::metadata(&file).unwrap().modified().unwrap())
}

#[test]
fn a_daemon_without_news_asks_google_drive_once_a_poll_and_writes_nothing() {
    let peer = google_drive_alone();
    let relay = peer.relay();
    let pair = Pair::through(peer, Some(&relay), &[]);
    pair.write("ours", "ours");
    pair.put(&[("theirs", Some(b"theirs"))]);
    let _daemon = pair.daemon();
    eventually("both sides are there", || {
        pair.read("theirs").is_some() && pair.remote("ours").is_some()
    });
    let asks = || {
        relay.requests().into_iter().rev().take_while(|it| it.starts_with("GET /drive/v3/changes?"))
    };
    eventually("nothing but changes is asked for", || asks().count() > 2);
    let (before, count) = (state_of(&pair), relay.requests().len());
    eventually("it has asked some more times", || relay.requests().len() > count + 2);
    let asked = relay.requests().split_off(count);
    assert!(asked.iter().all(|it| it.starts_with("GET /drive/v3/changes?")), "{asked:?}");
    assert!(state_of(&pair) == before, "the state was written");

    pair.put(&[("news", Some(b"news"))]);
    eventually("the news is here", || pair.read("news") == Some(b"news".into()));
}

/// The file's inode: a file that is moved keeps it.
fn inode(pair: &Pair, path: &str) -> u64 {
    fs::metadata(pair.local.join(path)).unwrap().ino()
}

#[test]
fn a_large_folder_that_is_renamed_is_moved_and_nothing_in_it_transferred() {
    const FOLDERS: usize = 20;
    const FILES: usize = 2_000;
    for peer in shared() {
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), &[]);
        pair.done(&["settings", "transfers", "8"]);
        let folder = pair.there("old");
        let many = json!({ "folder": folder, "folders": FOLDERS, "files_each": FILES / FOLDERS });
        control(&pair, "many", many);
        assert_eq!(pair.sync()["downloaded"], FILES);
        let file = pair.local_tree().into_iter().find(|(_, content)| content.is_some()).unwrap().0;
        let before = inode(&pair, &file);

        pair.rename_there("old", "else where/new");
        let report = pair.sync();
        assert_eq!((&report["moved"], &report["downloaded"]), (&1.into(), &0.into()), "{report}");
        assert_eq!(inode(&pair, &file.replacen("old", "else where/new", 1)), before);

        pair.rename("else where/new", "here");
        let count = relay.requests().len();
        let report = pair.sync();
        assert_eq!((&report["moved"], &report["uploaded"]), (&1.into(), &0.into()), "{report}");
        let writes = relay.writes_since(count);
        assert_eq!(writes.len(), 1, "{writes:?}");
        assert!(control(&pair, "tree", json!({ "path": pair.there("here") })).is_object());
        assert_eq!(pair.sync()["moved"], 0);
    }
}

#[test]
fn a_daemon_waits_for_dropbox_and_asks_nothing_meanwhile() {
    let peer = Peer::Fake(peers::dropbox());
    let relay = peer.relay();
    let pair = Pair::through(peer, Some(&relay), &[]);
    // What comes comes by waiting: nobody polls within the time of this test.
    pair.done(&["connection", "set", "cloud", "--set", "poll=86400"]);
    // Nothing is sent: Dropbox would tell of it at once, as of all that changes.
    pair.put(&[("theirs", Some(b"theirs"))]);
    let _daemon = pair.daemon();
    eventually("the remote file is here", || pair.read("theirs").is_some());
    let waits = || {
        let last = relay.requests().pop();
        last.is_some_and(|line| line.starts_with("POST /2/files/list_folder/longpoll"))
    };
    for round in 0..3 {
        eventually("it waits", waits);
        let (before, count) = (state_of(&pair), relay.requests().len());
        // Time to get it wrong: the daemon answers others meanwhile.
        for _ in 0..5 {
            assert_eq!(pair.status()["tasks"][0]["state"], "idle");
        }
        assert!(state_of(&pair) == before, "the state was written");
        assert_eq!(relay.requests().len(), count, "{:?}", relay.requests());
        let name = format!("theirs {round}");
        pair.put(&[(&name, Some(b"theirs"))]);
        eventually("the news is here", || pair.read(&name) == Some(b"theirs".into()));
    }
}

#[test]
fn a_daemon_with_nothing_to_do_sleeps_in_every_thread() {
    // The polls of another daemon, one a second, tell the time.
    let relay = Peer::Fake(peers::google_drive()).relay();
    let clock = Pair::through(Peer::Fake(peers::google_drive()), Some(&relay), &[]);
    let _clock = clock.daemon();
    let pass = |polls: usize| {
        let end = relay.requests().len() + polls;
        eventually("the clock goes on", || relay.requests().len() >= end);
    };
    for (peer, threads) in
        [(google_drive_alone(), &["mooring"][..]), (dropbox_alone(), &["listening", "mooring"])]
    {
        let pair = Pair::new(peer, &[]);
        pair.done(&["connection", "set", "cloud", "--set", "poll=86400"]);
        pair.write("ours", "ours");
        let daemon = pair.daemon();
        eventually("it is there", || pair.remote("ours").is_some());
        let status = || pair.status()["tasks"][0].clone();
        eventually("the task is idle", || status()["state"] == "idle");
        eventually("it has come to rest", || {
            let before = daemon.sleeps();
            pass(2);
            daemon.sleeps() == before
        });
        let before = daemon.sleeps();
        pass(5);
        let after = daemon.sleeps();
        assert_eq!(before, after);
        assert!(after.keys().eq(threads), "{after:?}");
        assert_eq!(status()["counts"]["local_files"], 1, "{}", status());
    }
}

/// The counts of a report that aren't 0.
fn counts(report: &Value) -> Vec<(String, u64)> {
    let report = report.as_object().unwrap().iter();
    let counts = report.filter(|(key, _)| {
        !["bytes_up", "bytes_down", "requests", "seconds"].contains(&key.as_str())
    });
    let counts = counts.filter_map(|(key, count)| Some((key.clone(), count.as_u64()?)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// What is skipped and why, by path.
fn skipped(pair: &Pair) -> Vec<(String, String)> {
    let shown = run(pair, &["task", "show", "docs", "--json"]).with(0, &[]).json();
    let skipped = shown["details"]["skipped"].as_array().unwrap().clone();
    let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    skipped.iter().map(|item| (text(item, "path"), text(item, "reason"))).collect()
}

fn put_documents(pair: &Pair) {
    for kind in ["document", "spreadsheet", "presentation", "drawing", "form"] {
        let more = json!({ "kind": kind, "text": format!("a {kind}") });
        pair.control_at("document", kind, more);
    }
    pair.put(&[("file", Some(b"file"))]);
    pair.control_at("shortcut", "shortcut", json!({ "target": pair.there("file") }));
}

#[test]
fn online_documents_and_shortcuts_are_left_out_and_listed() {
    let pair = Pair::new(Peer::Fake(peers::google_drive()), &[]);
    put_documents(&pair);
    let report = pair.sync();
    assert_eq!(counts(&report), [("downloaded".into(), 1), ("skipped".into(), 6)]);
    assert_eq!(pair.local_tree().into_keys().collect::<Vec<_>>(), ["file"]);
    for (path, reason) in skipped(&pair) {
        let expected = match path.as_str() {
            "shortcut" => "it is a shortcut to another item",
            _ => "it is an online document, not a file",
        };
        assert_eq!(reason, expected, "{path}");
    }
    assert_eq!(skipped(&pair).len(), 6);
    assert_eq!(counts(&pair.sync()), [("skipped".into(), 6)]);
    let line = ["task", "set", "docs", "--set", "documents=convert"];
    run(&pair, &line).with(2, &["documents", "download"]);
    let there = control(&pair, "tree", json!({ "path": pair.there("") }));
    assert_eq!(there.as_object().unwrap().len(), 7);
}

#[test]
fn online_documents_are_converted_where_a_task_only_downloads() {
    let flags = ["--direction", "download", "--set", "documents=convert"];
    let pair = Pair::new(Peer::Fake(peers::google_drive()), &flags);
    put_documents(&pair);
    // How long a document is, nobody knows before.
    let plan: Value = serde_json::from_str(&pair.done(&["plan", "docs", "--json"])).unwrap();
    let bytes: u64 =
        plan["intents"].as_array().unwrap().iter().map(|it| it["bytes"].as_u64().unwrap()).sum();
    assert_eq!(bytes, 4, "{plan}");
    assert_eq!(pair.sync()["downloaded"], 5);
    let names: Vec<_> = pair.local_tree().into_keys().collect();
    let expected =
        ["document.docx", "drawing.jpg", "file", "presentation.pptx", "spreadsheet.xlsx"];
    assert_eq!(names, expected);
    let mut left: Vec<_> = skipped(&pair).into_iter().map(|(path, _)| path).collect();
    left.sort();
    assert_eq!(left, ["form", "shortcut"]);
    assert_eq!(counts(&pair.sync()), [("skipped".into(), 2)]);

    let before = pair.read("document.docx");
    pair.control_at("document", "document", json!({ "text": "edited" }));
    assert_eq!(pair.sync()["downloaded"], 1);
    assert_ne!(pair.read("document.docx"), before);
    run(&pair, &["task", "set", "docs", "--direction", "both"]).with(2, &["documents", "download"]);
}

#[test]
fn two_files_of_one_name_both_arrive_and_stay() {
    let pair = Pair::new(Peer::Fake(peers::google_drive()), &[]);
    pair.put(&[("docs/note.txt", Some(b"first"))]);
    pair.control_at("twin", "docs/note.txt", json!({ "text": "second" }));
    assert_eq!(counts(&pair.sync()), [("downloaded".into(), 2)]);
    let local = pair.local_tree();
    let names: Vec<_> = local.keys().map(String::as_str).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(pair.read("docs/note.txt"), Some(b"first".into()));
    let other = names.into_iter().find(|name| name.starts_with("docs/note (")).unwrap();
    assert_eq!(pair.read(other), Some(b"second".into()));
    let there = pair.remote_tree();
    for _ in 0..2 {
        assert_eq!(counts(&pair.sync()), []);
    }
    assert!(pair.local_tree() == local && pair.remote_tree() == there);
    assert_eq!(there.len(), 3);

    // An edit reaches the one that it is of.
    pair.write(other, "second, edited");
    assert_eq!(counts(&pair.sync()), [("uploaded".into(), 1)]);
    let contents: Vec<_> = pair.remote_tree().into_values().flatten().collect();
    assert_eq!(contents.len(), 2);
    assert!(
        contents.contains(&b"first".to_vec()) && contents.contains(&b"second, edited".to_vec())
    );
}

#[test]
fn of_two_names_that_are_one_to_dropbox_one_is_synced_and_the_other_told() {
    let peer = Peer::Fake(peers::dropbox());
    let relay = peer.relay();
    let pair = Pair::through(peer, Some(&relay), &[]);
    pair.write("A.txt", "upper");
    pair.write("beside", "beside");
    pair.sync();
    pair.write("a.txt", "lower");
    let mut costs = Vec::new();
    for _ in 0..3 {
        let before = relay.requests().len();
        let ended = run(&pair, &["sync", "docs", "--json"]);
        costs.push(relay.requests().len() - before);
        let report = ended.with(1, &["rename one of them"]).json();
        assert_eq!(report["errors"], 1, "{report}");
        assert_eq!(report["problems"][0]["path"], "a.txt", "{report}");
        assert_eq!(pair.read("a.txt"), Some(b"lower".into()));
        assert_eq!(pair.read("A.txt"), Some(b"upper".into()));
        assert_eq!(pair.remote_tree().len(), 2);
    }
    // The token, the root, what changed, one try because a person asks, and what is in its way.
    assert!(costs[2] <= 5, "{costs:?} {:?}", relay.requests());

    // A daemon doesn't try it over and over.
    let _daemon = pair.daemon();
    eventually("the daemon is idle", || pair.status()["tasks"][0]["state"] == "idle");
    let before = relay.writes_since(0).len();
    pair.write("news", "news");
    eventually("the news is there", || pair.remote("news").is_some());
    pair.put(&[("other news", Some(b"news"))]);
    eventually("other news is here", || pair.read("other news").is_some());
    assert_eq!(relay.writes_since(0).len() - before, 1, "{:?}", relay.writes_since(0));

    pair.rename("a.txt", "b.txt");
    eventually("both are there", || pair.remote("b.txt") == Some(b"lower".into()));
    assert_eq!(pair.remote("A.txt"), Some(b"upper".into()));

    // Nor does it wait for a person's word once the name is free.
    pair.write("NEWS", "loud");
    let problem = || pair.status()["tasks"][0]["counts"]["problems"] == 1;
    eventually("the daemon has tried it", problem);
    pair.rename("news", "renamed");
    eventually("both are there", || pair.remote("NEWS") == Some(b"loud".into()));
    assert_eq!(pair.remote("renamed"), Some(b"news".into()));
    eventually("there is no problem left", || !problem());
    pair.is_equal();
}

#[test]
fn names_that_dropbox_does_not_take_are_left_out_with_their_reason() {
    let pair = Pair::new(Peer::Fake(peers::dropbox()), &[]);
    let names = [
        ("back\\slash", "the character \\ isn't allowed in its path"),
        ("ends with a space ", "the service doesn't take its name"),
        (".dropbox", "the service doesn't take its name"),
        ("is .dropbox too", "the service doesn't take its name"),
        (".cache", "the service doesn't take its name"),
    ];
    for (name, _) in names {
        pair.write(&format!("folder/{name}"), name);
    }
    pair.write("folder/fine", "fine");
    for round in 0..2 {
        let done = (round == 0).then(|| ("uploaded".into(), 1));
        let expected: Vec<_> =
            [("skipped".into(), names.len() as u64)].into_iter().chain(done).collect();
        assert_eq!(counts(&pair.sync()), expected);
    }
    let mut told = skipped(&pair);
    told.sort();
    let mut expected: Vec<_> =
        names.map(|(name, reason)| (format!("folder/{name}"), reason.to_owned())).into();
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(pair.remote_tree().into_keys().collect::<Vec<_>>(), ["folder", "folder/fine"]);
}

/// Beginnings of requests for the same thing.
struct Calls {
    upload: &'static str,
    part: &'static str,
    make_folder: &'static str,
    changes: &'static str,
}

fn calls(peer: Peer) -> Calls {
    match peer.name() {
        "google-drive" => Calls {
            upload: "POST /upload/drive/v3/files?uploadType=multipart",
            part: "PUT /upload/drive/v3/files",
            make_folder: "POST /drive/v3/files?",
            changes: "GET /drive/v3/changes?",
        },
        _ => Calls {
            upload: "POST /2/files/upload",
            part: "POST /2/files/upload_session/append",
            make_folder: "POST /2/files/create_folder",
            changes: "POST /2/files/list_folder/continue",
        },
    }
}

/// What the request for a file's bytes begins with.
fn download(pair: &Pair, path: &str) -> String {
    if pair.peer.name() == "dropbox" {
        return "POST /2/files/download".into();
    }
    let listed = control(pair, "tree", json!({ "path": pair.there("") }));
    let id = listed[format!("/{path}")]["id"].as_str().unwrap().to_owned();
    format!("GET /drive/v3/files/{id}?")
}

/// Both sides become the same in one sync, with everything that was written, and stay it.
#[track_caller]
fn finishes(pair: &Pair, wrote: &[&str]) {
    let report = pair.sync();
    let tree = pair.is_equal();
    for path in wrote {
        assert!(tree.contains_key(*path), "{path} is lost: {report}");
    }
    assert_eq!(counts(&pair.sync()), [], "{}", pair.peer.name());
}

fn each_alone(test: fn(&Pair)) {
    for peer in alone() {
        let pair = Pair::new(peer, &[]);
        pair.write("ours", "ours");
        pair.put(&[("theirs", Some(b"theirs")), ("folder/in it", Some(b"in it"))]);
        pair.sync();
        test(&pair);
    }
}

#[test]
fn a_feed_that_forgets_or_shuffles_loses_and_doubles_nothing() {
    each_alone(|pair| {
        let is_dropbox = pair.peer.name() == "dropbox";
        for round in 0..2 {
            control(pair, if is_dropbox { "reset" } else { "forget_tokens" }, json!({}));
            let (news, gone) = (format!("news {round}"), ["theirs", "ours"][round]);
            pair.put(&[(&news, Some(b"news"))]);
            pair.remove_there(gone);
            let report = pair.sync();
            let expected = [("deleted_local".into(), 1), ("downloaded".into(), 1)];
            assert_eq!(counts(&report), expected, "{report}");
            pair.is_equal();
        }
        for round in 0..2 {
            let order = ["add-first", "delete-first"][round];
            match is_dropbox {
                true => control(pair, "order", json!({ "order": order })),
                false => control(pair, "reorder", json!({ "on": true })),
            };
            let folder = format!("{round}/a/b/c");
            for number in 0..10 {
                pair.put(&[(&format!("{folder}/{number}"), Some(b"text"))]);
            }
            pair.sync();
            pair.rename_there(&folder, &format!("{round}/moved"));
            pair.put(&[(&format!("{folder}/in its place"), Some(b"new"))]);
            pair.remove_there(&format!("{round}/moved/7"));
            pair.rename_there(&format!("{round}/moved/8"), &format!("{round}/8"));
            let report = pair.sync();
            assert_eq!(report["downloaded"], 1, "{report}");
            let tree = pair.is_equal();
            assert!(tree.contains_key(&format!("{round}/moved/9")), "{:?}", tree.keys());
            assert_eq!(counts(&pair.sync()), []);
        }
    });
}

#[test]
fn what_is_outside_of_a_task_is_nothing_to_it() {
    each_alone(|pair| {
        let outside = pair.there("x").replace("docs/x", "outside");
        control(pair, "put", json!({ "path": format!("{outside}/deep/file"), "text": "outside" }));
        if pair.peer.name() == "google-drive" {
            // In no folder that this account sees.
            control(pair, "shared", json!({ "name": "shared", "text": "shared" }));
        }
        assert_eq!(counts(&pair.sync()), []);
        let to = pair.there("from outside");
        control(pair, "move", json!({ "path": format!("{outside}/deep"), "to": to }));
        assert_eq!(pair.sync()["downloaded"], 1);
        assert_eq!(pair.read("from outside/file"), Some(b"outside".into()));
        let folder = pair.there("folder");
        control(pair, "move", json!({ "path": folder, "to": format!("{outside}/folder") }));
        pair.sync();
        assert_eq!(pair.read("folder/in it"), None);
        finishes(pair, &["ours", "theirs", "from outside/file"]);
    });
}

#[test]
fn bytes_that_arrive_otherwise_are_fetched_again() {
    each_alone(|pair| {
        pair.put(&[("new", Some(b"as they wrote it"))]);
        let fault = json!({ "match": download(pair, "new"), "corrupt": true, "times": 1 });
        control(pair, "fault", fault);
        let words = ["new: downloading", "don't have the service's hash", "tries again by itself"];
        run(pair, &["sync", "docs"]).with(1, &words);
        assert_eq!(pair.read("new"), None);
        finishes(pair, &["new", "ours", "theirs"]);
    });
}

#[test]
fn an_upload_whose_session_is_lost_begins_anew() {
    each_alone(|pair| {
        pair.write("large", pattern(LARGE, 1));
        pair.write("small", "small");
        let cut =
            json!({ "match": calls(pair.peer).part, "after": 1, "times": 99, "cut_request": 1000 });
        control(pair, "fault", cut);
        let words = ["1 uploaded", "large: uploading", "check the network"];
        run(pair, &["sync", "docs"]).with(1, &words);
        assert_eq!(pair.remote("large"), None);
        control(pair, "clear", json!({}));
        control(pair, "drop_sessions", json!({}));
        finishes(pair, &["large", "small", "ours", "theirs"]);
        assert!(pair.remote("large") == Some(pattern(LARGE, 1)));
    });
}

#[test]
fn a_service_that_is_busy_is_waited_for_or_come_back_to() {
    each_alone(|pair| {
        let Calls { upload, changes, .. } = calls(pair.peer);
        let refuse = |start: &str, times: u32, for_long: bool| match pair.peer.name() {
            "dropbox" => {
                let seconds = if for_long { 7200 } else { 1 };
                control(pair, "busy", json!({ "match": start, "times": times, "seconds": seconds }))
            }
            _ => {
                let reason = if for_long { "dailyLimitExceeded" } else { "userRateLimitExceeded" };
                let error =
                    json!({ "code": 403, "message": reason, "errors": [{ "reason": reason }] });
                let body = json!({ "error": error });
                let fault = json!({ "match": start, "times": times, "status": 403, "body": body });
                control(pair, "fault", fault)
            }
        };
        pair.write("new", "new");
        pair.put(&[("news", Some(b"news"))]);
        refuse(changes, 1, false);
        refuse(upload, 1, false);
        let plain = json!({ "match": upload, "times": 1, "status": 503, "body": "<html>" });
        control(pair, "fault", plain);
        finishes(pair, &["new", "news"]);

        for start in [upload, changes] {
            pair.write("newer", start);
            refuse(start, 99, true);
            let why = match pair.peer.name() {
                "dropbox" => "the service is busy",
                _ => "used up the requests that Google allows it for a day",
            };
            let what = if start == upload { "newer: uploading" } else { "asking for changes" };
            run(pair, &["sync", "docs"]).with(1, &[what, why]);
            assert_eq!(pair.read("newer"), Some(start.into()));
            control(pair, "clear", json!({}));
            finishes(pair, &["new", "news", "newer"]);
        }
    });
}

#[test]
fn replies_that_break_off_or_get_lost_double_nothing() {
    each_alone(|pair| {
        let Calls { upload, changes, make_folder, .. } = calls(pair.peer);
        for act in ["cut_reply", "lose_reply"] {
            let folder = format!("new {act}");
            for name in ["a", "b"] {
                pair.write(&format!("{folder}/{name}"), format!("{name} {act}"));
            }
            let theirs = format!("there {act}");
            pair.put(&[(&theirs, Some(&pattern(300_000, 1)))]);
            for start in [upload, make_folder, changes, &download(pair, &theirs)] {
                let mut fault = json!({ "match": start });
                fault[act] = if act == "cut_reply" { 20.into() } else { true.into() };
                control(pair, "fault", fault);
            }
            // What was asked for can't be known from a part of a reply, so that one is told of. A
            // reply that doesn't come at all is asked for again.
            let (code, words) = match act {
                "cut_reply" => (1, ["the reply broke off", "check the network"].as_slice()),
                _ => (0, ["2 uploaded, 1 downloaded"].as_slice()),
            };
            run(pair, &["sync", "docs"]).with(code, words);
            control(pair, "clear", json!({}));
            finishes(pair, &["ours", "theirs", &format!("{folder}/a"), &format!("{folder}/b")]);
            assert!(pair.read(&theirs) == Some(pattern(300_000, 1)));
        }
        // Nothing is there twice, and nobody took it for a conflict.
        assert_eq!(pair.local_tree().len(), 4 + 2 * 4);
    });
}
