//! Pages as a browser shows them: nothing asked, nothing complained of, everything drawn and named, readable in light and in
//! dark, on a phone, on paper and by keyboard.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{browser, coalmine, python, support};

/// What releases look like, and one whose names were made to hurt.
const SCENARIOS: [&str; 4] = ["promoted", "rolled-back", "undecided", "tour"];

fn folder() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pages-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for pages");
    folder
}

fn simulated(folder: &Path, name: &str) -> PathBuf {
    let page = folder.join(format!("{name}.html"));
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pictures").join(format!("{name}.yaml"));
    let mut command = Command::new(coalmine());
    command.arg("simulate");
    // How often it would go well is counted elsewhere.
    if name == "tour" {
        command.args(["--reruns", "1"])
    } else {
        command.arg(scenario)
    };
    command.arg("--json").arg("--report").arg(&page);
    let output = command.output().expect("coalmine runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    page
}

/// Names that would leave their place, and run.
fn hostile(folder: &Path) -> PathBuf {
    let (recording, spec) = (folder.join("hostile.jsonl"), folder.join("spec.yaml"));
    let spec_text = "coalmine: v1\ntarget: { lambda: { function: checkout, alias: live } }\nchecks: [errors: {}]\n";
    std::fs::write(&spec, spec_text).expect("a spec");
    let name =
        "</title><script>console.log(1)</script><img src=x onerror=console.log(2)>\"'><svg onload=console.log(3)>";
    let arm = json!({ "requests": 1000, "errors": 4 });
    let lines: Vec<String> = (0..20)
        .map(|minute| {
            json!({ "case": name, "minute": minute, "weight": "50%", "baseline": arm, "canary": arm }).to_string()
        })
        .collect();
    std::fs::write(&recording, lines.join("\n") + "\n").expect("a recording");
    let page = folder.join("hostile.html");
    let mut command = Command::new(coalmine());
    command.args(["analyze", "--json", "--spec"]).arg(&spec).arg(&recording).arg("--report").arg(&page);
    command.output().expect("coalmine runs");
    page
}

/// What the browser says of each page.
fn looked_at(pages: &[PathBuf]) -> Vec<Value> {
    let output = Command::new(python()).arg(support("browser.py")).arg("look").arg(browser()).args(pages).output();
    let output = output.expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let told: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("a document a line")).collect();
    assert_eq!(told.len(), pages.len());
    told
}

fn list<'a>(told: &'a Value, field: &str) -> &'a Vec<Value> {
    told[field].as_array().unwrap_or_else(|| panic!("no {field}"))
}

#[test]
fn pages_are_readable_wherever_they_are_opened() {
    let folder = folder();
    let mut pages: Vec<PathBuf> = SCENARIOS.iter().map(|name| simulated(&folder, name)).collect();
    pages.push(hostile(&folder));
    for told in looked_at(&pages) {
        let page = told["page"].as_str().unwrap_or_default();
        let requests = list(&told, "requests");
        assert!(requests.len() == 1 && requests[0].as_str().is_some_and(|url| url.ends_with(".html")), "{requests:?}");
        assert_eq!(list(&told, "said").len(), 0, "{page}: {}", told["said"]);
        let views = ["views", "opened_views"].map(|of| told[of].as_object().expect("views"));
        assert!(views[0].len() == 4 && views[1].len() == 2);
        for (view, seen) in views.into_iter().flatten() {
            let overflow = seen["overflow"].as_f64().expect("a width");
            assert!(overflow <= 0.0, "{page}, {view}: {overflow} pixels to the side");
            assert_eq!(list(seen, "contrast").len(), 0, "{page}, {view}: {}", seen["contrast"]);
            assert_eq!(list(seen, "small").len(), 0, "{page}, {view}: {}", seen["small"]);
            assert!(list(seen, "charts").len() >= 3, "{page}, {view}");
            for chart in list(seen, "charts") {
                let of = |field: &str| chart[field].as_f64().expect("a number");
                let named = chart["name"].as_str().is_some_and(|name| name.len() > 3);
                assert!(named && of("width") >= 30.0 && of("height") >= 10.0 && of("drawn") >= 1.0, "{page}: {chart}");
            }
        }
        // Whatever can be opened is, by nothing but the keyboard.
        assert_eq!(told["opened"], true, "{page}: {}", told["focused"]);
        assert_eq!(list(&told, "focused").len() as u64, told["focusable"].as_u64().expect("a number"), "{page}");
        assert_eq!(told["on_paper"], true, "{page}: numbers and spec are printed though they are closed");
        assert_eq!(told["printed"], json!({ "page": "rgb(255, 255, 255)", "ink": "rgb(0, 0, 0)" }), "{page} in dark");
        for role in ["image", "table", "heading"] {
            let names = list(&told["roles"], role);
            assert!(
                names.iter().all(|name| name.as_str().is_some_and(|name| !name.is_empty())),
                "{page}: {role} {names:?}"
            );
        }
    }
    std::fs::remove_dir_all(folder).expect("the pages are gone");
}
