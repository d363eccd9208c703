//! `coalmine report`
