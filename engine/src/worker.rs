//! One engine thread: it paces its share of the schedule and owns its connections.

use crate::alarm::Alarm;
use crate::chain::{Carried, Step, Waiting, walk};
use crate::document::Arrivals;
use crate::http1::Message;
use crate::http2::Prepared;
use crate::kind::Kind;
use crate::plan::Errand;
use crate::pool::{Pool, submit};
use crate::request::{Request, Slot};
use crate::response::ResponseResult;
use crate::run::{Entry, Order, Run};
use crate::schedule::Schedule;
use crate::slices::{Outcome, Recorder, SECOND};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{sleep, timeout};

/// How often waiting requests are looked through for those that have timed out.
const SWEEP: Duration = Duration::from_millis(10);
/// How often the thread's processor time is noted while nothing waits.
const IDLE: Duration = Duration::from_millis(100);
/// So many arrivals in a row let the connections have their turn.
const BURST: u32 = 64;
const SCRATCH: usize = 64 << 10;

pub struct Worker {
    pub run: Arc<Run>,
    pub pool: Pool,
    /// Of HTTP/1.1; at request index * targets + target.
    pub messages: Vec<Message>,
    /// Of HTTP/2, at the same places.
    pub prepared: Vec<Prepared>,
    /// Where the bytes of every HTTP/1.1 connection are read to.
    pub scratch: RefCell<Box<[u8]>>,
    /// Steps of chains that are not due yet.
    pub waiting: Waiting,
    recorder: Arc<Mutex<Recorder>>,
    thread: usize,
    open: Cell<u64>,
    idle: Notify,
    /// When the arrival that the pacer sleeps for is due; `u64::MAX` while it is awake.
    next_due: Cell<u64>,
    /// No arrival of the schedule will be offered with a due time before this.
    paced: Cell<u64>,
    /// Wakes the pacer before its alarm.
    bell: Notify,
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
    pub values: Vec<String>,
    /// The chain that it is a step of.
    chain: Option<usize>,
    carried: Carried,
    user: Option<u64>,
    ended: bool,
}

impl Worker {
    fn new(run: Arc<Run>, thread: usize) -> Self {
        let plan = &run.plan;
        let pairs = || {
            plan.requests
                .iter()
                .flat_map(|request| plan.targets.iter().map(move |target| (request, target)))
        };
        let threads = plan.threads as usize;
        let extra = usize::from(thread < plan.connections_per_target % threads);
        let limit = plan.connections_per_target / threads + extra;
        Self {
            pool: Pool::new(plan.targets.len(), limit, thread),
            messages: pairs().map(|(request, target)| Message::new(request, target)).collect(),
            prepared: pairs().map(|(request, target)| Prepared::new(request, target)).collect(),
            scratch: RefCell::new(vec![0; SCRATCH].into()),
            waiting: Waiting::default(),
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
    fn offer(
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
                recorder.end_chain(chain, carried.took, Some(Kind::InFlightLimit), ready);
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

    fn dispatch(self: &Rc<Self>, k: u64, due: u64, ready: u64) {
        match self.run.plan.errand(k) {
            Errand::Request(endpoint) => {
                if let Some(job) = self.offer(k, endpoint, due, ready, None, Carried::default()) {
                    submit(self, job);
                }
            }
            Errand::Journey(journey) => self.journey(k, journey, due, ready),
        }
    }

    fn journey(self: &Rc<Self>, k: u64, journey: usize, due: u64, ready: u64) {
        let run = &self.run;
        let mut journeys = crate::lock(&run.journeys);
        journeys.offered += 1;
        let busy = journeys.open.len() as u64 + run.in_flight.load(Ordering::Relaxed);
        if busy < run.plan.max_in_flight {
            journeys.arrive(k, journey, due);
            return;
        }
        journeys.done += 1;
        drop(journeys);
        let endpoint = run.plan.requests.len() + journey;
        let mut recorder = crate::lock(&self.recorder);
        recorder.offer(endpoint, due);
        recorder.end(endpoint, &Outcome::refused(due, ready));
    }

    /// The next request of a closed model's user; `None` when the run is over for it.
    fn next_of(self: &Rc<Self>, user: u64, k: u64) -> Option<Job> {
        let now = self.run.now();
        if self.run.order() != Order::Go || now >= self.run.plan.duration_ns() {
            return None;
        }
        let Errand::Request(endpoint) = self.run.plan.errand(k) else { return None };
        self.offer(k, endpoint, now, now, Some(user), Carried::default())
    }

    /// Offers a step of a chain that is due; `None` where the run has ended or it is refused.
    pub fn offer_step(self: &Rc<Self>, step: Step) -> Option<Job> {
        let ready = self.run.now();
        let job = if self.run.order() == Order::Abort {
            None
        } else {
            let Step { due, k, endpoint, user, carried } = step;
            self.offer(k, endpoint, due, ready, user, carried)
        };
        if job.is_none() && self.open.get() == 0 {
            self.idle.notify_one();
        }
        job
    }

    /// Whether an instant is over; one that never comes costs no look at the clock.
    pub fn has_passed(&self, at: u64) -> bool {
        at != u64::MAX && self.run.now() >= at
    }

    /// Promises that nothing of the schedule will be offered with an earlier due time.
    fn advance(&self, due: u64) {
        self.paced.set(self.paced.get().max(due));
        self.settle();
    }

    /// Tells the recorder from when on something may be offered. A step that follows an answer is
    /// due from now on.
    fn settle(&self) {
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

    /// Ends it. A closed model's user goes on to its next request, which waits in the pool's queue:
    /// whoever frees a connection looks there next.
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
            let name = &self.template().name;
            worker.run.example(name, kind, ended.status, ended.done, ended.evidence.as_deref());
            worker.run.note_values(self.endpoint, &self.values);
        }
        self.close(ended.done, ended.status, ended.error.map(Kind::name));
        // The thread is awake: what has become due meanwhile need not wait for its alarm.
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
            spawn_local(async move {
                sleep(Duration::from_secs_f64(think_s)).await;
                if let Some(job) = worker.next_of(user, k) {
                    submit(&worker, job);
                }
            });
        } else if let Some(job) = worker.next_of(user, k) {
            worker.pool.wait(job);
        }
    }

    /// The next step of its chain: at once, into the pool's queue as above, or when it is due.
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
        let step = Step { due, k: self.k, endpoint: next, user: self.user, carried };
        if think > 0 {
            worker.waiting.push(step);
        } else if let Some(job) = worker.offer_step(step) {
            worker.pool.wait(job);
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

/// Runs engine thread `thread` to its end.
pub fn run(run: &Arc<Run>, thread: usize) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        // Look for new input often: a pacer that waits for a long queue of tasks would be late.
        .event_interval(13)
        .build_local(LocalOptions::default())?;
    let worker = Rc::new(Worker::new(Arc::clone(run), thread));
    let result = runtime.block_on(work(Rc::clone(&worker)));
    // Ending the tasks drops their jobs, which are then unfinished. Nobody waits for a resolver.
    runtime.shutdown_background();
    worker.pool.clear();
    crate::lock(&worker.recorder).frontier = u64::MAX;
    run.note_cpu(thread);
    result
}

async fn work(worker: Rc<Worker>) -> io::Result<()> {
    spawn_local(sweep(Rc::clone(&worker)));
    spawn_local(heed(Rc::clone(&worker)));
    if !worker.run.plan.chains.is_empty() {
        let mine = Rc::clone(&worker);
        spawn_local(async move {
            if let Err(error) = walk(Rc::clone(&mine)).await {
                mine.run.fail(format!("steps of chains cannot be timed: {error}"));
            }
        });
    }
    let run = Arc::clone(&worker.run);
    let mut orders = run.orders.subscribe();
    let pacer = spawn_local(pace(Rc::clone(&worker)));
    let paced = pacer.await;
    run.arrivals_ended.fetch_max(run.now(), Ordering::Relaxed);
    match paced {
        Ok(result) => result?,
        Err(panic) => return Err(io::Error::other(format!("the pacer panicked: {panic}"))),
    }
    let emptied = async {
        while worker.open.get() > 0 || !worker.waiting.is_empty() {
            worker.idle.notified().await;
        }
    };
    let drained = timeout(Duration::from_nanos(run.plan.drain_ns), emptied);
    tokio::select! {
        _ = drained => {}
        _ = orders.wait_for(|order| *order == Order::Abort) => {}
    }
    Ok(())
}

/// Sends every arrival of this thread's share when it is due, and ends with the last.
async fn pace(worker: Rc<Worker>) -> io::Result<()> {
    let run = Arc::clone(&worker.run);
    let plan = &run.plan;
    let start = run.start.load(Ordering::Relaxed);
    let alarm = Alarm::new()?;
    let until = async |due: u64, slack: u64| -> io::Result<()> {
        worker.next_due.set(due);
        let result = tokio::select! {
            result = alarm.until(start + due + slack) => result,
            () = worker.bell.notified() => Ok(()),
        };
        worker.next_due.set(u64::MAX);
        result
    };
    // The start may lie ahead.
    until(0, 0).await?;
    if let Arrivals::Closed { users, .. } = plan.arrivals {
        let share = plan.share(worker.thread as u64);
        for user in (0..users).filter(|user| share.owns(*user)) {
            if let Some(job) = worker.next_of(user, user) {
                submit(&worker, job);
            }
        }
    }
    let mut burst = 0;
    let mut second = 0;
    let schedule = Schedule::new(&plan.arrivals, plan.seed, plan.share(worker.thread as u64));
    for arrival in schedule.into_iter().flatten() {
        if arrival.due / SECOND > second {
            second = arrival.due / SECOND;
            worker.advance(arrival.due);
        }
        let mut now = run.now();
        while now < arrival.due && run.order() == Order::Go {
            if arrival.due - now <= plan.spin_ns {
                yield_now().await;
            } else {
                until(arrival.due, plan.slack_ns).await?;
            }
            burst = 0;
            now = run.now();
        }
        if run.order() != Order::Go {
            return Ok(());
        }
        worker.dispatch(arrival.k, arrival.due, now);
        burst += 1;
        if burst == BURST {
            burst = 0;
            yield_now().await;
        }
    }
    if !matches!(plan.arrivals, Arrivals::Closed { .. }) {
        worker.advance(u64::MAX);
    }
    let end = plan.duration_ns();
    while run.now() < end && run.order() == Order::Go {
        until(end, 0).await?;
    }
    worker.advance(u64::MAX);
    Ok(())
}

/// Wakes the pacer when the run is to end early.
async fn heed(worker: Rc<Worker>) {
    let mut orders = worker.run.orders.subscribe();
    if orders.wait_for(|order| *order != Order::Go).await.is_ok() {
        worker.bell.notify_one();
    }
}

/// Ends waiting requests whose time is up, and keeps the closed model's frontier moving.
async fn sweep(worker: Rc<Worker>) {
    let closed = matches!(worker.run.plan.arrivals, Arrivals::Closed { .. });
    loop {
        if !closed && worker.pool.is_idle() {
            let _ = timeout(IDLE, worker.pool.queued.notified()).await;
        }
        sleep(SWEEP).await;
        let now = worker.run.now();
        for job in worker.pool.expired(now) {
            job.end(ResponseResult::failed(Kind::Timeout, now));
        }
        worker.pool.pump(&worker);
        if closed {
            worker.advance(now);
        } else {
            worker.settle();
        }
        worker.run.note_cpu(worker.thread);
    }
}
