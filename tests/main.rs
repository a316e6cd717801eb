//! All integration tests in one program: one link, and each server started once.

mod common;
mod engine;
mod histories;
