//! The reader of responses against hyper's, on responses made from a grammar and then damaged.
//!
//! Cases follow from their number alone. `HARNESS_FUZZ_CASES` sets how many there are.

use super::Reply;
use crate::rng::{Rng, purpose};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

const CASES: u64 = 20_000;
const LIMIT: u64 = 1 << 20;

/// Status and body, or that it is no response.
type Outcome = Result<(u16, Vec<u8>), ()>;

struct Case {
    to_head: bool,
    text: Vec<u8>,
    /// How many bytes come at once.
    piece: usize,
}

impl Case {
    fn of(number: u64) -> Self {
        let mut rng = Rng::at(16, purpose("fuzz"), number);
        let to_head = rng.below(12) == 0;
        let mut text = response(&mut rng).into_bytes();
        for _ in 0..[0, 0, 1, 1, 2, 4][rng.below(6) as usize] {
            damage(&mut rng, &mut text);
        }
        let piece = [1, 2, 3, 7, 64, 65_536][rng.below(6) as usize];
        Self { to_head, text, piece }
    }

    /// Where RFC 9112 lets a reader choose: hyper takes a bare line feed for the end of a trailer,
    /// and a `transfer-encoding` with a byte beyond ASCII for one without `chunked`.
    fn is_arguable(&self) -> bool {
        let bare = self.text.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
        let coding = b"transfer-encoding";
        let beyond = self.text.split(|byte| *byte == b'\n').any(|line| {
            line.get(..coding.len()).is_some_and(|name| name.eq_ignore_ascii_case(coding))
                && !line.is_ascii()
        });
        bare || beyond
    }

    fn by_us(&self) -> Outcome {
        let mut reply = Reply::new(self.to_head, (true, false), LIMIT);
        for piece in self.text.chunks(self.piece) {
            reply.take(piece).map_err(|_| ())?;
            if reply.is_over() {
                break;
            }
        }
        if !reply.is_over() {
            reply.close().map_err(|_| ())?;
        }
        Ok((reply.head.status, reply.kept.to_vec()))
    }

    async fn by_hyper(&self) -> Outcome {
        let text = self.text.clone();
        let peer = Peer { text, piece: self.piece, at: 0, asked: false, reader: None };
        let (mut sender, connection) = http1::handshake(peer).await.map_err(|_| ())?;
        let connection = tokio::spawn(connection);
        let method = if self.to_head { "HEAD" } else { "GET" };
        let request = http::Request::builder().method(method).uri("/").body(Empty::<Bytes>::new());
        let outcome = async {
            let response = sender.send_request(request.map_err(|_| ())?).await.map_err(|_| ())?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.map_err(|_| ())?;
            Ok((status, body.to_bytes().to_vec()))
        };
        let outcome = outcome.await;
        connection.abort();
        outcome
    }
}

/// A peer that takes a request, sends its bytes in pieces, and closes.
struct Peer {
    text: Vec<u8>,
    piece: usize,
    at: usize,
    asked: bool,
    reader: Option<Waker>,
}

impl hyper::rt::Read for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.asked {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let end = self.text.len().min(self.at + self.piece.min(buffer.remaining()));
        buffer.put_slice(&self.text[self.at..end]);
        self.at = end;
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Peer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        all: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.asked = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(Ok(all.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn pick<'a>(rng: &mut Rng, among: &[&'a str]) -> &'a str {
    among[rng.below(among.len() as u64) as usize]
}

/// A response as servers send it, or nearly so.
fn response(rng: &mut Rng) -> String {
    let mut text = String::new();
    for _ in 0..[0, 0, 0, 0, 1, 2][rng.below(6) as usize] {
        text += pick(
            rng,
            &["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Hints\r\nlink: </a>\r\n\r\n"],
        );
    }
    let version = pick(rng, &["1.1", "1.1", "1.1", "1.0"]);
    let status = pick(rng, &["200", "200", "200", "201", "204", "304", "404", "500", "599"]);
    let reason = pick(rng, &["OK", "", "Not Found", "O K", "\u{fc}"]);
    text += &format!("HTTP/{version} {status} {reason}\r\n");
    for _ in 0..rng.below(3) {
        text += pick(
            rng,
            &[
                "date: now\r\n",
                "x:\r\n",
                "X-Empty: \r\n",
                "set-cookie: a=b; c\r\n",
                "connection: close\r\n",
                "Connection: keep-alive, x\r\n",
                "content-type: text/plain\r\n",
            ],
        );
    }
    let body = &"0123456789abcdefghijklmnop"[..rng.below(27) as usize];
    match rng.below(8) {
        0..=2 => text += &format!("Content-Length: {}\r\n\r\n{body}", body.len()),
        3..=5 => {
            text += pick(
                rng,
                &["Transfer-Encoding: chunked\r\n", "transfer-encoding: gzip, Chunked\r\n"],
            );
            text += pick(rng, &["\r\n", "\r\n", "\r\n", "content-length: 3\r\n\r\n"]);
            text += &chunks(rng, body);
        }
        6 => text += &format!("\r\n{body}"),
        _ => {
            let length = body.len();
            text += &match rng.below(4) {
                0 => format!("content-length: {length}, {length}\r\n\r\n{body}"),
                1 => format!("content-length: {length}\r\ncontent-length: 7\r\n\r\n{body}"),
                2 => format!("content-length: {}\r\n\r\n{body}", length + 1),
                _ => format!("transfer-encoding: gzip\r\n\r\n{body}"),
            };
        }
    }
    text
}

fn chunks(rng: &mut Rng, mut body: &str) -> String {
    let mut text = String::new();
    while !body.is_empty() {
        let (chunk, rest) = body.split_at(1 + rng.below(body.len() as u64) as usize);
        let extension = pick(rng, &["", "", "", ";a", ";a=\"b\"", " ", "\t;x=1"]);
        let zeros = pick(rng, &["", "", "0", "000"]);
        text += &format!("{zeros}{:x}{extension}\r\n{chunk}\r\n", chunk.len());
        body = rest;
    }
    text + "0\r\n" + pick(rng, &["\r\n", "\r\n", "x: y\r\n\r\n", "a: b\r\nc: d\r\n\r\n"])
}

/// Changes, takes away, doubles or inserts a byte or a stretch.
fn damage(rng: &mut Rng, text: &mut Vec<u8>) {
    if text.is_empty() {
        return;
    }
    let at = rng.below(text.len() as u64) as usize;
    match rng.below(6) {
        0 => text[at] = rng.below(256) as u8,
        1 => drop(text.remove(at)),
        2 => text.truncate(at),
        3 => {
            let end = (at + 1 + rng.below(12) as usize).min(text.len());
            let stretch = text[at..end].to_vec();
            text.splice(at..at, stretch);
        }
        4 => {
            let insert =
                pick(rng, &["\r\n", "\n", "\r", " ", "\0", ":", ";", ",", "f", "0", "-", "\u{ff}"]);
            text.splice(at..at, insert.bytes());
        }
        _ => text[at] ^= 1 << rng.below(8),
    }
}

#[test]
fn a_response_is_read_as_hyper_reads_it() {
    let cases = std::env::var("HARNESS_FUZZ_CASES").ok().and_then(|text| text.parse().ok());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut good, mut different) = (0, Vec::new());
    for number in 0..cases.unwrap_or(CASES) {
        let case = Case::of(number);
        let (ours, theirs) = (case.by_us(), runtime.block_on(case.by_hyper()));
        good += u64::from(ours.is_ok());
        if ours != theirs && !case.is_arguable() {
            let text = String::from_utf8_lossy(&case.text);
            different.push(format!(
                "{number} (pieces of {}, head {}): {text:?}\n  ours {ours:?}\n  hyper {theirs:?}",
                case.piece, case.to_head
            ));
        }
    }
    let shown = &different[..different.len().min(20)];
    assert!(different.is_empty(), "{} differ:\n{}", different.len(), shown.join("\n"));
    assert!(good > 1_000, "only {good} were responses");
}

/// Each was read otherwise before the first comparison with hyper.
#[test]
fn what_the_comparison_found_stays_mended() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let two_lengths = "content-length: 5\r\ncontent-length: 7\r\n\r\n";
    for (text, outcome) in [
        (format!("HTTP/1.1 204 No\r\n{two_lengths}"), Ok((204, vec![]))),
        (format!("HTTP/1.1 200 OK\r\n{two_lengths}abcde"), Err(())),
        ("HTTP/1.1 003 No\r\ncontent-length: 0\r\n\r\n".into(), Err(())),
        (format!("{chunked}1 {{x\r\na\r\n0\r\n\r\n"), Err(())),
        (format!("{chunked}1 ;x\r\na\r\n0\r\n\r\n"), Ok((200, b"a".to_vec()))),
        (format!("{chunked}0\r\nno trailer\r\n\r\n"), Err(())),
        (format!("{chunked}0\r\nx: y\r\n\r\n"), Ok((200, vec![]))),
    ] {
        let case = Case { to_head: false, text: text.clone().into_bytes(), piece: 3 };
        assert_eq!(case.by_us(), outcome, "{text:?}");
    }
}
