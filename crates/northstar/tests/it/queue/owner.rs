//! Several processes at one queue: the one that owns it changes, agents are killed, and bytes may be hostile.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use northstar::queue::{Claim, Completed, Error, EventKind, Filter, NewTask, Queue, Shared, State, TypeSettings};
use northstar::{Database, Options};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{assert_sound, kind, task};

/// Set in an agent's process: where the queue is.
const AGENT: &str = "NORTHSTAR_QUEUE_AGENT";

fn open(path: &Path) -> Shared {
    Shared::open(path, Options::new()).unwrap()
}

/// An agent: works until nothing has come for a while, and says what it was promised. It is no test of its own.
#[test]
fn agent() {
    let Some(path) = std::env::var_os(AGENT) else { return };
    let queue = open(Path::new(&path));
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "\n{line}").unwrap();
        out.flush().unwrap();
    };
    loop {
        let claim = Claim { lease_us: Some(400_000), ..Claim::new([kind("work")], 2) };
        let found = match queue.claim(&claim, Some(Duration::from_millis(900))) {
            Ok(found) if found.is_empty() => return,
            Ok(found) => found,
            // The owner was killed: what it may have leased to this agent expires.
            Err(Error::Connection { .. }) => continue,
            Err(error) => panic!("{error}"),
        };
        for claimed in &found {
            say(format!("claimed {} {}", claimed.task.id, claimed.token));
        }
        for claimed in found {
            let done = loop {
                match queue.complete(claimed.task.id, claimed.token, claimed.token.to_string().as_bytes()) {
                    Err(Error::Connection { .. }) => {}
                    other => break other,
                }
            };
            match done {
                Ok(_) => say(format!("done {} {}", claimed.task.id, claimed.token)),
                Err(Error::StaleToken { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn spawn(path: &Path, lines: Sender<String>) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["queue::owner::agent", "--exact", "--nocapture", "--test-threads=1"])
        .env(AGENT, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
    child
}

/// Two agents would hold one task, or work that was acknowledged would be gone, when agents and owners are killed.
#[test]
fn agents_are_killed_and_everything_is_done_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let count = 400;
    {
        let queue = open(&path);
        assert!(queue.is_owner());
        queue.configure(&kind("work"), TypeSettings { attempts_max: 1000, ..TypeSettings::default() }).unwrap();
        let tasks: Vec<_> = (0..count).map(|n| task("work", &n.to_string())).collect();
        queue.enqueue_many(&tasks).unwrap();
    }
    let mut random = StdRng::seed_from_u64(5);
    let (sender, lines) = mpsc::channel();
    let mut agents: Vec<Child> = (0..4).map(|_| spawn(&path, sender.clone())).collect();
    let (mut said, mut kills) = (Vec::new(), 0);
    let mut done = BTreeSet::new();
    while done.len() < count {
        // A word that was lost with its agent never comes: when all are silent, they have gone.
        let Ok(line) = lines.recv_timeout(Duration::from_secs(5)) else { break };
        if let Some(rest) = line.strip_prefix("done ") {
            done.insert(rest.split(' ').next().unwrap().to_owned());
        }
        if line.starts_with("claimed ") && kills < 12 && random.random_range(0..12) == 0 {
            let victim = random.random_range(0..agents.len());
            agents[victim].kill().unwrap();
            agents[victim].wait().unwrap();
            agents[victim] = spawn(&path, sender.clone());
            kills += 1;
        }
        said.push(line);
    }
    for mut agent in agents {
        agent.wait().unwrap();
    }
    said.extend(lines.try_iter());
    assert!(kills >= 8, "{kills} agents were killed");
    let queue = Queue::open(&Database::open(&path, Options::new()).unwrap()).unwrap();
    assert_sound(&queue);
    let view = queue.view();
    let finished = Filter { states: vec![State::Done], ..Filter::default() };
    assert_eq!(view.list(&finished).unwrap().count(), count);
    let mut given = BTreeSet::new();
    for line in &said {
        let mut words = line.split(' ');
        let (Some(what @ ("claimed" | "done")), Some(id), Some(token)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let id = northstar::queue::TaskId(id.parse().unwrap());
        let task = view.task(id).unwrap().unwrap();
        let events = view.history(id).unwrap();
        let claims = events.iter().filter(|event| event.kind == EventKind::Claimed);
        assert!(claims.clone().any(|event| event.token.unwrap().to_string() == token), "{line}: the claim is gone");
        if what == "claimed" {
            assert!(given.insert((id, token.to_owned())), "{line}: given twice");
        } else {
            assert_eq!(task.token.unwrap().to_string(), token, "{line}: done under another lease");
            assert_eq!(view.result(id).unwrap().unwrap(), token.as_bytes());
        }
        // Each lease ended before the next one began.
        let turns = events.iter().filter(|event| event.kind != EventKind::Enqueued).map(|event| event.kind);
        for (place, turn) in turns.enumerate() {
            assert_eq!(turn == EventKind::Claimed, place % 2 == 0, "{events:?}");
        }
    }
}

/// The clients of an owner that ends would be left without a queue, or told errors.
#[test]
fn when_the_owner_ends_another_one_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let mut owners: Vec<_> = (0..6).map(|_| open(&path)).collect();
    let rounds = 20;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let queue = open(&path);
                    let mut done = 0;
                    for _ in 0..rounds {
                        queue.enqueue_many(&[task("work", "")]).unwrap();
                        let claimed =
                            queue.claim(&Claim::new([kind("work")], 1), Some(Duration::from_secs(60))).unwrap();
                        let claimed = &claimed[0];
                        assert_eq!(queue.complete(claimed.task.id, claimed.token, b"").unwrap(), Completed::Now);
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        while !owners.is_empty() {
            drop(owners.remove(0));
        }
        assert_eq!(workers.into_iter().map(|worker| worker.join().unwrap()).sum::<usize>(), 4 * rounds);
    });
    let queue = Queue::open(&Database::open(&path, Options::new()).unwrap()).unwrap();
    let status = queue.type_status(&kind("work")).unwrap().unwrap();
    assert_eq!(status.counts.of(State::Done), 4 * rounds as u64);
    assert_sound(&queue);
}

/// A client would be told less than a caller in the owner's process.
#[test]
fn a_client_is_answered_as_the_owner_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let (owner, client) = (open(&path), open(&path));
    assert!(owner.is_owner() && !client.is_owner());
    let mut answers = BTreeMap::new();
    for (name, queue) in [("owner", &owner), ("client", &client)] {
        let work = kind(name);
        let tasks = [NewTask { priority: 3, ..NewTask::new(work.clone(), vec![7; 1 << 20]) }, task(name, "")];
        let added = queue.enqueue_many(&tasks).unwrap();
        let found = queue.claim(&Claim::new([work.clone()], 2), None).unwrap();
        assert_eq!(found[0].payload, [7; 1 << 20]);
        queue.heartbeat(found[0].task.id, found[0].token, None).unwrap();
        let stale = queue.complete(added[1].id, northstar::queue::Token(1), b"").unwrap_err();
        assert!(matches!(stale, Error::StaleToken { current: Some(_), .. }), "{stale}");
        let unknown = queue.cancel(northstar::queue::TaskId(999)).unwrap_err();
        assert!(matches!(unknown, Error::UnknownTask { .. }), "{unknown}");
        let cycle = queue.block(added[0].id, &[added[0].id]).unwrap_err();
        queue.complete(found[0].task.id, found[0].token, b"").unwrap();
        queue.cancel(added[1].id).unwrap();
        let empty = queue.claim(&Claim::new([work.clone()], 1), Some(Duration::from_millis(20))).unwrap();
        assert!(empty.is_empty());
        let removed = queue.forget(&work, State::Cancelled, u64::MAX, 10).unwrap();
        answers.insert(name, (cycle.kind(), removed, found.len(), queue.requeue(added[0].id).unwrap_err().kind()));
    }
    assert_eq!(answers["owner"], answers["client"]);
}

/// A program that sends nonsense would end the owner, or keep others from it.
#[test]
fn hostile_bytes_end_their_connection_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    let socket = dir.path().join("db-queue");
    let (owner, client) = (open(&path), open(&path));
    let greeting = [b"NSQUEUE\x1a".as_slice(), &1u32.to_le_bytes(), &0u32.to_le_bytes()].concat();
    let frame = |len: u32, content: &[u8]| [greeting.as_slice(), &len.to_le_bytes(), content].concat();
    let mut inputs = vec![
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0; 64],
        frame(u32::MAX, b""),
        frame(0, b""),
        frame(10, b"short"),
        frame(4, &[255, 255, 255, 255]),
        frame(6, &[0, 255, 255, 255, 255, 15]),
    ];
    let mut random = StdRng::seed_from_u64(3);
    for _ in 0..100 {
        let content: Vec<u8> = (0..random.random_range(1..60)).map(|_| random.random_range(0..20)).collect();
        inputs.push(frame(content.len() as u32, &content));
    }
    for input in inputs {
        let mut stream = UnixStream::connect(&socket).unwrap();
        // The owner may have closed already.
        let sent = stream.write_all(&input).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        drop(sent);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        assert!(answer.len() < 4096);
    }
    let mut other = UnixStream::connect(&socket).unwrap();
    other.write_all(&[b"NSQUEUE\x1a".as_slice(), &99u32.to_le_bytes(), &0u32.to_le_bytes()].concat()).unwrap();
    let mut verdict = [0; 16];
    other.read_exact(&mut verdict).unwrap();
    assert_eq!(verdict[12], 1, "another version is told so");
    client.enqueue_many(&[task("work", "")]).unwrap();
    assert_eq!(owner.claim(&Claim::new([kind("work")], 1), None).unwrap().len(), 1);
}
