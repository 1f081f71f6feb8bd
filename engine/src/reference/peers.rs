//! The two ends of replication between regions: handing the log to a peer, and following one.

use super::lines::Line;
use super::sockets::connect;
use super::state::{CHUNK, Change, Database, HEARTBEAT, IN_SYNC, STREAM_EVERY, State, merge};
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

/// Entries sent to a peer ahead of its acknowledgement.
const WINDOW: usize = 10 * CHUNK;
const RECONNECT: Duration = Duration::from_millis(50);

/// What a peer is sent: entries, and the position in the log of this incarnation after them.
#[derive(Deserialize, Serialize)]
struct Batch {
    i: u64,
    n: usize,
    e: Vec<Change>,
    complete: bool,
}

/// Hands over the log as it becomes due, and a heartbeat when there is nothing, until the peer is
/// gone.
pub async fn send_log(database: Database, line: Rc<Line>) {
    send(&database.borrow(), &line, None);
    loop {
        let Some((wait, kicked)) = hand_over(&mut database.borrow_mut(), &line) else { return };
        if timeout(wait, kicked.notified()).await.is_err() {
            send(&database.borrow(), &line, None);
        }
    }
}

/// Sends what is due; how long until the next is, and what says that it is sooner.
fn hand_over(state: &mut State, line: &Rc<Line>) -> Option<(Duration, Rc<Notify>)> {
    let at = state.peers.iter().position(|peer| Rc::ptr_eq(&peer.line, line))?;
    let peer = &state.peers[at];
    let due = if state.awaits() { state.log.len() } else { due(state, peer.position) };
    let due = due.max(peer.fresh_until).min(peer.acknowledged + WINDOW).min(state.log.len());
    if !state.stopped {
        while state.peers[at].position < due {
            let upto = due.min(state.peers[at].position + CHUNK);
            send(state, line, Some(upto));
            state.peers[at].position = upto;
        }
    }
    state.settle();
    let (stopped, delay) = (state.stopped, state.delay);
    let next = state.log.get(state.peers[at].position).map(|(made, _)| *made + delay);
    let peer = &mut state.peers[at];
    peer.idle = stopped || next.is_none();
    let wait = match next.filter(|_| !stopped) {
        Some(next) => next.saturating_duration_since(Instant::now()).min(HEARTBEAT),
        None => HEARTBEAT,
    };
    Some((wait.max(STREAM_EVERY), Rc::clone(&peer.kicked)))
}

/// The end of the log's part that is older than the replication delay.
fn due(state: &State, start: usize) -> usize {
    let now = Instant::now();
    start + state.log[start..].partition_point(|(made, _)| *made + state.delay <= now)
}

/// Sends a peer the log from where it is up to there, or nothing new.
fn send(state: &State, line: &Rc<Line>, upto: Option<usize>) {
    let Some(peer) = state.peers.iter().find(|peer| Rc::ptr_eq(&peer.line, line)) else { return };
    let position = upto.unwrap_or(peer.position);
    let part = state.log[peer.position..position].iter().zip(peer.position..);
    let e = part.filter_map(|((_, key), index)| {
        let entry = state.entries.get(key)?;
        let mine = entry.origin == state.region || index < peer.fresh_until;
        let change = || {
            (key.0.clone(), key.1.clone(), entry.value.clone(), entry.version, entry.origin.clone())
        };
        mine.then(change)
    });
    let batch = Batch {
        i: state.incarnation,
        n: position,
        e: e.collect(),
        complete: position >= peer.fresh_until,
    };
    line.send(&serde_json::to_string(&batch).unwrap_or_default());
}

/// Follows one peer for ever: takes its log, acknowledges, reconnects when it falls silent.
pub async fn follow(database: Database, region: String, address: (String, u16), from: String) {
    let position: Cell<(Option<u64>, usize)> = Cell::new((None, 0));
    loop {
        let Ok(Ok(stream)) = timeout(IN_SYNC, connect(&address, Some(&from))).await else {
            sleep(RECONNECT).await;
            continue;
        };
        let line = Line::default();
        let (incarnation, upto) = position.get();
        let mine = database.borrow().region.to_string();
        line.send(
            &serde_json::json!({ "peer": mine, "incarnation": incarnation, "from": upto })
                .to_string(),
        );
        let hear = |text: &[u8]| {
            let batch: Batch = serde_json::from_slice(text)?;
            let mut state = database.borrow_mut();
            for change in batch.e {
                merge(&database, &mut state, change);
            }
            position.set((Some(batch.i), batch.n));
            line.send(&format!("{{\"ack\":{}}}", batch.n));
            if batch.complete {
                state.caught_up(&region);
            }
            Ok(())
        };
        let silent = async {
            while line.silence() < 2 * IN_SYNC {
                sleep(RECONNECT).await;
            }
        };
        tokio::select! {
            biased;
            _ = line.run(stream, hear) => {}
            () = silent => {}
        }
        sleep(RECONNECT).await;
    }
}
