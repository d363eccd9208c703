use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use coalmine_core::ports::TestRunner;
use coalmine_core::spec::Test;

use super::*;
use crate::testing::{scripted, target, version};

/// Answers every connection so, and passes on what was asked.
fn serve(answer: impl Fn(&mut TcpStream) + Send + 'static) -> (String, Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/health?deep=1", listener.local_addr().unwrap());
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(count) if count > 0 => request.extend_from_slice(&buffer[..count]),
                    Ok(_) | Err(_) => break,
                }
            }
            answer(&mut stream);
            // Nobody listens any more when a test is over.
            if sender.send(String::from_utf8(request).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, asked)
}

fn saying(answer: &'static str) -> impl Fn(&mut TcpStream) + Send + 'static {
    move |stream| stream.write_all(answer.as_bytes()).unwrap()
}

fn test(url: &str, headers: &[(&str, &str)], times: u32) -> Test {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Test::Http(HttpTest { url: url.to_owned(), headers, expect: 200, times })
}

async fn run(test: &Test) -> Result<TestOutcome, Fault> {
    let (aws, _) = scripted([]);
    aws.run(&target(), &version(42), test).await
}

#[tokio::test]
async fn the_status_decides_and_the_message_says_what_was_expected_and_what_came() {
    for (answer, failure) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine", None),
        // It breaks off, and nobody reads it.
        ("HTTP/1.1 200 OK\r\ncontent-length: 400\r\nconnection: close\r\n\r\nfine", None),
        (
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 10\r\nconnection: close\r\n\r\nno target\n",
            Some(" answered 503, 200 was expected: no target"),
        ),
        ("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", Some(" answered 204, 200 was expected")),
        (
            "HTTP/1.1 302 Found\r\nlocation: https://shop.example/login\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            Some(" answered 302 (a redirect to https://shop.example/login, which is not followed), 200 was expected"),
        ),
    ] {
        let (url, asked) = serve(saying(answer));
        let outcome = run(&test(&url, &[], 1)).await.unwrap();
        let expected = failure.map_or(TestOutcome::Passed, |text| TestOutcome::Failed(format!("{url}{text}")));
        assert_eq!(outcome, expected);
        assert!(asked.recv().unwrap().starts_with("GET /health?deep=1 HTTP/1.1\r\n"));
        assert!(asked.try_recv().is_err(), "asked once more");
    }
}

#[tokio::test]
async fn headers_are_sent_as_they_stand_in_the_spec() {
    let (url, asked) = serve(saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
    run(&test(&url, &[("X-Coalmine", "a b"), ("Host", "shop.example")], 1)).await.unwrap();
    let asked = asked.recv().unwrap();
    for header in ["x-coalmine: a b", "host: shop.example", "user-agent: coalmine"] {
        assert_eq!(asked.lines().filter(|line| line.eq_ignore_ascii_case(header)).count(), 1, "{asked}");
    }
    assert_eq!(asked.matches("host:").count() + asked.matches("Host:").count(), 1, "{asked}");
}

#[tokio::test]
async fn one_bad_answer_among_many_fails_the_test() {
    let count = std::sync::atomic::AtomicU32::new(0);
    let (url, _asked) = serve(move |stream| {
        let seventh = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 6;
        let status = if seventh { "500 Internal Server Error" } else { "200 OK" };
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    });
    let outcome = run(&test(&url, &[], 10)).await.unwrap();
    assert_eq!(outcome, TestOutcome::Failed(format!("{url} answered 500, 200 was expected")));
}

#[tokio::test]
async fn an_answer_without_end_is_read_so_far_and_no_further() {
    let (url, _asked) = serve(|stream| {
        let head = "HTTP/1.1 500 Internal Server Error\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        // Ends when the other side has enough.
        while stream.write_all(&[b'x'; 1024]).is_ok() {}
    });
    let began = Instant::now();
    let TestOutcome::Failed(said) = run(&test(&url, &[], 1)).await.unwrap() else { panic!("passed") };
    assert!(said.ends_with(&format!("expected: {} ...", "x".repeat(300))), "{said}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn whoever_does_not_answer_has_not_passed_and_not_failed() {
    let nobody = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    let fault = run(&test(&format!("http://{nobody}/"), &[], 1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Failed);
    let said = fault.to_string();
    assert!(said.starts_with(&format!("GET failed: http://{nobody}/: ")) && said.contains("refused"), "{said}");

    let (url, _asked) = serve(|_| {});
    let fault = run(&test(&url, &[], 1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Failed);

    let fault = run(&test("http://", &[], 1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Rejected);
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_waited_for_no_longer_than_a_test_may_take() {
    // The system takes the connection; nobody ever answers.
    let silent = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let fault = run(&test(&url, &[], 1)).await.unwrap_err();
    assert_eq!(fault.to_string(), format!("GET timed out: {url}: no answer within 15 s"));
}
