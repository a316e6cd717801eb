//! The integration tests, in one binary: linking many takes longer than running them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;
mod webdav;
