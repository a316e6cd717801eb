//! What each twin can, as data.

use mooring::remote::{Descriptor, Listing, Moves, NameRule};
use mooring::services;

/// Bytes of a part, and of the largest file that is sent whole where there are parts.
pub const PART: u64 = 64;
const SECOND: u64 = 1_000;

/// What a service can and how it behaves, beyond what its descriptor says.
#[derive(Clone, Copy, Debug)]
pub struct Abilities {
    pub name: &'static str,
    pub descriptor: &'static Descriptor,
    pub changes: Changes,
    /// Milliseconds that a listing may lag behind.
    pub list_lag: u64,
    /// Milliseconds that a feed may lag behind.
    pub feed_lag: u64,
    /// The version of a folder changes with everything below it.
    pub folder_versions: bool,
    pub versions: Versions,
    /// What a write, or the removal of a file, expects is checked in the same moment. Otherwise
    /// somebody may come between the look and the change.
    pub conditional: bool,
    /// A file that was changed after the look at it isn't moved. Otherwise it is, and told to be
    /// changed.
    pub moves_checked: bool,
    /// What is replaced or removed can be had back.
    pub keeps_replaced: bool,
    pub times: Times,
    /// Names that differ only in case are the same, whatever the descriptor says.
    pub folds_case: bool,
    pub unicode: Unicode,
    /// Largest file whose hash is told; `None` where none is.
    pub hashed: Option<u64>,
    /// A folder stays though nothing is in it.
    pub keeps_empty: bool,
    /// Larger files are sent in parts, in a session.
    pub parts: bool,
    /// Milliseconds after which a session is forgotten.
    pub session_life: Option<u64>,
    /// Largest file that is taken.
    pub largest: Option<u64>,
    /// An upload that is cut off leaves what had arrived.
    pub keeps_cut: bool,
}

/// How it is told what changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Not at all: everything has to be listed. Items have no ids.
    Listing,
    /// By ids, which is how items are called. With `all`, everything in a folder that turns up.
    Ids { all: bool },
    /// By paths, which is how items are called though they have ids; everything in a folder. That
    /// only the case of a name changed is never told.
    Paths,
}

/// What a file's version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// A new one for every write.
    Counted,
    /// The hash of the content: it comes back with it.
    OfContent,
}

/// What becomes of the time of modification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Kept,
    Seconds,
    Lost,
}

/// What becomes of names that may be written in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unicode {
    /// They are two names.
    Exact,
    /// They are the same, and stay as they were given.
    Folded,
    /// They are composed.
    Composed,
}

static ONEDRIVE: Descriptor = Descriptor {
    name: "onedrive",
    label: "OneDrive in memory",
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
    max_size: None,
    max_path: 400,
    names: NameRule { characters: "\"*<>?|", ends: ". ", ..NameRule::NONE },
    stored_bytes: None,
    bucket: None,
};

/// Every twin: of each service that Mooring knows at least one, and of some that it doesn't know
/// yet.
pub fn twins() -> Vec<Abilities> {
    let real = |name| services::find(name).unwrap().descriptor();
    let s3 = Abilities {
        name: "s3",
        descriptor: real("s3"),
        changes: Changes::Listing,
        list_lag: 0,
        feed_lag: 0,
        folder_versions: false,
        versions: Versions::OfContent,
        conditional: true,
        moves_checked: true,
        keeps_replaced: false,
        times: Times::Kept,
        folds_case: false,
        unicode: Unicode::Exact,
        hashed: Some(PART),
        keeps_empty: true,
        parts: true,
        session_life: None,
        largest: None,
        keeps_cut: false,
    };
    let webdav = Abilities {
        name: "webdav",
        descriptor: real("webdav"),
        versions: Versions::Counted,
        moves_checked: false,
        times: Times::Lost,
        hashed: None,
        parts: false,
        ..s3
    };
    let google_drive = Abilities {
        name: "google-drive",
        descriptor: real("google-drive"),
        changes: Changes::Ids { all: false },
        feed_lag: 20 * SECOND,
        conditional: false,
        moves_checked: false,
        keeps_replaced: true,
        hashed: Some(u64::MAX),
        session_life: Some(60 * SECOND),
        ..s3
    };
    vec![
        s3,
        // Conditions are ignored, and the keys that stand for folders dropped.
        Abilities { name: "s3-plain", conditional: false, keeps_empty: false, ..s3 },
        Abilities {
            name: "azure",
            descriptor: real("azure-blob"),
            versions: Versions::Counted,
            hashed: None,
            largest: Some(200),
            ..s3
        },
        Abilities { name: "aliyun-oss", descriptor: real("aliyun-oss"), ..s3 },
        Abilities { name: "tencent-cos", descriptor: real("tencent-cos"), ..s3 },
        Abilities { name: "jd-oss", descriptor: real("jd-oss"), conditional: false, ..s3 },
        Abilities {
            name: "google-cloud-storage",
            descriptor: real("google-cloud-storage"),
            versions: Versions::Counted,
            hashed: Some(u64::MAX),
            session_life: Some(60 * SECOND),
            ..s3
        },
        // Whoever was overtaken takes back what was written.
        Abilities {
            name: "b2",
            descriptor: real("b2"),
            versions: Versions::Counted,
            keeps_replaced: true,
            hashed: Some(u64::MAX),
            ..s3
        },
        Abilities {
            name: "swift",
            descriptor: real("swift"),
            list_lag: 20 * SECOND,
            conditional: false,
            ..s3
        },
        webdav,
        // nginx or rclone on an NTFS volume.
        Abilities {
            name: "webdav-plain",
            conditional: false,
            folds_case: true,
            largest: Some(200),
            keeps_cut: true,
            ..webdav
        },
        Abilities {
            name: "nextcloud",
            folder_versions: true,
            times: Times::Seconds,
            unicode: Unicode::Composed,
            hashed: Some(u64::MAX),
            ..webdav
        },
        google_drive,
        Abilities {
            name: "dropbox",
            descriptor: real("dropbox"),
            changes: Changes::Paths,
            feed_lag: 0,
            conditional: true,
            times: Times::Seconds,
            ..google_drive
        },
        Abilities {
            name: "onedrive",
            descriptor: &ONEDRIVE,
            changes: Changes::Ids { all: true },
            versions: Versions::Counted,
            conditional: true,
            moves_checked: true,
            unicode: Unicode::Folded,
            hashed: None,
            ..google_drive
        },
    ]
}

/// The twin of this name.
pub fn twin_named(name: &str) -> Abilities {
    *twins().iter().find(|abilities| abilities.name == name).expect("a twin of this name")
}

impl Abilities {
    /// Whether names that differ only in case are the same.
    pub fn any_case(&self) -> bool {
        self.folds_case || self.descriptor.folds_case
    }
}
