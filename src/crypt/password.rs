//! What a password locks with: ChaCha20-Poly1305 under the key that Argon2id makes of it.

use crate::error::{Error, Kind, Result};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use ring::aead::{CHACHA20_POLY1305, LessSafeKey, UnboundKey};
use serde::{Deserialize, Serialize};

/// What it costs to try a password out.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cost {
    /// KiB of memory.
    pub memory_kib: u32,
    /// How often all of it is gone through.
    pub passes: u32,
    /// Parts of it that could be gone through at the same time.
    pub lanes: u32,
}

/// The cipher of a password.
///
/// # Errors
/// `State` when the salt or the cost makes no sense, or there isn't as much memory.
pub fn cipher(password: &str, salt: &[u8], cost: Cost) -> Result<LessSafeKey> {
    let failed =
        |error: &dyn std::fmt::Display| Error::new(Kind::State, "the password's key", error);
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, None)
        .map_err(|error| failed(&error))?;
    let mut memory: Vec<Block> = Vec::new();
    memory.try_reserve_exact(params.block_count()).map_err(|_| {
        let cause = format!("{} KiB of memory aren't to be had", cost.memory_kib);
        failed(&cause)
    })?;
    memory.resize(params.block_count(), Block::default());
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password.as_bytes(), salt, &mut key, &mut memory)
        .map_err(|error| failed(&error))?;
    let key = UnboundKey::new(&CHACHA20_POLY1305, &key)
        .map_err(|_| failed(&"it isn't a key of 32 bytes"))?;
    Ok(LessSafeKey::new(key))
}
