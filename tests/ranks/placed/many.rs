//! Waiting for several requests, whose buffers are copies.

use warpcomm::{Result, Status};

/// Any request of this communicator.
pub trait AnyRequest {
    fn inner(&self) -> &dyn warpcomm::AnyRequest;
}

impl<R: AnyRequest + ?Sized> AnyRequest for &R {
    fn inner(&self) -> &dyn warpcomm::AnyRequest {
        (**self).inner()
    }
}

macro_rules! of_many {
    ($($name:ident -> $output:ty;)*) => {$(
        pub fn $name<R: AnyRequest>(requests: &[R]) -> $output {
            let inner: Vec<_> = requests.iter().map(AnyRequest::inner).collect();
            warpcomm::$name(&inner)
        }
    )*};
}

of_many! {
    wait_all -> Result<Vec<Status>>;
    wait_any -> Result<Option<usize>>;
    wait_some -> Result<Vec<usize>>;
    test_all -> Result<Option<Vec<Status>>>;
    test_any -> Option<usize>;
    test_some -> Vec<usize>;
}
