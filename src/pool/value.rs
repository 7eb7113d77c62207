//! Values that workers keep.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

use super::link::Link;
use super::order;
use super::payload::{Payload, pack};
use crate::error::Result;

/// A value that each worker keeps under a number, from call to call; see [`Pool::value`](super::Pool::value).
pub struct Value<T> {
    /// Which pool of this process it is of.
    pub(super) pool: u64,
    pub(super) number: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Value<T> {
    pub(super) fn new(pool: u64, number: usize) -> Value<T> {
        Value {
            pool,
            number,
            of: PhantomData,
        }
    }
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Value<T> {}

impl<T> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value {} of {}", self.number, std::any::type_name::<T>())
    }
}

/// A value whose type is forgotten. Where it is kept, it is an `Option<T>`.
pub(super) trait ErasedValue: Send + Sync {
    /// What the values of this number have in common on all ranks.
    fn signature(&self) -> String;

    /// No value yet.
    fn none(&self) -> Box<dyn Any>;

    /// Takes the value that follows.
    ///
    /// # Errors
    /// Those of the communicator.
    fn take(&self, kept: &mut dyn Any, link: &mut Link) -> Result<()>;

    /// Sends the value back.
    ///
    /// # Errors
    /// Those of the communicator.
    fn give(&self, kept: &mut dyn Any, link: &mut Link) -> Result<()>;
}

impl<T: Payload> ErasedValue for Value<T> {
    fn signature(&self) -> String {
        std::any::type_name::<T>().to_owned()
    }

    fn none(&self) -> Box<dyn Any> {
        Box::new(None::<T>)
    }

    fn take(&self, kept: &mut dyn Any, link: &mut Link) -> Result<()> {
        let answer = match link.values()? {
            Ok((mut values, _)) => {
                if let Some(kept) = kept.downcast_mut::<Option<T>>() {
                    *kept = values.pop();
                }
                Ok(())
            }
            Err(error) => Err(format!("it cannot be read: {error}")),
        };
        answer_with(link, &answer);
        Ok(())
    }

    fn give(&self, kept: &mut dyn Any, link: &mut Link) -> Result<()> {
        let Some(value) = kept.downcast_mut::<Option<T>>().and_then(Option::take) else {
            answer_with(link, &Err("it has none".to_owned()));
            return Ok(());
        };
        // The value stays where it is.
        let values = vec![value];
        let mut part = link.outbox();
        let packed = pack(&values, &mut part);
        let answer = packed
            .as_ref()
            .map(drop)
            .map_err(|error| format!("it cannot be sent: {error}"));
        answer_with(link, &answer);
        if packed.is_ok() {
            link.send(part, order::PART)?;
        }
        let value = values.into_iter().next();
        let sent = value
            .iter()
            .try_for_each(|value| value.send(&link.up, link.master, order::PART));
        if let Some(kept) = kept.downcast_mut::<Option<T>>() {
            *kept = value;
        }
        sent
    }
}

/// Tells the master what became of a value.
fn answer_with(link: &mut Link, answer: &std::result::Result<(), String>) {
    // Nobody waits until it is sent.
    drop(link.up.isend_object(answer, link.master, order::REPLY));
}
