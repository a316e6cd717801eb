//! The buckets of a service, told and made before there is a connection.

use crate::common::peers::{S3Peer, azurite, b2, s3_fronts, s3_peers, swift_api};
use mooring::error::{Error, Kind, Result};
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::remote::{Service, Settings};
use mooring::services;
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

fn s3() -> &'static dyn Service {
    services::find("s3").unwrap()
}

fn settings(endpoint: &str, peer: Option<&S3Peer>) -> Settings {
    let [access, secret] =
        peer.map_or(["key", "secret"], |peer| [&*peer.access_key, &*peer.secret_key]);
    let region = peer.map_or("us-east-1", |peer| &peer.region);
    let all = [
        ("endpoint", endpoint),
        ("region", region),
        ("access-key", access),
        ("secret-key", secret),
    ];
    all.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn http() -> Http {
    Http::new(&HttpOptions::default(), Cancel::default()).unwrap()
}

fn told(service: &dyn Service, settings: &Settings) -> Result<Vec<String>> {
    let mut buckets = Vec::new();
    service.buckets(settings, http(), &mut |bucket| {
        buckets.push(bucket.to_owned());
        Ok(())
    })?;
    Ok(buckets)
}

#[test]
fn buckets_are_told_and_made() {
    for peer in s3_peers().into_iter().chain(s3_fronts()) {
        let service = services::find(peer.service).unwrap();
        let bucket = peer.new_bucket();
        let settings = settings(&peer.endpoint, Some(peer));
        assert!(told(service, &settings).unwrap().contains(&bucket), "{}", peer.name);
        let made = format!("made-{bucket}");
        service.make_bucket(&settings, http(), &made).unwrap();
        assert!(told(service, &settings).unwrap().contains(&made), "{}", peer.name);
        assert!(peer.rclone(&["lsf", &format!("peer:{made}")]).status.success(), "{}", peer.name);
        service.make_bucket(&settings, http(), &made).unwrap();
        let wrong = service.make_bucket(&settings, http(), "No").unwrap_err();
        assert_eq!(wrong.kind(), Kind::Usage, "{}", peer.name);
    }
}

/// Tells the buckets of an account, makes one of this name, and makes it again.
fn tell_and_make(service: &'static dyn Service, settings: &Settings, known: &str, name: &str) {
    assert!(told(service, settings).unwrap().iter().any(|each| each == known));
    for _ in 0..2 {
        service.make_bucket(settings, http(), name).unwrap();
    }
    assert!(told(service, settings).unwrap().iter().any(|each| each == name));
    let wrong = service.make_bucket(settings, http(), "-").unwrap_err();
    assert_eq!(wrong.kind(), Kind::Usage);
}

fn entered<const N: usize>(pairs: [(&str, &str); N]) -> Settings {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn containers_of_azure_are_told_and_made() {
    let peer = azurite();
    let service = services::find("azure-blob").unwrap();
    let of_key =
        [("endpoint", &*peer.endpoint), ("account", &peer.account), ("account-key", &peer.key)];
    let (container, made) = (peer.new_container(), format!("{}-made", peer.new_container()));
    tell_and_make(service, &entered(of_key), &container, &made);
    assert!(peer.rclone(&["lsf", &format!("peer:{made}")]).status.success());
    // A signature for one container doesn't open the account.
    let sas = peer.sas(&container, "racwdl");
    let of_sas = [("endpoint", &*peer.endpoint), ("account", &peer.account), ("sas", &sas)];
    let refused = told(service, &entered(of_sas)).unwrap_err();
    assert!(matches!(refused.kind(), Kind::Denied | Kind::SignIn), "{refused}");
}

#[test]
fn buckets_of_b2_are_told_and_made() {
    let peer = b2();
    let service = services::find("b2").unwrap();
    let settings = |id, key| {
        entered([("endpoint", &*peer.endpoint), ("key-id", id), ("application-key", key)])
    };
    let (bucket, made) = (peer.new_bucket(), format!("{}-made", peer.new_bucket()));
    let whole = settings(&peer.key_id, &peer.key);
    tell_and_make(service, &whole, &bucket, &made);
    assert!(peer.rclone(&["lsf", &format!("peer:{made}")]).status.success());
    // A key for one bucket is told of that one, and makes none.
    let key =
        json!({ "capabilities": ["listBuckets", "listFiles"], "bucket": bucket, "prefix": null });
    let key = peer.control("key", key);
    let one = settings(key["id"].as_str().unwrap(), key["key"].as_str().unwrap());
    assert_eq!(told(service, &one).unwrap(), [bucket]);
    let refused = service.make_bucket(&one, http(), "photos").unwrap_err();
    assert!(refused.to_string().contains("writeBuckets"), "{refused}");
}

#[test]
fn containers_of_swift_are_told_and_made() {
    let (peer, service) = (swift_api(), services::find("swift").unwrap());
    let container = peer.new_container();
    let all = [("endpoint", &peer.endpoint), ("key", &peer.key)].into_iter();
    let all = all.chain(peer.settings.iter().map(|(key, value)| (*key, value)));
    let settings = all.map(|(key, value)| (key.to_owned(), value.clone())).collect();
    assert!(told(service, &settings).unwrap().contains(&container));
    let made = format!("made {container}");
    for _ in 0..2 {
        service.make_bucket(&settings, http(), &made).unwrap();
    }
    assert!(told(service, &settings).unwrap().contains(&made));
    let wrong = service.make_bucket(&settings, http(), "a/b").unwrap_err();
    assert_eq!(wrong.kind(), Kind::Usage);
}

#[test]
fn no_more_is_told_once_it_is_enough() {
    let peer = s3_peers()[0];
    (0..2).for_each(|_| drop(peer.new_bucket()));
    let mut count = 0;
    let ended = s3().buckets(&settings(&peer.endpoint, Some(peer)), http(), &mut |_| {
        count += 1;
        Err(Error::new(Kind::Cancelled, "listing", "it is enough"))
    });
    assert_eq!((ended.unwrap_err().kind(), count), (Kind::Cancelled, 1));
}

#[test]
fn a_service_without_buckets_says_so() {
    let service = services::find("webdav").unwrap();
    let error = service.buckets(&Settings::default(), http(), &mut |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    let error = service.make_bucket(&Settings::default(), http(), "photos").unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
}

/// The address of a server that answers each request with this status and code of an error.
fn refusing(status: u16, code: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let body = format!("<Error><Code>{code}</Code></Error>");
            let head = format!("HTTP/1.1 {status} No\r\nContent-Type: application/xml");
            let length = body.len();
            let _ = write!(
                stream,
                "{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
            );
        }
    });
    format!("http://{address}")
}

#[test]
fn a_name_that_somebody_else_has_is_told() {
    let settings = settings(&refusing(409, "BucketAlreadyExists"), None);
    let error = s3().make_bucket(&settings, http(), "photos").unwrap_err();
    assert_eq!(error.kind(), Kind::NameTaken);
    assert!(error.to_string().contains("photos") && error.advice().contains("another name"));
}

/// Runs `mooring service buckets s3`; the secret comes by standard input.
fn command(state: &Path, endpoint: &str, peer: Option<&S3Peer>, more: &[&str]) -> (bool, Value) {
    let [access, secret] =
        peer.map_or(["key", "secret"], |peer| [&*peer.access_key, &*peer.secret_key]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_mooring"))
        .args(["--json", "service", "buckets", "s3", "--secret", "secret-key=-"])
        .args(["--set", &format!("endpoint={endpoint}"), "--set", &format!("access-key={access}")])
        .args(more)
        .env("MOORING_STATE", state)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{secret}").unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_command_line_tells_and_makes_buckets() {
    let state = Path::new(env!("CARGO_TARGET_TMPDIR")).join("buckets");
    let _ = fs::remove_dir_all(&state);
    let peer = s3_peers()[1];
    let bucket = peer.new_bucket();
    let made = format!("{bucket}-made");
    let (done, answer) = command(&state, &peer.endpoint, Some(peer), &["--make", &made]);
    assert!(done && answer["bucket"] == *made, "{answer}");
    let (done, answer) = command(&state, &peer.endpoint, Some(peer), &[]);
    assert!(done && answer["more"] == false, "{answer}");
    let buckets = answer["buckets"].as_array().unwrap();
    assert!(buckets.contains(&bucket.into()) && buckets.contains(&made.into()), "{answer}");
    let (done, answer) = command(&state, &refusing(403, "AccessDenied"), None, &[]);
    assert!(!done && answer["error"]["kind"] == "denied", "{answer}");
    assert!(answer["error"]["remedy"].as_str().unwrap().contains("enter the bucket's name"));
    fs::remove_dir_all(state).unwrap();
}

#[test]
fn the_command_line_tells_what_is_suggested() {
    let output = Command::new(env!("CARGO_BIN_EXE_mooring"))
        .args(["service", "show", "s3"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("region may be another, or one of:"), "{text}");
    assert!(text.contains("eu-central-1") && text.contains("Europe (Frankfurt)"), "{text}");
}
