//! How much memory this process takes.

use crate::wire::MeasuredMemory;

/// Anonymous, shared and resident memory, as the kernel counts them; `None` where it does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn measure() -> Option<MeasuredMemory> {
    // Without figures `status` shows none: nothing depends on them.
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let bytes = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib << 10)
    };
    Some(MeasuredMemory { anonymous: bytes("RssAnon")?, shared: bytes("RssShmem")?, resident: bytes("VmRSS")? })
}

/// Anonymous, shared and resident memory, as the kernel counts them; `None` where it does not tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn measure() -> Option<MeasuredMemory> {
    None
}

/// Has the allocator keep little for itself: one place for small pieces that all threads share, and large ones straight from the system, which gets them back
/// when they are freed. For a process of its own; call it before there are threads.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the allocator of the C library has no other interface")]
pub(crate) fn keep_little() {
    const LARGE_LEN: libc::c_int = 64 << 10;
    // SAFETY: the calls take no pointers. They set options of the allocator, which it takes at any time.
    let taken = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) & libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_LEN) };
    if taken == 0 {
        tracing::debug!("the allocator stays as it is");
    }
}

/// Has the allocator keep little for itself: elsewhere there is nothing to choose.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn keep_little() {}

/// Gives freed memory back to the system, where the allocator keeps it otherwise.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the allocator of the C library has no other interface")]
pub(crate) fn give_back() {
    // SAFETY: the call takes no pointer, and may be made from any thread at any time.
    unsafe { libc::malloc_trim(0) };
}

/// Gives freed memory back to the system: elsewhere allocators do so themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn give_back() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        let memory = measure().unwrap();
        assert!(memory.anonymous > 0 && memory.resident >= memory.anonymous, "{memory:?}");
    }
}
