//! Where bins lie.

use crate::analysis::{JudgePlan, choose_edges, edge_quantiles, plan, rebinned, stretched, take_edges};

use super::{errors, latency, points, spec};

fn default_plan() -> JudgePlan {
    plan(&spec(vec![errors(points(0.5)), latency()]))
}

fn chosen(quantiles: &[(f64, f64)]) -> Vec<f64> {
    choose_edges(&default_plan(), 1, quantiles).checks[1].distribution.clone().unwrap().edges
}

#[test]
fn the_asked_quantiles_are_among_those_that_become_edges() {
    let mut plan = default_plan();
    let defaults = edge_quantiles(&plan.checks[1]);
    assert_eq!(defaults.len(), 16);
    let distribution = plan.checks[1].distribution.as_mut().unwrap();
    for (at, quantile) in distribution.at.iter_mut().zip([0.25, 0.98]) {
        at.quantile = quantile;
    }
    let asked = edge_quantiles(&plan.checks[1]);
    assert_eq!(asked.len(), 16);
    assert!(asked.contains(&0.25) && asked.contains(&0.98), "{asked:?}");
    assert!(asked.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(edge_quantiles(&plan.checks[0]).len(), 16, "a check without quantiles of its own");
}

#[test]
fn quantiles_become_rising_edges() {
    let quantiles = [0.05, 0.5, 0.9, 0.99, 0.999];
    let with = |values: [f64; 5]| chosen(&quantiles.into_iter().zip(values).collect::<Vec<_>>());
    assert_eq!(with([20.0, 103.456, 220.0, 402.3, 900.0]), [20.0, 103.5, 220.0, 402.3, 804.6, 900.0]);
    // Everything takes the same time; twice the p99 still tells a slow path.
    assert_eq!(with([100.0; 5]), [100.0, 200.0]);
    // Statistics of one hour that contradict each other.
    assert_eq!(with([20.0, 19.0, 220.0, 219.0, 900.0]), [20.0, 220.0, 440.0, 900.0]);
    assert_eq!(with([f64::NAN, -5.0, 0.0, f64::INFINITY, 7.5]), [7.5, 15.0]);
    assert_eq!(with([0.0001, 0.001, 0.0123456, 0.5, 1e9]), [0.0001, 0.001, 0.01235, 0.5, 1.0, 1e9]);
}

#[test]
fn without_quantiles_the_edges_fit_anything() {
    for nothing in [&[][..], &[(0.5, 0.0)], &[(f64::NAN, 5.0)]] {
        let edges = chosen(nothing);
        assert_eq!((edges.len(), edges[0], edges[16]), (17, 1.0, 2e5));
    }
}

/// A quantile that was read has its edge, whatever share of the requests lies above it later.
#[test]
fn quantiles_remember_their_edges() {
    let plan = choose_edges(&default_plan(), 1, &[(0.5, 100.0), (0.75, 100.0), (0.99, 412.34)]);
    let edges = |plan: &JudgePlan| -> Vec<Option<f64>> {
        plan.checks[1].distribution.as_ref().unwrap().at.iter().map(|at| at.edge).collect()
    };
    assert_eq!(edges(&plan), [Some(100.0), Some(412.3)]);
    assert_eq!(edges(&choose_edges(&default_plan(), 1, &[(0.75, 100.0)])), [None, None]);
    assert_eq!(edges(&take_edges(&plan, 1, &[50.0, 100.0])), [None, None]);
    assert_eq!(choose_edges(&default_plan(), 0, &[(0.5, 100.0)]), default_plan(), "errors have no edges");
    assert_eq!(choose_edges(&default_plan(), 7, &[(0.5, 100.0)]), default_plan());
}

#[test]
fn bins_move_to_other_edges_by_interpolation() {
    let (from, counts) = ([100.0, 200.0, 400.0], [10.0, 40.0, 30.0, 8.0]);
    let moved = |to: &[f64]| rebinned(&counts, &from, to).unwrap();
    let close = |to: &[f64], expected: &[f64]| {
        let bins = moved(to);
        let near = bins.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near && bins.len() == expected.len(), "{to:?}: {bins:?}");
    };
    assert_eq!(moved(&from), counts);
    assert_eq!(moved(&[100.001, 200.002, 400.004]), counts, "rounded elsewhere");
    close(&[200.0], &[50.0, 38.0]);
    close(&[50.0, 200.0], &[5.0, 45.0, 38.0]);
    // Half of a bin on the logarithmic scale, and of the open one, which is taken to reach to 800.
    close(&[20_000_f64.sqrt(), 320_000_f64.sqrt()], &[30.0, 54.0, 4.0]);
    close(&[1000.0, 2000.0], &[88.0, 0.0, 0.0]);
    // Of equal edges the canary's requests above a stretched one are never more than above the edge.
    let above = |bins: &[f64]| -> Vec<f64> { (1..4).map(|edge| bins.iter().skip(edge).sum()).collect() };
    let slower = moved(&stretched(&from, 0.05));
    assert!(above(&slower).iter().zip(above(&counts)).all(|(a, b)| *a < b), "{slower:?}");
    assert!((slower.iter().sum::<f64>() - 88.0).abs() < 1e-9);
}

#[test]
fn bins_that_do_not_fit_their_edges_are_refused() {
    for (counts, from, to) in [
        (&[1.0, 2.0][..], &[1.0, 2.0][..], &[1.0][..]),
        (&[1.0, 2.0, 3.0], &[2.0, 1.0], &[1.0]),
        (&[1.0, 2.0, 3.0], &[1.0, f64::NAN], &[1.0]),
        (&[1.0, 2.0], &[0.0], &[1.0]),
        (&[1.0, 2.0], &[1.0], &[2.0, 2.0]),
        (&[1.0], &[], &[1.0]),
        (&[1.0, 2.0], &[1.0], &[]),
    ] {
        assert_eq!(rebinned(counts, from, to), None, "{counts:?} {from:?} {to:?}");
    }
}
