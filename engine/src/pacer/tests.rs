use super::run as pace_all;
use crate::clock;
use crate::plan::Plan;
use crate::run::Run;
use crate::slice_writer::SliceWriter;
use h2::Reason;
use http::Response;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tokio::net::TcpStream;
use tokio::runtime::Builder;

/// What a server has done.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    answered: AtomicUsize,
}

/// An HTTP/2 server for as long as the process lives; it does what `talk` says on each connection.
fn server<T: Future<Output = ()> + Send + 'static>(
    talk: impl Fn(TcpStream, Arc<Seen>) -> T + Send + 'static,
) -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let mine = Arc::clone(&seen);
    thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                mine.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(talk(socket, Arc::clone(&mine)));
            }
        });
    });
    (port, seen)
}

/// Answers, and says after 150 requests that the connection goes away.
async fn going_away(socket: TcpStream, seen: Arc<Seen>) {
    // What comes after the goodbye is read, as servers do it: closing over it would be a reset,
    // which takes the goodbye with it.
    let socket = socket.into_std().unwrap();
    let mut rest = TcpStream::from_std(socket.try_clone().unwrap()).unwrap();
    let socket = TcpStream::from_std(socket).unwrap();
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let mut count = 0;
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        seen.answered.fetch_add(1, Ordering::Relaxed);
        let _ = respond.send_response(Response::new(()), true);
        count += 1;
        // More than are under way at once, so that none meets two goodbyes.
        if count == 150 {
            connection.graceful_shutdown();
        }
    }
    drop(connection);
    let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
}

/// Refuses all streams of the first connection.
async fn refusing_at_first(socket: TcpStream, seen: Arc<Seen>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    let first = seen.connections.load(Ordering::Relaxed) == 1;
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        if first {
            respond.send_reset(Reason::REFUSED_STREAM);
            continue;
        }
        seen.answered.fetch_add(1, Ordering::Relaxed);
        let _ = respond.send_response(Response::new(()), true);
    }
}

async fn refusing(socket: TcpStream, seen: Arc<Seen>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        seen.answered.fetch_add(1, Ordering::Relaxed);
        respond.send_reset(Reason::REFUSED_STREAM);
    }
}

/// What came of 300 requests that are due at once: completed, failed, sent again.
fn drive(port: u16) -> (usize, usize, usize) {
    let due = vec![0; 300];
    let plan = format!(
        r#"{{"arrivals":{{"kind":"replay","due_ns":{due:?}}},
            "targets":["http://127.0.0.1:{port}"],"http2":true,"connections_per_target":1,
            "requests":[{{"name":"one","method":"POST","path":"/"}}]}}"#
    );
    let run = Arc::new(Run::new(Plan::parse(&plan).unwrap(), None));
    run.start.store(clock::now_ns(), Ordering::SeqCst);
    pace_all(&run, 0).unwrap();
    SliceWriter::new(Arc::clone(&run)).run();
    assert_eq!(crate::lock(&run.progress).conserved, Some(true));
    let lines = std::mem::take(&mut *crate::lock(&run.lines));
    let lines = lines.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let retried: u64 = lines
        .filter(|line| line["axis"] == "due")
        .filter_map(|line| line["retried"].as_u64())
        .sum();
    let totals = run.totals();
    (totals.completed as usize, totals.failed as usize, retried as usize)
}

#[test]
fn a_server_that_goes_away_again_and_again_costs_no_request_and_answers_each_once() {
    let (port, seen) = server(going_away);
    let (completed, failed, retried) = drive(port);
    assert_eq!((completed, failed), (300, 0));
    assert_eq!(seen.answered.load(Ordering::Relaxed), 300);
    assert!((1..300).contains(&retried), "{retried}");
    assert!(seen.connections.load(Ordering::Relaxed) > 1);
}

#[test]
fn a_refused_stream_is_sent_again_on_another_connection() {
    let (port, seen) = server(refusing_at_first);
    let (completed, failed, retried) = drive(port);
    assert_eq!((completed, failed), (300, 0));
    assert_eq!(seen.answered.load(Ordering::Relaxed), 300);
    assert!((1..300).contains(&retried), "{retried}");
}

#[test]
fn a_request_is_sent_again_only_once() {
    let (port, seen) = server(refusing);
    let (completed, failed, retried) = drive(port);
    assert_eq!((completed, failed, retried), (0, 300, 300));
    assert_eq!(seen.answered.load(Ordering::Relaxed), 600);
}
