//! The reference service: one replica of a service over its region's database.
//!
//! A collection route holds the ids "1" to "1000" from the start. `GET` on it lists, `POST` creates
//! (201; a JSON `id` of the client is kept), `<route>/<id>` takes GET, PUT (upsert), PATCH and
//! DELETE (idempotent). The query is ignored but for `replication=sync` on a write. `POST` on
//! `/v1/chat/completions`, or anywhere of a body with `"stream": true`, streams a chat completion.

mod behaviour;
mod calls;
mod chat;
mod conduct;
mod database;
mod http;
mod http2;
mod lines;
mod link;
mod metrics;
mod peers;
#[cfg(not(test))]
pub mod python;
mod replica;
mod routes;
mod store;

use behaviour::Behaviour;
use replica::Replica;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;
use std::time::Duration;
use store::Store;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

/// A burst of connections waits for its turn: one refused would look like a second's latency.
const BACKLOG: u32 = 4096;
/// How long to wait for a free descriptor.
const NO_DESCRIPTOR: Duration = Duration::from_millis(10);

/// What a replica is: its name and place, its routes and how it behaves at first.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    service: String,
    id: String,
    region: String,
    replication: Replication,
    #[serde(default)]
    closes: Closes,
    routes: Vec<String>,
    behaviour: Behaviour,
    health_path: String,
    listen: (String, u16),
    /// Without one everything stays in this process.
    database: Option<(String, u16)>,
    /// The address that connections to the database come from.
    #[serde(default)]
    bind: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Replication {
    Async,
    Sync,
}

/// When a replica ends the connection with its answer. One that is not ready is taken out of new
/// connections only: unless it ends the established ones, a pool goes on with it. `Always` lets a
/// load feel at once what becomes of new connections.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Closes {
    Never,
    #[default]
    Unready,
    Always,
}

impl Config {
    /// The configuration in a JSON object, or what is wrong with which field.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = parse(text)?;
        config.behaviour.check()?;
        Ok(config)
    }
}

/// A process's configuration, or what is wrong with which field.
fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let document = &mut serde_json::Deserializer::from_str(text);
    serde_path_to_error::deserialize(document)
        .map_err(|error| format!("configuration: field {}: {}", error.path(), error.inner()))
}

/// Serves one replica until the end of the process.
pub fn serve(config: Config) -> io::Result<()> {
    run(&config.listen.clone(), async move |listener| {
        let database = config.database.clone();
        let store = Rc::new(Store::new(database.is_none()));
        if let Some(address) = database {
            spawn_local(link::follow(Rc::clone(&store), address, config.bind.clone()));
        }
        let replica = Rc::new(Replica::new(config, store));
        let timer = Rc::clone(&replica);
        spawn_local(async move { timer.timer.run().await });
        accept(&listener, |stream| {
            spawn_local(http::converse(Rc::clone(&replica), stream));
        })
        .await
    })
}

/// Serves one region's database until the end of the process.
pub fn serve_database(config: database::Config) -> io::Result<()> {
    run(&config.listen.clone(), async |listener| database::serve(config, &listener).await)
}

/// Listens and serves until the end of the process, which comes with the end of its standard input.
fn run(
    address: &(String, u16),
    serve: impl AsyncFnOnce(TcpListener) -> Infallible,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = listen(address)?;
        std::thread::Builder::new().name("owner".into()).spawn(end_with_owner)?;
        match serve(listener).await {}
    })
}

async fn accept(listener: &TcpListener, mut serve: impl FnMut(TcpStream)) -> Infallible {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                serve(stream);
            }
            Err(_) => tokio::time::sleep(NO_DESCRIPTOR).await,
        }
    }
}

fn listen(address: &(String, u16)) -> io::Result<TcpListener> {
    let address = first_address(address)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn first_address((host, port): &(String, u16)) -> io::Result<SocketAddr> {
    let mut found = (host.as_str(), *port).to_socket_addrs()?;
    found.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address"))
}

/// Ends this process as soon as its standard input, held by its owner, ends.
fn end_with_owner() {
    let mut byte = [0u8; 256];
    loop {
        // SAFETY: the buffer is as long as said; `_exit` runs nothing of this process any more.
        unsafe {
            let read = libc::read(0, byte.as_mut_ptr().cast(), byte.len());
            if read == 0
                || read < 0 && io::Error::last_os_error().kind() != io::ErrorKind::Interrupted
            {
                libc::_exit(0);
            }
        }
    }
}
