//! The users of the NAS and what they may do, as its own programs know: this one is linked
//! statically, and wouldn't see the users of a domain.

use crate::child;
use crate::error::{Error, Kind, Result};
use crate::rules::{Access, Account, Mode, list_lets};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
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
/// The groups of the NAS itself.
const GROUPS: &str = "/etc/group";
/// Group of the users that administrate a NAS, and its number where the name isn't known.
const ADMINISTRATORS: (&str, u32) = ("administrators", 101);

/// The numbers of the groups that a user is in.
///
/// # Errors
/// `Denied` when they aren't told.
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
/// `Denied` when it isn't one, whatever else it may be.
pub fn writable_folder(user: &str, folder: &Path) -> Result<PathBuf> {
    Nas { id: Path::new(ID), lists: Path::new(LISTS) }.writable_folder(user, folder)
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
    Nas { id: Path::new(ID), lists: Path::new(LISTS) }.readable_folders(user, folder, found)
}

/// The programs of the NAS that are asked about users and folders.
struct Nas<'a> {
    id: &'a Path,
    lists: &'a Path,
}

impl Nas<'_> {
    fn writable_folder(&self, user: &str, folder: &Path) -> Result<PathBuf> {
        self.open_folder(user, &self.account(user)?, Access::Write, folder)
    }

    fn readable_folders(
        &self,
        user: &str,
        folder: &Path,
        found: impl FnOnce(&Path) -> Result<Vec<String>>,
    ) -> Result<(PathBuf, Vec<String>)> {
        let account = self.account(user)?;
        let path = self.open_folder(user, &account, Access::Read, folder)?;
        let mut folders = found(&path)?;
        folders.retain(|name| {
            self.lets(user, &account, Access::Read, &path.join(name)).unwrap_or(false)
        });
        Ok((path, folders))
    }

    /// The one true path of a folder that lets this user in so.
    fn open_folder(
        &self,
        user: &str,
        account: &Account,
        wanted: Access,
        folder: &Path,
    ) -> Result<PathBuf> {
        // Nothing more, so that nobody learns which folders of others there are.
        let denied = || {
            let what = if wanted == Access::Write { "read and change" } else { "read" };
            let cause = format!("{user} may not {what} it");
            Error::new(Kind::Denied, format!("local folder {}", folder.display()), cause)
                .remedy("choose a folder of yours, or ask an administrator for permission")
        };
        let path = folder.canonicalize().map_err(|_| denied())?;
        for (above, each) in path.ancestors().enumerate() {
            let access = if above == 0 { wanted } else { Access::Pass };
            if !self.lets(user, account, access, each).unwrap_or(false) {
                return Err(denied());
            }
        }
        Ok(path)
    }

    fn account(&self, name: &str) -> Result<Account> {
        let groups = groups(self.id, name)?;
        match numbers(self.id, "-u", name)?.as_slice() {
            // Another name of root's is no user of the NAS.
            [user] if *user != 0 => Ok(Account { user: *user, groups }),
            _ => Err(unknown(name, "this user can't have folders")),
        }
    }

    fn lets(&self, name: &str, user: &Account, access: Access, folder: &Path) -> io::Result<bool> {
        if let Some(permissions) = self.permissions(name, folder)? {
            return Ok(list_lets(access, &permissions));
        }
        let found = folder.metadata()?;
        let mode = Mode { user: found.uid(), group: found.gid(), bits: found.mode() };
        Ok(found.is_dir() && user.may(access, mode))
    }

    /// What the folder's access control list gives a user; none where it has no list. Its mode
    /// means nothing then.
    fn permissions(&self, user: &str, folder: &Path) -> io::Result<Option<String>> {
        let mut command = Command::new(self.lists);
        command.arg("-get-perm").arg(folder).arg(user).env_clear();
        let text = match child::answer(&mut command, MOST_BYTES, PATIENCE) {
            // Another system than DSM.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text?.1,
        };
        if let Some((_, rest)) = text.split_once(PERMISSIONS) {
            return Ok(Some(rest.split(']').next().unwrap_or_default().to_owned()));
        }
        if text.contains(NO_LIST) { Ok(None) } else { Err(ErrorKind::InvalidData.into()) }
    }
}

fn unknown(user: &str, cause: impl ToString) -> Error {
    Error::new(Kind::Denied, format!("user {user}"), cause.to_string())
        .remedy("look whether this user still exists; log out and in again")
}

fn numbers(id: &Path, what: &str, user: &str) -> Result<Vec<u32>> {
    let mut command = Command::new(id);
    command.args([what, "--", user]).env_clear();
    let text = child::printed(&mut command, MOST_BYTES, PATIENCE)
        .map_err(|error| unknown(user, format!("{} doesn't know them: {error}", id.display())))?;
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
            let nas = Nas { id: &id, lists };
            nas.writable_folder("alice", folder).map_err(|error| error.kind())
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
