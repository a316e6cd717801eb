//! Answers as people read them.

use super::{args, units, unprinted};
use crate::admin::Request;
use crate::admin::view::{
    Authorization, BucketMade, BucketView, BucketsView, ConnectionView, Counts, FieldView,
    HoldLine, ItemLine, LogLine, Overview, PasswordView, Paused, ProviderView, Removed,
    ServiceName, ServiceView, SettingsView, SignedIn, StatusView, TaskItems, TaskStatus, TaskView,
    Tested,
};
use crate::engine::{Report, Trouble};
use crate::error::{Error, Kind, Result};
use crate::logs::LEVEL_WORDS;
use crate::rules::{Filter, Grid, Schedule};
use crate::settings::{Fate, ImportLine, STATE_LOCATION, Thing};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::time::Duration;

/// Most words to choose from that are told beside a setting.
const MOST_CHOICES: usize = 8;

/// Prints an answer.
pub type Printer = fn(&mut dyn Write, Value) -> Result<()>;

/// What prints the answer to this request.
pub fn printer(request: &Request) -> Printer {
    match request {
        Request::ServiceList => |out, answer| show(out, answer, services),
        Request::ServiceShow { .. } => |out, answer| show(out, answer, service),
        Request::ConnectionList => |out, answer| show(out, answer, connections),
        Request::ConnectionShow { .. }
        | Request::ConnectionAdd { .. }
        | Request::ConnectionSet { .. } => |out, answer| show(out, answer, connection),
        Request::ConnectionTest { .. } | Request::ConnectionTry { .. } => {
            |out, answer| show(out, answer, tested)
        }
        Request::Buckets { .. } => |out, answer| show(out, answer, buckets),
        Request::BucketMake { .. } => |out, answer| show(out, answer, bucket_made),
        Request::ConnectionAuthorize { .. } => |out, answer| show(out, answer, authorization),
        Request::ConnectionAuthorized { .. } => |out, answer| show(out, answer, signed_in),
        Request::ConnectionRemove { .. } | Request::TaskRemove { .. } => {
            |out, answer| show(out, answer, removed)
        }
        Request::TaskList => |out, answer| show(out, answer, tasks),
        Request::TaskShow { .. } | Request::TaskAdd { .. } | Request::TaskSet { .. } => {
            |out, answer| show(out, answer, task)
        }
        Request::Pause { .. } | Request::Resume { .. } => |out, answer| show(out, answer, paused),
        Request::Log { .. } => |out, answer| show(out, answer, log),
        Request::Settings | Request::SettingsSet { .. } => {
            |out, answer| show(out, answer, settings)
        }
        Request::PasswordSet { .. } => |out, answer| show(out, answer, password),
        Request::Import { .. } => |out, answer| show(out, answer, imported),
        Request::Status => |out, answer| show(out, answer, status),
        Request::TaskStatus { .. } => |out, answer| show(out, answer, task_items),
        // Their commands print as they go, or there is none; what a daemon answers is a document.
        Request::ConnectionKey { .. }
        | Request::Export { .. }
        | Request::History { .. }
        | Request::Diagnostics { .. }
        | Request::LocalFolders { .. }
        | Request::LocalFolderMake { .. }
        | Request::RemoteFolders { .. }
        | Request::RemoteFolderMake { .. }
        | Request::ItemRename { .. }
        | Request::RemovedFiles { .. }
        | Request::RemovedRestore { .. }
        | Request::Preview { .. }
        | Request::Sync { .. }
        | Request::Verify { .. } => |out, answer| writeln!(out, "{answer:#}").map_err(unprinted),
    }
}

fn show<T: DeserializeOwned>(
    out: &mut dyn Write,
    answer: Value,
    print: fn(&mut dyn Write, T) -> io::Result<()>,
) -> Result<()> {
    print(out, read(answer)?).map_err(unprinted)
}

/// Understands an answer.
pub fn read<T: DeserializeOwned>(answer: Value) -> Result<T> {
    serde_json::from_value(answer).map_err(|error| {
        Error::new(Kind::Protocol, "the daemon's answer", error)
            .remedy("restart the daemon: it may be of another version")
    })
}

fn services(out: &mut dyn Write, services: Vec<ServiceName>) -> io::Result<()> {
    columns(out, services.into_iter().map(|each| [each.name, each.label]).collect())
}

fn service(out: &mut dyn Write, service: ServiceView) -> io::Result<()> {
    let rules = rules(&service);
    writeln!(out, "{} ({})\n\nSettings:", service.label, service.name)?;
    let suggested: Vec<_> = service.fields.iter().map(suggestions).collect();
    columns(out, service.fields.into_iter().map(field).collect())?;
    for (title, rows) in suggested.into_iter().flatten() {
        writeln!(out, "\n{title}")?;
        columns(out, rows)?;
    }
    if !service.providers.is_empty() {
        writeln!(out, "\nProviders, with their addresses and regions:")?;
        columns(out, service.providers.into_iter().map(provider).collect())?;
    }
    if !service.task_fields.is_empty() {
        writeln!(out, "\nSettings of a task:")?;
        columns(out, service.task_fields.into_iter().map(field).collect())?;
    }
    if service.sign_in {
        let how = "with an app of your own there, by mooring connection authorize";
        writeln!(out, "\nA person signs in to it {how}.")?;
    }
    writeln!(out, "\nLimits and rules:")?;
    rules.into_iter().try_for_each(|[what, rule]| writeln!(out, "  {what}: {rule}"))
}

/// The limits and rules of a service: what each is about, and what it says.
pub fn rules(service: &ServiceView) -> Vec<[String; 2]> {
    let mut rules = Vec::new();
    let mut say = |what: &str, rule: String| rules.push([what.to_owned(), rule]);
    if let Some(size) = service.max_size {
        say("largest file", units::bytes(size));
    }
    say("longest path", format!("{} bytes, remote folder included", service.max_path));
    if let Some(most) = service.max_name {
        say("longest name", format!("{most} bytes"));
    }
    if !service.forbidden_characters.is_empty() {
        say("characters it doesn't take", service.forbidden_characters.clone());
    }
    if !service.forbidden_names.is_empty() {
        say("names it doesn't take", service.forbidden_names.join("  "));
    }
    if let Some(BucketView { min, max, extra }) = &service.bucket {
        say("bucket names", format!("{min} to {max} characters of a-z, 0-9 and {extra}"));
    }
    let keeps = if service.keeps_mtime { "kept" } else { "not kept" };
    say("times of modification", keeps.into());
    say("hash", service.hash.clone());
    let moves = match service.moves.as_str() {
        "trees" => "a folder moves as a whole",
        _ => "a folder moves file by file, without sending content again",
    };
    say("moving", moves.into());
    if service.folders_implied {
        say("folders", "there only because something is in them".into());
    }
    rules
}

fn connections(out: &mut dyn Write, connections: Vec<ConnectionView>) -> io::Result<()> {
    if connections.is_empty() {
        return writeln!(out, "No connections. Add one with mooring connection add.");
    }
    let rows = connections.into_iter().map(|each| {
        let tasks = units::count(each.tasks.len() as u64, "task");
        let signed_out = if each.signed_in == Some(false) { "(not signed in)" } else { "" };
        let words = format!("{signed_out} {}", paused_word(each.paused));
        [each.name, each.service, tasks, words.trim().to_owned()]
    });
    columns(out, rows.collect())
}

fn connection(out: &mut dyn Write, connection: ConnectionView) -> io::Result<()> {
    title(out, &connection.name, connection.paused)?;
    let mut rows = vec![["  service".to_owned(), connection.service]];
    rows.extend(connection.owner.map(|owner| ["  owner".to_owned(), owner]));
    if let Some(signed_in) = connection.signed_in {
        let word = if signed_in { "yes" } else { "no; see mooring connection authorize" };
        rows.push(["  signed in", word].map(str::to_owned));
    }
    let Schedule { enabled, grid } = connection.schedule;
    let schedule = match enabled {
        true => grid.to_string(),
        false if grid == Grid::ALWAYS => "off".to_owned(),
        false => format!("off ({grid})"),
    };
    rows.push(["  schedule".to_owned(), schedule]);
    for (key, value) in connection.settings {
        let lines = value.lines().count();
        let short = if lines > 1 { format!("({lines} lines)") } else { units::plain(&value) };
        rows.push([format!("  {key}"), short]);
    }
    rows.push(["  tasks".to_owned(), list(&connection.tasks)]);
    columns(out, rows)
}

fn tested(out: &mut dyn Write, tested: Tested) -> io::Result<()> {
    writeln!(out, "Connection {} works.", tested.connection)
}

fn authorization(out: &mut dyn Write, authorization: Authorization) -> io::Result<()> {
    let name = authorization.connection;
    let Some(page) = authorization.page else {
        let needs = "needs no sign-in: its settings are enough";
        return writeln!(out, "The service of connection {name} {needs}.");
    };
    let url = units::plain(&page.url);
    writeln!(out, "Open this address in a browser:\n\n  {url}\n")?;
    match page.redirect {
        Some(redirect) => {
            let redirect = units::plain(&redirect);
            writeln!(out, "Sign in and agree. The browser ends at {redirect} with an answer.")
        }
        None => writeln!(out, "Sign in and agree. The service then shows a code."),
    }
}

fn signed_in(out: &mut dyn Write, signed_in: SignedIn) -> io::Result<()> {
    writeln!(out, "Connection {} is signed in.", signed_in.connection)
}

fn removed(out: &mut dyn Write, removed: Removed) -> io::Result<()> {
    writeln!(out, "Removed {}.", removed.removed)
}

fn field(field: FieldView) -> [String; 4] {
    let option = if field.kind == "secret" { "--secret" } else { "--set" };
    // Many choices are told in a table of their own.
    let few = (1..=MOST_CHOICES).contains(&field.choices.len());
    let kind = if few { field.choices.join("|") } else { field.kind };
    let needed = match field.default {
        Some(default) => format!("default {default}"),
        None if field.needed => "needed".to_owned(),
        None => "optional".to_owned(),
    };
    let about = format!("{}: {}", field.label, field.help);
    [format!("  {option} {}", field.key), kind, needed, about]
}

fn provider(provider: ProviderView) -> [String; 4] {
    let address = match provider.own_address {
        true => format!("your own, like {}", provider.address),
        false => provider.address,
    };
    [format!("  {}", provider.name), provider.label, address, provider.regions.join(" ")]
}

/// What a setting may be, under a title; `None` where nothing is suggested.
fn suggestions(field: &FieldView) -> Option<(String, Vec<[String; 2]>)> {
    let rows =
        field.suggestions.iter().map(|each| [format!("  {}", each.value), each.label.clone()]);
    let rows: Vec<_> = rows.collect();
    (!rows.is_empty()).then(|| (format!("{} may be another, or one of:", field.key), rows))
}

fn buckets(out: &mut dyn Write, view: BucketsView) -> io::Result<()> {
    for bucket in &view.buckets {
        writeln!(out, "{}", units::plain(bucket))?;
    }
    match (view.buckets.is_empty(), view.more) {
        (true, _) => writeln!(out, "No buckets. Make one with --make BUCKET."),
        (_, true) => writeln!(out, "… and more"),
        _ => Ok(()),
    }
}

fn bucket_made(out: &mut dyn Write, made: BucketMade) -> io::Result<()> {
    writeln!(out, "The bucket {} is there.", made.bucket)
}

fn tasks(out: &mut dyn Write, tasks: Vec<TaskView>) -> io::Result<()> {
    if tasks.is_empty() {
        return writeln!(out, "No tasks. Add one with mooring task add.");
    }
    let rows = tasks.into_iter().map(|task| {
        let local = units::plain(&task.local.to_string_lossy());
        let direction = word_of(&args::DIRECTIONS, task.direction).to_owned();
        let remote = format!("{}:{}", task.connection, task.remote);
        [task.name, direction, local, remote, paused_word(task.paused).to_owned()]
    });
    columns(out, rows.collect())
}

fn task(out: &mut dyn Write, task: TaskView) -> io::Result<()> {
    title(out, &task.name, task.paused)?;
    let keeps = if task.keep_removed { "kept at the destination" } else { "removed there too" };
    let recycled = match task.recycle_days {
        0 => "none: what is removed from the disk is gone".to_owned(),
        days => format!("kept for {}", units::count(days.into(), "day")),
    };
    let mut rows = vec![
        ["  connection", task.connection.as_str()].map(str::to_owned),
        ["  local", &units::plain(&task.local.to_string_lossy())].map(str::to_owned),
        ["  remote", &task.remote].map(str::to_owned),
        ["  direction", word_of(&args::DIRECTIONS, task.direction)].map(str::to_owned),
        ["  conflicts", word_of(&args::CONFLICTS, task.conflict)].map(str::to_owned),
        ["  consistency check", word_of(&args::SWITCH, task.consistency_check)].map(str::to_owned),
        ["  removed files", keeps].map(str::to_owned),
        ["  recycled files".to_owned(), recycled],
    ];
    let Filter { folders, patterns, max_size } = task.filter;
    for (what, left_out) in [("  excluded folders", folders), ("  excluded files", patterns)] {
        let each = left_out.iter().map(|each| units::plain(each)).collect::<Vec<_>>();
        if !each.is_empty() {
            rows.push([what.to_owned(), each.join(", ")]);
        }
    }
    rows.extend(max_size.map(|most| ["  largest file".to_owned(), units::bytes(most)]));
    rows.extend(task.settings.into_iter().map(|(key, value)| [format!("  {key}"), value]));
    let Some(details) = task.details else { return columns(out, rows) };
    rows.push(["  items".to_owned(), counts(&details.counts)]);
    columns(out, rows)?;
    details.problems.iter().chain(&details.skipped).try_for_each(|line| item(out, line))
}

fn paused(out: &mut dyn Write, paused: Paused) -> io::Result<()> {
    if paused.everything {
        writeln!(out, "Everything is paused.")?;
    }
    if !paused.connections.is_empty() {
        writeln!(out, "Paused connections: {}", list(&paused.connections))?;
    }
    if !paused.tasks.is_empty() {
        writeln!(out, "Paused tasks: {}", list(&paused.tasks))?;
    }
    if !paused.everything && paused.connections.is_empty() && paused.tasks.is_empty() {
        writeln!(out, "Nothing is paused.")?;
    }
    Ok(())
}

fn log(out: &mut dyn Write, lines: Vec<LogLine>) -> io::Result<()> {
    let rows = lines.into_iter().map(|line| {
        let size = if line.bytes == 0 { String::new() } else { units::bytes(line.bytes) };
        let item = [line.path, line.detail].map(|text| units::plain(&text));
        let item = item.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>();
        [line.time, line.task, line.action, size, item.join(": ")]
    });
    columns(out, rows.collect())
}

fn settings(out: &mut dyn Write, settings: SettingsView) -> io::Result<()> {
    let place = settings.state_location.display().to_string();
    let rows = [
        ("transfers", settings.transfers.to_string()),
        ("history", settings.history.to_string()),
        ("admin-mode", word_of(&args::SWITCH, settings.admin_mode).to_owned()),
        ("log-level", word_of(&LEVEL_WORDS, settings.log_level).to_owned()),
        (STATE_LOCATION, if place.is_empty() { "default".into() } else { place }),
    ];
    columns(out, rows.map(|(key, value)| [key.to_owned(), value]).into())
}

fn imported(out: &mut dyn Write, lines: Vec<ImportLine>) -> io::Result<()> {
    let rows = lines.into_iter().map(|ImportLine { thing, name, fate, detail }| {
        let thing = match thing {
            Thing::Settings => "the settings of the program",
            Thing::Connection => "connection",
            Thing::Task => "task",
        };
        let fate = match fate {
            Fate::Add => "new",
            Fate::Replace => "replaced",
            Fate::Same => "the same",
            Fate::Refuse => "refused",
        };
        [fate.to_owned(), format!("{thing} {name}"), units::plain(&detail)]
    });
    columns(out, rows.collect())
}

fn password(out: &mut dyn Write, password: PasswordView) -> io::Result<()> {
    let word = if password.set { "The password is set." } else { "There is no password." };
    writeln!(out, "{word}")
}

fn status(out: &mut dyn Write, status: StatusView) -> io::Result<()> {
    if !status.daemon {
        writeln!(out, "No daemon runs.")?;
    }
    if status.paused {
        writeln!(out, "Everything is paused.")?;
    }
    for task in &status.tasks {
        task_status(out, task)?;
    }
    Ok(())
}

fn task_status(out: &mut dyn Write, task: &TaskStatus) -> io::Result<()> {
    let is_live = !matches!(task.state.as_str(), "stopped" | "paused" | "suspended");
    let summary = match &task.overview {
        None => "never synced".to_owned(),
        Some(Overview { up_to_date: true, counts: each, .. }) if is_live => {
            format!("up to date; {}", counts(each))
        }
        Some(Overview { up_to_date: true, counts: each, .. }) => {
            format!("up to date when last looked at; {}", counts(each))
        }
        Some(overview) => counts(&overview.counts),
    };
    writeln!(out, "{} ({}): {}; {summary}", task.name, task.connection, task.state)?;
    if let Some(Overview { recycled, .. }) = &task.overview
        && recycled.files > 0
    {
        let (files, bytes) =
            (units::count(recycled.files, "removed file"), units::bytes(recycled.bytes));
        writeln!(out, "  {files} kept in {}: {bytes}", recycled.folder)?;
    }
    let holds = task.overview.as_ref().map_or(&[][..], |overview| &overview.holds);
    let told = |message: &String| {
        holds.iter().any(|hold| *message == format!("{}; {}", hold.reason, hold.remedy))
    };
    if let Some(message) = task.message.as_ref().filter(|message| !told(message)) {
        writeln!(out, "  {}", units::plain(message))?;
    }
    holds.iter().try_for_each(|line| hold(out, line))
}

fn hold(out: &mut dyn Write, line: &HoldLine) -> io::Result<()> {
    let [reason, remedy] = [&line.reason, &line.remedy].map(|text| units::plain(text));
    let waiting = match line.items {
        0 => String::new(),
        1 => ", 1 waits".to_owned(),
        items => format!(", {items} wait"),
    };
    writeln!(out, "  {} since {}{waiting}: {reason}\n    → {remedy}", line.code, line.since)?;
    line.sample.iter().try_for_each(|path| writeln!(out, "      {}", units::plain(path)))?;
    let more = line.items.saturating_sub(line.sample.len() as u64);
    if more > 0 && !line.sample.is_empty() {
        writeln!(out, "      and {more} more")?;
    }
    Ok(())
}

fn task_items(out: &mut dyn Write, answer: TaskItems) -> io::Result<()> {
    let TaskItems { status, page } = answer;
    task_status(out, &status)?;
    page.items.iter().try_for_each(|line| item(out, line))?;
    match page.next {
        Some(next) => writeln!(out, "More: mooring status \"{}\" --after {next}", status.name),
        None => Ok(()),
    }
}

fn item(out: &mut dyn Write, line: &ItemLine) -> io::Result<()> {
    let [path, reason, remedy] =
        [&line.path, &line.reason, &line.remedy].map(|text| units::plain(text));
    let ItemLine { state, code, since, .. } = line;
    writeln!(out, "  {path}: {state} since {since} ({code}): {reason}\n    → {remedy}")
}

/// Prints what a sync did.
pub fn report(out: &mut dyn Write, report: &Report) -> io::Result<()> {
    let done = [
        (report.uploaded, "uploaded"),
        (report.downloaded, "downloaded"),
        (report.moved, "moved"),
        (report.deleted_local, "deleted here"),
        (report.deleted_remote, "deleted on the service"),
        (report.conflicts, "conflicts, both kept"),
    ];
    let done: Vec<_> = done
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{number} {what}"))
        .collect();
    let done = match done.as_slice() {
        [] if report.held + report.errors > 0 => "Nothing was done".to_owned(),
        [] => "Nothing to do".to_owned(),
        done => format!("Done: {}", done.join(", ")),
    };
    // A damaged number of seconds is no reason to panic.
    let time = Duration::try_from_secs_f64(report.seconds).unwrap_or_default();
    let (up, down) = (units::bytes(report.bytes_up), units::bytes(report.bytes_down));
    writeln!(out, "{done}.")?;
    let requests = units::count(report.requests, "request");
    writeln!(out, "{requests}, {up} up, {down} down, {:.1} s.", time.as_secs_f64())?;
    problems(out, &json!(report))
}

/// Prints what a report says didn't work, waits or is left out.
pub fn problems(out: &mut dyn Write, report: &Value) -> io::Result<()> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Troubles {
        skipped: u64,
        held: u64,
        errors: u64,
        problems: Vec<Trouble>,
    }
    let troubles = Troubles::deserialize(report).unwrap_or_default();
    for (number, what) in [
        (troubles.skipped, "left out by a rule; see mooring status TASK"),
        (troubles.held, "waiting for you"),
        (troubles.errors, "failed"),
    ] {
        if number > 0 {
            writeln!(out, "{} {what}.", units::count(number, "item"))?;
        }
    }
    troubles.problems.iter().try_for_each(|line| trouble(out, line))
}

fn trouble(out: &mut dyn Write, line: &Trouble) -> io::Result<()> {
    let [path, reason, remedy] =
        [&line.path, &line.reason, &line.remedy].map(|text| units::plain(text));
    let colon = if path.is_empty() { "" } else { ": " };
    writeln!(out, "  {path}{colon}{reason}\n    → {remedy}")
}

fn counts(counts: &Counts) -> String {
    let Counts { local_files, remote_files, pending, skipped, problems } = counts;
    let mut text = format!("{local_files} files here, {remote_files} on the service");
    for (number, what) in [(pending, "pending"), (skipped, "skipped"), (problems, "with problems")]
    {
        if *number > 0 {
            text += &format!(", {number} {what}");
        }
    }
    text
}

fn word_of<T: PartialEq>(words: &[(&'static str, T)], meant: T) -> &'static str {
    words.iter().find(|(_, each)| *each == meant).map_or("", |(word, _)| word)
}

fn title(out: &mut dyn Write, name: &str, paused: bool) -> io::Result<()> {
    writeln!(out, "{}", format!("{name} {}", paused_word(paused)).trim_end())
}

fn paused_word(paused: bool) -> &'static str {
    if paused { "(paused)" } else { "" }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Prints rows with each column as wide as its widest cell.
fn columns<const N: usize>(out: &mut dyn Write, rows: Vec<[String; N]>) -> io::Result<()> {
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
