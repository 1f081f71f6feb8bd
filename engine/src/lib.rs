//! The load engine behind `harness._engine`.

// The tests are linked without a Python library, so without what only Python calls.
#![cfg_attr(test, allow(dead_code))]

mod address;
mod answer;
mod body;
mod capture;
mod cell;
mod chain;
mod check;
mod clock;
mod dispatch;
mod document;
mod error;
mod error_kind;
mod failures;
mod feed;
mod hist;
mod http1;
mod http2;
mod journeys;
mod json;
mod kept;
mod multiplexed;
mod net;
mod nullserver;
mod pacer;
mod persistent;
mod plan;
mod pool;
#[cfg(not(test))]
mod python;
mod reference;
mod request;
mod response;
mod rng;
mod route;
mod run;
mod schedule;
mod slice_writer;
mod slices;
mod stream;
mod template;
mod timer;
mod timers;
mod tls;
mod worker;

use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Locks. A thread that panicked has said so elsewhere; its counts are still counts.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
