//! What several tests share.
#![allow(dead_code, reason = "not every test needs all of it")]

pub mod bench;
pub mod bridge;
pub mod by_path;
pub mod contract;
pub mod dice;
pub mod memory;
pub mod mounts;
pub mod opened;
pub mod pair;
pub mod peers;
pub mod program;
pub mod proxy;
pub mod relay;
pub mod tls;
pub mod tokens;
