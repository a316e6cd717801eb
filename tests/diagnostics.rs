//! What can be given away to find out what is wrong: no secret is in it, and no name if one likes.

use crate::common::pair::{Pair, Peer, eventually};
use crate::common::peers;
use serde_json::Value;
use std::fs;

/// Names of files, folders, tasks, connections and whatever else a person entered.
const NAMES: [&str; 5] = ["Tagebuch", "Quartal", "docs", "cloud", "geheim-muster"];

fn diagnostics(pair: &Pair, words: &[&str]) -> (String, Value) {
    let text = pair.done(&[&["diagnostics"], words].concat());
    let document = serde_json::from_str(&text).unwrap();
    (text, document)
}

/// Has the task fail and succeed, so that its log, history and status tell of files.
fn troubled(peer: Peer) -> Pair {
    let pair = Pair::new(peer, &["--exclude", "geheim-muster*"]);
    pair.write("Tagebuch/Quartal 1.txt", "dear diary");
    pair.write("geheim-muster.txt", "left out");
    std::os::unix::fs::symlink("Tagebuch", pair.local.join("Quartal 2")).unwrap();
    pair.sync();
    pair
}

fn secrets(pair: &Pair) -> Vec<String> {
    let Peer::Fake(fake) = pair.peer else { panic!("it has no sign-in") };
    let found = vec![fake.client_secret.clone(), fake.refresh_token.clone(), "S3same!proxy".into()];
    assert!(found.iter().all(|secret| secret.len() > 5), "{found:?}");
    found
}

#[test]
fn it_tells_how_everything_is_without_any_secret() {
    let pair = troubled(Peer::Fake(peers::google_drive()));
    fs::write(pair.local.join("../proxy"), "http://me:S3same!proxy@127.0.0.1:9").unwrap();
    let daemon = pair.daemon();
    eventually("it is idle", || pair.status()["tasks"][0]["state"] == "idle");
    // What fails is told, too.
    let proxy = format!("proxy=@{}", pair.local.join("../proxy").display());
    pair.done(&["connection", "set", "cloud", "--secret", &proxy]);
    eventually("it fails", || pair.status()["tasks"][0]["message"].is_string());
    let (text, document) = diagnostics(&pair, &[]);
    for secret in secrets(&pair) {
        assert!(!text.contains(&secret), "{secret}");
    }
    assert!(!text.contains("ya29."), "an access token");
    assert_eq!(document["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["status"]["daemon"], true);
    assert!(document["system"]["memory"][0].as_str().unwrap().starts_with("MemTotal"));
    assert!(text.contains("Tagebuch/Quartal 1.txt") && text.contains("google-drive"), "{text}");
    let log = document["log"].as_array().unwrap();
    assert!(log.iter().any(|line| line.as_str().unwrap().contains("task docs")), "{log:?}");
    drop(daemon);
}

#[test]
fn without_names_nothing_that_a_person_named_is_in_it() {
    let pair = troubled(Peer::Fake(peers::google_drive()));
    let daemon = pair.daemon();
    eventually("it is idle", || pair.status()["tasks"][0]["state"] == "idle");
    let (text, document) = diagnostics(&pair, &["--no-names"]);
    let local = pair.local.to_str().unwrap().to_owned();
    for name in NAMES.map(str::to_owned).into_iter().chain(secrets(&pair)).chain([local]) {
        assert!(!text.contains(&name), "{name} is in {text}");
    }
    // What happened is told still, and which lines are of one item.
    let history = document["history"].as_array().unwrap();
    assert!(history.iter().any(|line| line["action"] == "uploaded" && line["bytes"] == 10));
    assert_eq!(history[0]["task"], document["tasks"][0]["name"]);
    assert!(document["log"][0].as_str().unwrap().ends_with(" INFO"));
    drop(daemon);
}

#[test]
fn without_a_daemon_it_tells_what_the_state_knows() {
    let pair = troubled(Peer::Dav(peers::rclone_dav()));
    let file = pair.local.join("../found.json");
    pair.done(&["diagnostics", "-o", file.to_str().unwrap()]);
    let document: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(document["status"]["daemon"], false);
    assert!(!document["history"].as_array().unwrap().is_empty());
    let Peer::Dav(dav) = pair.peer else { unreachable!() };
    assert!(!fs::read_to_string(file).unwrap().contains(&dav.password));
}
