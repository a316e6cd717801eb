//! Every command in one table: what it is called with, what it does, what it takes.

use std::io::{self, Write};

/// A command.
pub struct Topic {
    /// What it is called with, after `mooring`.
    pub usage: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Its options, each with what it means.
    pub options: &'static [(&'static str, &'static str)],
}

const ENTERED: &[(&str, &str)] = &[
    ("--set KEY=VALUE", "a setting; KEY=@FILE takes it from a file, KEY= takes it back"),
    ("--secret KEY=@FILE", "a secret from a file; KEY=- from standard input; KEY= takes it back"),
    (
        "--schedule HOURS",
        "sync only then, by local time: \"mon-fri 0-7,22-24; sat-sun 0-24\", never",
    ),
    ("--schedule off|on", "sync at any time, or by the schedule that was set"),
];

const CONFLICT: &str = "which content keeps its name when both sides of a two-way task changed a file: local, remote, \
     newer or both; new tasks: local";
const CONSISTENCY: &str =
    "on or off: compare once more what was sent, and read every file again daily; new tasks: off";
const EXCLUDE_FOLDER: (&str, &str) = (
    "--exclude-folder PATH",
    "a folder to leave out on both sides, by its path in the task; may be given again",
);
const RECYCLE: (&str, &str) = (
    "--recycle DAYS",
    "keep files that it removes from the disk for so many days; 0: not at all; new tasks: 30",
);
const EXCLUDE: (&str, &str) = (
    "--exclude PATTERN",
    "files to leave out by name: exact, *.iso, Thumb?.db, [ab]*; may be given again",
);
const MAX_SIZE: (&str, &str) =
    ("--max-size MB", "leave out larger files (1 MB is 1,048,576 bytes); 0 for no limit");

const OUT: (&str, &str) = (
    "-o DIR",
    "where the results go, named as they were; nothing there is replaced (photos/. is what is in photos)",
);

/// The commands in the order a person is shown them.
pub const TOPICS: &[Topic] = &[
    Topic { usage: "service list", about: "the services there are", options: &[] },
    Topic {
        usage: "service show SERVICE",
        about: "a service's settings, limits and rules",
        options: &[],
    },
    Topic {
        usage: "service buckets SERVICE [--set KEY=VALUE]… [--secret KEY=@FILE|KEY=-]… [--make BUCKET]",
        about: "the buckets that a key may see, for a connection to come",
        options: &[
            ENTERED[0],
            ENTERED[1],
            (
                "--make BUCKET",
                "make this bucket instead; one that is the account's already is as good",
            ),
        ],
    },
    Topic {
        usage: "connection add NAME --service SERVICE [--set KEY=VALUE]… [--secret KEY=@FILE|KEY=-]… [--schedule TEXT]",
        about: "add an account or bucket on a service",
        options: ENTERED,
    },
    Topic { usage: "connection list", about: "all connections", options: &[] },
    Topic { usage: "connection show NAME", about: "all about a connection", options: &[] },
    Topic {
        usage: "connection set NAME [--set KEY=VALUE]… [--secret KEY=@FILE|KEY=-]… [--schedule TEXT]",
        about: "change settings of a connection",
        options: ENTERED,
    },
    Topic { usage: "connection test NAME", about: "try a connection out", options: &[] },
    Topic {
        usage: "connection authorize NAME [--listen | --redirect URL | --answer TEXT|-|@FILE]",
        about: "sign in to its service: shows the page to open and takes what it answers",
        options: &[
            ("--listen", "take the answer from a browser on this machine; nothing to paste"),
            ("--redirect URL", "the browser is to end there; an address that your app allows"),
            ("--answer TEXT", "finish a sign-in with the address or code that it ended with"),
        ],
    },
    Topic {
        usage: "connection export-key NAME -o FILE",
        about: "save the key of its encrypted tasks in a new file",
        options: &[(
            "-o FILE",
            "a file that isn't there yet; keep it where nobody else reads it. Another NAS takes it by --secret encryption-key=@FILE. \
             In Cloud Sync's format it is a ZIP archive with both keys, of which another NAS takes private.pem and the password",
        )],
    },
    Topic { usage: "connection remove NAME", about: "remove a connection", options: &[] },
    Topic {
        usage: "task add NAME --connection CONNECTION --local DIR --remote PATH",
        about: "keep a local folder and a remote folder the same",
        options: &[
            ("--remote PATH", "/ is the root of the bucket or account"),
            ("--direction WORD", "which way changes flow: both (default), upload or download"),
            ("--conflict WORD", CONFLICT),
            ("--consistency-check WORD", CONSISTENCY),
            ("--keep-removed", "remove nothing at the destination"),
            RECYCLE,
            EXCLUDE_FOLDER,
            EXCLUDE,
            MAX_SIZE,
            ("--set KEY=VALUE", "what the service can be told of a task: see service show"),
        ],
    },
    Topic { usage: "task list", about: "all tasks", options: &[] },
    Topic { usage: "task show NAME", about: "all about a task, its problems too", options: &[] },
    Topic {
        usage: "task set NAME",
        about: "change a task",
        options: &[
            ("--direction WORD", "which way changes flow: both, upload or download"),
            ("--conflict WORD", CONFLICT),
            ("--consistency-check WORD", CONSISTENCY),
            ("--keep-removed", "remove nothing at the destination"),
            ("--set KEY=VALUE", "what the service can be told of a task: see service show"),
            ("--no-keep-removed", "remove at the destination what was removed at the source"),
            RECYCLE,
            EXCLUDE_FOLDER,
            ("--include-folder PATH", "leave this folder out no longer"),
            EXCLUDE,
            ("--include PATTERN", "leave files out by this pattern no longer"),
            MAX_SIZE,
            ("--local DIR", "another local folder; both sides are compared anew"),
            ("--remote PATH", "another remote folder; both sides are compared anew"),
        ],
    },
    Topic {
        usage: "task remove NAME",
        about: "remove a task; its folders stay as they are, with the removed files that it keeps",
        options: &[],
    },
    Topic { usage: "plan TASK", about: "what a sync would do, doing nothing", options: &[] },
    Topic {
        usage: "sync TASK",
        about: "sync once, with progress; also while a schedule suspends the connection",
        options: &[(
            "--approve",
            "go ahead with the mass removals and overwrites that status tells to wait for a person's word",
        )],
    },
    Topic {
        usage: "verify TASK",
        about: "compare disk, state and service, changing nothing; tells what is damaged",
        options: &[
            ("--quick", "compare sizes, times and versions; read no file"),
            ("--after PATH", "go on after this item, where an earlier run ended"),
        ],
    },
    Topic {
        usage: "daemon [--listen ADDRESS:PORT [--panel DIR]]",
        about: "sync everything, until told to stop; with a page for browsers where it listens",
        options: &[
            ("--listen PORT", "listen at 127.0.0.1 alone; set a password first: settings password"),
            (
                "--listen ADDRESS:PORT",
                "listen there; TLS is the business of a reverse proxy before it",
            ),
            ("--panel DIR", "the folder with the page"),
        ],
    },
    Topic {
        usage: "decrypt FILE|DIR… -o DIR (--password-file FILE | --private-key FILE)",
        about: "decrypt files that Cloud Sync encrypted, and verify them; needs no task",
        options: &[
            OUT,
            (
                "--password-file FILE",
                "the password of the encryption, in a file; - for standard input",
            ),
            ("--private-key FILE", "or the private.pem that Cloud Sync exported with the key"),
        ],
    },
    Topic {
        usage: "encrypt FILE|DIR… -o DIR --password-file FILE --public-key FILE",
        about: "encrypt files as Cloud Sync does (version 3.1); either key opens them",
        options: &[
            OUT,
            ("--password-file FILE", "the password to open them with; - for standard input"),
            ("--public-key FILE", "the public.pem to whose private.pem they open, too"),
        ],
    },
    #[cfg(feature = "demo")]
    Topic {
        usage: "demo",
        about: "try it: a daemon with a task, and a server in the process",
        options: &[
            ("--local DIR", "the local folder; it is kept (default: one for the moment)"),
            (
                "--panel DIR",
                "the folder with the page for browsers (default: where cargo panel writes it)",
            ),
        ],
    },
    Topic {
        usage: "status [TASK]",
        about: "how all tasks are; of one, also which items aren't in sync, and why",
        options: &[
            ("--limit N", "so many items, up to 1000 (default 100)"),
            ("--after PLACE", "go on after the items that ended with this place"),
        ],
    },
    Topic {
        usage: "pause [TASK | --connection CONNECTION]",
        about: "pause a task, a connection, or everything",
        options: &[],
    },
    Topic {
        usage: "resume [TASK | --connection CONNECTION]",
        about: "resume a task, a connection, or everything",
        options: &[],
    },
    Topic {
        usage: "log [TASK]",
        about: "what was done, oldest first",
        options: &[("--limit N", "the last N lines (default 100)")],
    },
    Topic {
        usage: "settings password [-|@FILE|off]",
        about: "set the password of the page that the daemon has with --listen; from standard input",
        options: &[],
    },
    Topic {
        usage: "settings export [-o FILE] [--password-file FILE]",
        about: "write all connections, tasks and settings down; without their secrets, or with them sealed",
        options: &[
            ("-o FILE", "a new file; what it tells is printed without it"),
            (
                "--password-file FILE",
                "seals the secrets, which go along then; - for standard input",
            ),
        ],
    },
    Topic {
        usage: "settings import FILE [--password-file FILE] [--apply]",
        about: "tell what such a file would add and replace here; it removes nothing",
        options: &[
            ("--password-file FILE", "the password of its secrets; - for standard input"),
            ("--apply", "do it"),
        ],
    },
    Topic {
        usage: "diagnostics [-o FILE] [--no-names]",
        about: "write down what helps to find out what is wrong; without secrets",
        options: &[
            ("-o FILE", "a new file; what it tells is printed without it"),
            ("--no-names", "without names of files, folders and whatever else a person named"),
        ],
    },
    Topic {
        usage: "settings [KEY VALUE]",
        about: "show all settings of the program, or change one",
        options: &[
            ("transfers", "transfers of a task at the same time, 1 to 20"),
            ("history", "lines of each task's history that are kept, 5 to 100000"),
            ("admin-mode", "on or off: administrators of the NAS see and change what others have"),
            (
                "log-level",
                "the least important lines of the log: error, warn, info, debug or trace",
            ),
            (
                "state-location",
                "a folder, on a fast or roomy volume, to move the tasks' states to; default: back",
            ),
        ],
    },
];

const EVERYWHERE: &[(&str, &str)] = &[
    ("--state DIR", "the state folder (or MOORING_STATE)"),
    ("--json", "print one JSON document"),
    ("-h, --help", "help, also on one command"),
    ("-V, --version", "the version"),
];

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 needs a person";

impl Topic {
    /// The words that are typed as they stand.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        let typed = |word: &&str| word.starts_with(|c: char| c.is_ascii_lowercase());
        self.usage.split(' ').take_while(typed)
    }

    /// Whether this is what `given` means, as far as it goes.
    fn begins_with(&self, given: &[String]) -> bool {
        self.words().zip(given).all(|(word, given)| word == given)
    }
}

/// The commands that these words may mean; all when they mean none.
pub fn topics(given: &[String]) -> Vec<&'static Topic> {
    let mut found: Vec<_> = TOPICS.iter().filter(|topic| topic.begins_with(given)).collect();
    if found.is_empty() {
        found.extend(TOPICS);
    }
    found
}

/// Prints help on the commands that these words may mean.
pub fn print(out: &mut dyn Write, given: &[String]) -> io::Result<()> {
    match topics(given).as_slice() {
        [topic] => {
            writeln!(out, "mooring {}\n\n{}", topic.usage, topic.about)?;
            if !topic.options.is_empty() {
                writeln!(out)?;
                options(out, topic.options)?;
            }
        }
        topics => {
            writeln!(out, "Mooring keeps folders on a NAS and folders in the cloud the same.\n")?;
            for topic in topics {
                writeln!(out, "  mooring {}\n      {}", topic.usage, topic.about)?;
            }
        }
    }
    writeln!(out, "\nEverywhere:")?;
    options(out, EVERYWHERE)?;
    writeln!(out, "\n{EXIT_CODES}")
}

fn options(out: &mut dyn Write, options: &[(&str, &str)]) -> io::Result<()> {
    options.iter().try_for_each(|(option, about)| writeln!(out, "  {option:<24} {about}"))
}
