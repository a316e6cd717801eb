//! The fake of Google Drive, tried with clients of others and with requests that it has to refuse.

use crate::common::bench::TempFolder;
use crate::common::peers::{FakePeer, google_drive, new_google_drive};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output};

const SCOPE: &str = "https://www.googleapis.com/auth/drive";

/// What rclone has to know of the service; uploads in several parts as soon as there is more than one to send.
const RCLONE: [(&str, &str); 4] =
    [("TYPE", "drive"), ("SCOPE", "drive"), ("UPLOAD_CUTOFF", "1B"), ("CHUNK_SIZE", "256Ki")];

/// A reply: status, `Location`, and body.
struct Reply {
    status: u16,
    location: String,
    body: Value,
}

impl Reply {
    /// Google's word for what is wrong.
    fn reason(&self) -> &str {
        self.body["error"]["errors"][0]["reason"].as_str().unwrap_or_default()
    }
}

fn ask(request: ureq::http::request::Builder, body: &[u8]) -> Reply {
    try_asking(request, body).unwrap()
}

fn try_asking(request: ureq::http::request::Builder, body: &[u8]) -> Result<Reply, ureq::Error> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
    let agent = ureq::Agent::from(config.proxy(None).build());
    let mut reply = agent.run(request.body(body)?)?;
    let location = reply.headers().get("location").map_or("", |value| value.to_str().unwrap());
    let location = location.to_owned();
    let text = reply.body_mut().read_to_string()?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    Ok(Reply { status: reply.status().as_u16(), location, body })
}

fn request(method: &str, url: &str) -> ureq::http::request::Builder {
    ureq::http::Request::builder().method(method).uri(url)
}

/// Asks for a token with a form; these fields come on top of the client's.
fn token(peer: &FakePeer, fields: &[(&str, &str)]) -> Reply {
    let client = [("client_id", &*peer.client_id), ("client_secret", &*peer.client_secret)];
    let fields = client.iter().chain(fields).map(|(key, value)| format!("{key}={value}"));
    let form = fields.collect::<Vec<_>>().join("&");
    let builder = request("POST", &format!("{}/token", peer.endpoint));
    ask(builder.header("content-type", "application/x-www-form-urlencoded"), form.as_bytes())
}

/// Calls the API with a new token.
fn call(peer: &FakePeer, method: &str, target: &str, body: Option<&Value>) -> Reply {
    call_with(peer, method, target, &[("content-type", "application/json")], body)
}

fn call_with(
    peer: &FakePeer,
    method: &str,
    target: &str,
    fields: &[(&str, &str)],
    body: Option<&Value>,
) -> Reply {
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", &*peer.refresh_token)];
    let reply = token(peer, &refresh);
    let access = reply.body["access_token"].as_str().unwrap();
    let mut builder = request(method, &format!("{}{target}", peer.endpoint));
    builder = builder.header("authorization", format!("Bearer {access}"));
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    ask(builder, body.map(Value::to_string).unwrap_or_default().as_bytes())
}

fn succeed(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn googles_own_client_works_with_it() {
    let peer = new_google_drive();
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/python/bin/python");
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/google_drive_scenario.py");
    let mut command = Command::new(python);
    let output = command.args(["-B", scenario, &peer.endpoint]).env("NO_PROXY", "127.0.0.1");
    assert_eq!(succeed(output.output().unwrap()), "");
}

#[test]
fn rclone_works_with_it() {
    let peer = google_drive();
    let folder = TempFolder::new();
    let (up, down) = (folder.path().join("up"), folder.path().join("down"));
    fs::create_dir_all(up.join("a/it's")).unwrap();
    fs::create_dir_all(up.join("empty")).unwrap();
    let long: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(up.join("long"), &long).unwrap();
    fs::write(up.join("nothing"), "").unwrap();
    fs::write(up.join("a/it's/ünï \\ code"), "short").unwrap();
    fs::write(up.join("a/old"), "old").unwrap();
    let (up, down) = (up.to_str().unwrap(), down.to_str().unwrap());
    let rclone = |args: &[&str]| succeed(peer.rclone(&RCLONE, args));

    rclone(&["copy", up, "peer:rclone", "--create-empty-src-dirs"]);
    rclone(&["check", up, "peer:rclone"]);
    let tree = peer.control("tree", json!({ "path": "/rclone" }));
    assert_eq!(tree["/long"]["size"], 4_000_000);
    assert_eq!(tree["/nothing"]["size"], 0);
    assert_eq!(tree["/empty"], Value::Null);
    let stored = peer.control("tree", json!({ "path": "/rclone/a/it's" }));
    assert!(stored.get("/ünï \\ code").is_some(), "{stored}");

    fs::write(format!("{up}/a/old"), "newer").unwrap();
    rclone(&["copy", up, "peer:rclone"]);
    rclone(&["moveto", "peer:rclone/long", "peer:rclone/empty/big"]);
    rclone(&["moveto", "peer:rclone/a", "peer:rclone/empty/b"]);
    rclone(&["deletefile", "peer:rclone/nothing"]);
    assert_eq!(rclone(&["lsf", "peer:rclone"]), "empty/\n");
    assert_eq!(
        rclone(&["lsf", "--files-only", "--drive-trashed-only", "peer:rclone"]),
        "nothing\n"
    );

    rclone(&["copy", "peer:rclone", down]);
    assert_eq!(fs::read(format!("{down}/empty/big")).unwrap(), long);
    assert_eq!(fs::read_to_string(format!("{down}/empty/b/old")).unwrap(), "newer");
    assert_eq!(fs::read_to_string(format!("{down}/empty/b/it's/ünï \\ code")).unwrap(), "short");
}

#[test]
fn what_the_api_does_not_have_is_refused() {
    let peer = google_drive();
    let files = "/drive/v3/files";
    let bad = [
        ("GET", "/drive/v3/file", None, 404, "notFound"),
        ("GET", "/drive/v3/files?page=3", None, 400, "badRequest"),
        ("GET", "/drive/v3/files?pageSize=many", None, 400, "invalidParameter"),
        ("GET", "/drive/v3/files?fields=files(id,title)", None, 400, "invalidParameter"),
        ("GET", "/drive/v3/files?q=title%3D'x'", None, 400, "invalid"),
        ("GET", "/drive/v3/changes", None, 400, "required"),
        ("GET", "/drive/v3/changes?pageToken=1", None, 400, "invalid"),
        ("POST", files, Some(json!({ "title": "x" })), 400, "badRequest"),
        ("POST", files, Some(json!({ "name": 3 })), 400, "badRequest"),
        ("POST", files, Some(json!({ "modifiedTime": "today" })), 400, "badRequest"),
        ("POST", files, Some(json!({ "md5Checksum": "0" })), 403, "fieldNotWritable"),
        ("POST", files, Some(json!({ "id": "made-up" })), 400, "invalid"),
        ("POST", files, Some(json!({ "parents": ["nowhere"] })), 404, "notFound"),
        ("DELETE", "/drive/v3/files/root", None, 403, "insufficientFilePermissions"),
    ];
    for (method, target, body, status, reason) in bad {
        let reply = call(peer, method, target, body.as_ref());
        let found = (reply.status, reply.reason());
        assert_eq!(found, (status, reason), "{method} {target} {body:?}: {}", reply.body);
    }
    let plain = [("content-type", "text/plain")];
    let reply = call_with(peer, "POST", files, &plain, Some(&json!({ "name": "x" })));
    assert_eq!((reply.status, reply.reason()), (400, "badRequest"));

    let reply = ask(request("GET", &format!("{}{files}", peer.endpoint)), b"");
    assert_eq!((reply.status, reply.reason()), (401, "required"));
    let builder = request("GET", &format!("{}{files}", peer.endpoint));
    let reply = ask(builder.header("authorization", "Bearer wrong"), b"");
    assert_eq!((reply.status, reply.reason()), (401, "authError"));
}

#[test]
fn parts_of_an_upload_have_to_come_in_order() {
    let peer = google_drive();
    let target = "/upload/drive/v3/files?uploadType=resumable&fields=size";
    let fields = [("content-type", "application/json"), ("x-upload-content-length", "600000")];
    let begun = call_with(peer, "POST", target, &fields, Some(&json!({ "name": "parts" })));
    assert_eq!(begun.status, 200);
    let try_part = |range: &str, length: usize| {
        let builder = request("PUT", &begun.location).header("content-range", range);
        try_asking(builder, &vec![b'x'; length])
    };
    let part = |range: &str, length: usize| try_part(range, length).unwrap();
    let unit = 262_144;
    assert_eq!(part("bytes */600000", 0).status, 308);
    let wrong = [
        ("bytes 262144-524287/600000", unit), // not the first
        ("bytes 0-99999/600000", 100_000),    // no multiple
        ("bytes 0-262143/600001", unit),      // another length
        ("bytes 0-262143/600000", unit - 1),  // not what it says
        ("bytes 262143-0/600000", 0),
        ("bytes=0-262143", unit),
    ];
    for (range, length) in wrong {
        let reply = part(range, length);
        assert_eq!((reply.status, reply.reason()), (400, "badRequest"), "{range}: {}", reply.body);
    }
    // Of a part that breaks off, what is whole is kept; and one whose reply got lost may come again.
    let line = begun.location.replacen(&peer.endpoint, "PUT ", 1);
    peer.control("fault", json!({ "match": line, "cut_request": 300_000 }));
    assert!(try_part("bytes 0-524287/600000", 2 * unit).is_err());
    peer.control("fault", json!({ "match": line, "lose_reply": true }));
    assert!(try_part("bytes 262144-524287/600000", unit).is_err());
    assert_eq!(part("bytes 262144-524287/600000", unit).status, 308);
    let last = part("bytes 524288-599999/600000", 600_000 - 2 * unit);
    assert_eq!((last.status, &last.body), (200, &json!({ "size": "600000" })));
    assert_eq!(part("bytes */600000", 0).body, json!({ "size": "600000" }));
    let elsewhere = request("PUT", &format!("{}x", begun.location));
    assert_eq!(ask(elsewhere.header("content-range", "bytes */600000"), b"").status, 404);
}

#[test]
fn signing_in_is_checked() {
    let peer = new_google_drive();
    let verifier = "a-verifier-of-forty-three-characters-at-least";
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    let challenge = URL_SAFE_NO_PAD.encode(digest);
    let redirect = "http://127.0.0.1:1/";
    let page = format!(
        "{}/o/oauth2/v2/auth?response_type=code&client_id={}&redirect_uri={redirect}&scope={SCOPE}&state=st\
         &access_type=offline&prompt=consent&code_challenge_method=S256",
        peer.endpoint, peer.client_id,
    );
    let consent = || {
        let reply = ask(request("GET", &format!("{page}&code_challenge={challenge}")), b"");
        let code = reply.location.strip_prefix("http://127.0.0.1:1/?state=st&code=");
        code.unwrap_or_else(|| panic!("{} {}", reply.status, reply.location)).to_owned()
    };
    let redeem = |code: &str, verifier: &str| {
        let grant = ("grant_type", "authorization_code");
        let rest = [("code", code), ("code_verifier", verifier), ("redirect_uri", redirect)];
        token(&peer, &[&[grant], &rest[..]].concat())
    };
    assert_eq!(ask(request("GET", &page), b"").status, 400); // no challenge
    let code = consent();
    let wrong = redeem(&code, "another-verifier-of-forty-three-characters-at-least");
    assert_eq!((wrong.status, &wrong.body["error"]), (400, &json!("invalid_grant")));
    // It was used up by the attempt.
    assert_eq!(redeem(&code, verifier).status, 400);
    let tokens = redeem(&consent(), verifier);
    assert_eq!((tokens.status, &tokens.body["expires_in"]), (200, &json!(3600)));
    let refresh = tokens.body["refresh_token"].as_str().unwrap();
    let refreshed =
        |refresh| token(&peer, &[("grant_type", "refresh_token"), ("refresh_token", refresh)]);
    assert_eq!(refreshed(refresh).body.get("refresh_token"), None);

    peer.control("rotate", json!({ "on": true }));
    let next = refreshed(refresh);
    assert_eq!(refreshed(refresh).status, 400);
    peer.control("revoke", json!({}));
    assert_eq!(refreshed(next.body["refresh_token"].as_str().unwrap()).status, 400);
    assert_eq!(refreshed(&peer.refresh_token).status, 400);
    peer.control("grant", json!({}));
    assert_eq!(refreshed(&peer.refresh_token).status, 200);
}

#[test]
fn faults_happen_on_demand() {
    let peer = new_google_drive();
    let about = "/drive/v3/about?fields=user";
    let body =
        json!({ "error": { "code": 403, "errors": [{ "reason": "userRateLimitExceeded" }] } });
    let fault = json!({ "match": "GET /drive/v3/about", "after": 1, "status": 403, "body": body });
    peer.control("fault", fault);
    assert_eq!(call(&peer, "GET", about, None).status, 200);
    assert_eq!(call(&peer, "GET", about, None).reason(), "userRateLimitExceeded");
    assert_eq!(call(&peer, "GET", about, None).status, 200);
    let requests = peer.control("requests", json!({}));
    let requests = requests.as_array().unwrap();
    assert_eq!(requests.iter().filter(|line| **line == format!("GET {about}")).count(), 3);

    peer.control("expire", json!({}));
    peer.control("clear", json!({}));
    assert_eq!(call(&peer, "GET", about, None).status, 200);
}

#[test]
fn others_change_what_is_there() {
    let peer = new_google_drive();
    let start = "/drive/v3/changes/startPageToken";
    let start = call(&peer, "GET", start, None).body["startPageToken"].clone();
    let put = |what: &str, path: &str, text: &str| {
        let made = peer.control(what, json!({ "path": path, "text": text }));
        made["id"].as_str().unwrap().to_owned()
    };
    let (first, twin) = (put("put", "/a/b", "content"), put("twin", "/a/b", "other"));
    assert_eq!(put("put", "/a/b", "changed"), first);
    let tree = peer.control("tree", json!({}));
    assert_eq!(tree["/a/b"]["size"], 7);
    assert_eq!(tree[format!("/a/b#{twin}")]["size"], 5);

    peer.control("move", json!({ "id": first, "to": "/c" }));
    peer.control("trash", json!({ "id": twin }));
    peer.control("delete", json!({ "path": "/a" }));
    peer.control("reorder", json!({ "on": true }));
    peer.control("page", json!({ "size": 2 }));
    let (mut token, mut seen) = (start, Vec::new());
    while let Value::String(text) = &token {
        let fields = "nextPageToken,changes(fileId,removed)";
        let target = format!("/drive/v3/changes?pageToken={text}&fields={fields}");
        let page = call(&peer, "GET", &target, None).body;
        let changes = page["changes"].as_array().unwrap();
        seen.extend(changes.iter().map(|each| each["removed"].as_bool().unwrap()));
        token = page["nextPageToken"].clone();
    }
    // The file that was moved; its folder and twin, which are gone; and some of them twice.
    assert!(seen.len() > 3 && seen.contains(&true) && seen.contains(&false), "{seen:?}");
    assert_eq!(peer.control("tree", json!({})).as_object().unwrap().len(), 1);
}
