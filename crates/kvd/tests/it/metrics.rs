//! metrics

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::Place;

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(place: &Place) -> Self {
        let mut child =
            place.command(&["metrics", "--listen", "127.0.0.1:0"]).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on http://").unwrap();
        let address = address.strip_suffix("/metrics").unwrap().to_owned();
        Self { child, address }
    }

    fn ask(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn stop(mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

#[test]
fn the_text_names_levels_counters_and_sizes() {
    let place = Place::new();
    place.run(&["put", "a", "1"]).ok();
    place.run(&["compact"]).ok();
    let text = place.run(&["metrics"]).ok();
    for line in [
        "granite_up 1",
        "granite_visible_seq 1",
        "granite_gets_total 0",
        "granite_memtable_entries{keyspace=\"default\"} 0",
        "granite_duration_microseconds{operation=\"commit\",quantile=\"0.99\"} 0",
        "# EOF",
    ] {
        assert!(text.text().lines().any(|found| found == line), "{line}: {}", text.text());
    }
    let entries: u64 = text
        .text()
        .lines()
        .filter(|line| line.starts_with("granite_level_entries{keyspace=\"default\","))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(entries, 1);
    assert_eq!(place.run(&["metrics", "--json"]).ok().json()["gauges"]["visible_seq"], 1);
}

/// If it fails, the exporter keeps the program that owns the database from opening it, or shows old figures.
#[test]
fn a_served_database_can_be_written_between_scrapes() {
    let place = Place::new();
    place.run(&["put", "a", "1"]).ok();
    let server = Server::start(&place);
    let get = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = server.ask(get);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\ngranite_visible_seq 1\n"), "{answer}");
    place.run(&["put", "a", "2"]).ok();
    assert!(server.ask(get).contains("\ngranite_visible_seq 2\n"));
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

#[test]
fn a_database_in_use_is_reported_as_down() {
    let place = Place::new();
    place.run(&["put", "a", "1"]).ok();
    let server = Server::start(&place);
    let mut holder = place.command(&["batch", "--every", "1", "--ack"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = holder.stdin.take().unwrap();
    stdin.write_all(b"put b 1\n").unwrap();
    let mut acknowledged = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut acknowledged).unwrap();
    assert!(server.ask(b"GET /metrics HTTP/1.1\r\n\r\n").contains("\ngranite_up 0\n"));
    drop(stdin);
    holder.wait().unwrap();
    assert!(server.ask(b"GET /metrics HTTP/1.1\r\n\r\n").contains("\ngranite_up 1\n"));
    assert_eq!(server.stop(Signal::INT), Some(0));
}

/// If it fails, whoever reaches the port can fill the memory, hold the server up, or get something it should not.
#[test]
fn requests_are_bounded_and_only_the_one_page_is_served() {
    let place = Place::new();
    place.run(&["put", "a", "1"]).ok();
    let server = Server::start(&place);
    let status = |request: &[u8]| server.ask(request).lines().next().unwrap().to_owned();
    assert_eq!(status(b"GET /etc/passwd HTTP/1.1\r\n\r\n"), "HTTP/1.1 404 Not Found");
    assert_eq!(status(b"POST /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 405 Method Not Allowed");
    assert_eq!(status(b"nonsense\r\n\r\n"), "HTTP/1.1 400 Bad Request");
    let long = [b"GET /metrics HTTP/1.1\r\nX: ".as_slice(), &[b'x'; 8192 - 26]].concat();
    assert_eq!(long.len(), 8192);
    assert_eq!(status(&long), "HTTP/1.1 431 Request Header Fields Too Large");
    assert_eq!(status(b"GET /metrics HTT"), "HTTP/1.1 408 Request Timeout");
    assert_eq!(status(b"GET /metrics HTTP/1.1\r\n\r\n"), "HTTP/1.1 200 OK");
    assert_eq!(server.stop(Signal::TERM), Some(0));
}

#[test]
fn other_machines_are_let_in_only_when_asked_for() {
    let place = Place::new();
    place.run(&["put", "a", "1"]).ok();
    let refused = place.run(&["metrics", "--listen", "0.0.0.0:0"]).code(2);
    assert!(refused.stderr.contains("--allow-remote"), "{refused:?}");
    place.run(&["metrics", "--listen", "localhost"]).code(2);
    place.run(&["metrics", "--allow-remote"]).code(2);
}
