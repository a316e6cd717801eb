//! What several tests share.
#![allow(dead_code, reason = "not every test needs all of it")]

pub mod bench;
pub mod contract;
pub mod dice;
pub mod memory;
pub mod pair;
pub mod peers;
pub mod relay;
