//! From bytes to commands: arrays of bulk strings, or one line. The parser is the door's own, since it has to be
//! bounded before anything is allocated, to go on where it stopped when a command comes in pieces, to leave arguments
//! where they are in the buffer, and to read lines; a general decoder of frames does none of these.

mod command;
mod line;

use super::limits::{
    MAX_ARGUMENTS, MAX_BULK_BYTES, MAX_COMMAND_BYTES, MAX_INLINE_BYTES, MAX_LENGTH_BYTES, MAX_UNKNOWN_ARGUMENTS,
    MAX_UNKNOWN_BULK_BYTES,
};
use command::{Piece, Span};
use line::{is_http, word};

pub use command::{Batch, Command};
pub use line::hexadecimal;

/// What breaks the protocol; the connection ends with it. The words are those of Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    #[error("ERR Protocol error: invalid multibulk length")]
    Count,
    #[error("ERR Protocol error: unauthenticated multibulk length")]
    UnknownCount,
    #[error("ERR Protocol error: too big mbulk count string")]
    LongCount,
    #[error("ERR Protocol error: expected '$', got '{}'", .0.escape_ascii())]
    NoBulk(u8),
    #[error("ERR Protocol error: invalid bulk length")]
    Length,
    #[error("ERR Protocol error: unauthenticated bulk length")]
    UnknownLength,
    #[error("ERR Protocol error: too big bulk count string")]
    LongLength,
    #[error("ERR Protocol error: expected CRLF")]
    NoEnd,
    #[error("ERR Protocol error: too big inline request")]
    LongLine,
    #[error("ERR Protocol error: unbalanced quotes in request")]
    Quotes,
    #[error("ERR Protocol error: a command has at most {} bytes", MAX_COMMAND_BYTES)]
    TooLarge,
    /// A browser or another HTTP client was led here; it is told nothing.
    #[error("an HTTP request came in by the Redis protocol's port")]
    Http,
}

/// How much one command may be.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    arguments: usize,
    bulk: usize,
    known: bool,
}

impl Bounds {
    /// Those for somebody who was let in, or who was not yet.
    pub fn of(known: bool) -> Self {
        if known {
            return Self { arguments: MAX_ARGUMENTS, bulk: MAX_BULK_BYTES, known };
        }
        Self { arguments: MAX_UNKNOWN_ARGUMENTS, bulk: MAX_UNKNOWN_BULK_BYTES, known }
    }
}

/// Reads commands, and remembers how far it got with one that is not whole yet. Offsets are into the input, which may
/// grow at its end between calls, and is cut at its start by as much as [`Parser::finish`] says.
#[derive(Debug, Default)]
pub struct Parser {
    /// Where the command begins that is not whole yet.
    start: usize,
    /// How far it has been looked at.
    at: usize,
    /// Its arguments that are still to come; 0: its count has not been read.
    missing: usize,
    first: usize,
    pieces: Vec<Piece>,
    commands: Vec<Span>,
    /// Arguments of commands that came as a line, without their quotes.
    unquoted: Vec<u8>,
    violation: Option<Violation>,
}

impl Parser {
    /// Takes whole commands from the input, at most so many.
    pub fn parse(&mut self, input: &[u8], most: usize, bounds: Bounds) {
        while self.violation.is_none() && self.commands.len() < most {
            match self.take(input, bounds) {
                Ok(true) => {}
                Ok(false) => return,
                Err(violation) => self.violation = Some(violation),
            }
        }
    }

    /// The commands taken from this input.
    pub fn batch<'a>(&'a self, input: &'a [u8]) -> Batch<'a> {
        Batch { parser: self, input }
    }

    /// What came after the commands that breaks the protocol.
    pub fn violation(&self) -> Option<Violation> {
        self.violation
    }

    /// Whether the command would have been taken of somebody who is known.
    pub fn is_for_the_known(&self) -> bool {
        matches!(self.violation, Some(Violation::UnknownCount | Violation::UnknownLength))
    }

    /// Takes that command after all: whoever sent it is known now.
    pub fn forgive(&mut self) {
        self.violation = None;
    }

    /// Forgets the commands taken; returns by how many bytes the input is to be cut at its start.
    pub fn finish(&mut self) -> usize {
        let done = std::mem::take(&mut self.start);
        self.at -= done;
        let unfinished = if self.missing > 0 { self.first } else { self.pieces.len() };
        self.pieces.drain(..unfinished);
        for piece in &mut self.pieces {
            piece.from -= done;
            piece.to -= done;
        }
        self.first = 0;
        self.commands.clear();
        self.unquoted.clear();
        done
    }

    /// Goes on with a command; whether there was enough of it.
    fn take(&mut self, input: &[u8], bounds: Bounds) -> Result<bool, Violation> {
        if self.missing == 0 {
            match input.get(self.start) {
                None => return Ok(false),
                Some(b'*') => {}
                Some(_) => return self.take_line(input, bounds),
            }
            let count = length(input, self.start + 1, Violation::LongCount, Violation::Count)?;
            let Some((count, next)) = count else { return Ok(false) };
            // Less than none is none.
            let count = usize::try_from(count).unwrap_or(0);
            if count > bounds.arguments {
                let unknown = !bounds.known && count <= MAX_ARGUMENTS;
                return Err(if unknown { Violation::UnknownCount } else { Violation::Count });
            }
            self.at = next;
            if count == 0 {
                self.start = next;
                return Ok(true);
            }
            self.missing = count;
            self.first = self.pieces.len();
        }
        while self.missing > 0 {
            match input.get(self.at) {
                None => return Ok(false),
                Some(b'$') => {}
                Some(other) => return Err(Violation::NoBulk(*other)),
            }
            let found = length(input, self.at + 1, Violation::LongLength, Violation::Length)?;
            let Some((size, from)) = found else { return Ok(false) };
            let to = from + self.bulk_size(size, from, bounds)?;
            match input.get(to..to + 2) {
                None => return Ok(false),
                Some(b"\r\n") => {}
                Some(_) => return Err(Violation::NoEnd),
            }
            self.pieces.push(Piece { from, to });
            self.at = to + 2;
            self.missing -= 1;
        }
        self.commands.push(Span { from: self.first, to: self.pieces.len(), line: false });
        self.start = self.at;
        Ok(true)
    }

    /// The size of an argument that begins at `from`, where it is within the bounds.
    fn bulk_size(&self, size: i64, from: usize, bounds: Bounds) -> Result<usize, Violation> {
        let size = usize::try_from(size).map_err(|_| Violation::Length)?;
        if size > MAX_BULK_BYTES {
            return Err(Violation::Length);
        }
        if size > bounds.bulk {
            return Err(Violation::UnknownLength);
        }
        if from + size + 2 - self.start > MAX_COMMAND_BYTES {
            return Err(Violation::TooLarge);
        }
        Ok(size)
    }

    fn take_line(&mut self, input: &[u8], bounds: Bounds) -> Result<bool, Violation> {
        let end = input[self.at..].iter().position(|byte| *byte == b'\n').map(|end| self.at + end);
        if end.unwrap_or(input.len()) - self.start > MAX_INLINE_BYTES {
            return Err(Violation::LongLine);
        }
        let Some(end) = end else {
            self.at = input.len();
            return Ok(false);
        };
        let mut rest = input[self.start..end].trim_ascii();
        let (first, before) = (self.pieces.len(), self.unquoted.len());
        while !rest.is_empty() {
            let from = self.unquoted.len();
            rest = word(rest, &mut self.unquoted)?.trim_ascii_start();
            self.pieces.push(Piece { from, to: self.unquoted.len() });
            if self.pieces.len() - first > bounds.arguments {
                self.pieces.truncate(first);
                self.unquoted.truncate(before);
                return Err(if bounds.known { Violation::Count } else { Violation::UnknownCount });
            }
        }
        self.start = end + 1;
        self.at = self.start;
        if self.pieces.len() == first {
            return Ok(true);
        }
        let span = Span { from: first, to: self.pieces.len(), line: true };
        self.commands.push(span);
        let command = Command { bytes: &self.unquoted, pieces: &self.pieces[span.from..span.to] };
        if is_http(command) {
            self.commands.pop();
            return Err(Violation::Http);
        }
        Ok(true)
    }
}

/// A length that ends with CRLF, and where what follows begins; none where it is not whole.
fn length(
    input: &[u8],
    from: usize,
    too_long: Violation,
    invalid: Violation,
) -> Result<Option<(i64, usize)>, Violation> {
    let window = &input[from..input.len().min(from + MAX_LENGTH_BYTES)];
    let Some(end) = window.iter().position(|byte| *byte == b'\r') else {
        return if window.len() == MAX_LENGTH_BYTES { Err(too_long) } else { Ok(None) };
    };
    match input.get(from + end + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(invalid),
    }
    let number = number(&window[..end]).ok_or(invalid)?;
    Ok(Some((number, from + end + 2)))
}

/// A whole number in decimal digits.
pub fn number(text: &[u8]) -> Option<i64> {
    if let [digit @ b'0'..=b'9'] = text {
        return Some(i64::from(digit - b'0'));
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
