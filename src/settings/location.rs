//! Where the tasks' states lie: in the state folder, or in a folder that a person chose, which is on
//! another volume as a rule.
//!
//! The settings stay in the state folder and say where, so that there is one state at any moment: a
//! copy becomes it by a single change of the settings, which notes the old one as left over. What
//! is left over by a move, whether it came to its end or not, is removed at the next chance.

use super::book::GLOBALS_ROW;
use super::check;
use super::file::GLOBALS;
use super::{Book, Globals};
use crate::error::{Error, Kind, Result};
use crate::store::Trees;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folder of the tasks' states, in the state folder or in [`FOLDER`].
pub const TASKS: &str = "tasks";
/// What is made in the folder that a person chose.
const FOLDER: &str = "mooring-state";
/// The word for the state folder.
const DEFAULT: &str = "default";
/// The row of [`GLOBALS`] with what a move left over: a folder like [`Book::base`].
const LEFT_OVER: &str = "left-over";

impl Book {
    /// The folder with the tasks' states and what goes with them.
    pub fn base(&self) -> Result<PathBuf> {
        Ok(self.base_at(self.globals()?.state_location.as_deref()))
    }

    fn base_at(&self, location: Option<&Path>) -> PathBuf {
        location.map_or_else(|| self.state.clone(), |folder| folder.join(FOLDER))
    }

    /// Moves the tasks' states into a folder, or back into the state folder if the word is
    /// `default`. No task may be open. Takes as long as copying does. States that aren't there any
    /// more, as their volume is gone, begin anew.
    ///
    /// # Errors
    /// `Usage` when the folder can't be the one, `State` when a state is open or damaged, or a disk
    /// error. Nothing is moved then.
    pub fn move_state(&self, to: &str) -> Result<Globals> {
        let globals = self.globals()?;
        let location = if to == DEFAULT { None } else { Some(self.location(Path::new(to))?) };
        if location == globals.state_location {
            return Ok(globals);
        }
        self.remove_left_over()?;
        let (old, new) =
            (self.base_at(globals.state_location.as_deref()), self.base_at(location.as_deref()));
        if location.is_some() {
            make(&new)?;
        }
        let note = |base: &Path| self.file.write(|change| change.put(GLOBALS, LEFT_OVER, &base));
        note(&new)?;
        if let Err(error) = copy(&old, &new) {
            self.tidy();
            return Err(error);
        }
        let globals = Globals { state_location: location, ..globals };
        self.file.write(|change| {
            change.put(GLOBALS, GLOBALS_ROW, &globals)?;
            change.put(GLOBALS, LEFT_OVER, &old)
        })?;
        self.tidy();
        Ok(globals)
    }

    /// A folder that a person chose, by its one true path.
    fn location(&self, folder: &Path) -> Result<PathBuf> {
        let wrong = |cause: String, remedy: &str| {
            let what = format!("the state's folder {}", folder.display());
            Error::new(Kind::Usage, what, cause).remedy(remedy)
        };
        if !folder.is_absolute() {
            let remedy = "give the whole path, beginning with /, or the word default";
            return Err(wrong("it isn't absolute".into(), remedy));
        }
        let found = folder.canonicalize().and_then(|found| match found.is_dir() {
            true => Ok(found),
            false => Err(ErrorKind::NotADirectory.into()),
        });
        let found = found.map_err(|error| {
            let remedy = "make the folder first, or correct it; the user that Mooring runs as has to be \
                          allowed to write there";
            wrong(error.to_string(), remedy)
        })?;
        let inside = |folder: &Path| check::same_or_inside(&found, folder);
        if let Some(task) = self.tasks()?.iter().find(|task| inside(&task.local)) {
            let cause = format!("it is in the local folder of task {}", task.name);
            return Err(wrong(cause, "choose a folder that isn't synced"));
        }
        if inside(&self.state) {
            return Err(wrong("it is in the state folder".into(), "give the word default"));
        }
        Ok(found)
    }

    /// Removes what a move left over.
    pub(super) fn remove_left_over(&self) -> Result<()> {
        let Some(base) = self.file.one::<PathBuf>(GLOBALS, LEFT_OVER)? else { return Ok(()) };
        // It may come back with its volume.
        if !base.parent().is_some_and(Path::exists) {
            return Ok(());
        }
        if base != self.base()? {
            self.remove(&base)?;
        }
        self.file.write(|change| change.remove(GLOBALS, LEFT_OVER))
    }

    fn remove(&self, base: &Path) -> Result<()> {
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(Error::disk(format!("removing the old state {}", base.display()), error)),
        };
        let tasks = base.join(TASKS);
        let files = states(&tasks).or_else(|error| failed(error).map(|()| Vec::new()))?;
        for file in files {
            fs::remove_file(file).or_else(failed)?;
        }
        if base != self.state {
            // Whatever else is in there is somebody's.
            let _ = fs::remove_dir(&tasks).and_then(|()| fs::remove_dir(base));
        }
        Ok(())
    }

    /// The same where it doesn't matter when.
    pub(super) fn tidy(&self) {
        if let Err(error) = self.remove_left_over() {
            tracing::warn!("{error}");
        }
    }
}

/// Makes the folder for states, for its owner's eyes only.
fn make(base: &Path) -> Result<()> {
    let failed = |error| {
        Error::disk(format!("the state's folder {}", base.display()), error).or_remedy(
            "give the user that Mooring runs as permission to write there, or choose another folder",
        )
    };
    if fs::read_dir(base).is_ok_and(|mut items| items.next().is_some()) {
        let what = format!("the state's folder {}", base.display());
        return Err(Error::new(Kind::Usage, what, "there is something in it already")
            .remedy("choose another folder, or remove it if no Mooring uses it"));
    }
    // An empty one is as good as new.
    match DirBuilder::new().mode(0o700).create(base) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Copies all states, durably.
fn copy(old: &Path, new: &Path) -> Result<()> {
    let failed = |error| {
        let what = format!("copying the state from {} to {}", old.display(), new.display());
        Error::disk(what, error)
    };
    let from = match states(&old.join(TASKS)) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            tracing::warn!("the state in {} is gone and begins anew", old.display());
            Vec::new()
        }
        found => found.map_err(failed)?,
    };
    let tasks = new.join(TASKS);
    match DirBuilder::new().mode(0o700).create(&tasks) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    // One that was only begun is none.
    for file in from.iter().filter(|file| file.extension().is_some_and(|it| it == "redb")) {
        let Some(name) = file.file_name() else { continue };
        // One that was open when the power failed is repaired first, and one that is open is refused.
        let trees =
            Trees::open(file).map_err(|error| error.or_remedy("stop what uses it first"))?;
        let is_copy = trees.is_copy()?;
        drop(trees);
        let copied = tasks.join(name);
        fs::copy(file, &copied).and_then(|_| File::open(&copied)?.sync_all()).map_err(failed)?;
        // Not every file system can hold a state that is open.
        let trees = Trees::open(&copied)?;
        if !is_copy {
            trees.take_its_place()?;
        }
    }
    let folders = [Some(tasks.as_path()), Some(new), new.parent()];
    let sync = |folder: &Path| File::open(folder)?.sync_all();
    folders.into_iter().flatten().try_for_each(sync).map_err(failed)
}

/// The files with states, and with those that were only begun.
fn states(tasks: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(tasks)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "redb" || ending == "new") {
            files.push(path);
        }
    }
    Ok(files)
}
