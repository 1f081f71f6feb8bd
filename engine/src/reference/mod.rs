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
mod config;
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
mod sockets;
mod state;
mod store;
mod subscription;

use config::{Config, DatabaseConfig};
use replica::Replica;
use sockets::{accept, listen};
use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use store::Store;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

/// Serves one replica until the end of the process.
pub fn serve(config: Config) -> io::Result<()> {
    run(&config.listen.clone(), async move |listener| {
        let database = config.database.clone();
        let store = Rc::new(Store::new(database.is_none()));
        if let Some(address) = database {
            spawn_local(subscription::follow(Rc::clone(&store), address, config.bind.clone()));
        }
        let replica = Rc::new(Replica::new(config, store));
        let counters = Rc::clone(&replica.counters);
        spawn_local(async move { counters.timers.run().await });
        accept(&listener, |stream| {
            spawn_local(http::converse(Rc::clone(&replica), stream));
        })
        .await
    })
}

/// Serves one region's database until the end of the process.
pub fn serve_database(config: DatabaseConfig) -> io::Result<()> {
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
