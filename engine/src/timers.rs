//! Many waits for exact instants, with one timer for all of them.

use crate::clock;
use crate::timer::Timer;
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use tokio::sync::{Notify, oneshot};

#[derive(Default)]
pub struct Timers {
    waiting: RefCell<BinaryHeap<Reverse<(u64, u64)>>>,
    bells: RefCell<HashMap<u64, oneshot::Sender<()>>>,
    next: Cell<u64>,
    /// Rings when somebody waits for an instant before all others'.
    sooner: Notify,
}

impl Timers {
    /// Wakes each who waits at its instant, as long as it is polled.
    pub async fn run(&self) -> io::Result<()> {
        let timer = Timer::new()?;
        loop {
            let next = self.waiting.borrow().peek().map(|Reverse((at, _))| *at);
            match next {
                None => self.sooner.notified().await,
                Some(at) if at <= clock::now_ns() => {
                    let popped = self.waiting.borrow_mut().pop();
                    if let Some(Reverse((_, i))) = popped
                        && let Some(bell) = self.bells.borrow_mut().remove(&i)
                    {
                        let _ = bell.send(());
                    }
                }
                Some(at) => {
                    tokio::select! {
                        result = timer.until(at) => result?,
                        () = self.sooner.notified() => {}
                    }
                }
            }
        }
    }

    /// Returns at or after `at` (nanoseconds of the monotonic clock).
    pub async fn until(&self, at: u64) {
        if at <= clock::now_ns() {
            return;
        }
        let i = self.next.replace(self.next.get() + 1);
        let (bell, rung) = oneshot::channel();
        let first = self.waiting.borrow().peek().is_none_or(|Reverse((other, _))| at < *other);
        self.waiting.borrow_mut().push(Reverse((at, i)));
        self.bells.borrow_mut().insert(i, bell);
        if first {
            self.sooner.notify_one();
        }
        let _ = rung.await;
    }
}
