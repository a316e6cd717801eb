//! What several tests share.
#![allow(dead_code, reason = "not every test needs all of it")]

pub mod contract;
pub mod peers;
