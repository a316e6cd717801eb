//! Which items aren't synced because of their name, size or nature.

use super::{Filter, MB};
use crate::model::{ItemKind, split_path};
use crate::remote::{Descriptor, Special};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use unicode_normalization::UnicodeNormalization as _;

/// Our own folder in a local root, with one for each task in it: files on their way in, and those
/// that were removed. Never synced, gone when it is empty.
pub const WORK_FOLDER: &str = ".mooring";
/// The folder in a task's where removed files are kept for a while, by day.
pub const RECYCLE_FOLDER: &str = "removed";
/// The folder in it for what commands write.
pub const COMMAND_FOLDER: &str = "commands";

/// The folder of the task with this id in [`WORK_FOLDER`]: others may have the same local root.
pub fn work_folder(id: u64) -> String {
    format!("{WORK_FOLDER}/{id}")
}

/// Where the task with this id keeps removed files.
pub fn recycle_area(id: u64) -> String {
    format!("{}/{RECYCLE_FOLDER}", work_folder(id))
}

/// Longest path of an item in characters, from the task's root on.
pub const MAX_PATH: usize = 2048;
/// Longest name of an item in characters.
const MAX_NAME: usize = 255;

/// Names that are never synced, in lower case: system files, and folders of the NAS.
const RESERVED: &[&str] = &[
    ".ds_store",
    "desktop.ini",
    "@eadir",
    "thumbs.db",
    ".synologyworkingdirectory",
    "#recycle",
    "icon\r",
    "$recycle.bin",
    "@sharebin",
    "@synologycloudsync",
    "cloudsync_encrypt.info",
    "@activebackup",
    "activebackupdata",
    "#snapshot",
    "activebackupforoffice365",
    "activebackupforgsuite",
];

/// Beginnings of file names that are never synced, in lower case.
const RESERVED_BEGINNINGS: &[&str] = &["._", "~", ".synoppsdb"];

/// Characters that no path may have. (`/` can't be in a name.)
const RESERVED_CHARACTERS: &[char] = &[':', '\\'];

/// Files that programs leave behind in a folder and make again by themselves: they mustn't keep a
/// folder alive that a person removed.
const LITTER: &[&str] = &[".ds_store", "desktop.ini", "thumbs.db", "icon\r"];
/// The only folder of that kind: the NAS's thumbnails.
const LITTER_FOLDER: &str = "@eadir";

/// Why an item isn't synced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// The name is one of the system's or of the NAS.
    ReservedName,
    /// The name begins like a temporary or system file.
    ReservedBeginning,
    /// A character that isn't allowed in the path.
    Character(char),
    /// The service doesn't take this name.
    ServiceName,
    /// The name isn't valid UTF-8.
    NotUtf8,
    /// The name has more than 255 characters, or more bytes than the service allows.
    NameTooLong,
    /// The path is longer than Mooring or the service allows.
    PathTooLong,
    /// The file is larger, on either side, than the service allows.
    TooLarge,
    /// Another file system begins here.
    MountPoint,
    /// A symbolic link.
    SymbolicLink,
    /// Neither file nor folder.
    SpecialFile,
    /// A shortcut on the service.
    Shortcut,
    /// A document that only the service's own editor can open.
    OnlineDocument,
    /// Its owner doesn't let it be downloaded.
    NotDownloadable,
    /// A folder that the task excludes.
    ExcludedFolder,
    /// A file whose name is like this pattern, which the task excludes.
    ExcludedName(Box<str>),
    /// The file is larger, on either side, than this limit of the task in bytes.
    OverLimit(u64),
    /// It is in the service's archive.
    Archived,
    /// An item on the service that isn't encrypted as the task's items are.
    NotEncrypted,
}

impl SkipReason {
    /// Whether only a look at the disk can tell this.
    pub fn is_of_disk(&self) -> bool {
        use SkipReason::*;
        matches!(self, NotUtf8 | MountPoint | SymbolicLink | SpecialFile)
    }

    /// Whether it is about the sizes of the file on both sides, by [`NameCheck::check_size`].
    pub fn is_of_size(&self) -> bool {
        matches!(self, SkipReason::TooLarge | SkipReason::OverLimit(_))
    }

    /// Whether only a look at the service can tell this.
    pub fn is_of_service(&self) -> bool {
        use SkipReason::*;
        matches!(self, Shortcut | OnlineDocument | NotDownloadable | Archived | NotEncrypted)
    }
}

impl From<Special> for SkipReason {
    fn from(special: Special) -> Self {
        match special {
            Special::Shortcut => SkipReason::Shortcut,
            Special::Document => SkipReason::OnlineDocument,
            Special::Closed => SkipReason::NotDownloadable,
            Special::Archived => SkipReason::Archived,
            Special::Foreign => SkipReason::NotEncrypted,
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            SkipReason::Character(character) if character.is_control() => {
                "there is a control character in its name"
            }
            SkipReason::Character(character) => {
                return write!(f, "the character {character} isn't allowed in its path");
            }
            SkipReason::ExcludedName(pattern) => {
                return write!(f, "the task excludes files with names like {pattern}");
            }
            SkipReason::OverLimit(most) if most % MB == 0 => {
                return write!(f, "it is larger than the task's limit of {} MB", most / MB);
            }
            SkipReason::OverLimit(most) => {
                return write!(f, "it is larger than the task's limit of {most} bytes");
            }
            SkipReason::ReservedName => "its name is reserved for the system",
            SkipReason::ReservedBeginning => "its name begins like a temporary or system file",
            SkipReason::ServiceName => "the service doesn't take its name",
            SkipReason::NotUtf8 => "its name isn't valid UTF-8",
            SkipReason::NameTooLong => "its name is too long",
            SkipReason::PathTooLong => "its path is too long",
            SkipReason::TooLarge => "it is larger than the service allows",
            SkipReason::MountPoint => "another file system is mounted there",
            SkipReason::SymbolicLink => "it is a symbolic link",
            SkipReason::SpecialFile => "it is neither a file nor a folder",
            SkipReason::Shortcut => "it is a shortcut to another item",
            SkipReason::OnlineDocument => "it is an online document, not a file",
            SkipReason::NotDownloadable => "its owner doesn't let it be downloaded",
            SkipReason::Archived => "it is in the service's archive, where it can't be read",
            SkipReason::NotEncrypted => "it isn't encrypted with the task's key",
            SkipReason::ExcludedFolder => "the task excludes this folder",
        };
        f.write_str(text)
    }
}

/// The name rules of one task: the general ones, what a person leaves out, and those of its service.
#[derive(Clone)]
pub struct NameCheck {
    descriptor: &'static Descriptor,
    /// Bytes of the remote root and the `/` after it, which count towards the service's limit.
    root_length: usize,
    filter: Arc<Filter>,
}

impl NameCheck {
    /// The rules for a task on this service under this remote root, without a filter.
    pub fn new(descriptor: &'static Descriptor, root: &str) -> Self {
        let root_length = if root.is_empty() { 0 } else { root.len() + 1 };
        NameCheck { descriptor, root_length, filter: Arc::default() }
    }

    /// The same rules with what a person leaves out.
    pub fn with_filter(self, filter: Filter) -> Self {
        NameCheck { filter: Arc::new(filter), ..self }
    }

    /// Whether the service takes names for the same that differ only in the case of letters.
    pub fn folds_case(&self) -> bool {
        self.descriptor.folds_case
    }

    /// The rule by which the item at `path` (relative to the root) isn't synced, if there is one.
    /// The folders above it are taken to be fine, and so is [`NameCheck::check_size`].
    pub fn check(&self, path: &str, kind: ItemKind) -> Option<SkipReason> {
        let (_, name) = split_path(path);
        let lower = name.to_lowercase();
        let rule = &self.descriptor.names;
        let begins = |beginning: &&str| lower.starts_with(*beginning);
        if let Some(reserved) = reserved(name, kind) {
            return Some(reserved);
        }
        if let Some(excluded) = self.check_filter(path, name, kind) {
            return Some(excluded);
        }
        let refused = |character: &char| {
            RESERVED_CHARACTERS.contains(character)
                || character.is_control()
                || rule.characters.contains(*character)
        };
        if let Some(character) = name.chars().find(refused) {
            return Some(SkipReason::Character(character));
        }
        if name.is_empty()
            || name == "."
            || name == ".."
            || rule.names.contains(&name)
            || name.ends_with(|end| rule.ends.contains(end))
            || rule.parts.iter().any(|part| lower.contains(part))
            || kind == ItemKind::File && rule.beginnings.iter().any(begins)
        {
            return Some(SkipReason::ServiceName);
        }
        let too_long = rule.longest.is_some_and(|most| name.len() > most);
        let stored = self.descriptor.stored_bytes;
        let long = stored.is_some_and(|stored| stored(name.len()) > MAX_NAME);
        if name.chars().count() > MAX_NAME || too_long || long {
            return Some(SkipReason::NameTooLong);
        }
        let length = stored.map_or(path.len(), |stored| {
            path.split('/').map(|part| stored(part.len()) + 1).sum::<usize>() - 1
        });
        let length = self.root_length + length + usize::from(kind == ItemKind::Folder);
        if path.chars().count() > MAX_PATH || length > self.descriptor.max_path {
            return Some(SkipReason::PathTooLong);
        }
        None
    }

    fn check_filter(&self, path: &str, name: &str, kind: ItemKind) -> Option<SkipReason> {
        match kind {
            ItemKind::Folder => {
                self.filter.folders.contains(path).then_some(SkipReason::ExcludedFolder)
            }
            ItemKind::File => {
                self.filter.pattern_of(name).map(|like| SkipReason::ExcludedName(like.into()))
            }
        }
    }

    /// The limit that a file of `size` bytes is beyond: the service's or the task's. That has to be
    /// its size on the side where it has more bytes: otherwise each look would deny what the one at
    /// the other side said.
    pub fn check_size(&self, size: u64) -> Option<SkipReason> {
        if self.descriptor.max_size.is_some_and(|most| size > most) {
            return Some(SkipReason::TooLarge);
        }
        self.filter.limit_below(size).map(SkipReason::OverLimit)
    }
}

/// Why no item of this name is ever synced, whatever the task and its service.
pub fn reserved(name: &str, kind: ItemKind) -> Option<SkipReason> {
    let lower = name.to_lowercase();
    let begins = |beginning: &&str| lower.starts_with(*beginning);
    if name == WORK_FOLDER || RESERVED.contains(&lower.as_str()) {
        return Some(SkipReason::ReservedName);
    }
    let temporary = kind == ItemKind::File && RESERVED_BEGINNINGS.iter().any(begins);
    temporary.then_some(SkipReason::ReservedBeginning)
}

/// A name as a service sees it that tells letters apart neither by case nor by how their accents
/// are written.
pub fn folded(name: &str) -> String {
    name.nfc().collect::<String>().to_lowercase()
}

/// Whether an item of this name, which isn't synced, may be removed with its folder.
pub fn dies_with_folder(name: &str, kind: ItemKind) -> bool {
    let lower = name.to_lowercase();
    match kind {
        ItemKind::File => LITTER.contains(&lower.as_str()) || lower.starts_with("._"),
        ItemKind::Folder => lower == LITTER_FOLDER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::{Listing, Moves, NameRule};
    use ItemKind::{File, Folder};

    static SERVICE: Descriptor = SHORT;
    const SHORT: Descriptor = Descriptor {
        name: "service",
        label: "Service",
        fields: &[],
        providers: &[],
        task_fields: &[],
        sign_in: None,
        listing: Listing::Folders,
        folders_implied: false,
        moves: Moves::Trees,
        folds_case: true,
        namesakes: false,
        keeps_mtime: true,
        hash: None,
        max_size: Some(1000),
        max_path: 400,
        names: NameRule {
            characters: "?*",
            names: &["con"],
            beginnings: &["_vti"],
            parts: &["~tmp"],
            ends: ". ",
            longest: Some(300),
        },
        stored_bytes: None,
        bucket: None,
    };

    fn names() -> NameCheck {
        NameCheck::new(&SERVICE, "")
    }

    fn told(path: &str, kind: ItemKind) -> Option<SkipReason> {
        names().check(path, kind)
    }

    #[test]
    fn ordinary_names_are_synced() {
        for path in ["a", "a/b c.txt", "a/é/日本", "a/.hidden", "a/CON.txt", "a/b~"] {
            assert_eq!(told(path, File), None, "{path}");
            assert_eq!(told(path, Folder), None, "{path}");
        }
    }

    #[test]
    fn names_of_the_system_are_left_out_in_any_case() {
        for path in ["Thumbs.db", "a/.DS_Store", "a/@eaDir", "#recycle", "Icon\r", ".mooring"] {
            assert_eq!(told(path, File), Some(SkipReason::ReservedName), "{path}");
            assert_eq!(told(path, Folder), Some(SkipReason::ReservedName), "{path}");
        }
        for path in ["a/._b", "~lock", ".SynoPPSDB1"] {
            assert_eq!(told(path, File), Some(SkipReason::ReservedBeginning), "{path}");
            assert_eq!(told(path, Folder), None, "{path}");
        }
    }

    #[test]
    fn characters_are_refused_in_general_and_by_the_service() {
        for (path, character) in [("a:b", ':'), ("a\\b", '\\'), ("a\tb", '\t'), ("a?", '?')] {
            assert_eq!(told(path, File), Some(SkipReason::Character(character)), "{path}");
        }
    }

    #[test]
    fn the_service_has_names_of_its_own() {
        for path in ["con", "a/ends.", "a/ends ", "a/x~TMPy", ".", "..", "a/"] {
            assert_eq!(told(path, File), Some(SkipReason::ServiceName), "{path}");
            assert_eq!(told(path, Folder), Some(SkipReason::ServiceName), "{path}");
        }
        assert_eq!(told("a/_vti_x", File), Some(SkipReason::ServiceName));
        assert_eq!(told("a/_vti_x", Folder), None);
    }

    #[test]
    fn names_and_paths_have_limits() {
        assert_eq!(told(&"n".repeat(255), File), None);
        assert_eq!(told(&"n".repeat(256), File), Some(SkipReason::NameTooLong));
        // The service's limits are in bytes.
        assert_eq!(told(&"é".repeat(150), File), None);
        assert_eq!(told(&"é".repeat(151), File), Some(SkipReason::NameTooLong));
        let path = |bytes: usize| format!("{}/{}", "d".repeat(200), "n".repeat(bytes - 201));
        assert_eq!(told(&path(400), File), None);
        assert_eq!(told(&path(401), File), Some(SkipReason::PathTooLong));
        // A folder's path ends with a slash.
        assert_eq!(told(&path(399), Folder), None);
        assert_eq!(told(&path(400), Folder), Some(SkipReason::PathTooLong));
        let below = NameCheck::new(&SERVICE, "root");
        assert_eq!(below.check(&path(395), File), None);
        assert_eq!(below.check(&path(396), File), Some(SkipReason::PathTooLong));
    }

    #[test]
    fn no_path_is_longer_than_mooring_allows() {
        static LONG: Descriptor =
            Descriptor { max_path: usize::MAX, names: NameRule::NONE, ..PLAIN };
        const PLAIN: Descriptor = Descriptor { max_size: None, folds_case: false, ..SHORT };
        let names = NameCheck::new(&LONG, "");
        let path = |characters: usize| "é/".repeat(characters / 2) + "n";
        assert_eq!(names.check(&path(MAX_PATH - 2), File), None);
        let longer = path(MAX_PATH);
        assert_eq!(names.check(&longer, File), Some(SkipReason::PathTooLong));
        assert_eq!(names.check(&format!("{}n", path(MAX_PATH - 2)), File), None);
        assert!(!names.folds_case());
        for name in [".", ".."] {
            assert_eq!(names.check(name, Folder), Some(SkipReason::ServiceName), "{name}");
        }
    }

    #[test]
    fn sizes_are_limited_by_the_service_and_by_the_task() {
        let names = names();
        assert_eq!(names.check_size(1000), None);
        assert_eq!(names.check_size(1001), Some(SkipReason::TooLarge));
        assert!(names.folds_case());
    }

    #[test]
    fn what_a_person_leaves_out_is_left_out() {
        let folders = ["a/b".to_string()].into();
        let patterns = ["*.iso".to_string()].into();
        let filter = Filter { folders, patterns, max_size: Some(7) };
        let names = names().with_filter(filter);
        let excluded = SkipReason::ExcludedName("*.iso".into());
        assert_eq!(names.check("a/x.iso", File), Some(excluded));
        assert_eq!(names.check("a/x.iso", Folder), None);
        assert_eq!(names.check("a/b", Folder), Some(SkipReason::ExcludedFolder));
        assert_eq!(names.check("a/b", File), None);
        assert_eq!(names.check_size(8), Some(SkipReason::OverLimit(7)));
        assert_eq!(names.check_size(7), None);
    }

    #[test]
    fn only_litter_dies_with_its_folder() {
        for name in [".DS_Store", "desktop.ini", "Thumbs.db", "icon\r", "._x"] {
            assert!(dies_with_folder(name, File), "{name}");
            assert!(!dies_with_folder(name, Folder), "{name}");
        }
        assert!(dies_with_folder("@eaDir", Folder));
        for name in ["@eaDir", "#recycle", "~x", "photo.jpg"] {
            assert!(!dies_with_folder(name, File), "{name}");
        }
    }

    #[test]
    fn only_one_side_can_tell_some_things() {
        use SkipReason::*;
        for reason in [NotUtf8, MountPoint, SymbolicLink, SpecialFile] {
            assert!(reason.is_of_disk() && !reason.is_of_service(), "{reason:?}");
        }
        for special in [
            Special::Shortcut,
            Special::Document,
            Special::Closed,
            Special::Archived,
            Special::Foreign,
        ] {
            let reason = SkipReason::from(special);
            assert!(!reason.is_of_disk() && reason.is_of_service(), "{reason:?}");
        }
        for reason in
            [ReservedName, ServiceName, PathTooLong, ExcludedFolder, TooLarge, OverLimit(1)]
        {
            assert!(!reason.is_of_disk() && !reason.is_of_service(), "{reason:?}");
        }
    }

    #[test]
    fn a_reason_names_what_is_wrong() {
        let control = SkipReason::Character('\t').to_string();
        assert!(control.contains("control character"), "{control}");
        assert!(SkipReason::Character('?').to_string().contains('?'));
        assert!(SkipReason::OverLimit(5 * MB).to_string().ends_with("5 MB"));
        assert!(SkipReason::OverLimit(MB + 1).to_string().ends_with("1048577 bytes"));
    }

    #[test]
    fn names_that_look_alike_are_told() {
        assert_eq!(folded("E\u{301}A"), folded("\u{e9}a"));
        assert_ne!(folded("e"), folded("\u{e9}"));
    }
}
