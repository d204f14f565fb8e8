//! From an address to connections, for every door: who may be listened to, how many at a time, and encryption.
//!
//! ```text
//! settings ─▶ bind (is the address allowed?) ─▶ Bound ─▶ Listening ─▶ accept ─▶ (handshake) ─▶ Connection
//! ```
//! Binding needs no async runtime, so that a taken port is told before the data are opened.

mod connection;
mod limits;
mod tls;

use crate::access::any_key;
use crate::error::ServerError;
use crate::settings::Settings;
use axum::serve::Listener;
use limits::{HANDSHAKE_TIME, MAX_CONNECTIONS};
use rustls::ServerConfig;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use tls::Tls;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use connection::Connection;

/// What HTTP clients may choose from once a connection is encrypted.
const HTTP_PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

/// The sockets of a server.
pub struct Sockets {
    pub http: Bound,
    /// Where the settings name a port for it.
    pub redis: Option<Bound>,
}

/// A socket with an address, which nothing is accepted from yet.
pub struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    tls: Option<(Tls, Arc<ServerConfig>)>,
}

/// The sockets at the addresses of the settings.
pub fn bind(settings: &Settings) -> Result<Sockets, ServerError> {
    let tls = Tls::of(settings)?;
    let http = Bound::new(settings, settings.port, "port", tls.as_ref(), &HTTP_PROTOCOLS)?;
    let redis = match settings.redis_port {
        Some(port) => Some(Bound::new(settings, port, "redis_port", tls.as_ref(), &[])?),
        None => None,
    };
    Ok(Sockets { http, redis })
}

impl Bound {
    fn new(
        settings: &Settings,
        port: u16,
        setting: &str,
        tls: Option<&Tls>,
        protocols: &[&str],
    ) -> Result<Self, ServerError> {
        let host = settings.host.as_str();
        let invalid = |why: String| ServerError::Invalid(format!("cannot listen at {host}:{port}: {why}"));
        let addresses = addresses(host, port).map_err(|error| invalid(error.to_string()))?;
        if addresses.iter().any(|address| !address.ip().to_canonical().is_loopback()) {
            admit_others(settings, tls.is_some()).map_err(invalid)?;
        }
        let listener = std::net::TcpListener::bind(addresses.as_slice()).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                invalid(format!("the port is taken: stop what is there, or set another `{setting}`"))
            }
            _ => invalid(error.to_string()),
        })?;
        listener.set_nonblocking(true).map_err(|error| invalid(error.to_string()))?;
        let address = listener.local_addr().map_err(|error| invalid(error.to_string()))?;
        let tls = match tls {
            Some(tls) => Some((tls.clone(), tls.config(protocols)?)),
            None => None,
        };
        Ok(Self { listener, address, tls })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as HTTP clients write it.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Starts listening, within an async runtime.
    pub fn listen(self) -> Result<Listening, ServerError> {
        let listener = TcpListener::from_std(self.listener)
            .map_err(|error| ServerError::Internal(format!("the listening socket: {error}")))?;
        Ok(Listening {
            listener,
            tls: self.tls,
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            handshakes: JoinSet::new(),
        })
    }
}

fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
        Err(_) => Ok((bare, port).to_socket_addrs()?.collect()),
    }
}

/// Other machines are let in where they are known and nobody on the way can listen, or where that was asked for by
/// name.
fn admit_others(settings: &Settings, encrypted: bool) -> Result<(), String> {
    if settings.insecure_listen {
        return Ok(());
    }
    let keyed = any_key(&settings.data).map_err(|error| error.to_string())?;
    let mut mends = Vec::new();
    if !encrypted {
        mends.push("encrypt with `--tls-cert` and `--tls-key`".to_owned());
    }
    if !keyed {
        let data = settings.data.display();
        mends.push(format!("make an API key with `thalweg keys create --data {data}`"));
    }
    if mends.is_empty() {
        return Ok(());
    }
    let mends = mends.join(", and ");
    Err(format!("other machines would reach it: {mends}; or use 127.0.0.1, or say --insecure-listen"))
}

/// A socket that connections come from, at most [`MAX_CONNECTIONS`] of them at a time.
pub struct Listening {
    listener: TcpListener,
    tls: Option<(Tls, Arc<ServerConfig>)>,
    places: Arc<Semaphore>,
    /// Those that are not encrypted yet: a slow one holds up no other.
    handshakes: JoinSet<Option<(Connection, SocketAddr)>>,
}

impl Listening {
    /// The next connection, encrypted already where that is asked for, and who it is from. Nothing is lost where this
    /// is given up and called again.
    pub async fn accept(&mut self) -> (Connection, SocketAddr) {
        let Self { listener, tls, places, handshakes } = self;
        loop {
            tokio::select! {
                (stream, address, permit) = next(listener, places) => match tls {
                    None => return (Connection::plain(stream, permit), address),
                    Some((_, config)) => {
                        handshakes.spawn(handshake(config.clone(), stream, address, permit));
                    }
                },
                Some(done) = handshakes.join_next() => {
                    if let Ok(Some(ready)) = done {
                        return ready;
                    }
                }
            }
        }
    }
}

/// The next connection once there is a place for it.
async fn next(listener: &mut TcpListener, places: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let permit = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    // Of the trait, as it goes on after errors.
    let (stream, address) = Listener::accept(listener).await;
    let _ = stream.set_nodelay(true);
    (stream, address, permit)
}

async fn handshake(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    address: SocketAddr,
    permit: OwnedSemaphorePermit,
) -> Option<(Connection, SocketAddr)> {
    match tokio::time::timeout(HANDSHAKE_TIME, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some((Connection::encrypted(stream, permit), address)),
        Ok(Err(error)) => {
            tracing::debug!(%address, "a connection could not be encrypted: {error}");
            None
        }
        Err(_) => {
            tracing::debug!(%address, "a connection took too long to be encrypted");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{KeyRequest, METADATA_FILE, create};
    use thalweg_store::Metadata;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn settings(directory: &tempfile::TempDir, host: &str) -> Settings {
        Settings { data: directory.path().to_owned(), host: host.to_owned(), port: 0, ..Settings::default() }
    }

    fn refused(settings: &Settings) -> String {
        bind(settings).err().expect("it was to be refused").to_string()
    }

    #[test]
    fn beyond_this_machine_only_encrypted_and_with_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let open = settings(&directory, "0.0.0.0");
        let why = refused(&open);
        assert!(why.contains("--tls-cert") && why.contains("thalweg keys create"), "{why}");
        let metadata = Metadata::open(&directory.path().join(METADATA_FILE)).unwrap();
        let request = KeyRequest {
            name: "ci".to_owned(),
            namespaces: vec!["*".to_owned()],
            scopes: vec!["read".to_owned()],
            expires: None,
            rate: None,
        };
        create(&metadata, "0123456789ab", &request).unwrap();
        let why = refused(&open);
        assert!(why.contains("--tls-cert") && !why.contains("thalweg keys create"), "{why}");
        assert!(bind(&Settings { insecure_listen: true, ..open }).is_ok());
        assert!(bind(&settings(&directory, "localhost")).is_ok());
    }

    #[test]
    fn a_taken_port_is_told_by_the_name_of_its_setting() {
        let directory = tempfile::tempdir().unwrap();
        let first = bind(&settings(&directory, "127.0.0.1")).unwrap();
        assert!(first.redis.is_none());
        let taken = first.http.address().port();
        let why = refused(&Settings { redis_port: Some(taken), ..settings(&directory, "127.0.0.1") });
        assert!(why.contains("the port is taken") && why.contains("`redis_port`"), "{why}");
    }

    #[test]
    fn connections_come_with_their_address() {
        let directory = tempfile::tempdir().unwrap();
        let bound = bind(&settings(&directory, "127.0.0.1")).unwrap().http;
        assert_eq!(bound.url(), format!("http://{}", bound.address()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let address = bound.address();
            let mut listening = bound.listen().unwrap();
            let mut client = TcpStream::connect(address).await.unwrap();
            let (mut connection, peer) = listening.accept().await;
            assert_eq!(peer, client.local_addr().unwrap());
            client.write_all(b"ping").await.unwrap();
            let mut got = [0; 4];
            connection.read_exact(&mut got).await.unwrap();
            connection.write_all(&got).await.unwrap();
            client.read_exact(&mut got).await.unwrap();
            assert_eq!(&got, b"ping");
        });
    }

    #[test]
    fn who_says_nothing_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let bound = bind(&settings(&directory, "127.0.0.1")).unwrap().http;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let address = bound.address();
            let mut listening = bound.listen().unwrap();
            let mut client = TcpStream::connect(address).await.unwrap();
            let (connection, _) = listening.accept().await;
            let mut connection = connection.speaking_within(std::time::Duration::from_millis(50));
            // A byte now and then is not enough.
            client.write_all(b"P").await.unwrap();
            let mut got = [0; 24];
            assert_eq!(connection.read(&mut got).await.unwrap(), 1);
            let ended = connection.read(&mut got).await.unwrap_err();
            assert_eq!(ended.kind(), io::ErrorKind::TimedOut);

            let mut client = TcpStream::connect(address).await.unwrap();
            let (connection, _) = listening.accept().await;
            let mut connection = connection.speaking_within(std::time::Duration::from_millis(50));
            client.write_all(b"GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
            connection.read_exact(&mut got).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            client.write_all(b"more").await.unwrap();
            assert!(connection.read(&mut got).await.unwrap() > 0);
        });
    }
}
