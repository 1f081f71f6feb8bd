//! A region's database: one process that holds the writes and hands them to the peer regions.
//!
//! It is memory only: killed, it has lost everything and, when it comes back, fetches the full state
//! from its peers before it serves; it waits for those it cannot reach no longer than `IN_SYNC`.
//!
//! A write is acknowledged when it is applied here or, if it is synchronous, also in every peer that
//! is in sync. A peer that has not acknowledged for `IN_SYNC` leaves the in-sync set, as an in-sync
//! replica of Kafka does, so that one dead region does not stop the others. Concurrent writes to one
//! key are resolved by the later time, then by the region's name.
//!
//! Every message is one JSON object in a line. A replica sends `hello`, then `w` (writes) and `r`
//! (reads) and is sent `a` (acknowledged), `v` (values read), `s` (the stream of all changes) and
//! `lag`. A peer dials in with `peer`, says which entry of which incarnation it has, is sent entries
//! `e` and acknowledges with `ack`.

use super::config::DatabaseConfig;
use super::lines::Line;
use super::peers::{follow, send_log};
use super::sockets::accept;
use super::state::{Database, HEARTBEAT, IN_SYNC, Peer, State, Write, seconds, write_all};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{interval, sleep};

/// One message of a replica, a peer or the supervisor.
#[derive(Deserialize)]
struct Message {
    ack: Option<usize>,
    #[serde(default)]
    w: Vec<Write>,
    #[serde(default)]
    r: Vec<(u64, Rc<str>, Rc<str>)>,
    hello: Option<IgnoredAny>,
    peer: Option<String>,
    incarnation: Option<u64>,
    #[serde(default)]
    from: usize,
    set: Option<Settings>,
}

#[derive(Deserialize)]
struct Settings {
    delay_s: Option<f64>,
    stopped: Option<bool>,
}

/// Serves one region until the end of the process.
pub async fn serve(config: DatabaseConfig, listener: &TcpListener) -> Infallible {
    let database = Rc::new(RefCell::new(State::new(&config)));
    for (region, address) in config.peers {
        let from = config.listen.0.clone();
        spawn_local(follow(Rc::clone(&database), region, address, from));
    }
    spawn_local(report_lag(Rc::clone(&database)));
    spawn_local(stop_waiting(Rc::clone(&database)));
    accept(listener, |stream| {
        spawn_local(converse(Rc::clone(&database), stream));
    })
    .await
}

async fn converse(database: Database, stream: TcpStream) {
    let line = Rc::new(Line::default());
    let hear = |text: &[u8]| heard(&database, &line, serde_json::from_slice(text)?);
    // Whatever ended it: the other end dials again.
    let _ = line.run(stream, hear).await;
    database.borrow_mut().lost(&line);
}

fn heard(database: &Database, line: &Rc<Line>, message: Message) -> io::Result<()> {
    let mut state = database.borrow_mut();
    if let Some(position) = message.ack {
        let peer = state.peers.iter_mut().find(|peer| Rc::ptr_eq(&peer.line, line));
        peer.ok_or(io::ErrorKind::InvalidData)?.acknowledge(position);
        state.settle();
    }
    if !message.w.is_empty() {
        write_all(database, &mut state, message.w, line);
    }
    if !message.r.is_empty() {
        let read = |(number, collection, key)| {
            let entry = state.entries.get(&(collection, key));
            (number, entry.and_then(|entry| entry.value.clone()))
        };
        let values: Vec<(u64, Option<Rc<str>>)> = message.r.into_iter().map(read).collect();
        line.send(&json!({ "v": values }).to_string());
    }
    if message.hello.is_some() {
        state.welcome(line);
    }
    if let Some(region) = message.peer {
        state.admit(region, message.incarnation, message.from, line);
        spawn_local(send_log(Rc::clone(database), Rc::clone(line)));
    }
    if let Some(set) = message.set {
        state.delay = set.delay_s.map_or(state.delay, seconds);
        state.stopped = set.stopped.unwrap_or(state.stopped);
        let (delay_s, stopped) = (state.delay.as_secs_f64(), state.stopped);
        line.send(&json!({ "set": { "delay_s": delay_s, "stopped": stopped } }).to_string());
    }
    Ok(())
}

/// Tells the replicas how far each peer is behind: entries, and seconds of the oldest.
async fn report_lag(database: Database) {
    let mut tick = interval(HEARTBEAT);
    loop {
        tick.tick().await;
        let mut state = database.borrow_mut();
        let behind = |peer: &Peer| {
            let entries = state.log.len().saturating_sub(peer.acknowledged);
            let oldest = state.log.get(peer.acknowledged).map(|(at, _)| at.elapsed().as_secs_f64());
            (peer.region.clone(), (entries, oldest.unwrap_or(0.0)))
        };
        let lag: BTreeMap<String, (usize, f64)> = state.peers.iter().map(behind).collect();
        let message = json!({ "lag": lag }).to_string();
        state.replicas.iter().for_each(|line| line.send(&message));
        state.settle();
    }
}

/// Serves without the peers that cannot be reached.
async fn stop_waiting(database: Database) {
    sleep(IN_SYNC).await;
    let mut state = database.borrow_mut();
    state.missing.clear();
    state.welcome_early();
}
