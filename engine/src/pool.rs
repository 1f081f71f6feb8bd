//! Connections: a bounded number for each target, taken in turn; whoever finds none free waits.

use crate::http1::Exchange;
use crate::http2::{Outgoing, complete, kind_of};
use crate::kind::Kind;
use crate::net::{Io, Stream, Trouble, open};
use crate::response::ResponseResult;
use crate::worker::{Job, Worker};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::client::conn::http2;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{spawn_local, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Streams at once on one HTTP/2 connection; servers usually allow as many or more.
const STREAMS: usize = 100;

pub struct Pool {
    targets: Vec<RefCell<Target>>,
    /// Requests that found no free connection, first come first served.
    queue: RefCell<VecDeque<Job>>,
    /// Rings when a request joins the queue.
    pub queued: Notify,
    next: Cell<usize>,
    /// Connections allowed for each target.
    limit: usize,
}

#[derive(Default)]
struct Target {
    idle: VecDeque<Rc<Slot>>,
    multiplexed: Vec<Rc<Multiplexed>>,
    /// Connections that exist or are being made.
    open: usize,
    /// Connections made so far: which address of a name comes next.
    turn: usize,
}

/// Where an idle HTTP/1.1 connection awaits its next request.
struct Slot {
    job: RefCell<Option<Job>>,
    waker: RefCell<Waker>,
    dead: Cell<bool>,
    /// From when on it takes no more requests.
    until: u64,
}

/// An HTTP/2 connection.
struct Multiplexed {
    sender: RefCell<Option<http2::SendRequest<Full<Bytes>>>>,
    /// Requests that wait for the connection to be made.
    pending: RefCell<Vec<Job>>,
    active: Cell<usize>,
    /// Requests given to it so far.
    carried: Cell<u64>,
    /// From when on it takes no more requests.
    until: Cell<u64>,
    dead: Cell<bool>,
    read: RefCell<Rc<Cell<u64>>>,
}

impl Multiplexed {
    fn new(job: Job) -> Self {
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

    fn room(&self, worker: &Worker) -> bool {
        let closed = self.sender.borrow().as_ref().is_some_and(http2::SendRequest::is_closed);
        !self.is_over(worker) && !closed && self.active.get() < STREAMS
    }

    /// Whether it takes no more requests.
    fn is_over(&self, worker: &Worker) -> bool {
        self.dead.get()
            || self.carried.get() >= worker.run.plan.route.most_requests
            || worker.has_passed(self.until.get())
    }

    /// Closes it, by its last sender, once it carries nothing and is to carry nothing more.
    fn close_if_over(&self, worker: &Worker) {
        if self.active.get() == 0 && self.is_over(worker) {
            self.sender.borrow_mut().take();
        }
    }
}

impl Pool {
    pub fn new(targets: usize, limit: usize, first: usize) -> Self {
        Self {
            targets: (0..targets).map(|_| RefCell::default()).collect(),
            queue: RefCell::default(),
            queued: Notify::new(),
            next: Cell::new(first),
            limit,
        }
    }

    /// Puts a request at the end of the queue.
    pub fn wait(&self, job: Job) {
        self.queue.borrow_mut().push_back(job);
        self.queued.notify_one();
    }

    /// Whether nothing waits.
    pub fn is_idle(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// The first waiting request whose time is not up.
    fn take(&self, worker: &Worker) -> Option<Job> {
        loop {
            let job = self.queue.borrow_mut().pop_front()?;
            // Only requests that have waited can be late.
            let now = worker.run.now();
            if now < job.deadline {
                return Some(job);
            }
            job.end(ResponseResult::failed(Kind::Timeout, now));
        }
    }

    /// Takes the waiting requests whose time is up.
    pub fn expired(&self, now: u64) -> Vec<Job> {
        let mut queue = self.queue.borrow_mut();
        if !queue.iter().any(|job| job.deadline <= now) {
            return Vec::new();
        }
        let (late, kept) = queue.drain(..).partition(|job| job.deadline <= now);
        *queue = kept;
        drop(queue);
        Vec::from(late)
    }

    /// Lets waiting requests go ahead as far as connections allow.
    pub fn pump(&self, worker: &Rc<Worker>) {
        while let Some(job) = self.take(worker) {
            if let Some(job) = assign(worker, job) {
                self.queue.borrow_mut().push_front(job);
                return;
            }
        }
    }

    /// A connection of `target` is no more.
    fn release(&self, worker: &Rc<Worker>, target: usize) {
        self.targets[target].borrow_mut().open -= 1;
        self.pump(worker);
    }

    /// Drops everything that waits.
    pub fn clear(&self) {
        let jobs = std::mem::take(&mut *self.queue.borrow_mut());
        drop(jobs);
        for target in &self.targets {
            let target = std::mem::take(&mut *target.borrow_mut());
            for connection in &target.multiplexed {
                let pending = std::mem::take(&mut *connection.pending.borrow_mut());
                drop(pending);
            }
        }
    }
}

/// Gives a request to a connection, or puts it into the queue.
pub fn submit(worker: &Rc<Worker>, job: Job) {
    let pool = &worker.pool;
    if !pool.queue.borrow().is_empty() {
        // Nobody overtakes.
        pool.wait(job);
        pool.pump(worker);
    } else if let Some(job) = assign(worker, job) {
        pool.wait(job);
    }
}

/// Gives a request to the next target in turn that can take it; gives it back if none can.
fn assign(worker: &Rc<Worker>, mut job: Job) -> Option<Job> {
    let pool = &worker.pool;
    let count = pool.targets.len();
    let first = pool.next.get();
    pool.next.set((first + 1) % count);
    for i in 0..count {
        let target = (first + i) % count;
        let given = if worker.run.plan.http2 {
            give_stream(worker, target, job)
        } else {
            give(worker, target, job)
        };
        job = given?;
    }
    Some(job)
}

fn give(worker: &Rc<Worker>, target: usize, job: Job) -> Option<Job> {
    let mut state = worker.pool.targets[target].borrow_mut();
    while let Some(slot) = state.idle.pop_front() {
        if slot.dead.get() {
            continue;
        }
        if worker.has_passed(slot.until) {
            slot.dead.set(true);
            slot.waker.borrow().wake_by_ref();
            continue;
        }
        *slot.job.borrow_mut() = Some(job);
        slot.waker.borrow().wake_by_ref();
        return None;
    }
    if state.open >= worker.pool.limit {
        return Some(job);
    }
    state.open += 1;
    state.turn += 1;
    spawn_local(serve(Rc::clone(worker), target, state.turn, job));
    None
}

/// Opens a stream within both the connect timeout and the request's own.
async fn connect(
    worker: &Rc<Worker>,
    target: usize,
    turn: usize,
    deadline: u64,
) -> Result<Stream, Trouble> {
    let run = &worker.run;
    let left = Duration::from_nanos(deadline.saturating_sub(run.now()));
    let patience = left.min(run.plan.connect_timeout);
    let opening = open(&run.plan, run.tls.as_ref(), &run.plan.targets[target], turn - 1);
    match timeout(patience, opening).await {
        Ok(opened) => opened,
        Err(_) if left < run.plan.connect_timeout => Err(Kind::Timeout.into()),
        Err(_) => Err(Kind::ConnectTimeout.into()),
    }
}

/// A timer that is moved only when it has to be: the deadlines of one connection mostly grow.
struct Deadline<'a> {
    timer: Pin<&'a mut Sleep>,
    at: u64,
    /// Whether the runtime knows of the timer and will wake the task.
    armed: bool,
}

impl Deadline<'_> {
    fn set(&mut self, worker: &Worker, at: u64) {
        let earlier = at < self.at;
        self.at = at;
        if earlier || !self.armed {
            self.arm(worker);
        }
    }

    fn arm(&mut self, worker: &Worker) {
        let left = Duration::from_nanos(self.at.saturating_sub(worker.run.now()));
        self.timer.as_mut().reset(Instant::now() + left);
        self.armed = false;
    }

    fn poll(&mut self, worker: &Worker, cx: &mut Context<'_>) -> Poll<()> {
        if self.armed && !self.timer.is_elapsed() {
            return Poll::Pending;
        }
        // Unconstrained: an answer that never pauses uses up what a task may do in one turn, and
        // must not put its own timeout off with it.
        while pin!(unconstrained(self.timer.as_mut())).poll(cx).is_ready() {
            if worker.run.now() >= self.at {
                self.armed = false;
                return Poll::Ready(());
            }
            self.arm(worker);
        }
        self.armed = true;
        Poll::Pending
    }
}

/// One HTTP/1.1 connection from its making to its end, with every request that it carries.
async fn serve(worker: Rc<Worker>, target: usize, turn: usize, mut job: Job) {
    // In a box: what making a connection takes is not held for its life.
    job.target = Some(target);
    let mut stream = match Box::pin(connect(&worker, target, turn, job.deadline)).await {
        Ok(stream) => stream,
        Err(trouble) => {
            job.end(ResponseResult::unconnected(&trouble, worker.run.now()));
            worker.pool.release(&worker, target);
            return;
        }
    };
    job.connects = 1;
    let plan = &worker.run.plan;
    let now = || worker.run.now();
    let slot = Rc::new(Slot {
        job: RefCell::default(),
        waker: RefCell::new(poll_fn(|cx| Poll::Ready(cx.waker().clone())).await),
        dead: Cell::new(false),
        until: now().saturating_add(plan.route.most_age_ns),
    });
    let mut carried = 0;
    let mut bytes = Vec::new();
    let mut deadline = Deadline { timer: pin!(sleep_until(Instant::now())), at: 0, armed: false };
    loop {
        let message = &worker.messages[job.endpoint * plan.targets.len() + target];
        let written = message.write(job.template(), &plan.targets[target], &job.values, &mut bytes);
        let Some(body) = written else {
            job.end(ResponseResult::failed(Kind::Local, now()));
            break;
        };
        job.bytes_out = body;
        job.sent = Some(now());
        job.target = Some(target);
        deadline.set(&worker, job.deadline);
        let mut exchange = Exchange::new(job.template(), &job.values, &bytes, plan.max_body_bytes);
        let (ended, reusable) = poll_fn(|cx| {
            let mut scratch = worker.scratch.borrow_mut();
            let gap = |time, count| job.gap(time, count);
            match exchange.poll(&mut stream, cx, &mut scratch, now, gap) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => {
                    if let Some(until) = exchange.patience() {
                        deadline.set(&worker, until.min(job.limit()));
                    }
                    deadline.poll(&worker, cx).map(|()| (exchange.time_out(now()), false))
                }
            }
        })
        .await;
        job.end(ended);
        carried += 1;
        if !reusable || carried >= plan.route.most_requests || worker.has_passed(slot.until) {
            break;
        }
        let mut listed = false;
        let next = poll_fn(|cx| {
            // The connection first: one that is closed, or speaks unasked, takes no request.
            let heard = stream.poll_read(cx, &mut worker.scratch.borrow_mut()).is_ready();
            if slot.dead.get() || heard {
                return Poll::Ready(None);
            }
            if !listed {
                if let Some(job) = worker.pool.take(&worker) {
                    return Poll::Ready(Some(job));
                }
                worker.pool.targets[target].borrow_mut().idle.push_back(Rc::clone(&slot));
                listed = true;
            }
            slot.job.borrow_mut().take().map_or(Poll::Pending, |job| Poll::Ready(Some(job)))
        });
        match next.await {
            Some(next) => job = next,
            None => break,
        }
    }
    // Given to a connection that is now known to be closed, before anything was sent.
    let unsent = slot.job.borrow_mut().take();
    slot.dead.set(true);
    worker.pool.targets[target].borrow_mut().open -= 1;
    if let Some(job) = unsent {
        submit(&worker, job);
    }
    worker.pool.pump(&worker);
}

/// Runs hyper's own tasks on this thread.
#[derive(Clone, Copy)]
struct Here;

impl<F: Future + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, future: F) {
        spawn_local(async move {
            future.await;
        });
    }
}

fn give_stream(worker: &Rc<Worker>, target: usize, job: Job) -> Option<Job> {
    let mut state = worker.pool.targets[target].borrow_mut();
    for connection in &state.multiplexed {
        connection.close_if_over(worker);
    }
    if let Some(connection) = state.multiplexed.iter().find(|connection| connection.room(worker)) {
        connection.active.set(connection.active.get() + 1);
        connection.carried.set(connection.carried.get() + 1);
        if connection.sender.borrow().is_some() {
            spawn_local(stream(Rc::clone(worker), target, Rc::clone(connection), job));
        } else {
            connection.pending.borrow_mut().push(job);
        }
        return None;
    }
    if state.open >= worker.pool.limit {
        return Some(job);
    }
    state.open += 1;
    state.turn += 1;
    let deadline = job.deadline;
    let connection = Rc::new(Multiplexed::new(job));
    state.multiplexed.push(Rc::clone(&connection));
    spawn_local(multiplex(Rc::clone(worker), target, state.turn, connection, deadline));
    None
}

/// One HTTP/2 connection from its making to its end.
async fn multiplex(
    worker: Rc<Worker>,
    target: usize,
    turn: usize,
    connection: Rc<Multiplexed>,
    deadline: u64,
) {
    let opened = async {
        let (io, read) = Io::new(connect(&worker, target, turn, deadline).await?);
        let made = http2::Builder::new(Here).handshake::<_, Full<Bytes>>(io).await;
        made.map(|made| (made, read)).map_err(|error| Trouble::from(kind_of(&error)))
    };
    match opened.await {
        Err(trouble) => {
            connection.dead.set(true);
            forget(&worker, target, &connection);
            let pending = std::mem::take(&mut *connection.pending.borrow_mut());
            for mut job in pending {
                job.target = Some(target);
                job.end(ResponseResult::unconnected(&trouble, worker.run.now()));
            }
        }
        Ok(((sender, driver), read)) => {
            let age = worker.run.plan.route.most_age_ns;
            connection.until.set(worker.run.now().saturating_add(age));
            *connection.sender.borrow_mut() = Some(sender);
            *connection.read.borrow_mut() = read;
            let pending = std::mem::take(&mut *connection.pending.borrow_mut());
            for (i, mut job) in pending.into_iter().enumerate() {
                job.connects = u64::from(i == 0);
                spawn_local(stream(Rc::clone(&worker), target, Rc::clone(&connection), job));
            }
            // Its errors reach every stream by itself.
            let _ = driver.await;
            connection.dead.set(true);
            forget(&worker, target, &connection);
        }
    }
    worker.pool.release(&worker, target);
}

fn forget(worker: &Worker, target: usize, connection: &Rc<Multiplexed>) {
    let mut state = worker.pool.targets[target].borrow_mut();
    state.multiplexed.retain(|other| !Rc::ptr_eq(other, connection));
}

/// Renders a request for HTTP/2 and notes when it is sent.
fn prepare(worker: &Worker, target: usize, job: &mut Job) -> Option<Outgoing> {
    let plan = &worker.run.plan;
    let prepared = &worker.prepared[job.endpoint * plan.targets.len() + target];
    let request =
        prepared.render(&plan.requests[job.endpoint], &plan.targets[target], &job.values)?;
    job.bytes_out = request.body().size_hint().exact().unwrap_or(0);
    job.sent = Some(worker.run.now());
    job.target = Some(target);
    Some(request)
}

/// One stream's worth of an HTTP/2 connection: a request, and then those that wait.
async fn stream(worker: Rc<Worker>, target: usize, connection: Rc<Multiplexed>, mut job: Job) {
    let read = Rc::clone(&connection.read.borrow());
    loop {
        let sender = connection.sender.borrow().clone();
        let (Some(mut sender), Some(request)) = (sender, prepare(&worker, target, &mut job)) else {
            job.end(ResponseResult::failed(Kind::Local, worker.run.now()));
            break;
        };
        let before = read.get();
        let limit = worker.run.plan.max_body_bytes;
        let left = Duration::from_nanos(job.limit().saturating_sub(worker.run.now()));
        let exchange = complete(
            sender.send_request(request),
            job.template(),
            &job.values,
            limit,
            || worker.run.now(),
            |time, count| job.gap(time, count),
        );
        let ended = timeout(left, exchange)
            .await
            .unwrap_or_else(|_| ResponseResult::failed(Kind::Timeout, worker.run.now()));
        // A connection on which nothing at all has come since is not trusted with more.
        if ended.error == Some(Kind::Timeout) && read.get() == before {
            connection.dead.set(true);
        }
        job.end(ended);
        if connection.is_over(&worker) {
            break;
        }
        match worker.pool.take(&worker) {
            Some(next) => job = next,
            None => break,
        }
        connection.carried.set(connection.carried.get() + 1);
    }
    connection.active.set(connection.active.get() - 1);
    connection.close_if_over(&worker);
    if connection.dead.get() && connection.active.get() == 0 {
        forget(&worker, target, &connection);
    }
    worker.pool.pump(&worker);
}
