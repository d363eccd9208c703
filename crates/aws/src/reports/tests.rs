use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use aws_sdk_lambda::config::{Credentials, Region};

use super::*;
use crate::AwsConfig;
use crate::testing::scripted_with;

fn reports(bucket: &str, url: Option<&str>) -> ReportsConfig {
    ReportsConfig { bucket: bucket.to_owned(), prefix: "coalmine".to_owned(), url: url.map(str::to_owned) }
}

/// Nothing of AWS is asked but what is at `endpoint`.
fn aws(reports: Option<ReportsConfig>, region: Option<&str>, endpoint: Option<&str>) -> Aws {
    let (mut aws, _) = scripted_with(AwsConfig { reports, ..AwsConfig::default() }, []);
    let mut sdk = aws.sdk.into_builder().region(region.map(|region| Region::new(region.to_owned())));
    sdk.set_endpoint_url(endpoint.map(str::to_owned));
    aws.sdk = sdk.build();
    aws
}

/// A request as it came: its first line, its headers in lower case, its body.
#[derive(Debug)]
struct Came {
    line: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Came {
    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

/// Answers every request so.
fn serve(status: &'static str, headers: &'static str, body: String) -> (String, Receiver<Came>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, came) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_owned()),
                }
            }
            let pairs = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
            let headers_sent: Vec<_> =
                pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
            let mut request = Came { line: lines[0].clone(), headers: headers_sent, body: String::new() };
            let mut sent = vec![0; request.header("content-length").parse().unwrap()];
            reader.read_exact(&mut sent).unwrap();
            request.body = String::from_utf8(sent).unwrap();
            let head =
                format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
            reader.get_mut().write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).unwrap();
            // Nobody listens any more when a test is over.
            if sender.send(request).is_err() {
                return;
            }
        }
    });
    (endpoint, came)
}

/// From AWS' documentation of Amazon S3, "Signature Calculations for the Authorization Header", its example of a PUT.
#[test]
fn a_put_is_signed_as_the_documents_of_s3_have_it() {
    let (id, key) = ("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let identity = Credentials::new(id, key, None, None, "tests").into();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_369_353_600);
    let signer = Signer { identity: &identity, region: "us-east-1", at };
    let headers = [("date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")];
    let url = "https://examplebucket.s3.amazonaws.com/test%24file.text";
    let request = signer.put(url, &headers, "Welcome to Amazon S3.".to_owned()).unwrap();
    let header = |name: &str| request.headers().get(name).unwrap();
    let digest = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    assert_eq!((header("x-amz-date"), header("x-amz-content-sha256")), ("20130524T000000Z", digest));
    let signature = "Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd";
    let signed = "SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class";
    let expected =
        format!("AWS4-HMAC-SHA256 Credential={id}/20130524/us-east-1/s3/aws4_request, {signed}, {signature}");
    assert_eq!(header("authorization"), expected);
}

#[test]
fn the_address_of_a_report_is_known_before_there_is_one() {
    let cloudfront = Some("https://reports.example.com/releases/");
    for (bucket, url, region, endpoint, link) in [
        ("shop", None, Some("eu-west-1"), None, Some("https://shop.s3.eu-west-1.amazonaws.com/coalmine/")),
        ("shop", None, Some("cn-north-1"), None, Some("https://shop.s3.cn-north-1.amazonaws.com.cn/coalmine/")),
        ("a.shop", None, Some("eu-west-1"), None, Some("https://s3.eu-west-1.amazonaws.com/a.shop/coalmine/")),
        ("shop", cloudfront, Some("eu-west-1"), None, Some("https://reports.example.com/releases/")),
        ("shop", cloudfront, None, None, Some("https://reports.example.com/releases/")),
        ("shop", None, None, None, None),
        ("shop", None, Some("eu-west-1"), Some("http://127.0.0.1:4566/"), Some("http://127.0.0.1:4566/shop/coalmine/")),
    ] {
        let aws = aws(Some(reports(bucket, url)), region, endpoint);
        let expected = link.map(|link| format!("{link}checkout-42.html"));
        assert_eq!(aws.report_link("checkout-42"), expected, "{bucket} {region:?} {endpoint:?}");
    }
    assert_eq!(aws(None, Some("eu-west-1"), None).report_link("checkout-42"), None);
}

/// A name is a file's name and nothing else, and no two of them are the same one.
#[test]
fn hostile_names_lead_nowhere_else() {
    let aws = aws(Some(reports("shop", None)), Some("eu-west-1"), None);
    let base = "https://shop.s3.eu-west-1.amazonaws.com/coalmine/";
    for (rollout, file) in [
        ("checkout-42", "checkout-42.html"),
        ("a.b_c~d", "a.b_c~d.html"),
        ("..", "...html"),
        ("../../secret", "..%252F..%252Fsecret.html"),
        ("a?x=1#y&z", "a%253Fx%253D1%2523y%2526z.html"),
        ("a%2Fb", "a%25252Fb.html"),
        ("a/b", "a%252Fb.html"),
        ("\u{1b}[2J\r\n<script>\"'", "%251B%255B2J%250D%250A%253Cscript%253E%2522%2527.html"),
        ("\u{202e}é", "%25E2%2580%25AE%25C3%25A9.html"),
    ] {
        assert_eq!(aws.report_link(rollout).unwrap(), format!("{base}{file}"));
    }
}

#[tokio::test]
async fn a_report_is_put_where_its_link_says() {
    let (endpoint, came) = serve("200 OK", "", String::new());
    let aws = aws(Some(reports("shop", None)), Some("eu-west-1"), Some(&endpoint));
    let page = "<!DOCTYPE html>\n<p>caf\u{e9}</p>";
    for rollout in ["checkout-42", "../x y"] {
        let link = aws.put_report(rollout, page.to_owned()).await.unwrap();
        assert_eq!(Some(&link), aws.report_link(rollout).as_ref());
        let came = came.recv().unwrap();
        assert_eq!(format!("{endpoint}{}", came.line.split(' ').nth(1).unwrap()), link);
        assert!(came.line.starts_with("PUT /shop/coalmine/"), "{}", came.line);
        assert_eq!((came.body.as_str(), came.header("content-type")), (page, "text/html; charset=utf-8"));
        // Of these bytes, by Python's zlib.
        assert_eq!(came.header("x-amz-checksum-crc32"), "/E3Z6A==");
        let signed = "SignedHeaders=content-type;host;x-amz-checksum-crc32;x-amz-content-sha256;x-amz-date, ";
        let authorization = came.header("authorization");
        assert!(
            authorization.contains("/eu-west-1/s3/aws4_request, ") && authorization.contains(signed),
            "{authorization}"
        );
    }
    assert_eq!(aws.take_calls().get("PutObject"), Some(&2));
}

#[tokio::test]
async fn every_way_to_be_refused_is_told_as_a_sentence() {
    let error = |code: &str, message: &str| {
        let more = "<RequestId>1</RequestId><StringToSign>AWS4-HMAC-SHA256 Unmistakable</StringToSign>";
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
        )
    };
    let needs = "(it needs s3:PutObject below the stack's parameters ReportsBucket and ReportsPrefix)";
    let denied = format!("PutObject was denied: AccessDenied: Access Denied {needs}");
    let unsigned = format!("PutObject was denied: SignatureDoesNotMatch: the signature was refused {needs}");
    let by_key = "not authorized to perform: kms:GenerateDataKey";
    for (status, headers, body, sentence) in [
        ("403 Forbidden", "", error("AccessDenied", "Access Denied"), denied.as_str()),
        (
            "403 Forbidden",
            "",
            error("AccessDenied", by_key),
            "PutObject was denied: AccessDenied: not authorized to perform: kms:GenerateDataKey",
        ),
        ("403 Forbidden", "", error("SignatureDoesNotMatch", "x-amz-security-token:Unmistakable"), unsigned.as_str()),
        (
            "404 Not Found",
            "",
            error("NoSuchBucket", "The specified bucket &lt;shop&gt; does not exist"),
            "PutObject was rejected: NoSuchBucket: The specified bucket <shop> does not exist",
        ),
        (
            "301 Moved Permanently",
            "x-amz-bucket-region: us-east-2\r\n",
            error("PermanentRedirect", "The bucket must be addressed using the specified endpoint."),
            "PutObject was rejected: PermanentRedirect: The bucket must be addressed using the specified endpoint. (the bucket is in us-east-2)",
        ),
        (
            "503 Slow Down",
            "",
            error("SlowDown", "Reduce your rate."),
            "PutObject was throttled: SlowDown: Reduce your rate.",
        ),
        ("500 Internal Server Error", "", String::new(), "PutObject failed: answered 500"),
        ("400 Bad Request", "", "<Error><Code>".to_owned(), "PutObject was rejected: answered 400"),
        ("400 Bad Request", "", "\u{1b}[2J{}".repeat(10_000), "PutObject was rejected: answered 400"),
    ] {
        let (endpoint, _came) = serve(status, headers, body);
        let aws = aws(Some(reports("shop", None)), Some("eu-west-1"), Some(&endpoint));
        let fault = aws.put_report("checkout-42", "<p>".to_owned()).await.unwrap_err();
        assert_eq!(fault.to_string(), sentence);
    }
    let endless = error("Odd", &"\u{1b}".repeat(3_000));
    let (endpoint, _came) = serve("400 Bad Request", "", endless);
    let aws = aws(Some(reports("shop", None)), Some("eu-west-1"), Some(&endpoint));
    let told = aws.put_report("checkout-42", "<p>".to_owned()).await.unwrap_err().to_string();
    assert!(told.len() < 10_000 && !told.contains('\u{1b}'), "{told}");
}

#[tokio::test]
async fn what_is_missing_is_named_before_anything_is_sent() {
    for (reports_config, region, sentence) in [
        (None, Some("eu-west-1"), "PutObject was rejected: there is no bucket for reports"),
        (Some(reports("shop", None)), None, "PutObject was rejected: the region is not known"),
    ] {
        let fault = aws(reports_config, region, None).put_report("a", String::new()).await.unwrap_err();
        assert_eq!(fault.to_string(), sentence);
    }
    // Nobody listens there.
    let nowhere = aws(Some(reports("shop", None)), Some("eu-west-1"), Some("http://127.0.0.1:1"));
    let fault = nowhere.put_report("a", String::new()).await.unwrap_err();
    assert_eq!((fault.operation, fault.kind), ("PutObject", FaultKind::Failed));
}
