//! HTTP/1.1 as the reference service speaks it, and who begins with HTTP/2.

use super::chat::{Chat, Piece};
use super::http2;
use super::replica::{Answer, JSON, MAX_BODY, Replica, Request};
use super::routes::decoded;
use httparse::{EMPTY_HEADER, Status};
use std::borrow::Cow;
use std::io::{self, Write as _};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How the preface of HTTP/2 begins, and no request of HTTP/1.1 does.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n";
const MAX_HEADERS: usize = 100;
const MAX_HEAD: usize = 64 << 10;
const READ: usize = 4 << 10;
/// How long a peer may take to see the end of a connection that it still writes to.
const LINGER: Duration = Duration::from_secs(1);

/// Answers the requests of one connection, one after the other, until it ends.
pub async fn converse(replica: Rc<Replica>, mut stream: TcpStream) -> io::Result<()> {
    let mut input = Vec::with_capacity(READ);
    let mut out = Vec::with_capacity(READ);
    loop {
        let message = match receive(&mut stream, &mut input).await? {
            Received::Message(message) => message,
            Received::End => return Ok(()),
            Received::Http2 => {
                let done = http2::converse(replica, input, stream).await;
                return done.map_err(io::Error::other);
            }
            Received::Bad(status) => {
                let body = Cow::Borrowed(r#"{"error":"not a request that is served"}"#);
                let answer = Answer {
                    status,
                    content_type: JSON,
                    body,
                    closes: true,
                    retry_after: None,
                    stream: None,
                };
                write(&answer, false, &mut out);
                stream.write_all(&out).await?;
                return linger(stream).await;
            }
        };
        let head = &message.head;
        let target = text(&input, &head.target);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = decoded(path);
        let request = Request {
            method: text(&input, &head.method),
            path: &path,
            query,
            api_key: text(&input, &head.api_key),
            body: message.body(&input),
        };
        let mut answer = replica.answer(&request).await;
        answer.closes |= head.closes;
        write(&answer, request.method == "HEAD", &mut out);
        stream.write_all(&out).await?;
        if let Some(chat) = answer.stream.take()
            && !send(chat, &mut stream, &mut out).await?
        {
            return Ok(());
        }
        if answer.closes {
            return linger(stream).await;
        }
        input.drain(..message.end);
    }
}

/// Sends a stream in chunks as its pieces are due; whether it came to its end.
async fn send(mut chat: Chat, stream: &mut TcpStream, out: &mut Vec<u8>) -> io::Result<bool> {
    loop {
        let (text, last) = match chat.next().await {
            Piece::More(text) => (text, false),
            Piece::Last(text) => (text, true),
            Piece::Cut => return Ok(false),
        };
        out.clear();
        let end = if last { "0\r\n\r\n" } else { "" };
        write!(out, "{:x}\r\n{text}\r\n{end}", text.len())?;
        stream.write_all(out).await?;
        if last {
            return Ok(true);
        }
    }
}

/// Ends the connection so that the peer reads the answer, whatever it still sends.
async fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut sink = [0u8; 1024];
    let _ =
        timeout(LINGER, async { while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {} })
            .await;
    Ok(())
}

// -- requests -------------------------------------------------------------------------------------

/// Places in the input.
struct Head {
    method: Range<usize>,
    target: Range<usize>,
    api_key: Range<usize>,
    end: usize,
    framing: Framing,
    closes: bool,
    continues: bool,
}

enum Framing {
    Length(usize),
    Chunked,
}

/// A whole request, which ends in the input at `end`.
struct Message {
    head: Head,
    end: usize,
    /// The body, where it came in chunks.
    joined: Option<Vec<u8>>,
}

impl Message {
    fn body<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        self.joined.as_deref().unwrap_or_else(|| &input[self.head.end..self.end])
    }
}

enum Received {
    Message(Message),
    End,
    Http2,
    /// Not to be served, for which the status gives the reason.
    Bad(u16),
}

async fn receive(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<Received> {
    let head = loop {
        if input.starts_with(HTTP2) {
            return Ok(Received::Http2);
        }
        if !input.is_empty() {
            match parse(input) {
                Ok(Some(head)) => break head,
                Ok(None) if input.len() > MAX_HEAD => return Ok(Received::Bad(431)),
                Ok(None) => {}
                Err(status) => return Ok(Received::Bad(status)),
            }
        }
        if fill(stream, input).await? == 0 {
            return Ok(Received::End);
        }
    };
    let mut promised = head.continues;
    loop {
        let (end, joined) = match head.framing {
            Framing::Length(length) if length > MAX_BODY => return Ok(Received::Bad(413)),
            Framing::Length(length) => {
                let end = head.end + length;
                ((input.len() >= end).then_some(end), None)
            }
            Framing::Chunked => match join(&input[head.end..]) {
                Ok(Some((length, body))) => (Some(head.end + length), Some(body)),
                Ok(None) if input.len() - head.end > MAX_BODY => return Ok(Received::Bad(413)),
                Ok(None) => (None, None),
                Err(()) => return Ok(Received::Bad(400)),
            },
        };
        if let Some(end) = end {
            return Ok(Received::Message(Message { head, end, joined }));
        }
        if std::mem::take(&mut promised) {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if fill(stream, input).await? == 0 {
            return Ok(Received::End);
        }
    }
}

async fn fill(stream: &mut TcpStream, input: &mut Vec<u8>) -> io::Result<usize> {
    input.reserve(input.len().max(READ));
    stream.read_buf(input).await
}

/// The head of a request, `None` while it is not whole, or the status that refuses it.
fn parse(input: &[u8]) -> Result<Option<Head>, u16> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let end = match request.parse(input) {
        Ok(Status::Complete(end)) => end,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(431),
        Err(_) => return Err(400),
    };
    let place = |part: &[u8]| {
        let begin = part.as_ptr() as usize - input.as_ptr() as usize;
        begin..begin + part.len()
    };
    let mut head = Head {
        method: place(request.method.unwrap_or_default().as_bytes()),
        target: place(origin_form(request.path.unwrap_or_default()).as_bytes()),
        api_key: 0..0,
        end,
        framing: Framing::Length(0),
        closes: request.version == Some(0),
        continues: false,
    };
    let mut length = None;
    for header in request.headers.iter() {
        let value = header.value.trim_ascii();
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            let given = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            let given: usize = given.ok_or(400u16)?;
            if length.is_some_and(|known| known != given) {
                return Err(400);
            }
            length = Some(given);
        } else if is("transfer-encoding") {
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err(501);
            }
            head.framing = Framing::Chunked;
        } else if is("connection") {
            head.closes |= value.eq_ignore_ascii_case(b"close");
        } else if is("expect") {
            head.continues = value.eq_ignore_ascii_case(b"100-continue");
        } else if is("x-api-key") {
            // Compared as it is and never shown; one that is not UTF-8 is no key.
            head.api_key = std::str::from_utf8(value).map_or(0..0, |_| place(value));
        }
    }
    match (&head.framing, length) {
        // RFC 9112, section 6.3: a message with both may be an attempt at request smuggling.
        (Framing::Chunked, Some(_)) => return Err(400),
        (Framing::Length(_), Some(length)) => head.framing = Framing::Length(length),
        (_, None) => {}
    }
    Ok(Some(head))
}

/// The target without scheme and authority, which a request through a proxy has.
fn origin_form(target: &str) -> &str {
    let Some(rest) = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"))
    else {
        return target;
    };
    rest.find('/').map_or("/", |begin| &rest[begin..])
}

/// How long the chunks at the start of `input` are and what they carry; `None` while some lack.
fn join(input: &[u8]) -> Result<Option<(usize, Vec<u8>)>, ()> {
    let (mut at, mut body) = (0, Vec::new());
    loop {
        let (line, size) = match httparse::parse_chunk_size(&input[at..]) {
            Ok(Status::Complete(found)) => found,
            Ok(Status::Partial) => return Ok(None),
            Err(_) => return Err(()),
        };
        at += line;
        if size == 0 {
            return trailers(&input[at..]).map(|found| found.map(|length| (at + length, body)));
        }
        let end = usize::try_from(size).ok().and_then(|size| at.checked_add(size)).ok_or(())?;
        let Some(data) = input.get(at..end) else { return Ok(None) };
        match input.get(end..end + 2) {
            None => return Ok(None),
            Some(b"\r\n") => body.extend_from_slice(data),
            Some(_) => return Err(()),
        }
        at = end + 2;
    }
}

/// How long the trailers are, the empty line after them included.
fn trailers(input: &[u8]) -> Result<Option<usize>, ()> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    match httparse::parse_headers(input, &mut headers) {
        Ok(Status::Complete((length, _))) => Ok(Some(length)),
        Ok(Status::Partial) => Ok(None),
        Err(_) => Err(()),
    }
}

/// A part of the head; the parser lets in only UTF-8 there.
fn text<'a>(input: &'a [u8], place: &Range<usize>) -> &'a str {
    std::str::from_utf8(&input[place.clone()]).unwrap_or_default()
}

// -- answers --------------------------------------------------------------------------------------

fn write(answer: &Answer, head_only: bool, out: &mut Vec<u8>) {
    let Answer { status, content_type, body, closes, retry_after, stream } = answer;
    out.clear();
    let framing = match stream {
        Some(_) => "transfer-encoding: chunked".into(),
        None => format!("content-length: {}", body.len()),
    };
    // A vector takes everything.
    let _ = write!(
        out,
        "HTTP/1.1 {status} {}\r\ncontent-type: {content_type}\r\n{framing}\r\n{}\r\n",
        reason(*status),
        if *closes { "connection: close\r\n" } else { "" },
    );
    if let Some(seconds) = retry_after {
        out.truncate(out.len() - 2);
        let _ = write!(out, "retry-after: {seconds}\r\n\r\n");
    }
    if !head_only {
        out.extend_from_slice(body.as_bytes());
    }
}

fn reason(status: u16) -> &'static str {
    ::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> u16 {
        parse(text.as_bytes()).err().unwrap_or(0)
    }

    #[test]
    fn a_head_gives_target_key_and_framing() {
        let input = b"POST http://h/a?b HTTP/1.1\r\nX-Api-Key: k \r\nContent-Length: 3\r\n\r\nxyz";
        let head = parse(input).unwrap().unwrap();
        assert_eq!(text(input, &head.method), "POST");
        assert_eq!(text(input, &head.target), "/a?b");
        assert_eq!(text(input, &head.api_key), "k");
        assert!(matches!(head.framing, Framing::Length(3)) && !head.closes);
        assert_eq!(&input[head.end..], b"xyz");
    }

    #[test]
    fn what_could_smuggle_a_request_is_refused() {
        let head = |lines: &str| format!("POST / HTTP/1.1\r\n{lines}\r\n\r\n");
        assert_eq!(refused(&head("content-length: 1\r\ntransfer-encoding: chunked")), 400);
        assert_eq!(refused(&head("content-length: 1\r\ncontent-length: 2")), 400);
        assert_eq!(refused(&head("content-length: -1")), 400);
        assert_eq!(refused(&head("transfer-encoding: gzip")), 501);
        assert_eq!(refused("GET /\r\n\r\n"), 400);
    }

    #[test]
    fn a_connection_ends_where_the_client_wants_it() {
        let closes = |text: &[u8]| parse(text).unwrap().unwrap().closes;
        assert!(!closes(b"GET / HTTP/1.1\r\n\r\n"));
        assert!(closes(b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n"));
        assert!(closes(b"GET / HTTP/1.0\r\n\r\n"));
    }

    #[test]
    fn an_answer_takes_the_place_of_the_one_before() {
        let answer = |status, body| Answer {
            status,
            content_type: JSON,
            body,
            closes: false,
            retry_after: (status == 429).then_some(7),
            stream: None,
        };
        let mut out = Vec::new();
        write(&answer(200, Cow::Borrowed("first")), false, &mut out);
        write(&answer(400, Cow::Borrowed("{}")), false, &mut out);
        let text = String::from_utf8_lossy(&out).into_owned();
        let head = "content-type: application/json\r\ncontent-length: 2\r\n\r\n";
        assert_eq!(text, format!("HTTP/1.1 400 Bad Request\r\n{head}{{}}"));
        write(&answer(429, Cow::Borrowed("{}")), false, &mut out);
        assert!(String::from_utf8_lossy(&out).ends_with("2\r\nretry-after: 7\r\n\r\n{}"));
    }

    #[test]
    fn chunks_are_joined_when_the_last_is_there() {
        let whole = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: 1\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(join(&whole[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(join(whole), Ok(Some((whole.len(), b"abcde".to_vec()))));
        assert_eq!(join(b"3\r\nabcd\r\n"), Err(()));
        assert_eq!(join(b"x\r\n"), Err(()));
        assert_eq!(join(b"ffffffffffffffff\r\n"), Err(()));
    }
}
