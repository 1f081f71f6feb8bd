//! Requests that wait for their time because they follow an answer.

use std::cell::RefCell;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use tokio::sync::Notify;

/// A request whose predecessor has been answered.
#[derive(Debug)]
pub struct Step {
    pub due: u64,
    pub k: u64,
    /// Absent of a closed model's user, who then chooses what to do.
    pub endpoint: Option<usize>,
    pub user: Option<u64>,
    pub carried: Carried,
}

/// What a chain takes with it from step to step.
#[derive(Debug, Default)]
pub struct Carried {
    /// Values that answers have given, by slot.
    pub captured: Vec<String>,
    /// How long its requests took so far, in nanoseconds.
    pub took: u64,
}

impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Step {}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.k).cmp(&(other.due, other.k))
    }
}

/// Steps in the order in which they are due.
#[derive(Default)]
pub struct Waiting {
    steps: RefCell<BinaryHeap<Reverse<Step>>>,
    /// Rings when the first of them has changed.
    pub bell: Notify,
}

impl Waiting {
    pub fn push(&self, step: Step) {
        let first = step.due < self.earliest();
        self.steps.borrow_mut().push(Reverse(step));
        if first {
            self.bell.notify_one();
        }
    }

    /// When the first is due; `u64::MAX` where none waits.
    pub fn earliest(&self) -> u64 {
        self.steps.borrow().peek().map_or(u64::MAX, |Reverse(step)| step.due)
    }

    pub fn is_empty(&self) -> bool {
        self.steps.borrow().is_empty()
    }

    pub fn pop(&self) -> Option<Step> {
        self.steps.borrow_mut().pop().map(|Reverse(step)| step)
    }
}
