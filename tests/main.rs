//! All integration tests in one program: one link, and each server started once.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may end with a panic")]

mod bad_input;
mod bridge;
mod command_line;
mod common;
mod conflicts;
mod connections;
mod csenc;
mod daemon;
mod drives;
mod dropbox;
mod durable;
mod encryption;
mod engine;
mod fakes_dropbox;
mod fakes_google_drive;
mod feeds;
mod filters;
mod google_drive;
mod histories;
mod kills;
mod loopback;
mod losses;
mod owners;
mod panel;
mod peers_daemon;
mod peers_sync;
mod promises;
mod removed;
mod s3;
mod sign_in;
mod slow_boxes;
mod twins;
mod verify;
mod visible;
mod webdav;
