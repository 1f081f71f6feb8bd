//! Which connection carries which request: targets take turns; whoever finds none free waits.

use crate::multiplexed::{carry, make};
use crate::persistent::serve;
use crate::pool::{Multiplexed, Pool, Target};
use crate::response::ResponseResult;
use crate::worker::Job;
use std::rc::Rc;
use tokio::task::spawn_local;

/// Gives a request to a connection, or puts it into the queue.
pub fn submit(pool: &Rc<Pool>, job: Job) {
    let worker = &pool.worker;
    if !worker.is_queue_empty() {
        // Nobody overtakes.
        worker.wait(job);
        pump(pool);
    } else if let Some(job) = assign(pool, job) {
        worker.wait(job);
    }
}

/// Lets waiting requests go ahead as far as connections allow.
pub fn pump(pool: &Rc<Pool>) {
    while let Some(job) = pool.worker.take() {
        if let Some(job) = assign(pool, job) {
            pool.worker.wait_first(job);
            return;
        }
    }
}

/// Goes on after a connection or a stream has become free, first with the request that it gave back.
fn go_on(pool: &Rc<Pool>, given_back: Option<Job>) {
    if let Some(job) = given_back {
        pool.worker.wait_first(job);
    }
    pump(pool);
}

/// Gives a request to the next target in turn that can take it; gives it back if none can.
fn assign(pool: &Rc<Pool>, mut job: Job) -> Option<Job> {
    let count = pool.targets.len();
    let first = pool.next.get();
    pool.next.set((first + 1) % count);
    for i in 0..count {
        let target = (first + i) % count;
        let given = if pool.worker.run.plan.http2 {
            give_stream(pool, target, job)
        } else {
            give(pool, target, job)
        };
        job = given?;
    }
    Some(job)
}

fn give(pool: &Rc<Pool>, target: usize, job: Job) -> Option<Job> {
    let mut state = pool.targets[target].borrow_mut();
    while let Some(slot) = state.idle.pop_front() {
        if slot.dead.get() {
            continue;
        }
        if pool.worker.has_passed(slot.until) {
            slot.dead.set(true);
            slot.waker.borrow().wake_by_ref();
            continue;
        }
        *slot.job.borrow_mut() = Some(job);
        slot.waker.borrow().wake_by_ref();
        return None;
    }
    let Some(turn) = pool.enter(&mut state) else { return Some(job) };
    let pool = Rc::clone(pool);
    spawn_local(async move {
        let unsent = serve(&pool, target, turn, job).await;
        pool.leave(target);
        go_on(&pool, unsent);
    });
    None
}

fn give_stream(pool: &Rc<Pool>, target: usize, job: Job) -> Option<Job> {
    let worker = &pool.worker;
    let mut state = pool.targets[target].borrow_mut();
    for connection in &state.multiplexed {
        connection.close_if_over(worker);
    }
    let with_room = |state: &Target, only_new: bool| {
        let mut known = state.multiplexed.iter();
        known.find(|one| one.room(worker) && !(only_new && one.is_made())).cloned()
    };
    // What one connection did not process, another that exists might not either.
    let connection = match with_room(&state, job.retried) {
        Some(connection) => connection,
        None => match pool.enter(&mut state) {
            Some(turn) => {
                let deadline = job.deadline;
                let connection = Rc::new(Multiplexed::new(job));
                state.multiplexed.push(Rc::clone(&connection));
                spawn_local(multiplex(Rc::clone(pool), target, turn, connection, deadline));
                return None;
            }
            None => match with_room(&state, false) {
                Some(connection) => connection,
                None => return Some(job),
            },
        },
    };
    connection.active.set(connection.active.get() + 1);
    connection.carried.set(connection.carried.get() + 1);
    if connection.is_made() {
        spawn_local(stream(Rc::clone(pool), target, connection, job));
    } else {
        connection.pending.borrow_mut().push(job);
    }
    None
}

/// One HTTP/2 connection from its making to its end.
async fn multiplex(
    pool: Rc<Pool>,
    target: usize,
    turn: usize,
    connection: Rc<Multiplexed>,
    deadline: u64,
) {
    let made = make(&pool, target, turn, &connection, deadline).await;
    let pending = std::mem::take(&mut *connection.pending.borrow_mut());
    match made {
        Err(trouble) => {
            connection.dead.set(true);
            pool.forget(target, &connection);
            for mut job in pending {
                job.target = Some(target);
                job.end(ResponseResult::unconnected(&trouble, pool.worker.run.now()));
            }
        }
        Ok(driver) => {
            for (i, mut job) in pending.into_iter().enumerate() {
                if i == 0 {
                    job.connects = 1;
                }
                spawn_local(stream(Rc::clone(&pool), target, Rc::clone(&connection), job));
            }
            // Its errors reach every stream by itself.
            let _ = driver.await;
            connection.dead.set(true);
            pool.forget(target, &connection);
        }
    }
    pool.leave(target);
    pump(&pool);
}

async fn stream(pool: Rc<Pool>, target: usize, connection: Rc<Multiplexed>, job: Job) {
    let unprocessed = carry(&pool, target, &connection, job).await;
    go_on(&pool, unprocessed);
}
