//! Every package that can be made, against the rules that DSM and those who know it have; `rules` lists them.
//!
//! The programs that are packed come from `MOORING_PROGRAMS`, a folder with `CPU/mooring` for each CPU in targets/; that is
//! `target/spk` if it isn't set, where `cargo spk` leaves them. With `MOORING_CPUS` only these CPUs count, which always have
//! to include that of this machine, and armv7.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end with a panic")]

mod common;
mod elf;
mod help;
mod info;
mod layout;
mod page;
mod rules;
mod scripts;
mod source;
mod tarball;
mod ui;
