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
    /// Whether the two are to find out about CUDA IPC, in a handshake.
    pub is_for_ipc: u8,
    /// The path where a handshake comes to nothing.
    otherwise: u8,
    reserved: [u8; 5],
    /// The receiver's number for the message, in its process.
    pub number: u64,
    /// The number of the handshake in which the two processes have come to share memory; its own in the first one.
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

    /// Along a path through the memory that the two processes have come to share in handshake `link`.
    #[cfg(feature = "cuda")]
    pub(crate) fn through(link: u64, number: u64, path: Path) -> Waybill {
        Waybill {
            number,
            link,
            ..Waybill::along(path)
        }
    }

    /// A handshake with a rank on `node` that listens at `address`, about CUDA IPC or else about page-locked memory;
    /// `link` if the two share memory already; the path where it comes to nothing.
    #[cfg(feature = "cuda")]
    pub(crate) fn handshake(
        number: u64,
        (node, address): (i64, u64),
        is_for_ipc: bool,
        link: Option<u64>,
        otherwise: Path,
    ) -> Waybill {
        Waybill {
            way: HANDSHAKE,
            is_for_ipc: is_for_ipc.into(),
            otherwise: otherwise as u8,
            reserved: [0; 5],
            number,
            link: link.unwrap_or(number),
            node,
            address,
        }
    }

    /// The path where a handshake comes to nothing.
    #[cfg(feature = "cuda")]
    pub(crate) fn otherwise(&self) -> Path {
        Path::from_code(self.otherwise).unwrap_or(Path::Staged)
    }

    /// The way, unless this is no waybill.
    pub(crate) fn way(&self) -> Option<Way> {
        match self.way {
            HANDSHAKE => Some(Way::Handshake),
            code => Path::from_code(code).map(Way::Along),
        }
    }
}
