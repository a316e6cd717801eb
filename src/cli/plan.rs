//! `mooring plan`: what a sync would do, printed as it is found out.

use super::{End, show, signals, tell, units, unprinted};
use crate::admin::{self, Request};
use crate::daemon::client::Client;
use crate::engine::Intent;
use crate::error::{Error, Kind, Result};
use crate::http::Cancel;
use crate::settings::Book;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

/// Prints what a sync of a task would do.
pub fn run(state: &Path, task: String, json: bool, out: &mut dyn Write) -> Result<End> {
    let mut listing = Listing { out, json, begun: false, tally: BTreeMap::new() };
    match look(state, task, &mut listing) {
        Ok(report) => listing.end(&report).map_err(unprinted)?,
        Err(error) if listing.begun => {
            listing.fail(&error).map_err(unprinted)?;
            tell(&error);
            return Ok(End::of(&error));
        }
        Err(error) => return Err(error),
    }
    Ok(End::Done)
}

fn look(state: &Path, task: String, listing: &mut Listing<'_>) -> Result<Value> {
    if let Some(daemon) = Client::connect(state)? {
        let answer = daemon.call(&Request::Preview { task })?;
        let preview: Preview = serde_json::from_value(answer)
            .map_err(|error| Error::new(Kind::Protocol, "the daemon's answer", error))?;
        for IntentLine { action, path, bytes } in preview.intents {
            listing.add(&action, &path, bytes).map_err(unprinted)?;
        }
        return Ok(preview.report);
    }
    let book = Book::open(state)?;
    let cancel = Cancel::default();
    signals::cancel_on_signal(&cancel)?;
    let mut engine = admin::open_task(&book, &task, cancel)?;
    let mut each = |Intent { action, path, bytes }: Intent| {
        listing.add(action, &path, bytes).map_err(unprinted)
    };
    Ok(json!(engine.preview(&mut each)?))
}

/// A daemon's preview, which comes as a whole.
#[derive(Deserialize)]
struct Preview {
    intents: Vec<IntentLine>,
    report: Value,
}

#[derive(Deserialize)]
struct IntentLine {
    action: String,
    path: String,
    bytes: u64,
}

/// The plan on its way out: a line for each intent, or one JSON document written bit by bit.
struct Listing<'a> {
    out: &'a mut dyn Write,
    json: bool,
    begun: bool,
    /// Items and bytes by action.
    tally: BTreeMap<String, (u64, u64)>,
}

impl Listing<'_> {
    fn add(&mut self, action: &str, path: &str, bytes: u64) -> io::Result<()> {
        if self.json {
            self.out.write_all(if self.begun { b"," } else { b"{\"intents\":[" })?;
            let intent = json!({ "action": action, "path": path, "bytes": bytes });
            write!(self.out, "{intent}")?;
        } else {
            let size = if bytes == 0 { String::new() } else { units::bytes(bytes) };
            writeln!(self.out, "{action:<18} {size:>10}  {}", units::plain(path))?;
        }
        self.begun = true;
        let (items, sum) = self.tally.entry(action.to_owned()).or_default();
        *items += 1;
        *sum = sum.saturating_add(bytes);
        Ok(())
    }

    fn end(&mut self, report: &Value) -> io::Result<()> {
        if self.json {
            return self.close("report", report);
        }
        if self.tally.is_empty() {
            writeln!(self.out, "Nothing to do.")?;
        } else {
            writeln!(self.out)?;
        }
        for (action, (items, bytes)) in &self.tally {
            writeln!(self.out, "{action:<18} {items:>10}  {}", units::bytes(*bytes))?;
        }
        show::problems(self.out, report)
    }

    /// Ends a document that has begun, so that what was printed can be read.
    fn fail(&mut self, error: &Error) -> io::Result<()> {
        if self.json { self.close("error", &error.document()) } else { Ok(()) }
    }

    fn close(&mut self, key: &str, value: &Value) -> io::Result<()> {
        if !self.begun {
            self.out.write_all(b"{\"intents\":[")?;
        }
        writeln!(self.out, "],\"{key}\":{value}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(json: bool, paths: &[&str]) -> String {
        let mut out = Vec::new();
        let mut listing = Listing { out: &mut out, json, begun: false, tally: BTreeMap::new() };
        for path in paths {
            listing.add("upload", path, 1024).unwrap();
        }
        listing.end(&json!({ "skipped": 0 })).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_plan_is_one_document() {
        for paths in [&[][..], &["a\"b"], &["a", "b\nc"]] {
            let document: Value = serde_json::from_str(&printed(true, paths)).unwrap();
            let intents = document["intents"].as_array().unwrap();
            assert_eq!(intents.len(), paths.len());
            for (intent, path) in intents.iter().zip(paths) {
                assert_eq!(intent["path"], *path);
            }
            assert_eq!(document["report"]["skipped"], 0);
        }
    }

    #[test]
    fn a_plan_for_people_ends_in_sums() {
        assert_eq!(printed(false, &[]), "Nothing to do.\n");
        assert!(printed(false, &["a", "b"]).ends_with("upload                      2  2.0 KiB\n"));
    }
}
