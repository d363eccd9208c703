//! Kayenta's own test vectors, read from where they lie: they are not this project's to copy.

use std::path::PathBuf;

use serde_json::Value;

use super::*;

/// `None`, and a note on standard error, where the vectors are absent.
fn vectors() -> Option<Value> {
    let named = std::env::var_os("COALMINE_VECTORS").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let path = named.as_ref()?.join("kayenta.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_str(&text).unwrap())
}

/// Not `eprintln!`: the output of a test that passes is not shown.
fn skipped() {
    use std::io::Write;
    let note = b"SKIPPED, Kayenta's vectors: COALMINE_VECTORS does not name the folder with kayenta.json\n";
    std::io::stderr().write_all(note).unwrap();
}

#[test]
fn kayentas_own_vectors_are_reproduced() {
    let Some(file) = vectors() else { return skipped() };
    let (mut checked, mut configuration) = (0, 0);
    for vector in file["vectors"].as_array().unwrap() {
        let id = vector["id"].as_str().unwrap();
        match vector["kind"].as_str().unwrap() {
            "classify" => classified(id, vector),
            "outlier_detect" | "outlier_remove" | "nan_transform" => prepared(id, vector),
            "summary" | "percentile_r7" => described(id, vector),
            "mean_ratio" | "cohen_d" | "cles" => effect(id, vector),
            "score" => scored(id, vector),
            "wilcoxon_diff" | "normal_quantile" | "mann_whitney_ci" | "mann_whitney_intermediate" => ranked(id, vector),
            "gaussian_noise_property" | "random_normal_property" => noise(id, vector),
            // How Kayenta finds settings in its configuration is no part of its rule.
            "config_lookup" => configuration += 1,
            kind => panic!("{id}: unknown kind {kind}"),
        }
        checked += 1;
    }
    assert_eq!((checked - configuration, configuration), (94, 22));
}

/// What users posted because it surprised them: the rule gives what Kayenta gave.
#[test]
fn cases_from_the_field_come_out_as_they_did_there() {
    let Some(file) = vectors() else { return skipped() };
    for case in file["field_cases"].as_array().unwrap() {
        let verdict = classify(&numbers(&case["experiment"]), &numbers(&case["control"]), &config(&case["parameters"]));
        assert_eq!(name(verdict.class), case["upstream_verdict"], "{}", case["id"]);
    }
}

fn classified(id: &str, vector: &Value) {
    let (canary, baseline) = (numbers(&vector["experiment"]), numbers(&vector["control"]));
    let (parameters, expected) = (&vector["parameters"], &vector["expected"]);
    let verdict = if parameters["classifier"] == "MeanInequality" {
        Verdict { class: mean_inequality(&canary, &baseline), critical: false, deviation: 1.0 }
    } else {
        classify(&canary, &baseline, &config(parameters))
    };
    if let Some(class) = expected.get("classification") {
        assert_eq!(name(verdict.class), class, "{id}: {verdict:?}");
    } else {
        assert_eq!(expected["reason_non_empty"], true, "{id}");
        assert_ne!(verdict.class, Class::Pass, "{id}: a reason is given");
    }
    if let Some(critical) = expected.get("critical") {
        assert_eq!(verdict.critical, critical.as_bool().unwrap(), "{id}: {verdict:?}");
    }
    if let Some(deviation) = expected.get("deviation") {
        close(id, verdict.deviation, number(deviation), 1e-12);
    }
}

fn config(parameters: &Value) -> Config {
    let pair = |of: &str, down: &str, up: &str| match parameters.get(of) {
        Some(limits) => (number(&limits[down]), number(&limits[up])),
        None => (1.0, 1.0),
    };
    let direction = parameters["direction"].as_str().unwrap();
    Config {
        tolerance: number(&parameters["tolerance"]),
        confidence: number(&parameters["conf_level"]),
        allowed: pair("effect_size_thresholds", "allowed_decrease", "allowed_increase"),
        critical: pair("critical_thresholds", "critical_decrease", "critical_increase"),
        cles: parameters["effect_size_measure"] == "cles",
        increase: direction != "decrease",
        decrease: direction != "increase",
        is_critical: parameters["is_critical_metric"].as_bool().unwrap(),
        data_required: parameters["is_data_required"].as_bool().unwrap(),
        replace_nan: parameters["nan_strategy"] == "replace",
    }
}

fn name(class: Class) -> &'static str {
    match class {
        Class::Pass => "Pass",
        Class::High => "High",
        Class::Low => "Low",
        Class::NoData => "Nodata",
        Class::NoDataFail => "NodataFailMetric",
        Class::Error => "Error",
    }
}

fn prepared(id: &str, vector: &Value) {
    let input = numbers(&vector["input"]);
    let parameters = &vector["parameters"];
    if let Some(strategy) = parameters.get("strategy") {
        assert_eq!(without_nan(&input, strategy == "replace"), numbers(&vector["expected"]["values"]), "{id}");
        return;
    }
    let outlier = |x: f64| {
        let (middle, from, to) = if parameters["detector"] == "ksigma" {
            let reach = number(&parameters["k"]) * deviation(&input);
            (mean(&input), reach, reach)
        } else {
            let (low, high) = (percentile(&input, 25.0), percentile(&input, 75.0));
            let reach = number(&parameters["factor"]) * (high - low);
            (0.0, reach - low, reach + high)
        };
        x > middle + to || x < middle - from
    };
    let found: Vec<bool> = input.iter().map(|x| outlier(*x)).collect();
    if vector["kind"] == "outlier_detect" {
        let expected: Vec<bool> =
            vector["expected"]["is_outlier"].as_array().unwrap().iter().map(|flag| flag.as_bool().unwrap()).collect();
        assert_eq!(found, expected, "{id}");
    } else {
        let kept: Vec<f64> = input.iter().zip(found).filter(|(_, out)| !out).map(|(x, _)| *x).collect();
        assert_eq!(kept, numbers(&vector["expected"]["values"]), "{id}");
    }
}

fn described(id: &str, vector: &Value) {
    let (input, expected) = (numbers(&vector["input"]), &vector["expected"]);
    if vector["kind"] == "percentile_r7" {
        return close(id, percentile(&input, number(&vector["parameters"]["p"])), number(&expected["value"]), 1e-4);
    }
    let smallest = input.iter().copied().reduce(f64::min).unwrap_or(0.0);
    let largest = input.iter().copied().reduce(f64::max).unwrap_or(0.0);
    close(id, smallest, number(&expected["min"]), 0.0);
    close(id, largest, number(&expected["max"]), 0.0);
    close(id, mean(&input), number(&expected["mean"]), 1e-12);
    close(id, deviation(&input), number(&expected["std"]), 1e-4);
    assert_eq!(input.len() as u64, expected["count"].as_u64().unwrap(), "{id}");
}

/// Linear between order statistics (Hyndman and Fan's seventh).
fn percentile(values: &[f64], percent: f64) -> f64 {
    let sorted = sorted(values);
    if sorted.is_empty() {
        return 0.0;
    }
    let at = (sorted.len() - 1) as f64 * percent / 100.0;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (at - at.floor()) * (sorted[above] - sorted[below])
}

fn effect(id: &str, vector: &Value) {
    let (canary, baseline) = (numbers(&vector["experiment"]), numbers(&vector["control"]));
    let ours = match vector["kind"].as_str().unwrap() {
        "mean_ratio" => mean_ratio(&canary, &baseline),
        "cohen_d" => cohen_d(&canary, &baseline),
        _ => cles(&canary, &baseline),
    };
    let expected = &vector["expected"];
    close(id, ours, number(&expected["value"]), number(&expected["abs_tol"]).max(1e-12));
}

/// The share of metrics that pass, by groups with weights; a critical metric that does not pass makes it 0.
fn scored(id: &str, vector: &Value) {
    let metrics = vector["metrics"].as_array().unwrap();
    let weights = vector["parameters"]["group_weights"].as_object().unwrap();
    let mut groups = std::collections::BTreeMap::<&str, (f64, f64)>::new();
    for metric in metrics {
        let class = metric["classification"].as_str().unwrap();
        for group in metric["groups"].as_array().unwrap() {
            let (passed, all) = groups.entry(group.as_str().unwrap()).or_default();
            *passed += f64::from(u8::from(class == "Pass"));
            *all += f64::from(u8::from(matches!(class, "Pass" | "High" | "Low" | "NodataFailMetric")));
        }
    }
    let score = |(passed, all): (f64, f64)| if all > 0.0 { 100.0 * passed / all } else { 0.0 };
    let known: f64 = weights.values().map(number).sum();
    let unweighted = groups.iter().filter(|(name, (_, all))| !weights.contains_key(**name) && *all > 0.0).count();
    let weight = |name: &str| weights.get(name).map_or((100.0 - known) / unweighted as f64, number) / 100.0;
    let with_data = groups.iter().filter(|(_, (_, all))| *all > 0.0);
    let summary: f64 = with_data.map(|(name, counts)| score(*counts) * weight(name)).sum();
    let critical = metrics.iter().any(|metric| metric["critical"] == true && metric["classification"] != "Pass");
    close(id, if critical { 0.0 } else { summary }, number(&vector["expected"]["summary_score"]), 0.01);
    if let Some(expected) = vector["expected"].get("group_scores_sorted") {
        assert_eq!(
            sorted(&groups.values().map(|counts| score(*counts)).collect::<Vec<_>>()),
            numbers(expected),
            "{id}"
        );
    }
}

fn ranked(id: &str, vector: &Value) {
    let (parameters, expected) = (&vector["parameters"], &vector["expected"]);
    if vector["kind"] == "normal_quantile" {
        return close(id, normal_quantile(number(&parameters["p"])), number(&expected["value"]), 1e-6);
    }
    let (canary, baseline) = (numbers(&vector["experiment"]), numbers(&vector["control"]));
    let scores = Scores { x: sorted(&canary), y: sorted(&baseline) };
    let at = |mu: f64, z: f64| scores.at(mu, z).unwrap();
    if vector["kind"] == "wilcoxon_diff" {
        let ours = at(number(&parameters["mu"]), number(&parameters["quantile"]));
        return close(id, ours, number(&expected["value"]), 1e-5);
    }
    let level = number(&parameters["conf_level"]);
    if let Some(low) = expected.get("mu_min") {
        let (from, to) = scores.range();
        let z = -normal_quantile((1.0 - level) / 2.0);
        close(id, from, number(low), 1e-12);
        close(id, to, number(&expected["mu_max"]), 1e-12);
        close(id, z, number(&expected["zq_lower"]), 1e-9);
        for (mu, z, key) in [
            (from, z, "f_lower_at_mu_min"),
            (to, z, "f_lower_at_mu_max"),
            (from, -z, "f_upper_at_mu_min"),
            (to, -z, "f_upper_at_mu_max"),
        ] {
            close(id, at(mu, z), number(&expected[key]), 1e-6);
        }
    }
    // The same root-finder to the same coarse precision: what depends on the solver comes out, too.
    let found = confidence_interval(&canary, &baseline, level).unwrap();
    for (ours, key) in [(found.lower, "ci_low"), (found.upper, "ci_high"), (found.estimate, "estimate")] {
        let coarse = expected.get("estimate_abs_tol").filter(|_| key == "estimate").map_or(1e-6, number);
        close(&format!("{id} {key}"), ours, number(&expected[key]), coarse);
    }
}

/// The vector is a property of five draws of another generator; the property itself is checked with more.
fn noise(id: &str, vector: &Value) {
    let parameters = &vector["parameters"];
    let (middle, spread) = (number(&parameters["mean"]), number(&parameters["stdev"]));
    let mut rng = Rng::new(5);
    let drawn: Vec<f64> = (0..4000).map(|_| middle + spread * normal(&mut rng)).collect();
    close(id, mean(&drawn), middle, 0.2);
    close(id, deviation(&drawn), spread, 0.2);
}

/// The project's own rank tests are another implementation of the same limits.
#[test]
fn limits_agree_with_the_rank_tests() {
    use coalmine_core::analysis::stats::rank::{Null, shift};
    let mut rng = Rng::new(6);
    for (n, m) in [(3, 3), (12, 7), (60, 60)] {
        let mut sample = |size: usize, about: f64| -> Vec<f64> {
            (0..size).map(|_| ((about + normal(&mut rng)) * 8.0).round() / 8.0).collect()
        };
        let (x, y) = (sample(n, 1.0), sample(m, 0.0));
        let theirs = shift(&x, &y, 0.98, Null::Normal { continuity: true }, 1e-4).unwrap();
        let ours = confidence_interval(&x, &y, 0.98).unwrap();
        close("lower", ours.lower, theirs.lower, 2e-4);
        close("upper", ours.upper, theirs.upper, 2e-4);
    }
}

fn close(id: &str, ours: f64, expected: f64, tolerance: f64) {
    let both_nan = ours.is_nan() && expected.is_nan();
    assert!(both_nan || (ours - expected).abs() <= tolerance, "{id}: {ours}, expected {expected}");
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().map(number).collect()
}

/// `null` and `"NaN"` are NaN.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}
