//! The null server as Python sees it.

use crate::nullserver::{self, Behaviour};
use crate::{hist, lock};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::sync::oneshot;

#[pyclass(frozen, module = "harness._engine")]
pub struct NullServer {
    port: u16,
    truth: Arc<Mutex<hdrhistogram::Histogram<u64>>>,
    stop: Mutex<Option<(oneshot::Sender<()>, thread::JoinHandle<()>)>>,
}

#[pymethods]
impl NullServer {
    #[new]
    #[pyo3(signature = (address="127.0.0.1:0", *, latency=None, stall=None, seed=1))]
    fn new(
        address: &str,
        latency: Option<std::collections::HashMap<String, f64>>,
        stall: Option<std::collections::HashMap<String, f64>>,
        seed: u64,
    ) -> PyResult<Self> {
        let latency = pair("latency", latency, ["median_s", "p99_s"])?;
        let stall = pair("stall", stall, ["every_s", "for_s"])?;
        if latency.is_some_and(|(median, p99)| p99 < median) {
            return Err(PyValueError::new_err("latency: p99_s is below median_s; swap them"));
        }
        if stall.is_some_and(|(every, length)| length >= every) {
            return Err(PyValueError::new_err(
                "stall: for_s is not below every_s; the server would never answer",
            ));
        }
        // The standard normal's 99 % quantile.
        const Z99: f64 = 2.326_347_874_040_841;
        let behaviour = Behaviour {
            latency: latency.map(|(median, p99)| (median * 1e9, (p99 / median).ln() / Z99)),
            stall: stall.map(|(every, length)| ((every * 1e9) as u64, (length * 1e9) as u64)),
            seed,
        };
        let listener = std::net::TcpListener::bind(address).map_err(|error| {
            PyOSError::new_err((
                error.raw_os_error().unwrap_or(0),
                format!("cannot listen on {address}: {error}"),
            ))
        })?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let truth = Arc::new(Mutex::new(hist::fresh()));
        let (stop, stopped) = oneshot::channel();
        let mine = Arc::clone(&truth);
        let thread = thread::Builder::new()
            .name("null-server".into())
            .spawn(move || drop(nullserver::serve(listener, behaviour, mine, stopped)))?;
        Ok(Self { port, truth, stop: Mutex::new(Some((stop, thread))) })
    }

    #[getter]
    fn port(&self) -> u16 {
        self.port
    }

    fn truth(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| {
            let copy = lock(&self.truth).clone();
            hist::encode(&copy)
        })
        .map_err(PyRuntimeError::new_err)
    }

    fn stop(&self, py: Python<'_>) {
        let Some((stop, thread)) = lock(&self.stop).take() else { return };
        let _ = stop.send(());
        py.detach(|| drop(thread.join()));
    }
}

type Given = Option<std::collections::HashMap<String, f64>>;

/// The two named numbers of an option, both above 0.
fn pair(option: &str, given: Given, names: [&str; 2]) -> PyResult<Option<(f64, f64)>> {
    let Some(given) = given else { return Ok(None) };
    let value = |name: &str| {
        given.get(name).copied().filter(|v| *v >= 1e-9 && *v <= 86_400.0).ok_or_else(|| {
            PyValueError::new_err(format!(
                "{option}: give {} and {} in seconds, above 0",
                names[0], names[1]
            ))
        })
    };
    if given.len() != 2 {
        value("")?;
    }
    Ok(Some((value(names[0])?, value(names[1])?)))
}
