//! Finding the state that broke something: which state to try next, and states as directories to try things in.

pub mod checkout;
pub mod search;
