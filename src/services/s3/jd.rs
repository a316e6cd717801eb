//! JD Cloud OSS: Amazon's language, with less of it.

use super::amazon::AS_AMAZON;
use super::dialect::{
    ACCESS_KEY, BUCKET, COMMON, Dialect, ENDPOINT, Names, PART_SIZE, REGION, SECRET_KEY, class,
};
use super::presets::{JD, providers};
use crate::remote::{Descriptor, NameRule, Provider};

pub(super) static DIALECT: Dialect = Dialect {
    descriptor: &DESCRIPTOR,
    presets: &JD,
    names: Names { source_match: None, ..AS_AMAZON.names },
    ..AS_AMAZON
};

static PROVIDERS: [Provider; JD.len()] = providers(&JD);

static DESCRIPTOR: Descriptor = Descriptor {
    name: "jd-oss",
    label: "JD Cloud OSS",
    fields: &[
        REGION,
        BUCKET,
        ACCESS_KEY,
        SECRET_KEY,
        ENDPOINT,
        PART_SIZE,
        class("for what Mooring writes: STANDARD or REDUCED_REDUNDANCY"),
    ],
    providers: &PROVIDERS,
    max_size: Some(19_000_000_000_000),
    max_path: 1021,
    names: NameRule { characters: "#%+", names: &[".", ".."], ..NameRule::NONE },
    ..COMMON
};
