//! The state of a region's database: its writes, and how far each peer has them.

use super::config::DatabaseConfig;
use super::lines::Line;
use crate::clock;
use serde_json::json;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio::time::sleep;

pub const IN_SYNC: Duration = Duration::from_secs(2);
pub const HEARTBEAT: Duration = Duration::from_millis(500);
pub const STREAM_EVERY: Duration = Duration::from_millis(10);
pub const CHUNK: usize = 2000;

/// Collection, key, value (None: deleted), version and origin of a write.
pub type Change = (Rc<str>, Rc<str>, Option<Rc<str>>, u64, Rc<str>);

/// A region that follows this one. Positions count entries of the log.
pub struct Peer {
    pub region: String,
    pub line: Rc<Line>,
    pub acknowledged: usize,
    pub acknowledged_at: Instant,
    pub idle: bool,
    pub position: usize,
    /// So far it is sent the writes of every region, for it has nothing yet.
    pub fresh_until: usize,
    pub kicked: Rc<Notify>,
}

impl Peer {
    pub fn new(region: String, line: Rc<Line>, start: usize, fresh_until: usize) -> Self {
        Self {
            region,
            line,
            acknowledged: start,
            acknowledged_at: Instant::now(),
            idle: false,
            position: start,
            fresh_until,
            kicked: Rc::default(),
        }
    }

    pub fn acknowledge(&mut self, position: usize) {
        self.acknowledged = position;
        self.acknowledged_at = Instant::now();
    }

    /// Lets the log be looked at before its time.
    pub fn kick(&self) {
        self.kicked.notify_one();
    }
}

/// Which item of which collection.
pub type Key = (Rc<str>, Rc<str>);

/// The present value of a key (None: deleted) and the write that made it so.
pub struct Entry {
    pub value: Option<Rc<str>>,
    pub version: u64,
    pub origin: Rc<str>,
}

/// A synchronous write that waits for its peers.
struct Pending {
    number: u64,
    index: usize,
    line: Rc<Line>,
}

pub struct State {
    pub region: Rc<str>,
    pub delay: Duration,
    pub stopped: bool,
    pub incarnation: u64,
    pub entries: HashMap<Key, Entry>,
    pub log: Vec<(Instant, Key)>,
    pub peers: Vec<Peer>,
    pending: Vec<Pending>,
    pub replicas: Vec<Rc<Line>>,
    /// Peers whose full state is not here yet, and the replicas that wait for it.
    pub missing: HashSet<String>,
    early: Vec<Rc<Line>>,
    stream: Vec<(Key, Option<Rc<str>>)>,
    last_version: u64,
}

pub type Database = Rc<RefCell<State>>;

/// The number of the question, collection, key, value and whether the write is synchronous.
pub type Write = (u64, Rc<str>, Rc<str>, Option<Rc<str>>, bool);

pub fn seconds(given: f64) -> Duration {
    Duration::try_from_secs_f64(given).unwrap_or_default()
}

/// Applies writes and acknowledges those that need not wait for a peer.
pub fn write_all(database: &Database, state: &mut State, writes: Vec<Write>, line: &Rc<Line>) {
    let mut done = Vec::with_capacity(writes.len());
    let mut wait = false;
    for (number, collection, key, value, sync) in writes {
        let version = state.next_version();
        let origin = Rc::clone(&state.region);
        put(database, state, (collection, key), Entry { value, version, origin });
        if sync && state.in_sync().next().is_some() {
            let index = state.log.len();
            state.pending.push(Pending { number, index, line: Rc::clone(line) });
            wait = true;
        } else {
            done.push(number);
        }
    }
    if !done.is_empty() {
        line.send(&json!({ "a": done }).to_string());
    }
    if wait {
        state.peers.iter().for_each(Peer::kick);
    }
}

/// Applies a write of another region unless a later one is known.
pub fn merge(database: &Database, state: &mut State, change: Change) {
    let (collection, key, value, version, origin) = change;
    let key = (collection, key);
    let later = state
        .entries
        .get(&key)
        .is_none_or(|known| (version, &origin) > (known.version, &known.origin));
    if later {
        put(database, state, key, Entry { value, version, origin });
    }
}

fn put(database: &Database, state: &mut State, key: Key, entry: Entry) {
    if state.stream.is_empty() {
        let database = Rc::clone(database);
        spawn_local(async move {
            sleep(STREAM_EVERY).await;
            database.borrow_mut().flush_stream();
        });
    }
    state.stream.push((key.clone(), entry.value.clone()));
    state.log.push((Instant::now(), key.clone()));
    state.entries.insert(key, entry);
}

impl State {
    pub fn new(config: &DatabaseConfig) -> Self {
        Self {
            region: config.region.as_str().into(),
            delay: seconds(config.delay_s),
            stopped: config.stopped,
            incarnation: clock::unix_ns(),
            entries: HashMap::new(),
            log: Vec::new(),
            peers: Vec::new(),
            pending: Vec::new(),
            replicas: Vec::new(),
            missing: config.peers.keys().cloned().collect(),
            early: Vec::new(),
            stream: Vec::new(),
            last_version: 0,
        }
    }

    fn next_version(&mut self) -> u64 {
        self.last_version = (self.last_version + 1).max(clock::unix_ns());
        self.last_version
    }

    fn flush_stream(&mut self) {
        let changes = changes(self.stream.iter().map(|(key, value)| (key, value)));
        self.stream.clear();
        self.replicas.iter().for_each(|line| line.send(&changes));
        self.peers.iter().filter(|peer| peer.idle).for_each(Peer::kick);
    }

    pub fn lost(&mut self, line: &Rc<Line>) {
        self.replicas.retain(|each| !Rc::ptr_eq(each, line));
        self.early.retain(|each| !Rc::ptr_eq(each, line));
        self.peers.retain(|peer| !Rc::ptr_eq(&peer.line, line));
        self.settle();
    }

    /// Notes a peer whose full state is here; with the last one, serves who waited for it.
    pub fn caught_up(&mut self, region: &str) {
        self.missing.remove(region);
        self.welcome_early();
    }

    pub fn welcome_early(&mut self) {
        if self.missing.is_empty() {
            for line in std::mem::take(&mut self.early) {
                self.welcome(&line);
            }
        }
    }

    /// Sends a new replica the whole state, then counts it among the stream's readers.
    pub fn welcome(&mut self, line: &Rc<Line>) {
        if !self.missing.is_empty() {
            self.early.push(Rc::clone(line));
            return;
        }
        let entries: Vec<_> = self.entries.iter().map(|(key, entry)| (key, &entry.value)).collect();
        for part in entries.chunks(CHUNK) {
            line.send(&changes(part.iter().copied()));
        }
        line.send(&json!({ "loaded": entries.len() }).to_string());
        self.replicas.push(Rc::clone(line));
    }

    // -- peers that follow this region -----------------------------------------------------------

    /// The peers that a synchronous write waits for.
    fn in_sync(&self) -> impl Iterator<Item = &Peer> {
        let stopped = self.stopped;
        self.peers.iter().filter(move |peer| !stopped && peer.acknowledged_at.elapsed() <= IN_SYNC)
    }

    /// Whether a synchronous write waits.
    pub fn awaits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Acknowledges the synchronous writes which every peer in sync has.
    pub fn settle(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let all = self.log.len();
        let reached = self.in_sync().map(|peer| peer.acknowledged).min().unwrap_or(all);
        let settled = |each: &Pending| each.index <= reached;
        for each in self.pending.iter().filter(|each| settled(each)) {
            each.line.send(&json!({ "a": [each.number] }).to_string());
        }
        self.pending.retain(|each| !settled(each));
    }

    /// Notes what a peer lacks from now on; an older connection of it is dropped.
    pub fn admit(&mut self, region: String, known: Option<u64>, from: usize, line: &Rc<Line>) {
        self.peers.iter().filter(|peer| peer.region == region).for_each(|peer| peer.line.close());
        let length = self.log.len();
        let (start, fresh_until) =
            if known == Some(self.incarnation) { (from.min(length), from) } else { (0, length) };
        self.peers.push(Peer::new(region, Rc::clone(line), start, fresh_until));
    }
}

/// The message that brings a replica's copy to these values.
fn changes<'a>(of: impl Iterator<Item = (&'a Key, &'a Option<Rc<str>>)>) -> String {
    let words: Vec<_> = of.map(|((collection, key), value)| (collection, key, value)).collect();
    // Strings cannot fail to be written.
    format!("{{\"s\":{}}}", serde_json::to_string(&words).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::runtime::{Builder, LocalOptions};

    fn with_state(test: impl FnOnce(&Database)) {
        let text = r#"{"region":"c","delay_s":0,"listen":["h",1],"peers":{}}"#;
        let config: DatabaseConfig = serde_json::from_str(text).unwrap();
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(async { test(&Rc::new(RefCell::new(State::new(&config)))) });
    }

    fn sync_write(database: &Database, line: &Rc<Line>) {
        let write = (7, "/c".into(), "k".into(), Some("1".into()), true);
        write_all(database, &mut database.borrow_mut(), vec![write], line);
    }

    #[test]
    fn of_two_concurrent_writes_the_later_stays_in_any_order() {
        let change = |value: &str, version, origin: &str| -> Change {
            ("/c".into(), "k".into(), Some(value.into()), version, origin.into())
        };
        let writes = [change("1", 10, "a"), change("2", 10, "b"), change("3", 9, "z")];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            with_state(|database| {
                let mut state = database.borrow_mut();
                for index in order {
                    merge(database, &mut state, writes[index].clone());
                }
                let held = &state.entries[&("/c".into(), "k".into())];
                assert_eq!(held.value.as_deref(), Some("2"));
            });
        }
    }

    #[test]
    fn a_synchronous_write_waits_for_the_slowest_peer_that_is_in_sync() {
        with_state(|database| {
            let line = Rc::new(Line::default());
            for region in ["a", "b", "gone"] {
                let peer = Peer::new(region.into(), Rc::new(Line::default()), 0, 0);
                database.borrow_mut().peers.push(peer);
            }
            let long_ago = Instant::now().checked_sub(2 * IN_SYNC).unwrap();
            database.borrow_mut().peers[2].acknowledged_at = long_ago;
            sync_write(database, &line);
            let mut state = database.borrow_mut();
            for (peer, waits) in [(0, true), (1, false)] {
                state.peers[peer].acknowledge(1);
                state.settle();
                assert_eq!(state.awaits(), waits);
            }
        });
    }

    #[test]
    fn without_a_peer_in_sync_a_synchronous_write_waits_for_nobody() {
        with_state(|database| {
            let peer = Peer::new("a".into(), Rc::new(Line::default()), 0, 0);
            database.borrow_mut().peers.push(peer);
            database.borrow_mut().stopped = true;
            sync_write(database, &Rc::new(Line::default()));
            assert!(!database.borrow().awaits());
        });
    }

    #[test]
    fn later_writes_have_later_versions_whatever_the_clock_says() {
        with_state(|database| {
            let mut state = database.borrow_mut();
            state.last_version = u64::MAX / 2;
            assert_eq!(state.next_version(), u64::MAX / 2 + 1);
            assert_eq!(state.next_version(), u64::MAX / 2 + 2);
        });
    }
}
