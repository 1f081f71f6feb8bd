//! What of a response's head matters beyond its framing, and the evidence that a failure leaves.

use crate::error_kind::ErrorKind;
use crate::kept::Kept;
use crate::stream::Format;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::io::Read;

/// Bytes of a failed response's body that are kept to show.
pub const SHOWN: usize = 512;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// How a body is coded (RFC 9110, 8.4.1). One that is not known is left as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Coding {
    #[default]
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

impl Coding {
    fn parse(value: &[u8]) -> Self {
        let is = |name: &str| value.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("gzip") || is("x-gzip") => Self::Gzip,
            () if is("deflate") => Self::Deflate,
            () if is("br") => Self::Brotli,
            () if is("zstd") => Self::Zstd,
            () => Self::Identity,
        }
    }

    fn reader(self, body: &[u8]) -> Box<dyn Read + '_> {
        match self {
            Self::Identity => Box::new(body),
            Self::Gzip => Box::new(MultiGzDecoder::new(body)),
            // Many servers leave out the zlib header that the RFC asks for.
            Self::Deflate if body.first().is_some_and(|byte| byte & 0x0f == 8) => {
                Box::new(ZlibDecoder::new(body))
            }
            Self::Deflate => Box::new(DeflateDecoder::new(body)),
            Self::Brotli => Box::new(brotli_decompressor::Decompressor::new(body, 4096)),
            Self::Zstd => match ruzstd::decoding::StreamingDecoder::new(body) {
                Ok(reader) => Box::new(reader),
                Err(_) => Box::new(Broken),
            },
        }
    }

    /// The body as it is meant; at most `limit` bytes of it.
    fn decode(self, body: &[u8], limit: u64) -> Result<Kept, ErrorKind> {
        let mut reader = self.reader(body);
        let mut out = Kept::default();
        let mut piece = [0; 8 << 10];
        loop {
            match reader.read(&mut piece).map_err(|_| ErrorKind::Protocol)? {
                0 => return Ok(out),
                read => out.extend(&piece[..read])?,
            }
            if out.len() as u64 > limit {
                return Err(ErrorKind::BodyTooLarge);
            }
        }
    }
}

/// A body, which is decoded when somebody first looks at it.
pub struct Content<'a> {
    coded: &'a [u8],
    coding: Coding,
    limit: u64,
    decoded: OnceCell<Result<Kept, ErrorKind>>,
}

impl<'a> Content<'a> {
    /// It may have `limit` bytes once it is decoded.
    pub fn new(coded: &'a [u8], coding: Coding, limit: u64) -> Self {
        Self { coded, coding, limit, decoded: OnceCell::new() }
    }

    /// The body as it is meant, without a byte order mark.
    pub fn bytes(&self) -> Result<&[u8], ErrorKind> {
        let bytes = if self.coding == Coding::Identity || self.coded.is_empty() {
            self.coded
        } else {
            let decode = || self.coding.decode(self.coded, self.limit);
            self.decoded.get_or_init(decode).as_ref().map_err(|kind| *kind)?
        };
        Ok(bytes.strip_prefix(BOM).unwrap_or(bytes))
    }
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}

/// What the head of a response says of its body, and where it sends the client.
#[derive(Debug, Default)]
pub struct Answer {
    pub coding: Coding,
    format: Format,
    /// Seconds; a date is not kept.
    retry_after: Option<u32>,
    location: Option<Box<str>>,
    /// All of them, in order, as lines of name, colon and value; where somebody wants to look at them.
    headers: Option<Kept>,
}

impl Answer {
    /// Of a response whose headers are kept if `headers` says so.
    pub fn keeping(headers: bool) -> Self {
        Self { headers: headers.then(Kept::default), ..Self::default() }
    }

    /// The values of the headers of this name.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = Cow<'_, str>> {
        let kept = self.headers.as_deref().unwrap_or_default();
        kept.split(|byte| *byte == b'\n').filter_map(move |line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let is = line[..at].eq_ignore_ascii_case(name.as_bytes());
            is.then(|| String::from_utf8_lossy(&line[at + 1..]))
        })
    }

    /// Takes what matters of a header, neither of whose parts holds a line break.
    pub fn note(&mut self, name: &str, value: &[u8]) -> Result<(), ErrorKind> {
        if let Some(headers) = &mut self.headers {
            for part in [name.as_bytes(), b":", value, b"\n"] {
                headers.extend(part)?;
            }
        }
        let text = || String::from_utf8_lossy(value);
        if name.eq_ignore_ascii_case("content-encoding") {
            self.coding = Coding::parse(value);
        } else if name.eq_ignore_ascii_case("content-type") {
            self.format = Format::of(value);
        } else if name.eq_ignore_ascii_case("retry-after") {
            self.retry_after = text().trim().parse().ok();
        } else if name.eq_ignore_ascii_case("location") {
            self.location = Some(text().chars().take(SHOWN).collect::<String>().into());
        }
        Ok(())
    }

    /// How the body is divided into events: one that is coded is seen in pieces only.
    pub fn format(&self) -> Format {
        match self.format {
            Format::Document => Format::Document,
            found if self.coding == Coding::Identity => found,
            _ => Format::Pieces,
        }
    }

    /// Whether the body of a response with this status may have to be shown.
    pub fn shows(status: u16) -> bool {
        !(200..300).contains(&status)
    }

    pub fn evidence(&self, body: &[u8]) -> Box<Evidence> {
        let mut head = Vec::new();
        // What can be read of a body that is cut or broken is shown.
        let _ = self.coding.reader(body).take(SHOWN as u64).read_to_end(&mut head);
        Box::new(Evidence {
            head: String::from_utf8_lossy(&head).into_owned(),
            retry_after: self.retry_after,
            location: self.location.clone(),
            reason: None,
        })
    }

    /// The same of a stream that is broken, with what is wrong in place of the body; of an answer
    /// that is no stream, beside it.
    pub fn complaint(&self, kind: ErrorKind, wrong: String, body: &[u8]) -> Box<Evidence> {
        Box::new(match kind {
            ErrorKind::NotAStream => Evidence { reason: Some(wrong), ..*self.evidence(body) },
            _ => Evidence { head: wrong, ..*self.evidence(b"") },
        })
    }
}

/// What a failed response leaves to look at.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub head: String,
    pub retry_after: Option<u32>,
    pub location: Option<Box<str>>,
    /// What is said of it besides its kind.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn decoded(coding: Coding, body: &[u8], limit: u64) -> Result<Vec<u8>, ErrorKind> {
        Content::new(body, coding, limit).bytes().map(<[u8]>::to_vec)
    }

    #[test]
    fn a_body_is_decoded_up_to_the_limit() {
        let text = vec![b'a'; 100_000];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let body = gzip.finish().unwrap();
        assert_eq!(decoded(Coding::Gzip, &body, 100_000).unwrap(), &text[..]);
        assert_eq!(decoded(Coding::Gzip, &body, 99_999), Err(ErrorKind::BodyTooLarge));
        assert_eq!(
            decoded(Coding::Gzip, &body[..body.len() / 2], 1 << 20),
            Err(ErrorKind::Protocol)
        );
        assert_eq!(decoded(Coding::Gzip, b"plain", 10), Err(ErrorKind::Protocol));
    }

    #[test]
    fn deflate_is_read_with_and_without_its_header() {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        zlib.write_all(b"text").unwrap();
        let body = zlib.finish().unwrap();
        assert_eq!(decoded(Coding::Deflate, &body, 9).unwrap(), &b"text"[..]);
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        raw.write_all(b"text").unwrap();
        let body = raw.finish().unwrap();
        assert_eq!(decoded(Coding::Deflate, &body, 9).unwrap(), &b"text"[..]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(decoded(Coding::Identity, b"\xef\xbb\xbf{}", 9).unwrap(), &b"{}"[..]);
    }
}
