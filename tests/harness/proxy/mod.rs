//! Stands between the SDK and whatever answers for AWS, and lets things go wrong by a seed: the same request of the same
//! minute meets the same trouble, in whatever order requests come.

pub mod refused;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use super::dice::Dice;
use super::runtime::Killer;
use super::serve::{Answer, Received, Server};

/// The SDK is told to give an attempt five seconds.
const LONGER_THAN_AN_ATTEMPT: Duration = Duration::from_millis(5_200);
/// Nothing that is forwarded takes longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How old a stale answer may be, in turns: a minute, as in the simulation.
const STALE_TURNS: u64 = 1;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    Throttled,
    Denied,
    /// A 500 answer, nothing done.
    Failed,
    /// A 503 answer, nothing done.
    Unavailable,
    /// Nothing done, and the connection ends without an answer.
    Dropped,
    /// Done, and the connection ends without an answer.
    Lost,
    /// Done, and the answer ends in its middle.
    CutOff,
    /// Done twice; the second answer arrives.
    Twice,
    /// A read answers as it did a minute ago.
    Old,
    /// No answer before the client gives up; then it is done.
    Late,
    /// No answer before the client gives up, and nothing done.
    Silent,
    /// The connection ends without an answer; done when [`Proxy::deliver_stalled`] is called.
    Stalled,
    /// The process is killed before the request is done.
    KilledBefore,
    /// The process is killed after it.
    KilledAfter,
}

/// How likely each is among those that happen by chance. What takes seconds is rare.
const BY_CHANCE: [(Way, u64); 12] = [
    (Way::Throttled, 20),
    (Way::Denied, 10),
    (Way::Failed, 15),
    (Way::Unavailable, 15),
    (Way::Dropped, 15),
    (Way::Lost, 20),
    (Way::CutOff, 10),
    (Way::Twice, 20),
    (Way::Old, 20),
    (Way::Late, 2),
    (Way::Silent, 1),
    (Way::Stalled, 15),
];

/// A request in the words of its service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asked {
    pub service: String,
    pub operation: String,
}

impl Asked {
    fn of(received: &Received) -> Self {
        let credential = received.header("authorization").and_then(|header| header.split("Credential=").nth(1));
        let service = credential.and_then(|credential| credential.split('/').nth(3)).unwrap_or_default().to_owned();
        let path = received.path.split('?').next().unwrap_or_default();
        let form = || received.text().split('&').find_map(|field| field.strip_prefix("Action=")).map(str::to_owned);
        let operation = if let Some(target) = received.header("x-amz-target") {
            target.rsplit('.').next().unwrap_or_default().to_owned()
        } else if let Some((_, operation)) = path.split_once("/operation/") {
            operation.to_owned()
        } else if path == "/" {
            form().unwrap_or_default()
        } else {
            // REST: what kind of resource it is about, without its name.
            let kinds = ["aliases", "provisioned-concurrency", "versions", "configuration", "schedules"];
            let kind = path.split('/').rev().find(|part| kinds.contains(part)).unwrap_or("?");
            format!("{} {kind}", received.method)
        };
        Self { service, operation }
    }

    fn moves_traffic(&self) -> bool {
        ["PUT aliases", "ModifyRule", "ModifyListener"].contains(&self.operation.as_str())
    }

    /// Whether it arms a dead man's switch.
    pub fn arms(&self) -> bool {
        ["POST schedules", "PUT schedules"].contains(&self.operation.as_str())
    }

    fn reads(&self) -> bool {
        ["Get", "GET ", "Describe", "List", "Query", "BatchGet"].iter().any(|start| self.operation.starts_with(start))
    }
}

/// What is to happen until the next turn begins.
#[derive(Default)]
pub struct Weather {
    pub seed: u64,
    pub turn: u64,
    /// Of the requests, so many meet trouble.
    pub share: f64,
    /// With the n-th request, counted from 0, the process is killed before or after it is done.
    pub kill: Option<(usize, Way, Killer)>,
}

/// What happened so far.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    pub requests: u64,
    pub troubles: BTreeMap<Way, u64>,
    /// A line per trouble, oldest first.
    pub log: Vec<String>,
    /// What the watch found to be wrong.
    pub wrong: Vec<String>,
}

#[derive(Default)]
struct State {
    weather: Weather,
    tally: Tally,
    /// Requests of this turn, and of each operation.
    seen: usize,
    of_operation: BTreeMap<Asked, u64>,
    answers: BTreeMap<(Asked, String, Vec<u8>), Recorded>,
    stalled: Vec<(Asked, Received)>,
    in_flight: usize,
    armed_late: bool,
}

/// The last answers to the same request: of this turn or before, and of an earlier one than that.
#[derive(Default)]
struct Recorded {
    newest: Option<(u64, Vec<u8>)>,
    before: Option<(u64, Vec<u8>)>,
}

/// Sees every request.
pub trait Watch: Send + Sync + 'static {
    /// As it comes, whatever becomes of it; says what is wrong with it.
    fn arrives(&self, asked: &Asked, received: &Received) -> Option<String>;
    /// Just before it is done.
    fn done(&self, asked: &Asked, received: &Received);
}

struct Inner {
    state: Mutex<State>,
    settled: Condvar,
    /// Services that others answer for.
    elsewhere: Vec<(&'static str, u16)>,
    port: u16,
    watch: Box<dyn Watch>,
}

pub struct Proxy {
    inner: Arc<Inner>,
    server: Server,
}

impl Proxy {
    /// Before what listens at `port`, and elsewhere for some services.
    pub fn start(port: u16, elsewhere: Vec<(&'static str, u16)>, watch: impl Watch) -> Self {
        let (state, settled) = (Mutex::default(), Condvar::new());
        let inner = Arc::new(Inner { state, settled, elsewhere, port, watch: Box::new(watch) });
        let answering = Arc::clone(&inner);
        Self { inner, server: Server::start(move |received| answering.counted(received)) }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port())
    }

    /// Another turn begins.
    pub fn turn(&self, weather: Weather) {
        let mut state = self.inner.state();
        (state.weather, state.seen) = (weather, 0);
        state.of_operation.clear();
    }

    pub fn note(&self, line: String) {
        self.inner.state().tally.log.push(line);
    }

    pub fn tally(&self) -> Tally {
        self.inner.state().tally.clone()
    }

    /// Whether a dead man's switch was armed by what nobody waited for any more, since this was last asked.
    pub fn take_armed_late(&self) -> bool {
        std::mem::take(&mut self.inner.state().armed_late)
    }

    /// What the watch found since this was last asked.
    pub fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut self.inner.state().tally.wrong)
    }

    /// Waits until nothing is under way any more: what is still travelling must not arrive in another minute.
    pub fn settle(&self) {
        let mut state = self.inner.state();
        while state.in_flight > 0 {
            state = self.inner.settled.wait(state).expect("nobody panicked");
        }
    }

    /// The stalled requests arrive, in their order: those that arm a switch, or all.
    pub fn deliver_stalled(&self, all: bool) {
        let stalled = std::mem::take(&mut self.inner.state().stalled);
        for (asked, received) in stalled {
            if !all && !asked.arms() {
                self.inner.state().stalled.push((asked, received));
                continue;
            }
            self.inner.state().armed_late |= asked.arms();
            self.note(format!("  {} {} arrives at last", asked.service, asked.operation));
            self.inner.forward(&asked, &received);
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }

    fn counted(&self, received: &Received) -> Answer {
        self.state().in_flight += 1;
        let answer = self.answer(received);
        self.state().in_flight -= 1;
        self.settled.notify_all();
        answer
    }

    fn answer(&self, received: &Received) -> Answer {
        let asked = Asked::of(received);
        if let Some(wrong) = self.watch.arrives(&asked, received) {
            self.state().tally.wrong.push(wrong);
        }
        let (way, killer) = self.state().next(&asked, received);
        let done = || self.forward(&asked, received).map_or(Answer::Lost, Answer::Whole);
        match way {
            None => done(),
            Some(Way::Throttled | Way::Denied | Way::Failed | Way::Unavailable) => {
                refused::answer(received, &asked.service, way.unwrap_or(Way::Failed))
            }
            Some(Way::Dropped) => Answer::Lost,
            Some(Way::Lost) => {
                done();
                Answer::Lost
            }
            Some(Way::CutOff) => self.forward(&asked, received).map_or(Answer::Lost, |whole| Answer::Whole(cut(whole))),
            Some(Way::Twice) => {
                done();
                done()
            }
            Some(Way::Old) => {
                let old = self.state().old(&key(&asked, received));
                old.map_or_else(done, Answer::Whole)
            }
            Some(Way::Late) => {
                std::thread::sleep(LONGER_THAN_AN_ATTEMPT);
                self.state().armed_late |= asked.arms();
                done();
                Answer::Lost
            }
            Some(Way::Silent) => {
                std::thread::sleep(LONGER_THAN_AN_ATTEMPT);
                Answer::Lost
            }
            Some(Way::Stalled) => {
                self.state().stalled.push((asked, received.clone()));
                Answer::Lost
            }
            Some(Way::KilledBefore) => {
                killer.iter().for_each(Killer::kill);
                Answer::Lost
            }
            Some(Way::KilledAfter) => {
                done();
                killer.iter().for_each(Killer::kill);
                Answer::Lost
            }
        }
    }

    /// What is answered, as it is to be passed on; nothing where nothing came.
    fn forward(&self, asked: &Asked, received: &Received) -> Option<Vec<u8>> {
        self.watch.done(asked, received);
        let port = self.elsewhere.iter().find(|(service, _)| asked.service == *service).map_or(self.port, |(_, p)| *p);
        let answer = exchange(port, received).unwrap_or_else(|error| panic!("{asked:?} at {port}: {error}"))?;
        if asked.reads() {
            self.state().record(key(asked, received), answer.clone());
        }
        Some(answer)
    }
}

impl State {
    /// Counts a request, and says what goes wrong with it.
    fn next(&mut self, asked: &Asked, received: &Received) -> (Option<Way>, Option<Killer>) {
        let overall = self.seen;
        self.seen += 1;
        self.tally.requests += 1;
        let number = self.of_operation.entry(asked.clone()).or_default();
        let place = *number;
        *number += 1;
        let way = match &self.weather.kill {
            Some((at, way, killer)) if *at == overall => (Some(*way), Some(killer.clone())),
            _ => (self.weather.chance(asked, place).filter(|way| fits(*way, asked, received)), None),
        };
        if let (Some(trouble), _) = &way {
            *self.tally.troubles.entry(*trouble).or_default() += 1;
            let Asked { service, operation } = asked;
            self.tally.log.push(format!("  request {overall}, {service} {operation} {place}: {trouble:?}"));
        }
        way
    }

    fn record(&mut self, key: (Asked, String, Vec<u8>), answer: Vec<u8>) {
        let turn = self.weather.turn;
        let recorded = self.answers.entry(key).or_default();
        if recorded.newest.as_ref().is_some_and(|(then, _)| *then < turn) {
            recorded.before = recorded.newest.take();
        }
        recorded.newest = Some((turn, answer));
    }

    /// As it was a turn ago.
    fn old(&self, key: &(Asked, String, Vec<u8>)) -> Option<Vec<u8>> {
        let (turn, recorded) = (self.weather.turn, self.answers.get(key)?);
        let old = [&recorded.newest, &recorded.before].into_iter().flatten().find(|(then, _)| *then < turn);
        old.filter(|(then, _)| then + STALE_TURNS >= turn).map(|(_, answer)| answer.clone())
    }
}

impl Weather {
    fn chance(&self, asked: &Asked, place: u64) -> Option<Way> {
        let mut hasher = DefaultHasher::new();
        (self.seed, self.turn, asked, place).hash(&mut hasher);
        let mut dice = Dice::new(hasher.finish());
        // A tick has many reads, and few writes of what this is all about.
        let share = if asked.moves_traffic() { (3.0 * self.share).min(0.5) } else { self.share };
        if !dice.hits(share) {
            return None;
        }
        let mut drawn = dice.below(BY_CHANCE.iter().map(|(_, weight)| weight).sum());
        let fits = |(_, weight): &&(Way, u64)| {
            let here = drawn < *weight;
            drawn = drawn.saturating_sub(*weight);
            here
        };
        BY_CHANCE.iter().find(fits).map(|(way, _)| *way)
    }
}

/// DynamoDB's consistent reads are never stale, and only what changes something can do so later.
fn fits(way: Way, asked: &Asked, received: &Received) -> bool {
    let consistent = || received.body.windows(16).any(|part| part == b"\"ConsistentRead\"");
    match (way, asked.reads()) {
        (Way::Old, reads) => reads && !consistent(),
        (Way::Stalled, reads) => !reads,
        (_, _) => true,
    }
}

fn key(asked: &Asked, received: &Received) -> (Asked, String, Vec<u8>) {
    (asked.clone(), received.path.clone(), received.body.clone())
}

/// Without its last bytes, of which the head still speaks.
fn cut(mut whole: Vec<u8>) -> Vec<u8> {
    let head = whole.windows(4).position(|part| part == b"\r\n\r\n").map_or(0, |end| end + 4);
    whole.truncate(head + (whole.len() - head) / 2);
    whole
}

/// The answer, changed to end its connection; `None` where the connection ended without one.
pub fn exchange(port: u16, received: &Received) -> std::io::Result<Option<Vec<u8>>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut head = format!("{} {} HTTP/1.0\r\n", received.method, received.path);
    for (name, value) in received.headers.iter().filter(|(name, _)| !is_of_connection(name)) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", received.body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(&received.body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let Some(end) = answer.windows(4).position(|part| part == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end + 4..]);
    let kept = head.split("\r\n").filter(|line| !is_of_connection(line.split(':').next().unwrap_or_default()));
    let mut whole = kept.collect::<Vec<_>>().join("\r\n").replacen("HTTP/1.0", "HTTP/1.1", 1);
    whole.push_str(&format!("\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()));
    Ok(Some([whole.as_bytes(), body].concat()))
}

/// What is said anew on each side.
fn is_of_connection(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["connection", "keep-alive", "content-length", "transfer-encoding", "expect"].contains(&name.as_str())
}
