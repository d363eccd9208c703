//! Is the evidence worth what it says? By exact enumeration where that is possible, by seeded simulation elsewhere.

use super::Stratum;

#[test]
fn placeholder() {
    assert!(Stratum { n_c: 1.0, x_c: 0.0, n_b: 1.0, x_b: 0.0 }.is_comparable());
}
