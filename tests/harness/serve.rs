//! A server on 127.0.0.1 for what the emulators lack: a thread per connection, one request each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A client that sends nothing, or does not take its answer, must not keep a thread for ever.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub struct Received {
    pub method: String,
    pub path: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Of the protocols that are text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("JSON and forms are UTF-8")
    }
}

pub enum Answer {
    Of {
        status: u16,
        content_type: &'static str,
        body: String,
    },
    /// Byte for byte, the head included.
    Whole(Vec<u8>),
    /// The connection ends without one.
    Lost,
}

/// Answers until it is dropped.
pub struct Server {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Server {
    /// On a free port.
    pub fn start(answer: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", 0)).expect("a port is free"), answer)
    }

    pub fn on(listener: TcpListener, answer: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("a listener has an address");
        let over = Arc::new(AtomicBool::new(false));
        let (ended, answer) = (Arc::clone(&over), Arc::new(answer));
        let accepting = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let answer = Arc::clone(&answer);
                // A client that goes away is its own affair.
                std::thread::spawn(move || stream.and_then(|stream| serve(&stream, &*answer)));
            }
        });
        Self { address, over, accepting: Some(accepting) }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        // Wakes it up. Where that fails it is gone already.
        let _ = TcpStream::connect(self.address);
        let _ = self.accepting.take().map(JoinHandle::join);
    }
}

fn serve(stream: &TcpStream, answer: &impl Fn(&Received) -> Answer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let Some(received) = receive(&mut BufReader::new(stream))? else { return Ok(()) };
    match answer(&received) {
        Answer::Lost => Ok(()),
        Answer::Whole(bytes) => {
            let mut stream = stream;
            stream.write_all(&bytes)
        }
        Answer::Of { status, content_type, body } => {
            let head = format!(
                "HTTP/1.1 {status} .\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let mut stream = stream;
            stream.write_all(head.as_bytes())?;
            stream.write_all(body.as_bytes())
        }
    }
}

/// `None` at the end of the stream.
fn receive(stream: &mut impl BufRead) -> std::io::Result<Option<Received>> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(None) };
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut received = Received { method, path, headers, body: Vec::new() };
    let length = received.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    stream.by_ref().take(length).read_to_end(&mut received.body)?;
    Ok(Some(received))
}
