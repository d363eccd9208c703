//! What must not be in the log: the real `bootstrap` at its most verbose, beside an AWS that refuses everything.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const KEY_ID: &str = "AKIDUNMISTAKABLE";
const SECRET: &str = "UnmistakableSecretAccessKey";
const TOKEN: &str = "UnmistakableSessionToken";
/// In the spec's own tests, and in the spec for deployments.
const PAYLOAD: &str = "UnmistakablePassword";
const HEADER: &str = "UnmistakableBearer";
const DEPLOYMENT: &str = "UnmistakableDeployment";
/// In what AWS answers.
const COOKIE: &str = "UnmistakableCookie";

/// What AWS says to everything.
#[derive(Clone, Copy, Debug)]
enum Refuses {
    ByPermission,
    /// Quotes what it has signed itself: every header, with its value.
    BySignature,
}

/// What came, with its headers; and whether it was answered.
struct Came {
    head: String,
    body: String,
}

fn came(stream: &TcpStream) -> Came {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("as long as it says");
    Came { head, body: String::from_utf8_lossy(&body).into_owned() }
}

fn answer(mut stream: TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}");
}

fn on_lambda() -> serde_json::Value {
    serde_json::json!({
        "coalmine": "v1", "name": "a", "version": "42",
        "target": { "lambda": { "function": "checkout", "alias": "live" } },
        "tests": [{ "invoke": { "payload": { "password": PAYLOAD } } }],
    })
}

fn on_alb() -> serde_json::Value {
    let rule = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/shop/50dc6c495c0c9188/\
                0467ef3c8400ae65/9683b2d02a6cabee";
    serde_json::json!({
        "coalmine": "v1", "name": "a",
        "target": { "alb": { "rule": rule, "targetGroups": ["blue", "green"] } },
        "tests": [{ "http": { "url": "https://shop.example.com/", "headers": { "Authorization": format!("Bearer {HEADER}") } } }],
    })
}

/// An answer as this request's protocol has it.
fn refusal(refuses: Refuses, came: &Came) -> (&'static str, String) {
    let (code, message) = match refuses {
        Refuses::ByPermission => ("AccessDeniedException", "because".to_owned()),
        Refuses::BySignature => {
            let signed = came.head.replace("\r\n", " ").replace('"', "'");
            ("InvalidSignatureException", format!("The Canonical String for this request should have been '{signed}'"))
        }
    };
    if came.head.to_ascii_lowercase().contains("x-www-form-urlencoded") {
        let message = message.replace(['&', '<'], "");
        let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        return (code, format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"));
    }
    (code, serde_json::json!({ "__type": code, "message": message }).to_string())
}

/// Answers one event to the runtime, and 403 to all of AWS. Sends what came.
fn serve(listener: &TcpListener, event: &str, refuses: Refuses, seen: &mpsc::Sender<Came>) {
    let mut given = false;
    for stream in listener.incoming().flatten() {
        let came = came(&stream);
        if came.head.starts_with("GET /2018-06-01/runtime/invocation/next") {
            if given {
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_secs(60));
                    drop(stream);
                });
                continue;
            }
            given = true;
            let headers = "lambda-runtime-aws-request-id: 1\r\nlambda-runtime-deadline-ms: 99999999999999\r\n\
                           lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-west-1:1:function:c\r\n";
            answer(stream, "200 OK", headers, event);
        } else if came.head.starts_with("POST /2018-06-01/runtime/") {
            answer(stream, "202 Accepted", "", "{}");
        } else {
            let (code, body) = refusal(refuses, &came);
            let headers =
                format!("x-amzn-errortype: {code}\r\nset-cookie: {COOKIE}\r\nx-amz-security-token: {COOKIE}\r\n");
            answer(stream, "403 Forbidden", &headers, &body);
        }
        if seen.send(came).is_err() {
            return;
        }
    }
}

#[test]
fn the_most_verbose_log_has_no_secret() {
    for (spec, refuses, says) in [
        (on_lambda(), Refuses::ByPermission, "was denied"),
        (on_lambda(), Refuses::BySignature, "InvalidSignatureException"),
        (on_alb(), Refuses::ByPermission, "was denied"),
        (on_alb(), Refuses::BySignature, "InvalidSignatureException"),
    ] {
        let event = serde_json::json!({ "command": "start", "by": "ada", "spec": spec }).to_string();
        tells_no_secret(event, refuses, says);
    }
}

/// A start that is refused, which says so in these words.
fn tells_no_secret(event: String, refuses: Refuses, says: &str) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let address = listener.local_addr().expect("it has an address").to_string();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || serve(&listener, &event, refuses, &sender));
    let mut function = Command::new(env!("CARGO_BIN_EXE_bootstrap"))
        .env_clear()
        .envs([
            ("_HANDLER", "command"),
            ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "coalmine"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_ENDPOINT_URL", &format!("http://{address}")),
            ("AWS_REGION", "eu-west-1"),
            ("AWS_ACCESS_KEY_ID", KEY_ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_SESSION_TOKEN", TOKEN),
            ("COALMINE_TABLE", "coalmine"),
            ("COALMINE_LOG", "trace"),
            ("RUST_LOG", "trace"),
            ("COALMINE_SPEC", DEPLOYMENT),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut signed = 0;
    let answered = loop {
        let came = receiver.recv_timeout(Duration::from_secs(60)).expect("it answers");
        signed += usize::from(came.head.contains("Signature=") && came.head.contains(TOKEN));
        if came.head.starts_with("POST /2018-06-01/runtime/invocation") {
            break came.body;
        }
    };
    function.kill().expect("it runs");
    let output = function.wait_with_output().expect("it ended");
    let log = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(signed > 0, "AWS was asked, with a signature");
    assert!(answered.contains(says) && log.contains("command refused"), "{answered}\n{log}");
    for secret in [KEY_ID, SECRET, TOKEN, PAYLOAD, HEADER, DEPLOYMENT, COOKIE, "Signature=", "AWS4-HMAC"] {
        assert!(!log.contains(secret) && !answered.contains(secret), "{secret} is told:\n{answered}\n{log}");
    }
}
