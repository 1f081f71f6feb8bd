//! The thread that turns settled seconds into lines, away from those that send.

use crate::cell::Axis;
use crate::run::{Order, Run};
use crate::slices::{Collector, Settled, Totals};
use std::sync::Arc;
use std::sync::atomic::Ordering;

pub struct SliceWriter {
    run: Arc<Run>,
    native: Collector,
    python: Collector,
    /// What the lines of each axis add up to.
    written: [Totals; 2],
}

impl SliceWriter {
    pub fn new(run: Arc<Run>) -> Self {
        Self {
            run,
            native: Collector::default(),
            python: Collector::default(),
            written: Default::default(),
        }
    }

    /// Runs until the engine has finished; then everything is written and conservation is judged.
    pub fn run(mut self) {
        let pause = std::time::Duration::from_millis(100);
        while !self.over() {
            self.write(self.run.now());
            self.run.note_cpu(self.run.recorders.len());
            let progress = crate::lock(&self.run.progress);
            if progress.running > 0 || self.run.order() != Order::Abort {
                drop(self.run.changed.wait_timeout(progress, pause));
            }
        }
        self.run.close();
        self.write(u64::MAX);
        self.run.note_cpu(self.run.recorders.len());
        let totals = self.run.totals();
        let conserved = totals.offered == totals.completed + totals.failed + totals.unfinished
            && self.run.in_flight.load(Ordering::Relaxed) == 0
            && self.written.iter().all(|w| Totals { clipped: totals.clipped, ..*w } == totals);
        let mut progress = crate::lock(&self.run.progress);
        progress.conserved = Some(conserved && progress.error.is_none());
        progress.finished = true;
        drop(progress);
        self.run.changed.notify_all();
    }

    /// Whether every thread has ended and no journey is waited for any more.
    fn over(&self) -> bool {
        if crate::lock(&self.run.progress).running > 0 {
            return false;
        }
        let patience =
            self.run.arrivals_ended.load(Ordering::Relaxed).saturating_add(self.run.plan.drain_ns);
        let journeys = crate::lock(&self.run.journeys);
        let walked = journeys.open.is_empty() && journeys.steps.is_empty();
        drop(journeys);
        walked || self.run.order() == Order::Abort || self.run.now() >= patience
    }

    fn write(&mut self, now: u64) {
        let run = Arc::clone(&self.run);
        let plan = &run.plan;
        let cells = self.native.collect(run.recorders.iter().map(|r| &**r), now);
        self.push(cells, |axis, place| match place.checked_sub(plan.requests.len()) {
            _ if axis == Axis::Chain => plan.chains[place].name.clone(),
            None => plan.requests[place].name.clone(),
            Some(journey) => plan.journeys[journey].clone(),
        });
        let frontier = match now {
            u64::MAX => u64::MAX,
            _ => {
                let oldest = crate::lock(&run.journeys).open.values().map(|open| open.due).min();
                let native = run.recorders.iter().map(|r| crate::lock(r).frontier).min();
                oldest.unwrap_or(u64::MAX).min(native.unwrap_or(0)).min(now)
            }
        };
        crate::lock(&run.python).frontier = frontier;
        let cells = self.python.collect(std::iter::once(&run.python), now);
        self.push(cells, |_, endpoint| crate::lock(&run.journeys).names[endpoint].clone());
    }

    fn push(&mut self, cells: Vec<Settled>, name: impl Fn(Axis, usize) -> String) {
        for (axis, second, endpoint, cell) in cells {
            // Chains are no requests: theirs are counted.
            if let Some(written) = self.written.get_mut(axis as usize) {
                written.offered += cell.offered;
                written.completed += cell.completed;
                written.failed += cell.failed;
                written.unfinished += cell.unfinished;
            }
            match cell.line(axis, second, &name(axis, endpoint)) {
                Ok(line) => crate::lock(&self.run.lines).push(line),
                Err(error) => self.run.fail(error),
            }
        }
    }
}
