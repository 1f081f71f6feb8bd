//! The one clock: nanoseconds of the monotonic clock, which on Linux is the clock of Python's
//! `time.monotonic_ns()` and of the timers the pacer sleeps on.

/// Nanoseconds of the monotonic clock; the zero point is the system's own.
#[cfg(target_os = "linux")]
pub fn now_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

#[cfg(not(target_os = "linux"))]
pub fn now_ns() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    // One hour of head start keeps "before the start" representable.
    ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 3_600_000_000_000
}

/// Nanoseconds since the Unix epoch.
pub fn unix_ns() -> u64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_nanos() as u64)
}

#[cfg(target_os = "linux")]
fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place to write to, and a clock that does not exist only fails.
    match unsafe { libc::clock_gettime(clock, &raw mut time) } {
        0 => time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64,
        _ => 0,
    }
}

/// CPU time that the calling thread has used, in nanoseconds; `None` where it cannot be known.
#[cfg(target_os = "linux")]
pub fn thread_cpu_ns() -> Option<u64> {
    Some(read(libc::CLOCK_THREAD_CPUTIME_ID))
}

#[cfg(not(target_os = "linux"))]
pub fn thread_cpu_ns() -> Option<u64> {
    None
}
