//! Waiting for an instant, exactly.

#[cfg(target_os = "linux")]
mod exact {
    use crate::clock;
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// A timerfd: the kernel's high-resolution timer, without the millisecond wheel of the runtime
    /// and without the timer slack of a poll timeout.
    pub struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub fn new() -> io::Result<Self> {
            // SAFETY: the call takes no pointers; its result is checked before it is owned.
            let fd = unsafe {
                libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
            };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: `fd` is a new descriptor that nobody else owns.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            // SAFETY: the descriptor is owned by what is registered, and stays open as long.
            Ok(Self(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?))
        }

        /// Returns at or after `at` (nanoseconds of the monotonic clock). Only one waits at a time.
        pub async fn until(&self, at: u64) -> io::Result<()> {
            self.set(at)?;
            // Setting the timer has forgotten earlier expiries, and each new one is an event of its
            // own: the count of expiries need not be read.
            while clock::now_ns() < at {
                self.0.readable().await?.clear_ready();
            }
            Ok(())
        }

        fn set(&self, at: u64) -> io::Result<()> {
            // A time of zero would disarm the timer.
            let at = at.max(1);
            let spec = libc::itimerspec {
                it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: libc::timespec {
                    tv_sec: (at / 1_000_000_000) as libc::time_t,
                    tv_nsec: (at % 1_000_000_000) as libc::c_long,
                },
            };
            // SAFETY: both pointers are valid or null as the call allows.
            let result = unsafe {
                libc::timerfd_settime(
                    self.0.as_raw_fd(),
                    libc::TFD_TIMER_ABSTIME,
                    &raw const spec,
                    std::ptr::null_mut(),
                )
            };
            if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod exact {
    use std::io;
    use std::time::Duration;

    /// The runtime's own timer: exact to a millisecond.
    pub struct Timer;

    impl Timer {
        pub fn new() -> io::Result<Self> {
            Ok(Self)
        }

        pub async fn until(&self, at: u64) -> io::Result<()> {
            tokio::time::sleep(Duration::from_nanos(at.saturating_sub(crate::clock::now_ns())))
                .await;
            Ok(())
        }
    }
}

pub use exact::Timer;
