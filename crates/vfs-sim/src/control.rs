//! What a test can do to the disk: crash it, freeze it, spoil it, look inside.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use crate::content::Content;
use crate::crash::Crash;
use crate::disk::SimDisk;
use crate::fault::{Fault, FaultId};
use crate::operation::{Op, SyncCall};
use crate::random::Random;

/// # Power
impl SimDisk {
    /// A disk with what a power loss at this moment leaves. This one stays as it is, so that many
    /// crashes can be tried at one moment.
    ///
    /// The new disk has no locks, faults, freeze or ignored syncs, and its counters and trace start anew. Its clock,
    /// random numbers and capacity go on from this one's.
    #[must_use]
    pub fn crash(&self, how: Crash) -> Self {
        Self::from_state(self.state().after_crash(how))
    }

    /// A disk as the next process finds it after this one died and the machine did not: everything
    /// written is still there, synced or not, and no lock is held. The rest is as for [`crash`](Self::crash).
    ///
    /// The disk is a copy: a thread that the dead process left behind cannot reach it. Also the way to fork a disk.
    #[must_use]
    pub fn kill(&self) -> Self {
        Self::from_state(self.state().after_kill())
    }

    /// Cuts the power just before the mutating call number `n` (from 0, counted since the disk was made): it and every
    /// call after it, reads too, fail with an error of which [`is_power_loss`](crate::is_power_loss) is true.
    pub fn freeze_after(&self, n: u64) {
        self.state().freeze_at = Some(n);
    }

    /// Cuts the power now.
    pub fn cut_power(&self) {
        self.state().frozen = true;
    }

    /// True once the power is off. After [`freeze_after`](Self::freeze_after) that is the case from the call that ran into it.
    #[must_use]
    pub fn is_frozen(&self) -> bool {
        self.state().frozen
    }

    /// Mutating calls so far: see [`OpKind::is_mutating`](crate::OpKind::is_mutating).
    #[must_use]
    pub fn op_count(&self) -> u64 {
        self.state().trace.len() as u64
    }

    /// All mutating calls so far.
    #[must_use]
    pub fn trace(&self) -> Vec<Op> {
        self.state().trace.clone()
    }

    /// Makes everything durable, outside the trace and the counters: for setting the scene.
    pub fn settle(&self) {
        let mut state = self.state();
        state.names.sync_all();
        for file in state.files.values_mut() {
            file.sync();
        }
        state.collect();
    }
}

/// # Faults
impl SimDisk {
    /// Lets calls fail by a rule, on top of the rules that are there. Where several strike, the oldest decides.
    pub fn inject(&self, fault: Fault) -> FaultId {
        self.state().inject(fault)
    }

    /// How many calls a rule has struck; 0 for one that was removed. A test should look: a fault
    /// that never struck proves nothing.
    #[must_use]
    pub fn fault_hits(&self, fault: FaultId) -> u64 {
        self.state().fault_hits(fault)
    }

    /// Takes one rule away.
    pub fn remove_fault(&self, fault: FaultId) {
        self.state().remove_fault(fault);
    }

    /// Takes all rules away.
    pub fn clear_faults(&self) {
        self.state().clear_faults();
    }

    /// From now on a sync that `ignores` accepts reports success and makes nothing durable. One predicate at a time;
    /// it runs inside the disk and must not call it.
    ///
    /// To find out whether a test suite notices a missing sync, see [`Sweep::unnoticed_syncs`](crate::Sweep::unnoticed_syncs).
    pub fn ignore_syncs(&self, ignores: impl FnMut(&SyncCall) -> bool + Send + 'static) {
        self.state().ignore = Some(Box::new(ignores));
    }

    /// Ends [`ignore_syncs`](Self::ignore_syncs).
    pub fn honour_syncs(&self) {
        self.state().ignore = None;
    }

    /// If `commits`, a sync of any file makes all names durable, as the journal of ext4 does in practice. Off by default:
    /// programs that are to run on other filesystems must not rely on it.
    pub fn set_file_sync_commits_names(&self, commits: bool) {
        self.state().file_sync_commits_names = commits;
    }

    /// Size of the disk in bytes, or `None` for no limit (the default). Files take whole pages of 4 KiB,
    /// holes take nothing. What does not fit fails with [`io::ErrorKind::StorageFull`]; of such a write, the pages
    /// that did fit are written.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes that the files take.
    #[must_use]
    pub fn used_space(&self) -> u64 {
        self.state().used()
    }
}

/// # Damage
///
/// Damage changes what the disk holds and what is cached of it, not writes that are still to come: unsynced bytes
/// keep their value once they are synced.
impl SimDisk {
    /// Turns over one bit (0 is the lowest) of the byte at `offset`.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], or [`io::ErrorKind::InvalidInput`] past the end of the file or for a bit over 7.
    pub fn flip_bit(&self, path: impl AsRef<Path>, offset: u64, bit: u8) -> io::Result<()> {
        if bit > 7 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.damage(path.as_ref(), offset..offset.saturating_add(1), |_, byte| byte ^ (1 << bit))
    }

    /// Replaces `range` by other bytes, drawn from `seed`. Each of them changes.
    ///
    /// # Errors
    /// As for [`flip_bit`](Self::flip_bit); a range that is partly past the end is refused too.
    pub fn corrupt(&self, path: impl AsRef<Path>, range: Range<u64>, seed: u64) -> io::Result<()> {
        self.damage(path.as_ref(), range, |offset, byte| byte ^ (1 + Random::new(seed ^ offset).below(255) as u8))
    }

    /// Replaces `range` by zeros.
    ///
    /// # Errors
    /// As for [`corrupt`](Self::corrupt).
    pub fn zero(&self, path: impl AsRef<Path>, range: Range<u64>) -> io::Result<()> {
        self.damage(path.as_ref(), range, |_, _| 0)
    }

    fn damage(&self, path: &Path, range: Range<u64>, change: impl Fn(u64, u8) -> u8) -> io::Result<()> {
        let mut state = self.state();
        let ino = state.file_at(path)?;
        let file = state.file(ino)?;
        if range.end > file.cached.len() || range.start > range.end {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        file.durable.change_bytes(range.clone(), &change);
        file.cached.change_bytes(range, change);
        file.cache_differs |= !file.unsynced.is_empty();
        Ok(())
    }
}

/// # Looking inside
impl SimDisk {
    /// All bytes of a file as programs would read them, past faults, freeze and counters.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] or [`io::ErrorKind::IsADirectory`].
    pub fn contents(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.content(path.as_ref(), |file| &file.cached)
    }

    /// The bytes that the disk holds of the file that programs see at `path`, whether or not that name is durable.
    ///
    /// # Errors
    /// As for [`contents`](Self::contents).
    pub fn durable_contents(&self, path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        self.content(path.as_ref(), |file| &file.durable)
    }

    fn content(&self, path: &Path, which: impl Fn(&crate::state::FileNode) -> &Content) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        let ino = state.file_at(path)?;
        Ok(which(state.file(ino)?).to_vec())
    }
}

/// # Clock and randomness
impl SimDisk {
    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        let mut state = self.state();
        state.now = state.now.saturating_add(by);
        state.monotonic = state.monotonic.saturating_add(by);
    }

    /// Sets the wall clock, forward or back, as an administrator would. The monotonic clock does not notice.
    pub fn set_now(&self, now: Duration) {
        self.state().now = now;
    }

    /// Starts the random numbers anew from `seed`.
    pub fn set_random_seed(&self, seed: u64) {
        self.state().random = Random::new(seed);
    }
}
