//! What the threads of one engine share.

use crate::address::Address;
use crate::clock;
use crate::failures::Failures;
use crate::journeys::Journeys;
use crate::plan::Plan;
use crate::slices::{Recorder, Totals};
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
    pub failures: Failures,
    pub lines: Mutex<Vec<String>>,
    pub progress: Mutex<Progress>,
    pub changed: Condvar,
}

impl Run {
    pub fn new(plan: Plan, tls: Option<TlsConnector>) -> Self {
        let threads = plan.threads as usize;
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
            journeys: Mutex::new(Journeys::new(&plan.journeys)),
            log: Mutex::default(),
            failures: Failures::default(),
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
    pub fn close(&self) {
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
