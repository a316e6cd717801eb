//! Which folders a task may have: those that the owner of its connection may read and change.

use crate::accounts;
use crate::error::Result;
use crate::local::Disk;
use crate::settings::{Connection, Globals, Task};

/// Whose permissions a task's folder has to be within, if anybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach(Option<Owner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    name: String,
    admin_mode: bool,
}

impl Reach {
    /// That of the tasks of a connection.
    pub fn of(connection: &Connection, globals: &Globals) -> Reach {
        let admin_mode = globals.admin_mode;
        Reach(connection.owner.clone().map(|name| Owner { name, admin_mode }))
    }

    /// Whether it has bounds.
    pub fn is_bounded(&self) -> bool {
        self.0.is_some()
    }

    /// The task's folder. Where there are bounds, the NAS is asked for the owner's permission, which
    /// holds for as long as this disk and what is made of it are kept, and for this folder only.
    ///
    /// # Errors
    /// Where there are bounds: `RootLost` when there is no folder, `Denied` when the owner may not
    /// have it or isn't a user any more, and `Busy` when the NAS can't tell now.
    pub fn disk(&self, task: &Task) -> Result<Disk> {
        let Some(Owner { name, admin_mode }) = &self.0 else { return Ok(Disk::new(&task.local)) };
        match accounts::open_folder(name, *admin_mode, &task.local)? {
            Some(opened) => Disk::confined(&task.local, opened),
            None => Ok(Disk::new(&task.local)),
        }
    }
}
