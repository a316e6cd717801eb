//! The integration tests, in one binary: linking many takes longer than running them.

mod common;
mod webdav;
