//! The dictionaries that a file consists of. What they mean is others' business.

use super::MAGIC;
use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};

const DICTIONARY: u8 = 0x42;
const END: u8 = 0x40;
const TEXT: u8 = 0x10;
const BYTES: u8 = 0x11;
const NUMBER: u8 = 0x01;

/// Bytes that are read from the disk at a time.
const BUFFER_BYTES: usize = 64 << 10;
/// Far more than any part takes.
const MOST_PART_BYTES: u64 = 1 << 20;
/// The outermost dictionary is the first level; real files have two.
const MOST_LEVELS: usize = 4;

/// The keys that mean something; those of a dictionary in another are joined by a dot. Others are
/// read over.
const KNOWN: &[&str] = &[
    "compress",
    "data",
    "digest",
    "enc_key1",
    "enc_key2",
    "encrypt",
    "file_md5",
    "file_name",
    "key1_hash",
    "key2_hash",
    "salt",
    "session_key_hash",
    "type",
    "version.major",
    "version.minor",
];

/// The file as a run of parts, with the byte that comes next.
pub(super) struct Parts<R> {
    from: BufReader<R>,
    at: u64,
    /// What is being read, for a message when it breaks off.
    reading: &'static str,
}

/// A dictionary, without the bytes in it.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Where it begins in the file, in bytes.
    pub at: u64,
    fields: BTreeMap<&'static str, Field>,
}

/// A value, and where in the file it stands.
#[derive(Debug)]
pub(super) struct Field {
    /// Where its first byte is in the file.
    pub at: u64,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Text(String),
    Number(u64),
    Bytes,
}

/// Damage that was found at a byte of the file.
pub(super) fn damage(cause: impl std::fmt::Display) -> Error {
    Error::new(Kind::Integrity, "decrypting", cause)
        .remedy("take another copy or an older version of the file; nothing was kept of this one")
}

impl<R: Read> Parts<R> {
    /// Reads what every file begins with.
    ///
    /// # Errors
    /// `Protocol` when this is another kind of file, or that of reading.
    pub fn open(from: R) -> Result<Self> {
        let from = BufReader::with_capacity(BUFFER_BYTES, from);
        let mut parts = Parts { from, at: 0, reading: "the mark that encrypted files begin with" };
        let mut begin = Vec::with_capacity(MAGIC.len());
        let read = (&mut parts.from).take(MAGIC.len() as u64).read_to_end(&mut begin);
        read.map_err(unread)?;
        parts.at = begin.len() as u64;
        if begin == MAGIC {
            return Ok(parts);
        }
        let differs = begin.iter().zip(MAGIC).position(|(is, should)| is != should);
        let differs = differs.unwrap_or(begin.len());
        // The name of the format alone is more than chance.
        if differs >= 17 {
            return Err(damage(format!(
                "the mark that encrypted files begin with is damaged at byte {differs}"
            )));
        }
        let cause = if begin.is_empty() {
            "it is empty, and not a file that Cloud Sync encrypted"
        } else {
            "it doesn't begin as files do that Cloud Sync encrypted"
        };
        Err(Error::new(Kind::Protocol, "decrypting", cause)
            .remedy("nothing to decrypt; if it is a file of yours, copy it as it is"))
    }

    /// The byte that comes next, counted from 0.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Reads the next part and appends its `data` to `data`; `None` at the end of the file.
    ///
    /// # Errors
    /// `Integrity` with the byte where it makes no sense, or that of reading.
    pub fn next(&mut self, data: &mut Vec<u8>) -> Result<Option<Part>> {
        self.reading = "a part";
        if self.from.fill_buf().map_err(unread)?.is_empty() {
            return Ok(None);
        }
        let at = self.at;
        match self.byte()? {
            DICTIONARY => {}
            other => return Err(unexpected(at, other, "a part of the file should begin")),
        }
        let mut part = Part { at, fields: BTreeMap::new() };
        self.dictionary(&mut part, "", 1, data)?;
        Ok(Some(part))
    }

    /// Reads a dictionary to its end.
    fn dictionary(
        &mut self,
        part: &mut Part,
        within: &str,
        level: usize,
        data: &mut Vec<u8>,
    ) -> Result<()> {
        loop {
            let at = self.at;
            if at - part.at > MOST_PART_BYTES {
                return Err(damage(format!(
                    "the part that begins at byte {} is longer than 1 MiB",
                    part.at
                )));
            }
            let name = match self.byte()? {
                END => return Ok(()),
                TEXT => self.text("a key")?,
                other => return Err(unexpected(at, other, "a key or the end of a part should be")),
            };
            let name = if within.is_empty() { name } else { format!("{within}.{name}") };
            let known = KNOWN.iter().copied().find(|known| *known == name);
            let at = self.at;
            let value = match self.byte()? {
                DICTIONARY if level == MOST_LEVELS => {
                    return Err(damage(format!("there are too many levels at byte {at}")));
                }
                DICTIONARY => {
                    self.dictionary(part, &name, level + 1, data)?;
                    continue;
                }
                TEXT => Value::Text(self.text(known.unwrap_or("a value"))?),
                BYTES => {
                    self.reading = "data";
                    let length = self.length()?;
                    let before = data.len();
                    self.bytes(length, data)?;
                    if known != Some("data") {
                        data.truncate(before);
                    }
                    Value::Bytes
                }
                NUMBER => Value::Number(self.number(known.unwrap_or("a value"))?),
                other => return Err(unexpected(at, other, "a value should be")),
            };
            let Some(known) = known else { continue };
            if part.fields.insert(known, Field { at, value }).is_some() {
                return Err(damage(format!("{known} stands there a second time at byte {at}")));
            }
        }
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.from.fill_buf().map_err(unread)?.first().copied();
        let byte = byte.ok_or_else(|| self.cut_short())?;
        self.from.consume(1);
        self.at += 1;
        Ok(byte)
    }

    fn length(&mut self) -> Result<usize> {
        Ok(usize::from(u16::from_be_bytes([self.byte()?, self.byte()?])))
    }

    /// Appends the next `length` bytes.
    fn bytes(&mut self, length: usize, to: &mut Vec<u8>) -> Result<()> {
        to.reserve(length);
        let read = (&mut self.from).take(length as u64).read_to_end(to).map_err(unread)?;
        self.at += read as u64;
        if read < length { Err(self.cut_short()) } else { Ok(()) }
    }

    fn text(&mut self, what: &'static str) -> Result<String> {
        let at = self.at;
        self.reading = what;
        let length = self.length()?;
        let mut bytes = Vec::new();
        self.bytes(length, &mut bytes)?;
        String::from_utf8(bytes)
            .map_err(|_| damage(format!("{what} at byte {} isn't text", at.saturating_sub(1))))
    }

    fn number(&mut self, what: &'static str) -> Result<u64> {
        let at = self.at;
        self.reading = what;
        let length = self.byte()?;
        if length > 8 {
            return Err(damage(format!("{what} at byte {at} is a number of {length} bytes")));
        }
        let mut number = 0;
        for _ in 0..length {
            number = number << 8 | u64::from(self.byte()?);
        }
        Ok(number)
    }

    fn cut_short(&self) -> Error {
        damage(format!("it was cut short: it ends at byte {}, within {}", self.at, self.reading))
    }
}

impl Part {
    /// A text.
    ///
    /// # Errors
    /// `Integrity` when it isn't there.
    pub fn text(&self, name: &str) -> Result<(&str, u64)> {
        let field = self.field(name)?;
        match &field.value {
            Value::Text(text) => Ok((text, field.at)),
            _ => Err(damage(format!("{name} at byte {} isn't a text", field.at))),
        }
    }

    /// A number.
    ///
    /// # Errors
    /// `Integrity` when it isn't there.
    pub fn number(&self, name: &str) -> Result<u64> {
        let field = self.field(name)?;
        match field.value {
            Value::Number(number) => Ok(number),
            _ => Err(damage(format!("{name} at byte {} isn't a number", field.at))),
        }
    }

    /// Whether it is data, and not metadata.
    ///
    /// # Errors
    /// `Integrity` when it is neither, or both.
    pub fn is_data(&self) -> Result<bool> {
        let (kind, at) = self.text("type")?;
        let data = match kind {
            "data" => true,
            "metadata" => false,
            _ => {
                return Err(damage(format!("type at byte {at} is neither data nor metadata")));
            }
        };
        match (data, self.fields.get("data")) {
            (true, Some(Field { value: Value::Bytes, .. })) | (false, None) => Ok(data),
            (true, Some(Field { at, .. })) => {
                Err(damage(format!("data at byte {at} isn't a run of bytes")))
            }
            (true, None) => {
                Err(damage(format!("there is no data in the part that begins at byte {}", self.at)))
            }
            (false, Some(Field { at, .. })) => {
                Err(damage(format!("there is data among the metadata, at byte {at}")))
            }
        }
    }

    fn field(&self, name: &str) -> Result<&Field> {
        self.fields.get(name).ok_or_else(|| {
            damage(format!("{name} is missing in the part that begins at byte {}", self.at))
        })
    }
}

fn unexpected(at: u64, byte: u8, where_: &str) -> Error {
    damage(format!("byte {at} is 0x{byte:02x}, where {where_}"))
}

/// What came of reading the file, which may have failed for a reason of ours.
fn unread(error: io::Error) -> Error {
    ours(error, "reading the encrypted file")
}

/// The error that a reader or writer of ours hid in one of the system's.
pub(super) fn ours(error: io::Error, what: &str) -> Error {
    error.downcast::<Error>().unwrap_or_else(|error| Error::disk(what, error))
}

/// What stands before so many bytes of data in a part of them.
pub(super) fn before_data(bytes: u16) -> [u8; BEFORE_DATA] {
    let [high, low] = bytes.to_be_bytes();
    [DICTIONARY, TEXT, 0, 4, b'd', b'a', b't', b'a', BYTES, high, low]
}

/// Bytes of [`before_data`].
pub(super) const BEFORE_DATA: usize = 11;
/// What stands behind them.
pub(super) const AFTER_DATA: &[u8] = b"\x10\0\x04type\x10\0\x04data\x40";

/// What a part of a file that is written has in it.
pub(super) enum Entry<'a> {
    Text(&'a str),
    Number(u8),
    Dictionary(&'a [(&'a str, Entry<'a>)]),
}

/// Writes a part; its keys come in the order in which they are to stand.
///
/// # Errors
/// `InvalidInput` when a text has more than 65,535 bytes, or that of writing.
pub(super) fn put(to: &mut dyn Write, entries: &[(&str, Entry<'_>)]) -> io::Result<()> {
    to.write_all(&[DICTIONARY])?;
    for (name, entry) in entries {
        put_run(to, name.as_bytes())?;
        match entry {
            Entry::Text(text) => put_run(to, text.as_bytes())?,
            Entry::Number(number) => to.write_all(&[NUMBER, 1, *number])?,
            Entry::Dictionary(entries) => put(to, entries)?,
        }
    }
    to.write_all(&[END])
}

fn put_run(to: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    let length = u16::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_all(&[TEXT])?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: &[u8]) -> Parts<&[u8]> {
        Parts { from: BufReader::new(bytes), at: 0, reading: "" }
    }

    fn wrong(bytes: &[u8]) -> String {
        parts(bytes).next(&mut Vec::new()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let version = [("major", Entry::Number(3)), ("minor", Entry::Number(1))];
        let entries = [
            ("file_name", Entry::Text("\u{e4}")),
            ("unknown", Entry::Text("others")),
            ("version", Entry::Dictionary(&version)),
        ];
        let bytes = [&before_data(5)[..], b"bytes", AFTER_DATA].concat();
        let mut data = Vec::new();
        assert!(parts(&bytes).next(&mut data).unwrap().unwrap().is_data().unwrap());
        assert_eq!(data, b"bytes");
        let mut written = Vec::new();
        put(&mut written, &entries).unwrap();
        let mut parts = parts(&written);
        let part = parts.next(&mut data).unwrap().unwrap();
        assert_eq!(part.text("file_name").unwrap().0, "\u{e4}");
        assert_eq!((part.number("version.major"), part.number("version.minor")).0.unwrap(), 3);
        assert!(part.number("file_name").unwrap_err().to_string().contains("isn't a number"));
        assert!(part.text("salt").unwrap_err().to_string().contains("salt is missing"));
        assert!(parts.next(&mut data).unwrap().is_none());
        assert_eq!(parts.at(), written.len() as u64);
        for length in 1..written.len() {
            let told = wrong(&written[..length]);
            assert!(told.contains(&format!("it ends at byte {length}")), "{told}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_byte() {
        for (bytes, cause) in [
            (&b"x"[..], "byte 0 is 0x78, where a part"),
            (b"B\x01", "byte 1 is 0x01, where a key"),
            (b"B\x10\0\x01k\x07", "byte 5 is 0x07, where a value"),
            (b"B\x10\0\x01\xff", "a key at byte 1 isn't text"),
            (b"B\x10\0\x04salt\x01\x09", "salt at byte 9 is a number of 9 bytes"),
            (b"B\x10\0\0B\x10\0\0B\x10\0\0B\x10\0\0B", "too many levels at byte 16"),
            (b"B\x10\0\x04salt\x10\0\0\x10\0\x04salt\x10\0\0", "a second time at byte 18"),
        ] {
            let told = wrong(bytes);
            assert!(told.contains(cause), "{cause}: {told}");
        }
        let endless = b"\x10\0\0\x01\0".repeat(300_000);
        assert!(wrong(&[b"B", &endless[..]].concat()).contains("longer than 1 MiB"));
    }
}
