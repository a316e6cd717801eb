//! The adapter of Azure Blob Storage on Azurite, and on stubs where a server has to misbehave.

use crate::common::contract::{self, Breaks, Notes, pattern};
use crate::common::dice::Dice;
use crate::common::opened::{Opened, TIME};
use crate::common::peers::{AzurePeer, azurite, python};
use crate::common::proxy::{Act, Proxy, Request, reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mooring::content::Content;
use mooring::error::{Kind, Result};
use mooring::hash::Hash;
use mooring::http::shared_key::{Signable, Signer};
use mooring::http::sigv4::{encode_path, encode_query};
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::model::{ItemKind, Version};
use mooring::remote::{Entry, Expect, Special};
use mooring::services;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, SystemTime};

fn try_open(settings: &[(&str, &str)], root: &str, idle: Duration) -> Result<Opened> {
    Opened::new("azure-blob", settings, root, &HttpOptions { idle, ..HttpOptions::default() })
}

fn open(settings: &[(&str, &str)], root: &str) -> Opened {
    try_open(settings, root, Duration::from_secs(30)).unwrap()
}

fn open_at(peer: &AzurePeer, endpoint: &str, container: &str, root: &str) -> Opened {
    let settings = [
        ("endpoint", endpoint),
        ("account", &peer.account),
        ("container", container),
        ("account-key", &peer.key),
        ("block-size", "5"),
    ];
    open(&settings, root)
}

fn open_peer(container: &str, root: &str) -> Opened {
    open_at(azurite(), &azurite().endpoint, container, root)
}

/// Opens a new container by way of a proxy, whose plan is made later.
fn open_behind_proxy(peer: &AzurePeer) -> (Opened, Proxy) {
    let (server, path) = peer.endpoint.trim_start_matches("http://").split_once('/').unwrap();
    let proxy = Proxy::start(server);
    let endpoint = format!("http://{}/{path}", proxy.address);
    (open_at(peer, &endpoint, &peer.new_container(), ""), proxy)
}

/// Opens a server that answers everything so.
fn open_stub(answer: impl Fn(&Request) -> String + Send + Sync + 'static) -> Opened {
    let proxy = Proxy::start("127.0.0.1:9");
    proxy.plan(move |request| Act::Answer(answer(request)));
    let endpoint = format!("http://{}/account", proxy.address);
    let settings = [
        ("endpoint", endpoint.as_str()),
        ("account", "account"),
        ("container", "container"),
        ("account-key", "c2VjcmV0"),
    ];
    try_open(&settings, "", Duration::from_secs(1)).unwrap()
}

#[test]
fn azurite_keeps_the_contract() {
    let opened = open_peer(&azurite().new_container(), "some/root é+");
    contract::run(opened.remote, services::find("azure-blob").unwrap().descriptor());
}

#[test]
fn a_shared_access_signature_does_as_well() {
    let peer = azurite();
    let container = peer.new_container();
    let token = peer.sas(&container, "rwdl");
    let open_with = |sas: &str| {
        let settings = [
            ("endpoint", peer.endpoint.as_str()),
            ("account", &peer.account),
            ("container", &container),
            ("sas", sas),
            ("block-size", "5"),
        ];
        open(&settings, "root")
    };
    let opened = open_with(&token);
    contract::run(opened.remote, services::find("azure-blob").unwrap().descriptor());
    for address in [peer.endpoint.clone(), format!("{}/{container}", peer.endpoint), "".into()] {
        open_with(&format!("{address}?{token}")).remote.test().unwrap();
    }

    // What it doesn't allow concerns the item, and the advice is what to make instead.
    let limited = open_with(&peer.sas(&container, "rl"));
    limited.remote.test().unwrap();
    let error = limited.create("file", b"bytes").unwrap_err();
    assert!(error.advice().contains("signature"), "{error}");
    assert!(!error.to_string().contains("sig="), "{error}");
}

#[test]
fn signatures_are_those_of_the_official_sdk() {
    let (account, key) = ("anaccount", b"a key of the account");
    let mut dice = Dice::new(2_026);
    let text = |dice: &mut Dice, letters: &str, most: u64| {
        let letters: Vec<char> = letters.chars().collect();
        (0..dice.roll(most + 1)).filter_map(|_| dice.pick(&letters)).collect::<String>()
    };
    let (mut asked, mut signed) = (String::new(), Vec::new());
    for number in 0..10_000_u64 {
        let method = dice.pick(&["GET", "HEAD", "PUT", "DELETE", "POST"]).unwrap();
        let path = format!("/a{}", text(&mut dice, "aZ9-._~/ +%&?#é日😀'", 20));
        let path = encode_path(&path);
        let mut query = BTreeMap::new();
        for name in ["comp", "restype", "prefix", "marker", "blockid", "include"] {
            if dice.roll(3) == 0 {
                query.insert(name, format!("v{}", text(&mut dice, "aZ9=+/% &é😀,", 9)));
            }
        }
        let query: Vec<_> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut headers = BTreeMap::from([("x-ms-version".to_owned(), "2021-12-02".to_owned())]);
        for name in ["content-md5", "content-type", "if-match", "if-none-match", "content-encoding"]
        {
            if dice.roll(3) == 0 {
                headers.insert(name.into(), format!("v{}", text(&mut dice, "aZ9\"*=/", 9)));
            }
        }
        for _ in 0..dice.roll(6) {
            let name = format!("x-ms-{}", text(&mut dice, "abz09-_", 6));
            headers.insert(format!("{name}m"), text(&mut dice, "aZ9:;=/ ", 9));
        }
        let length = *dice.pick(&[0, 1, 123_456_789_012]).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(number * 400_000);
        let own: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let request = Signable { method, path: &path, query: &query, headers: &own, length };
        let [(_, date), (_, authorization)] = Signer { account, key }.sign(&request, time);
        headers.insert("x-ms-date".into(), date);
        headers.insert("content-length".into(), length.to_string());
        let query = encode_query(&query);
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("https://{account}.blob.core.windows.net{path}{mark}{query}");
        let line = json!({ "method": method, "url": url, "headers": headers });
        asked.push_str(&format!("{line}\n"));
        signed.push(authorization);
    }
    let script = "azure_sign.py";
    let mut sdk = python(script);
    sdk.args(["requests", account, &BASE64.encode(key)]);
    let mut sdk = sdk.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = sdk.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(asked.as_bytes()).map(|()| asked));
    let said = String::from_utf8(sdk.wait_with_output().unwrap().stdout).unwrap();
    let asked = writer.join().unwrap().unwrap();
    assert_eq!(said.lines().count(), signed.len());
    for ((theirs, ours), request) in said.lines().zip(&signed).zip(asked.lines()) {
        assert_eq!(theirs, ours, "{request}");
    }
}

#[test]
fn each_call_takes_few_requests() {
    let opened = open_peer(&azurite().new_container(), "root");
    let mut version = Version::default();
    let small = opened.requests(|| version = opened.create("a", b"1").unwrap().print.version);
    assert_eq!(small, 1, "a small file");
    let over = Expect::Version(&version);
    assert_eq!(opened.requests(|| opened.write("a", b"2", over).unwrap()), 1, "a new version");
    let large = opened.requests(|| opened.create("large", &pattern(11 << 20, 1)).unwrap());
    assert_eq!(large, 2 + 3 + 1, "looks at the blob and at its blocks, three blocks, their list");
    version = opened.stat("a").unwrap().print.version;
    let rename = || opened.remote.rename("a", "b", ItemKind::File, &version).unwrap();
    assert_eq!(opened.requests(rename), 3, "a copy, a look at it, a removal");
    version = opened.stat("b").unwrap().print.version;
    assert_eq!(opened.requests(|| opened.remove("b", ItemKind::File, &version).unwrap()), 1);
}

#[test]
fn an_upload_goes_on_where_it_stopped() {
    let opened = open_peer(&azurite().new_container(), "");
    let bytes = pattern((12 << 20) + 5, 9);
    let content = Breaks::at(&bytes, 11 << 20);
    let write = |content: &dyn Content| {
        opened.remote.write("large", content, TIME, Expect::Absent, &Notes::default())
    };
    assert_eq!(write(&content).unwrap_err().kind(), Kind::Cancelled);
    assert!(opened.told().unwrap().is_empty() && opened.stat("large").is_none());
    content.broken.store(false, SeqCst);
    let before = opened.bytes_up();
    let entry = write(&content).unwrap();
    assert!(opened.bytes_up() - before < 3 << 20, "blocks were sent again");
    assert!(opened.content("large") == bytes);
    assert_eq!(opened.stat("large").unwrap(), entry);
    assert!(entry.hash.is_some());

    // Blocks of another content are of no use, though size and time are the same.
    let other = pattern((12 << 20) + 5, 10);
    let over = Expect::Version(&entry.print.version);
    let half = Breaks::at(&other, 11 << 20);
    let stopped = opened.remote.write("large", &half, TIME, over, &Notes::default());
    assert_eq!(stopped.unwrap_err().kind(), Kind::Cancelled);
    let third = pattern((12 << 20) + 5, 11);
    opened.write("large", &third, over).unwrap();
    assert!(opened.content("large") == third);
}

#[test]
fn rclone_and_we_read_each_others_times_and_hashes() {
    let peer = azurite();
    let container = peer.new_container();
    let opened = open_peer(&container, "");
    let version = opened.create("ours", b"ours").unwrap().print.version;
    opened.remote.copy("ours", "ours, copied", &version).unwrap();
    opened.create("ours, large", &pattern(6 << 20, 1)).unwrap();
    let lsjson = peer.rclone(&["lsjson", "--hash", &format!("peer:{container}")]);
    let lsjson = String::from_utf8(lsjson.stdout).unwrap();
    assert_eq!(lsjson.matches("2020-09-13T12:26:40.123456789Z").count(), 3, "{lsjson}");
    assert_eq!(lsjson.matches("md5").count(), 3, "{lsjson}");

    let file = std::env::temp_dir().join(format!("mooring-{}-{container}", std::process::id()));
    std::fs::write(&file, b"theirs").unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 250_000_000);
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
    let to = format!("peer:{container}/theirs");
    assert!(peer.rclone(&["copyto", file.to_str().unwrap(), &to]).status.success());
    std::fs::remove_file(&file).unwrap();
    let entry = opened.stat("theirs").unwrap();
    assert_eq!(entry.print.mtime, Some(1_500_000_000_250_000_000));
    assert!(matches!(entry.hash, Some(Hash::Md5([0xce, ..]))));
    let mut listed = None;
    let list = opened.remote.list("", &mut |path, entry| {
        listed = (path == "theirs").then_some(entry).or(listed.take());
        Ok(())
    });
    list.unwrap();
    assert_eq!(listed, Some(entry));
}

/// Makes blobs as another program would, with these metadata.
fn put_raw(container: &str, blobs: &[(&str, &[u8], &str)]) {
    let peer = azurite();
    let script = "azure_put.py";
    let blobs: Vec<_> =
        blobs.iter().map(|(name, bytes, key)| json!([name, BASE64.encode(bytes), key])).collect();
    let mut command = python(script);
    command.args([&peer.endpoint, &peer.key, container, &json!(blobs).to_string()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn folders_of_every_style_are_known_and_go_when_they_are_empty() {
    let container = azurite().new_container();
    let blobs: [(&str, &[u8], &str); 9] = [
        ("hdi", b"", "hdi_isfolder"),
        ("hdi-file", b"1", ""),
        ("hdi.full", b"", "Hdi_isfolder"),
        ("hdi.full/file", b"2", ""),
        ("slash/", b"", "hdi_isfolder"),
        ("plain/", b"", ""),
        ("synology/.synoemptyblob", b"", ""),
        ("synology, full/-1", b"3", ""),
        ("synology, full/.synoemptyblob", b"", ""),
    ];
    put_raw(&container, &blobs);
    let opened = open_peer(&container, "");
    let expected = [
        "hdi-file",
        "hdi.full/",
        "hdi.full/file",
        "hdi/",
        "plain/",
        "slash/",
        "synology, full/-1",
        "synology/",
    ];
    assert_eq!(opened.told().unwrap(), expected);
    let mut folders = Vec::new();
    let tell = opened.remote.folders(&mut |name| {
        folders.push(name.to_owned());
        Ok(())
    });
    tell.unwrap();
    folders.sort();
    assert_eq!(folders, ["hdi", "hdi.full", "plain", "slash", "synology", "synology, full"]);

    let none = Version::default();
    for name in ["hdi", "slash", "plain", "synology"] {
        let folder = || opened.remote.stat(name, ItemKind::Folder).unwrap();
        assert_eq!(folder(), Some(Entry::folder("")), "{name}");
        assert_eq!(opened.stat(name), None, "{name}");
        opened.remote.make_folder(name).unwrap();
        opened.remove(name, ItemKind::Folder, &none).unwrap();
        assert_eq!(folder(), None, "{name}");
    }
    let full = opened.remove("hdi.full", ItemKind::Folder, &none);
    assert_eq!(full.unwrap_err().kind(), Kind::Exists);
    let file = opened.remote.make_folder("hdi-file");
    assert_eq!(file.unwrap_err().kind(), Kind::Exists);
    assert_eq!(
        opened.told().unwrap(),
        ["hdi-file", "hdi.full/", "hdi.full/file", "synology, full/-1"]
    );
}

#[test]
fn names_are_told_in_the_order_of_their_bytes() {
    let container = azurite().new_container();
    let opened = open_peer(&container, "");
    let names = [
        "\u{1f600}/\u{1f600}",
        "\u{1f600}/\u{ff01}",
        "\u{1f600}-",
        "\u{ff01}",
        "\u{ff01}\u{1f600}",
        "\u{ff02}",
        "a\u{1f600}",
        "a\u{ff01}",
        "ab",
        "z\u{1f600}",
    ];
    for name in names {
        opened.create(name, name.as_bytes()).unwrap();
    }
    opened.remote.make_folder("\u{1f600} empty").unwrap();
    let mut expected: Vec<_> = names.map(str::to_owned).into();
    expected.push("\u{1f600} empty/".into());
    expected.sort();
    assert_eq!(opened.told().unwrap(), expected);
}

#[test]
fn what_is_archived_is_told_and_not_read() {
    let peer = azurite();
    let container = peer.new_container();
    let opened = open_peer(&container, "");
    let version = opened.create("cold storage", b"bytes").unwrap().print.version;
    let archived = |opened: &Opened| {
        let mut special = None;
        let list = opened.remote.list("", &mut |_, entry| {
            special = entry.special;
            Ok(())
        });
        list.unwrap();
        assert_eq!(opened.stat("cold storage").unwrap().special, special);
        special
    };
    assert_eq!(archived(&opened), None);
    let place = format!("peer:{container}/cold storage");
    assert!(peer.rclone(&["settier", "Archive", &place]).status.success());
    assert_eq!(archived(&opened), Some(Special::Archived));
    let error = opened.remote.read("cold storage", &version, 0..u64::MAX).map(drop).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.advice().contains("rehydrate"), "{error}");
}

#[test]
fn what_is_written_has_the_tier_that_was_asked_for() {
    let peer = azurite();
    for (tier, stored) in [("hot", "Hot"), ("cool", "Cool"), ("cold", "Cold")] {
        let container = peer.new_container();
        let settings = [
            ("endpoint", peer.endpoint.as_str()),
            ("account", &peer.account),
            ("container", &container),
            ("account-key", &peer.key),
            ("block-size", "1"),
            ("access-tier", tier),
        ];
        let opened = open(&settings, "");
        let version = opened.create("small", b"1").unwrap().print.version;
        opened.create("in blocks", &pattern(2 << 20, 1)).unwrap();
        opened.remote.copy("small", "copied", &version).unwrap();
        let tiers = peer.rclone(&["lsf", "--format", "T", &format!("peer:{container}")]);
        let tiers = String::from_utf8(tiers.stdout).unwrap();
        assert_eq!(tiers.lines().collect::<Vec<_>>(), [stored; 3]);
    }
}

#[test]
fn what_is_wrong_is_said() {
    let peer = azurite();
    let container = peer.new_container();
    let open_with = |account: &str, key: &str, container: &str| {
        let endpoint = peer.endpoint.replace(&peer.account, account);
        let settings = [
            ("endpoint", endpoint.as_str()),
            ("account", account),
            ("container", container),
            ("account-key", key),
        ];
        open(&settings, "root").remote
    };
    let (account, key) = (peer.account.as_str(), peer.key.as_str());
    open_with(account, key, &container).test().unwrap();
    let root = |container| open_with(account, key, container).stat("", ItemKind::Folder).unwrap();
    assert!(root(&container).is_some());
    assert_eq!(root("no-such-container"), None);
    for (account, key, container, kind, says) in [
        // The service has another host for each account; Azurite says so.
        ("nobody", key, container.as_str(), Kind::NotFound, "nobody"),
        (account, "d3Jvbmc=", &container, Kind::SignIn, "account key"),
        (account, key, "no-such-container", Kind::NotFound, "no-such-container"),
    ] {
        let error = open_with(account, key, container).test().unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.advice().contains(says), "{error}");
        assert!(!error.to_string().contains("d3Jvbmc"), "{error}");
    }
}

#[test]
fn a_name_that_leads_nowhere_is_named() {
    let settings =
        [("account", "nosuchaccount"), ("container", "abc"), ("account-key", "c2VjcmV0")];
    let settings = settings.map(|(key, value)| (key.to_string(), value.to_string()));
    // A proxy that isn't there keeps the request on this machine.
    let options =
        HttpOptions { proxy: Some("http://127.0.0.1:9".into()), ..HttpOptions::default() };
    let http = Http::new(&options, Cancel::default()).unwrap();
    let service = services::find("azure-blob").unwrap();
    let remote = service.open(&settings.into_iter().collect(), http, "").unwrap();
    let error = remote.test().unwrap_err();
    assert_eq!(error.kind(), Kind::Offline, "{error}");
    assert!(error.advice().contains("nosuchaccount"), "{error}");
}

const EMPTY: &str = "<EnumerationResults><Blobs/><NextMarker/></EnumerationResults>";

fn error_xml(code: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>m\nTime: t</Message></Error>"
    )
}

#[test]
fn the_services_clock_counts() {
    let opened = open_stub(|request| {
        let theirs = SystemTime::now() - Duration::from_secs(86_400 * 400);
        let told = httpdate::fmt_http_date(theirs);
        let fields = format!("Date: {told}\r\n");
        // To the hour, in which the test may end.
        let hour = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
        if hour(request.header("x-ms-date")) == hour(&told) {
            return reply("200 OK", &fields, EMPTY);
        }
        reply("403 Forbidden", &fields, &error_xml("AuthenticationFailed"))
    });
    assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 2);
    assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 1);
}

#[test]
fn a_busy_service_is_waited_for_as_long_as_it_asks() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let count = AtomicUsize::new(0);
        let opened = open_stub(move |_| match count.fetch_add(1, SeqCst) {
            0 => reply(status, "Retry-After: 0\r\n", &error_xml("ServerBusy")),
            1 => reply("200 OK", "", EMPTY),
            _ => reply(status, "Retry-After: 3600\r\n", &error_xml("ServerBusy")),
        });
        assert_eq!(opened.requests(|| opened.remote.test().unwrap()), 2);
        let error = opened.remote.test().unwrap_err();
        assert_eq!((error.kind(), error.wait()), (Kind::Busy, Some(Duration::from_secs(3600))));
    }
}

#[test]
fn nonsense_is_never_an_empty_listing() {
    let half = &EMPTY[..EMPTY.len() - 5];
    let blob = |name: &str, more: &str| {
        format!("<Blob><Name>{name}</Name><Properties><Etag>e</Etag>{more}</Properties></Blob>")
    };
    let listing = |blobs: &str| EMPTY.replace("<Blobs/>", &format!("<Blobs>{blobs}</Blobs>"));
    for body in [
        "<!DOCTYPE html><html><body>Welcome to the hotel</body></html>",
        "<html><body>Welcome to the hotel</body></html>",
        "",
        "{}",
        half,
        &EMPTY.replace("<NextMarker/>", ""),
        &EMPTY.replace("<NextMarker/>", "<NextMarker>same</NextMarker>"),
        &error_xml("InternalWeather"),
        &listing(&(blob("b", "") + &blob("a", ""))),
        &listing(&(blob("a", "") + &blob("a", ""))),
        &listing(&blob("&bomb;", "")),
        &listing(&blob("a", "<Content-Length>-1</Content-Length>")),
        &listing(&blob("a", "<Etag></Etag>")),
        &listing("<Blob><Name Encoded=\"true\">%ff</Name></Blob>"),
        &"<a>".repeat(100_000),
    ] {
        let body = body.to_owned();
        let opened = open_stub(move |_| reply("200 OK", "", &body));
        assert_eq!(opened.told().unwrap_err().kind(), Kind::Protocol);
    }
}

#[test]
fn an_empty_page_is_not_the_end() {
    let blob = "<Blob><Name>a/b</Name><Properties><Etag>e</Etag></Properties></Blob>";
    let opened = open_stub(move |request| {
        let body = match request.target.contains("marker=more") {
            true => EMPTY.replace("<Blobs/>", &format!("<Blobs>{blob}</Blobs>")),
            false => EMPTY.replace("<NextMarker/>", "<NextMarker>more</NextMarker>"),
        };
        reply("200 OK", "", &body)
    });
    assert_eq!(opened.told().unwrap(), ["a/b"]);
    assert!(opened.remote.stat("a", ItemKind::Folder).unwrap().is_some());
    let removed = opened.remove("a", ItemKind::Folder, &Version::default());
    assert_eq!(removed.unwrap_err().kind(), Kind::Exists);
}

#[test]
fn blobs_that_no_path_can_name_are_told_to_nobody() {
    let names = ["../a", "./a", "/", "//", "/a", "a/./b", "a//", "a//b", "b%2", "d/.."];
    let mut blobs: String = names
        .iter()
        .map(|name| {
            format!("<Blob><Name>{name}</Name><Properties><Etag>e</Etag></Properties></Blob>")
        })
        .collect();
    // A name that XML can't say.
    blobs.push_str(
        "<Blob><Name Encoded=\"true\">e%EF%BF%BE%2541</Name><Properties><Etag>e</Etag></Properties></Blob>",
    );
    let body = EMPTY.replace("<Blobs/>", &format!("<Blobs>{blobs}</Blobs>"));
    let opened = open_stub(move |_| reply("200 OK", "", &body));
    assert_eq!(opened.told().unwrap(), ["b%2", "e\u{fffe}%41"]);
}

#[test]
fn a_page_instead_of_a_file_is_not_a_removed_file() {
    let html = "Content-Type: text/html\r\n";
    let opened = open_stub(move |_| reply("404 Not Found", html, "<html></html>"));
    let version = Version::new("v");
    for error in [
        opened.remote.read("a", &version, 0..u64::MAX).err(),
        opened.remote.stat("a", ItemKind::File).err(),
        opened.remote.stat("a", ItemKind::Folder).err(),
        opened.remove("a", ItemKind::File, &version).err(),
        opened.remote.test().err(),
    ] {
        assert_eq!(error.unwrap().kind(), Kind::Protocol);
    }
}

#[test]
fn a_reply_that_breaks_off_is_offline() {
    let fields = "ETag: \"v\"\r\nx-ms-blob-type: BlockBlob\r\n";
    let short = reply("200 OK", fields, "abc").replace("Length: 3", "Length: 9");
    let opened = open_stub(move |_| short.clone());
    let mut download = opened.remote.read("a", &Version::new("v"), 0..u64::MAX).unwrap();
    assert!(download.reader.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn a_write_whose_reply_was_lost_is_known_as_ours() {
    let (opened, proxy) = open_behind_proxy(azurite());
    let lose_first = |which: fn(&str, &str) -> bool| {
        let count = AtomicUsize::new(0);
        proxy.plan(move |request| {
            match which(&request.method, &request.target) && count.fetch_add(1, SeqCst) == 0 {
                true => Act::Lose,
                false => Act::Pass,
            }
        });
    };
    lose_first(|method, target| method == "PUT" && target.ends_with("/file"));
    let first = opened.create("file", b"ours").unwrap();
    assert_eq!(opened.stat("file").unwrap(), first);
    lose_first(|method, target| method == "PUT" && target.ends_with("/file"));
    let second = opened.write("file", b"over", Expect::Version(&first.print.version)).unwrap();
    assert_eq!(opened.stat("file").unwrap(), second);
    lose_first(|_, target| target.contains("comp=blocklist") && target.contains("/large"));
    let large = opened.create("large", &pattern(6 << 20, 4)).unwrap();
    assert_eq!(opened.stat("large").unwrap(), large);
    lose_first(|method, _| method == "DELETE");
    opened.remove("file", ItemKind::File, &second.print.version).unwrap();
    assert_eq!(opened.told().unwrap(), ["large"]);
    assert_eq!(proxy.heal(), 1);
}

#[test]
fn somebody_elses_file_is_not_taken_for_ours_after_a_lost_reply() {
    let peer = azurite();
    let (opened, proxy) = open_behind_proxy(peer);
    let count = AtomicUsize::new(0);
    // The first attempt never arrives, and they write before the second.
    proxy.plan(move |request| {
        if request.method != "PUT" || count.fetch_add(1, SeqCst) > 0 {
            return Act::Pass;
        }
        let container = request.target.split('/').nth(2).unwrap();
        open_peer(container, "").create("contested", b"them").unwrap();
        Act::CutRequest(1)
    });
    assert_eq!(opened.create("contested", b"ours").unwrap_err().kind(), Kind::Exists);
    assert_eq!(opened.content("contested"), b"them");
}

#[test]
fn what_another_wrote_over_a_copy_is_not_taken_for_it() {
    let (opened, proxy) = open_behind_proxy(azurite());
    let version = opened.create("old", b"ours").unwrap().print.version;
    let count = AtomicUsize::new(0);
    // The look after the copy is the first at that name.
    proxy.plan(move |request| {
        let looks = request.method == "HEAD" && request.target.ends_with("/new");
        if looks && count.fetch_add(1, SeqCst) == 0 {
            let container = request.target.split('/').nth(2).unwrap();
            open_peer(container, "").overwrite("new", b"them");
        }
        Act::Pass
    });
    let moved = opened.remote.rename("old", "new", ItemKind::File, &version);
    assert_eq!(moved.unwrap_err().kind(), Kind::Changed);
    assert_eq!((opened.content("old"), opened.content("new")), (b"ours".into(), b"them".into()));
}
