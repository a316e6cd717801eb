//! All settings as a document: what is in it, and what becomes of it elsewhere.

use crate::common::bench::TempFolder;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SECRET: &str = "wJalrXUtnFEMI-K7MDENG-bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "1//0refresh-token-of-a-drive";
const PASSWORD: &str = "a password for the file";

/// A box with settings of its own.
struct Home {
    folder: TempFolder,
}

impl Home {
    fn new() -> Home {
        let home = Home { folder: TempFolder::new() };
        fs::create_dir_all(home.path("photo/raw")).unwrap();
        fs::write(home.path("secret"), SECRET).unwrap();
        fs::write(home.path("token"), TOKEN).unwrap();
        fs::write(home.path("password"), PASSWORD).unwrap();
        fs::write(home.path("wrong"), "another password").unwrap();
        home
    }

    /// One with connections and a task in a folder that another box has, too.
    fn set_up(photo: &Path) -> Home {
        let home = Home::new();
        home.done(
            "connection add attic --service s3 --set bucket=photos --set access-key=AKID --set \
             endpoint=https://s3.example.com --secret secret-key=@secret --schedule never",
        );
        home.done(
            "connection add drive --service google-drive --set client-id=ID --secret client-secret=@secret \
             --secret refresh-token=@token",
        );
        let local = photo.display();
        home.done(&format!(
            "task add photos --connection attic --local {local} --remote /p --direction upload \
             --exclude *.tmp --exclude-folder raw --max-size 5 --recycle 7"
        ));
        home.done("pause photos");
        home.done("settings transfers 7");
        home.done("settings log-level debug");
        home
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mooring"))
            .args(line.split_whitespace())
            .env("MOORING_STATE", self.path("state"))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn done(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refused(&self, line: &str, cause: &str) {
        let output = self.run(line);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(cause), "{line}: {said}");
    }

    fn document(&self, line: &str) -> Value {
        serde_json::from_str(&self.done(line)).unwrap()
    }

    /// Takes a document over from another box, and gives what became of each thing.
    fn import(&self, from: &Home, file: &str, more: &str) -> Vec<(String, String, String)> {
        let file = from.path(file);
        let lines = self.document(&format!("settings import {} {more} --json", file.display()));
        let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let lines = lines.as_array().unwrap().iter();
        lines.map(|it| (text(it, "name"), text(it, "fate"), text(it, "detail"))).collect()
    }
}

fn line(name: &str, fate: &str, detail: &str) -> (String, String, String) {
    (name.into(), fate.into(), detail.into())
}

#[test]
fn without_a_password_no_secret_is_in_it_and_with_one_none_can_be_read() {
    let home = Home::new();
    let home = Home::set_up(&home.path("photo").canonicalize().unwrap());
    home.done("settings export -o plain.json");
    home.done("settings export -o sealed.json --password-file password");
    for name in ["plain.json", "sealed.json"] {
        let text = fs::read_to_string(home.path(name)).unwrap();
        assert!(text.contains("s3.example.com") && text.contains("photos"), "{text}");
        for secret in [SECRET, TOKEN, PASSWORD] {
            assert!(!text.contains(secret), "{name}");
        }
        assert_eq!(fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(home.document("settings export")["secrets"], Value::Null);
    home.refused("settings export -o plain.json", "File exists");
    fs::write(home.path("short"), "short").unwrap();
    home.refused("settings export -o new.json --password-file short", "8 characters");
    assert!(!home.path("new.json").exists());
}

#[test]
fn a_new_box_becomes_like_the_old_one() {
    let folders = Home::new();
    let old = Home::set_up(&folders.path("photo").canonicalize().unwrap());
    old.done("settings export -o all.json --password-file password");
    let new = Home::new();
    let given = "--password-file password";
    let told = new.import(&old, "all.json", given);
    assert_eq!(
        told,
        [
            line("", "replace", "transfers, log-level"),
            line("attic", "add", ""),
            line("drive", "add", ""),
            line("photos", "add", ""),
        ]
    );
    // It was told, and not done.
    assert_eq!(new.document("connection list --json"), json!([]));
    assert_eq!(new.import(&old, "all.json", &format!("{given} --apply")), told);
    for what in ["connection list --json", "task list --json", "settings --json"] {
        assert_eq!(new.document(what), old.document(what), "{what}");
    }
    // The secrets, too: they can be exported again, and are the same.
    assert!(new.import(&old, "all.json", given).iter().all(|(_, fate, _)| fate == "same"));
    fs::write(new.path("secret"), "another").unwrap();
    new.done("connection set attic --secret secret-key=@secret");
    assert_eq!(new.import(&old, "all.json", given)[1], line("attic", "replace", "secret-key"));
}

#[test]
fn secrets_that_are_left_out_are_entered_later() {
    let folders = Home::new();
    let old = Home::set_up(&folders.path("photo").canonicalize().unwrap());
    old.done("settings export -o plain.json");
    let new = Home::new();
    let told = new.import(&old, "plain.json", "--apply");
    assert_eq!(told[1], line("attic", "add", "still to be entered: secret-key"));
    let shown = new.document("connection show attic --json");
    assert_eq!(shown["settings"]["secret-key"], Value::Null);
    new.refused("plan photos", "secret-key");
    new.done("connection set attic --secret secret-key=@secret");
    let shown = new.document("connection show attic --json");
    assert_eq!(shown["settings"]["secret-key"], "(sealed)");
    assert!(new.import(&old, "plain.json", "").iter().all(|(_, fate, _)| fate == "same"));
}

#[test]
fn what_is_there_is_replaced_or_refused_and_nothing_is_removed() {
    let folders = Home::new();
    let photo = folders.path("photo").canonicalize().unwrap();
    let old = Home::set_up(&photo);
    old.done("settings export -o all.json");
    let new = Home::set_up(&photo);
    new.done("connection set attic --set bucket=others --set region=eu --schedule off");
    new.done("task set photos --direction both --include *.tmp --exclude *.bak");
    new.done("resume photos");
    new.done("connection remove drive");
    new.done("connection add drive --service webdav --set url=https://dav.example.com/");
    new.done("connection add mine --service webdav --set url=https://dav.example.com/");
    let told = new.import(&old, "all.json", "--apply");
    assert_eq!(told[1], line("attic", "replace", "bucket, region, schedule"));
    assert_eq!((told[2].0.as_str(), told[2].1.as_str()), ("drive", "refuse"));
    assert!(told[2].2.contains("a connection to another service has this name"), "{}", told[2].2);
    assert_eq!(told[3], line("photos", "replace", "direction, filter, paused"));
    let [mut here, mut there] = [&new, &old].map(|home| home.document("task show photos --json"));
    // Another bucket makes another pair.
    (here["id"], there["id"]) = (Value::Null, Value::Null);
    assert_eq!(here, there);
    let shown = new.document("connection show attic --json");
    assert_eq!(shown["settings"]["bucket"], "photos");
    assert_eq!(shown["settings"]["secret-key"], "(sealed)");
    let names: Vec<_> = new.document("connection list --json").as_array().unwrap().clone();
    assert_eq!(names.iter().map(|it| &it["name"]).collect::<Vec<_>>(), ["attic", "drive", "mine"]);
}

#[test]
fn nonsense_another_password_and_a_changed_address_are_refused() {
    let folders = Home::new();
    let home = Home::set_up(&folders.path("photo").canonicalize().unwrap());
    home.done("settings export -o all.json --password-file password");
    home.refused("settings import all.json --password-file wrong", "this isn't their password");
    let text = fs::read_to_string(home.path("all.json")).unwrap();
    fs::write(home.path("evil.json"), text.replace("s3.example.com", "evil.example.com")).unwrap();
    home.refused("settings import evil.json --password-file password", "or it was changed since");
    for (text, cause) in [
        ("", "it is empty"),
        ("{}", "missing field"),
        ("no document", "expected"),
        (&text.replace("\"format\": 1", "\"format\": 2"), "isn't known to this version"),
        (&text.replace("argon2id", "rot13"), "sealed in a way that this version doesn't know"),
    ] {
        fs::write(home.path("wrong.json"), text).unwrap();
        home.refused("settings import wrong.json --password-file password", cause);
    }
    // Neither does it get a secret that is here already.
    let told = home.import(&home, "evil.json", "--apply");
    assert_eq!(told[1], line("attic", "replace", "endpoint; still to be entered: secret-key"));
    assert_eq!(
        home.document("connection show attic --json")["settings"]["secret-key"],
        Value::Null
    );
    // A folder that isn't on this box.
    fs::remove_dir_all(folders.path("photo")).unwrap();
    let new = Home::new();
    let told = new.import(&home, "all.json", "--apply");
    assert_eq!((told[3].1.as_str(), told[1].1.as_str()), ("refuse", "add"));
    assert!(told[3].2.contains("make the folder first"), "{}", told[3].2);
}
