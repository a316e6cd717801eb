//! The encrypted files of Synology's Cloud Sync: reads versions 1.0, 3.0 and 3.1, writes 3.1.
//!
//! The vendor publishes no description. What stands here was read off real files, and those that
//! are written here are read by other tools (`openssl` and `lz4` in the tests). Each file is
//! encrypted by itself; the names of files and folders aren't.
//!
//! # The file
//!
//! `__CLOUDSYNC_ENC__`, the lower-case hex MD5 of these 17 bytes, and then **parts**, each a
//! dictionary, to the end of the file. Values begin with a byte that tells what they are:
//!
//! | byte | value | what follows |
//! |---|---|---|
//! | 0x42 | dictionary | text, value, text, value, … and 0x40 |
//! | 0x10 | text, in UTF-8 | two bytes of length, big-endian, and so many bytes |
//! | 0x11 | bytes | the same |
//! | 0x01 | number | a byte of length, and so many bytes, big-endian |
//!
//! A part's `type` is `metadata` or `data`, and its keys stand in alphabetical order. The first is
//! metadata: `compress` 1, `digest` "md5", `enc_key1`, `enc_key2`, `encrypt` 1, `file_name`,
//! `key1_hash`, `key2_hash`, `salt` (8 characters; not in 1.0), `session_key_hash` and `version`
//! with `major` and `minor`. Then come the data, 8,192 bytes of `data` in each but the last. The
//! last part is metadata again: `file_md5`, the lower-case hex MD5 of the plain content.
//!
//! # The content
//!
//! An LZ4 frame (linked blocks of at most 64 KiB, with a checksum of the content; those that are
//! written here refer to nothing in the block before), encrypted with AES-256-CBC and PKCS#7 as one
//! stream across all data. Key and IV come from the **session key**,
//! which is another one in each file: 32 random bytes, or in 1.0 a random text of 32 characters.
//!
//! # The keys
//!
//! What is encrypted is the session key as text: upper-case hex, or in 1.0 as it is.
//!
//! - `enc_key1`: by a **password** with AES-256-CBC and PKCS#7, as base64;
//! - `enc_key2`: by an **RSA public key** with OAEP and SHA-1, as base64.
//!
//! AES keys and IVs are made by OpenSSL's `EVP_BytesToKey` with MD5: of password and `salt` in 1,000
//! rounds (in 1.0 without salt in one), of the session key's bytes (in 1.0 its text) in one round.
//! The three `_hash`es are ten random characters of `A-Z`, `a-z`, `0-9` and `-`, and the hex MD5 of
//! these and the password, the public key's PEM file, or the session key's text.
//!
//! # What it is worth
//!
//! Not much by today's measure: MD5, few rounds, nothing that proves who wrote a file. It is for
//! files that are there already, and for leaving by any tool.
//!
//! Nothing here trusts a length that a file tells: reading takes about 17 MiB at the worst, and
//! less than 1 MiB for files as Cloud Sync writes them, however large they are.

mod container;
mod decrypt;
mod encrypt;
mod files;
mod key_zip;
mod keys;
mod locked;
mod sealer;

pub use decrypt::{decrypt, is_cut_in_head, prove};
pub use encrypt::{TAIL_BYTES, encrypt, md5_at_end};
pub use files::{Errand, Outcome, Work};
pub use key_zip::key_zip;
pub use keys::{Locks, Opener, new_key_pair};
pub use locked::Locked;

/// What every file begins with.
const MAGIC: &[u8; 49] = b"__CLOUDSYNC_ENC__d8d6ba7b9df02ef39a33ef912a91dc56";
/// Bytes of `data` in each part that we write, but for the last.
const DATA_BYTES: usize = 8192;
/// Bytes that AES encrypts at a time.
const BLOCK_BYTES: usize = 16;

/// A version of the format, as far as it changes what is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// 1.0
    One,
    /// 3.0 and 3.1, between which no difference is known.
    Three,
}
