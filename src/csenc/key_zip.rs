//! The key pair as Cloud Sync exports it: a ZIP archive with both PEM files.
//!
//! They are stored as they are, which takes no more than this. A library of such archives is larger than all of
//! this format's reader and writer.

use super::keys::both_keys;
use crate::error::Result;

/// What the two files are called, the private key's first.
const NAMES: [&str; 2] = ["private.pem", "public.pem"];
/// The version of the format that reading them takes, times ten.
const VERSION: u16 = 10;
/// Made on Unix, whose permissions it has.
const MADE_BY: u16 = 3 << 8 | VERSION;
/// 1980-01-01, the first that there is: when a key was made is nobody's business.
const DATE: u16 = 1 << 5 | 1;
/// A file that only its owner may read and write.
const MODE: u32 = 0o100_600 << 16;

/// An archive with `private.pem` and `public.pem` of a private key in PEM.
///
/// # Errors
/// `Usage` when it isn't an RSA private key in PEM.
pub fn key_zip(private_pem: &str) -> Result<Vec<u8>> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for (name, pem) in NAMES.into_iter().zip(both_keys(private_pem)?) {
        let offset = archive.len() as u32;
        let size = pem.len() as u32;
        let mut common = Bytes::default();
        // No flags, stored, at midnight.
        common.shorts(&[VERSION, 0, 0, 0, DATE]);
        common.longs(&[crc32(pem.as_bytes()), size, size]);
        common.shorts(&[name.len() as u16, 0]);

        archive.extend(b"PK\x03\x04");
        archive.extend(&common.0);
        archive.extend(name.bytes());
        archive.extend(pem.bytes());

        let mut entry = Bytes(b"PK\x01\x02".to_vec());
        entry.shorts(&[MADE_BY]);
        entry.0.extend(&common.0);
        // No comment, on the first disk, not a text to be converted.
        entry.shorts(&[0, 0, 0]);
        entry.longs(&[MODE, offset]);
        entry.0.extend(name.bytes());
        directory.extend(entry.0);
    }
    let count = NAMES.len() as u16;
    let mut end = Bytes(b"PK\x05\x06".to_vec());
    end.shorts(&[0, 0, count, count]);
    end.longs(&[directory.len() as u32, archive.len() as u32]);
    end.shorts(&[0]);
    Ok([archive, directory, end.0].concat())
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn shorts(&mut self, numbers: &[u16]) {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }

    fn longs(&mut self, numbers: &[u32]) {
        self.0.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
}

/// The CRC-32 of ZIP, bit by bit: it is of some kilobytes.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| bit(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
