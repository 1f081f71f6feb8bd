//! What the threads of one engine share.

use crate::clock;
use crate::plan::Plan;
use crate::slices::{Collector, Recorder, Totals};
use std::collections::{BTreeMap, HashMap};
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

/// Python's side of the arrivals.
#[derive(Debug, Default)]
pub struct Journeys {
    pub ready: Vec<(u64, usize, u64)>,
    /// Arrival to its due time, until it is done.
    pub open: BTreeMap<u64, u64>,
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
        crate::lock(&self.run.journeys).ready.clear();
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
        crate::lock(&self.run.journeys).open.is_empty()
            || self.run.order() == Order::Abort
            || self.run.now() >= patience
    }

    fn write(&mut self, now: u64) {
        let run = Arc::clone(&self.run);
        let plan = &run.plan;
        let cells = self.native.collect(run.recorders.iter().map(|r| &**r), now);
        self.push(cells, |endpoint| match endpoint.checked_sub(plan.requests.len()) {
            None => plan.requests[endpoint].name.clone(),
            Some(journey) => plan.journeys[journey].clone(),
        });
        let frontier = match now {
            u64::MAX => u64::MAX,
            _ => {
                let oldest = crate::lock(&run.journeys).open.values().min().copied();
                let native = run.recorders.iter().map(|r| crate::lock(r).frontier).min();
                oldest.unwrap_or(u64::MAX).min(native.unwrap_or(0)).min(now)
            }
        };
        crate::lock(&run.python).frontier = frontier;
        let cells = self.python.collect(std::iter::once(&run.python), now);
        self.push(cells, |endpoint| crate::lock(&run.journeys).names[endpoint].clone());
    }

    fn push(&mut self, cells: Vec<crate::slices::Settled>, name: impl Fn(usize) -> String) {
        for (axis, second, endpoint, cell) in cells {
            let written = &mut self.written[axis as usize];
            written.offered += cell.offered;
            written.completed += cell.completed;
            written.failed += cell.failed;
            written.unfinished += cell.unfinished;
            match cell.line(axis, second, &name(endpoint)) {
                Ok(line) => crate::lock(&self.run.lines).push(line),
                Err(error) => self.run.fail(error),
            }
        }
    }
}
