//! `mooring decrypt` and `mooring encrypt`: files of Cloud Sync's encrypted format, without a task.

use super::args::{Key, Source};
use super::progress::Line;
use super::{End, print_json, signals, tell, units, unprinted, values};
use crate::csenc::{Errand, Locks, Opener, Outcome, Work};
use crate::error::{Error, Result};
use crate::http::Cancel;
use crate::progress::ProgressView;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Items that weren't done and are in the document; all are told on the terminal and counted.
const MOST_LISTED: usize = 1000;
/// Time between two drawings of how far it is.
const PERIOD: Duration = Duration::from_millis(500);

/// Decrypts, and prints what came of it.
pub fn decrypt(
    from: Vec<PathBuf>,
    to: PathBuf,
    key: Key,
    json: bool,
    out: &mut dyn Write,
) -> Result<End> {
    let opener = match key {
        Key::Password(source) => Opener::password(values::line("the password", source)?),
        Key::Private(file) => {
            Opener::private_key(&values::line("the private key", Source::File(file))?)?
        }
    };
    run(&Errand { from, to, work: Work::Decrypt(opener) }, json, out)
}

/// Encrypts, and prints what came of it.
pub fn encrypt(
    from: Vec<PathBuf>,
    to: PathBuf,
    password: Source,
    public_key: PathBuf,
    json: bool,
    out: &mut dyn Write,
) -> Result<End> {
    let password = values::line("the password", password)?;
    let public_key = values::line("the public key", Source::File(public_key))?;
    let locks = Locks::new(password, &public_key)?;
    run(&Errand { from, to, work: Work::Encrypt(locks) }, json, out)
}

fn run(errand: &Errand, json: bool, out: &mut dyn Write) -> Result<End> {
    let cancel = Cancel::default();
    signals::cancel_on_signal(&cancel)?;
    let (done, doing) = match errand.work {
        Work::Decrypt(_) => ("decrypted", "decrypting"),
        Work::Encrypt(_) => ("encrypted", "encrypting"),
    };
    let mut report = Report { doing, ..Report::default() };
    let ended = errand.run(&cancel, &mut |path, outcome| {
        report.add(path, outcome);
        Ok(())
    });
    report.line.clear();
    if json {
        let Report { files, bytes, there, skipped, failed, ref items, .. } = report;
        let error = ended.as_ref().err().map(Error::document);
        let mut document = json!({
            done: files, "bytes": bytes, "there": there, "skipped": skipped, "failed": failed,
            "items": items,
        });
        if let (Some(error), Some(document)) = (error, document.as_object_mut()) {
            document.insert("error".into(), error);
        }
        print_json(out, &document)?;
    } else {
        report.sum_up(done, out).map_err(unprinted)?;
    }
    match ended {
        // The document told it already.
        Err(error) if json => {
            tell(&error);
            Ok(End::of(&error))
        }
        Err(error) => Err(error),
        Ok(()) if report.failed > 0 => Ok(End::Failed),
        Ok(()) => Ok(End::Done),
    }
}

/// What came of it so far.
#[derive(Default)]
struct Report {
    doing: &'static str,
    files: u64,
    bytes: u64,
    /// Those that an earlier run did.
    there: u64,
    skipped: u64,
    failed: u64,
    /// Those that weren't done.
    items: Vec<Value>,
    line: Line,
    drawn: Option<Instant>,
}

impl Report {
    fn add(&mut self, path: &str, outcome: Outcome) {
        let mut item = match outcome {
            Outcome::Done(bytes) => {
                self.files += 1;
                self.bytes += bytes;
                return self.draw();
            }
            Outcome::There => {
                self.there += 1;
                return self.draw();
            }
            Outcome::Skipped(reason) => {
                self.skipped += 1;
                self.line.clear();
                // There is no one left to tell when this fails.
                let _ =
                    writeln!(io::stderr(), "mooring: left out {}: {reason}", units::plain(path));
                json!({ "state": "skipped", "reason": reason.to_string() })
            }
            Outcome::Failed(error) => {
                self.failed += 1;
                self.line.clear();
                let error = error.context(format!("{} {}", self.doing, units::plain(path)));
                tell(&error);
                let mut item = error.document();
                item["state"] = json!("failed");
                item
            }
        };
        if self.items.len() < MOST_LISTED {
            item["path"] = json!(path);
            self.items.push(item);
        }
    }

    fn draw(&mut self) {
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= PERIOD) {
            let view = ProgressView {
                phase: self.doing,
                seen: self.files + self.there,
                ..Default::default()
            };
            self.line.draw(&view);
            self.drawn = Some(Instant::now());
        }
    }

    fn sum_up(&self, done: &str, out: &mut dyn Write) -> io::Result<()> {
        let Report { files, bytes, there, skipped, failed, .. } = *self;
        writeln!(out, "{} {done}, {}.", units::count(files, "file"), units::bytes(bytes))?;
        if there > 0 {
            writeln!(out, "{} there already.", units::count(there, "file"))?;
        }
        for (number, what) in [(skipped, "left out"), (failed, "failed")] {
            if number > 0 {
                writeln!(out, "{} {what}.", units::count(number, "item"))?;
            }
        }
        Ok(())
    }
}
