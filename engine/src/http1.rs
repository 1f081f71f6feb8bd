//! HTTP/1.1 as a client speaks it: one request goes out as bytes, one response is read from bytes.
//! A connection between two requests is its socket and nothing else.

mod chunks;
mod message;

use crate::answer::{Answer, SHOWN};
use crate::capture::Capture;
use crate::error_kind::ErrorKind;
use crate::kept::Kept;
use crate::net::Stream;
use crate::request::Request as Template;
use crate::response::ResponseResult;
use crate::stream::Reader;
use http::Method;
pub use message::Message;

use chunks::{At, Chunks};
use httparse::{ParserConfig, Response, Status};
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

const MAX_HEADERS: usize = 100;
const MAX_HEAD: usize = 400 << 10;

/// Interim responses (1xx) before the one that counts.
const MAX_INTERIM: u32 = 100;

/// A request on its way out and its response on its way in.
pub struct Exchange<'a> {
    template: &'a Template,
    values: &'a [String],
    message: &'a [u8],
    written: usize,
    flushed: bool,
    /// Why no more could be written; the peer may have answered before it closed.
    broken: Option<ErrorKind>,
    reply: Reply<'a>,
    first: Option<u64>,
}

impl<'a> Exchange<'a> {
    pub fn new(
        template: &'a Template,
        values: &'a [String],
        message: &'a [u8],
        limit: u64,
    ) -> Self {
        let keep = template.needs_body();
        let keep_headers = template.captures.iter().any(Capture::needs_headers);
        Self {
            template,
            values,
            message,
            written: 0,
            flushed: false,
            broken: None,
            reply: Reply {
                stream: template.stream.as_ref().map(Reader::new),
                ..Reply::new(template.method == Method::HEAD, (keep, keep_headers), limit)
            },
            first: None,
        }
    }

    /// How it came out, and whether the connection may be used again. `scratch` is overwritten;
    /// `gap` is given each time between two events of a stream, and how often it was seen.
    pub fn poll(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        now: impl Fn() -> u64,
        gap: impl Fn(u64, u32),
    ) -> Poll<(ResponseResult, bool)> {
        if self.broken.is_none()
            && !self.flushed
            && let Poll::Ready(Err(error)) = self.poll_write(stream, cx)
        {
            self.broken = Some(ErrorKind::of_stream(&error));
        }
        loop {
            let read = match stream.poll_read(cx, scratch) {
                Poll::Ready(Ok(read)) => read,
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(self.end(Some(ErrorKind::of_stream(&error)), now()));
                }
                Poll::Pending => {
                    let Some(kind) = self.broken else { return Poll::Pending };
                    return Poll::Ready(self.end(Some(kind), now()));
                }
            };
            if let Some(reader) = &mut self.reply.stream {
                reader.hear(now());
            }
            let result = match read {
                0 => self.reply.close(),
                _ => self.reply.take(&scratch[..read]),
            };
            if let Some(reader) = &mut self.reply.stream {
                reader.report_gaps(&gap);
            }
            let over = self.reply.is_over();
            if over || result.is_err() || self.first.is_none() && self.reply.has_head() {
                let now = now();
                if self.reply.has_head() {
                    self.first.get_or_insert(now);
                }
                if over || result.is_err() {
                    return Poll::Ready(self.end(result.err(), now));
                }
            }
        }
    }

    fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        while self.written < self.message.len() {
            match ready!(stream.poll_write(cx, &self.message[self.written..]))? {
                0 => return Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        ready!(stream.poll_flush(cx))?;
        self.flushed = true;
        Poll::Ready(Ok(()))
    }

    /// When a stream of which nothing more comes is given up; `None` before its first byte.
    pub fn patience(&self) -> Option<u64> {
        let reader = self.reply.stream.as_ref()?;
        Some(reader.heard()? + self.template.stream.as_ref()?.silence_ns)
    }

    /// What came until its time was up.
    pub fn time_out(&mut self, now: u64) -> ResponseResult {
        self.end(Some(ErrorKind::Timeout), now).0
    }

    fn end(&mut self, error: Option<ErrorKind>, done: u64) -> (ResponseResult, bool) {
        let wrong = self.reply.stream.as_mut().and_then(|reader| reader.fault(error, done));
        let reply = &self.reply;
        let mut ended = ResponseResult {
            error,
            status: reply.head.status,
            bytes_in: reply.bytes_in,
            first: self.first,
            done,
            stream: reply.stream.as_ref().map(Reader::streamed),
            ..ResponseResult::default()
        };
        if let Some(stream) = &mut ended.stream {
            stream.first_byte = self.first;
        }
        // The clock has stopped: what the checks cost is not the server's.
        let (answer, body) = (&reply.head.answer, (&*reply.kept, reply.limit));
        let ended = ended.concluded(self.template, self.values, answer, body, wrong);
        let reusable = error.is_none() && self.flushed && reply.head.persistent;
        (ended, reusable)
    }
}

/// What of a response has come.
struct Reply<'a> {
    to_head: bool,
    /// Whether the body is kept for the checks.
    keep: bool,
    keep_headers: bool,
    limit: u64,
    stage: Stage,
    /// The beginning of a head whose end has not come.
    held: Kept,
    heard: bool,
    interim: u32,
    head: Head,
    bytes_in: u64,
    kept: Kept,
    stream: Option<Reader<'a>>,
}

#[derive(Debug)]
enum Stage {
    Head,
    Length(u64),
    Chunks(Chunks),
    UntilClose,
    Over,
}

#[derive(Debug, Default)]
struct Head {
    status: u16,
    /// Whether the connection outlives the response.
    persistent: bool,
    answer: Answer,
}

impl Reply<'_> {
    fn new(to_head: bool, (keep, keep_headers): (bool, bool), limit: u64) -> Self {
        Self {
            to_head,
            keep,
            keep_headers,
            limit,
            stage: Stage::Head,
            held: Kept::default(),
            heard: false,
            interim: 0,
            head: Head::default(),
            bytes_in: 0,
            kept: Kept::default(),
            stream: None,
        }
    }

    fn has_head(&self) -> bool {
        !matches!(self.stage, Stage::Head)
    }

    fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), ErrorKind> {
        self.heard = true;
        while !bytes.is_empty() {
            match &mut self.stage {
                Stage::Head => match self.take_head(bytes)? {
                    Some(used) => bytes = &bytes[used..],
                    None => return Ok(()),
                },
                Stage::Length(left) => {
                    let (data, rest) = bytes.split_at(bytes.len().min(to_size(*left)));
                    *left -= data.len() as u64;
                    if *left == 0 {
                        self.stage = Stage::Over;
                    }
                    bytes = rest;
                    self.data(data)?;
                }
                Stage::Chunks(chunks) => {
                    let (used, data) = chunks.take(bytes)?;
                    if chunks.at == At::Over {
                        self.stage = Stage::Over;
                    }
                    let data = &bytes[data];
                    bytes = &bytes[used..];
                    self.data(data)?;
                }
                Stage::UntilClose => return self.data(bytes),
                Stage::Over => {
                    // More than was asked for: nobody knows what the next response would be.
                    self.head.persistent = false;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The peer has closed the connection.
    fn close(&mut self) -> Result<(), ErrorKind> {
        match self.stage {
            Stage::UntilClose => {
                self.stage = Stage::Over;
                Ok(())
            }
            Stage::Head if self.heard => Err(ErrorKind::Protocol),
            _ => Err(ErrorKind::Eof),
        }
    }

    fn data(&mut self, data: &[u8]) -> Result<(), ErrorKind> {
        self.bytes_in += data.len() as u64;
        if self.bytes_in > self.limit {
            return Err(ErrorKind::BodyTooLarge);
        }
        if self.keep {
            self.kept.extend(data)?;
        } else if Answer::shows(self.head.status)
            || self.stream.as_ref().is_some_and(Reader::is_document)
        {
            let room = SHOWN.saturating_sub(self.kept.len()).min(data.len());
            self.kept.extend(&data[..room])?;
        }
        match &mut self.stream {
            Some(reader) => reader.take(data),
            None => Ok(()),
        }
    }

    /// Takes a head, or the next part of one; gives how many of `bytes` belong to it once it ends.
    fn take_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, ErrorKind> {
        let before = self.held.len();
        let parsed = if before == 0 {
            parse(bytes, self.to_head, self.keep_headers)?
        } else {
            self.held.extend(bytes)?;
            parse(&self.held, self.to_head, self.keep_headers)?
        };
        match parsed {
            Some((used, head, stage)) => {
                self.held.clear();
                (self.head, self.stage) = (head, stage);
                if matches!(self.stage, Stage::Head) {
                    self.interim += 1;
                    return if self.interim > MAX_INTERIM {
                        Err(ErrorKind::Protocol)
                    } else {
                        Ok(Some(used - before))
                    };
                }
                if let Some(reader) = &mut self.stream {
                    reader.begin(self.head.answer.format(), self.head.status);
                }
                Ok(Some(used - before))
            }
            None => {
                if before == 0 {
                    self.held.extend(bytes)?;
                }
                if self.held.len() > MAX_HEAD { Err(ErrorKind::Protocol) } else { Ok(None) }
            }
        }
    }
}

fn to_size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Reads a head (RFC 9112): its length, and what it says of the body and of the connection.
fn parse(
    bytes: &[u8],
    to_head: bool,
    keep_headers: bool,
) -> Result<Option<(usize, Head, Stage)>, ErrorKind> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
    let mut response = Response::new(&mut []);
    let parsed = ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        &mut headers,
    );
    let used = match parsed {
        Ok(Status::Complete(used)) => used,
        Ok(Status::Partial) => return Ok(None),
        Err(_) => return Err(ErrorKind::Protocol),
    };
    let modern = response.version == Some(1);
    let status = response.code.unwrap_or(0);
    let mut persistent = modern;
    let mut length = None;
    let mut sound_length = true;
    let mut coded = false;
    let mut chunked = false;
    let mut answer = Answer::keeping(keep_headers);
    for header in response.headers {
        let mut items = header.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if header.name.eq_ignore_ascii_case("content-length") {
            for item in items {
                let value = digits(item);
                sound_length &= value.is_some() && (length.is_none() || length == value);
                length = value;
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            coded = true;
            chunked = items.next_back().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
        } else if header.name.eq_ignore_ascii_case("connection") {
            for item in items {
                if item.eq_ignore_ascii_case(b"close") {
                    persistent = false;
                } else if item.eq_ignore_ascii_case(b"keep-alive") && !modern {
                    persistent = true;
                }
            }
        } else {
            answer.note(header.name, header.value)?;
        }
    }
    let stage = match status {
        ..100 => return Err(ErrorKind::Protocol),
        // It is the next protocol's connection now.
        101 => {
            persistent = false;
            Stage::Over
        }
        // Not the response yet.
        100..200 => Stage::Head,
        _ if to_head || status == 204 || status == 304 => Stage::Over,
        _ if coded && !modern => return Err(ErrorKind::Protocol),
        _ if chunked => Stage::Chunks(Chunks::default()),
        _ if !coded && !sound_length => return Err(ErrorKind::Protocol),
        _ => match length.filter(|_| !coded) {
            Some(0) => Stage::Over,
            Some(length) => Stage::Length(length),
            None => {
                persistent = false;
                Stage::UntilClose
            }
        },
    };
    Ok(Some((used, Head { status, persistent, answer }, stage)))
}

fn digits(text: &[u8]) -> Option<u64> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| all)?.parse().ok()
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests;
