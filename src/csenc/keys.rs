//! What opens a file and what locks one: password, key pair, and the session key between them and
//! the content.

use super::container::{Part, damage};
use super::{BLOCK_BYTES, Version};
use crate::error::{Error, Kind, Result};
use crate::model::to_hex;
use aes::Aes256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cbc::cipher::array::Array;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use md5::{Digest as _, Md5};
use ring::rand::{SecureRandom as _, SystemRandom};
use rsa::pkcs1::{
    DecodeRsaPrivateKey as _, DecodeRsaPublicKey as _, EncodeRsaPrivateKey as _,
    EncodeRsaPublicKey as _,
};
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _, LineEnding};
use rsa::rand_core::{TryCryptoRng, TryRng};
use rsa::{PrivateKey, PublicKey};
use sha1::Sha1;
use std::fmt;

pub(super) type Encryptor = cbc::Encryptor<Aes256>;
pub(super) type Decryptor = cbc::Decryptor<Aes256>;
/// What AES encrypts at a time.
pub(super) type Block = Array<u8, cbc::cipher::consts::U16>;

/// Rounds in which a key is made of a password, in versions 3.0 and 3.1.
const PASSWORD_ROUNDS: u32 = 1000;
/// Characters that stand before the MD5 in a `_hash`.
const HASH_SALT_CHARACTERS: usize = 10;
/// Characters of `salt`.
const SALT_CHARACTERS: usize = 8;
/// Bits of a new key pair.
const KEY_BITS: usize = 2048;
/// Bytes of a session key of the versions 3.0 and 3.1.
const SESSION_BYTES: usize = 32;
/// What random characters are taken from.
const CHARACTERS: &[u8; 63] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";

/// What a person opens files with: the password or the private key of the Cloud Sync task.
pub struct Opener(With);

enum With {
    Password(String),
    Private(Box<PrivateKey>),
}

/// What a file is locked with, so that either of a password and a private key opens it.
pub struct Locks {
    password: String,
    public: PublicKey,
    /// The public key as Cloud Sync exports it, which is what `key2_hash` is of.
    pem: String,
}

/// The key of one file's content.
pub(super) struct SessionKey {
    version: Version,
    /// As it is encrypted.
    text: Vec<u8>,
}

impl Opener {
    /// Opens by password.
    pub fn password(password: String) -> Self {
        Opener(With::Password(password))
    }

    /// Opens by an RSA private key in PEM: PKCS#1, as Cloud Sync exports it, or PKCS#8.
    ///
    /// # Errors
    /// `Usage` when it isn't such a key.
    pub fn private_key(pem: &str) -> Result<Self> {
        Ok(Opener(With::Private(Box::new(private_key(pem)?))))
    }

    /// The session key of the file that begins with this metadata.
    ///
    /// # Errors
    /// `Denied` when this doesn't open it, `Integrity` when what the file tells of its keys is
    /// damaged.
    pub(super) fn open(&self, head: &Part, version: Version) -> Result<SessionKey> {
        let (locked, proof) = match self.0 {
            With::Password(_) => ("enc_key1", "key1_hash"),
            With::Private(_) => ("enc_key2", "key2_hash"),
        };
        let (text, locked_at) = head.text(locked)?;
        let bytes = BASE64.decode(text);
        let bytes = bytes
            .map_err(|_| damage(format!("{locked} at byte {locked_at} isn't valid base64")))?;
        let proof_of_opener = Proof::read(head, proof)?;
        let proof_of_session = Proof::read(head, "session_key_hash")?;
        let is_right = self.is_proved(&proof_of_opener);
        let opened = match &self.0 {
            With::Password(password) => {
                let (salt, rounds) = match version {
                    Version::One => ("", 1),
                    Version::Three => (head.text("salt")?.0, PASSWORD_ROUNDS),
                };
                let (key, iv) = derive(password.as_bytes(), salt.as_bytes(), rounds);
                unpadded(Decryptor::new(&key.into(), &iv.into()), bytes)
            }
            With::Private(key) => key.oaep_decrypt::<Sha1>(&bytes).ok(),
        };
        let opened = opened.filter(|text| proof_of_session.is_of(text));
        match (is_right, opened) {
            (true, Some(text)) => SessionKey::of_text(version, text).ok_or_else(|| {
                damage(format!("the session key in {locked} at byte {locked_at} is too short"))
            }),
            (true, None) => Err(damage(format!(
                "the {self} is right, but {locked} at byte {locked_at}, session_key_hash at byte {} \
                 or the salt is damaged",
                proof_of_session.at
            ))
            .remedy(self.other_way())),
            (false, Some(_)) => Err(damage(format!(
                "the {self} opens it, but {proof} at byte {} is of another one: it is damaged",
                proof_of_opener.at
            ))
            .remedy(self.other_way())),
            (false, None) => {
                let cause = format!("the {self} isn't the one that it was encrypted with");
                let remedy = format!("give the {self} that it was encrypted with");
                Err(Error::new(Kind::Denied, "decrypting", cause).remedy(remedy))
            }
        }
    }

    fn is_proved(&self, proof: &Proof<'_>) -> bool {
        match &self.0 {
            With::Password(password) => proof.is_of(password.as_bytes()),
            With::Private(key) => {
                // Cloud Sync's own way to write it, and what most other tools make of it.
                let public = key.as_public_key();
                let pkcs1 = public.to_pkcs1_pem(LineEnding::LF);
                let spki = public.to_public_key_pem(LineEnding::LF);
                let is_of = |pem: &String| proof.is_of(pem.as_bytes());
                pkcs1.is_ok_and(|pem| is_of(&pem)) || spki.is_ok_and(|pem| is_of(&pem))
            }
        }
    }

    fn other_way(&self) -> &'static str {
        match self.0 {
            With::Password(_) => "try the private key, or take another copy of the file",
            With::Private(_) => "try the password, or take another copy of the file",
        }
    }
}

impl fmt::Display for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            With::Password(_) => "password",
            With::Private(_) => "private key",
        })
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener({self})")
    }
}

/// A new RSA key pair of 2,048 bits, as Cloud Sync's are: the private key in PEM (PKCS#1), which the
/// public one comes out of. Takes up to some seconds.
///
/// # Errors
/// `Disk` when the system gives no random numbers.
pub fn new_key_pair() -> Result<String> {
    let failed = |error: &dyn fmt::Display| Error::new(Kind::Disk, "making a key pair", error);
    let key = PrivateKey::new(&mut Chance::new(), KEY_BITS).map_err(|error| failed(&error))?;
    let pem = key.to_pkcs1_pem(LineEnding::LF).map_err(|error| failed(&error))?;
    Ok(pem.to_string())
}

/// A private key in PEM: PKCS#1, as Cloud Sync exports it, or PKCS#8.
fn private_key(pem: &str) -> Result<PrivateKey> {
    let wrong = |cause| Error::new(Kind::Usage, "the private key", cause);
    if pem.contains("ENCRYPTED") {
        return Err(wrong("it is itself locked with a password")
            .remedy("unlock it first: openssl rsa -in FILE -out OTHER-FILE"));
    }
    let key = PrivateKey::from_pkcs1_pem(pem).ok();
    key.or_else(|| PrivateKey::from_pkcs8_pem(pem).ok()).ok_or_else(|| {
        wrong("it isn't an RSA private key in PEM")
            .remedy("give the private.pem that Cloud Sync exported with the key")
    })
}

/// Both keys of a pair in PEM as Cloud Sync writes them, the private one first.
pub(super) fn both_keys(pem: &str) -> Result<[String; 2]> {
    let key = private_key(pem)?;
    let unwritable = |error: &dyn fmt::Display| Error::new(Kind::Usage, "the private key", error);
    let private = key.to_pkcs1_pem(LineEnding::LF).map_err(|error| unwritable(&error))?;
    let public = key.as_public_key().to_pkcs1_pem(LineEnding::LF);
    Ok([private.to_string(), public.map_err(|error| unwritable(&error))?])
}

impl Locks {
    /// Locks with a password and the key pair of a private key; see [`Opener::private_key`].
    ///
    /// # Errors
    /// `Usage` when it isn't such a key.
    pub fn of_pair(password: String, private_pem: &str) -> Result<Self> {
        let [_, public] = both_keys(private_pem)?;
        Locks::new(password, &public)
    }

    /// Locks with a password and an RSA public key in PEM: PKCS#1, as Cloud Sync exports it, or
    /// SubjectPublicKeyInfo. The files have it as Cloud Sync writes it.
    ///
    /// # Errors
    /// `Usage` when it isn't such a key.
    pub fn new(password: String, pem: &str) -> Result<Self> {
        let key = PublicKey::from_pkcs1_pem(pem).ok();
        let key = key.or_else(|| PublicKey::from_public_key_pem(pem).ok());
        let pem = key.as_ref().and_then(|key| key.to_pkcs1_pem(LineEnding::LF).ok());
        match (key, pem) {
            (Some(public), Some(pem)) => Ok(Locks { password, public, pem }),
            _ => {
                Err(Error::new(Kind::Usage, "the public key", "it isn't an RSA public key in PEM")
                    .remedy("give the public.pem that Cloud Sync exported with the key"))
            }
        }
    }

    /// What opens the files that are locked so.
    pub fn opener(&self) -> Opener {
        Opener::password(self.password.clone())
    }

    /// `enc_key1`, `enc_key2`, `key1_hash`, `key2_hash` and `salt` for a session key.
    pub(super) fn lock(&self, session: &SessionKey, chance: &mut Chance) -> Result<[String; 5]> {
        let salt = chance.text(SALT_CHARACTERS)?;
        let (key, iv) = derive(self.password.as_bytes(), salt.as_bytes(), PASSWORD_ROUNDS);
        let mut by_password = session.text.clone();
        pad(&mut by_password);
        let (blocks, _) = Block::slice_as_chunks_mut(&mut by_password);
        Encryptor::new(&key.into(), &iv.into()).encrypt_blocks(blocks);
        let by_key = self.public.oaep_encrypt_with_rng::<Sha1, _>(chance, &session.text);
        let by_key = by_key.map_err(|error| {
            Error::new(Kind::Usage, "the public key", error).remedy("give a key of 2,048 bits")
        })?;
        Ok([
            BASE64.encode(by_password),
            BASE64.encode(by_key),
            proof(self.password.as_bytes(), chance)?,
            proof(self.pem.as_bytes(), chance)?,
            salt,
        ])
    }
}

impl fmt::Debug for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locks").field("public", &self.pem).finish_non_exhaustive()
    }
}

impl SessionKey {
    /// A new one, of 3.1.
    pub fn new(chance: &mut Chance) -> Result<Self> {
        let mut bytes = [0; SESSION_BYTES];
        chance.fill(&mut bytes)?;
        let text = to_hex(&bytes).to_uppercase();
        Ok(SessionKey { version: Version::Three, text: text.into() })
    }

    /// `None` when no key can be made of it.
    fn of_text(version: Version, text: Vec<u8>) -> Option<Self> {
        let session = SessionKey { version, text };
        session.material().map(|_| session)
    }

    /// `session_key_hash`.
    pub fn proof(&self, chance: &mut Chance) -> Result<String> {
        proof(&self.text, chance)
    }

    /// What key and IV of the content are made of.
    fn material(&self) -> Option<Vec<u8>> {
        match self.version {
            Version::One => (!self.text.is_empty()).then(|| self.text.clone()),
            Version::Three => {
                let (digits, []) = self.text.as_chunks::<2>() else { return None };
                let byte = |digits: &[u8; 2]| {
                    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16));
                    u8::try_from(high? * 16 + low?).ok()
                };
                let bytes: Option<Vec<u8>> = digits.iter().map(byte).collect();
                bytes.filter(|bytes| bytes.len() == SESSION_BYTES)
            }
        }
    }

    fn key(&self) -> ([u8; 32], [u8; BLOCK_BYTES]) {
        derive(&self.material().unwrap_or_default(), b"", 1)
    }

    /// What decrypts the content.
    pub fn decryptor(&self) -> Decryptor {
        let (key, iv) = self.key();
        Decryptor::new(&key.into(), &iv.into())
    }

    /// What encrypts the content.
    pub fn encryptor(&self) -> Encryptor {
        let (key, iv) = self.key();
        Encryptor::new(&key.into(), &iv.into())
    }

    /// What encrypts the content that comes after this block of data.
    pub fn encryptor_after(&self, last: &[u8; BLOCK_BYTES]) -> Encryptor {
        Encryptor::new(&self.key().0.into(), last.into())
    }
}

/// A `_hash` of a file.
struct Proof<'a> {
    salt: &'a str,
    md5: &'a str,
    at: u64,
}

impl<'a> Proof<'a> {
    fn read(head: &'a Part, name: &str) -> Result<Self> {
        let (text, at) = head.text(name)?;
        match text.split_at_checked(HASH_SALT_CHARACTERS) {
            Some((salt, md5)) if md5.len() == 32 => Ok(Proof { salt, md5, at }),
            _ => Err(damage(format!("{name} at byte {at} isn't 42 characters long"))),
        }
    }

    fn is_of(&self, secret: &[u8]) -> bool {
        salted(self.salt, secret) == self.md5
    }
}

fn proof(secret: &[u8], chance: &mut Chance) -> Result<String> {
    let salt = chance.text(HASH_SALT_CHARACTERS)?;
    let md5 = salted(&salt, secret);
    Ok(salt + &md5)
}

fn salted(salt: &str, secret: &[u8]) -> String {
    hex(Md5::new().chain_update(salt).chain_update(secret))
}

/// An MD5 as files have it.
pub(super) fn hex(sum: Md5) -> String {
    to_hex(&sum.finalize())
}

/// OpenSSL's `EVP_BytesToKey` with MD5, for AES-256-CBC.
fn derive(secret: &[u8], salt: &[u8], rounds: u32) -> ([u8; 32], [u8; BLOCK_BYTES]) {
    let mut digest: [u8; 16] = [0; 16];
    let mut out = [[0; 16]; 3];
    for (number, place) in out.iter_mut().enumerate() {
        let mut sum = Md5::new();
        if number > 0 {
            sum.update(digest);
        }
        digest = sum.chain_update(secret).chain_update(salt).finalize().into();
        for _ in 1..rounds {
            digest = Md5::digest(digest).into();
        }
        *place = digest;
    }
    let [first, second, iv] = out;
    let mut key = [0; 32];
    key[..16].copy_from_slice(&first);
    key[16..].copy_from_slice(&second);
    (key, iv)
}

/// Fills up to whole blocks as PKCS#7 says.
pub(super) fn pad(bytes: &mut Vec<u8>) {
    let more = BLOCK_BYTES - bytes.len() % BLOCK_BYTES;
    bytes.resize(bytes.len() + more, more as u8);
}

/// Bytes that PKCS#7 put behind the content; `None` when it makes no sense.
pub(super) fn padding(last: &[u8]) -> Option<usize> {
    let count = *last.last()?;
    let length = usize::from(count);
    let padded = last.len().checked_sub(length).and_then(|start| last.get(start..))?;
    let right = (1..=BLOCK_BYTES).contains(&length) && padded.iter().all(|byte| *byte == count);
    right.then_some(length)
}

fn unpadded(mut cipher: Decryptor, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (blocks, []) = Block::slice_as_chunks_mut(&mut bytes) else { return None };
    cipher.decrypt_blocks(blocks);
    let length = bytes.len() - padding(&bytes)?;
    bytes.truncate(length);
    Some(bytes)
}

/// Random numbers of the system.
pub(super) struct Chance(SystemRandom);

impl Chance {
    pub fn new() -> Self {
        Chance(SystemRandom::new())
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        self.0.fill(bytes).map_err(|_| {
            Error::new(Kind::Disk, "random numbers", "the system gives none")
                .remedy("check /dev/urandom")
        })
    }

    /// So many random characters.
    fn text(&mut self, length: usize) -> Result<String> {
        let mut text = String::with_capacity(length);
        while text.len() < length {
            let mut byte = [0];
            self.fill(&mut byte)?;
            // Every character is as likely as every other: what stands for none is thrown away.
            if let Some(character) = CHARACTERS.get(usize::from(byte[0] & 63)) {
                text.push(char::from(*character));
            }
        }
        Ok(text)
    }
}

impl TryRng for Chance {
    type Error = Error;

    fn try_next_u32(&mut self) -> Result<u32> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.fill(bytes)
    }
}

impl TryCryptoRng for Chance {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Vectors made with `openssl enc -aes-256-cbc -md md5 -k password -P`.
    #[test]
    fn keys_are_derived_as_openssl_does() {
        for (salt, key, iv) in [
            (
                "",
                "5f4dcc3b5aa765d61d8327deb882cf992b95990a9151374abd8ff8c5a7a0fe08",
                "b7b4372cdfbcb3d16a2631b59b509e94",
            ),
            (
                "aZ-0bY9x",
                "1602f329f7d025ef2910b5e59900a173ec9f1ef4c81f48bea9e846640eef531b",
                "bccbbabc70fadb6d07b6265c5045b47f",
            ),
        ] {
            let derived = derive(b"password", salt.as_bytes(), 1);
            assert_eq!((to_hex(&derived.0).as_str(), to_hex(&derived.1).as_str()), (key, iv));
        }
    }

    #[test]
    fn padding_is_all_or_nothing() {
        for length in 0..40 {
            let mut bytes = vec![7; length];
            pad(&mut bytes);
            assert_eq!(bytes.len() % BLOCK_BYTES, 0);
            assert_eq!(padding(&bytes), Some(bytes.len() - length));
        }
        for wrong in [&[][..], &[0; 16], &[17; 17], &[2; 1], &[9, 1, 2]] {
            assert_eq!(padding(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn session_keys_have_the_right_length() {
        let material =
            |version, text: &str| SessionKey { version, text: text.into() }.material().is_some();
        let hex = "0A".repeat(32);
        assert!(material(Version::Three, &hex) && material(Version::One, "any"));
        for wrong in ["", "0A", &hex[1..], &hex.replace('A', "G"), &hex.replace("0A", "+A")] {
            assert!(!material(Version::Three, wrong), "{wrong}");
        }
        assert!(!material(Version::One, ""));
    }

    #[test]
    fn secrets_are_not_printed() {
        let pem = include_str!("../../tests/csenc/public.pem");
        let locks = Locks::new("horse".into(), pem).unwrap();
        let opener = Opener::password("horse".into());
        assert!(!format!("{locks:?}{opener:?}{opener}").contains("horse"));
        let text = Chance::new().text(200).unwrap();
        assert!(text.bytes().all(|byte| CHARACTERS.contains(&byte)));
    }
}
