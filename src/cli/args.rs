//! From the words of a command line to what is asked. Reads no file and no setting.

use super::authorize::Answer;
use super::help;
use crate::admin::Request;
use crate::cgi::Programs;
use crate::daemon::Place;
use crate::engine::Scrutiny;
use crate::error::{Error, Kind, Result};
use crate::model::{ConflictPolicy, Direction};
use crate::rules::{MB, RECYCLE_DAYS, ScheduleChange};
use crate::settings::{FilterChange, NewTask, Scope, TaskChange};
use lexopt::Arg;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Lines of history, or items, that are shown when nobody says how many.
const LIMIT: usize = 100;

/// The words for directions.
pub const DIRECTIONS: [(&str, Direction); 3] =
    [("both", Direction::Both), ("upload", Direction::Upload), ("download", Direction::Download)];

/// The words for what becomes of conflicts.
pub const CONFLICTS: [(&str, ConflictPolicy); 4] = [
    ("local", ConflictPolicy::Local),
    ("remote", ConflictPolicy::Remote),
    ("newer", ConflictPolicy::Newer),
    ("both", ConflictPolicy::Both),
];

/// The words for what is done or isn't.
pub const SWITCH: [(&str, bool); 2] = [("on", true), ("off", false)];

/// A command line, understood.
#[derive(Debug)]
pub struct Invocation {
    /// The state folder, if it was given.
    pub state: Option<PathBuf>,
    /// Whether to print one JSON document.
    pub json: bool,
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Debug)]
pub enum Command {
    /// Help on the commands that these words begin.
    Help(Vec<String>),
    /// Tell the version.
    Version,
    /// Ask the daemon, or the settings.
    Ask(Request),
    /// Add or change a connection, once its values are read.
    Enter {
        /// Name of the connection.
        name: String,
        /// Service of a new one; `None` for one that is there.
        service: Option<String>,
        /// Settings by key.
        values: Vec<(String, Source)>,
        /// Secrets by key.
        secrets: Vec<(String, Source)>,
        /// When it runs by itself.
        schedule: Option<ScheduleChange>,
    },
    /// Tell the buckets of a service, or make one, once the values are read.
    Buckets {
        /// The service.
        service: String,
        /// Settings by key.
        values: Vec<(String, Source)>,
        /// Secrets by key.
        secrets: Vec<(String, Source)>,
        /// The bucket to make.
        make: Option<String>,
    },
    /// Sign in to the service of a connection.
    Authorize {
        /// Name of the connection.
        name: String,
        /// Where the answer comes from.
        answer: Answer,
    },
    /// Save the key that the tasks of a connection are encrypted with.
    ExportKey {
        /// Name of the connection.
        name: String,
        /// The file to make.
        to: PathBuf,
    },
    /// Tell what a sync would do.
    Plan(String),
    /// Sync once.
    Sync {
        /// The task.
        task: String,
        /// Whether mass removals and overwrites that wait for a person's word go ahead.
        approve: bool,
    },
    /// Compare disk, state and service.
    Verify {
        /// The task.
        task: String,
        /// How.
        scrutiny: Scrutiny,
    },
    /// Decrypt files of Cloud Sync.
    Decrypt {
        /// Files and folders.
        from: Vec<PathBuf>,
        /// The folder where the results go.
        to: PathBuf,
        /// What opens them.
        key: Key,
    },
    /// Encrypt files as Cloud Sync does.
    Encrypt {
        /// Files and folders.
        from: Vec<PathBuf>,
        /// The folder where the results go.
        to: PathBuf,
        /// Where the password is.
        password: Source,
        /// The file with the public key.
        public_key: PathBuf,
    },
    /// Write all settings down.
    Export {
        /// The file; the terminal without it.
        to: Option<PathBuf>,
        /// Where the password is that seals the secrets; without it they are left out.
        password: Option<Source>,
    },
    /// Take settings over that were written down.
    Import {
        /// The file.
        from: PathBuf,
        /// Where the password of its secrets is; without it they are left out.
        password: Option<Source>,
        /// Whether it is done; else it is only told.
        apply: bool,
    },
    /// Write down what helps to find out what is wrong.
    Diagnostics {
        /// The file; the terminal without it.
        to: Option<PathBuf>,
        /// Whether names are left in.
        names: bool,
    },
    /// Set the password of the panel, or take it back.
    Password(Option<Source>),
    /// Run until told to stop, perhaps with a panel of its own.
    Daemon(Option<Place>),
    /// Answer the request that a web server has put into the environment.
    Cgi(Programs),
    /// Show what it does, with a server of its own.
    #[cfg(feature = "demo")]
    Demo {
        /// The local folder, to keep.
        local: Option<PathBuf>,
        /// The folder with the page.
        panel: Option<PathBuf>,
    },
}

/// Where a value comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Given(String),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Input,
}

/// What opens encrypted files.
#[derive(Debug, PartialEq, Eq)]
pub enum Key {
    /// A password, and where it is.
    Password(Source),
    /// The file with the private key.
    Private(PathBuf),
}

/// An option. Each means the same in every command that takes it, but for `--listen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opt {
    Service,
    Set,
    Secret,
    Schedule,
    Make,
    Connection,
    Local,
    Remote,
    Direction,
    Conflict,
    ConsistencyCheck,
    KeepRemoved,
    NoKeepRemoved,
    Recycle,
    ExcludeFolder,
    IncludeFolder,
    Exclude,
    Include,
    MaxSize,
    Approve,
    Quick,
    After,
    Limit,
    Listen,
    Redirect,
    Answer,
    Helper,
    Id,
    Address,
    Panel,
    Out,
    PasswordFile,
    PrivateKey,
    PublicKey,
    Apply,
    NoNames,
}

/// Each option's name, and whether a value follows it.
const OPTIONS: &[(Opt, &str, bool)] = &[
    (Opt::Service, "service", true),
    (Opt::Set, "set", true),
    (Opt::Secret, "secret", true),
    (Opt::Schedule, "schedule", true),
    (Opt::Make, "make", true),
    (Opt::Connection, "connection", true),
    (Opt::Local, "local", true),
    (Opt::Remote, "remote", true),
    (Opt::Direction, "direction", true),
    (Opt::Conflict, "conflict", true),
    (Opt::ConsistencyCheck, "consistency-check", true),
    (Opt::KeepRemoved, "keep-removed", false),
    (Opt::NoKeepRemoved, "no-keep-removed", false),
    (Opt::Recycle, "recycle", true),
    (Opt::ExcludeFolder, "exclude-folder", true),
    (Opt::IncludeFolder, "include-folder", true),
    (Opt::Exclude, "exclude", true),
    (Opt::Include, "include", true),
    (Opt::MaxSize, "max-size", true),
    (Opt::Approve, "approve", false),
    (Opt::Quick, "quick", false),
    (Opt::After, "after", true),
    (Opt::Limit, "limit", true),
    (Opt::Listen, "listen", false),
    (Opt::Address, "listen", true),
    (Opt::Panel, "panel", true),
    (Opt::Redirect, "redirect", true),
    (Opt::Answer, "answer", true),
    (Opt::Helper, "helper", true),
    (Opt::Id, "id", true),
    (Opt::Out, "out", true),
    (Opt::PasswordFile, "password-file", true),
    (Opt::PrivateKey, "private-key", true),
    (Opt::PublicKey, "public-key", true),
    (Opt::Apply, "apply", false),
    (Opt::NoNames, "no-names", false),
];

fn name_of(option: Opt) -> &'static str {
    OPTIONS.iter().find(|(each, ..)| *each == option).map_or("", |(_, name, _)| name)
}

/// Understands a command line, the program's name left out.
///
/// # Errors
/// `Usage`, with the command's usage as the remedy.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Invocation> {
    let mut parser = lexopt::Parser::from_args(args);
    let mut invocation = Invocation { state: None, json: false, command: Command::Version };
    let mut given = Given::default();
    let (mut help, mut version) = (false, false);
    while let Some(arg) = parser.next().map_err(|error| given.wrong(error))? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => help = true,
            Arg::Short('V') | Arg::Long("version") => version = true,
            Arg::Long("json") => invocation.json = true,
            Arg::Long("state") => {
                let folder = parser.value().map_err(|error| given.wrong(error))?;
                invocation.state = Some(folder.into());
            }
            Arg::Long(name) => {
                // The one that two commands have, each with a meaning of its own.
                let other = if given.words == ["daemon"] { Opt::Listen } else { Opt::Address };
                let known = |each: &&(Opt, &str, bool)| each.1 == name && each.0 != other;
                let Some((option, _, valued)) = OPTIONS.iter().find(known) else {
                    return Err(given.wrong(format!("there is no option --{name}")));
                };
                let value = if *valued {
                    parser.value().map_err(|error| given.wrong(error))?
                } else {
                    OsString::new()
                };
                given.options.push((*option, value));
            }
            Arg::Short('o') => {
                let folder = parser.value().map_err(|error| given.wrong(error))?;
                given.options.push((Opt::Out, folder));
            }
            Arg::Short(letter) => {
                return Err(given.wrong(format!("there is no option -{letter}")));
            }
            Arg::Value(word) => {
                let word = text(word).map_err(|cause| given.wrong(cause))?;
                given.words.push(word);
            }
        }
    }
    invocation.command = if help {
        Command::Help(given.words)
    } else if version {
        Command::Version
    } else {
        let command = given.command()?;
        given.nothing_left()?;
        command
    };
    Ok(invocation)
}

/// The words and options of a command line; each command takes the options it knows.
#[derive(Default)]
struct Given {
    words: Vec<String>,
    options: Vec<(Opt, OsString)>,
}

impl Given {
    fn command(&mut self) -> Result<Command> {
        let words = self.words.clone();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ask = |request| Ok(Command::Ask(request));
        match words.as_slice() {
            ["service", "list"] => ask(Request::ServiceList),
            ["service", "show", name] => ask(Request::ServiceShow { name: name.to_string() }),
            ["service", "buckets", service] => {
                let [values, secrets] = self.entered()?;
                let make = self.take_one(Opt::Make)?;
                Ok(Command::Buckets { service: service.to_string(), values, secrets, make })
            }
            ["connection", "list"] => ask(Request::ConnectionList),
            ["connection", "add", name] => {
                let service = Some(self.need(Opt::Service)?);
                self.enter(name, service)
            }
            ["connection", "set", name] => self.enter(name, None),
            ["connection", "show", name] => ask(Request::ConnectionShow { name: name.to_string() }),
            ["connection", "test", name] => ask(Request::ConnectionTest { name: name.to_string() }),
            ["connection", "authorize", name] => {
                Ok(Command::Authorize { name: name.to_string(), answer: self.answer()? })
            }
            ["connection", "export-key", name] => {
                Ok(Command::ExportKey { name: name.to_string(), to: self.need(Opt::Out)?.into() })
            }
            ["connection", "remove", name] => {
                ask(Request::ConnectionRemove { name: name.to_string() })
            }
            ["task", "list"] => ask(Request::TaskList),
            ["task", "show", name] => ask(Request::TaskShow { name: name.to_string() }),
            ["task", "add", name] => {
                ask(Request::TaskAdd { task: self.new_task(name)?, paused: false })
            }
            ["task", "set", name] => {
                ask(Request::TaskSet { name: name.to_string(), change: self.task_change()? })
            }
            ["task", "remove", name] => ask(Request::TaskRemove { name: name.to_string() }),
            ["plan", task] => Ok(Command::Plan(task.to_string())),
            ["sync", task] => {
                Ok(Command::Sync { task: task.to_string(), approve: self.flag(Opt::Approve)? })
            }
            ["verify", task] => Ok(Command::Verify {
                task: task.to_string(),
                scrutiny: Scrutiny {
                    after: self.take_one(Opt::After)?.unwrap_or_default(),
                    quick: self.flag(Opt::Quick)?,
                    most: None,
                },
            }),
            ["decrypt", from @ ..] if !from.is_empty() => Ok(Command::Decrypt {
                from: from.iter().map(PathBuf::from).collect(),
                to: self.out()?,
                key: self.key()?,
            }),
            ["encrypt", from @ ..] if !from.is_empty() => {
                let password = self.password_file()?;
                Ok(Command::Encrypt {
                    from: from.iter().map(PathBuf::from).collect(),
                    to: self.out()?,
                    password: password.ok_or_else(|| self.missing(Opt::PasswordFile))?,
                    public_key: self.need(Opt::PublicKey)?.into(),
                })
            }
            ["daemon"] => Ok(Command::Daemon(self.place()?)),
            // Only for who writes what the web server runs, so that help doesn't tell of it.
            ["cgi"] => Ok(Command::Cgi(self.programs())),
            #[cfg(feature = "demo")]
            ["demo"] => Ok(Command::Demo {
                local: self.local()?,
                panel: self.take(Opt::Panel).map(PathBuf::from),
            }),
            ["status"] => ask(Request::Status),
            ["status", task] => ask(Request::TaskStatus {
                name: task.to_string(),
                after: self.take_one(Opt::After)?,
                limit: self.limit()?,
            }),
            ["pause", rest @ ..] => ask(Request::Pause { scope: self.scope(rest)? }),
            ["resume", rest @ ..] => ask(Request::Resume { scope: self.scope(rest)? }),
            ["log"] => ask(Request::Log { task: None, limit: self.limit()? }),
            ["log", task] => {
                ask(Request::Log { task: Some(task.to_string()), limit: self.limit()? })
            }
            ["settings"] => ask(Request::Settings),
            ["settings", "export"] => {
                let to = self.take(Opt::Out).map(PathBuf::from);
                Ok(Command::Export { to, password: self.password_file()? })
            }
            ["settings", "import", from] => Ok(Command::Import {
                from: from.into(),
                password: self.password_file()?,
                apply: self.flag(Opt::Apply)?,
            }),
            ["diagnostics"] => Ok(Command::Diagnostics {
                to: self.take(Opt::Out).map(PathBuf::from),
                names: !self.flag(Opt::NoNames)?,
            }),
            ["settings", "password"] | ["settings", "password", "-"] => {
                Ok(Command::Password(Some(Source::Input)))
            }
            ["settings", "password", "off"] => Ok(Command::Password(None)),
            ["settings", "password", source] => match source.strip_prefix('@') {
                Some(file) => Ok(Command::Password(Some(Source::File(file.into())))),
                None => Err(self
                    .wrong("a password on the command line can be read by everyone")
                    .remedy("give it by standard input, or as @FILE")),
            },
            ["settings", key, value] => {
                ask(Request::SettingsSet { key: key.to_string(), value: value.to_string() })
            }
            ["help", rest @ ..] => {
                Ok(Command::Help(rest.iter().map(ToString::to_string).collect()))
            }
            [] => Err(self.wrong("no command is given")),
            _ => Err(self.wrong("there is no such command, or a word is missing or too many")),
        }
    }

    fn out(&mut self) -> Result<PathBuf> {
        self.need(Opt::Out).map(PathBuf::from)
    }

    fn key(&mut self) -> Result<Key> {
        match (self.password_file()?, self.take_one(Opt::PrivateKey)?) {
            (Some(password), None) => Ok(Key::Password(password)),
            (None, Some(file)) => Ok(Key::Private(file.into())),
            _ => Err(self.wrong("give either --password-file or --private-key")),
        }
    }

    fn password_file(&mut self) -> Result<Option<Source>> {
        let file = self.take_one(Opt::PasswordFile)?;
        Ok(file.map(|file| if file == "-" { Source::Input } else { Source::File(file.into()) }))
    }

    fn enter(&mut self, name: &str, service: Option<String>) -> Result<Command> {
        let [values, secrets] = self.entered()?;
        let schedule = self.take_one(Opt::Schedule)?;
        let schedule = schedule.as_deref().map(ScheduleChange::parse).transpose()?;
        if values.is_empty() && secrets.is_empty() && schedule.is_none() && service.is_none() {
            return Err(self.wrong("there is nothing to change"));
        }
        Ok(Command::Enter { name: name.to_owned(), service, values, secrets, schedule })
    }

    /// The settings and the secrets that are given.
    fn entered(&mut self) -> Result<[Vec<(String, Source)>; 2]> {
        let all = [self.sources(Opt::Set)?, self.sources(Opt::Secret)?];
        if all.iter().flatten().filter(|(_, source)| *source == Source::Input).count() > 1 {
            return Err(self.wrong("only one value can come from standard input"));
        }
        Ok(all)
    }

    /// The `KEY=VALUE`s of an option. Whatever isn't `@FILE`, `-` or nothing is no source of a
    /// secret, which would be in the list of processes already.
    fn sources(&mut self, option: Opt) -> Result<Vec<(String, Source)>> {
        let mut sources = Vec::new();
        while let Some((key, value)) = self.take_pair(option)? {
            let source = match (value.strip_prefix('@'), value.as_str()) {
                (Some(file), _) => Source::File(file.into()),
                (None, "-") if option == Opt::Secret => Source::Input,
                (None, value) if option == Opt::Secret && !value.is_empty() => {
                    let cause = "a secret on the command line can be read by everyone";
                    let remedy =
                        format!("give --secret {key}=@FILE, or {key}=- for standard input");
                    return Err(self.wrong(cause).remedy(remedy));
                }
                (None, value) => Source::Given(value.to_owned()),
            };
            sources.push((key, source));
        }
        Ok(sources)
    }

    /// The `KEY=VALUE`s of a task.
    fn pairs(&mut self) -> Result<Vec<(String, String)>> {
        let mut pairs = Vec::new();
        while let Some(pair) = self.take_pair(Opt::Set)? {
            pairs.push(pair);
        }
        Ok(pairs)
    }

    fn take_pair(&mut self, option: Opt) -> Result<Option<(String, String)>> {
        let Some(pair) = self.take_text(option)? else { return Ok(None) };
        match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Some((key.to_owned(), value.to_owned()))),
            _ => Err(self.wrong(format!("--{} wants KEY=VALUE", name_of(option)))),
        }
    }

    /// Where the daemon's own panel is to be; a bare port is one of this machine alone.
    fn place(&mut self) -> Result<Option<Place>> {
        let folder = self.take(Opt::Panel).map(PathBuf::from);
        let Some(text) = self.take_one(Opt::Address)? else {
            return match folder {
                Some(_) => Err(self.missing(Opt::Address)),
                None => Ok(None),
            };
        };
        let bare = text.parse().ok().map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let address = bare.or_else(|| text.parse().ok());
        let wrong = || self.wrong(format!("'{text}' is neither ADDRESS:PORT nor a port"));
        Ok(Some(Place { address: address.ok_or_else(wrong)?, folder, ticket: None }))
    }

    fn programs(&mut self) -> Programs {
        let mut programs = Programs::default();
        if let Some(helper) = self.take(Opt::Helper) {
            programs.helper = helper.into();
        }
        if let Some(id) = self.take(Opt::Id) {
            programs.id = id.into();
        }
        programs
    }

    fn answer(&mut self) -> Result<Answer> {
        let listen = self.flag(Opt::Listen)?;
        match (self.take_one(Opt::Answer)?, listen, self.take_one(Opt::Redirect)?) {
            (None, false, redirect) => Ok(Answer::Pasted(redirect)),
            (None, true, None) => Ok(Answer::Heard),
            (Some(answer), false, None) => {
                Ok(Answer::Given(match (answer.strip_prefix('@'), answer.as_str()) {
                    (Some(file), _) => Source::File(file.into()),
                    (None, "-") => Source::Input,
                    _ => Source::Given(answer),
                }))
            }
            _ => Err(self.wrong("give one of --listen, --redirect and --answer")),
        }
    }

    fn new_task(&mut self, name: &str) -> Result<NewTask> {
        Ok(NewTask {
            name: name.to_owned(),
            connection: self.need(Opt::Connection)?,
            local: self.local()?.ok_or_else(|| self.missing(Opt::Local))?,
            remote: self.need(Opt::Remote)?,
            direction: self.word(Opt::Direction, &DIRECTIONS)?.unwrap_or(Direction::Both),
            conflict: self.word(Opt::Conflict, &CONFLICTS)?.unwrap_or_default(),
            consistency_check: self.word(Opt::ConsistencyCheck, &SWITCH)?.unwrap_or_default(),
            keep_removed: self.flag(Opt::KeepRemoved)?,
            recycle_days: self.days()?.unwrap_or(RECYCLE_DAYS),
            filter: self.excluded()?,
            settings: self.pairs()?,
        })
    }

    fn task_change(&mut self) -> Result<TaskChange> {
        let keep_removed = match (self.flag(Opt::KeepRemoved)?, self.flag(Opt::NoKeepRemoved)?) {
            (true, true) => return Err(self.wrong("it is either kept or not")),
            (true, false) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        let change = TaskChange {
            local: self.local()?,
            remote: self.take_one(Opt::Remote)?,
            direction: self.word(Opt::Direction, &DIRECTIONS)?,
            conflict: self.word(Opt::Conflict, &CONFLICTS)?,
            consistency_check: self.word(Opt::ConsistencyCheck, &SWITCH)?,
            keep_removed,
            recycle_days: self.days()?,
            filter: FilterChange {
                include_folders: self.take_all(Opt::IncludeFolder)?,
                include: self.take_all(Opt::Include)?,
                ..self.excluded()?
            },
            settings: self.pairs()?,
        };
        if change == TaskChange::default() && self.options.is_empty() {
            return Err(self.wrong("there is nothing to change"));
        }
        Ok(change)
    }

    fn excluded(&mut self) -> Result<FilterChange> {
        Ok(FilterChange {
            exclude_folders: self.take_all(Opt::ExcludeFolder)?,
            exclude: self.take_all(Opt::Exclude)?,
            max_size: self.max_size()?,
            ..FilterChange::default()
        })
    }

    /// A size in bytes. The panel that people know ends at 10,240 MB; services take larger files,
    /// and so may a limit be.
    fn max_size(&mut self) -> Result<Option<u64>> {
        let Some(number) = self.take_one(Opt::MaxSize)? else { return Ok(None) };
        let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(MB));
        bytes.map(Some).ok_or_else(|| self.wrong(format!("'{number}' is not a number of MB")))
    }

    fn days(&mut self) -> Result<Option<u32>> {
        let Some(number) = self.take_one(Opt::Recycle)? else { return Ok(None) };
        let days = number.parse().map(Some);
        days.map_err(|_| self.wrong(format!("'{number}' is not a number of days")))
    }

    fn local(&mut self) -> Result<Option<PathBuf>> {
        let Some(folder) = self.take(Opt::Local) else { return Ok(None) };
        // A daemon that is asked has a working folder of its own.
        match std::path::absolute(Path::new(&folder)) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) => Err(self.wrong(format!("--local: {error}"))),
        }
    }

    /// What an option's word stands for.
    fn word<T: Copy>(&mut self, option: Opt, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(word) = self.take_one(option)? else { return Ok(None) };
        let known = words.iter().find(|(each, _)| *each == word);
        let wrong = || {
            let words: Vec<_> = words.iter().map(|(each, _)| *each).collect();
            self.wrong(format!("'{word}' is none of {}", words.join(", ")))
        };
        known.map(|(_, meant)| Some(*meant)).ok_or_else(wrong)
    }

    fn scope(&mut self, words: &[&str]) -> Result<Scope> {
        match (words, self.take_one(Opt::Connection)?) {
            ([], None) => Ok(Scope::Everything),
            ([], Some(connection)) => Ok(Scope::Connection(connection)),
            ([task], None) => Ok(Scope::Task(task.to_string())),
            _ => Err(self.wrong("give one task, or one connection, or nothing")),
        }
    }

    fn limit(&mut self) -> Result<usize> {
        let Some(number) = self.take_one(Opt::Limit)? else { return Ok(LIMIT) };
        number.parse().map_err(|_| self.wrong(format!("'{number}' is not a whole number")))
    }

    fn take(&mut self, option: Opt) -> Option<OsString> {
        let place = self.options.iter().position(|(each, _)| *each == option)?;
        Some(self.options.remove(place).1)
    }

    fn take_text(&mut self, option: Opt) -> Result<Option<String>> {
        let value = self.take(option).map(text).transpose();
        value.map_err(|cause| self.wrong(format!("--{}: {cause}", name_of(option))))
    }

    /// The values of an option that may be given again and again.
    fn take_all(&mut self, option: Opt) -> Result<Vec<String>> {
        let mut values = Vec::new();
        while let Some(value) = self.take_text(option)? {
            values.push(value);
        }
        Ok(values)
    }

    /// The value of an option that is given at most once.
    fn take_one(&mut self, option: Opt) -> Result<Option<String>> {
        let value = self.take_text(option)?;
        match self.take(option) {
            Some(_) => Err(self.wrong(format!("--{} is given twice", name_of(option)))),
            None => Ok(value),
        }
    }

    fn need(&mut self, option: Opt) -> Result<String> {
        self.take_one(option)?.ok_or_else(|| self.missing(option))
    }

    fn flag(&mut self, option: Opt) -> Result<bool> {
        Ok(self.take_one(option)?.is_some())
    }

    fn missing(&self, option: Opt) -> Error {
        self.wrong(format!("--{} is missing", name_of(option)))
    }

    fn nothing_left(&self) -> Result<()> {
        match self.options.first() {
            Some((option, _)) => {
                Err(self.wrong(format!("--{} doesn't belong here", name_of(*option))))
            }
            None => Ok(()),
        }
    }

    fn wrong(&self, cause: impl std::fmt::Display) -> Error {
        let remedy = match help::topics(&self.words).as_slice() {
            [topic] => format!("usage: mooring {}", topic.usage),
            _ => "see mooring --help".to_owned(),
        };
        let what = ["mooring"].into_iter().chain(self.words.iter().map(String::as_str));
        Error::new(Kind::Usage, what.collect::<Vec<_>>().join(" "), cause).remedy(remedy)
    }
}

fn text(word: OsString) -> Result<String, String> {
    word.into_string().map_err(|word| format!("{} isn't valid UTF-8", word.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn command(line: &str) -> Command {
        parsed(line).unwrap().command
    }

    #[test]
    fn every_topic_is_a_command() {
        for topic in help::TOPICS {
            let bare: Vec<_> = topic.usage.split(" [").next().unwrap().split(" --").collect();
            let options: String = bare[1..].iter().map(|each| format!(" --{each}")).collect();
            let line = format!("{}{options}", bare[0]);
            let extra = if topic.usage.contains(" set ") || topic.usage.ends_with("set NAME") {
                if line.starts_with("task") { " --remote /x" } else { " --set a=b" }
            } else {
                ""
            };
            let line = format!("{line}{extra}");
            assert!(parsed(&line).is_ok(), "{line}: {}", parsed(&line).unwrap_err());
        }
    }

    #[test]
    fn options_stand_anywhere() {
        let before = parsed("--json --state /s task show x").unwrap();
        let after = parsed("task --state=/s show x --json").unwrap();
        for invocation in [before, after] {
            assert!(invocation.json);
            assert_eq!(invocation.state.as_deref(), Some(Path::new("/s")));
            let Command::Ask(Request::TaskShow { name }) = invocation.command else {
                panic!("{:?}", invocation.command)
            };
            assert_eq!(name, "x");
        }
    }

    #[test]
    fn sources() {
        let Command::Enter { values, secrets, service, .. } =
            command("connection add c --service s3 --set a=b=c --set ca=@/f --secret k=-")
        else {
            panic!()
        };
        assert_eq!(service.as_deref(), Some("s3"));
        assert_eq!(values[0], ("a".into(), Source::Given("b=c".into())));
        assert_eq!(values[1], ("ca".into(), Source::File("/f".into())));
        assert_eq!(secrets, [("k".into(), Source::Input)]);
    }

    #[test]
    fn wrong_usage_is_told() {
        for line in [
            "",
            "nonsense",
            "task",
            "task list --limit 3",
            "task add x --connection c --local /l",
            "task add x --connection c --connection d --local /l --remote /",
            "task add x --connection c --local /l --remote / --direction sideways",
            "task set x --conflict mine",
            "task set x --consistency-check maybe",
            "task set x",
            "task set x --keep-removed --no-keep-removed",
            "task set x --recycle long",
            "task set x --max-size many",
            "task set x --max-size -1",
            "task set x --max-size 99999999999999",
            "task set x --max-size 1 --max-size 2",
            "task add x --connection c --local /l --remote / --include a",
            "connection add c",
            "connection add c --service s3 --secret k=visible",
            "connection add c --service s3 --set novalue",
            "connection set c --secret a=- --secret b=-",
            "connection set c",
            "connection set c --schedule",
            "connection set c --schedule=sometimes",
            "connection set c --schedule on --schedule off",
            "task set x --schedule on",
            "pause a --connection b",
            "pause a b",
            "log --limit many",
            "connection authorize c --listen --redirect https://nas.example.com/",
            "connection authorize c --answer x --listen",
            "connection authorize c --answer",
            "sync",
            "sync a --approve=yes",
            "status --after p1-61",
            "verify",
            "verify a b",
            "verify a --after",
            "verify a --limit 3",
            "status a --limit many",
            "sync a --unknown",
            "sync a -x",
            "--state",
            "settings transfers",
            "decrypt",
            "decrypt -o out --password-file p",
            "decrypt a --password-file p",
            "decrypt a -o out",
            "decrypt a -o out -o more --password-file p",
            "decrypt a -o out --password-file p --private-key k",
            "decrypt a -o out --password-file p --public-key k",
            "encrypt a -o out --password-file p",
            "encrypt a -o out --public-key k",
            "encrypt a -o",
        ] {
            assert_eq!(parsed(line).unwrap_err().kind(), Kind::Usage, "{line}");
        }
    }

    #[test]
    fn filters() {
        let line = "task set x --exclude *.iso --exclude-folder a --max-size 2 --exclude b \
                    --include c --include-folder d/e";
        let Command::Ask(Request::TaskSet { change, .. }) = command(line) else { panic!() };
        let expected = FilterChange {
            exclude_folders: vec!["a".into()],
            include_folders: vec!["d/e".into()],
            exclude: vec!["*.iso".into(), "b".into()],
            include: vec!["c".into()],
            max_size: Some(2 << 20),
        };
        assert_eq!(change, TaskChange { filter: expected, ..TaskChange::default() });
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        let error = parsed("connection add c --service s3 --secret k=visible").unwrap_err();
        assert!(!error.to_string().contains("visible"));
    }

    #[test]
    fn files_to_decrypt() {
        let line = "decrypt a b/ -o out --password-file -";
        let Command::Decrypt { from, to, key } = command(line) else { panic!() };
        assert_eq!((from, to), (vec!["a".into(), "b/".into()], "out".into()));
        assert_eq!(key, Key::Password(Source::Input));
    }

    #[test]
    fn scopes() {
        let scope = |line| match command(line) {
            Command::Ask(Request::Pause { scope } | Request::Resume { scope }) => scope,
            other => panic!("{other:?}"),
        };
        assert_eq!(scope("pause"), Scope::Everything);
        assert_eq!(scope("resume t"), Scope::Task("t".into()));
        assert_eq!(scope("pause --connection c"), Scope::Connection("c".into()));
    }
}
