//! One engine thread: it paces its share of the schedule until the last request has ended.

use crate::cell::Outcome;
use crate::chain::{Carried, Waiting};
use crate::dispatch::{pump, submit};
use crate::document::Arrivals;
use crate::plan::Errand;
use crate::pool::Pool;
use crate::run::{Order, Run};
use crate::schedule::Schedule;
use crate::slices::SECOND;
use crate::timer::Timer;
use crate::worker::Worker;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::{spawn_local, yield_now};
use tokio::time::{sleep, timeout};

/// How often waiting requests are looked through for those that have timed out.
const SWEEP: Duration = Duration::from_millis(10);
/// How often the thread's processor time is noted while nothing waits.
const IDLE: Duration = Duration::from_millis(100);
/// So many arrivals in a row let the connections have their turn.
const BURST: u32 = 64;

/// Runs engine thread `thread` to its end.
pub fn run(run: &Arc<Run>, thread: usize) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        // Look for new input often: a pacer that waits for a long queue of tasks would be late.
        .event_interval(13)
        .build_local(LocalOptions::default())?;
    let worker = Rc::new(Worker::new(Arc::clone(run), thread));
    let pool = Rc::new(Pool::new(Rc::clone(&worker)));
    let result = runtime.block_on(work(Rc::clone(&pool)));
    // Ending the tasks drops their jobs, which are then unfinished. Nobody waits for a resolver.
    runtime.shutdown_background();
    worker.clear();
    pool.clear();
    crate::lock(&worker.recorder).frontier = u64::MAX;
    run.note_cpu(thread);
    result
}

async fn work(pool: Rc<Pool>) -> io::Result<()> {
    let worker = Rc::clone(&pool.worker);
    let run = Arc::clone(&worker.run);
    spawn_local(sweep(Rc::clone(&pool)));
    spawn_local(heed(Rc::clone(&worker)));
    if !run.plan.chains.is_empty() {
        spawn_local(walk(Rc::clone(&pool), |worker| &worker.waiting));
    }
    if matches!(run.plan.arrivals, Arrivals::Closed { think_s, .. } if think_s > 0.0) {
        spawn_local(walk(Rc::clone(&pool), |worker| &worker.thinking));
    }
    let mut orders = run.orders.subscribe();
    let pacer = spawn_local(pace(pool));
    let paced = pacer.await;
    run.arrivals_ended.fetch_max(run.now(), Ordering::Relaxed);
    match paced {
        Ok(result) => result?,
        Err(panic) => return Err(io::Error::other(format!("the pacer panicked: {panic}"))),
    }
    let drained = timeout(Duration::from_nanos(run.plan.drain_ns), worker.emptied());
    tokio::select! {
        _ = drained => {}
        _ = orders.wait_for(|order| *order == Order::Abort) => {}
    }
    Ok(())
}

/// Sends every arrival of this thread's share when it is due, and ends with the last.
async fn pace(pool: Rc<Pool>) -> io::Result<()> {
    let worker = &pool.worker;
    let run = Arc::clone(&worker.run);
    let plan = &run.plan;
    let start = run.start.load(Ordering::Relaxed);
    let timer = Timer::new()?;
    let until = async |due: u64, slack: u64| -> io::Result<()> {
        worker.next_due.set(due);
        let result = tokio::select! {
            result = timer.until(start + due + slack) => result,
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
                submit(&pool, job);
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
        dispatch(&pool, arrival.k, arrival.due, now);
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
async fn sweep(pool: Rc<Pool>) {
    let worker = &pool.worker;
    let closed = matches!(worker.run.plan.arrivals, Arrivals::Closed { .. });
    loop {
        if !closed && worker.is_queue_empty() {
            let _ = timeout(IDLE, worker.queued.notified()).await;
        }
        sleep(SWEEP).await;
        let now = worker.run.now();
        worker.expire(now);
        pump(&pool);
        if closed {
            worker.advance(now);
        } else {
            worker.settle();
        }
        worker.run.note_cpu(worker.thread);
    }
}

/// Sends what waits for its time when it is due, for as long as the thread runs.
async fn walk(pool: Rc<Pool>, of: fn(&Worker) -> &Waiting) {
    let worker = &pool.worker;
    if let Err(error) = send_when_due(&pool, of(worker)).await {
        worker.run.fail(format!("requests that follow an answer cannot be timed: {error}"));
    }
}

async fn send_when_due(pool: &Rc<Pool>, waiting: &Waiting) -> io::Result<()> {
    let timer = Timer::new()?;
    let worker = &pool.worker;
    let start = worker.run.start.load(Ordering::Relaxed);
    loop {
        let earliest = waiting.earliest();
        if earliest == u64::MAX {
            waiting.bell.notified().await;
        } else if worker.run.now() < earliest {
            tokio::select! {
                rung = timer.until(start + earliest) => rung?,
                () = waiting.bell.notified() => {}
            }
        } else if let Some(step) = waiting.pop()
            && let Some(job) = worker.offer_step(step)
        {
            submit(pool, job);
        }
    }
}

/// Starts what arrival `k` is to do.
fn dispatch(pool: &Rc<Pool>, k: u64, due: u64, ready: u64) {
    let worker = &pool.worker;
    match worker.run.plan.errand(k) {
        Errand::Request(endpoint) => {
            if let Some(job) = worker.offer(k, endpoint, due, ready, None, Carried::default()) {
                submit(pool, job);
            }
        }
        Errand::Journey(journey) => begin_journey(worker, k, journey, due, ready),
    }
}

/// Gives a journey to Python, or charges it when too much is in flight.
fn begin_journey(worker: &Worker, k: u64, journey: usize, due: u64, ready: u64) {
    let run = &worker.run;
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
    let mut recorder = crate::lock(&worker.recorder);
    recorder.offer(endpoint, due);
    recorder.end(endpoint, &Outcome::refused(due, ready));
}

#[cfg(test)]
mod tests;
