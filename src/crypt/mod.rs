//! Encryption of tasks: what a task keeps in the cloud can be read only with its key.
//!
//! It stands between the engine and an adapter: an [`EncryptedRemote`] is a [`Remote`] that has
//! another one, and neither the planner nor the adapters know of it. Local files stay plain. A
//! file's size, time, version and id are told as if it were plain, so that whether anything
//! changed is found out as ever, and nothing is read for it.
//!
//! # The format
//!
//! It is that of `rclone crypt`, so that everything can be read, and written, by a program of
//! others. (age has no names and no access to a part of a file without a key that is wrapped in
//! each; formats of whole backups keep no file as a file.) The **key** is a text: rclone's
//! `password`, with no `password2`. scrypt makes 80 bytes of it (N 16,384, r 8, p 1, salt
//! `a80df43a8fbd0308a7cab83e581f86b1`):
//!
//! | bytes | what for |
//! |---|---|
//! | 0 to 31 | contents |
//! | 32 to 63 | names: the key of AES-256 |
//! | 64 to 79 | names: the tweak of EME |
//!
//! **A file** is `RCLONE`, two bytes of zero and 24 random bytes, the nonce, which another upload
//! has others of; then for every 65,536 bytes of content, and for what is left, 16 bytes of tag
//! and as many bytes as of content: XSalsa20-Poly1305 (NaCl's `secretbox`) with the nonce counted
//! on by one for each block, as a number whose lowest byte comes first. An empty file is its 32
//! bytes of header. A file of `n` bytes thus takes 32 + n + 16 ⌈n / 65,536⌉, and each block is
//! read, and proved, alone.
//!
//! **A name** is filled up to a multiple of 16 bytes as PKCS#7 says, encrypted by EME (Halevi and
//! Rogaway, 2003) with AES-256, and written in base32 with the lower-case digits `0` to `9` and
//! `a` to `v`, without padding. Each part of a path is encrypted by itself, the same in every
//! folder. Names stay as they are when the task says so (`encryption=contents`); to rclone that is
//! `filename_encryption = off`, `directory_name_encryption = false`, `suffix = none`.
//!
//! ## The key file
//!
//! `mooring-key.json` in the task's remote folder lets the password alone give the key back. Its
//! `check` tells whether a key is the right one: the first 16 bytes of the HMAC-SHA256 of the
//! format's name, `mooring-key-1`, under the first 32 of the 80 bytes, in hex. `password` has the
//! key, encrypted by ChaCha20-Poly1305 with `nonce` and the format's name as additional data, in
//! base64 with its tag at the end. That key is the Argon2id (version 0x13) of the password and
//! `salt`, with as much memory, as many passes and lanes as it says.
//!
//! # What Cloud Sync encrypted
//!
//! A task can also keep a folder in the format of [`crate::csenc`]: one that Cloud Sync encrypted, or
//! a new one. Where it writes, it needs both the password and the key pair, and each is proved by a
//! file that is there already.
//!
//! How many bytes a file has isn't known there before all of it is read, and nothing of it is proved
//! before that: it is fetched as a whole, and appears on the disk only then. What is sent is
//! compressed twice, first to find out its length and its MD5; its bytes can then be made from any of
//! them on, so that nothing waits on the disk to be sent, or to be sent again.
//!
//! Whether a file changed is told by its version alone. Whether it has the content of one on the disk
//! is told by the MD5 in its last bytes, without fetching it.
//!
//! Cloud Sync marks such a folder by `@SynologyCloudSync/cloudsync_encrypt.info`. What is in that
//! isn't known: it is neither read nor written. A new folder has `@SynologyCloudSync/mooring-proof`
//! instead, a file in the format.
//!
//! # What it is worth
//!
//! Who doesn't have the key learns the sizes of files, when they change, how many there are in
//! which folder, and the lengths of names; and can't make a file that opens, or alter one so that
//! it does. Who may write to the folder can bring back an older version of a file, exchange two
//! files, cut one off after a whole number of blocks, or remove it: a file doesn't say what it is
//! called, how long it is, or how old.

mod again;
mod cloud_sync;
mod content;
mod feed;
mod key_file;
mod names;
mod password;
mod remote;
mod service;

pub use key_file::KEY_FILE;
pub use password::{Cost, cipher as password_cipher};
pub use remote::EncryptedRemote;
pub use service::of_task;

use crate::content::{Bytes, Content};
use crate::csenc;
use crate::error::{Error, Kind, Result};
use crate::hash::{Hash, HashKind, HashSum};
use crate::model::ItemKind;
use crate::random::random;
use crate::remote::{Expect, Feed, Place, Remote, Removal, Written};
use content::ContentKey;
use key_file::Whole;
use names::Names;
use ring::hmac;
use scrypt::Params;
use std::sync::Arc;

/// rclone's own salt where it is given none.
const SALT: [u8; 16] = *b"\xa8\x0d\xf4\x3a\x8f\xbd\x03\x08\xa7\xca\xb8\x3e\x58\x1f\x86\xb1";
/// scrypt's N, as the number of its zeros, r and p: 16 MiB for a moment.
const COST: (u8, u32, u32) = (14, 8, 1);
/// Random bytes of a new key.
const KEY_BYTES: usize = 32;
/// The file that proves the permission to write.
const TRIAL: &str = "mooring-trial";
/// Bytes that are read at a time to sum a content.
const SUM_BYTES: usize = 64 << 10;
/// Characters of a new key that stand together.
const GROUP: usize = 4;

/// What a task encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Contents and names.
    Names,
    /// Contents only.
    Contents,
    /// Contents, in the format of Synology's Cloud Sync.
    CloudSync,
}

impl Encryption {
    /// What a task with these settings encrypts, if it does.
    pub fn of(settings: &[(String, String)]) -> Option<Encryption> {
        let word = settings.iter().find(|(key, _)| key == crate::remote::ENCRYPTION)?.1.as_str();
        match word {
            "on" => Some(Encryption::Names),
            "contents" => Some(Encryption::Contents),
            "cloud-sync" => Some(Encryption::CloudSync),
            _ => None,
        }
    }
}

/// What is made of a key.
struct Keys {
    content: ContentKey,
    names: Names,
    /// Proves the key to a key file.
    check: [u8; 16],
}

impl Keys {
    /// Of this key. Takes a moment, and 16 MiB for as long.
    ///
    /// # Errors
    /// `Usage` when there is no key.
    fn new(key: &str) -> Result<Keys> {
        if key.is_empty() {
            return Err(Error::new(Kind::Usage, "the key of the encryption", "it is empty")
                .remedy("give the connection its key, or a password"));
        }
        let (log_n, r, p) = COST;
        let mut bytes = [0; 80];
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(Kind::State, "the key of the encryption", error)
        };
        let params = Params::new(log_n, r, p).map_err(|error| failed(&error))?;
        scrypt::scrypt(key.as_bytes(), &SALT, &params, &mut bytes)
            .map_err(|error| failed(&error))?;
        let part = |from: usize| std::array::from_fn(|at| bytes[from + at]);
        let (content, names) = (part(0), part(32));
        let tweak = std::array::from_fn(|at| bytes[64 + at]);
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &content), key_file::FORMAT);
        let check = std::array::from_fn(|at| mac.as_ref()[at]);
        Ok(Keys { content, names: Names::new(&names, tweak), check })
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// Finds out, or makes, the key that a remote folder is encrypted with, before anything else of it
/// is read or written; at most the folder and its key file are written. `None` where there is no
/// key to be kept.
///
/// `known` is the key that the connection has, `writes` whether the task may write there.
///
/// # Errors
/// `Denied` when the password or key is wrong; `Usage` when the folder is encrypted with another
/// key, has something in it that isn't encrypted, or nothing that is where it should have, when
/// there is neither key nor password, or the password is short; those of the service.
pub fn agree(
    remote: &Arc<dyn Remote>,
    known: Option<&str>,
    password: Option<&str>,
    encryption: Encryption,
    writes: bool,
) -> Result<Option<String>> {
    match encryption {
        Encryption::CloudSync => cloud_sync::agree(remote, known, password, writes),
        _ => key_file::agree(remote, known, password, encryption, writes).map(Some),
    }
}

/// Makes sure that a folder which is encrypted already may be written to, by a file that is there for
/// a moment. It stays where its writer may not remove anything.
fn try_writing(remote: &dyn Remote, place: Place<'_>) -> Result<()> {
    let about =
        Bytes(b"Mooring tried whether it may write here. Remove this file if you like.\n".into());
    match remote.write(place, &about, key_file::now(), Expect::Absent, &Whole) {
        Ok(Written { entry, .. }) => {
            let place = Place { id: &entry.print.id, ..place };
            let trial = Removal { place, kind: ItemKind::File, version: &entry.print.version };
            remote.remove(&[trial], &mut |_, removed| {
                if let Err(error) = removed {
                    tracing::info!("{TRIAL} stays in the encrypted folder: {error}");
                }
            });
            Ok(())
        }
        // Left over.
        Err(error) if error.kind() == Kind::Exists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether a key is the private one of a pair in Cloud Sync's format.
fn is_key_pair(key: &str) -> bool {
    key.starts_with("-----BEGIN")
}

/// What Cloud Sync exports instead of such a key, a ZIP archive; `None` of any other.
///
/// # Errors
/// `Usage` when it isn't an RSA private key in PEM.
pub fn key_zip(key: &str) -> Result<Option<Vec<u8>>> {
    is_key_pair(key).then(|| csenc::key_zip(key)).transpose()
}

/// A new key: 256 random bits as 52 letters and digits, in groups that people can compare.
fn new_key() -> Result<String> {
    let text = names::base32(&random::<KEY_BYTES>("making a key")?);
    let groups: Vec<_> = text.as_bytes().chunks(GROUP).map(String::from_utf8_lossy).collect();
    Ok(groups.join("-"))
}

/// The change feed of a service that had one when it was asked.
fn feed_of(remote: &dyn Remote) -> Result<&dyn Feed> {
    let gone = || Error::new(Kind::Protocol, "the change feed", "the service has none now");
    remote.feed().ok_or_else(gone)
}

/// The hash of all of a content.
fn sum(content: &dyn Content, kind: HashKind) -> Result<Hash> {
    let (mut sum, mut buffer, mut at) = (HashSum::new(kind), vec![0; SUM_BYTES], 0);
    loop {
        match content.read_at(&mut buffer, at)? {
            0 => return Ok(sum.finish()),
            count => {
                sum.update(&buffer[..count]);
                at += count as u64;
            }
        }
    }
}

/// Something that wasn't encrypted, or not in this format.
fn foreign(what: &str) -> Error {
    Error::new(Kind::Denied, what, "it isn't encrypted as the task's files are")
        .remedy("move it to a folder that isn't encrypted; what is on the disk stays as it is")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Bytes;
    use crate::model::{from_hex, to_hex};

    /// Vectors made with `rclone cryptdecode --reverse`.
    #[test]
    fn names_are_as_rclone_writes_them() {
        let keys = Keys::new("potato").unwrap();
        for (name, stored) in RCLONE_NAMES {
            assert_eq!(keys.names.lock(name), *stored, "{name}");
            assert_eq!(keys.names.open(stored).as_deref(), Some(*name));
        }
    }

    const RCLONE_NAMES: &[(&str, &str)] = &[
        ("1", "9cmn80lns8obm4t3koceogil20"),
        ("name.txt", "n75rqisdpdi52ptmhpbboc2pvs"),
        ("Grüße, 世界.jpg", "0kqb7h5vhugjvmn8rueru85r96v65cuce7hgvg8eoge3pijj3320"),
        ("sixteen bytes ok", "bjo7dd2q3dv35odnfa3dlp5id4gkg2neai8cg33ci9j1bkhr4d10"),
        (
            "a name of more than one block of sixteen bytes.tar.gz",
            "9h2odgi0dcbfsdukpp02315fo7quh9a7n6bei526qlfnd2mapfe70ti0e07tn34dgon230tm42js0ke991rbe68knnksej6j57q2b3g",
        ),
    ];

    /// A file made with `rclone rcat`, and what was in it.
    const RCLONE_FILE: &str = "52434c4f4e45000071999149006ed90d68676017739da357ce4e873230fb2c0d\
        a713bcad93f9e59f86cda1f004bec93c52dbeded0167072be6c0cf5dc5cb844d979e";

    #[test]
    fn contents_are_as_rclone_writes_them() {
        let line = Bytes(b"Just a single line".to_vec());
        let keys = Keys::new("potato").unwrap();
        let file = from_hex(RCLONE_FILE).unwrap();
        let nonce = content::Nonce::read("the file", &mut &file[..]).unwrap();
        let sealed = content::Sealed::new(&line, &keys.content, nonce);
        let mut bytes = vec![0; 100];
        let count = sealed.read_at(&mut bytes, 0).unwrap();
        assert_eq!(to_hex(&bytes[..count]), RCLONE_FILE);
    }

    #[test]
    fn new_keys_are_long_and_not_printed() {
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.split('-').map(str::len).collect::<Vec<_>>(), [4; 13]);
        assert_eq!(format!("{:?}", Keys::new(&one).unwrap()), "Keys");
        assert_eq!(Keys::new("").unwrap_err().kind(), Kind::Usage);
    }

    #[test]
    fn a_task_says_what_it_encrypts() {
        let of = |word: &str| Encryption::of(&[("encryption".into(), word.into())]);
        assert_eq!(of("on"), Some(Encryption::Names));
        assert_eq!(of("contents"), Some(Encryption::Contents));
        assert_eq!(of("cloud-sync"), Some(Encryption::CloudSync));
        assert_eq!((of("off"), Encryption::of(&[])), (None, None));
    }
}
