//! All integration tests in one program: one link, and each server started once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end with a panic")]

mod bad_input;
mod command_line;
mod common;
mod conflicts;
mod daemon;
mod drives;
mod dropbox;
mod engine;
mod fakes_dropbox;
mod fakes_google_drive;
mod feeds;
mod filters;
mod google_drive;
mod histories;
mod kills;
mod losses;
mod peers_daemon;
mod peers_sync;
mod promises;
mod removed;
mod s3;
mod sign_in;
mod twins;
mod verify;
mod visible;
mod webdav;
