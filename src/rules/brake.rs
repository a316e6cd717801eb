//! When a plan removes so much that a person should say yes first.

use serde::{Deserialize, Serialize};

/// Fewer removals than this never wait.
const FEW: u64 = 10;
/// More removals than this wait when they are more than a tenth of the side.
const MANY: u64 = 100;

/// What a plan would remove from one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toll {
    /// Files the plan removes.
    pub removals: u64,
    /// Files known on that side.
    pub known: u64,
}

/// Whether a plan's removals go ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// They do.
    Free,
    /// They wait for a person's word.
    Held,
}

impl Toll {
    /// Holds a plan that removes at least 10 files which are more than half of the side, or more
    /// than 100 files which are more than a tenth of it.
    pub fn brake(self) -> Brake {
        let Toll { removals, known } = self;
        let half = removals >= FEW && removals > known / 2;
        let tenth = removals > MANY && removals > known / 10;
        if half || tenth { Brake::Held } else { Brake::Free }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds() {
        let cases = [
            (0, 0, Brake::Free),
            (9, 9, Brake::Free),
            (10, 10, Brake::Held),
            (10, 20, Brake::Free),
            (11, 20, Brake::Held),
            (100, 900, Brake::Free),
            (101, 1009, Brake::Held),
            (101, 1010, Brake::Free),
            (u64::MAX, u64::MAX, Brake::Held),
        ];
        for (removals, known, expected) in cases {
            assert_eq!(Toll { removals, known }.brake(), expected, "{removals} of {known}");
        }
    }
}
