//! What a key says: of which service or direct feature, at what time, of which entity, with which request values.
//!
//! ```text
//! service:part:part          service@1714550400000000:part          service@2024-05-01T12:00:00Z:part?name=value&…
//! namespace.name:part        namespace.name@-1:part
//! ```
//! A part is escaped as in a URL, by [`escape`], and read by [`unescape`]. Nothing else of a URL holds.

use super::parse::{hexadecimal, number};
use std::borrow::Cow;
use thalweg_engine::literal::timestamp;

const HEXADECIMAL: &[u8; 16] = b"0123456789ABCDEF";

/// Appends a part of a key, or a name or value after `?`, so that no byte of it means anything.
pub fn escape(part: &[u8], out: &mut Vec<u8>) {
    for byte in part {
        match byte {
            b'%' | b':' | b'@' | b'?' | b'&' | b'=' | 0..=0x1f | 0x7f.. => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                out.extend([b'%', HEXADECIMAL[high], HEXADECIMAL[low]]);
            }
            plain => out.push(*plain),
        }
    }
}

/// What was escaped. The error says what is wrong with it.
pub fn unescape(part: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let Some(first) = part.iter().position(|byte| *byte == b'%') else { return Ok(Cow::Borrowed(part)) };
    let mut out = Vec::with_capacity(part.len());
    let (plain, mut rest) = part.split_at(first);
    out.extend_from_slice(plain);
    loop {
        rest = match rest {
            [] => return Ok(Cow::Owned(out)),
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push((hexadecimal(*high) << 4) | hexadecimal(*low));
                after
            }
            [b'%', ..] => {
                let part = part.escape_ascii();
                return Err(format!("`{part}` has a `%` without two hexadecimal digits: write `%` itself as `%25`"));
            }
            [byte, after @ ..] => {
                out.push(*byte);
                after
            }
        };
    }
}

/// What was escaped, as text.
pub fn unescape_text(part: &[u8]) -> Result<Cow<'_, str>, String> {
    let no_text = |part: &[u8]| format!("`{}` is not UTF-8", part.escape_ascii());
    match unescape(part)? {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|_| no_text(bytes)),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).map_err(|error| no_text(error.as_bytes())),
    }
}

/// A key, taken apart as far as that goes without knowing how many key columns there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// The whole of it, for errors.
    pub whole: &'a [u8],
    /// A service's name, or the selector of a direct feature without its `@`.
    pub name: &'a [u8],
    /// From the first `@` or `:` on.
    rest: &'a [u8],
    /// After the `?`.
    query: Option<&'a [u8]>,
}

/// What stands between the name and the entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Points {
    /// The query time in microseconds.
    pub as_of: Option<i64>,
    /// Of a direct feature: how many values before the newest.
    pub previous: Option<u8>,
}

impl<'a> Key<'a> {
    pub fn of(whole: &'a [u8]) -> Self {
        let (address, query) = match whole.iter().position(|byte| *byte == b'?') {
            Some(at) => (&whole[..at], Some(&whole[at + 1..])),
            None => (whole, None),
        };
        let end = address.iter().position(|byte| matches!(byte, b':' | b'@')).unwrap_or(address.len());
        Self { whole, name: &address[..end], rest: &address[end..], query }
    }

    /// Whether it is of a direct feature: services have no dot in their names.
    pub fn is_direct(self) -> bool {
        self.name.contains(&b'.')
    }

    /// The points before the entity, and the escaped parts of the entity, as many as there are key columns. Since a
    /// time may have colons, the parts are counted from the end.
    pub fn split(self, columns: usize) -> Result<(Points, impl Iterator<Item = &'a [u8]>), String> {
        let rest = self.rest;
        let parts = match columns {
            0 => Some(rest.strip_suffix(b":").unwrap_or(rest).len()),
            _ => {
                let mut colons = rest.iter().enumerate().rev().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
                colons.nth(columns - 1)
            }
        };
        let at = parts.filter(|at| *at == 0 || rest[0] == b'@').ok_or_else(|| self.wrong_parts(columns))?;
        let points = self.points(&rest[..at])?;
        let parts = rest.get(at + 1..).unwrap_or_default().split(|byte| *byte == b':');
        Ok((points, parts.take(columns)))
    }

    fn wrong_parts(self, columns: usize) -> String {
        let (key, name) = (self.whole.escape_ascii(), self.name.escape_ascii());
        let parts = vec!["…"; columns].join(":");
        format!(
            "the key `{key}` does not have {columns} part{} after the name: write `{name}:{parts}`, one part for each \
             key column, with `%3A` for a `:` within one",
            if columns == 1 { "" } else { "s" }
        )
    }

    fn points(self, text: &[u8]) -> Result<Points, String> {
        let mut points = Points::default();
        for point in text.split(|byte| *byte == b'@').skip(1) {
            if let Some(back) = self.is_direct().then(|| previous(point)).flatten() {
                points.previous = Some(back);
                continue;
            }
            let time = unescape_text(point)?;
            let micros = number(time.as_bytes()).or_else(|| timestamp(&time));
            points.as_of = Some(micros.ok_or_else(|| {
                let mend = "write whole microseconds, or ISO 8601 such as 2024-05-01T12:00:00Z";
                format!("`{time}` in the key is not a time: {mend}")
            })?);
        }
        Ok(points)
    }

    /// The request values after the `?`: escaped names and values.
    pub fn query(self) -> impl Iterator<Item = Result<(&'a [u8], &'a [u8]), String>> {
        let pairs = self.query.unwrap_or_default().split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => Ok((&pair[..at], &pair[at + 1..])),
            None => Err(format!("`{}` after the `?` has no `=`: write name=value", pair.escape_ascii())),
        })
    }

    pub fn has_query(self) -> bool {
        self.query.is_some_and(|query| !query.is_empty())
    }
}

/// `-1` is the value before the newest, and so on. Microseconds before 1970 have more digits.
fn previous(point: &[u8]) -> Option<u8> {
    let back = point.strip_prefix(b"-").filter(|digits| digits.len() <= 2)?;
    u8::try_from(number(back)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn parts(key: &str, columns: usize) -> Result<(Points, Vec<String>), String> {
        let (points, parts) = Key::of(key.as_bytes()).split(columns)?;
        let parts = parts.map(|part| Ok(unescape_text(part)?.into_owned())).collect::<Result<_, String>>()?;
        Ok((points, parts))
    }

    fn at(as_of: i64) -> Points {
        Points { as_of: Some(as_of), previous: None }
    }

    #[test]
    fn keys_are_taken_apart() {
        let texts = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        assert_eq!(parts("s:c1", 1), Ok((Points::default(), texts(&["c1"]))));
        assert_eq!(parts("s:", 1), Ok((Points::default(), texts(&[""]))));
        assert_eq!(parts("s:a%3Ab:2", 2), Ok((Points::default(), texts(&["a:b", "2"]))));
        assert_eq!(parts("s@17:c1", 1), Ok((at(17), texts(&["c1"]))));
        assert_eq!(parts("s@1970-01-01T00:00:01Z:a:b", 2), Ok((at(1_000_000), texts(&["a", "b"]))));
        assert_eq!(parts("s@1970-01-01T00%3A00%3A01Z:a", 1), Ok((at(1_000_000), texts(&["a"]))));
        assert_eq!(parts("s@-17:c1", 1), Ok((at(-17), texts(&["c1"]))));
        let both = Points { as_of: Some(17), previous: Some(1) };
        assert_eq!(parts("n.f@-1@17:c1", 1), Ok((both, texts(&["c1"]))));
        assert_eq!(parts("s?x=1", 0), Ok((Points::default(), Vec::new())));
        assert_eq!(parts("s:?x=1", 0), Ok((Points::default(), Vec::new())));
    }

    #[test]
    fn what_is_no_key_says_why() {
        let error = |key: &str, columns: usize| parts(key, columns).unwrap_err();
        assert!(error("s", 1).contains("write `s:…`"), "{}", error("s", 1));
        assert!(error("s:a:b", 1).contains("does not have 1 part after"));
        assert!(error("s:a", 2).contains("does not have 2 parts"));
        assert!(error("s@soon:a", 1).contains("`soon` in the key is not a time"));
        assert!(error("s:100%", 1).contains("write `%` itself as `%25`"));
        assert!(error("s:%FF", 1).contains("not UTF-8"));
    }

    #[test]
    fn request_values_follow_at_the_end() {
        let key = Key::of(b"s:c1?amount=80.0&x=a%26b");
        let pairs: Vec<_> = key.query().map(Result::unwrap).collect();
        assert_eq!(pairs, [(b"amount".as_slice(), b"80.0".as_slice()), (b"x", b"a%26b")]);
        assert!(Key::of(b"s:c1?amount").query().next().unwrap().unwrap_err().contains("name=value"));
        assert!(!Key::of(b"s:c1?").has_query());
    }

    proptest! {
        #[test]
        fn every_part_comes_back(parts in vec(vec(any::<u8>(), 0..20), 1..4)) {
            let mut key = b"service".to_vec();
            for part in &parts {
                key.push(b':');
                escape(part, &mut key);
            }
            prop_assert!(key.iter().all(|byte| (0x20..0x7f).contains(byte)));
            let key = Key::of(&key);
            let (points, read) = key.split(parts.len()).unwrap();
            let read: Vec<Vec<u8>> = read.map(|part| unescape(part).unwrap().into_owned()).collect();
            prop_assert_eq!(points, Points::default());
            prop_assert_eq!(read, parts);
        }

        #[test]
        fn no_bytes_break_it(key in vec(any::<u8>(), 0..60), columns in 0usize..4) {
            let key = Key::of(&key);
            if let Ok((_, parts)) = key.split(columns) {
                prop_assert_eq!(parts.count(), columns);
            }
            let _ = key.query().count();
        }
    }
}
