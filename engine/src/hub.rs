//! Several futures that wake each other, driven by one task without a round through its scheduler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// A waker that remembers a wake during a poll instead of scheduling the task again, and passes
/// on one that comes from outside.
pub struct Hub {
    signal: Arc<Signal>,
    waker: Waker,
}

struct Signal {
    polling: AtomicBool,
    woken: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        if !self.polling.load(Ordering::Acquire) {
            crate::lock(&self.task).wake_by_ref();
        }
    }
}

impl Hub {
    pub fn new() -> Self {
        let signal = Arc::new(Signal {
            polling: AtomicBool::new(false),
            woken: AtomicBool::new(false),
            task: Mutex::new(Waker::noop().clone()),
        });
        Self { waker: Waker::from(Arc::clone(&signal)), signal }
    }

    /// Calls `step` until it is ready or nothing in it has been woken by what it did.
    pub fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut step: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut task = crate::lock(&self.signal.task);
        if !task.will_wake(cx.waker()) {
            task.clone_from(cx.waker());
        }
        drop(task);
        self.signal.polling.store(true, Ordering::Release);
        let result = loop {
            self.signal.woken.store(false, Ordering::Release);
            let result = step(&mut Context::from_waker(&self.waker));
            if result.is_ready() || !self.signal.woken.load(Ordering::Acquire) {
                break result;
            }
        };
        self.signal.polling.store(false, Ordering::Release);
        // A wake between the last look and now has nobody else to act on it.
        if result.is_pending() && self.signal.woken.load(Ordering::Acquire) {
            cx.waker().wake_by_ref();
        }
        result
    }
}
