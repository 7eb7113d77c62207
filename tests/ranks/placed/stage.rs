//! What a rank makes its copies of buffers with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use warpcomm::DeviceBuffer;
use warpcomm::cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, CudaView, CudaViewMut, DeviceRepr, LaunchConfig,
    PinnedHostSlice, PushKernelArg, sys,
};
use warpcomm::cudarc::nvrtc::Ptx;

use super::memory::{CUDA, Device, Form, Memory, PinnedSource, Whole};
use crate::harness::{Failure, Place};
use crate::oracle::{Value, mixed, vector};

/// Random numbers that are the same in every run: another sequence for each rank.
struct Random {
    rank: u64,
    count: AtomicU64,
}

impl Random {
    fn new(rank: usize) -> Random {
        Random {
            rank: rank as u64,
            count: AtomicU64::new(0),
        }
    }

    /// Starts the sequence from its beginning, so that a case does the same alone as behind others.
    fn restart(&self) {
        self.count.store(0, Ordering::Relaxed);
    }

    fn next(&self) -> u64 {
        mixed(mixed(self.rank + 1) ^ self.count.fetch_add(1, Ordering::Relaxed))
    }
}

/// A rank's memories, chosen anew for each buffer: which GPU, stream, kind and alignment it has, and how
/// its elements get there.
pub struct Stage {
    place: Place,
    random: Random,
    /// The rank's own GPU first; empty where all buffers are the cases' own.
    gpus: Vec<Gpu>,
}

/// A GPU as cudarc sees it, with its event tracking on, and with it off.
struct Gpu {
    contexts: [Tracked; 2],
}

struct Tracked {
    context: Arc<CudaContext>,
    streams: Vec<Arc<CudaStream>>,
    copy_bytes: CudaFunction,
}

impl Tracked {
    fn new(context: Arc<CudaContext>) -> Result<Tracked, Failure> {
        let module = context.load_module(Ptx::from_src(include_str!("copy.ptx")))?;
        Ok(Tracked {
            copy_bytes: module.load_function("copy_bytes")?,
            streams: vec![
                context.new_stream()?,
                context.new_stream()?,
                context.default_stream(),
            ],
            context,
        })
    }
}

impl Gpu {
    fn new(own: Arc<CudaContext>) -> Result<Gpu, Failure> {
        let other = CudaContext::new(own.ordinal())?;
        // SAFETY: whatever is made in this context is used in one stream only.
        unsafe { other.disable_event_tracking() };
        Ok(Gpu {
            contexts: [Tracked::new(own)?, Tracked::new(other)?],
        })
    }
}

impl Stage {
    pub fn new(place: Place, comm: &warpcomm::Communicator) -> Result<Stage, Failure> {
        let mut gpus = Vec::new();
        if place != Place::Host {
            let own = comm.device()?;
            let ordinal = own.ordinal();
            gpus.push(Gpu::new(own)?);
            let all = CudaContext::device_count()? as usize;
            for other in (0..all).filter(|other| *other != ordinal) {
                gpus.push(Gpu::new(CudaContext::new(other)?)?);
            }
        }
        Ok(Stage {
            place,
            random: Random::new(comm.rank()),
            gpus,
        })
    }

    pub fn restart(&self) {
        self.random.restart();
    }

    /// A copy of a buffer, or none if the operation is to take the buffer itself.
    pub fn place<T: Value>(&self, elements: &[T]) -> Memory<T> {
        let form = [Form::View, Form::Whole, Form::View, Form::Raw];
        self.place_as(elements, form[self.random.next() as usize % form.len()])
    }

    /// The same for a request, which owns its buffer.
    pub fn place_owned<T: Value>(&self, elements: &[T]) -> Memory<T> {
        self.place_as(elements, Form::Whole)
    }

    fn place_as<T: Value>(&self, elements: &[T], form: Form) -> Memory<T> {
        match (self.place, self.random.next() % 8) {
            (Place::Host, _) | (Place::Mixed, 0 | 1) => Memory::Own,
            (Place::Pinned, _) | (Place::Mixed, 2 | 3) => {
                self.pinned(elements).map_or(Memory::Own, Memory::Pinned)
            }
            _ => Memory::Device(self.device(elements, form)),
        }
    }

    /// Copies of two buffers for a request, which owns both: in memories of the same kind.
    pub fn place_pair<T: Value>(&self, send: &[T], recv: &[T]) -> (Memory<T>, Memory<T>) {
        let is_one_empty = send.is_empty() || recv.is_empty();
        match (self.place, self.random.next() % 4) {
            (Place::Host, _) | (Place::Mixed, 0) => (Memory::Own, Memory::Own),
            // There is no empty slice of page-locked memory.
            (Place::Pinned, _) | (Place::Mixed, 1) if is_one_empty => (Memory::Own, Memory::Own),
            (Place::Pinned, _) | (Place::Mixed, 1) => {
                let copy = |elements| Memory::Pinned(pinned(&self.stream().0.context, elements));
                (copy(send), copy(recv))
            }
            _ => {
                let copy = |elements| Memory::Device(self.device(elements, Form::Whole));
                (copy(send), copy(recv))
            }
        }
    }

    /// A GPU and one of its streams.
    fn stream(&self) -> (&Tracked, &Arc<CudaStream>) {
        let random = self.random.next();
        let gpu = match self.place {
            Place::Mixed if random.is_multiple_of(4) => (random >> 8) as usize % self.gpus.len(),
            _ => 0,
        };
        let context = &self.gpus[gpu].contexts[(random >> 16) as usize % 2];
        let stream = &context.streams[(random >> 24) as usize % context.streams.len()];
        (context, stream)
    }

    /// Page-locked memory, of which there is no empty slice.
    fn pinned<T: Value>(&self, elements: &[T]) -> Option<PinnedHostSlice<T>> {
        (!elements.is_empty()).then(|| pinned(&self.stream().0.context, elements))
    }

    fn device<T: Value>(&self, elements: &[T], form: Form) -> Device<T> {
        let (context, stream) = self.stream();
        let random = self.random.next();
        let (before, behind) = match form {
            Form::Whole => (0, 0),
            // Addresses that are a multiple of the element's size, and mostly of nothing more.
            _ => ([1, 3, 0, 5][random as usize % 4], 1 + (random >> 8) as usize % 3),
        };
        let range = before..before + elements.len();
        let around = [vector(0xB0DE, 0, before), vector(0xB0DE, 1, behind)];
        let contents = [&around[0], elements, &around[1]].concat();
        let mut whole = match form {
            Form::View | Form::Raw if (random >> 24).is_multiple_of(2) => {
                Whole::Buffer(DeviceBuffer::zeros(stream, contents.len()).expect(CUDA))
            }
            // SAFETY: written before it is read.
            _ => Whole::Slice(unsafe { stream.alloc::<T>(contents.len()) }.expect(CUDA)),
        };
        let mut source = None;
        if !contents.is_empty() {
            match (random >> 16) % 4 {
                // From memory that the driver copies at once.
                0 => stream
                    .memcpy_htod(&contents, &mut whole.as_view_mut())
                    .expect(CUDA),
                // From memory that the GPU reads when it gets there, as in what follows.
                1 => {
                    let source = source.insert(PinnedSource {
                        slice: pinned(&context.context, &contents),
                        stream: Arc::clone(stream),
                    });
                    stream
                        .memcpy_htod(&source.slice, &mut whole.as_view_mut())
                        .expect(CUDA);
                }
                2 => {
                    let other = stream.clone_htod(&contents).expect(CUDA);
                    stream.memcpy_dtod(&other, &mut whole.as_view_mut()).expect(CUDA);
                }
                _ => {
                    let other = stream.clone_htod(&contents).expect(CUDA);
                    copy_by_kernel(context, stream, &other, &mut whole.as_view_mut());
                }
            }
        }
        Device {
            form,
            whole,
            range,
            around,
            source,
        }
    }
}

fn pinned<T: Value>(context: &Arc<CudaContext>, elements: &[T]) -> PinnedHostSlice<T> {
    // SAFETY: written before it is read.
    let slice =
        unsafe { context.alloc_pinned_with_flags::<T>(elements.len(), sys::CU_MEMHOSTALLOC_PORTABLE) };
    let mut slice = slice.expect(CUDA);
    slice.as_mut_slice().expect(CUDA).copy_from_slice(elements);
    slice
}

/// Writes a buffer by a kernel.
fn copy_by_kernel<T: DeviceRepr>(
    context: &Tracked,
    stream: &Arc<CudaStream>,
    source: &CudaSlice<T>,
    target: &mut CudaViewMut<'_, T>,
) {
    let bytes = source.num_bytes() as u64;
    let source: CudaView<'_, T> = source.as_view();
    let mut launch = stream.launch_builder(&context.copy_bytes);
    launch.arg(target).arg(&source).arg(&bytes);
    let shape = LaunchConfig {
        grid_dim: ((bytes as u32).div_ceil(512).min(8), 1, 1),
        block_dim: (64, 1, 1),
        shared_mem_bytes: 0,
    };
    // SAFETY: the arguments are those of the kernel, and both buffers have that many bytes.
    unsafe { launch.launch(shape) }.expect(CUDA);
}
