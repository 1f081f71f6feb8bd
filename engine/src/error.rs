//! What is said of a field of the plan that is wrong, and the bounds that times share.

use std::fmt;

const MAX_SECONDS: f64 = 31.0 * 86_400.0;

/// What is wrong with a plan: the field, the problem and the remedy in one line.
#[derive(Debug)]
pub enum PlanError {
    Value(String),
    Io(std::io::Error, String),
}

impl PlanError {
    pub fn at(field: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Value(format!("plan field {field}: {problem}"))
    }
}

/// A time of the plan in nanoseconds; where `zero` is false, at least a millisecond.
pub fn nanos(field: &str, seconds: f64, zero: bool) -> Result<u64, PlanError> {
    let low_enough = seconds <= MAX_SECONDS;
    let high_enough = if zero { seconds >= 0.0 } else { seconds >= 1e-3 };
    if low_enough && high_enough {
        return Ok((seconds * 1e9).round() as u64);
    }
    let least = if zero { "0" } else { "0.001" };
    Err(PlanError::at(
        field,
        format!("{seconds} s is out of range; give {least} to {MAX_SECONDS} s"),
    ))
}
