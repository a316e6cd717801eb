//! The fake of Dropbox, tried with clients of others and with requests that it has to refuse.

use crate::common::bench::TempFolder;
use crate::common::peers::{FakePeer, dropbox, new_dropbox};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output};

const JSON: (&str, &str) = ("content-type", "application/json");
const OCTETS: (&str, &str) = ("content-type", "application/octet-stream");

/// What rclone has to know of the service: parts as small as there may be, and all in upload sessions.
const RCLONE: [(&str, &str); 2] = [("TYPE", "dropbox"), ("CHUNK_SIZE", "4Mi")];
/// The same, but with what fits in one part in one request.
const RCLONE_DIRECTLY: [(&str, &str); 2] = [("TYPE", "dropbox"), ("BATCH_MODE", "off")];

/// Status and body.
type Reply = (u16, Value);

fn ask(request: ureq::http::request::Builder, body: &[u8]) -> Reply {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None);
    let agent = ureq::Agent::from(config.build());
    let mut reply = agent.run(request.body(body).unwrap()).unwrap();
    let text = reply.body_mut().read_to_string().unwrap();
    (reply.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

fn post(peer: &FakePeer, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut builder = ureq::http::Request::post(format!("{}{path}", peer.endpoint));
    for (name, value) in fields {
        builder =
            builder.header(*name, ureq::http::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    ask(builder, body)
}

/// Asks for a token with a form.
fn token(peer: &FakePeer, fields: &[(&str, &str)]) -> Reply {
    let fields = fields.iter().map(|(key, value)| format!("{key}={value}"));
    let form = fields.collect::<Vec<_>>().join("&");
    let content_type = ("content-type", "application/x-www-form-urlencoded");
    post(peer, "/oauth2/token", &[content_type], form.as_bytes())
}

/// The field that shows a new access token.
fn authorization(peer: &FakePeer) -> String {
    let refresh = ("refresh_token", &*peer.refresh_token);
    let form = [("grant_type", "refresh_token"), ("client_id", &*peer.client_id), refresh];
    let (_, tokens) = token(peer, &form);
    format!("Bearer {}", tokens["access_token"].as_str().unwrap())
}

/// Calls a route whose argument is the body.
fn call(peer: &FakePeer, route: &str, arg: &Value) -> Reply {
    let fields = [JSON, ("authorization", &authorization(peer))];
    post(peer, &format!("/2/files/{route}"), &fields, arg.to_string().as_bytes())
}

/// Calls a route whose body is content.
fn send(peer: &FakePeer, route: &str, arg: &Value, body: &[u8]) -> Reply {
    let arg = arg.to_string();
    let fields = [OCTETS, ("authorization", &authorization(peer)), ("dropbox-api-arg", &arg)];
    post(peer, &format!("/2/files/{route}"), &fields, body)
}

fn succeed(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// What went wrong, from the start of the summary of an error.
fn is_failure((status, body): &Reply, summary: &str) {
    let found = body["error_summary"].as_str().unwrap_or_default();
    assert!(*status == 409 && found.starts_with(summary), "not {summary}: {status} {body}");
}

/// What isn't as the API describes it.
fn is_malformed((status, body): &Reply, reason: &str) {
    let found = body.as_str().unwrap_or_default();
    let is_told = found.starts_with("Error in call to API function") && found.contains(reason);
    assert!(*status == 400 && is_told, "not {reason}: {status} {body}");
}

#[test]
fn dropboxs_own_client_works_with_it() {
    let peer = new_dropbox();
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers/python/bin/python");
    let front = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/tls_front.py");
    let scenario = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/dropbox_scenario.py");
    let mut command = Command::new(python);
    command.args(["-B", front, &peer.endpoint, python, "-B", scenario, &peer.endpoint]);
    assert_eq!(succeed(command.output().unwrap()), "");
}

#[test]
fn rclone_works_with_it() {
    let peer = dropbox();
    let folder = TempFolder::new();
    let (up, down) = (folder.path().join("up"), folder.path().join("down"));
    fs::create_dir_all(up.join("a/it's")).unwrap();
    fs::create_dir_all(up.join("empty")).unwrap();
    let long: Vec<u8> = (0..2_500_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(up.join("long"), &long).unwrap();
    fs::write(up.join("nothing"), "").unwrap();
    fs::write(up.join("a/it's/ünï \"code\" 😀"), "short").unwrap();
    fs::write(up.join("a/Old"), "old").unwrap();
    let (up, down) = (up.to_str().unwrap(), down.to_str().unwrap());
    let rclone = |args: &[&str]| succeed(peer.rclone(&RCLONE, args));

    rclone(&["copy", up, "peer:rclone", "--create-empty-src-dirs"]);
    rclone(&["check", up, "peer:rclone"]);
    let sums = rclone(&["hashsum", "dropbox", up]);
    assert_eq!(sums.lines().count(), 4);
    let tree = peer.control("tree", json!({ "path": "/rclone" }));
    for line in sums.lines() {
        let (sum, path) = line.split_once("  ").unwrap();
        assert_eq!(tree[format!("/rclone/{path}")]["hash"], sum, "{tree}");
    }
    assert_eq!(tree.get("/rclone/empty"), Some(&Value::Null), "{tree}");

    fs::write(format!("{up}/a/Old"), "newer").unwrap();
    succeed(peer.rclone(&RCLONE_DIRECTLY, &["copy", up, "peer:rclone"]));
    rclone(&["moveto", "peer:rclone/long", "peer:rclone/empty/big"]);
    rclone(&["moveto", "peer:rclone/a", "peer:rclone/empty/b"]);
    rclone(&["copy", "peer:rclone/empty/b", "peer:rclone/twin"]);
    rclone(&["deletefile", "peer:rclone/nothing"]);
    rclone(&["purge", "peer:rclone/empty/b/it's"]);
    assert_eq!(rclone(&["lsf", "peer:rclone"]), "empty/\ntwin/\n");

    rclone(&["copy", "peer:rclone", down]);
    assert_eq!(fs::read(format!("{down}/empty/big")).unwrap(), long);
    assert_eq!(fs::read_to_string(format!("{down}/empty/b/Old")).unwrap(), "newer");
    let odd = fs::read_to_string(format!("{down}/twin/it's/ünï \"code\" 😀"));
    assert_eq!(odd.unwrap(), "short");
}

#[test]
fn what_the_api_does_not_have_is_refused() {
    let peer = dropbox();
    let root = json!({ "path": "" });
    let bad = [
        ("list_folder", json!({ "path": "", "recurse": true }), "unknown field 'recurse'"),
        ("list_folder", json!({ "path": "", "recursive": "yes" }), "recursive: 'yes' expected"),
        ("list_folder", json!({ "path": "", "limit": 2001 }), "limit: 2001 is not within range"),
        ("list_folder", json!({ "path": "" , "include_media_info": true }), "include_media_info"),
        ("list_folder", json!({ "path": "no-slash" }), "path: 'no-slash' did not match pattern"),
        ("list_folder", json!({ "path": "/" }), "as an empty string"),
        ("list_folder", json!({}), "missing required field 'path'"),
        ("list_folder", json!([]), "expected to be an object"),
        ("list_folder/continue", json!({ "cursor": "made-up" }), "Invalid \"cursor\""),
        ("get_metadata", root.clone(), "path: '' did not match pattern"),
        ("delete_v2", json!({ "path": "/x", "parent_rev": "0" }), "parent_rev: '0' expected"),
        ("delete_v2", json!({ "path": "/x", "parent_rev": "not-hexadecimal" }), "did not match"),
    ];
    for (route, arg, reason) in bad {
        is_malformed(&call(peer, route, &arg), reason);
    }
    let bad = [
        (json!({ "path": "/x", "mode": "update" }), "mode: missing 'update' key"),
        (json!({ "path": "/x", "mode": "replace" }), "mode: unknown tag 'replace'"),
        (json!({ "path": "/x", "client_modified": "2020-02-03T04:05:06.7Z" }), "client_modified: "),
        (json!({ "path": "/x", "content_hash": "0" }), "content_hash: '0' expected"),
        (json!({ "path": "/ü" }), "could not decode input as JSON"), // isn't escaped
    ];
    for (arg, reason) in bad {
        is_malformed(&send(peer, "upload", &arg, b""), reason);
    }
    let names = [("/x//y", "malformed"), ("/x/../y", "malformed"), ("/x ", "malformed")];
    for (path, problem) in [&names[..], &[("/x/Desktop.ini", "disallowed")]].concat() {
        is_failure(
            &send(peer, "upload", &json!({ "path": path }), b""),
            &format!("path/{problem}"),
        );
    }
    let long = format!("/{}", "x".repeat(256));
    is_failure(&send(peer, "upload", &json!({ "path": long }), b""), "path/malformed_path");
    let (status, _) = call(peer, "no_such_route", &root);
    assert_eq!(status, 400);
}

#[test]
fn the_headers_are_checked() {
    let peer = dropbox();
    let bearer = authorization(peer);
    let signed = ("authorization", &*bearer);
    let arg = ("dropbox-api-arg", r#"{"path":"/headers"}"#);
    let (list, upload) = ("/2/files/list_folder", "/2/files/upload");
    let body = br#"{"path":""}"#;
    is_malformed(&post(peer, list, &[JSON], body), "Must provide HTTP header \"Authorization\"");
    is_malformed(&post(peer, list, &[signed, OCTETS], body), "Bad HTTP \"Content-Type\"");
    is_malformed(&post(peer, list, &[signed, JSON, arg], body), "Unexpected HTTP header");
    is_malformed(&post(peer, upload, &[signed, OCTETS], b""), "Must provide HTTP header");
    is_malformed(&post(peer, upload, &[signed, JSON, arg], b""), "Bad HTTP \"Content-Type\"");
    is_malformed(&post(peer, upload, &[OCTETS, arg], b""), "Must provide HTTP header");
    let download = post(peer, "/2/files/download", &[signed, OCTETS, arg], b"body");
    is_malformed(&download, "supposed to be empty");
    let odd = ("dropbox-api-path-root", r#"{".tag":"elsewhere"}"#);
    is_malformed(&post(peer, list, &[signed, JSON, odd], body), "unknown tag 'elsewhere'");

    let (_, latest) = call(peer, "list_folder/get_latest_cursor", &json!({ "path": "" }));
    let wait = json!({ "cursor": latest["cursor"], "timeout": 29 }).to_string();
    let longpoll = "/2/files/list_folder/longpoll";
    is_malformed(&post(peer, longpoll, &[JSON], wait.as_bytes()), "timeout: 29 is not within");
    let reply = post(peer, longpoll, &[signed, JSON], wait.as_bytes());
    is_malformed(&reply, "this function does not use it");

    let wrong = ("authorization", "Bearer wrong");
    let (status, reply) = post(peer, list, &[wrong, JSON], body);
    assert_eq!((status, &reply["error"]), (401, &json!({ ".tag": "invalid_access_token" })));
    let root = ("dropbox-api-path-root", r#"{".tag":"root","root":"77"}"#);
    let (status, reply) = post(peer, list, &[signed, JSON, root], body);
    let ids = json!({ ".tag": "user", "root_namespace_id": "1001", "home_namespace_id": "1001" });
    let error = json!({ ".tag": "invalid_root", "invalid_root": ids });
    assert_eq!((status, &reply["error"]), (422, &error));
}

#[test]
fn parts_of_an_upload_have_to_come_in_order() {
    let peer = dropbox();
    let (_, begun) = send(peer, "upload_session/start", &json!({}), b"first ");
    let cursor = |offset: usize| json!({ "session_id": begun["session_id"], "offset": offset });
    let part = |offset, body: &[u8], close: bool| {
        let arg = json!({ "cursor": cursor(offset), "close": close });
        send(peer, "upload_session/append_v2", &arg, body)
    };
    let commit = |offset| json!({ "cursor": cursor(offset), "commit": { "path": "/parts" } });
    for offset in [0, 5, 7, 13] {
        let (_, reply) = part(offset, b"second", false);
        let error = json!({ ".tag": "incorrect_offset", "correct_offset": 6 });
        assert_eq!(reply["error"], error, "at {offset}");
    }
    assert_eq!(part(6, b"second", false), (200, Value::Null));
    is_failure(&part(6, b"second", false), "incorrect_offset/");
    is_failure(&send(peer, "upload_session/finish", &commit(6), b""), "lookup_failed/incorrect_");
    assert_eq!(part(12, b" third", true).0, 200);
    is_failure(&part(18, b"fourth", false), "closed/");
    let (status, entry) = send(peer, "upload_session/finish", &commit(18), b"");
    assert_eq!((status, &entry["size"]), (200, &json!(18)));
    is_failure(&send(peer, "upload_session/finish", &commit(18), b""), "lookup_failed/not_found/");
}

#[test]
fn only_the_last_revision_is_replaced() {
    let peer = dropbox();
    let write = |mode: Value, body: &[u8]| {
        let arg = json!({ "path": "/revisions", "mode": mode, "strict_conflict": true });
        send(peer, "upload", &arg, body)
    };
    let update = |entry: &Value| json!({ ".tag": "update", "update": entry["rev"] });
    let (_, first) = write(json!("add"), b"first");
    is_failure(&write(json!("add"), b"first"), "path/conflict/file/");
    let (status, second) = write(update(&first), b"second");
    assert_eq!((status, &second["id"]), (200, &first["id"]));
    let stale = write(update(&first), b"third");
    is_failure(&stale, "path/conflict/file/");
    let conflict = json!({ ".tag": "conflict", "conflict": { ".tag": "file" } });
    assert_eq!(stale.1["error"]["reason"], conflict);

    let delete =
        |rev: &Value| call(peer, "delete_v2", &json!({ "path": first["id"], "parent_rev": rev }));
    is_failure(&delete(&first["rev"]), "path_write/conflict/file/");
    assert_eq!(delete(&second["rev"]).0, 200);
    is_failure(&write(update(&second), b"third"), "path/conflict/file/");
}

#[test]
fn a_person_may_copy_the_code_of_a_sign_in() {
    let peer = new_dropbox();
    let verifier = "a-verifier-of-forty-three-characters-at-least";
    let digest = ring::digest::digest(&ring::digest::SHA256, verifier.as_bytes());
    let challenge = URL_SAFE_NO_PAD.encode(digest);
    let consent = |extra: &str| {
        let page = format!(
            "{}/oauth2/authorize?response_type=code&client_id={}&state=st&code_challenge={challenge}\
             &code_challenge_method=S256{extra}",
            peer.endpoint, peer.client_id,
        );
        let (status, page) = ask(ureq::http::Request::get(page), b"");
        assert_eq!(status, 200);
        page.as_str().unwrap().strip_prefix("code: ").unwrap().to_owned()
    };
    let redeem = |code: &str| {
        let client = ("client_id", &*peer.client_id);
        let grant = ("grant_type", "authorization_code");
        token(&peer, &[grant, client, ("code", code), ("code_verifier", verifier)])
    };
    let (status, tokens) = redeem(&consent("&token_access_type=offline"));
    assert_eq!((status, &tokens["expires_in"]), (200, &json!(14400)));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let grant = ("grant_type", "refresh_token");
    let form = [grant, ("client_id", &*peer.client_id), ("refresh_token", refresh)];
    let (status, refreshed) = token(&peer, &form);
    assert_eq!((status, refreshed.get("refresh_token")), (200, None));
    // Else the access ends with the first token.
    assert_eq!(redeem(&consent("")).1.get("refresh_token"), None);

    let code = consent("&scope=account_info.read");
    let bearer = format!("Bearer {}", redeem(&code).1["access_token"].as_str().unwrap());
    let fields = [JSON, ("authorization", &*bearer)];
    let (status, reply) = post(&peer, "/2/files/list_folder", &fields, br#"{"path":""}"#);
    let missing = json!({ ".tag": "missing_scope", "required_scope": "files.metadata.read" });
    assert_eq!((status, &reply["error"]), (401, &missing));
    assert_eq!(post(&peer, "/2/auth/token/revoke", &fields, b"null"), (200, Value::Null));
    assert_eq!(token(&peer, &form).0, 400);
}
