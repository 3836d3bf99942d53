//! What becomes of the backend when something happens to the root.

use super::Native;
use crate::batch::RootEvent;

impl Native {
    /// Looks whether the root is still what it was, and tells if not.
    pub(super) fn check_root(&mut self) {
        if self.gone {
            return;
        }
        if let Some(event) = self.root.look() {
            let last = event == RootEvent::Removed;
            self.tell(event, last);
        }
    }

    /// The kernel took the root's watch back.
    pub(super) fn root_is_gone(&mut self, event: RootEvent) {
        if !self.gone {
            self.tell(event, true);
        }
    }

    fn tell(&mut self, event: RootEvent, last: bool) {
        if last {
            self.gone = true;
            self.pending.clear();
            self.incoming.clear();
            self.scanning = None;
        }
        self.changes.marks().root(event, last);
    }
}
