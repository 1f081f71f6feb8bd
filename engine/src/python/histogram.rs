//! Histograms as Python sees them.

use super::numpy_array;
use crate::hist;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

#[pyclass(module = "harness._engine")]
pub struct Histogram {
    inner: hdrhistogram::Histogram<u64>,
}

#[pymethods]
impl Histogram {
    #[new]
    fn new() -> Self {
        Self { inner: hist::fresh() }
    }

    #[staticmethod]
    fn decode(text: &str) -> PyResult<Self> {
        hist::decode(text).map(|inner| Self { inner }).map_err(PyValueError::new_err)
    }

    fn encode(&self) -> PyResult<String> {
        hist::encode(&self.inner).map_err(PyValueError::new_err)
    }

    fn add(&mut self, other: PyRef<'_, Self>) -> PyResult<()> {
        self.inner.add(&other.inner).map_err(|error| PyValueError::new_err(format!("{error:?}")))
    }

    #[pyo3(signature = (value_ns, count=1))]
    fn record(&mut self, value_ns: u64, count: u64) {
        // An auto-resizing histogram takes every value up to HIGH.
        let _ = self.inner.record_n(value_ns.min(hist::HIGH), count);
    }

    fn quantile(&self, q: f64) -> PyResult<Option<u64>> {
        if !(0.0..=1.0).contains(&q) {
            return Err(PyValueError::new_err(format!("{q} is not a quantile; give 0 to 1")));
        }
        Ok((!self.inner.is_empty()).then(|| self.inner.value_at_quantile(q)))
    }

    #[getter]
    fn count(&self) -> u64 {
        self.inner.len()
    }

    #[getter]
    fn min(&self) -> Option<u64> {
        (!self.inner.is_empty()).then(|| self.inner.min())
    }

    #[getter]
    fn max(&self) -> Option<u64> {
        (!self.inner.is_empty()).then(|| self.inner.max())
    }

    #[getter]
    fn mean(&self) -> Option<f64> {
        (!self.inner.is_empty()).then(|| self.inner.mean())
    }

    fn buckets<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
        let (values, counts): (Vec<f64>, Vec<i64>) = self
            .inner
            .iter_recorded()
            .map(|step| {
                let value = step.value_iterated_to();
                let shown = match self.inner.lowest_equivalent(value) {
                    0 => 0, // below the resolution: no time at all
                    _ => self.inner.median_equivalent(value),
                };
                (shown as f64, step.count_at_value() as i64)
            })
            .unzip();
        let values = numpy_array(py, "f8", values.into_iter().map(f64::to_ne_bytes))?;
        Ok((values, numpy_array(py, "i8", counts.into_iter().map(i64::to_ne_bytes))?))
    }

    fn __len__(&self) -> usize {
        self.inner.len() as usize
    }
}
