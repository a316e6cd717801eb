//! The WebDAV adapter against real servers, against a stand-in for Nextcloud, and against servers
//! that answer nonsense.

mod nextcloud;

use crate::common::bench::TempFolder;
use crate::common::by_path::ByPath;
use crate::common::contract::{self, Bytes, Flaw, Notes, Server};
use crate::common::peers::{self, DavPeer};
use mooring::error::{Kind, Reaction, Result};
use mooring::hash::Hash;
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::model::{ItemKind, Version, from_hex};
use mooring::remote::{Descriptor, Entry, Expect, Place, Removal};
use mooring::services;
use nextcloud::Nextcloud;
use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// More than the adapter sends twice to find out what a server does; it knows no parts.
const LARGE: usize = (3 << 20) + 1;
/// As in [`contract`].
const SOME_TIME: i64 = 1_600_000_000_000_000_000;

#[test]
fn apache_passes() {
    // It looks at conditions before the bytes arrive, not after.
    passes(peers::apache(), |server| server.creates_once = false);
}

#[test]
fn apache_with_digest_passes() {
    passes(peers::apache_digest(), |server| server.creates_once = false);
}

#[test]
fn nginx_passes() {
    passes(peers::nginx(), |server| {
        server.creates_once = false;
        // It takes them and keeps quiet about them.
        server.refuses = &[".hidden", "..two dots"];
        server.removes_folders = false;
    });
}

#[test]
fn wsgidav_passes() {
    passes(peers::wsgidav(), |server| {
        server.drops_cut_writes = false;
        server.creates_once = false;
        // It decodes a Destination before it takes it apart.
        server.misplaces = ";?";
    });
}

#[test]
fn rclone_passes() {
    passes(peers::rclone_dav(), |server| {
        server.keeps_mtime = true;
        server.drops_cut_writes = false;
        server.creates_once = false;
    });
}

#[test]
fn nextcloud_passes() {
    let nextcloud = Nextcloud::start();
    let mut server = Server { large: LARGE, ..Server::of(descriptor()) };
    server.keeps_mtime = true;
    let remote = open(&nextcloud.url, "user", "password", "contract");
    contract::run_on(remote, descriptor(), &server);
}

#[test]
fn nextcloud_tells_a_change_anywhere_by_the_root() {
    let nextcloud = Nextcloud::start();
    let remote = open(&nextcloud.url, "user", "password", "");
    let version = |path: &str| {
        let entry = remote.stat(path, ItemKind::Folder).unwrap().unwrap();
        assert_eq!(entry.kind, ItemKind::Folder);
        entry.print.version
    };
    for folder in ["a", "a/b", "c"] {
        remote.make_folder(folder).unwrap();
    }
    let (root, a, c) = (version(""), version("a"), version("c"));
    assert!(!root.is_empty(), "a folder has no version");
    let written = write(remote, "a/b/file", b"bytes").unwrap();
    assert_eq!(written.print.mtime, Some(SOME_TIME));
    assert_ne!(version(""), root);
    assert_ne!(version("a"), a);
    assert_eq!(version("c"), c);
    let listed = list(remote, "a/b");
    let md5 = from_hex("4b3a6218bb3e3a7303e8a171a60fcf92").unwrap().try_into().unwrap();
    assert_eq!(listed[0].1.hash, Some(Hash::Md5(md5)));
}

#[test]
fn nextcloud_refuses_in_its_own_words() {
    let nextcloud = Nextcloud::start();
    let remote = open(&nextcloud.url, "user", "password", "");
    for (path, kind, reaction) in [
        ("too much", Kind::QuotaFull, Reaction::Wait),
        ("locked", Kind::Busy, Reaction::Wait),
        (".htaccess", Kind::BadName, Reaction::Skip),
        ("forbidden", Kind::Denied, Reaction::Skip),
        ("huge", Kind::TooLarge, Reaction::Skip),
        ("missing/file", Kind::NotFound, Reaction::Replan),
    ] {
        let error = write(remote, path, b"bytes").unwrap_err();
        assert_eq!((error.kind(), error.kind().reaction()), (kind, reaction), "{error}");
        assert!(error.reason().contains(path), "{error}");
    }
}

/// A reply that gets lost after the server did what it was asked: the repeated request meets our
/// own file, which is no conflict.
#[test]
fn a_lost_reply_is_no_conflict() {
    let nextcloud = Nextcloud::start();
    let remote = open(&nextcloud.url, "user", "password", "");
    write(remote, "first", b"teaches what the server can").unwrap();
    nextcloud.lose_next_reply_to_put();
    let entry = write(remote, "file", b"bytes").unwrap();
    assert_eq!(remote.stat("file", ItemKind::File).unwrap().unwrap().print, entry.print);

    nextcloud.lose_next_reply_to_put();
    let new = remote.write(
        "file",
        &Bytes::with(b"new bytes", Flaw::None),
        SOME_TIME,
        Expect::Version(&entry.print.version),
        &Notes::default(),
    );
    assert_eq!(new.unwrap().print.size, 9);
}

/// As rclone does when much goes on: the reply to a PUT, and now and then the first look after it,
/// tell the version that a file had before it got its time.
#[test]
fn a_version_from_before_the_file_got_its_time_isnt_believed() {
    let looks = Mutex::new(HashMap::new());
    let url = serve_with(move |request| {
        let name = request.target.trim_start_matches('/').to_owned();
        let mut looks = looks.lock().unwrap();
        let early = format!("ETag: \"{name} early\"\r\n");
        if request.method == "PUT" {
            return match looks.insert(name, 0) {
                Some(_) => respond("412 Precondition Failed", "", ""),
                None => respond("201 Created", &early, ""),
            };
        }
        let Some(count) = looks.get_mut(&name) else { return respond("404 Not Found", "", "") };
        *count += 1;
        let is_early = name.starts_with("hasty") && *count == 1;
        let (word, time) = match is_early {
            true => ("early", SystemTime::now()),
            false => ("late", SystemTime::UNIX_EPOCH + Duration::from_nanos(SOME_TIME as u64)),
        };
        let time = httpdate::fmt_http_date(time);
        let body = format!(
            "<d:multistatus xmlns:d='DAV:'><d:response><d:href>/{name}</d:href><d:propstat><d:prop>\
             <d:resourcetype/><d:getcontentlength>1</d:getcontentlength>\
             <d:getetag>\"{name} {word}\"</d:getetag><d:getlastmodified>{time}</d:getlastmodified>\
             </d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat></d:response></d:multistatus>"
        );
        respond("207 Multi-Status", "", &body)
    });
    let remote = open(&url, "", "", "");
    let content = Bytes::with(b"x", Flaw::None);
    let put = |name: &str, mtime: i64| {
        let written = remote.write(name, &content, mtime, Expect::Absent, &Notes::default());
        written.unwrap().print.version.as_str().to_owned()
    };
    assert_eq!(put("first", SOME_TIME), "first late");
    assert_eq!(put("hasty", SOME_TIME), "hasty late");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos();
    // It has the time of just now anyway, so nothing tells that it comes too early …
    assert_eq!(put("hasty-too", now as i64), "hasty-too early");
    // … but what replies to a PUT tell isn't believed for that.
    assert_eq!(put("last", SOME_TIME), "last late");
}

#[test]
fn a_wrong_password_is_told() {
    for peer in peers::dav_peers() {
        let remote = open(&peer.url, &peer.user, "wr0ng-s3cret", "");
        let error = remote.test().unwrap_err();
        assert_eq!(error.kind(), Kind::SignIn, "{}: {error}", peer.name);
        assert!(!format!("{error} {error:?}").contains("wr0ng"), "{}: {error}", peer.name);
        let error = open(&peer.url, "", "", "").test().unwrap_err();
        assert_eq!(error.kind(), Kind::SignIn, "{}: {error}", peer.name);
    }
}

/// nginx takes names that start with a dot, and never lists them: to the engine they would seem
/// removed.
#[test]
fn a_name_that_the_server_hides_is_refused() {
    let peer = peers::nginx();
    let remote = open(&peer.url, &peer.user, &peer.password, &peer.new_folder());
    write(remote, "file", b"bytes").unwrap();
    let version = remote.stat("file", ItemKind::File).unwrap().unwrap().print.version;
    let refused = [
        write(remote, ".hidden", b"bytes").map(drop),
        remote.make_folder(".hidden").map(drop),
        remote.rename("file", ".hidden", ItemKind::File, &version).map(drop),
        remote.copy("file", ".hidden", &version).map(drop),
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), Kind::BadName);
    }
    assert_eq!(remote.stat(".hidden", ItemKind::File).unwrap(), None);
    assert!(remote.stat("file", ItemKind::File).unwrap().is_some());
}

/// What nginx hides in a folder would go with it.
#[test]
fn a_folder_stays_where_not_all_that_is_in_it_is_listed() {
    let peer = peers::nginx();
    let root = peer.new_folder();
    let remote = open(&peer.url, &peer.user, &peer.password, &root);
    remote.make_folder("folder").unwrap();
    let here = TempFolder::new();
    let file = here.path().join("file");
    std::fs::write(&file, "somebody's").unwrap();
    let hidden = format!("peer:{root}/folder/.hidden");
    let put = peer.rclone(&["copyto", file.to_str().unwrap(), &hidden]);
    assert!(put.status.success(), "{put:?}");
    let stat = || remote.stat("folder/.hidden", ItemKind::File).unwrap();
    assert!(stat().is_some() && list(remote, "folder").is_empty());
    let (place, kind, version) = (Place::at("folder"), ItemKind::Folder, &Version::default());
    let mut removed = Vec::new();
    remote.remove(&[Removal { place, kind, version }], &mut |_, result| removed.push(result));
    assert!(stat().is_some(), "what somebody put there is gone");
    assert_eq!(removed.remove(0).unwrap_err().kind(), Kind::Denied);
}

#[test]
fn a_missing_root_is_missing_and_not_empty() {
    for peer in peers::dav_peers() {
        let remote = open(&peer.url, &peer.user, &peer.password, "never/made");
        assert_eq!(remote.stat("", ItemKind::Folder).unwrap(), None, "{}", peer.name);
        assert_eq!(remote.test().unwrap_err().kind(), Kind::NotFound, "{}", peer.name);
        let error = remote.list("", &mut |_, _| Ok(())).unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound, "{}: {error}", peer.name);
    }
}

#[test]
fn rclone_reads_what_we_write_and_we_what_it_writes() {
    for peer in peers::dav_peers() {
        let folder = peer.new_folder();
        let remote = open(&peer.url, &peer.user, &peer.password, &folder);
        let bytes = contract::pattern(200_000, 9);
        for (path, bytes) in [("ours é+&%25.txt", &bytes[..]), ("empty", b"")] {
            write(remote, path, bytes).unwrap();
            let output = peer.rclone(&["cat", &format!("peer:{folder}/{path}")]);
            assert!(output.status.success(), "{}: {output:?}", peer.name);
            assert!(output.stdout == bytes, "{}: rclone reads other bytes", peer.name);
        }

        let local = std::env::temp_dir().join(format!("{}-{folder}", std::process::id()));
        std::fs::create_dir_all(local.join("their folder")).unwrap();
        std::fs::write(local.join("their folder/their #1?.bin"), &bytes).unwrap();
        let output =
            peer.rclone(&["copy", local.to_str().unwrap(), &format!("peer:{folder}/from rclone")]);
        std::fs::remove_dir_all(&local).unwrap();
        assert!(output.status.success(), "{}: {output:?}", peer.name);
        let listed = list(remote, "from rclone/their folder");
        assert_eq!(listed.len(), 1, "{}: {listed:?}", peer.name);
        let (name, entry) = &listed[0];
        assert_eq!(name, "their #1?.bin", "{}", peer.name);
        let path = format!("from rclone/their folder/{name}");
        let mut download = remote.read(&path, &entry.print.version, 0..u64::MAX).unwrap();
        let mut got = Vec::new();
        download.reader.read_to_end(&mut got).unwrap();
        assert!(got == bytes, "{}: we read other bytes than rclone wrote", peer.name);
    }
}

#[test]
fn what_isnt_a_listing_is_never_an_empty_one() {
    let whole = r#"<?xml version="1.0"?><x:multistatus xmlns:x="DAV:">
        <x:response><x:href>/</x:href><x:propstat><x:prop><x:resourcetype><x:collection/>
        </x:resourcetype></x:prop><x:status>HTTP/1.1 200 OK</x:status></x:propstat></x:response>
        </x:multistatus>"#;
    let good = respond("207 Multi-Status", "", whole);
    assert!(open(&serve(good), "", "", "").list("", &mut |_, _| Ok(())).is_ok());

    let html = "<!DOCTYPE html><html><body>Please sign in</body></html>";
    let elsewhere = whole.replace("/</x:href>", "/other/</x:href>");
    let empty = r#"<d:multistatus xmlns:d="DAV:"/>"#;
    let no_space = whole.replace("xmlns:x=\"DAV:\"", "xmlns:x=\"dav\"");
    let half = &whole[..whole.len() / 2];
    let cut = format!("HTTP/1.1 207 M\r\nContent-Length: {}\r\n\r\n{half}", whole.len());
    let open_ended = format!("HTTP/1.1 207 M\r\nConnection: close\r\n\r\n{half}");
    for (name, reply, kind) in [
        ("HTML with 200", respond("200 OK", "", html), Kind::Protocol),
        ("HTML with 207", respond("207 Multi-Status", "", html), Kind::Protocol),
        ("nothing with 207", respond("207 Multi-Status", "", ""), Kind::Protocol),
        ("nothing with 204", respond("204 No Content", "", ""), Kind::Protocol),
        ("another folder", respond("207 Multi-Status", "", &elsewhere), Kind::Protocol),
        ("no folder at all", respond("207 Multi-Status", "", empty), Kind::Protocol),
        ("another namespace", respond("207 Multi-Status", "", &no_space), Kind::Protocol),
        ("half of it", respond("207 Multi-Status", "", half), Kind::Protocol),
        ("half of it, cut off", cut, Kind::Offline),
        ("half of it, to the end", open_ended, Kind::Protocol),
        ("not allowed", respond("405 Method Not Allowed", "", ""), Kind::Protocol),
        ("forbidden", respond("403 Forbidden", "", ""), Kind::Denied),
        ("not there", respond("404 Not Found", "", ""), Kind::NotFound),
        (
            "a move to another server",
            respond("302 Found", "Location: https://elsewhere.example/dav/\r\n", ""),
            Kind::Usage,
        ),
        ("a circle", respond("302 Found", "Location: /\r\n", ""), Kind::Usage),
        (
            "a sign-in nobody knows",
            respond("401 Unauthorized", "WWW-Authenticate: Negotiate\r\n", ""),
            Kind::SignIn,
        ),
    ] {
        let remote = open(&serve(reply), "user", "s3cret", "");
        let error = remote.list("", &mut |_, _| Ok(())).expect_err(name);
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert!(!error.to_string().contains("s3cret"), "{name}: {error}");
        assert!(remote.test().is_err(), "{name}: test() says it is fine");
    }
}

/// Sizes that no disk has keep no other file from coming.
#[test]
fn files_of_absurd_sizes_are_told() {
    let item = |path: &str| {
        let size = if path == "/small" { 5 } else { (1 << 63) + 5_u64 };
        let kind = if path == "/" { "<collection/>" } else { "" };
        format!(
            "<response><href>{path}</href><propstat><prop><resourcetype>{kind}</resourcetype>\
             <getetag>\"1\"</getetag><getcontentlength>{size}</getcontentlength></prop>\
             <status>HTTP/1.1 200 OK</status></propstat></response>"
        )
    };
    let told = move |paths: &[&str]| {
        let items: String = paths.iter().map(|path| item(path)).collect();
        respond("207 M", "", &format!(r#"<multistatus xmlns="DAV:">{items}</multistatus>"#))
    };
    let url = serve_with(move |request| match (&*request.method, &*request.target) {
        ("PROPFIND", "/") => told(&["/", "/huge", "/huge-too", "/small"]),
        ("PROPFIND", path) => told(&[path]),
        ("GET", "/small") => respond("200 OK", "ETag: \"1\"\r\n", "bytes"),
        _ => respond("200 OK", "ETag: \"1\"\r\n", "not so many"),
    });
    let folder = TempFolder::new();
    let local = folder.path().join("local");
    std::fs::create_dir(&local).unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mooring"));
        command.args(args).env("MOORING_STATE", folder.path().join("state")).output().unwrap()
    };
    let url = format!("url={url}");
    run(&["connection", "add", "cloud", "--service", "webdav", "--set", &url]);
    let place = ["--connection", "cloud", "--remote", "/", "--local", local.to_str().unwrap()];
    run(&[&["task", "add", "docs", "--direction", "download"], &place[..]].concat());
    let synced = run(&["sync", "docs", "--json"]);
    assert_eq!(synced.status.code(), Some(1), "{synced:?}");
    assert_eq!(std::fs::read(local.join("small")).unwrap(), b"bytes");
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let options = HttpOptions { idle: Duration::from_millis(100), ..HttpOptions::default() };
    let http = Http::new(&options, Cancel::default()).unwrap();
    let error = open_with(http, &url, "", "", "").unwrap().test().unwrap_err();
    assert_eq!(error.kind(), Kind::Offline, "{error}");
    drop(listener);
}

#[test]
fn an_address_that_makes_no_sense_is_refused() {
    for url in [
        "ftp://host/",
        "https://",
        "https:///path",
        "https://user:s3cret@host/",
        "https://host/?a=s3cret",
        "https://host/a/../b",
        "https://ho st/",
    ] {
        let http = Http::new(&HttpOptions::default(), Cancel::default()).unwrap();
        let error = open_with(http, url, "", "", "").map(drop).expect_err(url);
        assert_eq!(error.kind(), Kind::Usage, "{url}: {error}");
    }
}

#[test]
fn a_path_that_would_lead_elsewhere_is_refused() {
    let nextcloud = Nextcloud::start();
    let remote = open(&nextcloud.url, "user", "password", "");
    for path in ["..", "a/../b", "./a", "a//b"] {
        let error = write(remote, path, b"bytes").unwrap_err();
        assert_eq!(error.kind(), Kind::BadName, "{error}");
        let removal = Removal {
            place: Place::at(path),
            kind: ItemKind::Folder,
            version: &Version::default(),
        };
        remote.remove(&[removal], &mut |_, result| {
            assert_eq!(result.unwrap_err().kind(), Kind::BadName);
        });
    }
}

fn passes(peer: &DavPeer, expect: fn(&mut Server)) {
    let mut server = Server { large: LARGE, ..Server::of(descriptor()) };
    expect(&mut server);
    let root = format!("{}/root é + %20 #1", peer.new_folder());
    let remote = open(&peer.url, &peer.user, &peer.password, &root);
    contract::run_on(remote, descriptor(), &server);
}

fn descriptor() -> &'static Descriptor {
    services::find("webdav").unwrap().descriptor()
}

fn open(url: &str, user: &str, password: &str, root: &str) -> ByPath {
    let http = Http::new(&HttpOptions::default(), Cancel::default()).unwrap();
    open_with(http, url, user, password, root).unwrap()
}

fn open_with(http: Http, url: &str, user: &str, password: &str, root: &str) -> Result<ByPath> {
    let settings = [("url", url), ("user", user), ("password", password)];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string()));
    let settings = settings.into_iter().collect();
    services::find("webdav").unwrap().open(&settings, http, root).map(ByPath::new)
}

fn write(remote: ByPath, path: &str, bytes: &[u8]) -> Result<Entry> {
    let content = Bytes::with(bytes, Flaw::None);
    remote.write(path, &content, SOME_TIME, Expect::Absent, &Notes::default())
}

fn list(remote: ByPath, folder: &str) -> Vec<(String, Entry)> {
    let mut all = Vec::new();
    let listed = remote.list(folder, &mut |name, entry| {
        all.push((name.to_string(), entry));
        Ok(())
    });
    listed.unwrap();
    all
}

/// A server that gives this one reply to everything, and the address it does so at. It ends with
/// the process.
fn serve(reply: String) -> String {
    serve_with(move |_| reply.clone())
}

fn serve_with(reply: impl Fn(nextcloud::Request) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = nextcloud::read_request(&mut std::io::BufReader::new(&stream));
            // A client that has gone away is no failure of the server.
            let _ = request.map(|request| stream.write_all(reply(request).as_bytes()));
        }
    });
    url
}

fn respond(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}
