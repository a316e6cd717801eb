//! When a plan removes or overwrites so much that a person should say yes first.

/// Fewer removals than this never wait.
const FEW: u64 = 10;
/// More removals, or overwrites, than this wait when they are more than a part of the side.
const MANY: u64 = 100;
/// Emptying a folder of at least so many files waits, however large the side is.
const LARGE_FOLDER: u64 = 1000;

/// What a plan does to many files at once that can't be undone by going on. Renames are neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// It removes them.
    Removal,
    /// It puts other content in the place of one that both sides had agreed on.
    Overwrite,
}

impl Sweep {
    /// Both.
    pub const ALL: [Sweep; 2] = [Sweep::Removal, Sweep::Overwrite];

    /// A word for scripts and logs.
    pub fn word(self) -> &'static str {
        match self {
            Sweep::Removal => "mass-removal",
            Sweep::Overwrite => "mass-overwrite",
        }
    }
}

/// What a plan, and those shortly before it, would do to one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Toll {
    /// What it is.
    pub sweep: Sweep,
    /// Files that it is done to.
    pub files: u64,
    /// Files known on that side.
    pub known: u64,
    /// Files removed of the largest folder that nothing would be left in.
    pub emptied: u64,
}

/// Whether a plan's removals or overwrites go ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brake {
    /// They do.
    Free,
    /// They wait for a person's word.
    Held,
}

impl Toll {
    /// Holds a plan that removes
    /// - at least 10 files which are more than half of the side,
    /// - more than 100 files which are more than a tenth of it,
    /// - or all files of a folder that has at least 1,000;
    ///
    /// and one that overwrites more than 100 files which are more than a quarter of the side.
    /// People overwrite more than they remove: a program that writes tags into an album, or
    /// converts one, mustn't have to wait. What encrypts a disk doesn't stop at a quarter.
    pub fn brake(self) -> Brake {
        let Toll { files, known, emptied, .. } = self;
        let held = match self.sweep {
            Sweep::Removal => {
                let half = files >= FEW && files > known / 2;
                half || files > MANY && files > known / 10 || emptied >= LARGE_FOLDER
            }
            Sweep::Overwrite => files > MANY && files > known / 4,
        };
        if held { Brake::Held } else { Brake::Free }
    }

    /// The same where a person hasn't said yes to what was held: bringing some of it back, or
    /// adding other files, is no yes.
    pub fn brake_on(self) -> Brake {
        if self.files >= FEW { Brake::Held } else { Brake::Free }
    }

    /// Whether so many files of a folder are worth a look at what is left in it.
    pub fn is_large_folder(files: u64) -> bool {
        files >= LARGE_FOLDER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brake(sweep: Sweep, files: u64, known: u64, emptied: u64) -> Brake {
        Toll { sweep, files, known, emptied }.brake()
    }

    #[test]
    fn each_sweep_has_a_word_and_large_folders_a_size() {
        assert_eq!(Sweep::ALL.map(Sweep::word), ["mass-removal", "mass-overwrite"]);
        assert!(!Toll::is_large_folder(999) && Toll::is_large_folder(1000));
    }

    #[test]
    fn thresholds_of_removals() {
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
        for (files, known, expected) in cases {
            let brake = brake(Sweep::Removal, files, known, 0);
            assert_eq!(brake, expected, "{files} of {known}");
        }
        assert_eq!(brake(Sweep::Removal, 1000, 1_000_000, 999), Brake::Free);
        assert_eq!(brake(Sweep::Removal, 1000, 1_000_000, 1000), Brake::Held);
    }

    #[test]
    fn thresholds_of_overwrites() {
        let cases = [
            (0, 0, Brake::Free),
            (100, 100, Brake::Free),
            (101, 101, Brake::Held),
            (101, 403, Brake::Held),
            (101, 404, Brake::Free),
            (250, 1000, Brake::Free),
            (251, 1000, Brake::Held),
            (u64::MAX, u64::MAX, Brake::Held),
        ];
        for (files, known, expected) in cases {
            let brake = brake(Sweep::Overwrite, files, known, 0);
            assert_eq!(brake, expected, "{files} of {known}");
        }
    }

    #[test]
    fn what_is_held_stays_held_until_little_is_left() {
        let toll = |files| Toll { sweep: Sweep::Removal, files, known: 1_000_000, emptied: 0 };
        assert_eq!(toll(10).brake_on(), Brake::Held);
        assert_eq!(toll(9).brake_on(), Brake::Free);
    }
}
