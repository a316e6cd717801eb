//! Times of modification as RFC 3339 has them, with nanoseconds: rclone's way on services whose
//! metadata are texts.

use crate::model::Nanos;
use tz::UtcDateTime;

/// RFC 3339 in UTC with nine digits of a fraction, as rclone keeps it; empty for a time that has no
/// such text, which no [`Nanos`] is.
pub(super) fn format(mtime: Nanos) -> String {
    UtcDateTime::from_total_nanoseconds(mtime.into()).map_or_else(
        |_| String::new(),
        |at| {
            let (month, day) = (at.month(), at.month_day());
            let (hour, minute, second) = (at.hour(), at.minute(), at.second());
            let (year, nanos) = (at.year(), at.nanoseconds());
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
        },
    )
}

/// Understands RFC 3339 with any offset, as rclone writes in the time zone that it is in.
pub(super) fn parse(text: &str) -> Option<Nanos> {
    let (day, rest) = text.trim().split_once(['T', 't', ' '])?;
    let end = rest.find(['Z', 'z', '+', '-'])?;
    let (time, zone) = rest.split_at(end);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(day, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let [fraction] = numbers(&format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)), '.')?;
    let offset = match zone.split_at(1) {
        ("Z" | "z", "") => 0,
        (sign, zone) => {
            let [hours, minutes] = numbers(zone, ':')?;
            let size = i64::from(hours * 60 + minutes) * 60_000_000_000;
            if sign == "-" { -size } else { size }
        }
    };
    let [month, day, hour, minute, second] =
        [month, day, hour, minute, second].map(|number| u8::try_from(number).ok());
    let year = i32::try_from(year).ok()?;
    let at = UtcDateTime::new(year, month?, day?, hour?, minute?, second?, fraction).ok()?;
    Nanos::try_from(at.total_nanoseconds()).ok()?.checked_sub(offset)
}

/// The whole numbers, of up to nine digits, between these marks.
fn numbers<const COUNT: usize>(text: &str, mark: char) -> Option<[u32; COUNT]> {
    let digits = |part: &str| {
        let plain = (1..=9).contains(&part.len()) && part.bytes().all(|it| it.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten()
    };
    let numbers: Option<Vec<u32>> = text.split(mark).map(digits).collect();
    numbers?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds() {
        for (mtime, text) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (1_600_000_000_123_456_789, "2020-09-13T12:26:40.123456789Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (Nanos::MAX, "2262-04-11T23:47:16.854775807Z"),
            (Nanos::MIN, "1677-09-21T00:12:43.145224192Z"),
        ] {
            assert_eq!(format(mtime), text);
            assert_eq!(parse(text), Some(mtime), "{text}");
        }
        for (text, mtime) in [
            ("1970-01-01T02:00:01.5+02:00", 1_500_000_000),
            ("1969-12-31T19:00:00-05:00", 0),
            (" 1970-01-01t00:00:00.0000000019z ", 1),
        ] {
            assert_eq!(parse(text), Some(mtime), "{text}");
        }
        for text in [
            "",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-01-01T00:00:00.-1Z",
            "1970-01-01T00:00:00+2",
            "1970-01-01T00:00:00.éééééZ",
            "1970-01-01T00:00:00Zx",
            "9999-01-01T00:00:00Z",
            "1600000000.5",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
