//! HTTP/1.1 as a client speaks it: one request goes out as bytes, one response is read from bytes.
//! A connection between two requests is its socket and nothing else.

use crate::answer::{Answer, SHOWN};
use crate::body::Body;
use crate::capture::Capture;
use crate::kept::Kept;
use crate::kind::Kind;
use crate::net::Stream;
use crate::request::Request as Template;
use crate::response::ResponseResult;
use crate::route::TargetUrl;
use crate::stream::Reader;
use crate::template::Sink as _;
use http::Method;
use http::header::HOST;
use httparse::{ParserConfig, Response, Status};
use std::fmt::Write as _;
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

const MAX_PATH: usize = 65_534;
const MAX_HEADERS: usize = 100;
const MAX_HEAD: usize = 400 << 10;
/// Bytes of chunk extensions and trailers that one response may have.
const MAX_ASIDES: u32 = 16 << 10;
/// Interim responses (1xx) before the one that counts.
const MAX_INTERIM: u32 = 100;

/// One template as it goes to one target.
pub struct Message {
    /// All of it, when nothing varies.
    fixed: Option<Vec<u8>>,
    /// The length of the body then.
    fixed_body: u64,
    /// The lines of the headers that do not vary.
    headers: String,
}

impl Message {
    pub fn new(template: &Template, target: &TargetUrl) -> Self {
        let mut headers = target.lines.clone();
        let own_host = template.headers.contains_key(HOST)
            || template.dynamic.iter().any(|header| header.name == HOST);
        if !own_host {
            let _ = write!(headers, "host: {}\r\n", target.authority);
        }
        for (name, value) in &template.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            let _ = write!(headers, "{name}: {value}\r\n");
        }
        let mut message = Self { fixed: None, fixed_body: 0, headers };
        let bodies = template.body.as_ref().is_none_or(Body::is_fixed);
        if template.dynamic.is_empty() && template.path.fixed().is_some() && bodies {
            let mut bytes = Vec::new();
            if let Some(body) = message.write(template, target, &[], &mut bytes) {
                (message.fixed, message.fixed_body) = (Some(bytes), body);
            }
        }
        message
    }

    /// Writes the request with its values in place and gives the length of its body; `None` if they
    /// do not make one (a path too long).
    pub fn write(
        &self,
        template: &Template,
        target: &TargetUrl,
        values: &[String],
        out: &mut Vec<u8>,
    ) -> Option<u64> {
        out.clear();
        if let Some(fixed) = &self.fixed {
            out.extend_from_slice(fixed);
            return Some(self.fixed_body);
        }
        out.push_str(template.method.as_str());
        out.push(b' ');
        let begin = out.len();
        out.push_str(&target.prefix);
        template.path.render(values, out);
        if out.len() - begin > MAX_PATH {
            return None;
        }
        out.push_str(" HTTP/1.1\r\n");
        out.push_str(&self.headers);
        for header in &template.dynamic {
            out.push_str(header.name.as_str());
            out.push_str(": ");
            let begin = out.len();
            header.value.render(values, out);
            let allowed = |byte: &u8| *byte >= b' ' && *byte != 127 || *byte == b'\t';
            if !out[begin..].iter().all(allowed) {
                return None;
            }
            out.push_str("\r\n");
        }
        let Some(body) = &template.body else {
            out.push_str("\r\n");
            return Some(0);
        };
        let mut bytes = Vec::new();
        body.render(values, &mut bytes);
        if !bytes.is_empty() {
            // Writing to a vector cannot fail.
            let _ =
                std::io::Write::write_fmt(out, format_args!("content-length: {}\r\n", bytes.len()));
        }
        out.push_str("\r\n");
        out.extend_from_slice(&bytes);
        Some(bytes.len() as u64)
    }
}

/// A request on its way out and its response on its way in.
pub struct Exchange<'a> {
    template: &'a Template,
    values: &'a [String],
    message: &'a [u8],
    written: usize,
    flushed: bool,
    /// Why no more could be written; the peer may have answered before it closed.
    broken: Option<Kind>,
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
            self.broken = Some(Kind::of_stream(&error));
        }
        loop {
            let read = match stream.poll_read(cx, scratch) {
                Poll::Ready(Ok(read)) => read,
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(self.end(Some(Kind::of_stream(&error)), now()));
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
        self.end(Some(Kind::Timeout), now).0
    }

    fn end(&mut self, error: Option<Kind>, done: u64) -> (ResponseResult, bool) {
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
        let answer = &reply.head.answer;
        if error.is_none() {
            // The clock has stopped: what the checks cost is not the server's.
            ended.judge(self.template, answer, &reply.kept, reply.limit, self.values);
        } else if reply.has_head() {
            ended.evidence = Some(answer.evidence(&reply.kept));
        }
        let complaint = |(kind, wrong)| (kind, answer.complaint(kind, wrong, &reply.kept));
        let ended = ended.broken(error, wrong.map(complaint));
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

#[derive(Clone, Debug, Default)]
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

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Kind> {
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
    fn close(&mut self) -> Result<(), Kind> {
        match self.stage {
            Stage::UntilClose => {
                self.stage = Stage::Over;
                Ok(())
            }
            Stage::Head if self.heard => Err(Kind::Protocol),
            _ => Err(Kind::Eof),
        }
    }

    fn data(&mut self, data: &[u8]) -> Result<(), Kind> {
        self.bytes_in += data.len() as u64;
        if self.bytes_in > self.limit {
            return Err(Kind::BodyTooLarge);
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
    fn take_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, Kind> {
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
                        Err(Kind::Protocol)
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
                if self.held.len() > MAX_HEAD { Err(Kind::Protocol) } else { Ok(None) }
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
) -> Result<Option<(usize, Head, Stage)>, Kind> {
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
        Err(_) => return Err(Kind::Protocol),
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
            answer.note(header.name, header.value);
        }
    }
    let stage = match status {
        ..100 => return Err(Kind::Protocol),
        // It is the next protocol's connection now.
        101 => {
            persistent = false;
            Stage::Over
        }
        // Not the response yet.
        100..200 => Stage::Head,
        _ if to_head || status == 204 || status == 304 => Stage::Over,
        _ if coded && !modern => return Err(Kind::Protocol),
        _ if chunked => Stage::Chunks(Chunks::default()),
        _ if !coded && !sound_length => return Err(Kind::Protocol),
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

/// A character of a field's name (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn digits(text: &[u8]) -> Option<u64> {
    let all = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| all)?.parse().ok()
}

/// A body in chunks: where in it the next byte belongs.
#[derive(Debug, Default)]
struct Chunks {
    at: At,
    /// The size of the chunk while it is read, then what is left of it.
    left: u64,
    asides: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
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
    fn take(&mut self, bytes: &[u8]) -> Result<(usize, std::ops::Range<usize>), Kind> {
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

    fn step(&mut self, byte: u8) -> Result<At, Kind> {
        Ok(match (self.at, byte) {
            (At::Size | At::SizeOn, byte) if byte.is_ascii_hexdigit() => {
                let digit = u64::from(char::from(byte).to_digit(16).unwrap_or(0));
                self.left = self.left.checked_mul(16).ok_or(Kind::Protocol)? + digit;
                At::SizeOn
            }
            (At::SizeOn | At::SizeBlank | At::Extension, b'\r') => At::SizeEnd,
            (At::SizeOn | At::SizeBlank, b';') => At::Extension,
            (At::SizeOn | At::SizeBlank, b' ' | b'\t') => self.aside(At::SizeBlank)?,
            (At::Extension, byte) if byte != b'\n' => self.aside(At::Extension)?,
            (At::SizeEnd, b'\n') if self.left == 0 => At::Line,
            (At::SizeEnd, b'\n') => At::Data,
            (At::DataEnd, b'\r') => At::DataEndOn,
            (At::DataEndOn, b'\n') => At::Size,
            (At::Line, b'\r') => At::End,
            (At::Trailer, b'\r') => At::TrailerEnd,
            (At::Line | At::TrailerName, byte) if is_token(byte) => self.aside(At::TrailerName)?,
            (At::TrailerName, b':') => self.aside(At::Trailer)?,
            (At::Trailer, b'\t' | b' '..=b'~' | 0x80..) => self.aside(At::Trailer)?,
            (At::TrailerEnd, b'\n') => At::Line,
            (At::End, b'\n') => At::Over,
            _ => return Err(Kind::Protocol),
        })
    }

    fn aside(&mut self, at: At) -> Result<At, Kind> {
        self.asides += 1;
        if self.asides > MAX_ASIDES { Err(Kind::Protocol) } else { Ok(at) }
    }
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reply is once it is over: status, body, whether the connection may be used again.
    type Whole = (u16, String, bool);

    /// Reads `text` in pieces of `size`, then the end of the stream.
    fn read(text: &str, size: usize, to_head: bool) -> Result<Whole, Kind> {
        let mut reply = Reply::new(to_head, (true, false), 1_000);
        for piece in text.as_bytes().chunks(size) {
            reply.take(piece)?;
        }
        if !reply.is_over() {
            reply.close()?;
        }
        let body = String::from_utf8(reply.kept.to_vec()).unwrap();
        Ok((reply.head.status, body, reply.head.persistent))
    }

    /// The same however it is cut into pieces.
    fn whole(text: &str) -> Result<Whole, Kind> {
        let result = read(text, text.len().max(1), false);
        for size in [1, 2, 3, 7] {
            assert_eq!(read(text, size, false), result, "{text:?} in pieces of {size}");
        }
        result
    }

    fn good(status: u16, body: &str, persistent: bool) -> Result<Whole, Kind> {
        Ok((status, body.into(), persistent))
    }

    #[test]
    fn a_length_ends_the_body() {
        assert_eq!(whole("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), good(200, "ok", true));
        assert_eq!(whole("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), good(200, "", true));
        let twice = "HTTP/1.1 200 OK\r\ncontent-length: 2, 2\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(whole(twice), good(200, "ok", true));
        for bad in ["2, 3", "+2", "", "99999999999999999999"] {
            let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {bad}\r\n\r\nok");
            assert_eq!(whole(&text), Err(Kind::Protocol), "{bad}");
        }
    }

    #[test]
    fn chunks_extensions_and_trailers_are_read() {
        let head =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\ncontent-length: 1\r\n\r\n";
        let body = "3;a=\"b\"\r\nabc\r\n0A \r\n0123456789\r\n0\r\nx: y\r\n\r\n";
        assert_eq!(whole(&format!("{head}{body}")), good(200, "abc0123456789", true));
        for bad in ["x\r\n", "\r\n", "3\r\nabcd\r\n", "3\nabc", "11111111111111111\r\n"] {
            assert_eq!(whole(&format!("{head}{bad}")), Err(Kind::Protocol), "{bad:?}");
        }
        let endless = format!("{head}0\r\n{}", "x: y\r\n".repeat(5_000));
        assert_eq!(whole(&endless), Err(Kind::Protocol));
        assert_eq!(whole(&format!("{head}3\r\nab")), Err(Kind::Eof));
    }

    #[test]
    fn a_body_without_a_length_ends_with_the_connection() {
        assert_eq!(whole("HTTP/1.1 200 OK\r\n\r\nall"), good(200, "all", false));
        let coded = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ncontent-length: 1\r\n\r\nall";
        assert_eq!(whole(coded), good(200, "all", false));
    }

    #[test]
    fn some_responses_have_no_body_whatever_they_say() {
        for status in [204, 304] {
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\n");
            assert_eq!(whole(&text), good(status, "", true));
        }
        let text = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(read(text, 9, true), good(200, "", true));
    }

    #[test]
    fn interim_responses_are_passed_over() {
        let text = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n\
                    HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(whole(text), good(201, "ok", true));
        assert_eq!(whole("HTTP/1.1 100 Continue\r\n\r\n"), Err(Kind::Protocol));
        assert_eq!(whole("HTTP/1.1 101 Switching\r\n\r\n"), good(101, "", false));
    }

    #[test]
    fn the_connection_outlives_the_response_only_if_both_agree() {
        let with = |version: &str, connection: &str| {
            whole(&format!(
                "HTTP/{version} 200 OK\r\nconnection: {connection}\r\ncontent-length: 0\r\n\r\n"
            ))
            .map(|(_, _, persistent)| persistent)
        };
        assert_eq!(with("1.1", "x, Close"), Ok(false));
        assert_eq!(with("1.1", "keep-alive"), Ok(true));
        assert_eq!(with("1.0", "Keep-Alive"), Ok(true));
        assert_eq!(with("1.0", "x"), Ok(false));
        // What comes after the response was not asked for.
        let more = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 408 X\r\n\r\n";
        assert_eq!(whole(more), good(200, "ok", false));
    }

    #[test]
    fn what_ends_too_early_is_not_a_response() {
        assert_eq!(whole(""), Err(Kind::Eof));
        assert_eq!(whole("HTTP/1.1 200 OK\r\ncontent-le"), Err(Kind::Protocol));
        assert_eq!(whole("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok"), Err(Kind::Eof));
    }

    #[test]
    fn bodies_and_heads_have_a_limit() {
        let body = "z".repeat(1_001);
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n{body}");
        assert_eq!(whole(&text), Err(Kind::BodyTooLarge));
        let head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MAX_HEAD));
        assert_eq!(read(&head, 65_536, false), Err(Kind::Protocol));
    }
}
