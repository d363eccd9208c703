//! A load balancer's data plane: real requests, sent to one of two servers as the weights say, and counted as CloudWatch
//! would see them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::dice::Dice;
use super::http;
use super::serve::{Answer, Server};
use super::stage::Served;

#[derive(Default)]
struct Counter {
    requests: AtomicU64,
    errors: AtomicU64,
}

struct Plane {
    /// Of the old and the new group.
    backends: [Server; 2],
    counters: [Counter; 2],
    /// The new group's share.
    share: Mutex<f64>,
    dice: Mutex<Dice>,
}

pub struct WeightedProxy {
    plane: Arc<Plane>,
    server: Server,
}

impl WeightedProxy {
    /// Before servers of which one and the other fail so often.
    pub fn start(fails: [f64; 2], seed: u64) -> Self {
        let mut number = seed;
        let backends = fails.map(|fails| {
            number += 1;
            let dice = Mutex::new(Dice::new(number));
            Server::start(move |_| {
                let failed = dice.lock().expect("no server panicked").hits(fails);
                answer(if failed { 500 } else { 200 })
            })
        });
        let (share, dice) = (Mutex::new(0.0), Mutex::new(Dice::new(seed)));
        let plane = Arc::new(Plane { backends, counters: <[Counter; 2]>::default(), share, dice });
        let routing = Arc::clone(&plane);
        let server = Server::start(move |received| answer(routing.forward(&received.path)));
        Self { plane, server }
    }

    pub fn route(&self, share: f64) {
        *self.plane.share.lock().expect("no request panicked") = share;
    }

    /// Sends so many requests from several clients at once; how many of them got an error.
    pub fn load(&self, requests: usize) -> usize {
        const CLIENTS: usize = 8;
        assert!(requests.is_multiple_of(CLIENTS), "every client sends as many");
        let port = self.server.port();
        let client = || (0..requests / CLIENTS).filter(|_| http::get(port, "/shop/cart") >= 500).count();
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
            clients.into_iter().map(|client| client.join().expect("every request is answered")).sum()
        })
    }

    /// What the old and the new group served since this was last asked.
    pub fn take_counts(&self) -> [Served; 2] {
        self.plane.counters.each_ref().map(|counter| Served {
            requests: counter.requests.swap(0, Ordering::Relaxed),
            errors: counter.errors.swap(0, Ordering::Relaxed),
        })
    }
}

impl Plane {
    fn forward(&self, path: &str) -> u16 {
        let share = *self.share.lock().expect("no request panicked");
        let group = usize::from(self.dice.lock().expect("no request panicked").hits(share));
        let status = http::get(self.backends[group].port(), path);
        self.counters[group].requests.fetch_add(1, Ordering::Relaxed);
        self.counters[group].errors.fetch_add(u64::from(status >= 500), Ordering::Relaxed);
        status
    }
}

fn answer(status: u16) -> Answer {
    Answer::Of { status, content_type: "text/plain", body: String::new() }
}
