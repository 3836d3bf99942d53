//! The error that every call gets once the power is gone.

use std::error::Error;
use std::fmt;
use std::io;

/// What the [`io::Error`] of a call on a frozen disk carries.
#[derive(Debug, Clone, Copy)]
struct PowerLoss;

impl fmt::Display for PowerLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated power loss")
    }
}

impl Error for PowerLoss {}

pub(crate) fn power_loss() -> io::Error {
    io::Error::other(PowerLoss)
}

/// True if `error`, or an error that it names as its source, comes from a call on a
/// [frozen](crate::SimDisk::freeze_after) disk.
///
/// ```
/// use std::path::Path;
/// use vfs::Vfs;
/// use vfs_sim::{SimDisk, is_power_loss};
///
/// let disk = SimDisk::new();
/// disk.freeze_after(0);
/// assert!(is_power_loss(&disk.create_dir_all(Path::new("/db")).unwrap_err()));
/// ```
#[must_use]
pub fn is_power_loss(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        // An io::Error shows the source of what it wraps, not the wrapped error itself.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if error.is::<PowerLoss>() || wrapped.is_some_and(|inner| is_power_loss(inner)) {
            return true;
        }
        next = error.source();
    }
    false
}
