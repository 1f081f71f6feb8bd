//! The pipelined connection of a replica to its region's database: JSON objects in lines, specified
//! at `database`.

use super::lines::Line;
use super::metrics::Lag;
use super::store::{Store, quoted};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

const TIMEOUT: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(50);

/// The database of the region does not answer.
#[derive(Debug)]
pub struct Unavailable;

type Reply = Result<Option<String>, Unavailable>;

/// The questions of a replica, sent and unsent.
#[derive(Default)]
pub struct Link {
    connected: Cell<bool>,
    number: Cell<u64>,
    /// Elements of two JSON arrays: what this turn of the loop has asked.
    writes: RefCell<String>,
    reads: RefCell<String>,
    /// By number, so the oldest are first.
    waiting: RefCell<BTreeMap<u64, (Instant, oneshot::Sender<Reply>)>>,
    asked: Notify,
}

impl Link {
    pub async fn read(&self, collection: &str, key: &str) -> Reply {
        self.ask(&self.reads, &format!("{},{}", quoted(collection), quoted(key))).await
    }

    /// Returns when the database has acknowledged.
    pub async fn write(
        &self,
        collection: &str,
        key: &str,
        value: Option<&str>,
        sync: bool,
    ) -> Result<(), Unavailable> {
        let value = value.map_or("null".into(), quoted);
        let words = format!("{},{},{value},{sync}", quoted(collection), quoted(key));
        self.ask(&self.writes, &words).await.map(drop)
    }

    async fn ask(&self, queue: &RefCell<String>, words: &str) -> Reply {
        if !self.connected.get() {
            return Err(Unavailable);
        }
        let number = self.number.get() + 1;
        self.number.set(number);
        {
            let mut queue = queue.borrow_mut();
            if !queue.is_empty() {
                queue.push(',');
            }
            queue.push_str(&format!("[{number},{words}]"));
        }
        let (sender, reply) = oneshot::channel();
        self.waiting.borrow_mut().insert(number, (Instant::now() + TIMEOUT, sender));
        self.asked.notify_one();
        reply.await.unwrap_or(Err(Unavailable))
    }

    /// Takes all questions so far as one message.
    fn take(&self) -> Option<String> {
        let (mut writes, mut reads) = (self.writes.borrow_mut(), self.reads.borrow_mut());
        if writes.is_empty() && reads.is_empty() {
            return None;
        }
        let message = format!("{{\"w\":[{writes}],\"r\":[{reads}]}}");
        writes.clear();
        reads.clear();
        Some(message)
    }

    fn resolve(&self, number: u64, reply: Reply) {
        if let Some((_, sender)) = self.waiting.borrow_mut().remove(&number) {
            let _ = sender.send(reply);
        }
    }

    /// Fails the questions that have waited too long.
    fn expire(&self, now: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(first) = waiting.first_entry()
            && first.get().0 < now
        {
            let _ = first.remove().1.send(Err(Unavailable));
        }
    }

    fn lost(&self) {
        self.connected.set(false);
        self.writes.borrow_mut().clear();
        self.reads.borrow_mut().clear();
        self.waiting.borrow_mut().clear();
    }
}

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

pub async fn connect(address: &(String, u16), bind: Option<&str>) -> io::Result<TcpStream> {
    let mut problem = io::Error::from(io::ErrorKind::NotFound);
    for found in lookup_host((address.0.as_str(), address.1)).await? {
        match connect_from(found, bind).await {
            Ok(stream) => return Ok(stream),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

async fn connect_from(address: SocketAddr, bind: Option<&str>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(host) = bind {
        let host = host.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        socket.bind(SocketAddr::new(host, 0))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_one_turn_are_one_message() {
        let link = Link { connected: Cell::new(true), ..Link::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let asked = async {
                tokio::join!(
                    link.write("/c", "k\"", Some("{\"x\":1}"), true),
                    link.write("/c", "d", None, false),
                    link.read("/c", "k"),
                )
            };
            let answered = async {
                let text = link.take();
                for (number, value) in [(1, None), (2, None), (3, Some("7".to_owned()))] {
                    link.resolve(number, Ok(value));
                }
                text.unwrap()
            };
            let ((first, second, third), text) = tokio::join!(asked, answered);
            assert!(first.is_ok() && second.is_ok());
            assert_eq!(third.unwrap().as_deref(), Some("7"));
            let message: serde_json::Value = serde_json::from_str(&text).unwrap();
            let wanted = serde_json::json!({
                "w": [[1, "/c", "k\"", "{\"x\":1}", true], [2, "/c", "d", null, false]],
                "r": [[3, "/c", "k"]],
            });
            assert_eq!(message, wanted);
        });
    }

    #[test]
    fn a_question_waits_two_seconds_and_one_without_a_connection_not_at_all() {
        let link = Link { connected: Cell::new(true), ..Link::default() };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let late = async { link.expire(Instant::now() + TIMEOUT) };
            assert!(tokio::join!(link.read("/c", "k"), late).0.is_err());
            link.lost();
            assert!(link.read("/c", "k").await.is_err());
        });
    }
}
