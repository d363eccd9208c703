//! A Lambda function that asks DynamoDB what a tick asks of an empty table, and does nothing else: no SDK, no signature, one
//! certificate trusted. What it takes longer than `hello` is the calls' own. Measured by `bench/cold`.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::{env, thread};

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, IpAddr, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// As long as one of the SDK, with its headers and its signature.
const QUERY: usize = 900;

fn connect(server: &str, config: &Arc<ClientConfig>) -> Result<Connection, Error> {
    let socket = TcpStream::connect(server)?;
    socket.set_nodelay(true)?;
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
    let name = ServerName::IpAddress(IpAddr::try_from(host)?);
    Ok(StreamOwned::new(ClientConnection::new(Arc::clone(config), name)?, socket))
}

fn query(connection: &mut Connection) -> io::Result<()> {
    let head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Amz-Target: DynamoDB_20120810.Query\r\n";
    let body = "x".repeat(QUERY.saturating_sub(head.len()));
    write!(connection, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
    connection.flush()?;
    let mut answer = Vec::new();
    // Whoever knows the answer needs no parser to see its end.
    while !answer.ends_with(b"}") {
        let mut part = [0; 4096];
        match connection.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    Ok(())
}

/// As many connections as the SDK makes for queries side by side, kept from one event to the next; the queries by turns.
fn ask(connections: &mut [Connection], queries: usize) -> io::Result<()> {
    let side_by_side = connections.len();
    thread::scope(|scope| {
        let asked: Vec<_> = connections
            .iter_mut()
            .enumerate()
            .map(|(first, connection)| {
                scope.spawn(move || (first..queries).step_by(side_by_side).try_for_each(|_| query(connection)))
            })
            .collect();
        asked.into_iter().try_for_each(|asked| asked.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())))
    })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let queries: usize = env::var("QUERIES")?.parse()?;
    let server = env::var("AWS_ENDPOINT_URL")?.trim_start_matches("https://").to_owned();
    let connections = Mutex::new(Vec::new());
    let answer = |_: LambdaEvent<Value>| {
        std::future::ready((|| {
            let mut connections = connections.lock().map_err(|error| error.to_string())?;
            if connections.is_empty() {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(env::var("CERTIFICATE")?)?)?;
                let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
                for _ in 0..2 {
                    connections.push(connect(&server, &config)?);
                }
            }
            ask(&mut connections, queries)?;
            Ok::<_, Error>(json!("asked"))
        })())
    };
    run(service_fn(answer)).await
}
