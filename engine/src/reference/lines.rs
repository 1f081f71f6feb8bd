//! JSON objects in lines over a socket, in both directions.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

const READ: usize = 64 << 10;

/// One end of a connection, for whoever sends.
#[derive(Default)]
pub struct Line {
    out: RefCell<Vec<u8>>,
    closed: Cell<bool>,
    heard_at: Cell<Option<Instant>>,
    changed: Notify,
}

impl Line {
    /// Queues one message, a JSON object.
    pub fn send(&self, message: &str) {
        let mut out = self.out.borrow_mut();
        out.extend_from_slice(message.as_bytes());
        out.push(b'\n');
        self.changed.notify_one();
    }

    /// Drops the connection at once.
    pub fn close(&self) {
        self.closed.set(true);
        self.changed.notify_one();
    }

    /// How long nothing has come in.
    pub fn silence(&self) -> Duration {
        self.heard_at.get().map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Sends what is queued and acts on each line that comes in, until the connection ends. What is
    /// no message is an error.
    pub async fn run(
        &self,
        mut stream: TcpStream,
        mut hear: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let (mut from, mut to) = stream.split();
        let (mut input, mut searched) = (Vec::with_capacity(READ), 0);
        let mut sending = Vec::new();
        self.heard_at.set(Some(Instant::now()));
        while !self.closed.get() {
            if sending.is_empty() {
                std::mem::swap(&mut sending, &mut self.out.borrow_mut());
            }
            tokio::select! {
                biased;
                read = from.read_buf(&mut input) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    self.heard_at.set(Some(Instant::now()));
                    searched = take_lines(&mut input, searched, &mut hear)?;
                    input.reserve(READ);
                }
                written = to.write(&sending), if !sending.is_empty() => {
                    drop(sending.drain(..written?));
                }
                () = self.changed.notified() => {}
            }
        }
        Ok(())
    }
}

/// Takes the whole lines out of `input`, of which `searched` bytes are known to hold no end of one;
/// how many bytes then are.
fn take_lines(
    input: &mut Vec<u8>,
    mut searched: usize,
    hear: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<usize> {
    let mut begin = 0;
    while let Some(length) = input[searched..].iter().position(|byte| *byte == b'\n') {
        let end = searched + length;
        hear(&input[begin..end])?;
        begin = end + 1;
        searched = begin;
    }
    input.drain(..begin);
    Ok(input.len())
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return format!("\"{text}\"");
    }
    // A string cannot fail to be written.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_pieces_is_one_message() {
        let mut heard = Vec::new();
        let mut hear = |line: &[u8]| {
            heard.push(line.to_vec());
            Ok(())
        };
        let mut input = b"{1}\n{2".to_vec();
        let searched = take_lines(&mut input, 0, &mut hear).unwrap();
        assert_eq!((input.as_slice(), searched), (&b"{2"[..], 2));
        input.extend_from_slice(b"}\n\n");
        assert_eq!(take_lines(&mut input, searched, &mut hear).unwrap(), 0);
        assert_eq!(heard, [&b"{1}"[..], b"{2}", b""]);
    }
}
