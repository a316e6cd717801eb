//! Names as they are stored: padded, encrypted as a whole (EME with AES-256), and written in
//! lower-case base32 with the alphabet of extended hex.

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt as _, BlockCipherEncrypt as _, KeyInit as _};

/// Bytes that AES encrypts at a time.
const BLOCK_BYTES: usize = 16;
/// What EME can encrypt as a whole.
const MOST_BYTES: usize = 2048;
const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

type Block = [u8; BLOCK_BYTES];

/// Encrypts and decrypts names. The same name is stored under the same one in every folder.
pub(super) struct Names {
    cipher: Aes256,
    tweak: Block,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Lock,
    Open,
}

impl Names {
    pub fn new(key: &[u8; 32], tweak: Block) -> Self {
        Names { cipher: Aes256::new(key.into()), tweak }
    }

    /// The name that a name is stored under.
    pub fn lock(&self, name: &str) -> String {
        let mut bytes = name.as_bytes().to_vec();
        let more = BLOCK_BYTES - bytes.len() % BLOCK_BYTES;
        bytes.resize(bytes.len() + more, more as u8);
        self.transform(&mut bytes, Way::Lock);
        base32(&bytes)
    }

    /// The name that is stored under this one; `None` when this isn't one that [`Names::lock`]
    /// gives.
    pub fn open(&self, stored: &str) -> Option<String> {
        let mut bytes = from_base32(stored)?;
        if bytes.is_empty() || bytes.len() % BLOCK_BYTES != 0 || bytes.len() > MOST_BYTES {
            return None;
        }
        self.transform(&mut bytes, Way::Open);
        let padding = *bytes.last()?;
        let length = bytes.len().checked_sub(usize::from(padding))?;
        let padded = bytes.get(length..)?;
        if !(1..=BLOCK_BYTES).contains(&padded.len()) || padded.iter().any(|it| *it != padding) {
            return None;
        }
        bytes.truncate(length);
        let name = String::from_utf8(bytes).ok()?;
        let odd = matches!(&*name, "" | "." | "..") || name.contains(['/', '\0']);
        (!odd).then_some(name)
    }

    /// EME as its authors describe it (Halevi and Rogaway, 2003), over whole blocks.
    fn transform(&self, bytes: &mut [u8], way: Way) {
        let (blocks, _) = bytes.as_chunks_mut::<BLOCK_BYTES>();
        let mut masks = Vec::with_capacity(blocks.len());
        let mut mask = self.aes([0; BLOCK_BYTES], Way::Lock);
        for block in &mut *blocks {
            mask = doubled(mask);
            masks.push(mask);
            *block = self.aes(xor(*block, mask), way);
        }
        let Some((first, rest)) = blocks.split_first_mut() else { return };
        let sum = rest.iter().fold(xor(*first, self.tweak), |sum, block| xor(sum, *block));
        let mixed = self.aes(sum, way);
        let mut shift = xor(sum, mixed);
        let mut sum = xor(mixed, self.tweak);
        for block in rest {
            shift = doubled(shift);
            *block = xor(*block, shift);
            sum = xor(sum, *block);
        }
        *first = sum;
        for (block, mask) in blocks.iter_mut().zip(masks) {
            *block = xor(self.aes(*block, way), mask);
        }
    }

    fn aes(&self, block: Block, way: Way) -> Block {
        let mut block = block.into();
        match way {
            Way::Lock => self.cipher.encrypt_block(&mut block),
            Way::Open => self.cipher.decrypt_block(&mut block),
        }
        block.into()
    }
}

/// Bytes of the name that a name of so many bytes is stored under.
pub(super) fn stored_bytes(bytes: usize) -> usize {
    ((bytes / BLOCK_BYTES + 1) * BLOCK_BYTES * 8).div_ceil(5)
}

/// The product with 2 in the field of EME, whose numbers begin with the lowest byte.
fn doubled(block: Block) -> Block {
    let mut out = [0; BLOCK_BYTES];
    let mut carry = block[BLOCK_BYTES - 1] >> 7;
    // What goes out at the top comes in as 0x87.
    carry = if carry == 1 { 0x87 } else { 0 };
    for (to, from) in out.iter_mut().zip(block) {
        *to = from << 1 ^ carry;
        carry = from >> 7;
    }
    out
}

fn xor(one: Block, other: Block) -> Block {
    std::array::from_fn(|at| one[at] ^ other[at])
}

/// In base32 with lower-case digits of extended hex, without padding.
pub(super) fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity((bytes.len() * 8).div_ceil(5));
    let (mut bits, mut held) = (0u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        held += 8;
        while held >= 5 {
            held -= 5;
            text.push(DIGITS[(bits >> held & 31) as usize] as char);
        }
    }
    if held > 0 {
        text.push(DIGITS[(bits << (5 - held) & 31) as usize] as char);
    }
    text
}

/// `None` for what [`base32`] doesn't give: of every name there is only one spelling.
fn from_base32(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut held) = (0u32, 0);
    for digit in text.bytes() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'v' => digit - b'a' + 10,
            _ => return None,
        };
        bits = bits << 5 | u32::from(value);
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (held < 5 && bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_has_one_spelling() {
        for length in 0..40 {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 37 + length) as u8).collect();
            let text = base32(&bytes);
            assert_eq!(from_base32(&text), Some(bytes.clone()));
            assert_eq!(
                from_base32(&text.to_uppercase()).as_ref(),
                text.chars().all(|c| c.is_ascii_digit()).then_some(&bytes)
            );
        }
        // RFC 4648, section 10.
        assert_eq!(base32(b"foobar"), "cpnmuoj1e8");
        for wrong in ["w", "0", "00=", "01", "000"] {
            assert_eq!(from_base32(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_come_back() {
        let names = Names::new(&[7; 32], [9; 16]);
        for name in ["a", "name.txt", "sixteen bytes ok", "Grüße, 世界.jpg", &"n".repeat(143)] {
            let stored = names.lock(name);
            assert_eq!(stored.len(), stored_bytes(name.len()));
            assert_eq!(names.open(&stored).as_deref(), Some(name));
            assert_eq!(names.open(&stored.to_uppercase()), None);
            assert_ne!(names.open(&stored[1..]).as_deref(), Some(name));
            assert_eq!(Names::new(&[8; 32], [9; 16]).open(&stored), None);
        }
        assert!(stored_bytes(143) <= 255 && stored_bytes(144) > 255);
        for odd in ["", ".", "..", "a/b", "a\0"] {
            assert_eq!(names.open(&names.lock(odd)), None, "{odd}");
        }
        assert_eq!(names.open("photo.jpg"), None);
        assert_eq!(names.open(&"0".repeat(4096)), None);
    }
}
