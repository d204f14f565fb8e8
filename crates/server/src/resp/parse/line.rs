//! Commands that come as one line, as people type them: words between spaces, or within quotes.

use super::{Command, Violation};

/// Takes one word of a line, without its quotes; what is left.
pub fn word<'a>(mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Violation> {
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'"' | b'\'' => {
                let rest = quoted(*byte, after, out)?;
                let ends = rest.first().is_none_or(u8::is_ascii_whitespace);
                return if ends { Ok(rest) } else { Err(Violation::Quotes) };
            }
            byte if byte.is_ascii_whitespace() => return Ok(after),
            byte => {
                out.push(*byte);
                after
            }
        };
    }
    Ok(rest)
}

/// Takes what is within quotes; what is left after them.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], Violation> {
    loop {
        let (byte, after) = match (quote, rest) {
            (_, []) => return Err(Violation::Quotes),
            (b'"', [b'\\', b'x', high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                ((hexadecimal(*high) << 4) | hexadecimal(*low), after)
            }
            (b'"', [b'\\', escaped, after @ ..]) => (unescaped(*escaped), after),
            (b'\'', [b'\\', b'\'', after @ ..]) => (b'\'', after),
            (_, [byte, after @ ..]) if *byte == quote => return Ok(after),
            (_, [byte, after @ ..]) => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
}

fn unescaped(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'a' => 7,
        other => other,
    }
}

/// The value of a hexadecimal digit; 0 of anything else.
pub fn hexadecimal(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

/// Whether this is a line of an HTTP request: its first one, or the one that every request has.
pub fn is_http(line: Command<'_>) -> bool {
    let name = line.name();
    let last = line.get(line.count() - 1);
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:") || last.starts_with(b"HTTP/1.")
}
