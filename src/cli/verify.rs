//! `mooring verify`: what is damaged or not synced yet, printed as it is found out.

use super::progress::{self, Line};
use super::{End, print_json, signals, units, unprinted};
use crate::admin::{self, Request};
use crate::daemon::client::Client;
use crate::engine::{Finding, Scrutiny, Trouble, Verified};
use crate::error::{Error, Kind, Reaction, Result};
use crate::http::Cancel;
use crate::model::Side;
use crate::progress::ProgressView;
use crate::settings::Book;
use serde::Deserialize;
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;

/// Verifies a task and prints what is found.
pub fn run(
    state: &Path,
    task: &str,
    scrutiny: Scrutiny,
    json: bool,
    out: &mut dyn Write,
) -> Result<End> {
    let mut listing = Listing { out, json };
    let cancel = Cancel::default();
    let verified = match Client::connect(state)? {
        Some(daemon) => {
            signals::cancel_on_signal(&cancel)?;
            bit_by_bit(&daemon, task, scrutiny, &cancel, &mut listing)?
        }
        None => here(state, task, &scrutiny, cancel, &mut listing)?,
    };
    if json {
        print_json(listing.out, &json!({ "verified": verified }))?;
    } else {
        listing.sum_up(task, &verified).map_err(unprinted)?;
    }
    Ok(end_of(&verified))
}

fn here(
    state: &Path,
    task: &str,
    scrutiny: &Scrutiny,
    cancel: Cancel,
    listing: &mut Listing<'_>,
) -> Result<Verified> {
    // Held open to the end, so that nobody syncs, changes or removes the task meanwhile.
    let book = Book::open(state)?;
    signals::cancel_on_signal(&cancel)?;
    let mut engine = admin::open_task_to_verify(&book, task, cancel)?;
    let progress = engine.progress();
    progress::during(
        move || progress.view(),
        || engine.verify(scrutiny, &mut |finding| listing.add(&finding).map_err(unprinted)),
    )
}

/// Has the daemon verify, a bit at a time, so that it syncs in between.
fn bit_by_bit(
    daemon: &Client,
    task: &str,
    Scrutiny { mut after, quick, .. }: Scrutiny,
    cancel: &Cancel,
    listing: &mut Listing<'_>,
) -> Result<Verified> {
    #[derive(Deserialize)]
    struct Bit {
        findings: Vec<Finding>,
        verified: Verified,
    }
    let mut line = Line::new();
    let mut all = Verified::default();
    loop {
        let answer = daemon.call(&Request::Verify { task: task.into(), after, quick })?;
        let bit: Bit = serde_json::from_value(answer)
            .map_err(|error| Error::new(Kind::Protocol, "the daemon's answer", error))?;
        bit.findings.iter().try_for_each(|finding| listing.add(finding)).map_err(unprinted)?;
        all.add(bit.verified);
        match &all.next {
            Some(next) if all.stopped.is_none() && !cancel.is_cancelled() => after = next.clone(),
            _ => break,
        }
        let view = ProgressView { phase: "verifying", seen: all.files, ..ProgressView::default() };
        line.draw(&view);
    }
    line.clear();
    Ok(all)
}

fn end_of(verified: &Verified) -> End {
    let stopped = verified.stopped.as_ref().and_then(|trouble| Kind::of_word(&trouble.kind));
    let asks = stopped.is_some_and(|kind| kind.reaction() == Reaction::Ask);
    match verified {
        Verified { damaged: 1.., .. } => End::NeedsPerson,
        _ if asks => End::NeedsPerson,
        Verified { next: None, failed: 0, .. } => End::Done,
        _ => End::Failed,
    }
}

/// Findings on their way out: one at a time, as verifying a large task takes hours.
struct Listing<'a> {
    out: &'a mut dyn Write,
    json: bool,
}

impl Listing<'_> {
    fn add(&mut self, finding: &Finding) -> io::Result<()> {
        Line::new().clear();
        if self.json {
            writeln!(self.out, "{}", json!(finding))?;
        } else {
            let [path, reason, remedy] =
                [&finding.path, &finding.reason, &finding.remedy].map(|text| units::plain(text));
            let side = match finding.side {
                Some(Side::Local) => " here",
                Some(Side::Remote) => " on the service",
                None => "",
            };
            match finding.state.as_str() {
                "not-synced" => writeln!(self.out, "  {path}: not synced yet: {reason}")?,
                state => writeln!(self.out, "  {path}: {state}{side}: {reason}\n    → {remedy}")?,
            }
        }
        self.out.flush()
    }

    fn sum_up(&mut self, task: &str, verified: &Verified) -> io::Result<()> {
        let Verified { files, read, bytes, confirmed, .. } = *verified;
        let (files, bytes) = (units::count(files, "file"), units::bytes(bytes));
        writeln!(
            self.out,
            "Verified {files}: {read} read here ({bytes}), {confirmed} confirmed by the service's \
             hash."
        )?;
        for (number, what) in [
            (verified.damaged, "damaged"),
            (verified.not_synced, "not synced yet"),
            (verified.left, "different because the task leaves it so"),
            (verified.skipped, "left out by a rule; see mooring status TASK"),
            (verified.held, "waiting for you; see mooring status TASK"),
            (verified.failed, "not looked at"),
        ] {
            if number > 0 {
                writeln!(self.out, "{} {what}.", units::count(number, "item"))?;
            }
        }
        if let Some(Trouble { reason, remedy, .. }) = &verified.stopped {
            let [reason, remedy] = [reason, remedy].map(|text| units::plain(text));
            writeln!(self.out, "It ended early: {reason}\n    → {remedy}")?;
        }
        match &verified.next {
            Some(next) if next.is_empty() => Ok(()),
            Some(next) => {
                let [task, next] = [task, next].map(quoted);
                writeln!(self.out, "Go on with: mooring verify {task} --after {next}")
            }
            None => Ok(()),
        }
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    format!("'{}'", units::plain(word).replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_comes_before_failures() {
        let stopped = |kind: Kind| {
            let error = Error::new(kind, "what", "why");
            let trouble =
                json!({ "path": "", "kind": kind.word(), "reason": error.reason(), "remedy": "" });
            serde_json::from_value(trouble).ok()
        };
        let next = || Some("a".to_owned());
        let fine = Verified { not_synced: 3, left: 1, skipped: 2, held: 1, ..Verified::default() };
        assert_eq!(end_of(&fine), End::Done);
        assert_eq!(end_of(&Verified { failed: 1, ..fine.clone() }), End::Failed);
        for (kind, end) in [
            (Kind::Cancelled, End::Failed),
            (Kind::Offline, End::Failed),
            (Kind::SignIn, End::NeedsPerson),
        ] {
            let cut = Verified { next: next(), stopped: stopped(kind), ..fine.clone() };
            assert_eq!(end_of(&cut), end);
            assert_eq!(end_of(&Verified { damaged: 1, ..cut }), End::NeedsPerson);
        }
    }

    #[test]
    fn what_to_type_can_be_typed() {
        let verified = Verified { next: Some("it's/a $file".into()), ..Verified::default() };
        let mut out = Vec::new();
        Listing { out: &mut out, json: false }.sum_up("my task", &verified).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("mooring verify 'my task' --after 'it'\\''s/a $file'\n"), "{text}");
    }
}
