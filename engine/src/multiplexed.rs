//! A connection of HTTP/2, which carries many requests at once.

use crate::error_kind::ErrorKind;
use crate::http2::{Outgoing, complete, kind_of};
use crate::net::{Io, Trouble};
use crate::pool::{Multiplexed, Pool};
use crate::response::ResponseResult;
use crate::worker::{Job, Worker};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body as _;
use hyper::client::conn::http2::{Builder, Connection};
use std::rc::Rc;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// Bytes that all connections to a target together may hold of bodies that nobody has read yet.
const UNREAD: usize = 128 << 20;
/// Of one connection and of one of its streams: HTTP/2 has no less (RFC 9113, 6.9.2), hyper no more.
const LEAST_UNREAD: usize = (64 << 10) - 1;
const MOST_UNREAD: usize = 5 << 20;
const MOST_UNREAD_STREAM: usize = 2 << 20;

/// Runs hyper's own tasks on this thread.
#[derive(Clone, Copy)]
pub struct Here;

impl<F: Future + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, future: F) {
        spawn_local(async move {
            future.await;
        });
    }
}

/// Makes a connection, which lives as long as what is given back is polled.
pub async fn make(
    pool: &Pool,
    target: usize,
    turn: usize,
    connection: &Multiplexed,
    deadline: u64,
) -> Result<Connection<Io, Full<Bytes>, Here>, Trouble> {
    let run = &pool.worker.run;
    let (io, read) = Io::new(pool.connect(target, turn, deadline).await?);
    let share = UNREAD / (run.plan.connections_per_target * run.plan.targets.len());
    let window = share.clamp(LEAST_UNREAD, MOST_UNREAD) as u32;
    let made = Builder::new(Here)
        .initial_connection_window_size(window)
        .initial_stream_window_size(window.min(MOST_UNREAD_STREAM as u32))
        .handshake(io)
        .await;
    let (sender, driver) = made.map_err(|error| kind_of(&error))?;
    connection.until.set(run.now().saturating_add(run.plan.route.most_age_ns));
    *connection.sender.borrow_mut() = Some(sender);
    *connection.read.borrow_mut() = read;
    Ok(driver)
}

/// Renders a request and notes when it is sent.
fn prepare(worker: &Worker, target: usize, job: &mut Job) -> Option<Outgoing> {
    let plan = &worker.run.plan;
    let prepared = &worker.prepared[job.endpoint * plan.targets.len() + target];
    let request =
        prepared.render(&plan.requests[job.endpoint], &plan.targets[target], &job.values)?;
    job.bytes_out = request.body().size_hint().exact().unwrap_or(0);
    // Of one that is sent again, its first time: what that cost is the server's.
    job.sent = job.sent.or_else(|| Some(worker.run.now()));
    job.target = Some(target);
    Some(request)
}

/// One stream's worth of a connection: a request, and then those that wait. Gives back a request
/// that the server says it has not processed (RFC 9113, 8.7), once, to be sent on another connection.
pub async fn carry(
    pool: &Pool,
    target: usize,
    connection: &Rc<Multiplexed>,
    mut job: Job,
) -> Option<Job> {
    let worker = &pool.worker;
    let read = Rc::clone(&connection.read.borrow());
    let again = loop {
        let sender = connection.sender.borrow().clone();
        let (Some(mut sender), Some(request)) = (sender, prepare(worker, target, &mut job)) else {
            job.end(ResponseResult::failed(ErrorKind::Local, worker.run.now()));
            break None;
        };
        let before = read.get();
        let limit = worker.run.plan.max_body_bytes;
        let left = Duration::from_nanos(job.limit().saturating_sub(worker.run.now()));
        let exchange = complete(
            sender.try_send_request(request),
            job.template(),
            &job.values,
            limit,
            || worker.run.now(),
            |time, count| job.gap(time, count),
        );
        let ended = timeout(left, exchange)
            .await
            .unwrap_or_else(|_| ResponseResult::failed(ErrorKind::Timeout, worker.run.now()));
        // A connection on which nothing at all has come since is not trusted with more, nor is one
        // that is going away.
        if ended.unprocessed || ended.error == Some(ErrorKind::Timeout) && read.get() == before {
            connection.dead.set(true);
        }
        if ended.unprocessed && !job.retried {
            job.retried = true;
            break Some(job);
        }
        job.end(ended);
        if connection.is_over(worker) {
            break None;
        }
        match worker.take() {
            Some(next) => job = next,
            None => break None,
        }
        connection.carried.set(connection.carried.get() + 1);
    };
    connection.active.set(connection.active.get() - 1);
    connection.close_if_over(worker);
    if connection.dead.get() && connection.active.get() == 0 {
        pool.forget(target, connection);
    }
    again
}
