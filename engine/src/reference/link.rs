//! What a replica has asked of its region's database and has no reply to yet.

use super::lines::quoted;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

pub const TIMEOUT: Duration = Duration::from_secs(2);
/// The database of the region does not answer.
#[derive(Debug)]
pub struct Unavailable;

type Reply = Result<Option<String>, Unavailable>;

/// The questions of a replica, sent and unsent.
#[derive(Default)]
pub struct Link {
    pub connected: Cell<bool>,
    number: Cell<u64>,
    /// Elements of two JSON arrays: what this turn of the loop has asked.
    writes: RefCell<String>,
    reads: RefCell<String>,
    /// By number, so the oldest are first.
    waiting: RefCell<BTreeMap<u64, (Instant, oneshot::Sender<Reply>)>>,
    pub asked: Notify,
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
    pub fn take(&self) -> Option<String> {
        let (mut writes, mut reads) = (self.writes.borrow_mut(), self.reads.borrow_mut());
        if writes.is_empty() && reads.is_empty() {
            return None;
        }
        let message = format!("{{\"w\":[{writes}],\"r\":[{reads}]}}");
        writes.clear();
        reads.clear();
        Some(message)
    }

    pub fn resolve(&self, number: u64, reply: Reply) {
        if let Some((_, sender)) = self.waiting.borrow_mut().remove(&number) {
            let _ = sender.send(reply);
        }
    }

    /// Fails the questions that have waited too long.
    pub fn expire(&self, now: Instant) {
        let mut waiting = self.waiting.borrow_mut();
        while let Some(first) = waiting.first_entry()
            && first.get().0 < now
        {
            let _ = first.remove().1.send(Err(Unavailable));
        }
    }

    pub fn lost(&self) {
        self.connected.set(false);
        self.writes.borrow_mut().clear();
        self.reads.borrow_mut().clear();
        self.waiting.borrow_mut().clear();
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
