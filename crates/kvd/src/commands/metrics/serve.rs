//! A server for one page: enough of HTTP/1.1 for Prometheus, with a bound on everything.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::encode::CONTENT_TYPE;
use crate::session::Session;

/// Longest request, line and headers together, in bytes.
const REQUEST_LEN_MAX: usize = 8 << 10;
/// Longest time that one client may take for its request, and again for taking the answer.
const CLIENT_TIME_MAX: Duration = Duration::from_secs(2);

pub fn serve(session: &mut Session, address: SocketAddr) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot watch for signals")?;
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr().context("cannot tell the address")?;
    let url = format!("http://{address}/metrics");
    if session.settings.json {
        session.out.json(&json!({ "listening": url }))?;
    } else {
        session.out.line(format_args!("listening on {url}"))?;
    }
    session.out.flush()?;

    let stopping = Arc::new(AtomicBool::new(false));
    let handle = signals.handle();
    let watcher = thread::spawn({
        let stopping = Arc::clone(&stopping);
        move || {
            if signals.forever().next().is_some() {
                stopping.store(true, Ordering::Release);
                wake(address);
            }
        }
    });
    let served = accept_until(&listener, &stopping, session);
    handle.close();
    watcher.join().map_err(|_panic| anyhow::anyhow!("the thread that watches for signals panicked"))?;
    served
}

/// Lets a blocked `accept` return, by a connection of our own.
fn wake(address: SocketAddr) {
    let mut target = address;
    if target.ip().is_unspecified() {
        target.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    if let Err(error) = TcpStream::connect_timeout(&target, CLIENT_TIME_MAX) {
        eprintln!("kvd: the server stops at the next request: {error}");
    }
}

fn accept_until(listener: &TcpListener, stopping: &AtomicBool, session: &Session) -> Result<()> {
    for stream in listener.incoming() {
        if stopping.load(Ordering::Acquire) {
            return Ok(());
        }
        // A client that fails is not a reason to stop.
        if let Err(error) = stream.map_err(anyhow::Error::from).and_then(|stream| answer(stream, session)) {
            eprintln!("kvd: a request failed: {error:#}");
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream, session: &Session) -> Result<()> {
    let (status, content_type, body) = match read_request(&mut stream)? {
        Request::Complete(head) => match request_line(&head) {
            Some(("GET", "/metrics")) => ("200 OK", CONTENT_TYPE, super::scrape(session)?),
            Some(("GET", _)) => ("404 Not Found", "text/plain", "only /metrics is here\n".to_owned()),
            Some(_) => ("405 Method Not Allowed", "text/plain", "only GET is answered\n".to_owned()),
            None => ("400 Bad Request", "text/plain", "this is not HTTP\n".to_owned()),
        },
        Request::TooLarge => ("431 Request Header Fields Too Large", "text/plain", "too large\n".to_owned()),
        Request::TooSlow => ("408 Request Timeout", "text/plain", "too slow\n".to_owned()),
        Request::Gone => return Ok(()),
    };
    let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
        body.len()
    );
    stream.set_write_timeout(Some(CLIENT_TIME_MAX)).context("bound the time of the answer")?;
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).context("send the answer")
}

enum Request {
    /// Everything up to the empty line.
    Complete(Vec<u8>),
    TooLarge,
    TooSlow,
    /// The client hung up.
    Gone,
}

fn read_request(stream: &mut TcpStream) -> Result<Request> {
    let deadline = Instant::now() + CLIENT_TIME_MAX;
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() >= REQUEST_LEN_MAX {
            return Ok(Request::TooLarge);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Request::TooSlow);
        }
        stream.set_read_timeout(Some(left)).context("bound the time of the request")?;
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(Request::Gone),
            Ok(len) => head.extend_from_slice(&buffer[..len]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(Request::TooSlow);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Request::Gone),
            Err(error) => return Err(error).context("read the request"),
        }
    }
    Ok(Request::Complete(head))
}

/// Method and path, without a query.
fn request_line(head: &[u8]) -> Option<(&str, &str)> {
    let line = std::str::from_utf8(head.split(|&byte| byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !version.starts_with("HTTP/1.") {
        return None;
    }
    Some((method, target.split('?').next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_well_formed_request_lines_are_understood() {
        assert_eq!(request_line(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), Some(("GET", "/metrics")));
        assert_eq!(request_line(b"GET /metrics?x=1 HTTP/1.0\r\n\r\n"), Some(("GET", "/metrics")));
        for bad in [&b"GET /metrics\r\n\r\n"[..], b"\r\n\r\n", b"GET  / HTTP/1.1 x\r\n\r\n", b"\xff / HTTP/1.1\r\n\r\n"]
        {
            assert_eq!(request_line(bad), None, "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
