//! What several tests share.

pub mod bench;
pub mod memory;
pub mod peers;
