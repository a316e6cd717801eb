//! The program runs on the boxes that it is packed for.

use crate::common::{Spk, packages};

const LOAD: u64 = 1;
const DYNAMIC: u64 = 2;
const INTERPRETER: u64 = 3;
/// `sh_type` of the attributes of ARM.
const ATTRIBUTES: u64 = 0x7000_0003;
/// `e_flags` of ARM.
const EABI5: u64 = 0x0500_0000;
const HARD_FLOAT: u64 = 0x400;
/// Tags of the attributes of ARM.
const TAG_FP_ARCH: u64 = 10;
const TAG_ADVANCED_SIMD: u64 = 12;
/// The value of `TAG_FP_ARCH` for 16 registers of VFPv3.
const VFPV3_D16: u64 = 4;

/// An ELF file of little-endian numbers.
struct Elf<'a> {
    bytes: &'a [u8],
    is_wide: bool,
}

impl Elf<'_> {
    fn of(spk: &Spk) -> Elf<'_> {
        let bytes = spk.target_file("bin/mooring");
        assert_eq!(&bytes[..4], b"\x7fELF");
        assert_eq!(bytes[5], 1, "little-endian");
        Elf { bytes, is_wide: bytes[4] == 2 }
    }

    fn number(&self, at: u64, bytes: usize) -> u64 {
        let at = at as usize;
        self.bytes[at..at + bytes]
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A field whose place and size depend on the class.
    fn field(&self, base: u64, [narrow, wide]: [(u64, usize); 2]) -> u64 {
        let (at, bytes) = if self.is_wide { wide } else { narrow };
        self.number(base + at, bytes)
    }

    fn machine(&self) -> u64 {
        self.number(18, 2)
    }

    fn flags(&self) -> u64 {
        self.field(0, [(36, 4), (48, 4)])
    }

    /// Type and alignment of the program headers.
    fn segments(&self) -> Vec<(u64, u64)> {
        let start = self.field(0, [(28, 4), (32, 8)]);
        let size = self.field(0, [(42, 2), (54, 2)]);
        let count = self.field(0, [(44, 2), (56, 2)]);
        let headers = (0..count).map(|each| start + each * size);
        headers.map(|at| (self.number(at, 4), self.field(at, [(28, 4), (48, 8)]))).collect()
    }

    /// The attributes of ARM: numbers by tag.
    fn attributes(&self) -> Vec<(u64, u64)> {
        assert!(!self.is_wide);
        let (start, count) = (self.number(32, 4), self.number(48, 2));
        let mut headers = (0..count).map(|each| start + each * 40);
        let at = headers.find(|at| self.number(at + 4, 4) == ATTRIBUTES).expect("attributes");
        let (offset, size) = (self.number(at + 16, 4) as usize, self.number(at + 20, 4) as usize);
        // The format's version, a length, the vendor, then the tag and the length of what is of the whole file.
        let section = &self.bytes[offset..offset + size];
        assert_eq!(&section[5..11], b"aeabi\0");
        assert_eq!(section[11], 1);
        let mut rest = &section[16..];
        let mut found = Vec::new();
        while !rest.is_empty() {
            let tag = uleb128(&mut rest);
            // Names are texts; those from 32 on are when their tag is odd.
            if matches!(tag, 4 | 5) || tag > 32 && tag % 2 == 1 {
                let end = rest.iter().position(|byte| *byte == 0).unwrap();
                rest = &rest[end + 1..];
            } else {
                found.push((tag, uleb128(&mut rest)));
            }
        }
        found
    }
}

fn uleb128(rest: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let byte = rest[0];
        *rest = &rest[1..];
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

#[test]
fn it_is_for_the_cpu_and_needs_no_library() {
    for spk in packages() {
        let elf = Elf::of(spk);
        let expected = match spk.cpu {
            "x86_64" => (true, 62),
            "aarch64" => (true, 183),
            "armv7" => (false, 40),
            "i686" => (false, 3),
            other => panic!("{other}"),
        };
        assert_eq!((elf.is_wide, elf.machine()), expected, "{}", spk.name());
        let needs = |kind| elf.segments().iter().any(|(each, _)| *each == kind);
        assert!(!needs(INTERPRETER) && !needs(DYNAMIC), "{}", spk.name());
        if spk.cpu == "armv7" {
            assert_eq!(elf.flags() & (EABI5 | HARD_FLOAT), EABI5 | HARD_FLOAT, "{}", spk.name());
        }
    }
}

#[test]
fn on_armv7_it_needs_no_neon_and_sixteen_registers() {
    for spk in packages().iter().filter(|spk| spk.cpu == "armv7") {
        let attributes = Elf::of(spk).attributes();
        let value = |tag| attributes.iter().find(|(each, _)| *each == tag).map(|(_, value)| *value);
        assert_eq!(value(TAG_FP_ARCH), Some(VFPV3_D16), "{}", spk.name());
        assert_eq!(value(TAG_ADVANCED_SIMD).unwrap_or(0), 0, "{}", spk.name());
    }
}

#[test]
fn on_armv7_pages_may_be_large() {
    for spk in packages().iter().filter(|spk| spk.cpu == "armv7") {
        let segments = Elf::of(spk).segments();
        let mut loaded = segments.iter().filter(|(kind, _)| *kind == LOAD);
        assert!(loaded.all(|(_, align)| *align >= 0x10000), "{}", spk.name());
    }
}
