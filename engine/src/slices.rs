//! What is counted: per second and endpoint, on two axes.

use crate::address::Address;
use crate::cell::{Axis, Cell, Outcome};
use crate::error_kind::ErrorKind;
use crate::hist;
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Mutex;

pub const SECOND: u64 = 1_000_000_000;
/// How long after its end a second on the axis `done` may still receive (clock read to record).
const GRACE: u64 = 100_000_000;

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
    pub fn end_chain(&mut self, chain: usize, took: u64, error: Option<ErrorKind>, done: u64) {
        self.chain.entry(done / SECOND).or_default().cell(chain).end_chain(took, error);
    }

    /// Notes a time between two events of a stream that has not ended.
    pub fn gap(&mut self, endpoint: usize, due: u64, gap: u64, count: u32) {
        let cell = self.due.entry(due / SECOND).or_default().cell(endpoint);
        self.totals.clipped += cell.gap(gap, count);
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
