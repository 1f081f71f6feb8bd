//! Counts and histograms of one second and endpoint, and the line that they become.

use crate::error_kind::ErrorKind;
use crate::hist;
use crate::stream::Streamed;
use hdrhistogram::Histogram;
use std::fmt::Write as _;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Axis {
    Due,
    Done,
    /// Chains in place of requests, by the second in which they ended.
    Chain,
}

impl Axis {
    pub const ALL: [Self; 3] = [Self::Due, Self::Done, Self::Chain];
}

const RESPONSE: usize = 0;
const SERVICE: usize = 1;
const LAG: usize = 2;
const WAIT: usize = 3;
const FAILED: usize = 4;
const FIRST: usize = 5;
const FIRST_BYTE: usize = 6;
const FIRST_TOKEN: usize = 7;
const INTER_TOKEN: usize = 8;
const GAP: usize = 9;
const LENGTH: usize = 10;
const HIST_NAMES: [&str; 11] = [
    "response", "service", "lag", "wait", "failed", "first", "ttfb", "ttft", "itl", "gap", "length",
];
/// A token in the histogram of lengths, whose lowest values are coarse.
const TOKEN: u64 = 1_000_000;

/// What streams are counted by.
#[derive(Debug, Default)]
struct Streams {
    tokens: u64,
    events: u64,
    coalesced: u64,
    good: u64,
}

impl Streams {
    fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.events += other.events;
        self.coalesced += other.coalesced;
        self.good += other.good;
    }
}

/// Counts and histograms of one second and endpoint.
#[derive(Debug, Default)]
pub struct Cell {
    pub offered: u64,
    pub completed: u64,
    pub failed: u64,
    pub unfinished: u64,
    errors: [u64; ErrorKind::ALL.len()],
    /// How many answers had which status, on the axis `due`.
    statuses: Vec<(u16, u64)>,
    bytes_in: u64,
    bytes_out: u64,
    connects: u64,
    retried: u64,
    streams: Option<Box<Streams>>,
    hists: [Option<Box<Histogram<u32>>>; HIST_NAMES.len()],
}

/// One request that ended, all times in nanoseconds from the start.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub due: u64,
    pub done: u64,
    /// The end of the pacer's lateness; absent when nobody measured it.
    pub ready: Option<u64>,
    /// When it was handed to a free connection; absent when it never was.
    pub sent: Option<u64>,
    /// When the head of the response was there; absent when nobody asked.
    pub first: Option<u64>,
    pub error: Option<ErrorKind>,
    /// Of the response; 0 without one.
    pub status: u16,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub connects: u64,
    /// Whether it was sent again, after a server that did not process it.
    pub retried: bool,
    /// Of a stream.
    pub stream: Option<Streamed>,
    /// The index of the address that it was sent to; absent when it never was, and for Python's.
    pub target: Option<usize>,
}

impl Outcome {
    /// A request that the bound on what is in flight refused at `ready`.
    pub fn refused(due: u64, ready: u64) -> Self {
        Self {
            due,
            done: ready,
            ready: Some(ready),
            sent: None,
            first: None,
            error: Some(ErrorKind::InFlightLimit),
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            connects: 0,
            retried: false,
            stream: None,
            target: None,
        }
    }
}

impl Cell {
    fn note(&mut self, which: usize, value: u64) -> u64 {
        self.note_n(which, value, 1)
    }

    fn note_n(&mut self, which: usize, value: u64, count: u32) -> u64 {
        let histogram = self.hists[which].get_or_insert_with(|| Box::new(hist::fresh()));
        u64::from(hist::record_n(histogram, value, count)) * u64::from(count)
    }

    /// Counts an outcome and how long it took; returns how many of its times were clipped.
    pub fn end(&mut self, o: &Outcome) -> u64 {
        self.bytes_in += o.bytes_in;
        self.bytes_out += o.bytes_out;
        self.connects += o.connects;
        let response = o.done.saturating_sub(o.due);
        match o.error {
            None => {
                self.completed += 1;
                self.note(RESPONSE, response)
            }
            Some(kind) => {
                self.failed += 1;
                self.errors[kind as usize] += 1;
                self.note(FAILED, response)
            }
        }
    }

    /// Counts a chain that ended after its requests took so long together.
    pub fn end_chain(&mut self, took: u64, error: Option<ErrorKind>) {
        match error {
            None => {
                self.completed += 1;
                self.note(RESPONSE, took);
            }
            Some(kind) => {
                self.failed += 1;
                self.errors[kind as usize] += 1;
                self.note(FAILED, took);
            }
        }
    }

    /// Notes a time between two events of a stream; returns how many of them were clipped.
    pub fn gap(&mut self, gap: u64, count: u32) -> u64 {
        self.note_n(GAP, gap, count)
    }

    fn count_status(&mut self, status: u16, count: u64) {
        match self.statuses.iter_mut().find(|(known, _)| *known == status) {
            Some((_, counted)) => *counted += count,
            None => self.statuses.push((status, count)),
        }
    }

    /// Notes the status and the parts of a response time; returns how many of them were clipped.
    pub fn split(&mut self, o: &Outcome) -> u64 {
        let mut clipped = 0;
        self.retried += u64::from(o.retried);
        if o.status != 0 {
            self.count_status(o.status, 1);
        }
        if let Some(ready) = o.ready {
            clipped += self.note(LAG, ready.saturating_sub(o.due));
            if let Some(sent) = o.sent {
                clipped += self.note(WAIT, sent.saturating_sub(ready));
            }
        }
        if o.error.is_none() {
            let sent = o.sent.unwrap_or(o.due);
            clipped += self.note(SERVICE, o.done.saturating_sub(sent));
            if let Some(first) = o.first {
                clipped += self.note(FIRST, first.saturating_sub(sent));
            }
            if let Some(stream) = &o.stream {
                clipped += self.split_stream(o.due, stream);
            }
        }
        clipped
    }

    /// Notes what a completed stream brought and when.
    fn split_stream(&mut self, due: u64, stream: &Streamed) -> u64 {
        self.streams.get_or_insert_default().add(&Streams {
            tokens: stream.tokens(),
            events: stream.events,
            coalesced: stream.coalesced,
            good: u64::from(stream.good),
        });
        let times = [
            (FIRST_BYTE, stream.first_byte.map(|at| at.saturating_sub(due))),
            (FIRST_TOKEN, stream.first_event.map(|at| at.saturating_sub(due))),
            (INTER_TOKEN, stream.inter_token()),
            (LENGTH, Some(stream.tokens() * TOKEN)),
        ];
        times.into_iter().filter_map(|(which, time)| Some(self.note(which, time?))).sum()
    }

    pub fn merge(&mut self, other: Self) {
        self.offered += other.offered;
        self.completed += other.completed;
        self.failed += other.failed;
        self.unfinished += other.unfinished;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.connects += other.connects;
        self.retried += other.retried;
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine += theirs;
        }
        for (status, count) in other.statuses {
            self.count_status(status, count);
        }
        if let Some(theirs) = &other.streams {
            self.streams.get_or_insert_default().add(theirs);
        }
        for (mine, theirs) in self.hists.iter_mut().zip(other.hists) {
            match (mine.as_mut(), theirs) {
                (_, None) => {}
                (None, theirs) => *mine = theirs,
                // Same precision and bounds that grow: adding cannot fail.
                (Some(mine), Some(theirs)) => drop(mine.add(&*theirs)),
            }
        }
    }

    /// One Slice line.
    pub fn line(&self, axis: Axis, second: u64, endpoint: &str) -> Result<String, String> {
        let name = serde_json::to_string(endpoint).map_err(|error| error.to_string())?;
        let axis = match axis {
            Axis::Due => "due",
            Axis::Done => "done",
            Axis::Chain => "chain",
        };
        let mut out = String::with_capacity(4096);
        let _ = write!(
            out,
            r#"{{"schema":1,"axis":"{axis}","second":{second},"endpoint":{name},"offered":{},"completed":{},"failed":{},"unfinished":{},"errors":{{"#,
            self.offered, self.completed, self.failed, self.unfinished,
        );
        let errors = ErrorKind::ALL.iter().zip(self.errors).filter(|(_, count)| *count > 0);
        for (i, (kind, count)) in errors.enumerate() {
            let comma = if i > 0 { "," } else { "" };
            let _ = write!(out, r#"{comma}"{}":{count}"#, kind.name());
        }
        if !self.statuses.is_empty() {
            out.push_str(r#"},"statuses":{"#);
            for (i, (status, count)) in self.statuses.iter().enumerate() {
                let comma = if i > 0 { "," } else { "" };
                let _ = write!(out, r#"{comma}"{status}":{count}"#);
            }
        }
        let _ = write!(
            out,
            r#"}},"bytes_in":{},"bytes_out":{},"connects":{},"#,
            self.bytes_in, self.bytes_out, self.connects,
        );
        if self.retried > 0 {
            let _ = write!(out, r#""retried":{},"#, self.retried);
        }
        if let Some(streams) = &self.streams {
            let Streams { tokens, events, coalesced, good } = **streams;
            let _ = write!(
                out,
                r#""tokens":{tokens},"events":{events},"coalesced":{coalesced},"good":{good},"#,
            );
        }
        out.push_str(r#""hist":{"#);
        let mut comma = "";
        for (name, histogram) in HIST_NAMES.iter().zip(&self.hists) {
            if let Some(histogram) = histogram {
                let _ = write!(out, r#"{comma}"{name}":"{}""#, hist::encode(histogram)?);
                comma = ",";
            }
        }
        out.push_str("}}");
        Ok(out)
    }
}
