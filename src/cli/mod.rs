//! The command line: understands it, has it done, prints the answer.
//!
//! What a command asks goes to the daemon that has the state folder open; without one it is done
//! here, on the settings themselves. Answers are the same documents either way.

mod args;
mod authorize;
mod crypt;
mod documents;
mod help;
mod key;
mod listen;
mod plan;
mod progress;
mod show;
mod signals;
mod sync;
mod units;
mod values;
mod verify;

use crate::admin::{self, Request};
use crate::caller::Caller;
use crate::daemon;
use crate::daemon::client::Client;
use crate::engine::needs_person;
use crate::error::{Error, Kind, Result};
use crate::settings::Book;
use crate::{cgi, logs, memory, user};
use args::{Command, Invocation};
use serde_json::{Value, json};
pub use show::rules as service_rules;
use std::env;
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How a command ended, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Done = 0,
    Failed = 1,
    WrongUsage = 2,
    NeedsPerson = 3,
}

impl End {
    fn of(error: &Error) -> End {
        match error.kind() {
            Kind::Usage => End::WrongUsage,
            _ if needs_person(error) => End::NeedsPerson,
            _ => End::Failed,
        }
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let mut args = env::args_os();
    let is_cgi = args.next().is_some_and(|name| name.as_bytes().ends_with(b".cgi"));
    // What follows the name of such a program may come from the request.
    let args: Vec<OsString> = if is_cgi { vec!["cgi".into()] } else { args.collect() };
    // Looked for by hand because a line that can't be understood is answered in JSON too.
    let json = args.iter().any(|arg| arg == "--json");
    // Not locked: whatever runs for long may print from other threads.
    let mut out = BufWriter::new(io::stdout());
    let ended = args::parse(args).and_then(|invocation| run(invocation, &mut out));
    let end = ended.unwrap_or_else(|error| {
        if json {
            // Standard error tells it all the same.
            let _ = writeln!(out, "{}", json!({ "error": error.document() }));
        }
        tell(&error);
        End::of(&error)
    });
    match out.flush() {
        Err(_) if end == End::Done => ExitCode::from(End::Failed as u8),
        _ => ExitCode::from(end as u8),
    }
}

fn run(invocation: Invocation, out: &mut dyn Write) -> Result<End> {
    let Invocation { state, json, command } = invocation;
    let folder = || own_folder(state.clone());
    match command {
        Command::Help(words) => help::print(out, &words).map_err(unprinted)?,
        Command::Version => {
            writeln!(out, "mooring {}", env!("CARGO_PKG_VERSION")).map_err(unprinted)?;
        }
        Command::Ask(request) => ask(&folder()?, request, json, out)?,
        Command::Enter { name, service, values, secrets, schedule } => {
            let entered = values::read(values, secrets, schedule)?;
            let request = match service {
                Some(service) => Request::ConnectionAdd { name, service, entered },
                None => Request::ConnectionSet { name, entered },
            };
            ask(&folder()?, request, json, out)?;
        }
        Command::Buckets { service, values, secrets, make } => {
            let entered = values::read(values, secrets, None)?;
            let request = match make {
                None => Request::Buckets { name: None, service, entered },
                Some(bucket) => Request::BucketMake { name: None, service, entered, bucket },
            };
            ask(&folder()?, request, json, out)?;
        }
        Command::Authorize { name, answer } => {
            return authorize::run(&folder()?, name, answer, json, out);
        }
        Command::ExportKey { name, to } => key::export(&folder()?, name, &to, json, out)?,
        Command::Plan(task) => return plan::run(&folder()?, task, json, out),
        Command::Sync { task, approve } => {
            return sync::run(&folder()?, task, approve, json, out);
        }
        Command::Verify { task, scrutiny } => {
            return verify::run(&folder()?, &task, scrutiny, json, out);
        }
        Command::Decrypt { from, to, key } => return crypt::decrypt(from, to, key, json, out),
        Command::Encrypt { from, to, password, public_key } => {
            return crypt::encrypt(from, to, password, public_key, json, out);
        }
        Command::Export { to, password } => documents::export(state, to, password, out)?,
        Command::Import { from, password, apply } => {
            documents::import(state, from, password, apply, json, out)?;
        }
        Command::Diagnostics { to, names } => documents::diagnostics(state, to, names, out)?,
        Command::Password(source) => {
            let password = source.map(values::password).transpose()?;
            let request = Request::PasswordSet { password: password.unwrap_or_default() };
            ask(&folder()?, request, json, out)?;
        }
        Command::Daemon(panel) => {
            let state = folder()?;
            logs::start();
            memory::stay().unwrap_or_else(|error| tracing::warn!("{error}"));
            daemon::run(&state, panel)?;
        }
        Command::Cgi(programs) => {
            cgi::run(state_folder(state), &programs, &variable, out).map_err(unprinted)?;
        }
        #[cfg(feature = "demo")]
        Command::Demo { local, panel } => crate::demo::run(local, panel, out)?,
    }
    Ok(End::Done)
}

fn ask(state: &Path, request: Request, json: bool, out: &mut dyn Write) -> Result<()> {
    let print = show::printer(&request);
    let answer = answered(state, request)?;
    if json { print_json(out, &answer) } else { print(out, answer) }
}

fn answered(state: &Path, request: Request) -> Result<Value> {
    match request {
        // Nobody has to have the settings open for these.
        Request::ServiceList => admin::service_list(),
        Request::ServiceShow { name } => admin::service_show(&name),
        request => match Client::connect(state)? {
            Some(daemon) => daemon.call(&request),
            None => {
                let book = Book::open(state)?;
                admin::prepare(&book, &request)?;
                admin::perform(&book, &Caller::Host, request)
            }
        },
    }
}

fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The state folder that was given, or that of this user.
fn state_folder(given: Option<PathBuf>) -> Result<PathBuf> {
    let variable = |name: &str| variable(name).map(PathBuf::from);
    let folder = if let Some(folder) = given.or_else(|| variable("MOORING_STATE")) {
        folder
    } else if nix::unistd::geteuid().is_root() {
        "/var/lib/mooring".into()
    } else if let Some(states) = variable("XDG_STATE_HOME").filter(|path| path.is_absolute()) {
        states.join("mooring")
    } else if let Some(home) = variable("HOME") {
        home.join(".local/state/mooring")
    } else {
        return Err(Error::new(Kind::Usage, "the state folder", "this user has no home folder")
            .remedy("give it with --state or MOORING_STATE"));
    };
    std::path::absolute(&folder)
        .map_err(|error| Error::disk(format!("state folder {}", folder.display()), error))
}

/// The state folder, as whom it belongs to. What was named on the command line has been read before.
fn own_folder(given: Option<PathBuf>) -> Result<PathBuf> {
    let state = state_folder(given)?;
    match user::become_owner(&state) {
        // Whoever opens it makes it, or says why it can't be.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::disk(format!("state folder {}", state.display()), error)
                .remedy("run this as the user that the folder belongs to"))
        }
        _ => Ok(state),
    }
}

fn print_json(out: &mut dyn Write, document: &Value) -> Result<()> {
    writeln!(out, "{document}").map_err(unprinted)
}

/// Tells a person what went wrong.
fn tell(error: &Error) {
    // There is no one left to tell when this fails.
    let _ = writeln!(io::stderr(), "mooring: {error}");
}

fn unprinted(error: io::Error) -> Error {
    Error::disk("printing the answer", error).remedy("check where the output goes")
}
