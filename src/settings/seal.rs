//! Secrets: opaque in memory, sealed at rest.
//!
//! Each is sealed with ChaCha20-Poly1305 under the key in `state.key`, bound to its connection and
//! its own key so that one can't be put in another's place. The key file keeps secrets out of
//! copies of the settings that don't include it; it doesn't keep them from who reads both.

use crate::error::{Error, Kind, Result};
use crate::random::random;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const SEALING: &str = "sealing a secret";

/// A secret that a person entered. It can't be printed; it is written only to the socket of the
/// daemon that is to seal it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret over.
    pub fn new(text: String) -> Self {
        Secret(text)
    }

    /// Whether it is empty, which takes a secret back.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The secret itself, for who has to send it to the service, or to hand it out.
    pub(crate) fn reveal(self) -> String {
        self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// Seals and unseals with the key file of a state folder.
pub(super) struct Seal {
    file: PathBuf,
}

impl Seal {
    /// The key file needn't be there before the first secret is.
    pub(super) fn new(state: &Path) -> Self {
        Seal { file: state.join("state.key") }
    }

    /// The stored form of a secret. Makes the key file if there is none.
    pub(super) fn seal(&self, connection: &str, key: &str, secret: &Secret) -> Result<Vec<u8>> {
        let failed = |_| Error::new(Kind::State, SEALING, "the cipher failed");
        let sealing_key = match self.load()? {
            Some(found) => found,
            None => self.make()?,
        };
        let nonce = random::<NONCE_LEN>(SEALING)?;
        let mut sealed = secret.0.as_bytes().to_vec();
        let context = context(connection, key);
        let unique = Nonce::assume_unique_for_key(nonce);
        sealing_key
            .seal_in_place_append_tag(unique, Aad::from(context), &mut sealed)
            .map_err(failed)?;
        sealed.splice(0..0, nonce);
        Ok(sealed)
    }

    /// A secret from its stored form.
    ///
    /// # Errors
    /// `SignIn` when the key file is lost or isn't the one it was sealed with.
    pub(super) fn unseal(&self, connection: &str, key: &str, sealed: &[u8]) -> Result<Secret> {
        let lost = |cause: String| {
            Error::new(Kind::SignIn, format!("secret {key} of connection {connection}"), cause)
                .remedy(format!(
                    "enter the secrets again: mooring connection set \"{connection}\" --secret {key}=-"
                ))
        };
        let Some(opening_key) = self.load()? else {
            return Err(lost(format!("its key file {} is gone", self.file.display())));
        };
        let other = || lost(format!("{} isn't the key it was sealed with", self.file.display()));
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(other)?;
        let mut text = text.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let text = opening_key
            .open_in_place(nonce, Aad::from(context(connection, key)), &mut text)
            .map_err(|_| other())?;
        Ok(Secret(String::from_utf8_lossy(text).into_owned()))
    }

    fn load(&self) -> Result<Option<LessSafeKey>> {
        match fs::read(&self.file) {
            Ok(bytes) => cipher(&bytes).map(Some).map_err(|error| {
                error.context(self.file.display().to_string()).remedy(format!(
                    "remove {} and enter the secrets of all connections again",
                    self.file.display()
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.disk(error)),
        }
    }

    fn make(&self) -> Result<LessSafeKey> {
        let bytes = random::<32>(SEALING)?;
        // Written aside first: half a key would make every secret unreadable.
        let aside = self.file.with_extension("key.new");
        let write = || {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&aside, &self.file)?;
            self.file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
        };
        write().map_err(|error| self.disk(error))?;
        cipher(&bytes)
    }

    fn disk(&self, error: io::Error) -> Error {
        Error::disk(format!("key file {}", self.file.display()), error)
    }
}

fn cipher(key: &[u8]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key)
        .map_err(|_| Error::new(Kind::SignIn, "key file", "it isn't a key of 32 bytes"))?;
    Ok(LessSafeKey::new(key))
}

/// What a secret is bound to. No name or key contains NUL.
fn context(connection: &str, key: &str) -> Vec<u8> {
    [connection.as_bytes(), b"\0", key.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_in_its_place() {
        let name = format!("mooring-seal-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        let seal = Seal::new(&folder);
        let secret = Secret::new("open sesame".into());
        let sealed = seal.seal("cloud", "password", &secret).unwrap();
        assert_ne!(sealed, seal.seal("cloud", "password", &secret).unwrap());
        assert_eq!(seal.unseal("cloud", "password", &sealed).unwrap(), secret);
        for (connection, key) in [("other", "password"), ("cloud", "proxy")] {
            let error = seal.unseal(connection, key, &sealed).unwrap_err();
            assert_eq!(error.kind(), Kind::SignIn);
        }
        assert!(seal.unseal("cloud", "password", &sealed[..4]).is_err());
        fs::write(&seal.file, "short").unwrap();
        assert!(seal.seal("cloud", "password", &secret).is_err());
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", Secret::new("open sesame".into())).contains("sesame"));
    }
}
