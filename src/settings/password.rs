//! The password of the panel where it has a login of its own. Only what tells whether it is the
//! right one is kept.

use super::Secret;
use crate::error::{Error, Kind, Result};
use ring::pbkdf2;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// What makes guessing slow: a second or so on the slowest boxes.
const ROUNDS: NonZeroU32 = NonZeroU32::new(100_000).unwrap();
/// Fewest characters.
const LEAST: usize = 8;
/// Most bytes.
pub(super) const MOST: usize = 1 << 10;

/// Whether a password that a person chose is one.
///
/// # Errors
/// `Usage` when it is too short or too long.
pub(super) fn check(password: &str) -> Result<()> {
    if password.chars().count() < LEAST || password.len() > MOST {
        let cause = "it doesn't have 8 characters or more, or is far too long";
        return Err(Error::new(Kind::Usage, "the password", cause).remedy("choose another"));
    }
    Ok(())
}

/// What is kept of a password: a slow hash of it with salt (PBKDF2 with HMAC-SHA-256).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Password {
    rounds: NonZeroU32,
    salt: [u8; 16],
    hash: [u8; 32],
}

impl Password {
    /// What to keep of this password.
    ///
    /// # Errors
    /// `Usage` when it is too short or too long.
    pub(super) fn new(password: Secret) -> Result<Password> {
        let password = password.reveal();
        check(&password)?;
        let mut kept = Password { rounds: ROUNDS, salt: [0; 16], hash: [0; 32] };
        let failed = |_| Error::new(Kind::State, "the password", "there is no randomness");
        SystemRandom::new().fill(&mut kept.salt).map_err(failed)?;
        let (salt, bytes) = (&kept.salt, password.as_bytes());
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ROUNDS, salt, bytes, &mut kept.hash);
        Ok(kept)
    }

    /// Whether this is the password. Takes its time.
    pub fn is(&self, attempt: &str) -> bool {
        let attempt = attempt.as_bytes();
        let hash = pbkdf2::PBKDF2_HMAC_SHA256;
        // A long one would only take longer.
        attempt.len() <= MOST
            && pbkdf2::verify(hash, self.rounds, &self.salt, attempt, &self.hash).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_is_the_password() {
        let kept = |text: &str| Password::new(Secret::new(text.into()));
        let password = kept("correct horse").unwrap();
        assert!(password.is("correct horse"));
        for wrong in ["", "correct hors", "correct horse ", "Correct horse", &"x".repeat(MOST + 1)]
        {
            assert!(!password.is(wrong), "{wrong:.20}");
        }
        assert!(kept("correct horse").unwrap() != password);
        for wrong in ["", "seven c", &"x".repeat(MOST + 1)] {
            assert_eq!(kept(wrong).map(drop).unwrap_err().kind(), Kind::Usage, "{wrong:.20}");
        }
    }
}
