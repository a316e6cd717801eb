//! The users of the NAS and what they may do, as its own programs know: this one is linked
//! statically, and wouldn't see the users of a domain.

use crate::child;
use crate::error::{Error, Kind, Result};
use crate::rules::{Access, Account, Mode, list_lets};
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::fstatat;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The program that tells a user's numbers.
pub const ID: &str = "/usr/bin/id";
/// The program of DSM that tells what a user may do with a folder.
const LISTS: &str = "/usr/syno/bin/synoacltool";
/// What it says before that, and instead of it where a folder's mode is all there is.
const PERMISSIONS: &str = "Final permission: [";
const NO_LIST: &str = "Linux mode";
/// Time for them; they may ask a server of the domain.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of what they print.
const MOST_BYTES: usize = 64 << 10;
/// How often a folder is looked at that is changed meanwhile.
const TRIES: u32 = 3;
/// The groups of the NAS itself.
const GROUPS: &str = "/etc/group";
/// Group of the users that administrate a NAS, and its number where the name isn't known.
const ADMINISTRATORS: (&str, u32) = ("administrators", 101);

/// The numbers of the groups that a user is in.
///
/// # Errors
/// `Denied` when there is no such user, and `Busy` when they can't be told now.
pub fn groups(id: &Path, user: &str) -> Result<Vec<u32>> {
    numbers(id, "-G", user)
}

/// The number of the group whose members are administrators. The names of a user's groups are told
/// with spaces between them, and may have some.
pub fn administrators() -> u32 {
    let groups = fs::read_to_string(GROUPS).unwrap_or_default();
    number_of(&groups, ADMINISTRATORS.0).unwrap_or(ADMINISTRATORS.1)
}

fn number_of(groups: &str, name: &str) -> Option<u32> {
    let mut fields = groups.lines().map(|line| line.split(':'));
    fields.find_map(
        |mut fields| if fields.next()? == name { fields.nth(1)?.parse().ok() } else { None },
    )
}

/// The one true path of a folder that this user may read and change.
///
/// # Errors
/// `Denied` when it isn't one, whatever else it may be, and `Busy` when the NAS can't tell now.
pub fn writable_folder(user: &str, folder: &Path) -> Result<PathBuf> {
    Nas::default().writable_folder(user, folder)
}

/// Opens a folder, by its one true path, that this user may read and change. `None` where they may
/// have any: administrators in admin mode.
///
/// # Errors
/// `RootLost` when there is no folder, `Denied` when the user may not have it or isn't one any more,
/// and `Busy` when the NAS can't tell now.
pub fn open_folder(user: &str, admin_mode: bool, folder: &Path) -> Result<Option<Opened>> {
    Nas::default().open_folder(user, admin_mode.then(administrators), folder)
}

/// A folder that is open for a user.
#[derive(Debug)]
pub struct Opened {
    /// The folder itself, which is what was asked about.
    pub folder: File,
    /// The user.
    pub account: Account,
    /// Whether its access control list lets them in, and not its mode.
    pub is_listed: bool,
}

/// The one true path of a folder that this user may look into, and which of the folders in it, as
/// they are found there, this user may look into as well.
///
/// # Errors
/// `Denied` when it isn't one, whatever else it may be, and those of `found`.
pub fn readable_folders(
    user: &str,
    folder: &Path,
    found: impl FnOnce(&Path) -> Result<Vec<String>>,
) -> Result<(PathBuf, Vec<String>)> {
    Nas::default().readable_folders(user, folder, found)
}

/// The programs of the NAS that are asked about users and folders.
struct Nas<'a> {
    id: &'a Path,
    lists: &'a Path,
}

/// A folder on the way to one that is open, or that one.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Step<'p> {
    path: &'p Path,
    mode: Mode,
    /// Device, inode, and the time of its last change, which a rename is.
    print: (u64, u64, i64, i64),
}

/// How an open folder lets a user in.
struct Way {
    is_listed: bool,
    /// The first of the steps that the user could exchange for another.
    movable: usize,
}

impl Default for Nas<'_> {
    fn default() -> Self {
        Nas { id: Path::new(ID), lists: Path::new(LISTS) }
    }
}

impl Nas<'_> {
    fn writable_folder(&self, user: &str, folder: &Path) -> Result<PathBuf> {
        let account = self.account(user)?;
        self.true_path(user, &account, Access::Write, folder)
    }

    fn readable_folders(
        &self,
        user: &str,
        folder: &Path,
        found: impl FnOnce(&Path) -> Result<Vec<String>>,
    ) -> Result<(PathBuf, Vec<String>)> {
        let account = self.account(user)?;
        let path = self.true_path(user, &account, Access::Read, folder)?;
        let mut folders = found(&path)?;
        folders.retain(|name| self.lets_into(user, &account, &path.join(name)).unwrap_or(false));
        Ok((path, folders))
    }

    /// Whether this user may look into a folder, if they may get there.
    fn lets_into(&self, user: &str, account: &Account, path: &Path) -> io::Result<bool> {
        let steps = steps(&open(path)?, path)?;
        let last = steps.last().map(std::slice::from_ref).unwrap_or_default();
        Ok(self.way(user, account, Access::Read, last)?.is_some())
    }

    /// The one true path of a folder that lets this user in so.
    fn true_path(
        &self,
        user: &str,
        account: &Account,
        wanted: Access,
        folder: &Path,
    ) -> Result<PathBuf> {
        // Nothing more, so that nobody learns which folders of others there are.
        let denied = || denied(user, wanted, folder);
        let path = folder.canonicalize().map_err(|_| denied())?;
        match self.open(user, account, wanted, &path) {
            Ok(Some(_)) => Ok(path),
            Err(error) if error.kind() == Kind::Busy => Err(error),
            _ => Err(denied()),
        }
    }

    fn open_folder(
        &self,
        user: &str,
        administrators: Option<u32>,
        folder: &Path,
    ) -> Result<Option<Opened>> {
        let account = self.account(user)?;
        if administrators.is_some_and(|group| account.groups.contains(&group)) {
            return Ok(None);
        }
        match self.open(user, &account, Access::Write, folder)? {
            Some((folder, is_listed)) => Ok(Some(Opened { folder, account, is_listed })),
            None => Err(denied(user, Access::Write, folder)),
        }
    }

    /// A folder that lets a user in so, and whether by its list; `None` if it doesn't.
    ///
    /// What is asked about is what is open, whatever is put in its place meanwhile: by its mode it is
    /// asked itself. Lists are asked for by path, so nothing on the way may have been renamed then.
    fn open(
        &self,
        user: &str,
        account: &Account,
        wanted: Access,
        path: &Path,
    ) -> Result<Option<(File, bool)>> {
        for _ in 0..TRIES {
            let folder = match open(path) {
                Ok(folder) => folder,
                // A link may lead to where nobody may know what is there.
                Err(_) if path.ancestors().any(Path::is_symlink) => return Ok(None),
                Err(error) => {
                    let what = format!("local folder {}", path.display());
                    return Err(Error::new(Kind::RootLost, what, error));
                }
            };
            let before = steps(&folder, path).ok().filter(|_| is_at(&folder, path));
            let way = before.as_ref().and_then(|it| self.way(user, account, wanted, it).ok()?);
            let (Some(before), Some(Way { is_listed, movable })) = (before, way) else {
                return Ok(None);
            };
            let after = steps(&folder, path).unwrap_or_default();
            if before.get(movable..) == after.get(movable..) && is_at(&folder, path) {
                return Ok(Some((folder, is_listed)));
            }
        }
        let what = format!("local folder {}", path.display());
        Err(Error::new(Kind::Busy, what, "it changes while its permissions are looked at"))
    }

    fn account(&self, name: &str) -> Result<Account> {
        let groups = groups(self.id, name)?;
        match numbers(self.id, "-u", name)?.as_slice() {
            // Another name of root's is no user of the NAS.
            [user] if *user != 0 => Ok(Account { user: *user, groups }),
            _ => Err(unknown(name, "this user can't have folders")),
        }
    }

    /// How these steps let a user in, to do this with the last of them; `None` if they don't.
    fn way(
        &self,
        name: &str,
        user: &Account,
        wanted: Access,
        steps: &[Step<'_>],
    ) -> io::Result<Option<Way>> {
        let has_lists = self.lists.exists();
        let (mut is_listed, mut movable) = (false, None);
        for (number, step) in steps.iter().enumerate() {
            let listed = if has_lists { self.permissions(name, step.path)? } else { None };
            let lets = |access| match &listed {
                Some(permissions) => list_lets(access, permissions),
                None => user.may(access, step.mode),
            };
            let is_last = number + 1 == steps.len();
            if !lets(Access::Pass) || is_last && !lets(wanted) {
                return Ok(None);
            }
            if has_lists && lets(Access::Write) {
                movable = movable.or(Some(number + 1));
            }
            is_listed = listed.is_some();
        }
        Ok(Some(Way { is_listed, movable: movable.unwrap_or(steps.len()) }))
    }

    /// What the folder's access control list gives a user; none where it has no list. Its mode
    /// means nothing then.
    fn permissions(&self, user: &str, folder: &Path) -> io::Result<Option<String>> {
        let mut command = Command::new(self.lists);
        command.arg("-get-perm").arg(folder).arg(user).env_clear();
        let text = child::answer(&mut command, MOST_BYTES, PATIENCE)?.1;
        if let Some((_, rest)) = text.split_once(PERMISSIONS) {
            return Ok(Some(rest.split(']').next().unwrap_or_default().to_owned()));
        }
        if text.contains(NO_LIST) { Ok(None) } else { Err(ErrorKind::InvalidData.into()) }
    }
}

/// Opens a folder to look at it.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).bits();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Whether the one true path of an open folder is this one.
fn is_at(folder: &File, path: &Path) -> bool {
    let at = fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd()));
    at.is_ok_and(|at| at.as_os_str() == path.as_os_str())
}

/// The folders that lead to an open one which is at this path, and that one last.
// The fields' widths differ between CPUs.
#[allow(clippy::useless_conversion, clippy::unnecessary_cast)]
fn steps<'p>(folder: &File, path: &'p Path) -> io::Result<Vec<Step<'p>>> {
    let mut from_here = String::from(".");
    let mut steps = Vec::new();
    for path in path.ancestors() {
        let found = fstatat(folder, from_here.as_str(), AtFlags::empty())?;
        let mode = Mode { user: found.st_uid, group: found.st_gid, bits: u32::from(found.st_mode) };
        let (seconds, nanos) = (found.st_ctime as i64, found.st_ctime_nsec as i64);
        let print = (found.st_dev as u64, found.st_ino as u64, seconds, nanos);
        steps.push(Step { path, mode, print });
        from_here.push_str("/..");
    }
    steps.reverse();
    Ok(steps)
}

fn denied(user: &str, wanted: Access, folder: &Path) -> Error {
    let what = format!("local folder {}", folder.display());
    let verb = if wanted == Access::Write { "read and change" } else { "read" };
    Error::new(Kind::Denied, what, format!("{user} may not {verb} it")).remedy(
        "choose a folder of yours, or ask an administrator for permission, also for the user that \
         Mooring runs as",
    )
}

fn unknown(user: &str, cause: impl ToString) -> Error {
    Error::new(Kind::Denied, format!("user {user}"), cause.to_string())
        .remedy("look whether this user still exists; log out and in again")
}

fn numbers(id: &Path, what: &str, user: &str) -> Result<Vec<u32>> {
    let mut command = Command::new(id);
    command.args([what, "--", user]).env_clear();
    let text = child::printed(&mut command, MOST_BYTES, PATIENCE).map_err(|error| {
        let cause = format!("{} doesn't know them: {error}", id.display());
        match error.kind() {
            // A server of the domain may be slow to answer.
            ErrorKind::TimedOut => Error::new(Kind::Busy, format!("user {user}"), cause),
            _ => unknown(user, cause),
        }
    })?;
    let numbers: Result<Vec<u32>, _> = text.split_whitespace().map(str::parse).collect();
    match numbers {
        Ok(numbers) if !numbers.is_empty() => Ok(numbers),
        _ => Err(unknown(user, format!("{} says something else than numbers", id.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// A program in a folder for the moment that prints what it is told to.
    fn program(folder: &Path, name: &str, script: &str) -> PathBuf {
        let file = folder.join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    #[test]
    fn a_folder_is_a_users_by_its_list_or_by_its_mode() {
        let here = std::env::temp_dir().join(format!("accounts-{}", std::process::id()));
        let inner = here.join("share/folder");
        fs::create_dir_all(&inner).unwrap();
        let here = here.canonicalize().unwrap();
        let inner = inner.canonicalize().unwrap();
        let id = program(&here, "id", "echo 4242");
        let nowhere = here.join("nowhere");
        let may = |lists: &Path, folder: &Path| {
            Nas { id: &id, lists }.writable_folder("alice", folder).map_err(|error| error.kind())
        };
        let set = |folder: &Path, mode| {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(&inner, 0o777);
        assert_eq!(may(&nowhere, &inner), Ok(inner.clone()));
        let link = here.join("link");
        symlink(&inner, &link).unwrap();
        assert_eq!(may(&nowhere, &link), Ok(inner.clone()));
        assert_eq!(may(&nowhere, &here.join("not there")), Err(Kind::Denied));
        let file = inner.join("file");
        fs::write(&file, "").unwrap();
        set(&file, 0o777);
        assert_eq!(may(&nowhere, &file), Err(Kind::Denied));
        set(&inner, 0o775);
        assert_eq!(may(&nowhere, &inner), Err(Kind::Denied));
        set(&inner, 0o777);
        let share = here.join("share");
        set(&share, 0o700);
        assert_eq!(may(&nowhere, &inner), Err(Kind::Denied));

        // Only folders below the share have a list, which counts instead of their modes.
        let listed = |permissions: &str| {
            let shares = format!("case $2 in {}*)", share.display());
            let list = format!("echo 'Final permission: [{permissions}]';;");
            let none = "*) echo \"(synoacltool.c, 596)It's Linux mode\"; exit 255;; esac";
            program(&here, "lists", &format!("{shares} {list} {none}"))
        };
        assert_eq!(may(&listed("rwxpdDaARWc--"), &inner), Ok(inner.clone()));
        set(&inner, 0o777);
        set(&share, 0o755);
        for permissions in ["r-x---a-R-c--", "-------------", ""] {
            assert_eq!(may(&listed(permissions), &inner), Err(Kind::Denied), "{permissions}");
        }
        for script in ["exit 1", "echo nonsense", "echo Final permission: rwxp"] {
            let lists = program(&here, "broken", script);
            assert_eq!(may(&lists, &inner), Err(Kind::Denied), "{script}");
        }
        let nas = Nas { id: &program(&here, "root", "echo 0"), lists: &nowhere };
        assert_eq!(nas.writable_folder("alice", &inner).unwrap_err().kind(), Kind::Denied);
        fs::remove_dir_all(here).unwrap();
    }

    #[test]
    fn what_is_opened_is_what_was_asked_about() {
        let here = std::env::temp_dir().join(format!("opened-{}", std::process::id()));
        for folder in ["share/alice", "share/bob"] {
            fs::create_dir_all(here.join(folder)).unwrap();
        }
        let here = here.canonicalize().unwrap();
        let [share, alice, bob] = ["share", "share/alice", "share/bob"].map(|it| here.join(it));
        for (folder, mode) in [(&share, 0o777), (&alice, 0o777), (&bob, 0o700)] {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        }
        let id = program(&here, "id", "echo 4242");
        let nowhere = here.join("nowhere");
        let open = |lists: &Path, administrators, folder: &Path| {
            let opened = Nas { id: &id, lists }.open_folder("alice", administrators, folder);
            opened.map(|opened| opened.map(|it| it.is_listed)).map_err(|error| error.kind())
        };
        assert_eq!(open(&nowhere, None, &alice), Ok(Some(false)));
        assert_eq!(open(&nowhere, None, &bob), Err(Kind::Denied));
        assert_eq!(open(&nowhere, None, &nowhere), Err(Kind::RootLost));
        // The group of administrators has this number, in admin mode.
        assert_eq!(open(&nowhere, Some(101), &bob), Err(Kind::Denied));
        assert_eq!(open(&nowhere, Some(4242), &bob), Ok(None));
        let link = here.join("link");
        symlink(&alice, &link).unwrap();
        assert_eq!(open(&nowhere, None, &link), Err(Kind::Denied));
        fs::remove_file(&link).unwrap();
        symlink(bob.join("anything"), &link).unwrap();
        assert_eq!(open(&nowhere, None, &link), Err(Kind::Denied));

        let yes = "echo 'Final permission: [rwxpdDaARWc--]'";
        assert_eq!(open(&program(&here, "yes", yes), None, &bob), Ok(Some(true)));
        // Bob's folder is at her path but for the moment in which that is asked about.
        fs::rename(&alice, share.join("hers")).unwrap();
        fs::rename(&bob, &alice).unwrap();
        let there = format!("cd {} && mv alice bob && mv hers alice", share.display());
        let back = format!("cd {} && mv alice hers && mv bob alice", share.display());
        let asked = format!("*/alice) {there}; {yes}; {back};;");
        let others = "*) echo \"(synoacltool.c, 596)It's Linux mode\"; exit 255;;";
        let swaps = program(&here, "swaps", &format!("case $2 in {asked} {others} esac"));
        assert_eq!(open(&swaps, None, &alice), Err(Kind::Busy));
        fs::remove_dir_all(here).unwrap();
    }

    #[test]
    fn groups_have_numbers() {
        let groups =
            "root:x:0:\nDOMAIN\\some administrators:x:9:bob\n\nhttp\nadministrators:x:101:admin\n";
        assert_eq!(number_of(groups, "administrators"), Some(101));
        for groups in
            ["", "administrators", "administrators:x", "administrators:x:y:", "x:administrators:1:"]
        {
            assert_eq!(number_of(groups, "administrators"), None, "{groups}");
        }
    }

    #[test]
    fn only_a_user_whom_the_system_knows_has_groups() {
        let id = Path::new(ID);
        assert!(!groups(id, "nobody").unwrap().is_empty());
        for user in ["no such user", "-G", "nobody; id"] {
            assert_eq!(groups(id, user).unwrap_err().kind(), Kind::Denied, "{user}");
        }
        for program in ["/bin/echo", "/bin/true", "/nowhere/at/all"] {
            assert!(groups(Path::new(program), "nobody").is_err(), "{program}");
        }
    }
}
