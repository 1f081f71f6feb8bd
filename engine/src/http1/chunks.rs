//! A body in chunks (RFC 9112, 7.1).

use super::to_size;
use crate::error_kind::ErrorKind;

/// Bytes of chunk extensions and trailers that one response may have.
const MAX_OVERHEAD: u32 = 16 << 10;

/// A character of a field's name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// A body in chunks: where in it the next byte belongs.
#[derive(Debug, Default)]
pub struct Chunks {
    pub at: At,
    /// The size of the chunk while it is read, then what is left of it.
    left: u64,
    overhead: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum At {
    #[default]
    Size,
    SizeOn,
    SizeBlank,
    Extension,
    SizeEnd,
    Data,
    DataEnd,
    DataEndOn,
    Line,
    TrailerName,
    Trailer,
    TrailerEnd,
    End,
    Over,
}

impl Chunks {
    /// Takes bytes up to the end of the first data among them, or of the body: how many, and which
    /// of them are data.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(usize, std::ops::Range<usize>), ErrorKind> {
        for (i, byte) in bytes.iter().enumerate() {
            if self.at == At::Data {
                let end = i + (bytes.len() - i).min(to_size(self.left));
                self.left -= (end - i) as u64;
                if self.left == 0 {
                    self.at = At::DataEnd;
                }
                return Ok((end, i..end));
            }
            self.at = self.step(*byte)?;
            if self.at == At::Over {
                return Ok((i + 1, 0..0));
            }
        }
        Ok((bytes.len(), 0..0))
    }

    fn step(&mut self, byte: u8) -> Result<At, ErrorKind> {
        Ok(match (self.at, byte) {
            (At::Size | At::SizeOn, byte) if byte.is_ascii_hexdigit() => {
                let digit = u64::from(char::from(byte).to_digit(16).unwrap_or(0));
                self.left = self.left.checked_mul(16).ok_or(ErrorKind::Protocol)? + digit;
                At::SizeOn
            }
            (At::SizeOn | At::SizeBlank | At::Extension, b'\r') => At::SizeEnd,
            (At::SizeOn | At::SizeBlank, b';') => At::Extension,
            (At::SizeOn | At::SizeBlank, b' ' | b'\t') => self.overhead(At::SizeBlank)?,
            (At::Extension, byte) if byte != b'\n' => self.overhead(At::Extension)?,
            (At::SizeEnd, b'\n') if self.left == 0 => At::Line,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataEnd, b'\r') => At::DataEndOn,
            (At::DataEndOn, b'\n') => At::Size,
            (At::Line, b'\r') => At::End,
            (At::Trailer, b'\r') => At::TrailerEnd,
            (At::Line | At::TrailerName, byte) if is_token(byte) => {
                self.overhead(At::TrailerName)?
            }
            (At::TrailerName, b':') => self.overhead(At::Trailer)?,
            (At::Trailer, b'\t' | b' '..=b'~' | 0x80..) => self.overhead(At::Trailer)?,
            (At::TrailerEnd, b'\n') => At::Line,
            (At::End, b'\n') => At::Over,
            _ => return Err(ErrorKind::Protocol),
        })
    }

    fn overhead(&mut self, at: At) -> Result<At, ErrorKind> {
        self.overhead += 1;
        if self.overhead > MAX_OVERHEAD { Err(ErrorKind::Protocol) } else { Ok(at) }
    }
}
