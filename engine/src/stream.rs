//! What a streamed answer brings, and when: server-sent events (WHATWG HTML, 9.2.6), lines of JSON,
//! or the pieces of any other body. Of a chat completion only events that carry content count.

use crate::document::{LimitsSpec, StreamSpec};
use crate::error_kind::ErrorKind;
use crate::kept::Kept;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Bytes of one line or event.
const MAX_EVENT: usize = 1 << 20;
/// What a server says of its tokens is believed up to here.
const MOST_TOKENS: u64 = 1 << 30;
/// Bytes of an event that reports an error which are shown.
const SHOWN: usize = 512;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// A request whose answer is a stream.
#[derive(Debug)]
pub struct Streaming {
    /// How long nothing may come, from `ready` on.
    pub silence_ns: u64,
    /// The data of the last event.
    until: Option<String>,
    limits: Option<Limits>,
}

/// What a stream must keep to count as good, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Limits {
    ttft: Option<u64>,
    itl: Option<u64>,
    response: Option<u64>,
}

impl Streaming {
    pub fn new(spec: &StreamSpec, silence_ns: u64) -> Self {
        let nanos = |seconds: Option<f64>| seconds.map(|s| (s * 1e9).round() as u64);
        let limits = |spec: &LimitsSpec| Limits {
            ttft: nanos(spec.ttft_s),
            itl: nanos(spec.itl_s),
            response: nanos(spec.response_s),
        };
        let until = spec.until.as_ref().map(|text| text.trim().to_owned());
        Self { silence_ns, until, limits: spec.limits.as_ref().map(limits) }
    }

    /// The stream, good if it kept all limits; where none were given, no stream is.
    pub fn judged(&self, stream: Streamed, due: u64, done: u64) -> Streamed {
        Streamed { good: self.is_good(&stream, due, done), ..stream }
    }

    fn is_good(&self, stream: &Streamed, due: u64, done: u64) -> bool {
        let within = |value: Option<u64>, limit: Option<u64>| {
            limit.is_none_or(|limit| value.is_none_or(|value| value <= limit))
        };
        self.limits.is_some_and(|limits| {
            within(stream.first_event.map(|at| at.saturating_sub(due)), limits.ttft)
                && within(stream.inter_token(), limits.itl)
                && within(Some(done.saturating_sub(due)), limits.response)
        })
    }
}

/// What a stream came to; times in the caller's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// When the head was there.
    pub first_byte: Option<u64>,
    /// Of the events that carry content.
    pub first_event: Option<u64>,
    pub last_event: u64,
    pub events: u64,
    /// Events that came in one piece with the one before: the time between them is not known.
    pub coalesced: u64,
    /// As the server counts them.
    pub usage: Option<u64>,
    pub good: bool,
}

impl Streamed {
    pub fn tokens(&self) -> u64 {
        self.usage.unwrap_or(self.events)
    }

    /// The mean time between two tokens; `None` of one token.
    pub fn inter_token(&self) -> Option<u64> {
        let steps = self.tokens().checked_sub(1).filter(|steps| *steps > 0)?;
        Some(self.last_event.saturating_sub(self.first_event?) / steps)
    }
}

/// How a body is divided into events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    Events,
    Lines,
    /// One document, which a client that asked for events did not want.
    Document,
    #[default]
    Pieces,
}

impl Format {
    pub fn of(content_type: &[u8]) -> Self {
        let text = String::from_utf8_lossy(content_type).to_ascii_lowercase();
        match text.split(';').next().unwrap_or_default().trim() {
            "text/event-stream" => Self::Events,
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/json-lines"
            | "application/x-json-stream"
            | "application/stream+json" => Self::Lines,
            "application/json" | "application/problem+json" | "text/html" => Self::Document,
            _ => Self::Pieces,
        }
    }
}

/// Reads a stream as it comes.
pub struct Reader<'a> {
    silence_ns: u64,
    until: Option<&'a str>,
    /// Absent before a head of success.
    format: Option<Format>,
    /// The beginning of a line whose end has not come.
    held: Kept,
    /// Of the event whose end has not come.
    data: Kept,
    has_data: bool,
    after_cr: bool,
    ended: bool,
    error: Option<String>,
    heard: Option<u64>,
    streamed: Streamed,
    gap: Option<u64>,
    zeros: u32,
}

impl<'a> Reader<'a> {
    pub fn new(streaming: &'a Streaming) -> Self {
        Self {
            silence_ns: streaming.silence_ns,
            until: streaming.until.as_deref(),
            format: None,
            held: Kept::default(),
            data: Kept::default(),
            has_data: false,
            after_cr: false,
            ended: false,
            error: None,
            heard: None,
            streamed: Streamed::default(),
            gap: None,
            zeros: 0,
        }
    }

    /// The head is there; without success no event follows. Without a last event any body will do.
    pub fn begin(&mut self, format: Format, status: u16) {
        let format = match format {
            Format::Document if self.until.is_none() => Format::Pieces,
            found => found,
        };
        self.format = if (200..300).contains(&status) { Some(format) } else { None };
    }

    pub fn is_document(&self) -> bool {
        self.format == Some(Format::Document)
    }

    /// Something has come, or the end: what is taken next came then.
    pub fn hear(&mut self, now: u64) {
        self.heard = Some(now);
    }

    pub fn heard(&self) -> Option<u64> {
        self.heard
    }

    pub fn streamed(&self) -> Streamed {
        self.streamed
    }

    /// Gives the times between events since the last call, and how often each was seen.
    pub fn report_gaps(&mut self, gap: impl Fn(u64, u32)) {
        if let Some(time) = self.gap.take() {
            gap(time, 1);
        }
        match std::mem::take(&mut self.zeros) {
            0 => {}
            zeros => gap(0, zeros),
        }
    }

    /// Takes the next bytes of the body.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), ErrorKind> {
        let now = self.heard.unwrap_or_default();
        match self.format {
            Some(Format::Events | Format::Lines) => {}
            Some(Format::Pieces) if !bytes.is_empty() => {
                self.count(now);
                return Ok(());
            }
            _ => return Ok(()),
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr) && rest[0] == b'\n' {
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                self.held.extend(rest)?;
                return if self.held.len() > MAX_EVENT {
                    Err(ErrorKind::BodyTooLarge)
                } else {
                    Ok(())
                };
            };
            self.after_cr = rest[end] == b'\r';
            self.end_line(&rest[..end], now)?;
            rest = &rest[end + 1..];
        }
        Ok(())
    }

    fn end_line(&mut self, end: &[u8], now: u64) -> Result<(), ErrorKind> {
        if self.held.is_empty() {
            return self.line(end, now);
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend(end)?;
        let result = self.line(&held, now);
        held.clear();
        self.held = held;
        result
    }

    fn line(&mut self, line: &[u8], now: u64) -> Result<(), ErrorKind> {
        if self.format == Some(Format::Lines) {
            self.event(line, now);
            return Ok(());
        }
        if line.is_empty() {
            return self.dispatch(now);
        }
        let Some(value) = data_of(line.strip_prefix(BOM).unwrap_or(line)) else { return Ok(()) };
        if self.has_data {
            self.data.extend(b"\n")?;
        }
        self.has_data = true;
        self.data.extend(value)?;
        if self.data.len() > MAX_EVENT { Err(ErrorKind::BodyTooLarge) } else { Ok(()) }
    }

    /// The event is complete.
    fn dispatch(&mut self, now: u64) -> Result<(), ErrorKind> {
        if std::mem::take(&mut self.has_data) {
            let mut data = std::mem::take(&mut self.data);
            self.event(&data, now);
            data.clear();
            self.data = data;
        }
        Ok(())
    }

    fn event(&mut self, data: &[u8], now: u64) {
        let data = data.trim_ascii();
        if data.is_empty() || self.ended {
            return;
        }
        if self.until.is_some_and(|until| until.as_bytes() == data) {
            self.ended = true;
            return;
        }
        let chunk: Option<Chunk> =
            if data[0] == b'{' { serde_json::from_slice(data).ok() } else { None };
        let Some(chunk) = chunk else { return self.count(now) };
        if chunk.error.is_some_and(|error| error.get() != "null") && self.error.is_none() {
            let shown = &data[..data.len().min(SHOWN)];
            self.error = Some(String::from_utf8_lossy(shown).into_owned());
        }
        if let Some(tokens) = chunk.usage.as_ref().and_then(|usage| usage.completion_tokens) {
            self.streamed.usage = Some(tokens).filter(|tokens| *tokens <= MOST_TOKENS);
        }
        if chunk.has_content() {
            self.count(now);
        }
    }

    fn count(&mut self, now: u64) {
        let streamed = &mut self.streamed;
        if streamed.first_event.is_none() {
            streamed.first_event = Some(now);
        } else if streamed.last_event == now {
            streamed.coalesced += 1;
            self.zeros += 1;
        } else {
            self.gap = Some(now.saturating_sub(streamed.last_event));
        }
        streamed.last_event = now;
        streamed.events += 1;
    }

    /// What is wrong with a stream that has begun and ended so; `None` where nothing is, or where
    /// the request failed as any other may.
    pub fn fault(&mut self, error: Option<ErrorKind>, now: u64) -> Option<(ErrorKind, String)> {
        if self.format? == Format::Document {
            return error.is_none().then(|| (ErrorKind::NotAStream, "not a stream".into()));
        }
        let how = match error {
            None => {
                let wrong = self.finish(now).unwrap_or_else(|kind| Some(kind.name().into()));
                return wrong.map(|wrong| (ErrorKind::BrokenStream, wrong));
            }
            Some(ErrorKind::Eof | ErrorKind::Reset) => "cut",
            Some(ErrorKind::Timeout) if self.silent(now) => "silent",
            Some(_) => return None,
        };
        Some((ErrorKind::BrokenStream, format!("{how} after {} events", self.streamed.events)))
    }

    fn silent(&self, now: u64) -> bool {
        self.heard.is_some_and(|heard| now >= heard + self.silence_ns)
    }

    /// The body has ended as HTTP has it.
    fn finish(&mut self, now: u64) -> Result<Option<String>, ErrorKind> {
        if !self.held.is_empty() {
            self.end_line(b"", now)?;
        }
        self.dispatch(now)?;
        if let Some(error) = self.error.take() {
            return Ok(Some(error));
        }
        let events = self.streamed.events;
        if let Some(until) =
            self.until.filter(|_| self.format == Some(Format::Events) && !self.ended)
        {
            return Ok(Some(format!("ended without {until} after {events} events")));
        }
        Ok((events == 0).then(|| "ended without an event that carries content".into()))
    }
}

/// The value of a line of the field `data`.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"data")?;
    if rest.is_empty() {
        return Some(rest);
    }
    let value = rest.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// What of a chat completion's event matters; unknown fields are passed over.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    completion_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    /// Of the older completions.
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning_content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reasoning: Option<&'a RawValue>,
    #[serde(borrow, default)]
    refusal: Option<&'a RawValue>,
    #[serde(borrow, default)]
    tool_calls: Option<&'a RawValue>,
}

impl Chunk<'_> {
    /// Whether it brings something to the user: not a role, a reason for the end or the usage alone.
    fn has_content(&self) -> bool {
        let some = |value: &Option<&RawValue>| {
            value.is_some_and(|value| !matches!(value.get(), "null" | "\"\"" | "[]"))
        };
        match &self.choices {
            None => self.usage.is_none() && self.error.is_none(),
            Some(choices) => choices.iter().any(|choice| {
                some(&choice.text)
                    || choice.delta.as_ref().is_some_and(|delta| {
                        [
                            &delta.content,
                            &delta.reasoning_content,
                            &delta.reasoning,
                            &delta.refusal,
                            &delta.tool_calls,
                        ]
                        .into_iter()
                        .any(some)
                    })
            }),
        }
    }
}

#[cfg(test)]
mod tests;
