//! Who asks, and what their names may be.

/// Most bytes of a user's name.
const LONGEST_NAME: usize = 256;

/// Who asks for something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The machine itself, by the command line: whoever may read the state may do everything.
    Host,
    /// Who gave the panel's own password: an administrator, and no user of the NAS.
    Panel,
    /// A user of the NAS.
    User {
        /// The name they log in with.
        name: String,
        /// Whether they administrate the NAS.
        administrator: bool,
    },
}

/// Whether this can be the name of a NAS user who may ask for something: `DOMAIN\user`,
/// `user@ldap` and spaces are fine, root and what could be taken for an option aren't.
pub fn is_user_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name != "root"
        && !name.starts_with('-')
        && name.trim() == name
        && !name.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users() {
        for good in ["alice", "Alice B. Smith", "DOMAIN\\bob", "bob@ldap.example.com", "Zoë", "a-b"]
        {
            assert!(is_user_name(good), "{good}");
        }
        let long = "x".repeat(LONGEST_NAME + 1);
        for bad in ["", "root", "-u", " ", " a", "a ", "a\nb", "a\0", "a\u{7f}", "a\u{85}b", &long]
        {
            assert!(!is_user_name(bad), "{bad:?}");
        }
    }
}
