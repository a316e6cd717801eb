//! Random numbers, of the system.

use crate::error::{Error, Kind, Result};
use ring::rand::{SecureRandom as _, SystemRandom};

/// So many random bytes; `what` names the operation for error messages.
///
/// # Errors
/// `Disk` when the system gives none.
pub(crate) fn random<const N: usize>(what: &str) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| {
        Error::new(Kind::Disk, what, "the system gives no random numbers")
            .remedy("check /dev/urandom")
    })?;
    Ok(bytes)
}
