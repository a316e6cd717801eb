//! The key file in the remote folder: from it and the password comes the key.

use super::password::{Cost, cipher};
use super::{EncryptedRemote, Encryption, Keys, TRIAL, is_key_pair, new_key, try_writing};
use crate::content::Bytes;
use crate::error::{Error, Kind, Result};
use crate::model::{ItemKind, Nanos, from_hex, to_hex};
use crate::random::random;
use crate::remote::{Expect, Place, Remote, Resume};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{Aad, NONCE_LEN, Nonce};
use serde::{Deserialize, Serialize};
use std::io::Read as _;
use std::sync::Arc;
use std::time::SystemTime;

/// What the key file is called.
pub const KEY_FILE: &str = "mooring-key.json";
/// The name of its format, and of what is proved by it.
pub(super) const FORMAT: &[u8] = b"mooring-key-1";
/// Far more than it takes.
const MOST_BYTES: u64 = 16 << 10;
/// What a new one asks of who tries out passwords. The smallest NAS has as much memory to spare.
const COST: Cost = Cost { memory_kib: 32 << 10, passes: 4, lanes: 1 };
/// What one may ask of us: a file that says more isn't ours, and mustn't use up the memory.
const MOST: Cost = Cost { memory_kib: 64 << 10, passes: 32, lanes: 8 };
/// Fewest characters of a password that a new key is locked with.
pub(super) const LEAST_CHARACTERS: usize = 8;
const SALT_BYTES: usize = 16;
const LOCKING: &str = "locking the key";

/// What a person reads who opens it.
const ABOUT: &str = "This folder is encrypted. Mooring opens it with the password of the connection or with the exported key; \
     rclone opens it with the exported key as the password of a crypt remote. Keep this file: without it, the password \
     alone opens nothing.";

/// A key file.
#[derive(Serialize, Deserialize)]
pub(super) struct KeyFile {
    format: String,
    about: String,
    /// Whether names are encrypted.
    names: bool,
    check: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<Locked>,
}

/// The key, locked with a password.
#[derive(Serialize, Deserialize)]
struct Locked {
    kdf: String,
    #[serde(flatten)]
    cost: Cost,
    salt: String,
    nonce: String,
    key: String,
}

impl KeyFile {
    /// For this key, which the password opens if there is one.
    fn new(
        key: &str,
        keys: &Keys,
        password: Option<&str>,
        encryption: Encryption,
    ) -> Result<KeyFile> {
        Ok(KeyFile {
            format: String::from_utf8_lossy(FORMAT).into(),
            about: ABOUT.into(),
            names: encryption == Encryption::Names,
            check: to_hex(&keys.check),
            password: password.map(|password| Locked::new(key, password)).transpose()?,
        })
    }

    /// Understands one.
    ///
    /// # Errors
    /// `Usage` when it isn't a key file.
    pub fn parse(bytes: &[u8]) -> Result<KeyFile> {
        let wrong = |cause: &dyn std::fmt::Display| {
            Error::new(Kind::Usage, KEY_FILE, cause).remedy(format!(
                "restore an older version of {KEY_FILE} on the service; with the exported key, it \
                 can be removed: Mooring writes it again"
            ))
        };
        let file: KeyFile = serde_json::from_slice(bytes)
            .map_err(|_| wrong(&"it is damaged, or not a key file"))?;
        if file.format.as_bytes() != FORMAT {
            return Err(wrong(&"its format isn't known; see whether there is a newer Mooring"));
        }
        if from_hex(&file.check).is_none_or(|check| check.len() != 16) {
            return Err(wrong(&"its check is damaged"));
        }
        Ok(file)
    }

    /// Makes sure that the folder is encrypted with this key, and so.
    ///
    /// # Errors
    /// `Usage` when it isn't.
    pub fn prove(&self, keys: &Keys, encryption: Encryption) -> Result<()> {
        if self.check != to_hex(&keys.check) {
            return Err(Error::new(Kind::Usage, "the encrypted folder", "its key is another one")
                .remedy("use a connection with the key or the password of that folder"));
        }
        let (is, word) = match self.names {
            true => (Encryption::Names, "on"),
            false => (Encryption::Contents, "contents"),
        };
        if is != encryption {
            let cause =
                "its names are encrypted, and those of the task wouldn't be, or the reverse";
            return Err(Error::new(Kind::Usage, "the encrypted folder", cause)
                .remedy(format!("add the task with --set encryption={word}")));
        }
        Ok(())
    }

    /// The key, by the password.
    ///
    /// # Errors
    /// `Denied` when the password is wrong, `Usage` when the file has no password or is damaged.
    pub fn open(&self, password: &str) -> Result<String> {
        let Some(locked) = &self.password else {
            return Err(Error::new(Kind::Usage, KEY_FILE, "no password opens it")
                .remedy("give the connection the exported key: --secret encryption-key=@FILE"));
        };
        locked.open(password)
    }

    /// What the service has; `None` where there is none.
    pub fn fetch(remote: &dyn Remote) -> Result<Option<KeyFile>> {
        let entry = match remote.stat(Place::at(KEY_FILE), ItemKind::File) {
            Err(error) if error.kind() == Kind::NotFound => None,
            entry => entry?.filter(|entry| entry.kind == ItemKind::File),
        };
        let Some(entry) = entry else { return Ok(None) };
        let place = Place { id: &entry.print.id, ..Place::at(KEY_FILE) };
        let open = remote.read(place, &entry.print.version, 0..u64::MAX)?;
        let mut bytes = Vec::new();
        open.reader
            .take(MOST_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| crate::http::read_error(KEY_FILE, error))?;
        KeyFile::parse(&bytes).map(Some)
    }

    /// Writes one where there is none, and makes sure that it is there.
    ///
    /// # Errors
    /// Those of [`Remote::write`]; as [`KeyFile::prove`] when somebody else was faster.
    pub fn store(
        remote: &dyn Remote,
        (key, keys): (&str, &Keys),
        password: Option<&str>,
        encryption: Encryption,
    ) -> Result<()> {
        let file = KeyFile::new(key, keys, password, encryption)?;
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|error| Error::new(Kind::State, KEY_FILE, error))?;
        let place = Place::at(KEY_FILE);
        match remote.write(place, &Bytes(text), now(), Expect::Absent, &Whole) {
            Err(error) if error.kind() == Kind::Exists => match KeyFile::fetch(remote)? {
                Some(file) => file.prove(keys, encryption),
                None => Err(error),
            },
            written => written.map(drop),
        }
    }
}

impl Locked {
    fn new(key: &str, password: &str) -> Result<Locked> {
        let (salt, nonce) = (random::<SALT_BYTES>(LOCKING)?, random::<NONCE_LEN>(LOCKING)?);
        let mut locked = key.as_bytes().to_vec();
        cipher(password, &salt, COST)?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(FORMAT),
                &mut locked,
            )
            .map_err(|_| Error::new(Kind::State, LOCKING, "the cipher failed"))?;
        Ok(Locked {
            kdf: "argon2id".into(),
            cost: COST,
            salt: BASE64.encode(salt),
            nonce: BASE64.encode(nonce),
            key: BASE64.encode(locked),
        })
    }

    fn open(&self, password: &str) -> Result<String> {
        let damaged = || {
            Error::new(Kind::Usage, KEY_FILE, "what it says of the password makes no sense")
                .remedy("restore an older version of it, or give the connection the exported key")
        };
        let Cost { memory_kib, passes, lanes } = self.cost;
        let modest = memory_kib <= MOST.memory_kib && passes <= MOST.passes && lanes <= MOST.lanes;
        let decoded = [&self.salt, &self.nonce, &self.key].map(|text| BASE64.decode(text));
        let ([Ok(salt), Ok(nonce), Ok(key)], "argon2id", true) = (decoded, &*self.kdf, modest)
        else {
            return Err(damaged());
        };
        let nonce: [u8; NONCE_LEN] = nonce.try_into().map_err(|_| damaged())?;
        let cipher = cipher(password, &salt, self.cost).map_err(|_| damaged())?;
        let mut key = key;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = cipher.open_in_place(nonce, Aad::from(FORMAT), &mut key).map_err(|_| {
            Error::new(Kind::Denied, "the encrypted folder", "the password isn't the right one")
                .remedy("give the connection the password that the folder was encrypted with")
        })?;
        String::from_utf8(opened.to_vec()).map_err(|_| damaged())
    }
}

/// As [`super::agree`], in rclone's format.
pub(super) fn agree(
    remote: &Arc<dyn Remote>,
    known: Option<&str>,
    password: Option<&str>,
    encryption: Encryption,
    writes: bool,
) -> Result<String> {
    let wrong = |cause: &str, remedy: &str| {
        Err(Error::new(Kind::Usage, "the encrypted folder", cause).remedy(remedy))
    };
    if known.is_some_and(is_key_pair) {
        return wrong(
            "the key of its connection is a private key of Cloud Sync",
            "make another connection, for folders of Mooring",
        );
    }
    let file = KeyFile::fetch(remote.as_ref())?;
    let key = match (known, password, &file) {
        (Some(known), ..) => known.to_owned(),
        (None, Some(password), Some(file)) => file.open(password)?,
        (None, Some(_), None) if !writes => {
            return wrong(
                "it has no key file, and a task that only downloads can't begin to encrypt",
                "correct the remote folder, or give the connection the key: --secret encryption-key=@FILE",
            );
        }
        (None, Some(password), None) if password.chars().count() < LEAST_CHARACTERS => {
            return wrong(
                "the password of the connection has fewer than 8 characters",
                "choose a longer one: mooring connection set NAME --secret encryption-password=@FILE",
            );
        }
        (None, Some(_), None) => new_key()?,
        (None, None, _) => {
            return wrong(
                "its connection has neither a password for it nor a key",
                "set one: mooring connection set NAME --secret encryption-password=@FILE",
            );
        }
    };
    let keys = Keys::new(&key)?;
    if let Some(file) = file {
        file.prove(&keys, encryption)?;
        if writes {
            try_writing(remote.as_ref(), Place::at(TRIAL))?;
        }
        return Ok(key);
    }
    let (mut other, mut sample) = (None, None);
    let listed = remote.children(Place::default(), &mut |name, entry| {
        let opens = encryption == Encryption::Contents || keys.names.open(name).is_some();
        if known.is_none() || !opens {
            other.get_or_insert_with(|| name.to_owned());
        }
        if encryption == Encryption::Contents && entry.kind == ItemKind::File {
            sample.get_or_insert_with(|| (name.to_owned(), entry));
        }
        Ok(())
    });
    match listed {
        Err(error) if error.kind() != Kind::NotFound => return Err(error),
        _ => {}
    }
    if let (None, Some((name, entry))) = (&other, sample) {
        let inside = EncryptedRemote::new(remote.clone(), &key, None, encryption)?;
        let place = Place { id: &entry.print.id, ..Place::at(&name) };
        let mut first = [0];
        let read = inside.read(place, &entry.print.version, 0..1).and_then(|mut open| {
            open.reader.read(&mut first).map_err(|error| crate::http::read_error(&name, error))
        });
        match read {
            Err(error) if matches!(error.kind(), Kind::Denied | Kind::Integrity) => {
                other = Some(name);
            }
            read => drop(read?),
        }
    }
    if let Some(name) = other {
        let cause = format!("'{name}' is in it, which isn't encrypted with the connection's key");
        return wrong(&cause, "choose a new folder, or use the connection of that folder's key");
    }
    if writes {
        remote.make_folder(Place::default())?;
        KeyFile::store(remote.as_ref(), (&key, &keys), password, encryption)?;
    }
    Ok(key)
}

/// The time of what is written now.
pub(super) fn now() -> Nanos {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Nanos::try_from(since.as_nanos()).unwrap_or_default()
}

/// It is too small to be sent in parts.
pub(super) struct Whole;

impl Resume for Whole {
    fn load(&self) -> Option<Vec<u8>> {
        None
    }

    fn save(&self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a key of somebody";

    fn made() -> Vec<u8> {
        let keys = Keys::new(KEY).unwrap();
        let file = KeyFile::new(KEY, &keys, Some("correct horse"), Encryption::Names).unwrap();
        serde_json::to_vec(&file).unwrap()
    }

    /// Made with Python's hashlib, argon2-cffi and cryptography; its password is "correct horse
    /// battery", its key twice the digits of base32 in groups of four.
    const OF_OTHERS: &str = r#"{
        "format": "mooring-key-1", "about": "", "names": true,
        "check": "e4837727ec0b821aa8383a08fac24c4d",
        "password": {
            "kdf": "argon2id", "memory-kib": 32768, "passes": 4, "lanes": 1,
            "salt": "AAECAwQFBgcICQoLDA0ODw==", "nonce": "AAECAwQFBgcICQoL",
            "key": "LlKzgvrRT/bbpWnoECGY/ONcfGCwwBdZD8C5Te2Nd+GEureBM6zs3T1RHfavWa5NdBJEckE+O48GFq/mubmyCn7otqEqAIL2MHIQGJyoihk="
        }
    }"#;

    #[test]
    fn a_key_file_of_others_opens() {
        let file = KeyFile::parse(OF_OTHERS.as_bytes()).unwrap();
        let key = file.open("correct horse battery").unwrap();
        assert_eq!(key, "0123-4567-89ab-cdef-ghij-klmn-opqr-stuv-0123-4567-89ab-cdef-ghij");
        file.prove(&Keys::new(&key).unwrap(), Encryption::Names).unwrap();
    }

    #[test]
    fn the_password_gives_the_key_back() {
        let text = String::from_utf8(made()).unwrap();
        assert!(!text.contains(KEY) && !text.contains("horse"));
        let file = KeyFile::parse(text.as_bytes()).unwrap();
        assert_eq!(file.open("correct horse").unwrap(), KEY);
        assert_eq!(file.open("correct horses").unwrap_err().kind(), Kind::Denied);
        let keys = Keys::new(KEY).unwrap();
        file.prove(&keys, Encryption::Names).unwrap();
        let error = file.prove(&keys, Encryption::Contents).unwrap_err();
        assert!(error.advice().contains("encryption=on"), "{error}");
        let other = file.prove(&Keys::new("another").unwrap(), Encryption::Names).unwrap_err();
        assert_eq!(other.kind(), Kind::Usage);
    }

    #[test]
    fn a_file_cannot_ask_for_much() {
        let text = String::from_utf8(made()).unwrap();
        for (from, to) in [
            ("\"memory-kib\":32768", "\"memory-kib\":4194304"),
            ("\"passes\":4", "\"passes\":4000000"),
            ("\"lanes\":1", "\"lanes\":0"),
            ("\"lanes\":1", "\"lanes\":255"),
            ("argon2id", "md5"),
            ("\"nonce\":\"", "\"nonce\":\"AAAA"),
        ] {
            assert!(text.contains(from), "{text}");
            let file = KeyFile::parse(text.replacen(from, to, 1).as_bytes()).unwrap();
            assert_eq!(file.open("correct horse").unwrap_err().kind(), Kind::Usage, "{to}");
        }
        for wrong in [&b""[..], b"{}", b"[1]", &text.as_bytes()[..90]] {
            assert_eq!(KeyFile::parse(wrong).err().map(|it| it.kind()), Some(Kind::Usage));
        }
        let newer = text.replacen("mooring-key-1", "mooring-key-2", 1);
        assert!(KeyFile::parse(newer.as_bytes()).err().unwrap().reason().contains("format"));
    }
}
