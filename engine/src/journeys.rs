//! The arrivals that Python carries out.

use std::collections::{BTreeMap, HashMap};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _};

/// A journey that came due and has not been reported done.
#[derive(Debug)]
pub struct Open {
    pub journey: usize,
    pub due: u64,
    /// Whether one of its requests has been offered.
    pub begun: bool,
}

/// A request of a journey that has been offered and has not ended.
#[derive(Debug)]
pub struct Step {
    pub endpoint: usize,
    pub due: u64,
    pub ready: u64,
}

/// Python's side of the arrivals.
#[derive(Debug, Default)]
pub struct Journeys {
    ready: Vec<(u64, usize, u64)>,
    /// Holds one byte exactly while something is ready: who waits for it need not poll.
    bell: Option<(PipeReader, PipeWriter)>,
    pub open: BTreeMap<u64, Open>,
    pub steps: HashMap<u64, Step>,
    next_step: u64,
    pub offered: u64,
    pub done: u64,
    pub names: Vec<String>,
    pub index: HashMap<String, usize>,
}

impl Journeys {
    pub fn new(names: &[String]) -> Self {
        let mut journeys = Self::default();
        for name in names {
            journeys.endpoint(name);
            journeys.bell = journeys.bell.or_else(|| std::io::pipe().ok());
        }
        journeys
    }

    pub fn arrive(&mut self, k: u64, journey: usize, due: u64) {
        if self.ready.is_empty()
            && let Some((_, bell)) = &mut self.bell
        {
            // A pipe that is empty takes a byte.
            let _ = bell.write(&[0]);
        }
        self.ready.push((k, journey, due));
        self.open.insert(k, Open { journey, due, begun: false });
    }

    /// What has come due since the last call: (k, journey, due).
    pub fn take_ready(&mut self) -> Vec<(u64, usize, u64)> {
        if !self.ready.is_empty()
            && let Some((bell, _)) = &mut self.bell
        {
            let _ = bell.read(&mut [0]);
        }
        std::mem::take(&mut self.ready)
    }

    /// Readable while something is ready; absent without journeys.
    pub fn bell(&self) -> Option<&PipeReader> {
        self.bell.as_ref().map(|(bell, _)| bell)
    }

    /// Notes a request that journey `k` is about to send; gives the number it is known by.
    pub fn begin(&mut self, k: u64, step: Step) -> u64 {
        if let Some(open) = self.open.get_mut(&k) {
            open.begun = true;
        }
        self.next_step += 1;
        self.steps.insert(self.next_step, step);
        self.next_step
    }

    /// The index of an endpoint that Python speaks of.
    pub fn endpoint(&mut self, name: &str) -> usize {
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        self.names.push(name.to_owned());
        self.index.insert(name.to_owned(), self.names.len() - 1);
        self.names.len() - 1
    }
}
