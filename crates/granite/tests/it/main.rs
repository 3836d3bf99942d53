//! Tests of granite through its public interface.

mod adversary;
mod basics;
mod by_hand;
mod corpus;
mod costs;
mod crash;
mod damage;
mod faults;
mod hooked;
mod kill;
mod killed;
mod metamorphic;
mod mutation;
mod ops;
mod oracle;
mod recovery;
mod threads;
mod workload;
