//! Two futures that wake each other, driven by one task without a round through its scheduler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that asks: a request, or the wait for the next one.
    Asking,
    /// The one that moves bytes.
    Moving,
}

/// Polls only what was woken. A wake within a poll is answered in it; one from outside schedules
/// the task.
pub struct Hub {
    shared: Arc<Shared>,
    signals: [Arc<Signal>; 2],
    wakers: [Waker; 2],
}

struct Shared {
    polling: AtomicBool,
    task: Mutex<Waker>,
}

struct Signal {
    woken: AtomicBool,
    shared: Arc<Shared>,
}

/// So many rounds, then the other tasks have their turn.
const ROUNDS: u32 = 8;

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        if !self.shared.polling.load(Ordering::Acquire) {
            crate::lock(&self.shared.task).wake_by_ref();
        }
    }
}

impl Hub {
    /// Both sides begin as woken.
    pub fn new() -> Self {
        let shared = Arc::new(Shared {
            polling: AtomicBool::new(false),
            task: Mutex::new(Waker::noop().clone()),
        });
        let signals = [(); 2].map(|()| {
            Arc::new(Signal { woken: AtomicBool::new(true), shared: Arc::clone(&shared) })
        });
        let wakers = signals.each_ref().map(|signal| Waker::from(Arc::clone(signal)));
        Self { shared, signals, wakers }
    }

    /// Has `side` polled in the next round.
    pub fn rouse(&self, side: Side) {
        self.signals[side as usize].woken.store(true, Ordering::Release);
    }

    /// Polls what is woken by `step` until that is ready, or nothing is woken, or for long enough.
    pub fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut step: impl FnMut(Side, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let mut task = crate::lock(&self.shared.task);
        if !task.will_wake(cx.waker()) {
            task.clone_from(cx.waker());
        }
        drop(task);
        self.shared.polling.store(true, Ordering::Release);
        let result = self.rounds(&mut step);
        self.shared.polling.store(false, Ordering::Release);
        if result.is_pending() && self.woken() {
            cx.waker().wake_by_ref();
        }
        result
    }

    fn rounds<T>(&self, step: &mut impl FnMut(Side, &mut Context<'_>) -> Poll<T>) -> Poll<T> {
        for _ in 0..ROUNDS {
            for side in [Side::Asking, Side::Moving] {
                let index = side as usize;
                if self.signals[index].woken.swap(false, Ordering::AcqRel) {
                    let result = step(side, &mut Context::from_waker(&self.wakers[index]));
                    if result.is_ready() {
                        return result;
                    }
                }
            }
            if !self.woken() {
                break;
            }
        }
        Poll::Pending
    }

    fn woken(&self) -> bool {
        self.signals.iter().any(|signal| signal.woken.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A hub, and a task that counts how often it is scheduled.
    fn parts() -> (Hub, Arc<Count>, Waker) {
        let outer = Arc::new(Count::default());
        (Hub::new(), Arc::clone(&outer), Waker::from(outer))
    }

    #[test]
    fn a_wake_within_a_poll_is_answered_in_it() {
        let (hub, outer, waker) = parts();
        let mut steps = Vec::new();
        let result = hub.poll(&Context::from_waker(&waker), |side, _| {
            steps.push(side);
            hub.wakers[1 - side as usize].wake_by_ref();
            if steps.len() == 4 { Poll::Ready(()) } else { Poll::Pending }
        });
        assert_eq!(result, Poll::Ready(()));
        assert_eq!(steps, [Side::Asking, Side::Moving, Side::Asking, Side::Moving]);
        assert_eq!(outer.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_wake_from_outside_schedules_the_task_and_polls_its_side_only() {
        let (hub, outer, waker) = parts();
        let mut steps = Vec::new();
        let first: Poll<()> = hub.poll(&Context::from_waker(&waker), |_, _| Poll::Pending);
        hub.wakers[Side::Moving as usize].wake_by_ref();
        assert_eq!((first, outer.0.load(Ordering::Relaxed)), (Poll::Pending, 1));
        let _: Poll<()> = hub.poll(&Context::from_waker(&waker), |side, _| {
            steps.push(side);
            Poll::Pending
        });
        assert_eq!(steps, [Side::Moving]);
    }

    #[test]
    fn one_that_wakes_itself_forever_gives_way() {
        let (hub, outer, waker) = parts();
        let result: Poll<()> = hub.poll(&Context::from_waker(&waker), |_, cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        assert_eq!((result, outer.0.load(Ordering::Relaxed)), (Poll::Pending, 1));
    }
}
