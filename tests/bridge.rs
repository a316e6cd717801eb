//! The bridge between the web server of a NAS and the daemon: whom it believes, and what it lets through.
//!
//! The web servers are real ones. What only DSM has is stood in for: the program that knows who is logged in, and its
//! desktop's call for the same.

use crate::common::bridge::{Bridge, Daemon, GOOD_TOKEN, Http, Sent, request};
use crate::common::contract::pattern;
use crate::common::peers::{self, CgiPeer, NOBODY};
use nix::unistd::geteuid;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What nginx says instead of what a program says that doesn't take a large body, and what servers say of a length that
/// isn't one.
const NOT_TAKEN: u16 = 502;
const NO_LENGTH: u16 = 400;

/// The right call, with header fields and perhaps a body.
fn post() -> Sent {
    Sent::new("POST", "/v1/request")
        .field("Cookie", "id=alice")
        .field("X-SYNO-TOKEN", GOOD_TOKEN)
        .field("Sec-Fetch-Site", "same-origin")
        .field("Content-Type", "application/json")
        .body(request())
}

fn get(path: &str) -> Sent {
    Sent::new("GET", path).field("Cookie", "id=alice").field("X-SYNO-TOKEN", GOOD_TOKEN)
}

fn everywhere(name: &str, test: impl Fn(&'static CgiPeer, &Bridge)) {
    for peer in peers::cgi_peers() {
        let bridge = Bridge::at(peer, name);
        test(peer, &bridge);
    }
}

#[test]
fn who_is_logged_in_is_told_to_the_daemon() {
    everywhere("relayed", |peer, bridge| {
        let daemon = Daemon::start(bridge);
        for (user, name, administrator) in [
            ("alice", "alice", false),
            ("admin", "admin", true),
            ("domain", "NAS%5CZo%C3%AB%20B", false),
        ] {
            let answer = bridge.send(post().field("Cookie", &format!("id={user}")));
            assert_eq!(
                (answer.status, answer.body["ok"].as_bool()),
                (200, Some(true)),
                "{}",
                peer.name
            );
            let asked = daemon.last();
            assert!(asked.starts_with("POST /v1/request HTTP/1.1\r\n"), "{asked}");
            assert!(asked.contains(&format!("\r\nmooring-user: {name}\r\n")), "{asked}");
            assert!(
                asked.contains(&format!("\r\nmooring-administrator: {administrator}\r\n")),
                "{asked}"
            );
            assert!(asked.ends_with(request()), "{asked}");
        }
        let answer = bridge.send(get("/v1/status"));
        assert_eq!((answer.status, answer.body["ok"].as_bool()), (200, Some(true)));
        assert!(daemon.last().starts_with("GET /v1/status HTTP/1.1\r\n"));
        assert_eq!(daemon.contacts(), 4);

        let answer = bridge.send(get("/v1/session").field("Cookie", "id=admin"));
        assert_eq!(
            (&answer.body["user"], &answer.body["administrator"]),
            (&"admin".into(), &true.into())
        );
        assert_eq!(answer.body["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(daemon.contacts(), 4);
    });
}

#[test]
fn the_program_of_the_nas_sees_only_what_it_understands() {
    everywhere("helper", |peer, bridge| {
        let _daemon = Daemon::start(bridge);
        let sent = post()
            .query("SynoToken=other&x=1")
            .field("Proxy", "http://evil")
            .field("REMOTE_USER", "admin");
        assert_eq!(bridge.send(sent).status, 200);
        let (variables, input) = bridge.seen();
        let value = |name: &str| {
            let line =
                variables.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(str::to_owned)
        };
        assert_eq!(value("REQUEST_METHOD").as_deref(), Some("GET"), "{}: {variables}", peer.name);
        assert_eq!(value("QUERY_STRING"), Some(format!("SynoToken={GOOD_TOKEN}")));
        assert_eq!(value("HTTP_COOKIE").as_deref(), Some("id=alice"));
        assert_eq!(value("REMOTE_ADDR").as_deref(), Some("127.0.0.1"));
        assert!(value("SERVER_ADDR").is_some() && value("SERVER_PORT").is_some(), "{variables}");
        for absent in [
            "CONTENT_LENGTH",
            "CONTENT_TYPE",
            "HTTP_PROXY",
            "REMOTE_USER",
            "HTTP_REMOTE_USER",
            "PATH_INFO",
        ] {
            assert_eq!(value(absent), None, "{absent}");
        }
        assert_eq!(input, "");
    });
}

#[test]
fn hostile_requests_get_nothing_and_dont_reach_the_daemon() {
    everywhere("hostile", |peer, bridge| {
        let daemon = Daemon::start(bridge);
        let large = "x".repeat(10 << 20);
        let foreign = "https://evil.example.com";
        let of = |sent: Sent| sent.without("Cookie");
        for (what, sent, expected) in [
            ("no cookie", of(post()), "sign-in"),
            ("another's cookie", post().field("Cookie", "id=nobody-we-know"), "sign-in"),
            ("root", post().field("Cookie", "id=root"), "sign-in"),
            ("a name of two lines", post().field("Cookie", "id=lines"), "sign-in"),
            ("a wrong token", post().field("X-SYNO-TOKEN", "wrong"), "sign-in"),
            ("no token", post().without("X-SYNO-TOKEN"), "denied"),
            (
                "another token in the query",
                post().without("X-SYNO-TOKEN").query("SynoToken=wrong"),
                "sign-in",
            ),
            ("another site", post().field("Sec-Fetch-Site", "cross-site"), "denied"),
            ("a site beside", post().field("Sec-Fetch-Site", "same-site"), "denied"),
            ("no word of a site", post().without("Sec-Fetch-Site"), "denied"),
            (
                "a foreign origin",
                post().without("Sec-Fetch-Site").field("Origin", foreign),
                "denied",
            ),
            ("no origin", post().without("Sec-Fetch-Site").field("Origin", "null"), "denied"),
            ("a form", post().field("Content-Type", "application/x-www-form-urlencoded"), "usage"),
            ("plain text", post().field("Content-Type", "text/plain"), "usage"),
            ("no kind", post().without("Content-Type"), "usage"),
            ("a large body", post().body(&large), "too-large"),
            ("a body of another length", post().body("").field("Content-Length", "0x10"), "usage"),
            (
                "a forged user",
                of(post()).field("mooring-user", "admin").field("mooring-administrator", "true"),
                "sign-in",
            ),
            (
                "a forged user of the server",
                of(post()).field("REMOTE_USER", "admin").field("X-Remote-User", "admin"),
                "sign-in",
            ),
            ("a helper in the query", of(post()).query("--helper+/bin/echo"), "sign-in"),
            ("another method", post().method("PUT"), "usage"),
            ("a call of the daemon", get("/v1/tasks/docs/sync").method("POST"), "not-found"),
            ("no call", post().path(""), "not-found"),
            ("another spelling", post().path("/v1/%72equest"), "not-found"),
            ("a way around", post().path("/x/../v1/request"), "not-found"),
            ("two slashes", post().path("//v1/request"), "not-found"),
            ("a slash at the end", post().path("/v1/request/"), "not-found"),
        ] {
            let answer = bridge.send(sent);
            let by_server = match answer.status {
                NOT_TAKEN => expected == "too-large",
                NO_LENGTH => what == "a body of another length",
                _ => false,
            };
            let is_told = answer.status == 200 && answer.body["error"]["kind"] == expected;
            assert!(
                is_told || by_server,
                "{}: {what}: {} {}",
                peer.name,
                answer.status,
                answer.text
            );
            assert!(
                !answer.text.contains("alice") && !answer.text.contains("true"),
                "{what}: {}",
                answer.text
            );
        }
        for (what, sent) in [
            ("no cookie", of(get("/v1/status"))),
            ("no cookie", of(get("/v1/session"))),
            ("another's cookie", get("/v1/status").field("Cookie", "id=nobody-we-know")),
            ("a wrong token", get("/v1/session").field("X-SYNO-TOKEN", "wrong")),
            ("a change", get("/v1/request").body(request())),
            ("the daemon's log", get("/v1/log")),
            (
                "a helper in the query",
                of(get("/v1/session")).query("--helper+/bin/echo+--id+/bin/echo"),
            ),
        ] {
            let answer = bridge.send(sent);
            assert_eq!(
                (answer.status, answer.body["error"]["kind"].is_string()),
                (200, true),
                "{what}"
            );
            assert!(answer.body["user"].is_null(), "{what}: {}", answer.text);
        }
        // Web servers refuse this themselves.
        let huge = get("/v1/status").field("X-Huge", &"x".repeat(100 << 10));
        for sent in [huge, post().path("/../../../../etc/passwd")] {
            let answer = bridge.send(sent);
            assert!((400..500).contains(&answer.status), "{}: {}", peer.name, answer.text);
        }
        assert_eq!(daemon.contacts(), 0, "{}", peer.name);
        assert_eq!(bridge.send(post().field("X-Large", &"x".repeat(7 << 10))).status, 200);
        assert_eq!(daemon.contacts(), 1);
    });
}

#[test]
fn a_body_that_doesnt_come_is_waited_for_a_while_only() {
    std::thread::scope(|scope| {
        for peer in peers::cgi_peers() {
            scope.spawn(move || {
                let bridge = Bridge::at(peer, "slow");
                let daemon = Daemon::start(&bridge);
                // They wait for it themselves, and some say nothing in the end.
                let answer = bridge.send_part(post(), request().len() / 2);
                assert!(answer.is_none_or(|it| it.body["ok"].is_null()), "{}", peer.name);
                assert_eq!(daemon.contacts(), 0);
            });
        }
        scope.spawn(|| {
            let bridge = Bridge::alone("slow");
            let daemon = Daemon::start(&bridge);
            let answer = bridge.run_slowly(post(), &request()[1..]);
            assert_eq!(daemon.contacts(), 0);
            assert_eq!(
                answer.body["error"]["reason"], "the request: its body didn't arrive in time",
                "{}",
                answer.text
            );
            assert_eq!(bridge.run_slowly(post(), request()).body["ok"], true);
        });
    });
}

#[test]
fn every_answer_says_what_it_is_and_is_kept_by_nobody() {
    everywhere("headers", |_, bridge| {
        let _daemon = Daemon::start(bridge);
        let options = post().method("OPTIONS").field("Origin", "https://evil.example.com");
        for sent in [
            post(),
            get("/v1/status"),
            get("/v1/session"),
            post().without("Cookie"),
            get("/x"),
            options,
        ] {
            let answer = bridge.send(sent);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert!(!answer.head.to_lowercase().contains("access-control-"), "{}", answer.head);
        }
    });
}

#[test]
fn a_daemon_that_isnt_there_or_hangs_up_is_told() {
    everywhere("down", |_, bridge| {
        for sent in [get("/v1/status"), post()] {
            let answer = bridge.send(sent);
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body["error"]["kind"], "offline", "{}", answer.text);
            assert_eq!(answer.body["error"]["reason"], "Mooring: it isn't running");
            assert_eq!(answer.body["error"]["remedy"], "start it in Package Center");
        }
        let _daemon = Daemon::silent(bridge);
        let answer = bridge.send(post());
        assert_eq!((answer.status, &answer.body["error"]["kind"]), (200, &"offline".into()));
    });
}

#[test]
fn the_daemon_answers_the_users_of_the_nas() {
    everywhere("whole", |peer, bridge| {
        let _daemon = bridge.real_daemon();
        let answer = bridge.send(get("/v1/status"));
        assert_eq!(answer.body["daemon"], true, "{}: {}", peer.name, answer.text);
        let services = post().body(r#"{"request":"service_list"}"#);
        assert!(bridge.send(services).body[0]["name"].is_string());
        let answer = bridge.send(post().body("not JSON"));
        assert_eq!((answer.status, &answer.body["error"]["kind"]), (200, &"usage".into()));
    });
}

#[test]
fn what_is_refused_is_told_though_the_web_server_has_pages_of_its_own() {
    everywhere("refused", |peer, bridge| {
        for status in [400, 401, 403, 404, 409, 500, 503] {
            let _daemon = Daemon::answering(bridge, status, r#"{"error":{"kind":"approval"}}"#);
            for sent in [post(), get("/v1/status")] {
                let answer = bridge.send(sent);
                let told = (answer.status, &answer.body["error"]["kind"]);
                assert_eq!(told, (200, &"approval".into()), "{}: {status}", peer.name);
            }
        }
    });
}

#[test]
fn what_is_empty_is_absent() {
    let bridge = Bridge::alone("empty");
    let _daemon = Daemon::start(&bridge);
    let empty = [
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
        "HTTP_ORIGIN",
        "REMOTE_USER",
        "HTTPS",
        "REQUEST_URI",
        "QUERY_STRING",
    ];
    let variables = empty.map(|name| (name, ""));
    let answer = bridge.run(get("/v1/status"), &variables, "");
    assert_eq!((answer.status, answer.body["ok"].as_bool()), (200, Some(true)), "{}", answer.text);
    for missing in [
        "HTTP_COOKIE",
        "HTTP_X_SYNO_TOKEN",
        "HTTP_SEC_FETCH_SITE",
        "CONTENT_TYPE",
        "CONTENT_LENGTH",
    ] {
        let answer = bridge.run(post(), &[(missing, "")], request());
        assert!(answer.body["error"]["kind"].is_string(), "{missing}: {}", answer.text);
    }
    let answer = bridge.run(post(), &[("CONTENT_LENGTH", "4000")], request());
    assert_eq!(answer.body["error"]["kind"], "usage", "{}", answer.text);
}

#[test]
fn nothing_after_the_name_of_a_cgi_program_counts() {
    let bridge = Bridge::alone("arguments");
    let program = bridge.folder.join("mooring.cgi");
    symlink(env!("CARGO_BIN_EXE_mooring"), &program).unwrap();
    let helper = bridge.folder.join("helper");
    let words = ["cgi", "--helper", helper.to_str().unwrap(), "--version"];
    let answer = bridge.run_by(&program, &words, get("/v1/session"), &[], "");
    // The program of DSM isn't there.
    assert_eq!(answer.body["error"]["kind"], "sign-in", "{}", answer.text);
    assert!(!bridge.folder.join("seen").exists());
}

#[test]
fn where_the_program_may_not_be_run_the_desktop_is_asked() {
    let bridge = Bridge::alone("desktop");
    let daemon = Daemon::start(&bridge);
    fs::set_permissions(bridge.folder.join("helper"), fs::Permissions::from_mode(0o644)).unwrap();
    let session = |user: &str, admin: &str| {
        format!(
            r#"{{"success":true,"data":{{"Session":{{"user":{user},"is_admin":{admin},"more":1}},"more":[]}}}}"#
        )
    };
    let good = session(r#""alice b""#, "false");
    let asks = |server: &Http, https: &str| {
        bridge.run(get("/v1/session"), &[("SERVER_PORT", &server.port), ("HTTPS", https)], "")
    };
    for (tls, https) in [(false, ""), (true, "on")] {
        let server = Http::start(200, &good, tls);
        let answer = asks(&server, https);
        assert_eq!(
            (&answer.body["user"], &answer.body["administrator"]),
            (&"alice b".into(), &false.into())
        );
        let asked = server.asked();
        assert!(
            asked.starts_with(
                "GET /webapi/entry.cgi?api=SYNO.Core.Desktop.Initdata&version=1&method="
            ),
            "{asked}"
        );
        let asked = asked.to_lowercase();
        assert!(asked.contains("\r\ncookie: id=alice\r\n"), "{asked}");
        assert!(
            asked.contains(&format!("\r\nx-syno-token: {}\r\n", GOOD_TOKEN.to_lowercase())),
            "{asked}"
        );
    }
    let admin = Http::start(200, &session(r#""admin""#, "true"), false);
    assert_eq!(asks(&admin, "").body["administrator"], true);
    let elsewhere = Http::start(200, &good, false);
    let redirect = format!("Location: http://127.0.0.1:{}/\r\n", elsewhere.port);
    for (status, body) in [
        (302, redirect.as_str()),
        (401, &good),
        (500, &good),
        (204, ""),
        (200, ""),
        (200, "not JSON"),
        (200, &good.replace("true", "false")),
        (200, &good.replace(r#""success":true,"#, "")),
        (200, &session(r#""alice""#, "null")),
        (200, &session(r#""alice""#, "1")),
        (200, &session(r#""alice""#, r#""true""#)),
        (200, r#"{"success":true,"data":{"Session":{"user":"alice"}}}"#),
        (200, r#"{"success":true,"data":{}}"#),
        (200, &session("1", "true")),
        (200, &session("null", "true")),
        (200, &session(r#""""#, "true")),
        (200, &session(r#""root""#, "true")),
        (200, &session(r#""a\nb""#, "true")),
    ] {
        let server = Http::start(status, body, false);
        let answer = asks(&server, "");
        assert_eq!(answer.body["error"]["kind"], "sign-in", "{status} {body}: {}", answer.text);
    }
    assert_eq!(elsewhere.asked(), "");
    for port in ["", "80@evil.example.com", "0", "99999", "1"] {
        let answer = bridge.run(get("/v1/session"), &[("SERVER_PORT", port)], "");
        assert_eq!(answer.body["error"]["kind"], "sign-in", "{port}: {}", answer.text);
    }
    let no_cookie =
        bridge.run(get("/v1/session").without("Cookie"), &[("SERVER_PORT", &admin.port)], "");
    assert_eq!(no_cookie.body["error"]["kind"], "sign-in");
    assert_eq!(daemon.contacts(), 0);
}

#[test]
fn a_user_whom_the_system_doesnt_know_is_nobody() {
    let bridge = Bridge::alone("unknown");
    let daemon = Daemon::start(&bridge);
    // The program that knows who is logged in knows more than the one that knows groups.
    let answer = bridge.run(post().field("Cookie", "id=deleted"), &[], request());
    assert_eq!(answer.body["error"]["kind"], "denied", "{}", answer.text);
    for script in [
        "#!/bin/sh\n",
        "#!/bin/sh\necho alice; exit 1\n",
        "#!/bin/sh\nexec yes alice\n",
        "#!/bin/sh\nprintf '\\377'\n",
    ] {
        bridge.program("helper", script);
        let answer = bridge.run(post(), &[], request());
        assert_eq!(answer.body["error"]["kind"], "sign-in", "{script}: {}", answer.text);
    }
    assert_eq!(daemon.contacts(), 0);
}

#[test]
fn both_ends_look_who_is_at_the_other() {
    // Only root can be somebody else.
    if !geteuid().is_root() {
        return;
    }
    let bridge = Bridge::alone("ends");
    let as_nobody = |command: &mut Command| {
        command.uid(NOBODY).gid(NOBODY);
    };
    let daemon = Daemon::start(&bridge);
    // The folder is nobody's, and the socket root's.
    chown(bridge.state(), Some(NOBODY), Some(NOBODY)).unwrap();
    let answer = bridge.run_as(as_nobody, post(), &[], request());
    assert_eq!(
        (answer.status, &answer.body["error"]["kind"]),
        (200, &"denied".into()),
        "{}",
        answer.text
    );
    assert_eq!(daemon.said(), "");
    drop(daemon);

    // Who may not enter the folder doesn't know whether a daemon runs.
    chown(bridge.state(), Some(0), Some(0)).unwrap();
    fs::set_permissions(bridge.state(), fs::Permissions::from_mode(0o700)).unwrap();
    let answer = bridge.run_as(as_nobody, post(), &[], request());
    let reason = answer.body["error"]["reason"].as_str().unwrap_or_default();
    assert_eq!(answer.body["error"]["kind"], "denied", "{}", answer.text);
    assert!(reason.contains(&format!("as user {NOBODY}, who may not ask the daemon")), "{reason}");

    // Root's own bridge becomes the owner of the folder, whose daemon it is.
    let daemon = bridge.real_daemon_as(as_nobody);
    let answer = bridge.run(
        post().body(r#"{"request":"service_list"}"#),
        &[],
        r#"{"request":"service_list"}"#,
    );
    assert_eq!(answer.status, 200, "{}", answer.text);
    // Root may ask as itself, and for nobody else.
    let ask = |fields| bridge.ask_daemon(fields, "POST /v1/request", request()).status;
    assert_eq!(ask(""), 200);
    assert_eq!(ask("mooring-user: alice\r\nmooring-administrator: true\r\n"), 403);
    drop(daemon);

    // A daemon of root's that lets others in.
    let _daemon = bridge.real_daemon();
    assert_eq!(fs::metadata(bridge.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    for path in [bridge.state(), bridge.socket()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let answer = bridge.run_as(as_nobody, post(), &[], request());
    assert_eq!(
        (answer.status, &answer.body["error"]["kind"]),
        (200, &"denied".into()),
        "{}",
        answer.text
    );
}

#[test]
fn a_long_answer_comes_whole() {
    everywhere("long", |_, bridge| {
        let text: String =
            pattern(3 << 20, 7).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
        let document = format!(r#"{{"ok":"{text}"}}"#);
        let _daemon = Daemon::answering(bridge, 200, &document);
        assert!(bridge.send(get("/v1/status")).text == document);
    });
}
