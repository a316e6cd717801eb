//! JD Cloud OSS: Amazon's language, with less of it.

use super::amazon::AS_AMAZON;
use super::dialect::{
    ACCESS_KEY, BUCKET, COMMON, Dialect, ENDPOINT, Names, PART_SIZE, SECRET_KEY, class, region,
    suggestion,
};
use super::presets::JD;
use crate::remote::{Descriptor, NameRule, Suggestion};

pub(super) static DIALECT: Dialect = Dialect {
    descriptor: &DESCRIPTOR,
    presets: &JD,
    names: Names { source_match: None, ..AS_AMAZON.names },
    if_match: false,
    ..AS_AMAZON
};

const REGIONS: &[Suggestion] = &[
    suggestion("cn-north-1", "Beijing"),
    suggestion("cn-east-1", "Suqian"),
    suggestion("cn-east-2", "Shanghai"),
    suggestion("cn-south-1", "Guangzhou"),
];

static DESCRIPTOR: Descriptor = Descriptor {
    name: "jd-oss",
    label: "JD Cloud OSS",
    fields: &[
        region(REGIONS),
        BUCKET,
        ACCESS_KEY,
        SECRET_KEY,
        ENDPOINT,
        PART_SIZE,
        class("for what Mooring writes: STANDARD or REDUCED_REDUNDANCY"),
    ],
    max_size: Some(19_000_000_000_000),
    max_path: 1021,
    names: NameRule { characters: "#%+", names: &[".", ".."], ..NameRule::NONE },
    ..COMMON
};
