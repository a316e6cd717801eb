//! The command line.

use crate::Result;
use lexopt::{Arg, Parser, ValueExt};
use std::path::PathBuf;

/// What `--help` tells.
pub const HELP: &str = "\
cargo spk [--cpu CPU|all] [--dsm 6|7|all] [--out DIR] [--program FILE]
    packs mooring-VERSION-dsm7-CPU.spk and the like, for x86_64, aarch64, armv7 or i686
cargo spk --tarball [--cpu CPU|all] [--out DIR] [--program FILE]
    packs mooring-VERSION-CPU.tar.gz, for any Linux with systemd
cargo panel --out DIR
    writes the panel, as a browser loads it, into DIR
cargo spk source DIR --url URL [--listen ADDRESS]
    makes DIR, with the packages in it, a package source that is reached at URL:
    a file for each DSM and CPU to subscribe to, and with --listen a server at URL itself

--out DIR         where to; target/spk, and of the panel target/panel/ui, if not told
--program FILE    packs this program; it is built if not told, by cross in a container if both
                  are there, else by packaging/toolchain
--listen ADDRESS  as 127.0.0.1:8080
";

/// What to do.
pub enum Command {
    /// Tell how it is called.
    Help,
    /// Pack.
    Pack(Packing),
    /// Write the panel.
    Panel {
        /// Where to.
        out: PathBuf,
    },
    /// Make a package source.
    Source {
        /// Where the packages are.
        folder: PathBuf,
        /// Where it will be reached.
        url: String,
        /// Where to serve it.
        listen: Option<String>,
    },
}

/// What to pack.
pub struct Packing {
    /// For which CPU; all if `None`.
    pub cpu: Option<String>,
    /// For which DSM; all if `None`.
    pub dsm: Option<String>,
    /// Where to.
    pub out: PathBuf,
    /// The program that is there already.
    pub program: Option<PathBuf>,
    /// Whether a tarball instead.
    pub tarball: bool,
}

/// Understands the command line of this process.
pub fn parse() -> Result<Command> {
    let mut packing = Packing {
        cpu: None,
        dsm: None,
        out: PathBuf::from(crate::ROOT).join("target/spk"),
        program: None,
        tarball: false,
    };
    let (mut words, mut out, mut url, mut listen) = (Vec::new(), None, None, None);
    let mut parser = Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("cpu") => packing.cpu = one_or_all(parser.value()?.string()?),
            Arg::Long("dsm") => packing.dsm = one_or_all(parser.value()?.string()?),
            Arg::Long("out") => out = Some(PathBuf::from(parser.value()?)),
            Arg::Long("program") => packing.program = Some(parser.value()?.into()),
            Arg::Long("tarball") => packing.tarball = true,
            Arg::Long("url") => url = Some(parser.value()?.string()?),
            Arg::Long("listen") => listen = Some(parser.value()?.string()?),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help),
            Arg::Value(word) => words.push(word),
            other => return Err(other.unexpected().into()),
        }
    }
    let panel = PathBuf::from(crate::ROOT).join("target/panel/ui");
    if let Some(out) = &out {
        packing.out.clone_from(out);
    }
    if packing.program.is_some() && packing.cpu.is_none() {
        return Err("--program is for one CPU: give --cpu".into());
    }
    let mut words = words.into_iter();
    match words.next() {
        None if url.is_none() && listen.is_none() => Ok(Command::Pack(packing)),
        Some(verb) if verb == "panel" && words.len() == 0 => {
            Ok(Command::Panel { out: out.unwrap_or(panel) })
        }
        Some(verb) if verb == "source" => {
            let (Some(folder), Some(url), None) = (words.next(), url, words.next()) else {
                return Err("usage: cargo spk source DIR --url URL [--listen ADDRESS]".into());
            };
            let url = url.trim_end_matches('/').to_owned();
            Ok(Command::Source { folder: folder.into(), url, listen })
        }
        _ => Err("that isn't a command; see cargo spk --help".into()),
    }
}

fn one_or_all(word: String) -> Option<String> {
    (word != "all").then_some(word)
}
