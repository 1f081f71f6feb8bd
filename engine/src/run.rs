//! What the threads of one engine share.

use crate::answer::Evidence;
use crate::clock;
use crate::kind::Kind;
use crate::plan::Plan;
use crate::request::Slot;
use crate::slices::{Address, Axis, Collector, Recorder, Totals};
use std::collections::{BTreeMap, HashMap};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

/// The order given to the threads; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    Go,
    Stop,
    Abort,
}

/// One logged request.
#[derive(Debug)]
pub struct Entry {
    pub k: u64,
    pub endpoint: usize,
    pub due: u64,
    pub sent: u64,
    pub done: u64,
    pub status: u16,
    pub error: Option<&'static str>,
    pub values: Vec<String>,
}

/// The log keeps at most this many entries that nobody has taken.
const LOG_LIMIT: usize = 1_000_000;

#[derive(Debug, Default)]
pub struct Log {
    pub entries: Vec<Entry>,
    pub lost: u64,
}

/// Examples of one kind of failure at one endpoint, and of all of them.
const EXAMPLES: u8 = 5;
const MOST_EXAMPLES: usize = 200;

/// A few failures to look at, as lines of JSON.
#[derive(Debug, Default)]
pub struct Examples {
    seen: HashMap<(String, Kind, u16), u8>,
    given: usize,
    pub lines: Vec<String>,
}

/// Values of one feed that are told apart among failures; the others only count.
const MOST_VALUES: usize = 10_000;
/// The most frequent values of a feed among failures that are reported.
const SHOWN_VALUES: usize = 3;

/// The values of failed requests: how many had which, by feed.
#[derive(Debug, Default)]
struct Values {
    failed: u64,
    known: HashMap<String, u64>,
}

/// A journey that came due and has not been reported done.
#[derive(Debug)]
pub struct Open {
    pub journey: usize,
    pub due: u64,
    /// Whether one of its requests has been offered.
    pub begun: bool,
}

/// A request of a journey that has been offered and has not ended.
#[derive(Debug)]
pub struct Step {
    pub endpoint: usize,
    pub due: u64,
    pub ready: u64,
}

/// Python's side of the arrivals.
#[derive(Debug, Default)]
pub struct Journeys {
    ready: Vec<(u64, usize, u64)>,
    /// Holds one byte exactly while something is ready: who waits for it need not poll.
    bell: Option<(PipeReader, PipeWriter)>,
    pub open: BTreeMap<u64, Open>,
    pub steps: HashMap<u64, Step>,
    next_step: u64,
    pub offered: u64,
    pub done: u64,
    pub names: Vec<String>,
    pub index: HashMap<String, usize>,
}

/// How far the engine has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    pub started: bool,
    /// Threads still sending or draining.
    pub running: u64,
    pub finished: bool,
    /// Whether what Python did not end has been counted as unfinished.
    pub closed: bool,
    pub conserved: Option<bool>,
    pub error: Option<String>,
}

pub struct Run {
    pub plan: Plan,
    pub tls: Option<TlsConnector>,
    /// The start on the monotonic clock.
    pub start: AtomicU64,
    pub in_flight: AtomicU64,
    /// When the arrivals ended, in nanoseconds from the start; the latest of the threads.
    pub arrivals_ended: AtomicU64,
    order: AtomicU8,
    pub orders: watch::Sender<Order>,
    pub recorders: Vec<Arc<Mutex<Recorder>>>,
    pub cpu: Vec<AtomicU64>,
    pub python: Mutex<Recorder>,
    pub journeys: Mutex<Journeys>,
    pub log: Mutex<Log>,
    pub examples: Mutex<Examples>,
    values: Mutex<BTreeMap<usize, Values>>,
    pub lines: Mutex<Vec<String>>,
    pub progress: Mutex<Progress>,
    pub changed: Condvar,
}

impl Run {
    pub fn new(plan: Plan, tls: Option<TlsConnector>) -> Self {
        let threads = plan.threads as usize;
        let mut journeys = Journeys::default();
        for name in &plan.journeys {
            journeys.endpoint(name);
            journeys.bell = journeys.bell.or_else(|| std::io::pipe().ok());
        }
        Self {
            tls,
            start: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            arrivals_ended: AtomicU64::new(0),
            order: AtomicU8::new(Order::Go as u8),
            orders: watch::Sender::new(Order::Go),
            recorders: (0..threads).map(|_| Arc::default()).collect(),
            // One more for the thread that writes the lines.
            cpu: (0..=threads).map(|_| AtomicU64::new(0)).collect(),
            python: Mutex::default(),
            journeys: Mutex::new(journeys),
            log: Mutex::default(),
            examples: Mutex::default(),
            values: Mutex::default(),
            lines: Mutex::default(),
            progress: Mutex::default(),
            changed: Condvar::new(),
            plan,
        }
    }

    /// Nanoseconds from the start; 0 before it.
    pub fn now(&self) -> u64 {
        clock::now_ns().saturating_sub(self.start.load(Ordering::Relaxed))
    }

    pub fn order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            0 => Order::Go,
            1 => Order::Stop,
            _ => Order::Abort,
        }
    }

    pub fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        self.orders.send_modify(|current| *current = order.max(*current));
        self.changed.notify_all();
    }

    pub fn note_cpu(&self, thread: usize) {
        if let Some(used) = clock::thread_cpu_ns() {
            self.cpu[thread].store(used, Ordering::Relaxed);
        }
    }

    /// Something that must not happen has: the figures cannot be trusted.
    pub fn fail(&self, error: String) {
        crate::lock(&self.progress).error.get_or_insert(error);
        self.give(Order::Abort);
    }

    pub fn write_log(&self, entry: Entry) {
        let mut log = crate::lock(&self.log);
        if log.entries.len() < LOG_LIMIT {
            log.entries.push(entry);
        } else {
            log.lost += 1;
        }
    }

    /// Keeps the first few failures of each kind, with what there is to see of them.
    pub fn example(
        &self,
        endpoint: &str,
        kind: Kind,
        status: u16,
        done: u64,
        evidence: Option<&Evidence>,
    ) {
        let mut examples = crate::lock(&self.examples);
        if examples.given >= MOST_EXAMPLES {
            return;
        }
        let seen = examples.seen.entry((endpoint.to_owned(), kind, status)).or_default();
        if *seen >= EXAMPLES {
            return;
        }
        *seen += 1;
        examples.given += 1;
        let line = serde_json::json!({
            "endpoint": endpoint,
            "kind": kind.name(),
            "status": Some(status).filter(|status| *status > 0),
            "second": done / crate::slices::SECOND,
            "head": evidence.map(|e| &e.head).filter(|head| !head.is_empty()),
            "location": evidence.and_then(|e| e.location.as_deref()),
            "retry_after_s": evidence.and_then(|e| e.retry_after),
            "message": evidence.and_then(|e| e.reason.as_deref()),
        });
        examples.lines.push(line.to_string());
    }

    /// Counts the values of a failed request, each feed once.
    pub fn note_values(&self, endpoint: usize, values: &[String]) {
        let slots = &self.plan.requests[endpoint].slots;
        let mut kept = crate::lock(&self.values);
        for (i, (slot, value)) in slots.iter().zip(values).enumerate() {
            let Slot::Feed(feed) = slot else { continue };
            if slots[..i].iter().any(|other| matches!(other, Slot::Feed(same) if same == feed)) {
                continue;
            }
            let of = kept.entry(*feed).or_default();
            of.failed += 1;
            if let Some(count) = of.known.get_mut(value) {
                *count += 1;
            } else if of.known.len() < MOST_VALUES {
                of.known.insert(value.clone(), 1);
            }
        }
    }

    /// The most frequent values of each feed among the failed requests, as objects of JSON.
    pub fn failing_values(&self) -> Vec<String> {
        let kept = crate::lock(&self.values);
        let lines = kept.iter().flat_map(|(feed, of)| {
            let name = &self.plan.feeds[*feed].name;
            let mut known: Vec<(&String, &u64)> = of.known.iter().collect();
            known.sort_unstable_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            known.truncate(SHOWN_VALUES);
            known.into_iter().map(move |(value, count)| {
                let line = serde_json::json!({
                    "feed": name, "value": value, "failed": count, "of": of.failed,
                });
                line.to_string()
            })
        });
        lines.collect()
    }

    /// What each address has answered, as objects of JSON.
    pub fn addresses(&self) -> Result<Vec<String>, String> {
        let mut sums: Vec<Address> = Vec::new();
        sums.resize_with(self.plan.targets.len(), Address::default);
        for recorder in &self.recorders {
            for (sum, part) in sums.iter_mut().zip(&crate::lock(recorder).addresses) {
                sum.merge(part);
            }
        }
        let named = sums.iter().zip(&self.plan.targets);
        named.map(|(sum, at)| sum.document(&format!("{}:{}", at.host, at.port))).collect()
    }

    /// Counts what Python has not ended as unfinished, once and for all.
    fn close(&self) {
        let mut progress = crate::lock(&self.progress);
        progress.closed = true;
        let mut journeys = crate::lock(&self.journeys);
        let mut recorder = crate::lock(&self.python);
        let now = self.now();
        for step in std::mem::take(&mut journeys.steps).into_values() {
            recorder.leave(step.endpoint, step.due, now);
        }
        for open in journeys.open.values().filter(|open| !open.begun) {
            recorder.offer(open.journey, open.due);
            recorder.leave(open.journey, open.due, now);
        }
        journeys.take_ready();
    }

    pub fn totals(&self) -> Totals {
        let parts = self.recorders.iter().map(|r| crate::lock(r).totals);
        let mut sum = crate::lock(&self.python).totals;
        for part in parts {
            sum.offered += part.offered;
            sum.completed += part.completed;
            sum.failed += part.failed;
            sum.unfinished += part.unfinished;
            sum.clipped += part.clipped;
        }
        sum
    }
}

impl Journeys {
    pub fn arrive(&mut self, k: u64, journey: usize, due: u64) {
        if self.ready.is_empty()
            && let Some((_, bell)) = &mut self.bell
        {
            // A pipe that is empty takes a byte.
            let _ = bell.write(&[0]);
        }
        self.ready.push((k, journey, due));
        self.open.insert(k, Open { journey, due, begun: false });
    }

    /// What has come due since the last call: (k, journey, due).
    pub fn take_ready(&mut self) -> Vec<(u64, usize, u64)> {
        if !self.ready.is_empty()
            && let Some((bell, _)) = &mut self.bell
        {
            let _ = bell.read(&mut [0]);
        }
        std::mem::take(&mut self.ready)
    }

    /// Readable while something is ready; absent without journeys.
    pub fn bell(&self) -> Option<&PipeReader> {
        self.bell.as_ref().map(|(bell, _)| bell)
    }

    /// Notes a request that journey `k` is about to send; gives the number it is known by.
    pub fn begin(&mut self, k: u64, step: Step) -> u64 {
        if let Some(open) = self.open.get_mut(&k) {
            open.begun = true;
        }
        self.next_step += 1;
        self.steps.insert(self.next_step, step);
        self.next_step
    }

    /// The index of an endpoint that Python speaks of.
    pub fn endpoint(&mut self, name: &str) -> usize {
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }
}

/// The thread that turns settled seconds into lines, away from those that send.
pub struct Scribe {
    run: Arc<Run>,
    native: Collector,
    python: Collector,
    /// What the lines of each axis add up to.
    written: [Totals; 2],
}

impl Scribe {
    pub fn new(run: Arc<Run>) -> Self {
        Self {
            run,
            native: Collector::default(),
            python: Collector::default(),
            written: Default::default(),
        }
    }

    /// Runs until the engine has finished; then everything is written and conservation is judged.
    pub fn run(mut self) {
        let pause = std::time::Duration::from_millis(100);
        while !self.over() {
            self.write(self.run.now());
            self.run.note_cpu(self.run.recorders.len());
            let progress = crate::lock(&self.run.progress);
            if progress.running > 0 || self.run.order() != Order::Abort {
                drop(self.run.changed.wait_timeout(progress, pause));
            }
        }
        self.run.close();
        self.write(u64::MAX);
        self.run.note_cpu(self.run.recorders.len());
        let totals = self.run.totals();
        let conserved = totals.offered == totals.completed + totals.failed + totals.unfinished
            && self.run.in_flight.load(Ordering::Relaxed) == 0
            && self.written.iter().all(|w| Totals { clipped: totals.clipped, ..*w } == totals);
        let mut progress = crate::lock(&self.run.progress);
        progress.conserved = Some(conserved && progress.error.is_none());
        progress.finished = true;
        drop(progress);
        self.run.changed.notify_all();
    }

    /// Whether every thread has ended and no journey is waited for any more.
    fn over(&self) -> bool {
        if crate::lock(&self.run.progress).running > 0 {
            return false;
        }
        let patience =
            self.run.arrivals_ended.load(Ordering::Relaxed).saturating_add(self.run.plan.drain_ns);
        let journeys = crate::lock(&self.run.journeys);
        let walked = journeys.open.is_empty() && journeys.steps.is_empty();
        drop(journeys);
        walked || self.run.order() == Order::Abort || self.run.now() >= patience
    }

    fn write(&mut self, now: u64) {
        let run = Arc::clone(&self.run);
        let plan = &run.plan;
        let cells = self.native.collect(run.recorders.iter().map(|r| &**r), now);
        self.push(cells, |axis, place| match place.checked_sub(plan.requests.len()) {
            _ if axis == Axis::Chain => plan.chains[place].name.clone(),
            None => plan.requests[place].name.clone(),
            Some(journey) => plan.journeys[journey].clone(),
        });
        let frontier = match now {
            u64::MAX => u64::MAX,
            _ => {
                let oldest = crate::lock(&run.journeys).open.values().map(|open| open.due).min();
                let native = run.recorders.iter().map(|r| crate::lock(r).frontier).min();
                oldest.unwrap_or(u64::MAX).min(native.unwrap_or(0)).min(now)
            }
        };
        crate::lock(&run.python).frontier = frontier;
        let cells = self.python.collect(std::iter::once(&run.python), now);
        self.push(cells, |_, endpoint| crate::lock(&run.journeys).names[endpoint].clone());
    }

    fn push(&mut self, cells: Vec<crate::slices::Settled>, name: impl Fn(Axis, usize) -> String) {
        for (axis, second, endpoint, cell) in cells {
            // Chains are no requests: theirs are counted.
            if let Some(written) = self.written.get_mut(axis as usize) {
                written.offered += cell.offered;
                written.completed += cell.completed;
                written.failed += cell.failed;
                written.unfinished += cell.unfinished;
            }
            match cell.line(axis, second, &name(axis, endpoint)) {
                Ok(line) => crate::lock(&self.run.lines).push(line),
                Err(error) => self.run.fail(error),
            }
        }
    }
}
