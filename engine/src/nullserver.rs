//! A server whose answer times are known: the control of the measurement.

use crate::rng::{Rng, purpose};
use crate::timers::Timers;
use crate::{clock, hist};
use hdrhistogram::Histogram;
use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

/// Delays of a server, all of them its own doing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Behaviour {
    /// Lognormal: median in nanoseconds and the standard deviation of the logarithm.
    pub latency: Option<(f64, f64)>,
    /// Every so many nanoseconds from the start nothing is answered for so many.
    pub stall: Option<(u64, u64)>,
    pub seed: u64,
}

const LATENCY: u64 = purpose("null server latency");
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"ok\":true}";
const MAX_HEAD: usize = 64 << 10;

impl Behaviour {
    /// When request `i`, here since `now`, is answered.
    fn due(&self, i: u64, now: u64, start: u64) -> u64 {
        let delay = self.latency.map_or(0.0, |(median, sigma)| {
            median * (sigma * Rng::at(self.seed, LATENCY, i).normal()).exp()
        });
        let due = now + delay as u64;
        let Some((every, length)) = self.stall else { return due };
        let since = due.saturating_sub(start);
        let begin = since / every * every;
        // The first stall comes after a whole period.
        if begin > 0 && since < begin + length { start + begin + length } else { due }
    }
}

struct State {
    behaviour: Behaviour,
    start: u64,
    truth: Arc<Mutex<Histogram<u64>>>,
    count: std::cell::Cell<u64>,
    timers: Timers,
}

/// Serves until `stop` is dropped or sends.
pub fn serve(
    listener: TcpListener,
    behaviour: Behaviour,
    truth: Arc<Mutex<Histogram<u64>>>,
    stop: oneshot::Receiver<()>,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .event_interval(31)
        .build_local(LocalOptions::default())?;
    let state = Rc::new(State {
        behaviour,
        start: clock::now_ns(),
        truth,
        count: std::cell::Cell::new(0),
        timers: Timers::default(),
    });
    deepen(&listener);
    runtime.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let timing = Rc::clone(&state);
        spawn_local(async move { timing.timers.run().await });
        let accepting = async {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => drop(spawn_local(converse(Rc::clone(&state), stream))),
                    // Out of descriptors: the next one may have one.
                    Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            _ = stop => {}
        }
        Ok(())
    })
}

/// Lets a burst of connections wait for their turn: one refused would look like a second's latency.
fn deepen(listener: &TcpListener) {
    use std::os::fd::AsRawFd;
    // SAFETY: listening again on a listening socket only changes its backlog.
    unsafe {
        libc::listen(listener.as_raw_fd(), 4096);
    }
}

async fn converse(state: Rc<State>, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer: Vec<u8> = Vec::with_capacity(4096);
    loop {
        let Some(head) = find(&buffer, b"\r\n\r\n") else {
            if buffer.len() > MAX_HEAD || stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            continue;
        };
        let arrived = clock::now_ns();
        let Some(body) = content_length(&buffer[..head]) else {
            return Ok(());
        };
        let mut rest = body.saturating_sub((buffer.len() - head - 4) as u64);
        buffer.drain(..(head + 4 + body as usize).min(buffer.len()));
        while rest > 0 {
            let mut sink = [0u8; 4096];
            let most = sink.len().min(rest as usize);
            let read = stream.read(&mut sink[..most]).await?;
            if read == 0 {
                return Ok(());
            }
            rest -= read as u64;
        }
        let i = state.count.get();
        state.count.set(i + 1);
        let due = state.behaviour.due(i, arrived, state.start);
        if due > arrived {
            state.timers.until(due).await;
        }
        // Read before the write: by its end the peer may already have measured.
        let delay = clock::now_ns() - arrived;
        hist::record(&mut crate::lock(&state.truth), delay);
        stream.write_all(RESPONSE).await?;
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The length of the body that follows `head`; `None` if it is not one.
fn content_length(head: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"content-length:";
    for line in head.split(|byte| *byte == b'\n') {
        if line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME) {
            return std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok();
        }
    }
    Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_in_a_stall_is_held_to_its_end() {
        let server = Behaviour { latency: None, stall: Some((1_000, 100)), seed: 1 };
        assert_eq!(server.due(0, 5_050, 5_000), 5_050);
        assert_eq!(server.due(0, 5_999, 5_000), 5_999);
        assert_eq!(server.due(0, 6_000, 5_000), 6_100);
        assert_eq!(server.due(0, 6_099, 5_000), 6_100);
        assert_eq!(server.due(0, 6_100, 5_000), 6_100);
    }

    #[test]
    fn latencies_have_the_median_and_the_tail_asked_for() {
        let server =
            Behaviour { latency: Some((5e6, (6f64).ln() / 2.326_347_874)), stall: None, seed: 7 };
        let mut delays: Vec<u64> = (0..100_000).map(|i| server.due(i, 0, 0)).collect();
        delays.sort_unstable();
        assert!((delays[50_000] as f64 / 5e6 - 1.0).abs() < 0.02);
        assert!((delays[99_000] as f64 / 30e6 - 1.0).abs() < 0.05);
    }
}
