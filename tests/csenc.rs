//! Files in Cloud Sync's encrypted format: those of others are read, others read ours, and nothing that is damaged,
//! half or wrong is ever taken for a file.
//!
//! The files in `tests/csenc` were made by `tests/csenc/make.py`, which has nothing of Mooring.
//! MOORING_SEEDS=FROM..TO chooses other accidents that happen to them. A failure tells its seed.

use crate::common::dice::Dice;
use crate::common::peers::debian_tool;
use crate::common::program::{Answer, Files, Home, files_below, seeds_of};
use md5::{Digest, Md5};
use mooring::csenc::{Opener, decrypt};
use mooring::error::{Error, Kind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

#[path = "../fuzz/csenc.rs"]
mod fuzz;

use fuzz::PASSWORD;

/// How long an accident may take at most.
const MOST_TIME: Duration = Duration::from_secs(20);

/// A file of every version, with its content.
fn samples() -> [(&'static str, Vec<u8>); 5] {
    let lines = |count: u64| {
        let lines = (0..count).map(|number| format!("line {}\n", number * number % 997));
        lines.collect::<String>().into_bytes()
    };
    let all = lines(20_000);
    [
        ("v1.0", b"A single line without its end".to_vec()),
        ("v3.0", Vec::new()),
        ("uncompressed", all[..9000].to_vec()),
        ("odd", all.clone()),
        ("v3.1", all),
    ]
}

fn made(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/csenc").join(name)
}

fn sample(name: &str) -> Vec<u8> {
    fs::read(made(&format!("{name}.csenc"))).unwrap()
}

/// A place with the keys in it.
fn home(name: &str) -> Home {
    let home = Home::new(&format!("csenc-{name}"));
    fs::write(home.beside("password"), format!("{PASSWORD}\n")).unwrap();
    for key in ["private.pem", "public.pem"] {
        fs::copy(made(key), home.beside(key)).unwrap();
    }
    home
}

fn decrypted(file: &[u8]) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    decrypt(file, &Opener::password(PASSWORD.into()), &mut content)?;
    Ok(content)
}

/// All files below a folder of the place, with their paths as text.
fn found(home: &Home, folder: &str) -> Vec<(String, Vec<u8>)> {
    let files: Files = files_below(&home.beside(folder));
    files.into_iter().map(|(path, bytes)| (String::from_utf8(path).unwrap(), bytes)).collect()
}

fn age(path: &Path, seconds: u64) -> SystemTime {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(5_000);
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    time
}

#[test]
fn files_of_others_are_decrypted_by_either_key() {
    let home = home("read");
    for key in ["--password-file password", "--private-key private.pem"] {
        for (name, content) in samples() {
            home.write(name, sample(name));
            home.run(&format!("decrypt local/{name} -o out {key}")).ended(0);
            assert_eq!(found(&home, "out"), [(name.to_owned(), content)], "{key}");
            fs::remove_file(home.beside("out").join(name)).unwrap();
        }
    }
}

#[test]
fn folders_keep_their_structure_and_times() {
    let home = home("folders");
    home.write("photos/2024/a.jpg", "picture");
    home.write("photos/empty file", "");
    home.write("photos/ä/ö", vec![7; 300_000]);
    fs::create_dir(home.local().join("photos/empty folder")).unwrap();
    let times = ["photos/2024/a.jpg", "photos/empty file", "photos/ä/ö"];
    let times = times.map(|path| (path, age(&home.local().join(path), path.len() as u64 * 1_000)));
    let secret = Permissions::from_mode(0o600);
    fs::set_permissions(home.local().join("photos/2024/a.jpg"), secret.clone()).unwrap();
    let before = home.files();
    home.run("encrypt local/photos -o locked --password-file password --public-key public.pem")
        .ended(0)
        .said(&["3 files encrypted, 293.0 KiB."]);
    for (path, bytes) in found(&home, "locked") {
        assert!(bytes.starts_with(b"__CLOUDSYNC_ENC__"), "{path}");
    }
    let line = "decrypt locked/. -o out --private-key private.pem --json";
    let answer = home.run(line).ended(0).json();
    let expected = json!({ "decrypted": 3, "bytes": 300_007, "there": 0, "skipped": 0, "failed": 0, "items": [] });
    assert_eq!(answer, expected);
    assert_eq!(files_below(&home.beside("out")), before);
    assert!(home.beside("out/photos/empty folder").is_dir());
    let mode = fs::metadata(home.beside("out/photos/2024/a.jpg")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, secret.mode());
    for (path, time) in times {
        for folder in ["locked", "out"] {
            let file = home.beside(folder).join(path);
            assert_eq!(fs::metadata(file).unwrap().modified().unwrap(), time, "{folder}/{path}");
        }
    }
}

#[test]
fn only_files_of_the_format_are_decrypted_and_the_others_told() {
    let home = home("others");
    home.write("a/plain.txt", "not encrypted");
    home.write("a/empty.txt", "");
    home.write("a/good", sample("v1.0"));
    home.write("a/@eaDir/thumb", sample("v1.0"));
    home.write("a/@SynologyCloudSync/cloudsync_encrypt.info", "marker");
    symlink("good", home.local().join("a/link")).unwrap();
    let answer = home.run("decrypt local/a nothing -o out --password-file password").ended(1);
    answer.said(&[
        "decrypting local/a/plain.txt: it doesn't begin as files do that Cloud Sync encrypted",
        "decrypting local/a/empty.txt: it is empty",
        "decrypting nothing: No such file",
        "left out local/a/link: it is a symbolic link",
        "left out local/a/@SynologyCloudSync: its name is reserved",
        "1 file decrypted, 29 B.",
        "3 items left out.",
        "3 items failed.",
    ]);
    assert_eq!(found(&home, "out").len(), 1);
    // A file that is named is meant, and a link to one, too.
    home.run("decrypt local/a/link -o out --password-file password").ended(0);
    assert_eq!(fs::read(home.beside("out/link")).unwrap(), samples()[0].1);
}

#[test]
fn nothing_is_overwritten() {
    let home = home("overwritten");
    home.write("file", sample("v1.0"));
    fs::create_dir(home.beside("out")).unwrap();
    fs::write(home.beside("out/file"), "a person's").unwrap();
    let line = "decrypt local/file -o out --password-file password";
    home.run(line).ended(1).said(&["decrypting local/file: file is there already", "move it away"]);
    assert_eq!(found(&home, "out"), [("file".to_owned(), b"a person's".to_vec())]);
    // Two that would have one name.
    home.write("other/file", sample("v3.0"));
    home.run("decrypt local/file local/other/file -o more --password-file password").ended(1);
    assert_eq!(found(&home, "more"), [("file".to_owned(), samples()[0].1.clone())]);
    // Also when both are of one time: only what an earlier run did is there already.
    let time = age(&home.local().join("file"), 1_500_000_000);
    age(&home.local().join("other/file"), 1_500_000_000);
    fs::remove_dir_all(home.beside("more")).unwrap();
    home.run("decrypt local/file local/other/file -o more --password-file password").ended(1);
    let file = home.beside("more/file");
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), time);
    let line = "decrypt local/file -o more --password-file password";
    home.run(line).ended(0).said(&["0 files decrypted", "1 file there already."]);
    fs::write(&file, "a person's").unwrap();
    home.run(line).ended(1).said(&["file is there already"]);
    assert_eq!(fs::read(&file).unwrap(), b"a person's");
    home.run("decrypt local -o local/out --password-file password")
        .ended(2)
        .said(&["it is in local, which is to be read"]);
}

#[test]
fn a_wrong_key_is_told_and_leaves_nothing() {
    let home = home("wrong-key");
    home.write("one", sample("v1.0"));
    home.write("three", sample("v3.1"));
    fs::write(home.beside("other"), "wrong horse").unwrap();
    let key =
        debian_tool("openssl").args(["genrsa", "-out"]).arg(home.beside("other.pem")).output();
    assert!(key.unwrap().status.success());
    for (key, cause) in [
        ("--password-file other", "the password isn't the one that it was encrypted with"),
        ("--private-key other.pem", "the private key isn't the one that it was encrypted with"),
    ] {
        let answer = home.run(&format!("decrypt local -o out {key}")).ended(1).said(&[cause]);
        assert!(!answer.text.contains("wrong horse"));
        assert_eq!(found(&home, "out"), []);
        assert!(!home.beside("out/.mooring").exists());
    }
    for (key, cause) in [
        ("--password-file nothing", "No such file"),
        ("--private-key password", "it isn't an RSA private key in PEM"),
        ("--private-key public.pem", "it isn't an RSA private key in PEM"),
    ] {
        let answer = home.run(&format!("decrypt local -o out {key}")).said(&[cause]);
        assert!(answer.code != Some(0) && !answer.text.contains(PASSWORD));
    }
    let answer = home.run("encrypt local -o out --password-file password --public-key other.pem");
    answer.ended(2).said(&["it isn't an RSA public key in PEM"]);
}

/// Whatever byte isn't what it was: either it is told, or it is one that doesn't matter to who opens the file.
#[test]
fn no_damage_goes_unnoticed() {
    let free = |file: &[u8], at: usize| {
        ["file_name", "enc_key2", "key2_hash"].iter().any(|key| {
            let begin = file.windows(key.len()).position(|each| each == key.as_bytes()).unwrap();
            let value = begin + key.len() + 3;
            let length = u16::from_be_bytes([file[value - 2], file[value - 1]]);
            (begin..value + usize::from(length)).contains(&at)
        })
    };
    for (name, step) in [("v1.0", 1), ("v3.1", 211), ("uncompressed", 397)] {
        let (file, content) = (sample(name), samples().into_iter().find(|each| each.0 == name));
        let content = content.unwrap().1;
        for at in (0..file.len()).step_by(step) {
            for bits in [1, 0x20, 0x80] {
                let mut damaged = file.clone();
                damaged[at] ^= bits;
                match decrypted(&damaged) {
                    Ok(read) => assert!(free(&file, at) && read == content, "{name}: byte {at}"),
                    Err(error) => {
                        let told = error.to_string();
                        assert!(
                            told.contains("byte ") || error.kind() != Kind::Integrity,
                            "{name}: byte {at}: {told}"
                        );
                    }
                }
            }
            let cut = decrypted(&file[..at]).unwrap_err().to_string();
            assert!(at < 49 || cut.contains(&format!("it ends at byte {at}")), "{name}: {cut}");
        }
    }
}

#[test]
fn damage_is_told_with_its_byte_and_leaves_nothing() {
    let home = home("damage");
    let file = sample("v3.1");
    let text = |from: &str| file.windows(from.len()).position(|at| at == from.as_bytes()).unwrap();
    let (data, last) = (text("data\x11"), text("file_md5"));
    let changed = |at: usize, byte: u8| {
        let mut file = file.clone();
        file[at] = byte;
        file
    };
    let cases = [
        (changed(20, b'x'), "is damaged at byte 20".to_owned()),
        (file[..file.len() / 2].to_vec(), format!("it ends at byte {}", file.len() / 2)),
        (file[..last - 4].to_vec(), format!("it ends at byte {}, before the MD5", last - 4)),
        (changed(data - 4, 0x17), format!("byte {} is 0x17, where a part", data - 4)),
        ([&file[..], b"more"].concat(), format!("byte {} is 0x6d, where a part", file.len())),
        (changed(text("key1_hash") + 30, b'!'), "key1_hash at byte".to_owned()),
        (changed(text("salt") + 8, b'!'), "enc_key1 at byte".to_owned()),
        (
            changed(data + 100, 0),
            format!("the data are damaged at or before the part at byte {}", data - 4),
        ),
        (changed(last + 11, b'!'), format!("file_md5 at byte {}", last + 8)),
    ];
    let (mut told, count) = (String::new(), cases.len());
    for (number, (file, _)) in cases.iter().enumerate() {
        home.write(&format!("{number}"), file);
    }
    let answer = home.run("decrypt local -o out --password-file password").ended(1);
    told.push_str(&answer.text);
    for (number, (_, cause)) in cases.iter().enumerate() {
        let line = told.lines().find(|line| line.contains(&format!("decrypting local/{number}: ")));
        assert!(line.unwrap().contains(cause), "{cause}: {line:?}");
    }
    answer.said(&[&format!("{count} items failed."), "0 files decrypted"]);
    assert_eq!(found(&home, "out"), []);
    assert!(!home.beside("out/.mooring").exists());
}

/// Killed in the midst of a file, and stopped by Ctrl-C.
#[test]
fn who_stops_in_the_midst_leaves_no_half_of_a_file() {
    let home = home("midst");
    let mut dice = Dice::new(1);
    let content: Vec<u8> =
        (0..8_000_000 / 8).flat_map(|_| dice.roll(1 << 20).to_be_bytes()).collect();
    home.write("large", &content);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let encrypt = "encrypt local/large -o locked --password-file password --public-key public.pem";
    let decrypt = "decrypt locked/large -o out --password-file password";
    for (line, folder) in [(encrypt, "locked"), (decrypt, "out")] {
        for signal in [Signal::SIGKILL, Signal::SIGINT] {
            let child = home.start(&words(line), "");
            let pid = child.id();
            let half = home.beside(folder).join(format!(".mooring/commands/{pid}"));
            let begun = Instant::now();
            while fs::metadata(&half).map_or(0, |meta| meta.len()) == 0 {
                assert!(begun.elapsed() < MOST_TIME, "it never began");
                std::thread::sleep(Duration::from_millis(1));
            }
            kill(Pid::from_raw(pid as i32), signal).unwrap();
            let answer = Answer::of(child);
            assert!(!home.beside(folder).join("large").exists());
            if signal == Signal::SIGINT {
                // Also what the killed one left is gone.
                answer.ended(1).said(&["it was stopped"]);
                assert!(!home.beside(folder).join(".mooring").exists());
            }
        }
        home.run(line).ended(0);
    }
    assert!(fs::read(home.beside("out/large")).unwrap() == content);
    assert_eq!(found(&home, "out").len(), 1);
}

/// The values of a file's dictionaries by key, in their order; the bytes of all data as one.
fn dictionaries(file: &[u8]) -> (Vec<(String, Vec<u8>)>, Vec<u8>) {
    let (mut values, mut data) = (Vec::new(), Vec::new());
    let mut rest = &file[49..];
    let mut key = None;
    while let [kind, after @ ..] = rest {
        let (value, after): (Vec<u8>, _) = match kind {
            0x42 | 0x40 => {
                key = None;
                rest = after;
                continue;
            }
            0x01 => (after[1..=usize::from(after[0])].into(), &after[1 + usize::from(after[0])..]),
            0x10 | 0x11 => {
                let end = 2 + usize::from(u16::from_be_bytes([after[0], after[1]]));
                (after[2..end].into(), &after[end..])
            }
            other => panic!("{other}"),
        };
        rest = after;
        match key.take() {
            None => key = Some(String::from_utf8(value).unwrap()),
            Some(key) if key == "data" => data.extend(value),
            Some(key) => values.push((key, value)),
        }
    }
    (values, data)
}

/// OpenSSL's `EVP_BytesToKey`, as two options of its command.
fn derived(secret: &[u8], salt: &[u8], rounds: usize) -> [String; 4] {
    let (mut out, mut digest) = (Vec::new(), Vec::new());
    while out.len() < 48 {
        digest = Md5::digest([&digest[..], secret, salt].concat()).to_vec();
        for _ in 1..rounds {
            digest = Md5::digest(&digest).to_vec();
        }
        out.extend(&digest);
    }
    ["-K".into(), hex(&out[..32]), "-iv".into(), hex(&out[32..])]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a tool makes of its input.
fn piped(tool: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = debian_tool(tool)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    })
}

#[test]
fn what_is_written_is_read_by_openssl_and_lz4() {
    let home = home("written");
    let mut dice = Dice::new(2);
    let noise: Vec<u8> = (0..300_000).map(|_| dice.roll(256) as u8).collect();
    let contents = [
        ("empty", Vec::new()),
        ("one", vec![b'x']),
        ("lines", samples()[4].1.clone()),
        ("noise", noise.clone()),
        ("both", [&noise[..70_000], &[0; 1_000_000], &noise[..70_000]].concat()),
    ];
    for (name, content) in &contents {
        home.write(name, content);
    }
    home.run("encrypt local -o . --password-file password --public-key public.pem").ended(1);
    home.run("encrypt local/. -o out --password-file password --public-key public.pem").ended(0);
    for (name, content) in &contents {
        let file = fs::read(home.beside("out").join(name)).unwrap();
        let (values, data) = dictionaries(&file);
        let keys: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
        let expected = [
            "compress",
            "digest",
            "enc_key1",
            "enc_key2",
            "encrypt",
            "file_name",
            "key1_hash",
            "key2_hash",
            "salt",
            "session_key_hash",
            "type",
            "major",
            "minor",
            "file_md5",
            "type",
        ];
        let keys: Vec<&str> = keys.into_iter().filter(|key| *key != "version").collect::<Vec<_>>();
        assert_eq!(keys[..13], expected[..13]);
        assert_eq!(keys[keys.len() - 2..], expected[13..]);
        let value = |key: &str| {
            let found = values.iter().find(|(each, _)| each == key).unwrap();
            found.1.clone()
        };
        let text = |key: &str| String::from_utf8(value(key)).unwrap();
        assert_eq!((value("major"), value("minor")), (vec![3], vec![1]));
        assert_eq!(text("file_name"), *name);

        // The session key by either way.
        let locked = piped("openssl", &["base64", "-d", "-A"], &value("enc_key1"));
        let key = derived(PASSWORD.as_bytes(), &value("salt"), 1000);
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let session =
            piped("openssl", &[&["enc", "-d", "-aes-256-cbc"], &key[..]].concat(), &locked);
        let locked = piped("openssl", &["base64", "-d", "-A"], &value("enc_key2"));
        let private = home.beside("private.pem");
        let oaep = ["pkeyutl", "-decrypt", "-pkeyopt", "rsa_padding_mode:oaep", "-inkey"];
        let by_key = piped("openssl", &[&oaep[..], &[private.to_str().unwrap()]].concat(), &locked);
        assert_eq!(session, by_key);
        for (proof, secret) in [
            ("key1_hash", PASSWORD.as_bytes()),
            ("key2_hash", &fs::read(made("public.pem")).unwrap()),
            ("session_key_hash", &session),
        ] {
            let proof = text(proof);
            let (salt, md5) = proof.split_at(10);
            assert_eq!(hex(&Md5::digest([salt.as_bytes(), secret].concat())), md5);
        }

        let digits = String::from_utf8(session).unwrap();
        assert!(digits.len() == 64 && digits == digits.to_uppercase());
        let bytes: Vec<u8> = (0..32)
            .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
            .collect();
        let key = derived(&bytes, b"", 1);
        let key: Vec<&str> = key.iter().map(String::as_str).collect();
        let packed = piped("openssl", &[&["enc", "-d", "-aes-256-cbc"], &key[..]].concat(), &data);
        assert!(packed.starts_with(b"\x04\x22\x4d\x18\x44\x40\x5e"), "{:x?}", &packed[..7]);
        let read = piped("lz4", &["-d", "-c"], &packed);
        assert!(read == *content, "{name} isn't what it was");
        assert_eq!(text("file_md5"), hex(&Md5::digest(content)));
    }
}

/// Says which seed a panic is of.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0}: MOORING_SEEDS={0}..{1}", self.0, self.0 + 1);
        }
    }
}

/// What may happen to a file, once or several times.
fn accident(file: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.roll(file.len() as u64 + 1) as usize;
    let end = file.len().min(at + dice.roll(40) as usize);
    match dice.roll(8) {
        0 => file.truncate(at),
        1 => drop(file.drain(at..end)),
        2 => {
            let copy = file[at..end].to_vec();
            let to = dice.roll(file.len() as u64 + 1) as usize;
            file.splice(to..to, copy);
        }
        3 => {
            let noise: Vec<u8> = (0..dice.roll(20)).map(|_| dice.roll(256) as u8).collect();
            file.splice(at..at, noise);
        }
        4 => file[at..end].iter_mut().for_each(|byte| *byte = dice.roll(256) as u8),
        5 => file[at..end].fill(0xff),
        // What the container's values begin with.
        6 => file[at..end].iter_mut().take(1).for_each(|byte| {
            *byte = *dice.pick(&[0x42, 0x40, 0x10, 0x11, 0x01]).unwrap();
        }),
        _ => file[at..end].iter_mut().take(1).for_each(|byte| *byte ^= 1 << dice.roll(8)),
    }
}

#[test]
fn arbitrary_bytes_do_no_harm() {
    let frames: Vec<_> = seeds_of("csenc").collect();
    assert_eq!(frames.len(), 3);
    // What is made of a frame is a file that can be read but for its MD5; the oldest frames have no end.
    for frame in &frames {
        let told = fuzz::read(frame).unwrap_err().to_string();
        assert!(told.contains("file_md5") || told.contains("it ends too early"), "{told}");
    }
    let files = samples().into_iter().map(|(name, _)| sample(name)).chain(frames);
    let files: Vec<_> = files.collect();
    let seeds = std::env::var("MOORING_SEEDS").ok().and_then(|text| {
        let (from, to) = text.split_once("..")?;
        Some(from.parse::<u64>().ok()?..to.parse::<u64>().ok()?)
    });
    for seed in seeds.unwrap_or(0..3000) {
        let told = Seed(seed);
        let mut dice = Dice::new(seed);
        let mut file = dice.pick(&files).unwrap().clone();
        for _ in 0..=dice.roll(4) {
            accident(&mut file, &mut dice);
        }
        let begun = Instant::now();
        let _ = fuzz::read(&file);
        assert!(begun.elapsed() < MOST_TIME, "it took too long");
        drop(told);
    }
}
