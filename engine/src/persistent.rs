//! A connection of HTTP/1.1, which carries one request after another.

use crate::error_kind::ErrorKind;
use crate::http1::Exchange;
use crate::pool::{Pool, Slot};
use crate::response::ResponseResult;
use crate::worker::{Job, Worker};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

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

/// One HTTP/1.1 connection from its making to its end, with every request that it carries. Gives back
/// a request that was given to it and not sent: the connection was known to be closed by then.
pub async fn serve(pool: &Pool, target: usize, turn: usize, mut job: Job) -> Option<Job> {
    let worker = &pool.worker;
    // In a box: what making a connection takes is not held for its life.
    job.target = Some(target);
    let mut stream = match Box::pin(pool.connect(target, turn, job.deadline)).await {
        Ok(stream) => stream,
        Err(trouble) => {
            job.end(ResponseResult::unconnected(&trouble, worker.run.now()));
            return None;
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
            job.end(ResponseResult::failed(ErrorKind::Local, now()));
            break;
        };
        job.bytes_out = body;
        job.sent = Some(now());
        job.target = Some(target);
        deadline.set(worker, job.deadline);
        let mut exchange = Exchange::new(job.template(), &job.values, &bytes, plan.max_body_bytes);
        let (ended, reusable) = poll_fn(|cx| {
            let mut scratch = worker.scratch.borrow_mut();
            let gap = |time, count| job.gap(time, count);
            match exchange.poll(&mut stream, cx, &mut scratch, now, gap) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => {
                    if let Some(until) = exchange.patience() {
                        deadline.set(worker, until.min(job.limit()));
                    }
                    deadline.poll(worker, cx).map(|()| (exchange.time_out(now()), false))
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
                if let Some(job) = worker.take() {
                    return Poll::Ready(Some(job));
                }
                pool.targets[target].borrow_mut().idle.push_back(Rc::clone(&slot));
                listed = true;
            }
            slot.job.borrow_mut().take().map_or(Poll::Pending, |job| Poll::Ready(Some(job)))
        });
        match next.await {
            Some(next) => job = next,
            None => break,
        }
    }
    slot.dead.set(true);
    slot.job.borrow_mut().take()
}
