//! `mooring sync`: one cycle in the foreground, or at the daemon's when one runs.

use super::progress::{self, Line};
use super::{End, print_json, show, signals, unprinted};
use crate::admin;
use crate::daemon::client::Client;
use crate::engine::{Approval, LocalLook, Look, Report};
use crate::error::Result;
use crate::http::Cancel;
use crate::settings::Book;
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Syncs a task once and prints the report.
pub fn run(
    state: &Path,
    task: String,
    approve: bool,
    json: bool,
    out: &mut dyn Write,
) -> Result<End> {
    let report = match Client::connect(state)? {
        Some(daemon) => {
            let mut line = Line::new();
            let report = daemon.sync(&task, approve, &mut |view| line.draw(&view));
            line.clear();
            report?
        }
        None => here(state, &task, approve)?,
    };
    if json {
        print_json(out, &json!(report))?;
    } else {
        show::report(out, &report).map_err(unprinted)?;
    }
    Ok(match report {
        Report { held: 1.., .. } => End::NeedsPerson,
        Report { errors: 1.., .. } => End::Failed,
        _ => End::Done,
    })
}

fn here(state: &Path, task: &str, approve: bool) -> Result<Report> {
    // Held open to the end, so that nobody changes or removes the task meanwhile.
    let book = Book::open(state)?;
    admin::refuse_paused(&book, &book.task(task)?)?;
    let cancel = Cancel::default();
    signals::cancel_on_signal(&cancel)?;
    let mut engine = admin::open_task(&book, task, cancel)?;
    let holds = if approve { engine.trees().snapshot()?.holds()? } else { Vec::new() };
    let approve = Approval::of(holds.iter().map(|hold| (&*hold.code, hold.side, hold.items)));
    let look = Look { local: LocalLook::All, remote: true, approve, retry: true, verify: u64::MAX };
    let progress = engine.progress();
    progress::during(move || progress.view(), || engine.cycle(&look))
}
