//! Commands whose changes are attributed to them.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::wire::Provenance;

/// The commands that run now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Runs {
    shared: Arc<Mutex<Running>>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    runs: Vec<(u64, Provenance)>,
}

/// One command that runs. Changes are attributed to it until this is dropped.
#[derive(Debug)]
pub(crate) struct RunGuard {
    runs: Runs,
    number: u64,
}

impl Runs {
    /// From now on, changes are attributed to `provenance`.
    pub(crate) fn begin(&self, provenance: Provenance) -> RunGuard {
        let mut running = self.shared.lock();
        let number = running.next;
        running.next += 1;
        running.runs.push((number, provenance));
        RunGuard { runs: self.clone(), number }
    }

    /// The one that was begun last, to which the changes of this moment are attributed.
    pub(crate) fn present(&self) -> Option<Provenance> {
        self.shared.lock().runs.last().map(|(_, provenance)| provenance.clone())
    }
}

impl RunGuard {
    pub(crate) fn provenance(&self) -> Option<Provenance> {
        let running = self.runs.shared.lock();
        running.runs.iter().find(|(number, _)| *number == self.number).map(|(_, provenance)| provenance.clone())
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        self.runs.shared.lock().runs.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_command_that_still_runs_counts() {
        let runs = Runs::default();
        let named = |name: &str| Provenance { session: Some(name.into()), ..Provenance::default() };
        let outer = runs.begin(named("outer"));
        let inner = runs.begin(named("inner"));
        assert_eq!(runs.present(), Some(named("inner")));
        drop(inner);
        assert_eq!(runs.present(), Some(named("outer")));
        assert_eq!(outer.provenance(), Some(named("outer")));
        drop(outer);
        assert_eq!(runs.present(), None);
    }
}
