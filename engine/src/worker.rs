//! What one engine thread has offered: each request from its offer to its end, and what waits.

use crate::cell::Outcome;
use crate::chain::{Carried, Step, Waiting};
use crate::document::Arrivals;
use crate::error_kind::ErrorKind;
use crate::http1::Message;
use crate::http2::Prepared;
use crate::plan::Errand;
use crate::request::{Request, Slot};
use crate::response::ResponseResult;
use crate::run::{Entry, Order, Run};
use crate::slices::Recorder;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

const SCRATCH: usize = 64 << 10;

pub struct Worker {
    pub run: Arc<Run>,
    pub thread: usize,
    /// Of HTTP/1.1; at request index * targets + target.
    pub messages: Vec<Message>,
    /// Of HTTP/2, at the same places.
    pub prepared: Vec<Prepared>,
    /// Where the bytes of every HTTP/1.1 connection are read to.
    pub scratch: RefCell<Box<[u8]>>,
    /// Steps of chains that are not due yet.
    pub waiting: Waiting,
    /// Users of a closed model who think.
    pub thinking: Waiting,
    /// Requests that found no free connection, first come first served.
    queue: RefCell<VecDeque<Job>>,
    /// Rings when a request joins the queue.
    pub queued: Notify,
    pub recorder: Arc<Mutex<Recorder>>,
    open: Cell<u64>,
    idle: Notify,
    /// When the arrival that the pacer sleeps for is due; `u64::MAX` while it is awake.
    pub next_due: Cell<u64>,
    /// No arrival of the schedule will be offered with a due time before this.
    paced: Cell<u64>,
    /// Wakes the pacer before its timer.
    pub bell: Notify,
}

/// A request from the moment it is offered until it ends. One that is dropped is unfinished.
pub struct Job {
    pub worker: Rc<Worker>,
    pub k: u64,
    pub endpoint: usize,
    pub due: u64,
    pub ready: u64,
    pub sent: Option<u64>,
    /// The index of the address that it goes to, once that is known.
    pub target: Option<usize>,
    /// When it times out, in nanoseconds from the start.
    pub deadline: u64,
    pub connects: u64,
    pub bytes_out: u64,
    /// Whether it is sent once more, after a server that did not process it.
    pub retried: bool,
    pub values: Vec<String>,
    /// The chain that it is a step of.
    chain: Option<usize>,
    carried: Carried,
    user: Option<u64>,
    ended: bool,
}

impl Worker {
    pub fn new(run: Arc<Run>, thread: usize) -> Self {
        let plan = &run.plan;
        let pairs = || {
            plan.requests
                .iter()
                .flat_map(|request| plan.targets.iter().map(move |target| (request, target)))
        };
        Self {
            messages: pairs().map(|(request, target)| Message::new(request, target)).collect(),
            prepared: pairs().map(|(request, target)| Prepared::new(request, target)).collect(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            waiting: Waiting::default(),
            thinking: Waiting::default(),
            queue: RefCell::default(),
            queued: Notify::new(),
            recorder: Arc::clone(&run.recorders[thread]),
            run,
            thread,
            open: Cell::new(0),
            idle: Notify::new(),
            next_due: Cell::new(u64::MAX),
            paced: Cell::new(0),
            bell: Notify::new(),
        }
    }

    /// Offers the request of arrival `k`, or charges it when too much is in flight.
    pub fn offer(
        self: &Rc<Self>,
        k: u64,
        endpoint: usize,
        due: u64,
        ready: u64,
        user: Option<u64>,
        carried: Carried,
    ) -> Option<Job> {
        let run = &self.run;
        let chain = run.plan.chain_of(endpoint);
        let admitted = self.admit(user.is_some());
        let mut recorder = crate::lock(&self.recorder);
        recorder.offer(endpoint, due);
        if let Some(chain) = chain.filter(|chain| run.plan.chains[*chain].first == endpoint) {
            recorder.begin_chain(chain, due);
        }
        if !admitted {
            recorder.end(endpoint, &Outcome::refused(due, ready));
            if let Some(chain) = chain {
                recorder.end_chain(chain, carried.took, Some(ErrorKind::InFlightLimit), ready);
            }
            return None;
        }
        drop(recorder);
        self.open.set(self.open.get() + 1);
        let request = &run.plan.requests[endpoint];
        let values = request
            .slots
            .iter()
            .map(|slot| match slot {
                Slot::Feed(feed) => {
                    let mut value = String::new();
                    run.plan.feeds[*feed].write(k, &mut value);
                    value
                }
                Slot::Captured(slot) => carried.captured[*slot].clone(),
            })
            .collect();
        Some(Job {
            worker: Rc::clone(self),
            k,
            endpoint,
            due,
            ready,
            sent: None,
            target: None,
            deadline: ready + request.patience_ns(),
            connects: 0,
            bytes_out: 0,
            retried: false,
            values,
            chain,
            carried,
            user,
            ended: false,
        })
    }

    /// Takes a place among what is in flight. A closed model's users are their own bound.
    fn admit(&self, always: bool) -> bool {
        let run = &self.run;
        let journeys = if run.plan.journeys.is_empty() {
            0
        } else {
            crate::lock(&run.journeys).open.len() as u64
        };
        if run.in_flight.fetch_add(1, Ordering::Relaxed) + journeys < run.plan.max_in_flight
            || always
        {
            return true;
        }
        run.in_flight.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// The next request of a closed model's user; `None` when the run is over for it.
    pub fn next_of(self: &Rc<Self>, user: u64, k: u64) -> Option<Job> {
        let now = self.run.now();
        if self.run.order() != Order::Go || now >= self.run.plan.duration_ns() {
            return None;
        }
        let Errand::Request(endpoint) = self.run.plan.errand(k) else { return None };
        self.offer(k, endpoint, now, now, Some(user), Carried::default())
    }

    /// Offers a step of a chain, or a user's request, that is due; `None` where the run has ended or
    /// it is refused.
    pub fn offer_step(self: &Rc<Self>, step: Step) -> Option<Job> {
        let Step { due, k, endpoint, user, carried } = step;
        let job = match endpoint {
            _ if self.run.order() == Order::Abort => None,
            Some(endpoint) => self.offer(k, endpoint, due, self.run.now(), user, carried),
            None => user.and_then(|user| self.next_of(user, k)),
        };
        if job.is_none() && self.open.get() == 0 {
            self.idle.notify_one();
        }
        job
    }

    /// Puts a request at the end of the queue.
    pub fn wait(&self, job: Job) {
        self.queue.borrow_mut().push_back(job);
        self.queued.notify_one();
    }

    /// Puts a request before all that wait.
    pub fn wait_first(&self, job: Job) {
        self.queue.borrow_mut().push_front(job);
        self.queued.notify_one();
    }

    /// Whether nothing waits for a connection.
    pub fn is_queue_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// The first waiting request whose time is not up.
    pub fn take(&self) -> Option<Job> {
        loop {
            let job = self.queue.borrow_mut().pop_front()?;
            // Only requests that have waited can be late.
            let now = self.run.now();
            if now < job.deadline {
                return Some(job);
            }
            job.end(ResponseResult::failed(ErrorKind::Timeout, now));
        }
    }

    /// Ends the waiting requests whose time is up.
    pub fn expire(&self, now: u64) {
        let mut queue = self.queue.borrow_mut();
        if !queue.iter().any(|job| job.deadline <= now) {
            return;
        }
        let (late, kept): (VecDeque<Job>, _) = queue.drain(..).partition(|job| job.deadline <= now);
        *queue = kept;
        drop(queue);
        for job in late {
            job.end(ResponseResult::failed(ErrorKind::Timeout, now));
        }
    }

    /// Drops all that waits.
    pub fn clear(&self) {
        let jobs = std::mem::take(&mut *self.queue.borrow_mut());
        drop(jobs);
    }

    /// Returns once everything offered has ended and nothing will follow it.
    pub async fn emptied(&self) {
        while self.open.get() > 0 || !self.waiting.is_empty() {
            self.idle.notified().await;
        }
    }

    /// Whether an instant is over; one that never comes costs no look at the clock.
    pub fn has_passed(&self, at: u64) -> bool {
        at != u64::MAX && self.run.now() >= at
    }

    /// Promises that nothing of the schedule will be offered with an earlier due time.
    pub fn advance(&self, due: u64) {
        self.paced.set(self.paced.get().max(due));
        self.settle();
    }

    /// Tells the recorder from when on something may be offered. A step that follows an answer is
    /// due from now on.
    pub fn settle(&self) {
        let mut due = self.paced.get();
        if !self.run.plan.chains.is_empty() {
            due = due.min(self.waiting.earliest()).min(self.run.now());
        }
        let mut recorder = crate::lock(&self.recorder);
        recorder.frontier = recorder.frontier.max(due);
    }
}

impl Job {
    /// When a stream that goes on is given up.
    pub fn limit(&self) -> u64 {
        self.ready + self.template().timeout_ns
    }

    /// Notes a time between two events of its stream.
    pub fn gap(&self, time: u64, count: u32) {
        crate::lock(&self.worker.recorder).gap(self.endpoint, self.due, time, count);
    }

    pub fn template(&self) -> &Request {
        &self.worker.run.plan.requests[self.endpoint]
    }

    /// Ends it. A closed model's user goes on to its next request, which waits in the queue: whoever
    ///  frees a connection looks there next.
    pub fn end(mut self, ended: ResponseResult) {
        let worker = Rc::clone(&self.worker);
        let stream = self.template().stream.as_ref().zip(ended.stream);
        let outcome = Outcome {
            due: self.due,
            done: ended.done,
            ready: Some(self.ready),
            sent: self.sent,
            first: ended.first.filter(|_| self.template().first_byte),
            error: ended.error,
            status: ended.status,
            bytes_in: ended.bytes_in,
            bytes_out: self.bytes_out,
            connects: self.connects,
            retried: self.retried,
            stream: stream.map(|(wanted, stream)| wanted.judged(stream, self.due, ended.done)),
            target: self.target,
        };
        let next = self.template().next.filter(|_| ended.error.is_none());
        self.carried.took += ended.done.saturating_sub(self.due);
        let mut recorder = crate::lock(&worker.recorder);
        recorder.end(self.endpoint, &outcome);
        if let Some(chain) = self.chain.filter(|_| next.is_none()) {
            recorder.end_chain(chain, self.carried.took, ended.error, ended.done);
        }
        drop(recorder);
        if let Some(kind) = ended.error {
            worker.run.failures.note(self.template(), &self.values, kind, &ended);
        }
        self.close(ended.done, ended.status, ended.error.map(ErrorKind::name));
        // The thread is awake: what has become due meanwhile need not wait for its timer.
        if ended.done >= worker.next_due.get() {
            worker.bell.notify_one();
        }
        if let Some(next) = next {
            return self.follow(next, ended);
        }
        let Some(user) = self.user else { return };
        let Arrivals::Closed { users, think_s, .. } = worker.run.plan.arrivals else { return };
        let k = self.k + users;
        if think_s > 0.0 {
            let due = worker.run.now() + (think_s * 1e9) as u64;
            let carried = Carried::default();
            worker.thinking.push(Step { due, k, endpoint: None, user: Some(user), carried });
        } else if let Some(job) = worker.next_of(user, k) {
            worker.wait(job);
        }
    }

    /// The next step of its chain: at once, into the queue as above, or when it is due.
    fn follow(mut self, next: usize, ended: ResponseResult) {
        let worker = Rc::clone(&self.worker);
        let mut carried = std::mem::take(&mut self.carried);
        for (slot, value) in ended.captured {
            if carried.captured.len() <= slot {
                carried.captured.resize(slot + 1, String::new());
            }
            carried.captured[slot] = value;
        }
        let think = worker.run.plan.requests[next].think_ns;
        let due = ended.done.saturating_add(think);
        let step = Step { due, k: self.k, endpoint: Some(next), user: self.user, carried };
        if think > 0 {
            worker.waiting.push(step);
        } else if let Some(job) = worker.offer_step(step) {
            worker.wait(job);
        }
    }

    fn close(&mut self, done: u64, status: u16, error: Option<&'static str>) {
        self.ended = true;
        let worker = &self.worker;
        worker.run.in_flight.fetch_sub(1, Ordering::Relaxed);
        worker.open.set(worker.open.get() - 1);
        if worker.open.get() == 0 {
            worker.idle.notify_one();
        }
        if self.template().log {
            let (k, endpoint, due, sent) =
                (self.k, self.endpoint, self.due, self.sent.unwrap_or(0));
            let values = std::mem::take(&mut self.values);
            self.worker.run.write_log(Entry {
                k,
                endpoint,
                due,
                sent,
                done,
                status,
                error,
                values,
            });
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let run = Arc::clone(&self.worker.run);
        if std::thread::panicking() {
            run.fail(
                "the engine panicked while it held a request; the figures are not to be trusted"
                    .into(),
            );
        }
        crate::lock(&self.worker.recorder).leave(self.endpoint, self.due, run.now());
        self.close(0, 0, Some("unfinished"));
    }
}
