//! Commands as they are in the buffer in which they came.

use super::Parser;

/// Where an argument is in its buffer.
#[derive(Debug, Clone, Copy)]
pub struct Piece {
    pub from: usize,
    pub to: usize,
}

/// Which pieces make a command.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub from: usize,
    pub to: usize,
    /// Its arguments were unquoted, and are not in the input.
    pub line: bool,
}

/// Commands that came together.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    pub parser: &'a Parser,
    pub input: &'a [u8],
}

impl<'a> Batch<'a> {
    pub fn count(self) -> usize {
        self.parser.commands.len()
    }

    pub fn command(self, index: usize) -> Command<'a> {
        let span = self.parser.commands[index];
        let bytes = if span.line { self.parser.unquoted.as_slice() } else { self.input };
        Command { bytes, pieces: &self.parser.pieces[span.from..span.to] }
    }
}

/// One command: its name and its arguments, in the buffer in which they came.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    pub bytes: &'a [u8],
    pub pieces: &'a [Piece],
}

impl<'a> Command<'a> {
    /// How many words it has; at least its name.
    pub fn count(self) -> usize {
        self.pieces.len()
    }

    /// A word by its place; there must be so many.
    pub fn get(self, index: usize) -> &'a [u8] {
        let piece = self.pieces[index];
        &self.bytes[piece.from..piece.to]
    }

    pub fn name(self) -> &'a [u8] {
        self.get(0)
    }

    /// The words from a place on.
    pub fn words(self, index: usize) -> impl Iterator<Item = &'a [u8]> {
        self.pieces[index.min(self.pieces.len())..].iter().map(move |piece| &self.bytes[piece.from..piece.to])
    }
}
