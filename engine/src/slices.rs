//! What is counted: per second and endpoint, on two axes.

use crate::hist;
use crate::kind::Kind;
use crate::stream::Streamed;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

pub const SECOND: u64 = 1_000_000_000;
/// How long after its end a second on the axis `done` may still receive (clock read to record).
const GRACE: u64 = 100_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Axis {
    Due,
    Done,
    /// Chains in place of requests, by the second in which they ended.
    Chain,
}

impl Axis {
    const ALL: [Self; 3] = [Self::Due, Self::Done, Self::Chain];
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
    errors: [u64; Kind::ALL.len()],
    /// How many answers had which status, on the axis `due`.
    statuses: Vec<(u16, u64)>,
    bytes_in: u64,
    bytes_out: u64,
    connects: u64,
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
    pub error: Option<Kind>,
    /// Of the response; 0 without one.
    pub status: u16,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub connects: u64,
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
            error: Some(Kind::InFlightLimit),
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            connects: 0,
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
    fn end(&mut self, o: &Outcome) -> u64 {
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

    fn count_status(&mut self, status: u16, count: u64) {
        match self.statuses.iter_mut().find(|(known, _)| *known == status) {
            Some((_, counted)) => *counted += count,
            None => self.statuses.push((status, count)),
        }
    }

    /// Notes the status and the parts of a response time; returns how many of them were clipped.
    fn split(&mut self, o: &Outcome) -> u64 {
        let mut clipped = 0;
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

    fn merge(&mut self, other: Self) {
        self.offered += other.offered;
        self.completed += other.completed;
        self.failed += other.failed;
        self.unfinished += other.unfinished;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.connects += other.connects;
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
        let errors = Kind::ALL.iter().zip(self.errors).filter(|(_, count)| *count > 0);
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

#[derive(Debug, Default)]
struct Second {
    /// Requests due here that have not ended.
    open: u64,
    cells: Vec<Option<Box<Cell>>>,
}

impl Second {
    fn cell(&mut self, endpoint: usize) -> &mut Cell {
        if self.cells.len() <= endpoint {
            self.cells.resize_with(endpoint + 1, || None);
        }
        self.cells[endpoint].get_or_insert_default()
    }
}

/// What one address has answered since the start.
#[derive(Debug)]
pub struct Address {
    completed: u64,
    failed: u64,
    response: Histogram<u64>,
}

impl Default for Address {
    fn default() -> Self {
        Self { completed: 0, failed: 0, response: hist::fresh() }
    }
}

impl Address {
    fn end(&mut self, o: &Outcome) {
        if o.error.is_some() {
            self.failed += 1;
        } else {
            self.completed += 1;
            hist::record(&mut self.response, o.done.saturating_sub(o.due));
        }
    }

    pub fn merge(&mut self, other: &Self) {
        self.completed += other.completed;
        self.failed += other.failed;
        // Same precision and bounds that grow: adding cannot fail.
        let _ = self.response.add(&other.response);
    }

    /// As an object of JSON.
    pub fn document(&self, address: &str) -> Result<String, String> {
        let Self { completed, failed, response } = self;
        let response = hist::encode(response)?;
        let document = serde_json::json!({
            "address": address, "completed": completed, "failed": failed, "response": response,
        });
        Ok(document.to_string())
    }
}

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub offered: u64,
    pub completed: u64,
    pub failed: u64,
    pub unfinished: u64,
    pub clipped: u64,
}

/// One thread's counts. Whole seconds leave it as soon as nothing can be added to them.
#[derive(Debug)]
pub struct Recorder {
    due: BTreeMap<u64, Second>,
    done: BTreeMap<u64, Second>,
    chain: BTreeMap<u64, Second>,
    /// No request will be offered with a due time before this.
    pub frontier: u64,
    pub totals: Totals,
    pub lag: Histogram<u64>,
    /// By the index of the target.
    pub addresses: Vec<Address>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            due: BTreeMap::new(),
            done: BTreeMap::new(),
            chain: BTreeMap::new(),
            frontier: 0,
            totals: Totals::default(),
            lag: hist::fresh(),
            addresses: Vec::new(),
        }
    }
}

impl Recorder {
    pub fn offer(&mut self, endpoint: usize, due: u64) {
        self.totals.offered += 1;
        let second = self.due.entry(due / SECOND).or_default();
        second.open += 1;
        second.cell(endpoint).offered += 1;
        // On the axis of ends, an offer belongs to the second it was due in.
        self.done.entry(due / SECOND).or_default().cell(endpoint).offered += 1;
    }

    pub fn end(&mut self, endpoint: usize, o: &Outcome) {
        match o.error {
            None => self.totals.completed += 1,
            Some(_) => self.totals.failed += 1,
        }
        if let Some(ready) = o.ready {
            hist::record(&mut self.lag, ready.saturating_sub(o.due));
        }
        if let Some(target) = o.target {
            if self.addresses.len() <= target {
                self.addresses.resize_with(target + 1, Address::default);
            }
            self.addresses[target].end(o);
        }
        let second = self.due.entry(o.due / SECOND).or_default();
        second.open = second.open.saturating_sub(1);
        let cell = second.cell(endpoint);
        self.totals.clipped += cell.end(o) + cell.split(o);
        // What ended by now and how long it took is for those who watch; the parts are for the record.
        self.done.entry(o.done / SECOND).or_default().cell(endpoint).end(o);
    }

    /// Notes that a chain has begun.
    pub fn begin_chain(&mut self, chain: usize, due: u64) {
        self.chain.entry(due / SECOND).or_default().cell(chain).offered += 1;
    }

    /// Notes that a chain has ended, and how long its requests took together.
    pub fn end_chain(&mut self, chain: usize, took: u64, error: Option<Kind>, done: u64) {
        let cell = self.chain.entry(done / SECOND).or_default().cell(chain);
        match error {
            None => {
                cell.completed += 1;
                cell.note(RESPONSE, took);
            }
            Some(kind) => {
                cell.failed += 1;
                cell.errors[kind as usize] += 1;
                cell.note(FAILED, took);
            }
        }
    }

    /// Notes a time between two events of a stream that has not ended.
    pub fn gap(&mut self, endpoint: usize, due: u64, gap: u64, count: u32) {
        let cell = self.due.entry(due / SECOND).or_default().cell(endpoint);
        self.totals.clipped += cell.note_n(GAP, gap, count);
    }

    /// The run is over and this request has not ended.
    pub fn leave(&mut self, endpoint: usize, due: u64, now: u64) {
        self.totals.unfinished += 1;
        let second = self.due.entry(due / SECOND).or_default();
        second.open = second.open.saturating_sub(1);
        second.cell(endpoint).unfinished += 1;
        self.done.entry(now / SECOND).or_default().cell(endpoint).unfinished += 1;
    }

    /// Whether nothing can be added any more to `second` of `axis`.
    fn settled(&self, axis: Axis, second: u64, now: u64) -> bool {
        let end = (second + 1) * SECOND;
        match axis {
            Axis::Due => end <= self.frontier && self.due.get(&second).is_none_or(|s| s.open == 0),
            Axis::Done | Axis::Chain => end.saturating_add(GRACE) <= now,
        }
    }

    fn seconds(&mut self, axis: Axis) -> &mut BTreeMap<u64, Second> {
        match axis {
            Axis::Due => &mut self.due,
            Axis::Done => &mut self.done,
            Axis::Chain => &mut self.chain,
        }
    }

    fn take(&mut self, axis: Axis, now: u64, into: &mut Vec<(u64, Second)>) {
        let mut ready: Vec<u64> = self.seconds(axis).keys().copied().collect();
        ready.retain(|second| self.settled(axis, *second, now));
        let seconds = self.seconds(axis);
        into.extend(ready.into_iter().filter_map(|s| seconds.remove(&s).map(|second| (s, second))));
    }
}

/// (axis, second, endpoint index, its counts)
pub type Settled = (Axis, u64, usize, Box<Cell>);

/// Seconds that came from some of the threads and wait for the others.
#[derive(Debug, Default)]
pub struct Collector {
    pending: BTreeMap<(Axis, u64), Second>,
}

impl Collector {
    /// Takes what is settled from `recorders` and gives what is settled in all of them: (axis,
    /// second, endpoint index, cell). `now` is the time from the start; `u64::MAX` empties all.
    pub fn collect<'a>(
        &mut self,
        recorders: impl Iterator<Item = &'a Mutex<Recorder>> + Clone,
        now: u64,
    ) -> Vec<Settled> {
        for recorder in recorders.clone() {
            for axis in Axis::ALL {
                let mut taken = Vec::new();
                // Nothing is merged or encoded under the lock: the sending thread waits for nobody.
                crate::lock(recorder).take(axis, now, &mut taken);
                for (second, data) in taken {
                    self.add(axis, second, data);
                }
            }
        }
        let mut free: Vec<(Axis, u64)> = self.pending.keys().copied().collect();
        for recorder in recorders {
            let mut recorder = crate::lock(recorder);
            free.retain(|(axis, second)| {
                recorder.settled(*axis, *second, now)
                    && !recorder.seconds(*axis).contains_key(second)
            });
        }
        let mut out = Vec::new();
        for (axis, second) in free {
            let data = self.pending.remove(&(axis, second)).unwrap_or_default();
            for (endpoint, cell) in data.cells.into_iter().enumerate() {
                out.extend(cell.map(|cell| (axis, second, endpoint, cell)));
            }
        }
        out
    }

    fn add(&mut self, axis: Axis, second: u64, data: Second) {
        let mine = self.pending.entry((axis, second)).or_default();
        for (endpoint, cell) in data.cells.into_iter().enumerate() {
            if let Some(cell) = cell {
                mine.cell(endpoint).merge(*cell);
            }
        }
    }
}
