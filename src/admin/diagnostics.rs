//! Everything that helps to find out what is wrong, in one document that can be given away.
//!
//! No secret is in it. With the names left out, nothing that a person named or entered is in it
//! either: each such text is told by a mark, the same wherever the text is. Only what is known to be
//! a word of the program's own is let through.

use super::Sight;
use super::view::{ConnectionView, SettingsView, TaskView};
use crate::error::{Error, Kind, Result};
use crate::logs;
use crate::model::to_hex;
use crate::settings::Book;
use ring::hmac;
use ring::rand::SystemRandom;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::fs;
use std::thread;
use std::time::SystemTime;

/// Lines of the history that are in it.
pub const HISTORY: usize = 500;
/// What stands for a secret.
const SECRET: &str = "(secret)";
/// Secrets with fewer characters could be any part of a text, and are in no text anyway.
const SHORTEST: usize = 4;
/// The field with what a service is told.
const SETTINGS: &str = "settings";
/// Bytes of a mark.
const MARK: usize = 4;
/// What describes the system: a file and, of a file with several, the fields.
const FACTS: [(&str, &str, &[&str]); 4] = [
    ("kernel", "/proc/sys/kernel/osrelease", &[]),
    ("memory", "/proc/meminfo", &["MemTotal", "MemAvailable", "SwapTotal", "SwapFree"]),
    ("process", "/proc/self/status", &["VmHWM", "VmRSS", "VmSwap", "Threads"]),
    ("dsm", "/etc.defaults/VERSION", &["productversion", "buildnumber", "unique"]),
];
/// Fields with nothing but words, times and versions of the program's own.
const PLAIN: [&str; 20] = [
    "version",
    "time",
    "kernel",
    "machine",
    "memory",
    "process",
    "dsm",
    "service",
    "state",
    "code",
    "kind",
    "action",
    "phase",
    "direction",
    "conflict",
    "side",
    "since",
    "runs_again",
    "log_level",
    "grid",
];

/// What is known of the box, the settings, and how everything is.
#[derive(Serialize)]
struct Diagnostics {
    version: &'static str,
    /// When it was written: RFC 3339, UTC.
    time: String,
    system: Value,
    /// The settings of the program as a whole.
    program: SettingsView,
    connections: Vec<ConnectionView>,
    tasks: Vec<TaskView>,
    status: Value,
    /// The last lines of the history, oldest first.
    history: Value,
    /// The last lines of the log, oldest first.
    log: Vec<String>,
}

/// The document for this caller; `names` says whether names are left in.
///
/// # Errors
/// `State` when the settings can't be read.
pub fn document(
    book: &Book,
    sight: &Sight<'_>,
    status: Value,
    history: Value,
    names: bool,
) -> Result<Value> {
    let connections = sight.connections()?;
    let views = connections.iter().map(|each| ConnectionView::of(book, each));
    let found = Diagnostics {
        version: env!("CARGO_PKG_VERSION"),
        time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        system: system(),
        program: SettingsView::of(&book.globals()?),
        connections: views.collect::<Result<_>>()?,
        tasks: sight.tasks()?.iter().map(TaskView::of).collect(),
        status,
        history,
        // It tells of everybody's tasks.
        log: if sight.confined_to().is_none() { logs::recent() } else { Vec::new() },
    };
    let mut document = super::document(&found)?;
    let secrets = book.secrets_to_hide()?;
    each_text(&mut document, "", &mut |_, text| hide(text, &secrets));
    if !names {
        let failed = |_| Error::new(Kind::State, "the diagnostics", "there is no randomness");
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).map_err(failed)?;
        each_text(&mut document, "", &mut |field, text| {
            if field == "log" {
                *text = text.split(' ').take(2).collect::<Vec<_>>().join(" ");
            } else if !PLAIN.contains(&field) && !text.is_empty() {
                *text = mark(&key, text);
            }
        });
    }
    Ok(document)
}

fn mark(key: &hmac::Key, text: &str) -> String {
    format!("#{}", to_hex(&hmac::sign(key, text.as_bytes()).as_ref()[..MARK]))
}

/// What tells how the box is.
fn system() -> Value {
    let mut facts = Map::new();
    for (name, file, fields) in FACTS {
        let text = fs::read_to_string(file).unwrap_or_default();
        let is_wanted =
            |line: &&str| fields.is_empty() || fields.iter().any(|field| line.starts_with(field));
        let lines: Vec<_> = text.lines().filter(is_wanted).map(plain).collect();
        if !lines.is_empty() {
            facts.insert(name.into(), json!(lines));
        }
    }
    facts.insert("machine".into(), json!(std::env::consts::ARCH));
    facts
        .insert("processors".into(), json!(thread::available_parallelism().map_or(0, usize::from)));
    Value::Object(facts)
}

fn plain(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Hides what a secret is, wherever it stands, and what an address gives away.
fn hide(text: &mut String, secrets: &[String]) {
    for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
        if text.contains(secret.as_str()) {
            *text = text.replace(secret.as_str(), SECRET);
        }
    }
    let mut from = 0;
    while let Some(begin) = text[from..].find("://").map(|at| from + at + 3) {
        let rest = &text[begin..];
        let end = rest.find(['/', ' ', '"', '?', '#']).unwrap_or(rest.len());
        if let Some(at) = rest[..end].rfind('@') {
            text.replace_range(begin..begin + at, SECRET);
        }
        from = begin;
    }
}

/// Does something with each text, by the name of its field.
fn each_text(value: &mut Value, field: &str, work: &mut dyn FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => work(field, text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_text(item, field, work)),
        Value::Object(fields) => {
            for (name, value) in fields {
                // What a service's settings are called isn't known here.
                let name = if field == SETTINGS { field } else { name };
                each_text(value, name, work);
            }
        }
        _ => {}
    }
}
