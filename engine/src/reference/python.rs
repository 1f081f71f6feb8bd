//! The entries from Python.

use super::config::{Config, DatabaseConfig, parse};
use super::{serve, serve_database};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use std::io;

/// Serves one replica until the end of the process.
#[pyfunction]
pub fn serve_reference(py: Python<'_>, config: &str) -> PyResult<()> {
    let config = Config::parse(config).map_err(PyValueError::new_err)?;
    let place = config.listen.clone();
    serving(py, &place, || serve(config))
}

/// Serves one region's database until the end of the process.
#[pyfunction]
#[pyo3(name = "serve_database")]
pub fn serve_database_of(py: Python<'_>, config: &str) -> PyResult<()> {
    let config: DatabaseConfig = parse(config).map_err(PyValueError::new_err)?;
    let place = config.listen.clone();
    serving(py, &place, || serve_database(config))
}

fn serving(
    py: Python<'_>,
    (host, port): &(String, u16),
    serve: impl FnOnce() -> io::Result<()> + Send,
) -> PyResult<()> {
    crate::net::allow_descriptors();
    py.detach(serve).map_err(|error| {
        let code = error.raw_os_error().unwrap_or(0);
        PyOSError::new_err((code, format!("cannot listen on {host}:{port}: {error}")))
    })
}
