//! Every formula against golden values of other libraries.

use serde_json::Value;

use super::cancelling::{self, Cancelling};
use super::cmh::{self, SequentialCmh};
use super::special::ln_normal_cdf;
use super::{Begins, HarmNull, HarmProcess, Pairing, Stratum, bound, guard, harm, means, split};

/// What is compared, ours and theirs.
type Pairs = Vec<(f64, f64)>;

#[test]
fn formulas_agree_with_other_libraries() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    assert!(vectors.len() >= 40);
    for vector in vectors {
        let id = vector["id"].as_str().unwrap();
        let rtol = number(&vector["rtol"]);
        let pairs = computed(id, &vector["input"], &vector["expected"]);
        assert!(!pairs.is_empty(), "{id}: nothing compared");
        for (ours, theirs) in pairs {
            let error = (ours - theirs).abs();
            assert!(error <= rtol * theirs.abs(), "{id}: {ours} instead of {theirs} (rtol {rtol})");
        }
    }
}

fn computed(id: &str, input: &Value, expected: &Value) -> Pairs {
    let name = |prefix: &str| id.starts_with(prefix);
    if name("harm_lr") {
        harm_one_theta(input, expected)
    } else if name("harm_sr") {
        harm_process(input, expected)
    } else if name("ni_") {
        non_inferiority(input, expected)
    } else if name("label_bet") {
        let [canary, baseline, ln_r] = ["hc", "hb", "log_r"].map(|key| numbers(&input[key]));
        let minute = Pairing::new(&canary, &baseline).unwrap();
        let mut ratios: Vec<[f64; 1]> = ln_r.iter().map(|ln_r| [ln_r.exp()]).collect();
        let [ln_e] = minute.ln_e(&mut ratios, ln_r.into_iter().map(|ln_r| [ln_r]));
        vec![(ln_e, number(&expected["log_e"]))]
    } else if name("seq_t") {
        let [t2, nu, phi, z2] = ["t2", "nu", "phi", "z2"].map(|key| number(&input[key]));
        vec![(guard::ln_bayes_factor(t2, nu, phi, z2), number(&expected["log_e"]))]
    } else if name("js_bound") {
        let [p_b, p_c, rho] = ["p_b", "p_c", "rho"].map(|key| number(&input[key]));
        vec![
            (bound::nats_per_canary_request(p_b, p_c, rho), number(&expected["nats_per_canary_request"])),
            (bound::detection_bound(p_b, p_c, rho, 0.01), number(&expected["canary_requests_alpha_01"])),
        ]
    } else if name("gamma_poisson") {
        let [s, v, v_opt, c] = ["s", "v", "v_opt", "c"].map(|key| number(&input[key]));
        vec![(cmh::gamma_poisson_ln_e(s, v, cmh::one_sided_rho(v_opt), c), number(&expected["log_e"]))]
    } else if name("normal_mix") {
        let [s, v, v_opt] = ["s", "v", "v_opt"].map(|key| number(&input[key]));
        vec![(means::one_sided(s, v, cmh::one_sided_rho(v_opt)), number(&expected["log_e"]))]
    } else if name("asymp_cs") {
        normal_mixture(input, expected)
    } else if name("lindon_malek") {
        constant_split(input, expected)
    } else if name("cmh_") {
        cmh_statistic(input, expected)
    } else {
        special_function(id, input, expected)
    }
}

fn normal_mixture(input: &Value, expected: &Value) -> Pairs {
    let [s, v, rho] = ["S", "V", "rho"].map(|key| number(&input[key]));
    let radius = |alpha| means::radius(v, rho, alpha);
    let ours = [radius(0.01), radius(0.05), means::two_sided(s, v, rho)];
    let theirs = ["radius_alpha_01", "radius_alpha_05", "log_e_two_sided"];
    ours.into_iter().zip(theirs.map(|key| number(&expected[key]))).collect()
}

fn harm_one_theta(input: &Value, expected: &Value) -> Pairs {
    let [theta, factor, points, cluster] = ["theta", "r0", "d0", "phi"].map(|key| number(&input[key]));
    let null = HarmNull { factor, points, cluster };
    let ours = rows(input).iter().map(|minute| null.ln_e(minute, &[theta], &[theta.ln()])[0]).sum();
    vec![(ours, number(&expected["log_e"]))]
}

fn harm_process(input: &Value, expected: &Value) -> Pairs {
    assert_eq!(numbers(&input["theta"]), harm::THETAS);
    let mut process = HarmProcess::new(
        HarmNull::NO_WORSE,
        Begins::evenly(u32::try_from(input["horizon"].as_u64().unwrap()).unwrap()),
    );
    let per_minute = rows(input).into_iter().map(|minute| {
        process.observe(&minute);
        process.ln_e()
    });
    per_minute.zip(numbers(&expected["log_e_per_minute"])).collect()
}

fn non_inferiority(input: &Value, expected: &Value) -> Pairs {
    assert_eq!(numbers(&input["a_grid"]), cancelling::BETS);
    let mut process = Cancelling::new(number(&input["r1"]), number(&input["d1"]));
    rows(input).iter().for_each(|minute| process.observe(minute));
    let components = process.ln_bets.into_iter().zip(numbers(&expected["log_e_components"]));
    components.chain([(process.ln_e(), number(&expected["log_e"]))]).collect()
}

fn constant_split(input: &Value, expected: &Value) -> Pairs {
    let counts: Vec<Vec<f64>> = input["counts"].as_array().unwrap().iter().map(numbers).collect();
    let total = |version: usize| counts.iter().map(|row| row[version]).sum();
    let (share, k) = (number(&input["rho"][0]), number(&input["k"]));
    let mut pairs = vec![(split::ln_e_with(total(0), total(1), share, k), number(&expected["log_e"]))];
    if k == split::CONCENTRATION {
        pairs.push((split::ln_e_constant_split(total(0), total(1), share), number(&expected["log_e"])));
    }
    pairs
}

/// (|S| - 1/2)^2 / V and S^2 / V.
fn cmh_statistic(input: &Value, expected: &Value) -> Pairs {
    let mut test = SequentialCmh::default();
    for table in input["strata_rows"].as_array().unwrap() {
        let [canary, baseline] = [numbers(&table[0]), numbers(&table[1])];
        let (n_c, n_b) = (canary[0] + canary[1], baseline[0] + baseline[1]);
        test.observe(&Stratum { n_c, x_c: canary[0], n_b, x_b: baseline[0] });
    }
    let corrected = (test.sum.abs() - 0.5).powi(2) / test.variance;
    vec![(test.sum.powi(2) / test.variance, number(&expected["chi2"])), (corrected, number(&expected["chi2_cc"]))]
}

fn special_function(id: &str, input: &Value, expected: &Value) -> Pairs {
    let x = number(&input["x"]);
    if id.contains("Phi") {
        return vec![(ln_normal_cdf(x), number(&expected["value"]))];
    }
    if id.contains("ln_gamma") {
        return vec![(statrs::function::gamma::ln_gamma(x), number(&expected["value"]))];
    }
    assert!(id.contains("gamma_ur"), "no formula for {id}");
    let ours = cmh::ln_gamma_ur(number(&input["a"]), x);
    match expected.get("ln_value") {
        Some(value) => vec![(ours, number(value))],
        None => vec![(ours.exp(), number(&expected["value"]))],
    }
}

fn rows(input: &Value) -> Vec<Stratum> {
    let rows = input["rows_xc_xb_nc_nb"].as_array().unwrap().iter().map(numbers);
    rows.map(|row| Stratum { x_c: row[0], x_b: row[1], n_c: row[2], n_b: row[3] }).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}
