//! The memory of buffers: of the host, page-locked or not, or of this rank's GPU.

use std::borrow::Cow;
#[cfg(feature = "cuda")]
use std::sync::Arc;

#[cfg(feature = "cuda")]
use warpcomm::DeviceBuffer;
#[cfg(feature = "cuda")]
use warpcomm::cudarc::driver::{CudaContext, CudaStream, PinnedHostSlice};
use warpcomm::{Buffer, BufferMut};

use super::element::Sample;
use crate::Failure;

/// Where buffers begin on the host, in bytes: at a page, because others than that make times differ by chance.
const ALIGNMENT: usize = 4096;

/// Makes buffers of one place.
pub trait Memory<T: Sample> {
    /// What holds the elements.
    type Store;
    /// What operations take.
    type View: Buffer<Element = T> + BufferMut + ?Sized;

    /// Whether what comes after an operation waits for it only once its buffers are dropped.
    const HAS_STREAMS: bool;

    /// A buffer of so many elements, of whatever values.
    fn reserve(&self, elements: usize) -> Result<Self::Store, Failure>;

    fn write(&self, store: &mut Self::Store, elements: &[T]) -> Result<(), Failure>;

    fn read<'s>(&self, store: &'s Self::Store) -> Result<Cow<'s, [T]>, Failure>;

    fn view<'s>(&self, store: &'s Self::Store) -> Result<&'s Self::View, Failure>;

    fn view_mut<'s>(&self, store: &'s mut Self::Store) -> Result<&'s mut Self::View, Failure>;

    /// Waits until the elements of an operation that has ended can be used.
    fn finish(&self) -> Result<(), Failure>;
}

/// Memory of the host.
pub struct Host {
    #[cfg(feature = "cuda")]
    pinned: Option<Arc<CudaContext>>,
}

/// Elements in it.
pub enum OnHost<T> {
    Pages {
        elements: Vec<T>,
        start: usize,
    },
    #[cfg(feature = "cuda")]
    Pinned(PinnedHostSlice<T>),
}

impl Host {
    pub fn pageable() -> Host {
        Host {
            #[cfg(feature = "cuda")]
            pinned: None,
        }
    }

    /// Page-locked by the driver of this GPU.
    #[cfg(feature = "cuda")]
    pub fn pinned(context: Arc<CudaContext>) -> Host {
        Host {
            pinned: Some(context),
        }
    }
}

fn pages<T: Sample>(elements: usize) -> Result<OnHost<T>, Failure> {
    let spare = ALIGNMENT / size_of::<T>();
    let mut all = Vec::new();
    all.try_reserve_exact(elements + spare)?;
    // No allocation any more: it stays where it is.
    all.resize(elements + spare, T::any(0));
    let start = all.as_ptr().align_offset(ALIGNMENT).min(spare);
    Ok(OnHost::Pages { elements: all, start })
}

impl<T: Sample> OnHost<T> {
    pub fn as_slice(&self) -> Result<&[T], Failure> {
        match self {
            OnHost::Pages { elements, start } => {
                let spare = ALIGNMENT / size_of::<T>();
                Ok(&elements[*start..elements.len() - spare + start])
            }
            #[cfg(feature = "cuda")]
            OnHost::Pinned(elements) if elements.is_empty() => Ok(&[]),
            #[cfg(feature = "cuda")]
            OnHost::Pinned(elements) => Ok(elements.as_slice()?),
        }
    }

    pub fn as_mut_slice(&mut self) -> Result<&mut [T], Failure> {
        match self {
            OnHost::Pages { elements, start } => {
                let spare = ALIGNMENT / size_of::<T>();
                let end = elements.len() - spare + *start;
                Ok(&mut elements[*start..end])
            }
            #[cfg(feature = "cuda")]
            OnHost::Pinned(elements) if elements.is_empty() => Ok(&mut []),
            #[cfg(feature = "cuda")]
            OnHost::Pinned(elements) => Ok(elements.as_mut_slice()?),
        }
    }
}

impl<T: Sample> Memory<T> for Host {
    type Store = OnHost<T>;
    type View = [T];

    const HAS_STREAMS: bool = false;

    fn reserve(&self, elements: usize) -> Result<OnHost<T>, Failure> {
        #[cfg(feature = "cuda")]
        if let Some(context) = self.pinned.as_ref().filter(|_| elements > 0) {
            return Ok(OnHost::Pinned(super::pinned::zeros(context, elements)?));
        }
        pages(elements)
    }

    fn write(&self, store: &mut OnHost<T>, elements: &[T]) -> Result<(), Failure> {
        store.as_mut_slice()?.copy_from_slice(elements);
        Ok(())
    }

    fn read<'s>(&self, store: &'s OnHost<T>) -> Result<Cow<'s, [T]>, Failure> {
        Ok(Cow::Borrowed(store.as_slice()?))
    }

    fn view<'s>(&self, store: &'s OnHost<T>) -> Result<&'s [T], Failure> {
        store.as_slice()
    }

    fn view_mut<'s>(&self, store: &'s mut OnHost<T>) -> Result<&'s mut [T], Failure> {
        store.as_mut_slice()
    }

    #[inline]
    fn finish(&self) -> Result<(), Failure> {
        Ok(())
    }
}

/// Memory of a GPU, which its owner uses in the order of one stream.
#[cfg(feature = "cuda")]
pub struct Device {
    pub stream: Arc<CudaStream>,
}

#[cfg(feature = "cuda")]
impl<T: Sample> Memory<T> for Device {
    type Store = DeviceBuffer<T>;
    type View = DeviceBuffer<T>;

    const HAS_STREAMS: bool = true;

    fn reserve(&self, elements: usize) -> Result<DeviceBuffer<T>, Failure> {
        Ok(DeviceBuffer::zeros(&self.stream, elements)?)
    }

    fn write(&self, store: &mut DeviceBuffer<T>, elements: &[T]) -> Result<(), Failure> {
        if !elements.is_empty() {
            self.stream.memcpy_htod(elements, store)?;
        }
        Ok(self.stream.synchronize()?)
    }

    fn read<'s>(&self, store: &'s DeviceBuffer<T>) -> Result<Cow<'s, [T]>, Failure> {
        Ok(Cow::Owned(store.to_vec()?))
    }

    fn view<'s>(&self, store: &'s DeviceBuffer<T>) -> Result<&'s DeviceBuffer<T>, Failure> {
        Ok(store)
    }

    fn view_mut<'s>(&self, store: &'s mut DeviceBuffer<T>) -> Result<&'s mut DeviceBuffer<T>, Failure> {
        Ok(store)
    }

    #[inline]
    fn finish(&self) -> Result<(), Failure> {
        Ok(self.stream.synchronize()?)
    }
}
