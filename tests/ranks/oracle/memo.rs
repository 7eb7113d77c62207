//! What is computed once in a process: ranks that are threads expect the same, and so do cases one after another.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

/// What is computed, of what type, for how many ranks, and of which length.
type Key = (&'static str, TypeId, usize, usize);

type Known = Arc<OnceLock<Arc<dyn Any + Send + Sync>>>;

static KNOWN: LazyLock<Mutex<HashMap<Key, Known>>> = LazyLock::new(Mutex::default);

/// The value of this name for so many ranks and this length: computed by the first who asks, while the others wait.
pub fn once<T: Any + Send + Sync>(
    name: &'static str,
    ranks: usize,
    length: usize,
    compute: impl FnOnce() -> T,
) -> Arc<T> {
    let key = (name, TypeId::of::<T>(), ranks, length);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let cell = Arc::clone(known.entry(key).or_default());
    drop(known);
    let value = cell.get_or_init(|| Arc::new(compute()));
    match Arc::clone(value).downcast() {
        Ok(value) => value,
        Err(_) => unreachable!("the type is part of the key"),
    }
}
