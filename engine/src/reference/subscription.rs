//! The pipelined connection of a replica to its region's database: JSON objects in lines, specified
//! at `database`.

use super::lines::Line;
use super::link::{Link, TIMEOUT};
use super::metrics::Lag;
use super::sockets::connect;
use super::store::Store;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

const TICK: Duration = Duration::from_millis(50);

/// What the database says in one line.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Message {
    /// Writes that are acknowledged.
    a: Vec<u64>,
    /// Values that were asked for.
    v: Vec<(u64, Option<String>)>,
    /// Changes: collection, key and value.
    s: Vec<(String, String, Option<String>)>,
    lag: Option<Lag>,
    loaded: Option<IgnoredAny>,
}

/// Holds the connection to the database for ever; reconnects when it is lost.
pub async fn follow(store: Rc<Store>, address: (String, u16), bind: Option<String>) {
    let Some(link) = &store.link else { return };
    loop {
        sleep(TICK).await;
        let Ok(Ok(stream)) = timeout(TIMEOUT, connect(&address, bind.as_deref())).await else {
            continue;
        };
        let line = Line::default();
        line.send("{\"hello\":true}");
        link.connected.set(true);
        let hear = |text: &[u8]| {
            act(serde_json::from_slice(text)?, &store, link);
            Ok(())
        };
        // What has been said is heard first: after a pause of this process nothing seems silent.
        // Whatever ended it: the next connection starts afresh.
        tokio::select! {
            biased;
            _ = line.run(stream, hear) => {}
            () = ask(link, &line) => {}
            () = watch(link, &line) => {}
        }
        link.lost();
        store.loaded.set(false);
    }
}

/// Sends the questions of each turn of the loop as one message.
async fn ask(link: &Link, line: &Line) {
    loop {
        link.asked.notified().await;
        if let Some(message) = link.take() {
            line.send(&message);
        }
    }
}

/// Fails the questions that wait too long; returns when the connection has fallen silent.
async fn watch(link: &Link, line: &Line) {
    while line.silence() <= 2 * TIMEOUT {
        sleep(TICK).await;
        link.expire(Instant::now());
    }
}

fn act(message: Message, store: &Store, link: &Link) {
    for number in message.a {
        link.resolve(number, Ok(None));
    }
    for (number, value) in message.v {
        link.resolve(number, Ok(value));
    }
    for (collection, key, value) in message.s {
        store.apply(&collection, &key, value.as_deref());
    }
    if let Some(lag) = message.lag {
        *store.lag.borrow_mut() = lag;
    }
    if message.loaded.is_some() {
        store.loaded.set(true);
    }
}
