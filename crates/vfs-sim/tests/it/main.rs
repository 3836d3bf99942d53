//! Each promise of the simulated disk, shown.

mod contract;
mod crashes;
mod faults;
mod machine;
mod model;
mod names;
mod programs;
