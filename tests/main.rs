//! All integration tests in one program: one link, and each server started once.

mod command_line;
mod common;
mod daemon;
mod engine;
mod histories;
