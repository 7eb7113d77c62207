//! What the receiver of a long message tells the sender of the way that the elements are to take.

use bytemuck::{Pod, Zeroable};

use crate::path::Path;

/// The code of a way that is still to be found out.
const HANDSHAKE: u8 = u8::MAX;

/// The way of one message's elements, in the receiver's answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct Waybill {
    way: u8,
    /// The path where a handshake comes to nothing.
    otherwise: u8,
    reserved: [u8; 6],
    /// The receiver's number for the message, in its process.
    pub number: u64,
    /// The number of the handshake in which the two processes have come to share memory; in a handshake its own.
    pub link: u64,
    /// On which node the receiver is, in a handshake.
    pub node: i64,
    /// Where the receiver listens, in a handshake.
    pub address: u64,
}

/// What a waybill says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Along(Path),
    /// The two ranks find out how, with this message, for all later ones too.
    Handshake,
}

impl Waybill {
    /// A way that needs no numbers.
    pub(crate) fn along(path: Path) -> Waybill {
        Waybill {
            way: path as u8,
            ..Waybill::zeroed()
        }
    }

    /// Through the memory that the two processes have come to share in handshake `link`.
    #[cfg(feature = "cuda")]
    pub(crate) fn through(link: u64, number: u64) -> Waybill {
        Waybill {
            number,
            link,
            ..Waybill::along(Path::SharedPinned)
        }
    }

    /// A handshake with a rank on `node` that listens at `address`; the path where it comes to nothing.
    #[cfg(feature = "cuda")]
    pub(crate) fn handshake(number: u64, node: i64, address: u64, otherwise: Path) -> Waybill {
        Waybill {
            way: HANDSHAKE,
            otherwise: otherwise as u8,
            reserved: [0; 6],
            number,
            link: number,
            node,
            address,
        }
    }

    /// The path where a handshake comes to nothing.
    #[cfg(feature = "cuda")]
    pub(crate) fn otherwise(&self) -> Path {
        Path::from_code(self.otherwise).unwrap_or(Path::Staged)
    }

    /// Whether the receiver's lane must be idle first: the message takes on its way what others wait for, or MPI, which
    /// waits for no lane, writes to the GPU.
    #[cfg(feature = "cuda")]
    pub(crate) fn needs_idle_receiver(&self) -> bool {
        let way = self.way();
        matches!(
            way,
            Some(Way::Handshake | Way::Along(Path::SharedPinned | Path::CudaAware))
        )
    }

    /// The way, unless this is no waybill.
    pub(crate) fn way(&self) -> Option<Way> {
        match self.way {
            HANDSHAKE => Some(Way::Handshake),
            code => Path::from_code(code).map(Way::Along),
        }
    }
}
