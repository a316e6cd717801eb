//! Encrypted tasks: what they keep on a server is read and written by rclone's crypt, which has nothing of Mooring, and
//! nobody without the key reads, alters or damages any of it unnoticed.

use crate::common::bench::TempFolder;
use crate::common::by_path::ByPath;
use crate::common::contract::{self, pattern};
use crate::common::dice::Dice;
use crate::common::pair::{ENCRYPTION_PASSWORD, Pair, Peer, eventually};
use crate::common::peers::{self, FakePeer};
use crate::common::program::{files_below, seeds_of};
use mooring::crypt;
use mooring::http::{Cancel, Http, HttpOptions};
use mooring::services;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[path = "../fuzz/crypt.rs"]
mod fuzz;

const ON: &[&str] = &["--set", "encryption=on"];
const CONTENTS: &[&str] = &["--set", "encryption=contents"];
const KEY_FILE: &str = "mooring-key.json";
/// More than two parts of an upload in parts, and no whole number of blocks.
const LARGE: usize = (11 << 20) + 12_345;

/// A server of each kind, and each service.
fn peers() -> Vec<Peer> {
    let some = [Peer::S3(peers::moto()), Peer::S3(peers::rclone_s3()), Peer::Dav(peers::wsgidav())];
    some.into_iter().chain(peers::fakes().into_iter().map(Peer::Fake)).collect()
}

/// What a report counts of what was done.
fn done(report: &Value) -> Vec<(String, u64)> {
    let aside = ["bytes_up", "bytes_down", "requests", "seconds"];
    let report = report.as_object().unwrap().iter();
    let counts = report.filter(|(key, _)| !aside.contains(&key.as_str()));
    let counts = counts.filter_map(|(key, count)| Some((key.clone(), count.as_u64()?)));
    counts.filter(|(_, count)| *count > 0).collect()
}

/// The paths that the server itself has.
fn stored(pair: &Pair) -> Vec<String> {
    let listed = pair.rclone(&["lsf", "-R", "--files-only", "%"]);
    listed.lines().map(str::to_owned).collect()
}

fn failed(pair: &Pair, args: &[&str]) -> String {
    let output = pair.run(args);
    assert!(!output.status.success(), "{}: {args:?}: {output:?}", pair.peer.name());
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

/// Files of every size that matters.
fn write_sizes(pair: &Pair, folder: &str) -> u64 {
    let sizes = [0, 1, 65_535, 65_536, 65_537, 200_000];
    for size in sizes {
        pair.write(&format!("{folder}/{size} bytes"), pattern(size, size as u8));
    }
    sizes.len() as u64
}

/// The same, and names of every kind.
fn write_all(pair: &Pair, folder: &str) -> u64 {
    let names = ["Gr\u{fc}\u{df}e, \u{4e16}\u{754c}.txt", "a/b/c/d", "100%", "UPPER", "upper"];
    for name in names {
        pair.write(&format!("{folder}/{name}"), name);
    }
    write_sizes(pair, folder) + names.len() as u64
}

#[test]
fn rclone_reads_what_is_written_and_what_rclone_writes_is_read() {
    for peer in peers() {
        let name = peer.name();
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), ON);
        let count = write_all(&pair, "ours");
        pair.write("ours/large", pattern(LARGE, 1));
        let report = pair.sync();
        assert_eq!(done(&report), [("uploaded".to_owned(), count + 1)], "{name}");
        pair.is_equal();

        pair.put(&[
            ("theirs/empty", Some(b"")),
            ("theirs/in/it", Some(&pattern(65_537, 2))),
            ("theirs/large", Some(&pattern(LARGE, 3))),
        ]);
        let report = pair.sync();
        assert_eq!(done(&report), [("downloaded".to_owned(), 3)], "{name}");
        pair.is_equal();

        let before = relay.requests().len();
        let again = pair.sync();
        assert_eq!(done(&again), [], "{name}");
        let writes = relay.writes_since(before);
        assert!(writes.is_empty(), "{name}: {writes:?}");
        assert!(again["bytes_down"].as_u64().unwrap() < 200_000, "{name}: {again}");
    }
}

#[test]
fn changes_of_each_side_reach_the_other() {
    for peer in peers() {
        let name = peer.name();
        let pair = Pair::new(peer, ON);
        for side in ["ours", "theirs"] {
            for file in ["edited", "removed", "renamed", "folder/file", "gone/in/it", "both"] {
                pair.write(&format!("{side}/{file}"), format!("{side} {file}"));
            }
        }
        pair.sync();
        pair.is_equal();
        pair.write("ours/edited", "edited here");
        pair.write("ours/both", "edited here");
        pair.remove("ours/removed");
        pair.rename("ours/renamed", "ours/with a new name");
        pair.rename("ours/folder", "ours/f\u{f6}lder");
        fs::remove_dir_all(pair.local.join("ours/gone")).unwrap();
        pair.put(&[
            ("theirs/edited", Some(b"edited there")),
            ("ours/both", Some(b"edited there, too")),
        ]);
        pair.rclone(&["deletefile", "@theirs/removed"]);
        pair.rclone(&["moveto", "@theirs/renamed", "@theirs/with a new name"]);
        pair.rclone(&["copy", "@theirs/folder", "@theirs/f\u{f6}lder"]);
        pair.rclone(&["purge", "@theirs/folder"]);
        pair.rclone(&["purge", "@theirs/gone"]);
        let report = pair.sync();
        assert_eq!((&report["conflicts"], &report["held"]), (&1.into(), &0.into()), "{report}");
        pair.sync();
        let tree = pair.is_equal();
        let content = |path: &str| tree[path].as_deref().map(String::from_utf8_lossy).unwrap();
        assert_eq!(content("ours/edited"), "edited here", "{name}");
        assert_eq!(content("theirs/edited"), "edited there", "{name}");
        assert_eq!(content("ours/both"), "edited here", "{name}");
        let kept: Vec<_> = tree.keys().filter(|path| path.contains("(conflict ")).collect();
        assert_eq!(kept.len(), 1, "{name}: {kept:?}");
        assert_eq!(content(kept[0]), "edited there, too", "{name}");
        for side in ["ours", "theirs"] {
            assert_eq!(content(&format!("{side}/with a new name")), format!("{side} renamed"));
            assert_eq!(content(&format!("{side}/f\u{f6}lder/file")), format!("{side} folder/file"));
            for gone in ["removed", "renamed", "folder/file", "gone/in/it"] {
                assert!(pair.read(&format!("{side}/{gone}")).is_none(), "{name}: {side}/{gone}");
            }
        }
        assert_eq!(done(&pair.sync()), [], "{name}");
    }
}

#[test]
fn nothing_on_the_server_is_readable() {
    for peer in peers() {
        let pair = Pair::new(peer, ON);
        pair.write("secret folder/secret name.txt", "a secret line");
        pair.write("secret folder/again", "a secret line");
        pair.sync();
        let files = stored(&pair);
        assert_eq!(files.len(), 3, "{files:?}");
        for file in &files {
            let content = pair.rclone(&["cat", &format!("%{file}"), "--head", "6"]);
            match file.as_str() {
                KEY_FILE => {
                    let text = pair.rclone(&["cat", &format!("%{KEY_FILE}")]);
                    assert!(!text.contains(&pair.key()) && !text.contains("horse"), "{text}");
                }
                name => {
                    let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='v' | '/');
                    assert!(name.chars().all(is_digit), "{name}");
                    assert_eq!(content, "RCLONE");
                }
            }
        }
        // Twice the same isn't twice the same there.
        let sums = pair.try_rclone(&["hashsum", "md5", "--download", "%"]).stdout;
        let sums = String::from_utf8(sums).unwrap();
        let sums: BTreeSet<_> = sums.lines().map(|line| &line[..32]).collect();
        assert_eq!(sums.len(), 3, "{sums:?}");
        pair.is_equal();
    }
}

#[test]
fn names_stay_readable_when_the_task_says_so() {
    for peer in peers() {
        let pair = Pair::new(peer, CONTENTS);
        let count = 3;
        pair.write("a folder/file.txt", "content");
        pair.write("a folder-1", pattern(70_000, 4));
        pair.write("b", "");
        // They would be in the place of Mooring's own, which nobody is told of.
        let ours = [KEY_FILE, "mooring-trial", "a folder/mooring-trial"];
        ours.iter().for_each(|name| pair.write(name, "a file of somebody"));
        let report = pair.sync();
        assert_eq!(report["uploaded"], count, "{report}");
        assert_eq!(report["skipped"], ours.len(), "{report}");
        let mut files = stored(&pair);
        files.sort();
        assert_eq!(files, ["a folder-1", "a folder/file.txt", "b", KEY_FILE], "{}", peer.name());
        pair.put(&[("theirs/file", Some(b"from there"))]);
        assert_eq!(pair.sync()["downloaded"], 1);
        assert_eq!(pair.read("theirs/file").unwrap(), b"from there");
        let local = pair.local.to_str().unwrap();
        let aside = format!("--exclude={{{KEY_FILE},mooring-trial,.mooring/**}}");
        pair.rclone(&["check", "--download", &aside, local, "@"]);
        assert_eq!(pair.sync()["uploaded"], 0);
    }
}

#[test]
fn another_nas_goes_on_with_the_password_or_the_exported_key() {
    for peer in peers() {
        let pair = Pair::new(peer, ON);
        write_all(&pair, "files");
        pair.sync();
        let tree = pair.is_equal();
        for secret in ["password", "key"] {
            let other = pair.another();
            match secret {
                "password" => other.set_secret("encryption-password", ENCRYPTION_PASSWORD),
                _ => other.set_secret("encryption-key", &pair.key()),
            }
            other.done(&other.task_line(ON));
            let report = other.sync();
            assert_eq!((&report["uploaded"], &report["conflicts"]), (&0.into(), &0.into()));
            assert!(other.is_equal() == tree, "{}", peer.name());
            assert_eq!(other.key(), pair.key());
        }
    }
}

/// A document replaces what is here, but for what the files in the cloud open with.
#[test]
fn an_imported_document_takes_no_key_away() {
    let pair = Pair::new(Peer::Dav(peers::wsgidav()), ON);
    let key = pair.key();
    let other = pair.another();
    other.set_secret("encryption-key", "the key of other files");
    let [file, password] = ["all.json", "its-password"].map(|it| pair.state().with_file_name(it));
    fs::write(&password, "a password for the file").unwrap();
    let [file, password] = [&file, &password].map(|it| it.to_str().unwrap());
    let export = |from: &Pair, more: &[&str]| {
        let _ = fs::remove_file(file);
        from.done(&[&["settings", "export", "-o", file], more].concat());
    };
    let import = |more: &[&str]| {
        let told = pair.done(&[&["settings", "import", file, "--json"], more].concat());
        let told: Value = serde_json::from_str(&told).unwrap();
        let line = told.as_array().unwrap().iter().find(|line| line["name"] == "cloud").unwrap();
        (line["fate"].as_str().unwrap().to_owned(), line["detail"].as_str().unwrap().to_owned())
    };
    let sealed = ["--password-file", password];
    export(&other, &sealed);
    for apply in [&sealed[..], &["--password-file", password, "--apply"]] {
        let (fate, detail) = import(apply);
        assert!(fate == "refuse" && detail.contains("task docs is encrypted with it"), "{detail}");
    }
    assert_eq!(pair.key(), key);

    // Behind another address, it stays what they open with. It isn't sent there.
    export(&pair, &[]);
    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replace("127.0.0.1", "localhost")).unwrap();
    let (fate, detail) = import(&["--apply"]);
    assert_eq!((fate.as_str(), detail.as_str()), ("replace", "url"));
    assert_eq!(pair.key(), key);
    let shown: Value =
        serde_json::from_str(&pair.done(&["connection", "show", "cloud", "--json"])).unwrap();
    assert_eq!(shown["settings"]["password"], Value::Null);
    assert_eq!(shown["settings"]["encryption-password"], "(sealed)");
}

#[test]
fn a_wrong_password_or_key_is_found_before_anything_moves() {
    for peer in peers() {
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), ON);
        pair.write("file", "content");
        pair.sync();
        let before = relay.requests().len();
        let other = pair.another();
        other.write("of the other", "content");
        let told = failed(&other, &other.task_line(ON));
        assert!(told.contains("neither a password"), "{told}");
        other.set_secret("encryption-password", "a wrong password");
        let told = failed(&other, &other.task_line(ON));
        assert!(told.contains("password isn't the right one"), "{told}");
        other.set_secret("encryption-password", ENCRYPTION_PASSWORD);
        let told = failed(&other, &other.task_line(CONTENTS));
        assert!(told.contains("encryption=on"), "{told}");
        let stranger = pair.another();
        stranger.set_secret("encryption-key", "0000-1111-2222");
        let told = failed(&stranger, &stranger.task_line(ON));
        assert!(told.contains("its key is another one"), "{told}");
        for nas in [&other, &stranger] {
            assert_eq!(nas.done(&["task", "list", "--json"]).trim(), "[]");
        }
        let writes = relay.writes_since(before);
        assert!(writes.is_empty(), "{}: {writes:?}", peer.name());
        // Now it is the right one.
        other.done(&other.task_line(ON));
        other.sync();
        assert_eq!(other.read("file").unwrap(), b"content");
    }
}

#[test]
fn what_is_there_already_is_never_mixed_with_what_is_encrypted() {
    let peer = Peer::S3(peers::moto());
    let pair = Pair::connected(peer, None);
    pair.put(&[("plain.txt", Some(b"of somebody"))]);
    pair.set_secret("encryption-password", ENCRYPTION_PASSWORD);
    for flags in [ON, CONTENTS] {
        let told = failed(&pair, &pair.task_line(flags));
        assert!(told.contains("'plain.txt' is in it"), "{told}");
    }
    assert_eq!(stored(&pair), ["plain.txt"]);
    pair.rclone(&["deletefile", "@plain.txt"]);
    let told = failed(&pair, &pair.task_line(&[ON, &["--direction", "download"]].concat()));
    assert!(told.contains("can't begin to encrypt"), "{told}");
    pair.done(&pair.task_line(ON));

    // One that turns up later is told and left alone, and one of that name here is sent.
    pair.write("plain.txt", "of here");
    pair.put_stored("plain.txt", b"of somebody");
    pair.put_stored("folder/file", b"of somebody");
    let report = pair.sync();
    assert_eq!(done(&report), [("skipped".to_owned(), 2), ("uploaded".to_owned(), 1)]);
    let status = pair.done(&["status", "docs"]);
    assert!(status.contains("not encrypted: plain.txt"), "{status}");
    assert!(status.contains("isn't encrypted with the task's key"), "{status}");
    assert_eq!(pair.rclone(&["cat", "%plain.txt"]), "of somebody");
    assert_eq!(done(&pair.sync()), [("skipped".to_owned(), 2)]);
}

#[test]
fn a_damaged_file_stays_away_from_the_disk_and_keeps_no_other() {
    let peer = Peer::Dav(peers::wsgidav());
    let pair = Pair::new(peer, CONTENTS);
    for name in ["damaged", "fine", "good"] {
        pair.write(name, pattern(100_000, name.len() as u8));
    }
    pair.sync();
    let fetch = |name: &str| pair.try_rclone(&["cat", &format!("%{name}")]).stdout;
    let (mut damaged, mut foreign) = (fetch("damaged"), fetch("good"));
    damaged[70_000] ^= 1;
    foreign[6] = 1;
    pair.put_stored("damaged", &damaged);
    pair.put_stored("foreign", &foreign);
    let other = pair.another();
    other.set_secret("encryption-password", ENCRYPTION_PASSWORD);
    other.done(&other.task_line(CONTENTS));
    let output = other.run(&["sync", "docs", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["downloaded"], &report["errors"]), (&2.into(), &2.into()), "{report}");
    let status = other.done(&["status", "docs"]);
    assert!(status.contains("65536 to 100000 aren't as they were written"), "{status}");
    assert!(status.contains("isn't encrypted as the task's files are"), "{status}");
    assert!(other.read("damaged").is_none() && other.read("foreign").is_none());
    assert_eq!(other.read("good"), pair.read("good"));
}

#[test]
fn without_its_state_a_task_compares_and_moves_nothing() {
    for peer in peers() {
        let relay = peer.relay();
        let pair = Pair::through(peer, Some(&relay), ON);
        // Of a file that was sent in parts S3 knows no hash.
        pair.write("large", pattern(4 << 20, 5));
        write_all(&pair, "files");
        pair.sync();
        let tasks = pair.state().join("tasks");
        fs::remove_dir_all(&tasks).unwrap();
        let before = relay.bytes();
        let report = pair.sync();
        assert_eq!(done(&report), [], "{}", peer.name());
        // By its hash and the nonce in its header, without the content.
        if peer.name() != "wsgidav" {
            assert!(relay.bytes() - before < 1 << 20, "{}", peer.name());
        }
    }
}

#[test]
fn what_is_encrypted_stays_so_and_with_the_same_key() {
    let pair = Pair::new(Peer::S3(peers::moto()), ON);
    pair.write("file", "content");
    pair.sync();
    for word in ["off", "contents", ""] {
        let set = format!("encryption={word}");
        let told = failed(&pair, &["task", "set", "docs", "--set", &set]);
        assert!(told.contains("stays as it was written"), "{told}");
    }
    let told = failed(&pair, &["task", "set", "docs", "--remote", "/elsewhere"]);
    assert!(told.contains("encrypted from its start"), "{told}");
    for key in ["encryption-key", "encryption-password"] {
        let file = pair.state().join("other secret");
        fs::write(&file, "something else").unwrap();
        for secret in [format!("{key}=@{}", file.display()), format!("{key}=")] {
            let told = failed(&pair, &["connection", "set", "cloud", "--secret", &secret]);
            assert!(told.contains("opens only with the old one"), "{told}");
        }
    }
    // The same again is no change.
    pair.set_secret("encryption-password", ENCRYPTION_PASSWORD);

    // One key for the whole connection, and a key file in each folder.
    let local = pair.local.parent().unwrap().join("second");
    fs::create_dir(&local).unwrap();
    fs::write(local.join("other"), "content").unwrap();
    let line = ["task", "add", "second", "--connection", "cloud", "--remote", "/second"];
    pair.done(&[&line[..], &["--local", local.to_str().unwrap()], ON].concat());
    pair.done(&["sync", "second"]);
    pair.done(&["verify", "docs"]);

    let shown = pair.done(&["connection", "show", "cloud", "--json"]);
    assert!(!shown.contains(&pair.key()) && !shown.contains("horse"), "{shown}");
    let to = pair.state().join("saved");
    let save = ["connection", "export-key", "cloud", "-o", to.to_str().unwrap()];
    let said = pair.done(&save);
    assert!(!said.contains(&pair.key()), "{said}");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let told = failed(&pair, &save);
    assert!(told.contains("give a file that isn't there yet"), "{told}");
}

#[test]
fn a_lost_key_file_is_written_again_and_another_one_stops_the_task() {
    let peer = Peer::S3(peers::moto());
    let pair = Pair::new(peer, ON);
    pair.write("one", "content");
    pair.sync();
    pair.rclone(&["deletefile", &format!("%{KEY_FILE}")]);
    pair.write("two", "content");
    pair.sync();
    let text = pair.rclone(&["cat", &format!("%{KEY_FILE}")]);
    for wrong in ["{", &text.replacen("\"check\": \"", "\"check\": \"0", 1), ""] {
        pair.put_stored(KEY_FILE, wrong.as_bytes());
        pair.write("three", "content");
        let output = pair.run(&["sync", "docs"]);
        assert_eq!(output.status.code(), Some(3), "{wrong}: {output:?}");
    }
    assert_eq!(stored(&pair).len(), 3);
    pair.put_stored(KEY_FILE, text.as_bytes());
    pair.sync();
    let other = pair.another();
    other.set_secret("encryption-password", ENCRYPTION_PASSWORD);
    other.done(&other.task_line(ON));
    other.sync();
    assert!(other.local_tree() == pair.is_equal());
}

#[test]
fn a_daemon_adds_and_syncs_encrypted_tasks() {
    let pair = Pair::connected(Peer::S3(peers::moto()), None);
    pair.set_secret("encryption-password", ENCRYPTION_PASSWORD);
    let daemon = pair.daemon();
    pair.write("file", "content");
    pair.done(&pair.task_line(ON));
    eventually("the file is sent", || stored(&pair).len() == 2);
    drop(daemon);
    assert_eq!(done(&pair.sync()), []);
}

#[test]
fn the_contract_holds_through_encryption() {
    let s3 = peers::moto();
    let dav = peers::wsgidav();
    let of_s3 = |bucket: String| {
        vec![
            ("endpoint", s3.endpoint.clone()),
            ("region", s3.region.clone()),
            ("bucket", bucket),
            ("access-key", s3.access_key.clone()),
            ("secret-key", s3.secret_key.clone()),
            ("part-size", "5".into()),
        ]
    };
    let of_dav = |_: String| {
        vec![
            ("url", dav.url.clone()),
            ("user", dav.user.clone()),
            ("password", dav.password.clone()),
        ]
    };
    for word in ["on", "contents"] {
        let encryption = ("encryption".to_owned(), word.to_owned());
        for (name, settings, root) in [
            ("s3", of_s3(s3.new_bucket()), "some/root \u{e9}+".to_owned()),
            ("webdav", of_dav(String::new()), dav.new_folder()),
        ] {
            let plain = services::find(name).unwrap();
            let service = crypt::of_task(plain, std::slice::from_ref(&encryption));
            let settings = settings.into_iter().map(|(key, value)| (key.to_owned(), value));
            let settings = settings.chain([("encryption-key".into(), "a key".into())]);
            let http = Http::new(&HttpOptions::default(), Cancel::default()).unwrap();
            let remote = service.open(&settings.collect(), http, &root).unwrap();
            let descriptor = service.descriptor();
            let mut server = contract::Server::of(descriptor);
            (server.many, server.large) = (300, (6 << 20) + 1);
            server.drops_cut_writes = name == "s3";
            server.creates_once = name == "s3";
            if name == "webdav" && word == "contents" {
                // WsgiDAV decodes a Destination before it takes it apart.
                server.misplaces = ";?";
            }
            contract::run_on(ByPath::new(remote), descriptor, &server);
        }
    }
}

/// MOORING_SEEDS=FROM..TO chooses others. A failure tells its seed.
#[test]
fn arbitrary_bytes_do_no_harm() {
    let seeds = std::env::var("MOORING_SEEDS").ok().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse::<u64>().ok()?..to.parse::<u64>().ok()?)
    });
    let files: Vec<_> = seeds_of("crypt").collect();
    assert_eq!(files.len(), 4);
    files.iter().for_each(|file| fuzz::read(file));
    for seed in seeds.unwrap_or(0..300) {
        let mut dice = Dice::new(seed);
        let lengths = [0, 31, 32, 33, 47, 100, 65_600, 65_633, 70_000];
        let mut bytes = pattern(5 + dice.pick(&lengths).unwrap(), seed as u8);
        bytes[0] = seed as u8;
        if dice.roll(2) == 0 && bytes.len() > 13 {
            bytes[5..13].copy_from_slice(b"RCLONE\0\0");
        }
        if dice.roll(2) == 0 {
            bytes = dice.pick(&files).unwrap().clone();
            let at = 1 + dice.roll(bytes.len() as u64 - 1) as usize;
            bytes[at] ^= 1 << dice.roll(8);
        }
        eprintln!("seed {seed}");
        fuzz::read(&bytes);
    }
}

/// Every sample of `tests/csenc`, under the name that it has in a folder, with its content.
fn of_cloud_sync() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let names = [("one", "v1.0"), ("two.txt", "v3.0"), ("a folder/three", "v3.1")];
    let names = names.into_iter().chain([("a folder/odd", "odd")]);
    let sample = |name: &str| {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/csenc");
        fs::read(folder.join(format!("{name}.csenc"))).unwrap()
    };
    let opener = mooring::csenc::Opener::password(OF_CLOUD_SYNC.into());
    let files = names.map(|(name, of)| {
        let (stored, mut content) = (sample(of), Vec::new());
        mooring::csenc::decrypt(&stored[..], &opener, &mut content).unwrap();
        (name, stored, content)
    });
    files.collect()
}

const OF_CLOUD_SYNC: &str = "correct horse battery staple";
const READ_ONLY: &[&str] = &["--direction", "download", "--set", "encryption=cloud-sync"];

#[test]
fn a_folder_of_cloud_sync_is_read_as_it_grows() {
    for peer in peers() {
        let relay = peer.relay();
        let pair = Pair::connected(peer, Some(&relay));
        let files = of_cloud_sync();
        for (name, stored, _) in &files[1..] {
            pair.put_stored(name, stored);
        }
        pair.put_stored("@SynologyCloudSync/cloudsync_encrypt.info", b"of Cloud Sync");
        pair.set_secret("encryption-password", OF_CLOUD_SYNC);
        pair.done(&pair.task_line(READ_ONLY));
        let report = pair.sync();
        assert_eq!(report["downloaded"], 3, "{}: {report}", peer.name());
        pair.put_stored(files[0].0, &files[0].1);
        pair.put_stored(files[1].0, &files[2].1);
        assert_eq!(pair.sync()["downloaded"], 2, "{}", peer.name());
        assert!(pair.read(files[1].0).unwrap() == files[2].2);
        pair.put_stored(files[1].0, &files[1].1);
        pair.sync();
        let is_whole = |pair: &Pair| {
            for (name, _, content) in &files {
                assert!(pair.read(name).as_ref() == Some(content), "{}: {name}", peer.name());
            }
            assert_eq!(pair.local_tree().len(), files.len() + 1, "{}", peer.name());
        };
        is_whole(&pair);
        let before = relay.requests().len();
        let again = pair.sync();
        assert_eq!(again["downloaded"], 0, "{}: {again}", peer.name());
        // Without its state it reads all, and changes nothing.
        fs::remove_dir_all(pair.state().join("tasks")).unwrap();
        let again = pair.sync();
        let counts = ["downloaded", "conflicts", "errors"].map(|name| again[name].as_u64());
        assert_eq!(counts, [Some(0); 3], "{}: {again}", peer.name());
        is_whole(&pair);
        let writes = relay.writes_since(before);
        assert!(writes.is_empty(), "{}: {writes:?}", peer.name());
    }
}

#[test]
fn a_folder_of_cloud_sync_opens_with_its_own_key_only() {
    let pair = Pair::connected(Peer::Dav(peers::wsgidav()), None);
    let files = of_cloud_sync();
    let told = failed(&pair, &pair.task_line(READ_ONLY));
    assert!(told.contains("neither its password nor its private key"), "{told}");
    pair.set_secret("encryption-password", "wrong horse");
    pair.put_stored("plain.txt", b"of somebody");
    let told = failed(&pair, &pair.task_line(READ_ONLY));
    assert!(told.contains("no file in it was found that Cloud Sync encrypted"), "{told}");
    for (name, stored, _) in &files {
        pair.put_stored(name, stored);
    }
    let told = failed(&pair, &pair.task_line(READ_ONLY));
    assert!(told.contains("password isn't the one"), "{told}");
    assert_eq!(pair.done(&["task", "list", "--json"]).trim(), "[]");
    // The private key goes before a password, where nothing is written.
    pair.set_secret("encryption-key", &private_key());
    pair.done(&pair.task_line(READ_ONLY));
    let told = failed(&pair, &["task", "set", "docs", "--direction", "both"]);
    assert!(told.contains("password isn't the one"), "{told}");
    let mut damaged = files[2].1.clone();
    let at = damaged.len() - 400;
    damaged[at] ^= 1;
    pair.put_stored("damaged", &damaged);
    let output = pair.run(&["sync", "docs", "--json"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["downloaded"], &report["errors"]), (&4.into(), &2.into()), "{report}");
    let status = pair.done(&["status", "docs"]);
    assert!(status.contains("it doesn't begin as files do that Cloud Sync encrypted"), "{status}");
    assert!(pair.read("damaged").is_none() && pair.read("plain.txt").is_none());
    for (name, _, content) in &files {
        assert!(pair.read(name).as_ref() == Some(content), "{name}");
    }
}

const CLOUD_SYNC: &[&str] = &["--set", "encryption=cloud-sync"];
/// What a folder in Cloud Sync's format has that isn't the task's.
const PROOF: &str = "@SynologyCloudSync/mooring-proof";

fn private_key() -> String {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/csenc/private.pem");
    fs::read_to_string(file).unwrap()
}

/// What the stored files are when `mooring decrypt` has read them, which knows nothing of tasks.
fn decrypted(pair: &Pair, key: &[&str]) -> Vec<(String, Vec<u8>)> {
    let stage = TempFolder::new();
    let (locked, out) = (stage.path().join("locked"), stage.path().join("out"));
    pair.rclone(&["copy", "%", locked.to_str().unwrap()]);
    fs::remove_dir_all(locked.join("@SynologyCloudSync")).unwrap();
    let locked = format!("{}/.", locked.display());
    pair.done(&[&["decrypt", &locked, "-o", out.to_str().unwrap()], key].concat());
    let files = files_below(&out).into_iter();
    files.map(|(path, bytes)| (String::from_utf8(path).unwrap(), bytes)).collect()
}

/// The files of the local folder.
fn plain(pair: &Pair) -> Vec<(String, Vec<u8>)> {
    let tree = pair.local_tree().into_iter();
    tree.filter_map(|(path, content)| Some((path, content?))).collect()
}

#[test]
fn a_folder_of_cloud_sync_is_continued() {
    // rclone's S3 forgets the folder that is emptied here, and can't make it again.
    for peer in peers().into_iter().filter(|peer| !peer.forgets_folders()) {
        let name = peer.name();
        let relay = peer.relay();
        let pair = Pair::connected(peer, Some(&relay));
        let files = of_cloud_sync();
        for (name, stored, _) in &files {
            pair.put_stored(name, stored);
        }
        pair.put_stored("@SynologyCloudSync/cloudsync_encrypt.info", b"of Cloud Sync");
        // What is here already isn't fetched, though nobody knows how large it is there.
        for (name, _, content) in &files[2..] {
            pair.write(name, content);
        }
        let before = relay.requests().len();
        pair.set_secret("encryption-password", OF_CLOUD_SYNC);
        let told = failed(&pair, &pair.task_line(CLOUD_SYNC));
        assert!(told.contains("has no private key"), "{told}");
        pair.set_secret("encryption-key", &private_key());
        pair.done(&pair.task_line(CLOUD_SYNC));
        let report = pair.sync();
        assert_eq!(
            (&report["downloaded"], &report["uploaded"]),
            (&2.into(), &0.into()),
            "{report}"
        );
        assert_eq!(report["conflicts"], 0, "{name}: {report}");
        let writes = relay.writes_since(before);
        // Whether it may write was tried by a file that is gone again.
        assert!((1..=3).contains(&writes.len()), "{name}: {writes:?}");
        assert!(!stored(&pair).iter().any(|path| path.contains("trial")), "{name}");

        let count = write_sizes(&pair, "ours/\u{fc}") as usize;
        pair.write("ours/large", pattern(LARGE, 1));
        pair.write("one", "edited here");
        pair.rename("a folder/three", "a folder/renamed");
        pair.remove("a folder/odd");
        let report = pair.sync();
        assert_eq!(report["uploaded"], count + 2, "{name}: {report}");
        pair.put_stored("two.txt", &files[2].1);
        let report = pair.sync();
        assert_eq!(
            (&report["downloaded"], &report["uploaded"]),
            (&1.into(), &0.into()),
            "{report}"
        );

        let before = relay.requests().len();
        assert_eq!(done(&pair.sync()).iter().filter(|it| it.0 != "skipped").count(), 0, "{name}");
        let writes = relay.writes_since(before);
        assert!(writes.is_empty(), "{name}: {writes:?}");
        let stage = TempFolder::new();
        let (password, private) = (stage.path().join("password"), stage.path().join("private"));
        fs::write(&password, OF_CLOUD_SYNC).unwrap();
        fs::write(&private, private_key()).unwrap();
        for (flag, file) in [("--password-file", &password), ("--private-key", &private)] {
            let there = decrypted(&pair, &[flag, file.to_str().unwrap()]);
            assert!(there == plain(&pair), "{name}");
        }

        // Without its state it compares, and fetches next to nothing.
        fs::remove_dir_all(pair.state().join("tasks")).unwrap();
        let (before, bytes) = (relay.requests().len(), relay.bytes());
        let report = pair.sync();
        let counts = ["uploaded", "downloaded", "conflicts"].map(|name| report[name].as_u64());
        assert_eq!(counts, [Some(0); 3], "{name}: {report}");
        assert!(relay.bytes() - bytes < 1 << 20, "{name}");
        let writes = relay.writes_since(before);
        assert!(writes.is_empty(), "{name}: {writes:?}");
    }
}

#[test]
fn a_folder_is_begun_in_the_format_of_cloud_sync() {
    for peer in peers() {
        let name = peer.name();
        let relay = peer.relay();
        let pair = Pair::connected(peer, Some(&relay));
        pair.set_secret("encryption-password", "short");
        let told = failed(&pair, &pair.task_line(CLOUD_SYNC));
        assert!(told.contains("fewer than 8 characters"), "{told}");
        assert!(relay.writes_since(0).is_empty(), "{name}");
        pair.set_secret("encryption-password", OF_CLOUD_SYNC);
        pair.done(&pair.task_line(CLOUD_SYNC));
        assert_eq!(stored(&pair), [PROOF], "{name}");

        // The key pair as Cloud Sync exports it, which openssl and a reader of ZIP understand.
        let stage = TempFolder::new();
        let zip = stage.path().join("key.zip");
        pair.done(&["connection", "export-key", "cloud", "-o", zip.to_str().unwrap()]);
        let listed = unzip(&["-l"], &zip, &[]);
        assert!(listed.contains("private.pem") && listed.contains("public.pem"), "{listed}");
        unzip(&["-t"], &zip, &[]);
        unzip(&["-e"], &zip, &[stage.path().to_str().unwrap()]);
        let private = fs::read_to_string(stage.path().join("private.pem")).unwrap();
        let public = fs::read_to_string(stage.path().join("public.pem")).unwrap();
        let private_file = stage.path().join("private.pem");
        let convert = ["rsa", "-in", private_file.to_str().unwrap(), "-RSAPublicKey_out"];
        let output = peers::debian_tool("openssl").args(convert).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), public);

        for (path, bytes) in files_below(&pair.state()) {
            let text = String::from_utf8_lossy(&bytes);
            let is_told = text.contains("PRIVATE KEY") || text.contains(OF_CLOUD_SYNC);
            assert!(!is_told, "{}", String::from_utf8_lossy(&path));
        }

        write_sizes(&pair, "files");
        pair.sync();
        let private_path = private_file.to_str().unwrap();
        assert!(decrypted(&pair, &["--private-key", private_path]) == plain(&pair), "{name}");

        // Another NAS: whatever is wrong or missing is found before anything moves.
        let other = pair.another();
        other.write("of the other", "content");
        let before = relay.requests().len();
        let told = failed(&other, &other.task_line(CLOUD_SYNC));
        assert!(told.contains("neither its password nor its private key"), "{told}");
        other.set_secret("encryption-password", "another horse");
        let told = failed(&other, &other.task_line(CLOUD_SYNC));
        assert!(told.contains("password isn't the one"), "{told}");
        other.set_secret("encryption-key", &private);
        let told = failed(&other, &other.task_line(CLOUD_SYNC));
        assert!(told.contains("password isn't the one"), "{told}");
        other.set_secret("encryption-password", OF_CLOUD_SYNC);
        other.set_secret("encryption-key", &private_key());
        let told = failed(&other, &other.task_line(CLOUD_SYNC));
        assert!(told.contains("private key isn't the one"), "{told}");
        other.set_secret("encryption-key", "1234-5678");
        let told = failed(&other, &other.task_line(CLOUD_SYNC));
        assert!(told.contains("one of Mooring's own format"), "{told}");
        assert!(relay.writes_since(before).is_empty(), "{name}");
        other.set_secret("encryption-key", &private);
        other.done(&other.task_line(CLOUD_SYNC));
        let report = other.sync();
        assert_eq!((&report["uploaded"], &report["conflicts"]), (&1.into(), &0.into()), "{report}");
        pair.sync();
        assert!(plain(&other) == plain(&pair), "{name}");
        for key in ["encryption-key", "encryption-password"] {
            let secret = format!("{key}=");
            let told = failed(&other, &["connection", "set", "cloud", "--secret", &secret]);
            assert!(told.contains("opens only with the old one"), "{told}");
        }
    }
}

/// Python's reader of ZIP archives.
fn unzip(how: &[&str], zip: &std::path::Path, to: &[&str]) -> String {
    let mut python = std::process::Command::new("python3");
    python.args(["-m", "zipfile"]).args(how).arg(zip).args(to);
    let output = python.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_folder_of_others_is_not_begun_in_the_format_of_cloud_sync() {
    let pair = Pair::connected(Peer::S3(peers::moto()), None);
    pair.set_secret("encryption-password", OF_CLOUD_SYNC);
    pair.set_secret("encryption-key", &private_key());
    for path in ["plain.txt", "@SynologyCloudSync/cloudsync_encrypt.info"] {
        pair.put_stored(path, b"of somebody");
        let told = failed(&pair, &pair.task_line(CLOUD_SYNC));
        assert!(told.contains("no file in it was found that Cloud Sync encrypted"), "{told}");
        assert_eq!(stored(&pair), [path]);
        pair.rclone(&["deletefile", &format!("%{path}")]);
    }
}

#[test]
fn a_folder_that_may_not_be_written_to_is_told_before_there_is_a_task() {
    for (way, password) in ways() {
        let fake: &FakePeer = Box::leak(Box::new(peers::new_google_drive()));
        let pair = Pair::connected(Peer::Fake(fake), None);
        pair.set_secret("encryption-password", password);
        let reason = "insufficientFilePermissions";
        let errors = [json!({ "domain": "global", "reason": reason, "message": "No." })];
        let body = json!({ "error": { "code": 403, "message": "No.", "errors": errors } });
        let fault = json!({ "match": "POST /upload", "times": 9, "status": 403, "body": body });
        fake.control("fault", fault.clone());
        let told = failed(&pair, &pair.task_line(way));
        assert!(told.contains("isn't allowed"), "{told}");
        assert_eq!(pair.done(&["task", "list", "--json"]).trim(), "[]");
        let to = pair.state().join("saved");
        let save = ["connection", "export-key", "cloud", "-o", to.to_str().unwrap()];
        let told = failed(&pair, &save);
        assert!(told.contains("it has no encryption key"), "{told}");

        // The folder of a task that was there before.
        fake.control("clear", json!({}));
        pair.done(&pair.task_line(way));
        let before = stored(&pair);
        pair.done(&["task", "remove", "docs"]);
        fake.control("fault", fault);
        let told = failed(&pair, &pair.task_line(way));
        assert!(told.contains("isn't allowed"), "{told}");
        assert_eq!(pair.done(&["task", "list", "--json"]).trim(), "[]");
        fake.control("clear", json!({}));
        pair.done(&pair.task_line(way));
        assert_eq!(stored(&pair), before);
    }
}

/// Where a task encrypts, and what tells the key to another NAS.
fn ways() -> [(&'static [&'static str], &'static str); 2] {
    [(ON, ENCRYPTION_PASSWORD), (CLOUD_SYNC, OF_CLOUD_SYNC)]
}

/// Both formats, on a service that keeps the parts of an upload, and one that keeps what was cut in its place: killed at
/// some byte, and again, the upload goes on or begins again.
#[test]
fn a_killed_upload_leaves_nothing_and_loses_nothing() {
    let all = [Peer::S3(peers::moto()), Peer::Dav(peers::rclone_dav())];
    for (peer, (way, password)) in all.into_iter().flat_map(|peer| ways().map(|way| (peer, way))) {
        let name = format!("{} {way:?}", peer.name());
        let relay = peer.relay();
        let pair = Pair::connected(peer, Some(&relay));
        pair.set_secret("encryption-password", password);
        pair.done(&pair.task_line(way));
        pair.write("old", pattern(LARGE, 1));
        pair.sync();
        pair.write("new", pattern(LARGE, 2));
        pair.write("old", pattern(LARGE, 3));
        pair.write("cut at once", pattern(LARGE, 5));
        for bytes in [7 << 20, 100, 9 << 20] {
            let until = relay.bytes() + bytes;
            let mut running = pair.start(&["sync", "docs"]);
            while relay.bytes() < until && !running.has_ended() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            running.kill();
        }
        if pair.peer.is_s3() {
            // Another content, of which nothing was sent before. Where a cut upload of the one before is in its place, that
            // can't be read, and a person has to say that it may go.
            pair.write("old", pattern(LARGE, 4));
        }
        let last = if pair.peer.is_s3() { 4 } else { 3 };
        let mut syncs = 0;
        while done(&pair.sync()).iter().any(|(what, _)| what != "skipped") {
            syncs += 1;
            assert!(syncs < 4, "{name} doesn't come to rest");
        }
        let expected = [("cut at once", 5), ("new", 2), ("old", last)];
        let expected: Vec<_> =
            expected.map(|(path, seed)| (path.to_owned(), pattern(LARGE, seed))).into();
        assert!(plain(&pair) == expected, "{name}: {:?}", pair.local_tree().keys());
        assert_eq!(stored(&pair).len(), 4, "{name}: {:?}", stored(&pair));
        if pair.peer.is_s3() {
            assert!(pair.unfinished_uploads().is_empty(), "{name}: an upload was left behind");
        }
        let other = pair.another();
        other.set_secret("encryption-password", password);
        if way == CLOUD_SYNC {
            other.set_secret("encryption-key", &pair.private_key());
        }
        other.done(&other.task_line(way));
        other.sync();
        assert!(plain(&other) == expected, "{name}: another NAS has something else");
    }
}

/// What a server kept of an upload that was cut short, at any byte of it.
#[test]
fn an_upload_that_was_cut_short_is_sent_again() {
    for (way, password) in ways().into_iter().chain([(CONTENTS, ENCRYPTION_PASSWORD)]) {
        let pair = Pair::connected(Peer::S3(peers::moto()), None);
        pair.set_secret("encryption-password", password);
        pair.done(&pair.task_line(way));
        let lengths = match way {
            // As many bytes as no content takes could be somebody's.
            CONTENTS => vec![0, 32, 65_700, 140_000],
            _ => vec![0, 7, 32, 40, 500, 2_000, 65_600, 140_000, usize::MAX],
        };
        for length in &lengths {
            pair.write(&length.to_string(), pattern(140_000, 1));
        }
        pair.sync();
        let mut cut = lengths.iter();
        for path in stored(&pair).iter().filter(|path| !path.contains("mooring-")) {
            let whole = pair.try_rclone(&["cat", &format!("%{path}")]).stdout;
            // All of it but the last byte, at most.
            let length = (*cut.next().unwrap()).min(whole.len() - 1);
            pair.put_stored(path, &whole[..length]);
        }
        fs::remove_dir_all(pair.state().join("tasks")).unwrap();
        let report = pair.sync();
        assert_eq!(report["uploaded"], lengths.len(), "{way:?}: {report}");
        assert_eq!(report["conflicts"], 0, "{way:?}: {report}");
        assert_eq!(done(&pair.sync()).iter().filter(|it| it.0 != "skipped").count(), 0);
    }
}

/// An upload in parts that was killed goes on with the parts that are missing, in either format.
#[test]
fn a_killed_upload_goes_on_where_it_was() {
    for (way, password) in ways() {
        let peer = Peer::S3(peers::moto());
        let relay = peer.relay();
        let pair = Pair::connected(peer, Some(&relay));
        pair.set_secret("encryption-password", password);
        pair.done(&pair.task_line(way));
        let size = 30 << 20;
        pair.write("large", pattern(size, 1));
        let until = relay.bytes() + 22 * (1 << 20);
        let mut running = pair.start(&["sync", "docs"]);
        while relay.bytes() < until && !running.has_ended() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert!(!running.has_ended(), "{way:?}: it was faster");
        running.kill();
        let before = relay.bytes();
        assert_eq!(pair.sync()["uploaded"], 1, "{way:?}");
        let sent = relay.bytes() - before;
        assert!(sent < size as u64 - (4 << 20), "{way:?}: {sent} bytes were sent again");
        assert!(pair.unfinished_uploads().is_empty(), "{way:?}");
        let other = pair.another();
        other.set_secret("encryption-password", password);
        if way == CLOUD_SYNC {
            other.set_secret("encryption-key", &pair.private_key());
        }
        other.done(&other.task_line(&[way, &["--direction", "download"]].concat()));
        other.sync();
        assert!(other.read("large").unwrap() == pattern(size, 1), "{way:?}");
    }
}
