//! Connections: a bounded number for each target. Who takes which is decided in `dispatch`.

use crate::error_kind::ErrorKind;
use crate::net::{Stream, Trouble, open};
use crate::worker::{Job, Worker};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::SendRequest;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;
use tokio::time::timeout;

/// Streams at once on one HTTP/2 connection; servers usually allow as many or more.
const STREAMS: usize = 100;

/// The connections of one engine thread.
pub struct Pool {
    pub worker: Rc<Worker>,
    pub targets: Vec<RefCell<Target>>,
    /// The target whose turn it is.
    pub next: Cell<usize>,
    /// Connections allowed for each target.
    limit: usize,
}

#[derive(Default)]
pub struct Target {
    /// Those of HTTP/1.1 that carry nothing.
    pub idle: VecDeque<Rc<Slot>>,
    pub multiplexed: Vec<Rc<Multiplexed>>,
    /// Connections that exist or are being made.
    open: usize,
    /// Connections made so far: which address of a name comes next.
    turn: usize,
}

/// Where an idle HTTP/1.1 connection awaits its next request.
pub struct Slot {
    pub job: RefCell<Option<Job>>,
    pub waker: RefCell<Waker>,
    pub dead: Cell<bool>,
    /// From when on it takes no more requests.
    pub until: u64,
}

/// An HTTP/2 connection.
pub struct Multiplexed {
    /// Absent until it is made, and after it has been closed.
    pub sender: RefCell<Option<SendRequest<Full<Bytes>>>>,
    /// Requests that wait for the connection to be made.
    pub pending: RefCell<Vec<Job>>,
    pub active: Cell<usize>,
    /// Requests given to it so far.
    pub carried: Cell<u64>,
    /// From when on it takes no more requests.
    pub until: Cell<u64>,
    pub dead: Cell<bool>,
    pub read: RefCell<Rc<Cell<u64>>>,
}

impl Multiplexed {
    /// One that is to be made, for its first request.
    pub fn new(job: Job) -> Self {
        Self {
            sender: RefCell::default(),
            pending: RefCell::new(vec![job]),
            active: Cell::new(1),
            carried: Cell::new(1),
            until: Cell::new(u64::MAX),
            dead: Cell::default(),
            read: RefCell::default(),
        }
    }

    pub fn is_made(&self) -> bool {
        self.sender.borrow().is_some()
    }

    pub fn room(&self, worker: &Worker) -> bool {
        let closed = self.sender.borrow().as_ref().is_some_and(SendRequest::is_closed);
        !self.is_over(worker) && !closed && self.active.get() < STREAMS
    }

    /// Whether it takes no more requests.
    pub fn is_over(&self, worker: &Worker) -> bool {
        self.dead.get()
            || self.carried.get() >= worker.run.plan.route.most_requests
            || worker.has_passed(self.until.get())
    }

    /// Closes it, by its last sender, once it carries nothing and is to carry nothing more.
    pub fn close_if_over(&self, worker: &Worker) {
        if self.active.get() == 0 && self.is_over(worker) {
            self.sender.borrow_mut().take();
        }
    }
}

impl Pool {
    pub fn new(worker: Rc<Worker>) -> Self {
        let plan = &worker.run.plan;
        let threads = plan.threads as usize;
        let extra = usize::from(worker.thread < plan.connections_per_target % threads);
        Self {
            targets: (0..plan.targets.len()).map(|_| RefCell::default()).collect(),
            next: Cell::new(worker.thread),
            limit: plan.connections_per_target / threads + extra,
            worker,
        }
    }

    /// Takes a place for a connection that is to be made, if there is one; gives which it is.
    pub fn enter(&self, target: &mut Target) -> Option<usize> {
        if target.open >= self.limit {
            return None;
        }
        target.open += 1;
        target.turn += 1;
        Some(target.turn - 1)
    }

    /// A connection of `target` is no more.
    pub fn leave(&self, target: usize) {
        self.targets[target].borrow_mut().open -= 1;
    }

    pub fn forget(&self, target: usize, connection: &Rc<Multiplexed>) {
        let mut state = self.targets[target].borrow_mut();
        state.multiplexed.retain(|other| !Rc::ptr_eq(other, connection));
    }

    /// Opens a stream within both the connect timeout and the request's own.
    pub async fn connect(
        &self,
        target: usize,
        turn: usize,
        deadline: u64,
    ) -> Result<Stream, Trouble> {
        let run = &self.worker.run;
        let left = Duration::from_nanos(deadline.saturating_sub(run.now()));
        let patience = left.min(run.plan.connect_timeout);
        let opening = open(&run.plan, run.tls.as_ref(), &run.plan.targets[target], turn);
        match timeout(patience, opening).await {
            Ok(opened) => opened,
            Err(_) if left < run.plan.connect_timeout => Err(ErrorKind::Timeout.into()),
            Err(_) => Err(ErrorKind::ConnectTimeout.into()),
        }
    }

    /// Drops what waits for connections that are being made, and all connections.
    pub fn clear(&self) {
        for target in &self.targets {
            let target = std::mem::take(&mut *target.borrow_mut());
            for connection in &target.multiplexed {
                let pending = std::mem::take(&mut *connection.pending.borrow_mut());
                drop(pending);
            }
        }
    }
}
