//! Replies in XML, read as they come.

use crate::error::{Error, Kind, Result};
use crate::http::xml;
use std::io::Read;

/// Reads an XML document; see [`xml::walk`].
pub(super) fn walk(
    what: &str,
    reader: impl Read,
    on: &mut dyn FnMut(&str, String) -> Result<()>,
) -> Result<String> {
    let wrong = |cause| not_s3(what, format!("the reply isn't XML of S3 ({cause})"));
    xml::walk(what, reader, &wrong, on)
}

pub(super) fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<T> {
    text.trim().parse().map_err(|_| not_s3(what, "the reply has a value that makes no sense"))
}

pub(super) fn not_s3(what: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Protocol, what, cause)
        .remedy("check that the address is that of an S3 service; a proxy may be in between")
}
