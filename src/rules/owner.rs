//! What is whose: connections of NAS users, and the folders that these may write.

use crate::caller::Caller;

/// Bits of a mode for one class of users: to list, to change and to pass through.
const READ: u32 = 4;
const WRITE: u32 = 2;
const PASS: u32 = 1;

/// What a user wants of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To get to what is in it.
    Pass,
    /// To read what is in it.
    Read,
    /// To read and to change what is in it.
    Write,
}

/// A user by number, with the groups they are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: u32,
    /// Their groups.
    pub groups: Vec<u32>,
}

/// What a folder without an access control list says about who may do what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// The user it belongs to.
    pub user: u32,
    /// The group it belongs to.
    pub group: u32,
    /// The bits of `chmod`.
    pub bits: u32,
}

impl Caller {
    /// The user that a new connection belongs to; none where it is nobody's.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Caller::Host | Caller::Panel => None,
            Caller::User { name, .. } => Some(name),
        }
    }

    /// Whether settings that concern everybody may be changed.
    pub fn is_administrator(&self) -> bool {
        match self {
            Caller::Host | Caller::Panel => true,
            Caller::User { administrator, .. } => *administrator,
        }
    }

    /// Whether a connection of this owner is there for this caller. Administrators have what is
    /// nobody's beside their own, and everything in admin mode.
    pub fn sees(&self, owner: Option<&str>, admin_mode: bool) -> bool {
        let is_own = owner.is_some() && owner == self.owner();
        is_own
            || *self == Caller::Host
            || self.is_administrator() && (admin_mode || owner.is_none())
    }

    /// The user whose permissions a new local folder has to be within; none where the caller may
    /// take any.
    pub fn confined(&self, admin_mode: bool) -> Option<&str> {
        self.owner().filter(|_| !(self.is_administrator() && admin_mode))
    }
}

impl Account {
    /// Whether a folder without an access control list lets this user in so.
    pub fn may(&self, access: Access, folder: Mode) -> bool {
        let class = if self.user == folder.user {
            folder.bits >> 6
        } else if self.groups.contains(&folder.group) {
            folder.bits >> 3
        } else {
            folder.bits
        };
        let wanted = match access {
            Access::Pass => PASS,
            Access::Read => READ | PASS,
            Access::Write => READ | WRITE | PASS,
        };
        class & wanted == wanted
    }
}

/// Whether an access control list of DSM lets a user in so whom it gives these permissions, as in
/// `rwxpdDaARWc--`: `p` is to make folders.
pub fn list_lets(access: Access, permissions: &str) -> bool {
    let wanted = match access {
        Access::Pass => "x",
        Access::Read => "rx",
        Access::Write => "rwxp",
    };
    wanted.chars().all(|each| permissions.contains(each))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, administrator: bool) -> Caller {
        Caller::User { name: name.into(), administrator }
    }

    #[test]
    fn whose_connections_are_there_for_whom() {
        let (alice, admin) = (user("alice", false), user("admin", true));
        // Nobody's, alice's, bob's, admin's: without and with admin mode.
        for (caller, without, with) in [
            (Caller::Host, [true; 4], [true; 4]),
            (Caller::Panel, [true, false, false, false], [true; 4]),
            (admin, [true, false, false, true], [true; 4]),
            (alice, [false, true, false, false], [false, true, false, false]),
            (user("Alice", false), [false; 4], [false; 4]),
        ] {
            let owners = [None, Some("alice"), Some("bob"), Some("admin")];
            assert_eq!(owners.map(|it| caller.sees(it, false)), without, "{caller:?}");
            assert_eq!(owners.map(|it| caller.sees(it, true)), with, "{caller:?}");
        }
    }

    #[test]
    fn only_users_are_confined_and_in_admin_mode_no_administrators() {
        for (caller, without, with) in [
            (Caller::Host, None, None),
            (Caller::Panel, None, None),
            (user("alice", false), Some("alice"), Some("alice")),
            (user("admin", true), Some("admin"), None),
        ] {
            assert_eq!((caller.confined(false), caller.confined(true)), (without, with));
        }
    }

    #[test]
    fn one_class_of_a_mode_counts() {
        let alice = Account { user: 1026, groups: vec![100, 65536] };
        for (user, group, bits, pass, write) in [
            (1026, 1, 0o700, true, true),
            (1026, 1, 0o100, true, false),
            (1026, 1, 0o500, true, false),
            (1026, 1, 0o300, true, false),
            // The owner's class counts though another would let them in.
            (1026, 100, 0o077, false, false),
            (0, 65536, 0o070, true, true),
            (0, 65536, 0o010, true, false),
            (0, 65536, 0o707, false, false),
            (0, 0, 0o007, true, true),
            (0, 0, 0o1777, true, true),
            (0, 0, 0o755, true, false),
            (0, 0, 0o770, false, false),
            (0, 0, 0, false, false),
        ] {
            let folder = Mode { user, group, bits };
            let may = [Access::Pass, Access::Write].map(|access| alice.may(access, folder));
            assert_eq!(may, [pass, write], "{folder:?}");
        }
    }

    #[test]
    fn lists_of_dsm() {
        for (permissions, pass, write) in [
            ("rwxpdDaARWcCo", true, true),
            ("rwxpdDaARWc--", true, true),
            ("r-x---a-R-c--", true, false),
            ("rwx----------", true, false),
            ("rw-p---------", false, false),
            ("-------------", false, false),
            ("", false, false),
        ] {
            let may = [Access::Pass, Access::Write].map(|access| list_lets(access, permissions));
            assert_eq!(may, [pass, write], "{permissions}");
        }
    }
}
