//! Handles: what programs hold in place of the driver's objects, never followed as pointers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

/// Objects of one kind by their handles.
pub struct Handles<T>(RwLock<BTreeMap<usize, Arc<T>>>);

/// A handle that no object has had, of any kind.
pub fn fresh() -> usize {
    // Not the address of anything, so that a program that follows a handle as a pointer stops.
    static NEXT: AtomicUsize = AtomicUsize::new(0x51f0_0000_0000_0100);
    NEXT.fetch_add(16, Relaxed)
}

impl<T> Handles<T> {
    pub const fn new() -> Self {
        Self(RwLock::new(BTreeMap::new()))
    }

    pub fn insert(&self, handle: usize, object: Arc<T>) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(handle, object);
    }

    pub fn get(&self, handle: usize) -> Option<Arc<T>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&handle)
            .cloned()
    }

    pub fn remove(&self, handle: usize) -> Option<Arc<T>> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&handle)
    }

    /// Removes all objects for which `keep` is false.
    pub fn retain(&self, mut keep: impl FnMut(&T) -> bool) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|_, object| keep(object));
    }

    /// An object for which `is_it` is true.
    pub fn find(&self, is_it: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let objects = self.0.read().unwrap_or_else(PoisonError::into_inner);
        objects.values().find(|object| is_it(object)).cloned()
    }

    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}
