//! Packs Mooring: `cargo spk` makes the packages (SPKs) for Synology's DSM, the tarball for other NAS systems, and the
//! package source that DSM's Package Center subscribes to.
//!
//! What it packs lies in `packaging/spk` as it is; what differs between CPUs is in `targets`. The same files give the
//! same bytes, wherever and whenever they are packed.

mod archive;
mod args;
mod data;
mod files;
mod help;
mod icon;
mod info;
mod panel;
mod program;
mod serve;
mod source;
mod spk;
mod tarball;
mod texts;

use args::{Command, Packing};
use data::Data;
use icon::Icon;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

/// The result of everything that can fail here.
type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The project's folder.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cargo spk: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let root = Path::new(ROOT);
    match args::parse()? {
        Command::Help => print!("{}", args::HELP),
        Command::Pack(packing) => pack(root, &packing)?,
        Command::Panel { out } => {
            let data = Data::read(root)?;
            let icon = Icon::read(&data.spk_folder().join("icon.svg"))?;
            panel::write(&data, &icon, &out)?;
        }
        Command::Source { folder, url, listen } => {
            let source = source::write(&Data::read(root)?, &folder, &url)?;
            if let Some(address) = listen {
                serve::run(source, &address)?;
            }
        }
    }
    Ok(())
}

fn pack(root: &Path, packing: &Packing) -> Result<()> {
    let data = Data::read(root)?;
    let icon = Icon::read(&data.spk_folder().join("icon.svg"))?;
    fs::create_dir_all(&packing.out).map_err(at(&packing.out))?;
    for (cpu, target) in data.targets(packing.cpu.as_deref())? {
        let program = match &packing.program {
            Some(file) => fs::read(file).map_err(at(file))?,
            None => program::build(&data, cpu, target)?,
        };
        keep_within(target.limits.binary, program.len(), &format!("the program for {cpu}"))?;
        if packing.tarball {
            let (name, bytes) = tarball::pack(&data, cpu, &program, &icon)?;
            write(&packing.out, &name, &bytes)?;
            continue;
        }
        for dsm in data.systems(packing.dsm.as_deref())? {
            let (name, bytes) = spk::pack(&data, dsm, cpu, &program, &icon)?;
            keep_within(target.limits.spk, bytes.len(), &name)?;
            write(&packing.out, &name, &bytes)?;
        }
    }
    Ok(())
}

fn keep_within(limit: usize, size: usize, what: &str) -> Result<()> {
    if size > limit {
        return Err(format!("{what} has {size} bytes, more than the {limit} of targets/").into());
    }
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(at(&path))?;
    println!("{}", path.display());
    Ok(())
}

/// Names the file in an error about it.
fn at<E: Error>(path: &Path) -> impl Fn(E) -> Box<dyn Error> {
    move |error| format!("{}: {error}", path.display()).into()
}
