//! kvd as its users meet it: by command line, standard streams and exit code.

mod program;

mod batch;
mod book;
mod checkpoint;
mod damage;
mod dumps;
mod failures;
mod forms;
mod metrics;
mod reports;
mod scan;
