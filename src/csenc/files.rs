//! Whole files and folders: each result appears under its name only when all of it is verified and
//! on the disk, and never in the place of anything else.

use super::{Locks, Opener, decrypt, encrypt};
use crate::content::{Content as _, Slice};
use crate::error::{Error, Kind, Result};
use crate::http::Cancel;
use crate::local::{Arrival, Disk, DiskWriter, Found, LocalFile};
use crate::model::{ItemKind, LocalPrint, join_path, split_path};
use crate::rules::{MAX_PATH, SkipReason, reserved};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Bytes that are written to the disk at a time.
const WRITE_BYTES: usize = 64 << 10;
/// Files after which their names are made durable: many of one folder cost one wait for the disk.
const FILES_A_SYNC: u64 = 64;

/// What is to become of files.
#[derive(Debug)]
pub enum Work {
    /// They are decrypted.
    Decrypt(Opener),
    /// They are encrypted, as version 3.1.
    Encrypt(Locks),
}

/// Where files come from and go to.
#[derive(Debug)]
pub struct Errand {
    /// Files and folders. A file, or a folder with all that is in it, keeps its name; of a folder
    /// whose path ends in `.` it is what is in it.
    pub from: Vec<PathBuf>,
    /// The folder where the results are put; it is made if it isn't there.
    pub to: PathBuf,
    /// What becomes of them.
    pub work: Work,
}

/// What became of an item.
#[derive(Debug)]
pub enum Outcome {
    /// It is there, with so many bytes of plain content.
    Done(u64),
    /// It was there already, with the time and the content that it should have: an earlier run put
    /// it there.
    There,
    /// It was left out, and its name or nature is why.
    Skipped(SkipReason),
    /// It isn't there.
    Failed(Error),
}

impl Errand {
    /// Does it all, and tells every item's outcome with its path in the order in which they come.
    /// A file that fails keeps no other from being done.
    ///
    /// # Errors
    /// `Usage` when the result would be put into a folder that it is made of; those of the folder
    /// where results go; `Cancelled`; `DiskFull`.
    pub fn run(
        &self,
        cancel: &Cancel,
        told: &mut dyn FnMut(&str, Outcome) -> Result<()>,
    ) -> Result<()> {
        fs::create_dir_all(&self.to)
            .and_then(|()| self.to.canonicalize())
            .map_err(|error| Error::disk(format!("folder {}", self.to.display()), error))
            .and_then(|to| {
                let disk = Disk::new(&to);
                disk.hold()?;
                let writer = DiskWriter::for_command(disk.clone());
                let ours = std::process::id().to_string();
                writer.tidy(&|name| name != ours && is_running(name))?;
                let (apart, files) = (self.is_apart(), 0);
                let mut run = Run { errand: self, cancel, told, disk, writer, ours, files, apart };
                let ended = self.from.iter().try_for_each(|from| run.item(from, &to));
                // Not all that was told is safe from a power cut before this.
                let synced = run.disk.sync_names();
                let tidied = run.writer.tidy(&|name| name != run.ours && is_running(name));
                ended.and(synced).and(tidied)
            })
    }
}

impl Errand {
    /// Whether no two of what was named can have results of one name.
    fn is_apart(&self) -> bool {
        let names = self.from.iter().map(|from| from.file_name().filter(|_| !ends_in_dot(from)));
        let names: Option<BTreeSet<_>> = names.collect();
        self.from.len() == 1 || names.is_some_and(|names| names.len() == self.from.len())
    }
}

/// Whether the process of this number runs: what it has in the work folder is its business.
fn is_running(name: &str) -> bool {
    let number = name.parse().ok().filter(|number: &i32| *number > 0);
    number.is_some_and(|number| kill(Pid::from_raw(number), None) != Err(nix::Error::ESRCH))
}

struct Run<'a> {
    errand: &'a Errand,
    cancel: &'a Cancel,
    told: &'a mut dyn FnMut(&str, Outcome) -> Result<()>,
    /// Where results go.
    disk: Disk,
    writer: DiskWriter,
    /// What our file in the work folder is called.
    ours: String,
    /// Results whose names may not be durable yet.
    files: u64,
    /// No two items of this run have results of one name.
    apart: bool,
}

/// A place to read from: a folder, and the path by which people know it.
struct Source<'a> {
    disk: &'a Disk,
    shown: &'a Path,
}

impl Run<'_> {
    /// Does one of the files and folders that were named.
    fn item(&mut self, from: &Path, to: &Path) -> Result<()> {
        let shown = from.to_string_lossy();
        let (real, meta) = match from.canonicalize().and_then(|real| {
            let meta = fs::metadata(&real)?;
            Ok((real, meta))
        }) {
            Ok(found) => found,
            Err(error) => {
                let error = Error::disk("opening", error).remedy("correct the path");
                return (self.told)(&shown, Outcome::Failed(error));
            }
        };
        let name = if ends_in_dot(from) { None } else { from.file_name().or(real.file_name()) };
        let name = match name.map(OsStr::to_str) {
            Some(Some(name)) => name,
            Some(None) => return (self.told)(&shown, Outcome::Skipped(SkipReason::NotUtf8)),
            None => "",
        };
        if meta.is_dir() {
            if to.starts_with(&real) {
                let what = format!("folder {}", self.errand.to.display());
                let cause = format!("it is in {shown}, which is to be read");
                return Err(Error::new(Kind::Usage, what, cause)
                    .remedy("give a folder outside of it with -o"));
            }
            let source = Source { disk: &Disk::new(&real), shown: from };
            return self.folder(&source, "", name);
        }
        let (Some(folder), Some(Some(real_name))) =
            (real.parent(), real.file_name().map(OsStr::to_str))
        else {
            return (self.told)(&shown, Outcome::Skipped(SkipReason::NotUtf8));
        };
        let source = Source { disk: &Disk::new(folder), shown: from };
        let outcome = match source.disk.stat(real_name) {
            Ok(Some(Found::File(print))) => self.file(&source, real_name, print, name),
            Ok(Some(_)) => return (self.told)(&shown, Outcome::Skipped(SkipReason::SpecialFile)),
            Ok(None) => Err(Error::disk("opening", io::ErrorKind::NotFound.into())),
            Err(error) => Err(error),
        };
        self.tell(&shown, outcome)
    }

    /// Does all that is in a folder. What can't be read is told, and the rest is done.
    fn folder(&mut self, source: &Source<'_>, path: &str, to: &str) -> Result<()> {
        let shown = source.shown_path(path);
        let mut outcome =
            if to.is_empty() { Ok(()) } else { self.writer.make_folder(to).map(drop) };
        let mut ended = Ok(());
        if outcome.is_ok() {
            outcome = source.disk.list(path, &mut |entry| {
                let done = self.entry(source, path, to, entry.name, entry.found);
                ended = done;
                // What a listing fails with is of the folder, and this isn't.
                if ended.is_ok() { Ok(()) } else { Err(Error::cancelled()) }
            });
        }
        ended?;
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => self.tell(&shown, Err(error)),
        }
    }

    fn entry(
        &mut self,
        source: &Source<'_>,
        folder: &str,
        to: &str,
        name: &OsStr,
        found: Found,
    ) -> Result<()> {
        let Some(text) = name.to_str() else {
            let path = join_path(folder, &name.to_string_lossy());
            return (self.told)(&source.shown_path(&path), Outcome::Skipped(SkipReason::NotUtf8));
        };
        let (path, to) = (join_path(folder, text), join_path(to, text));
        let rule = match found {
            Found::File(_) => reserved(text, ItemKind::File),
            Found::Folder(_) => reserved(text, ItemKind::Folder),
            Found::Mount => Some(SkipReason::MountPoint),
            Found::Link => Some(SkipReason::SymbolicLink),
            Found::Special => Some(SkipReason::SpecialFile),
        };
        // Folders within folders without end would take memory without end.
        let rule = rule.or((path.chars().count() > MAX_PATH).then_some(SkipReason::PathTooLong));
        match (rule, found) {
            (Some(rule), _) => (self.told)(&source.shown_path(&path), Outcome::Skipped(rule)),
            (None, Found::File(print)) => {
                let outcome = self.file(source, &path, print, &to);
                self.tell(&source.shown_path(&path), outcome)
            }
            (None, _) => self.folder(source, &path, &to),
        }
    }

    /// Does one file.
    fn file(
        &mut self,
        source: &Source<'_>,
        path: &str,
        print: LocalPrint,
        to: &str,
    ) -> Result<Outcome> {
        self.cancel.check()?;
        let taken = || {
            Error::new(Kind::Exists, "the result", format!("{to} is there already"))
                .remedy("move it away, or give another folder with -o")
        };
        match self.disk.stat(to)? {
            // It was put there as a whole, verified, and has been left alone since.
            // Its time is that of an earlier run's result, and so is its content.
            Some(Found::File(there))
                if self.apart
                    && there.mtime == print.mtime
                    && self.is_result(&there, to, source, (path, &print))? =>
            {
                return Ok(Outcome::There);
            }
            Some(_) => return Err(taken()),
            None => {}
        }
        let file = source.disk.open(path, &print)?;
        let mut from = Watched { from: Slice::whole(&file), cancel: self.cancel };
        let mut arrival = self.writer.arrive(&self.ours)?;
        let written = self.convert(&mut from, to, &mut arrival).and_then(|bytes| {
            file.unchanged()?;
            // Who may not read the one may not read the other.
            arrival.take_after(&file);
            arrival.land(to, None, Some(print.mtime)).map_err(|error| match error.kind() {
                Kind::Exists => taken(),
                _ => error,
            })?;
            Ok(Outcome::Done(bytes))
        });
        if written.is_err() {
            // Else the next file, or the end, clears it away.
            let _ = arrival.discard();
        }
        self.files += 1;
        if self.files.is_multiple_of(FILES_A_SYNC) {
            self.disk.sync_names()?;
        }
        written
    }

    /// Whether what is there is what would come of a file.
    fn is_result(
        &self,
        there: &LocalPrint,
        to: &str,
        source: &Source<'_>,
        (path, print): (&str, &LocalPrint),
    ) -> Result<bool> {
        let there = self.disk.open(to, there)?;
        let from = source.disk.open(path, print)?;
        // What is encrypted twice isn't the same, but what comes of it when it is decrypted.
        let by_password;
        let (locked, plain, opener) = match &self.errand.work {
            Work::Decrypt(opener) => (&from, &there, opener),
            Work::Encrypt(locks) => {
                by_password = locks.opener();
                (&there, &from, &by_password)
            }
        };
        let mut compared = Compared { with: plain, at: 0, differs: false };
        let reader = Watched { from: Slice::whole(locked), cancel: self.cancel };
        let read = decrypt(reader, opener, &mut compared);
        let differs = compared.differs;
        self.cancel.check()?;
        match (read, &self.errand.work) {
            (Ok(bytes), _) => Ok(bytes == plain.size()),
            (Err(_), Work::Encrypt(_)) => Ok(false),
            (Err(_), _) if differs => Ok(false),
            (Err(error), _) => Err(error),
        }
    }

    fn convert(&self, from: &mut dyn Read, to: &str, arrival: &mut Arrival) -> Result<u64> {
        // Something may be there of a process that had our number and was killed.
        arrival.restart()?;
        let mut buffer = BufWriter::with_capacity(WRITE_BYTES, arrival);
        let bytes = match &self.errand.work {
            Work::Decrypt(opener) => decrypt(from, opener, &mut buffer)?,
            Work::Encrypt(locks) => encrypt(from, split_path(to).1, locks, &mut buffer)?,
        };
        buffer.flush().map_err(|error| Error::disk("writing", error))?;
        Ok(bytes)
    }

    /// Tells what became of an item, unless that ends everything.
    fn tell(&mut self, shown: &str, outcome: Result<Outcome>) -> Result<()> {
        // What the engine would do about these by itself is up to a person here.
        let outcome = outcome.map_err(|error| match error.kind() {
            Kind::Changed | Kind::InUse => error.or_remedy("do it again when nothing writes to it"),
            Kind::NotFound => error.or_remedy("do it again"),
            Kind::DiskFull => error.or_remedy("free space on the volume, and do it again"),
            _ => error,
        });
        match outcome {
            Ok(outcome) => (self.told)(shown, outcome),
            Err(error) if error.kind().reaction().ends_cycle() => Err(error),
            Err(error) => (self.told)(shown, Outcome::Failed(error)),
        }
    }
}

impl Source<'_> {
    fn shown_path(&self, path: &str) -> String {
        if path.is_empty() {
            return self.shown.to_string_lossy().into_owned();
        }
        self.shown.join(path).to_string_lossy().into_owned()
    }
}

/// Takes bytes as long as a file has the same.
struct Compared<'a> {
    with: &'a LocalFile,
    at: u64,
    differs: bool,
}

impl io::Write for Compared<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut same = vec![0; bytes.len().min(WRITE_BYTES)];
        let count = self.with.read_at(&mut same, self.at).map_err(io::Error::other)?;
        self.differs |= count == 0 || same[..count] != bytes[..count];
        if self.differs {
            return Err(io::Error::other("another file is there"));
        }
        self.at += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ends_in_dot(path: &Path) -> bool {
    path.as_os_str().as_bytes().rsplit(|byte| *byte == b'/').next() == Some(b".")
}

/// Reads until somebody asks to stop.
struct Watched<'a> {
    from: Slice<'a>,
    cancel: &'a Cancel,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.cancel.check().map_err(io::Error::other)?;
        self.from.read(buffer)
    }
}
