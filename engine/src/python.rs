//! What Python sees. Nothing here waits with the GIL held, and no panic gets past it.

mod histogram;
mod null_server;

use crate::cell::Outcome;
use crate::error::PlanError;
use crate::error_kind::ErrorKind;
use crate::journeys::Step;
use crate::net::allow_descriptors;
use crate::plan::Plan;
use crate::request::Slot;
use crate::run::{Order, Run};
use crate::schedule::Schedule;
use crate::slice_writer::SliceWriter;
use crate::{clock, hist, lock, pacer, tls};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

impl From<PlanError> for PyErr {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Value(text) => PyValueError::new_err(text),
            PlanError::Io(error, text) => {
                PyOSError::new_err((error.raw_os_error().unwrap_or(0), format!("{text}: {error}")))
            }
        }
    }
}

type LogEntry<'py> = (u64, String, u64, u64, u64, u16, Option<&'static str>, Bound<'py, PyDict>);

#[pyclass(frozen, module = "harness._engine")]
struct Engine {
    run: Arc<Run>,
}

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, plan: &str) -> PyResult<Self> {
        let run = py.detach(|| {
            let plan = Plan::parse(plan)?;
            let tls = tls::connector(&plan)?;
            Ok::<_, PlanError>(Run::new(plan, tls))
        })?;
        Ok(Self { run: Arc::new(run) })
    }

    fn start(&self) -> PyResult<()> {
        let run = &self.run;
        let mut progress = lock(&run.progress);
        if progress.started {
            return Err(PyRuntimeError::new_err(
                "the engine has been started already; make a new one",
            ));
        }
        run.start.store(start_instant(run.plan.start_unix_ns)?, Ordering::SeqCst);
        progress.started = true;
        progress.running = run.plan.threads;
        drop(progress);
        allow_descriptors();
        for i in 0..run.plan.threads as usize {
            let mine = Arc::clone(run);
            if let Err(error) = spawn(&format!("engine-{i}"), move || engine_thread(&mine, i)) {
                run.fail(format!("cannot start a thread: {error}"));
                ended(run);
            }
        }
        let mine = Arc::clone(run);
        spawn("engine-writer", move || {
            let writer = Arc::clone(&mine);
            if catch_unwind(AssertUnwindSafe(move || SliceWriter::new(writer).run())).is_err() {
                mine.fail("the thread that writes the slices panicked".into());
                let mut progress = lock(&mine.progress);
                progress.conserved = Some(false);
                progress.finished = true;
                drop(progress);
                mine.changed.notify_all();
            }
        })
        .map_err(|error| {
            run.give(Order::Abort);
            PyRuntimeError::new_err(format!("cannot start a thread: {error}"))
        })
    }

    fn stop(&self) {
        self.run.give(Order::Stop);
    }

    fn abort(&self) {
        self.run.give(Order::Abort);
    }

    #[pyo3(signature = (timeout_s=None))]
    fn join(&self, py: Python<'_>, timeout_s: Option<f64>) -> PyResult<bool> {
        let limit = seconds("timeout_s", timeout_s.unwrap_or(1e9))?;
        let run = &self.run;
        Ok(py.detach(|| {
            let until = Instant::now() + limit;
            let mut progress = lock(&run.progress);
            while !progress.finished {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return false;
                }
                progress = match run.changed.wait_timeout(progress, left) {
                    Ok((guard, _)) => guard,
                    Err(poisoned) => poisoned.into_inner().0,
                };
            }
            true
        }))
    }

    fn poll(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| std::mem::take(&mut *lock(&self.run.lines)))
    }

    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let run = &self.run;
        let (totals, lag, progress, journeys, lost) = py.detach(|| {
            let mut lag = hist::fresh::<u64>();
            for recorder in run.recorders.iter().map(|r| &**r).chain([&run.python]) {
                // Both grow without bound: adding cannot fail.
                let _ = lag.add(&lock(recorder).lag);
            }
            let journeys = lock(&run.journeys);
            let journeys = (journeys.offered, journeys.done, journeys.open.len());
            (run.totals(), lag, lock(&run.progress).clone(), journeys, lock(&run.log).lost)
        });
        let out = PyDict::new(py);
        out.set_item("offered", totals.offered)?;
        out.set_item("completed", totals.completed)?;
        out.set_item("failed", totals.failed)?;
        out.set_item("unfinished", totals.unfinished)?;
        out.set_item("in_flight", run.in_flight.load(Ordering::Relaxed))?;
        let p99 = (!lag.is_empty()).then(|| lag.value_at_quantile(0.99));
        out.set_item("lag_p99_ns", p99)?;
        out.set_item("clipped", totals.clipped)?;
        out.set_item("finished", progress.finished)?;
        out.set_item("conserved", progress.conserved)?;
        out.set_item("error", progress.error)?;
        let cpu = clock::thread_cpu_ns()
            .map(|_| run.cpu.iter().map(|c| c.load(Ordering::Relaxed)).sum::<u64>());
        out.set_item("cpu_ns", cpu)?;
        out.set_item("journeys_offered", journeys.0)?;
        out.set_item("journeys_done", journeys.1)?;
        out.set_item("journeys_open", journeys.2)?;
        out.set_item("log_lost", lost)?;
        Ok(out)
    }

    fn now_ns(&self) -> i64 {
        match self.run.start.load(Ordering::SeqCst) {
            0 => 0,
            start => clock::now_ns() as i64 - start as i64,
        }
    }

    #[getter]
    fn start_monotonic_ns(&self) -> Option<u64> {
        Some(self.run.start.load(Ordering::SeqCst)).filter(|start| *start > 0)
    }

    #[getter]
    fn journeys_fd(&self) -> Option<i32> {
        lock(&self.run.journeys).bell().map(AsRawFd::as_raw_fd)
    }

    fn take_journeys(&self) -> Vec<(u64, String, u64)> {
        let ready = lock(&self.run.journeys).take_ready();
        let names = &self.run.plan.journeys;
        ready.into_iter().map(|(k, journey, due)| (k, names[journey].clone(), due)).collect()
    }

    fn begin(&self, k: u64, endpoint: &str, due_ns: u64, ready_ns: u64) -> PyResult<Option<u64>> {
        if due_ns > ready_ns || ready_ns > 1 << 62 {
            return Err(PyValueError::new_err(format!(
                "times out of order: due {due_ns}, ready {ready_ns}; due <= ready must hold",
            )));
        }
        // Held to the end: the run must not be closed between the question and the entry.
        let progress = lock(&self.run.progress);
        if progress.closed || !progress.started {
            return Ok(None);
        }
        let mut journeys = lock(&self.run.journeys);
        let step = Step { endpoint: journeys.endpoint(endpoint), due: due_ns, ready: ready_ns };
        lock(&self.run.python).offer(step.endpoint, due_ns);
        Ok(Some(journeys.begin(k, step)))
    }

    #[expect(clippy::too_many_arguments, reason = "the times and what came of it")]
    #[pyo3(signature = (step, sent_ns, first_ns, done_ns, error, status=0, bytes_in=0))]
    fn end(
        &self,
        step: u64,
        sent_ns: u64,
        first_ns: Option<u64>,
        done_ns: u64,
        error: Option<&str>,
        status: u16,
        bytes_in: u64,
    ) -> PyResult<bool> {
        let first = first_ns.unwrap_or(sent_ns);
        if !(sent_ns <= first && first <= done_ns) || done_ns > 1 << 62 {
            return Err(PyValueError::new_err(format!(
                "times out of order: sent {sent_ns}, first {first}, done {done_ns}; \
                 sent <= first <= done must hold",
            )));
        }
        let error = match error.map(|name| ErrorKind::parse(name).ok_or(name)) {
            None => None,
            Some(Ok(kind)) => Some(kind),
            Some(Err(name)) => {
                let known: Vec<&str> = ErrorKind::ALL.iter().map(|kind| kind.name()).collect();
                return Err(PyValueError::new_err(format!(
                    "{name:?} is not an error kind; use one of {}",
                    known.join(", "),
                )));
            }
        };
        let mut journeys = lock(&self.run.journeys);
        let Some(Step { endpoint, due, ready }) = journeys.steps.remove(&step) else {
            return Ok(false);
        };
        let outcome = Outcome {
            due,
            done: done_ns.max(due),
            // No pool stands between the two: what keeps a step from being sent is the generator.
            ready: Some(sent_ns.max(ready)),
            sent: Some(sent_ns.max(ready)),
            first: first_ns,
            error,
            status,
            bytes_in,
            bytes_out: 0,
            connects: 0,
            retried: false,
            stream: None,
            target: None,
        };
        lock(&self.run.python).end(endpoint, &outcome);
        drop(journeys);
        self.run.changed.notify_all();
        Ok(true)
    }

    fn set_values(&self, name: &str, values: Vec<String>) -> PyResult<()> {
        self.run.plan.give(name, values).map_err(PyValueError::new_err)
    }

    fn take_examples(&self) -> Vec<String> {
        self.run.failures.take_examples()
    }

    /// What each address has answered, and the values of the failed requests.
    fn whereabouts(&self) -> PyResult<(Vec<String>, Vec<String>)> {
        let addresses = self.run.addresses().map_err(PyValueError::new_err)?;
        Ok((addresses, self.run.failures.values(&self.run.plan.feeds)))
    }

    fn journey_done(&self, k: u64) -> bool {
        let mut journeys = lock(&self.run.journeys);
        let known = journeys.open.remove(&k).is_some();
        journeys.done += u64::from(known);
        drop(journeys);
        self.run.changed.notify_all();
        known
    }

    fn take_log<'py>(&self, py: Python<'py>) -> PyResult<Vec<LogEntry<'py>>> {
        let plan = &self.run.plan;
        let entries = std::mem::take(&mut lock(&self.run.log).entries);
        entries
            .into_iter()
            .map(|e| {
                let request = &plan.requests[e.endpoint];
                let values = PyDict::new(py);
                for (slot, value) in request.slots.iter().zip(&e.values) {
                    if let Slot::Feed(feed) = slot {
                        values.set_item(&plan.feeds[*feed].name, value)?;
                    }
                }
                Ok((e.k, request.name.clone(), e.due, e.sent, e.done, e.status, e.error, values))
            })
            .collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Nobody can see what it does any more.
        self.run.give(Order::Abort);
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    thread::Builder::new().name(name.into()).spawn(body).map(drop)
}

fn engine_thread(run: &Arc<Run>, index: usize) {
    match catch_unwind(AssertUnwindSafe(|| pacer::run(run, index))) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => run.fail(format!("engine thread {index}: {error}")),
        Err(_) => run.fail(format!("engine thread {index} panicked")),
    }
    ended(run);
}

fn ended(run: &Run) {
    lock(&run.progress).running -= 1;
    run.changed.notify_all();
}

/// Time for the threads to be there when the run starts.
const AHEAD_NS: u64 = 20_000_000;

/// The monotonic instant of a start given in Unix time; 0 means as soon as the threads are there.
fn start_instant(unix_ns: u64) -> PyResult<u64> {
    if unix_ns == 0 {
        return Ok(clock::now_ns() + AHEAD_NS);
    }
    let ahead = unix_ns as i128 - clock::unix_ns() as i128;
    if !(-60_000_000_000..=3_600_000_000_000).contains(&ahead) {
        return Err(PyValueError::new_err(format!(
            "plan field start_unix_ns: {:.1} s from now; give a time at most an hour ahead, or 0 for now",
            ahead as f64 / 1e9,
        )));
    }
    Ok((clock::now_ns() as i128 + ahead).max(1) as u64)
}

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .ok()
        .filter(|limit| limit.as_secs() <= 1_000_000_000)
        .ok_or_else(|| {
            PyValueError::new_err(format!(
                "{name}: {value} is not a time in seconds; give 0 or more"
            ))
        })
}

/// An array of numpy's type `kind` from the bytes of its numbers. The numpy crate would cost the
/// build 15 s for two calls.
fn numpy_array<'py, const N: usize>(
    py: Python<'py>,
    kind: &str,
    numbers: impl Iterator<Item = [u8; N]>,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = PyByteArray::new(py, &numbers.flatten().collect::<Vec<u8>>());
    py.import("numpy")?.call_method1("frombuffer", (bytes, kind))
}

/// Due times of a plan's arrivals on this shard, at most `limit` of them.
#[pyfunction]
fn schedule<'py>(py: Python<'py>, plan: &str, limit: usize) -> PyResult<Bound<'py, PyAny>> {
    let due = py.detach(|| {
        let plan = Plan::parse(plan)?;
        let arrivals =
            Schedule::new(&plan.arrivals, plan.seed, plan.whole_share()).ok_or_else(|| {
                PlanError::at(
                    "arrivals",
                    "a closed model has no schedule; its requests follow the answers",
                )
            })?;
        Ok::<_, PlanError>(arrivals.take(limit).map(|arrival| arrival.due).collect::<Vec<u64>>())
    })?;
    numpy_array(py, "u8", due.into_iter().map(u64::to_ne_bytes))
}

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Engine>()?;
    module.add_class::<histogram::Histogram>()?;
    module.add_class::<null_server::NullServer>()?;
    module.add_function(wrap_pyfunction!(schedule, module)?)?;
    module.add_function(wrap_pyfunction!(crate::reference::python::serve_reference, module)?)?;
    module.add_function(wrap_pyfunction!(crate::reference::python::serve_database_of, module)?)?;
    Ok(())
}
