//! A bound on open files: each file is opened when it is first needed and closed when too many others were needed since.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use crate::error::Result;

/// Something open, which can be asked whether it was used lately and told to close.
trait Closable: Send + Sync {
    /// True if it was used since it was last asked.
    fn take_used(&self) -> bool;
    fn close(&self);
}

struct Slot<T: ?Sized> {
    /// Boxed in a second `Arc`, since `ArcSwapOption` takes sized types only.
    open: ArcSwapOption<Arc<T>>,
    used: AtomicBool,
}

impl<T: ?Sized + Send + Sync> Closable for Slot<T> {
    fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    fn close(&self) {
        self.open.store(None);
    }
}

/// A place for something that can be opened again at any time.
pub(crate) struct Handle<T: ?Sized> {
    slot: Arc<Slot<T>>,
}

impl<T: ?Sized + Send + Sync + 'static> Handle<T> {
    pub(crate) fn empty() -> Self {
        Self { slot: Arc::new(Slot { open: ArcSwapOption::empty(), used: AtomicBool::new(false) }) }
    }

    /// What is open, or what `open` opens now.
    #[inline]
    pub(crate) fn get(&self, cache: &HandleCache, open: impl FnOnce() -> Result<Arc<T>>) -> Result<Arc<T>> {
        if let Some(opened) = &*self.slot.open.load() {
            // A plain load first: a store by every reader would bounce the cache line.
            if !self.slot.used.load(Ordering::Relaxed) {
                self.slot.used.store(true, Ordering::Relaxed);
            }
            return Ok(Arc::clone(opened));
        }
        let opened = open()?;
        self.put(cache, Arc::clone(&opened));
        Ok(opened)
    }

    /// Calls `use_it` with what is open, without counting a reference; `open` opens it where it is not.
    #[inline]
    pub(crate) fn with<R>(
        &self,
        cache: &HandleCache,
        open: impl FnOnce() -> Result<Arc<T>>,
        use_it: impl FnOnce(&Arc<T>) -> Result<R>,
    ) -> Result<R> {
        if let Some(opened) = &*self.slot.open.load() {
            if !self.slot.used.load(Ordering::Relaxed) {
                self.slot.used.store(true, Ordering::Relaxed);
            }
            return use_it(opened);
        }
        let opened = open()?;
        self.put(cache, Arc::clone(&opened));
        use_it(&opened)
    }

    /// What is open, if anything is.
    pub(crate) fn peek(&self) -> Option<Arc<T>> {
        self.slot.open.load().as_deref().map(Arc::clone)
    }

    pub(crate) fn put(&self, cache: &HandleCache, opened: Arc<T>) {
        self.slot.open.store(Some(Arc::new(opened)));
        self.slot.used.store(true, Ordering::Relaxed);
        let slot: Arc<dyn Closable> = Arc::clone(&self.slot) as Arc<dyn Closable>;
        cache.opened(Arc::downgrade(&slot));
    }

    pub(crate) fn clear(&self) {
        self.slot.open.store(None);
    }
}

/// Closes what was not used lately once more than `max` handles are open (second-chance order).
pub(crate) struct HandleCache {
    max: usize,
    open: Mutex<VecDeque<Weak<dyn Closable>>>,
    opens: AtomicU64,
}

impl std::fmt::Debug for HandleCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandleCache").field("max", &self.max).finish_non_exhaustive()
    }
}

impl HandleCache {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max: max.max(1), open: Mutex::default(), opens: AtomicU64::new(0) })
    }

    fn opened(&self, slot: Weak<dyn Closable>) {
        self.opens.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open.lock();
        open.push_back(slot);
        // Every handle is asked at most twice: once for its second chance, once to go.
        let mut asked = 2 * open.len();
        while open.len() > self.max && asked > 0 {
            asked -= 1;
            let Some(oldest) = open.pop_front() else { break };
            match oldest.upgrade() {
                None => {}
                Some(slot) if slot.take_used() => open.push_back(oldest),
                Some(slot) => slot.close(),
            }
        }
    }

    /// How often something had to be opened.
    pub(crate) fn opens(&self) -> u64 {
        self.opens.load(Ordering::Relaxed)
    }

    /// Closes everything.
    pub(crate) fn close_all(&self) {
        for slot in self.open.lock().drain(..) {
            if let Some(slot) = slot.upgrade() {
                slot.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(cache: &HandleCache, handle: &Handle<u32>, opens: &mut u32) -> u32 {
        *handle
            .get(cache, || {
                *opens += 1;
                Ok(Arc::new(*opens))
            })
            .unwrap()
    }

    #[test]
    fn a_handle_opens_once_and_again_only_after_it_was_pushed_out() {
        let cache = HandleCache::new(2);
        let handles: Vec<Handle<u32>> = (0..4).map(|_| Handle::empty()).collect();
        let mut opens = 0;
        get(&cache, &handles[0], &mut opens);
        get(&cache, &handles[0], &mut opens);
        assert_eq!(opens, 1, "an open handle is opened again");
        for handle in &handles {
            get(&cache, handle, &mut opens);
        }
        assert_eq!(opens, 4);
        let still_open = handles.iter().filter(|handle| handle.slot.open.load().is_some()).count();
        assert_eq!(still_open, 2, "the bound does not hold");
        get(&cache, &handles[0], &mut opens);
        assert_eq!(opens, 5, "a handle that was pushed out is not opened again");
    }
}
