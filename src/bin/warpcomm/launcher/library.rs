//! Which MPI a program is linked with, read from its ELF file.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use object::elf::{DT_NEEDED, FileHeader32, FileHeader64};
use object::read::elf::FileHeader;
use object::{Endianness, FileKind, ReadCache, ReadRef};

/// The MPI libraries that need launchers of different kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MpiLibrary {
    /// `libmpi.so.40`: Open MPI 3 to 5.
    OpenMpi,
    /// `libmpi.so.12`: the common binary interface of MPICH, Intel MPI, MVAPICH and others.
    MpichInterface,
    /// `libmpich.so.12`: MPICH as Debian and Ubuntu name it.
    DebianMpich,
}

impl MpiLibrary {
    const ALL: [Self; 3] = [Self::OpenMpi, Self::MpichInterface, Self::DebianMpich];

    /// The file name that a program asks the dynamic linker for.
    pub fn soname(self) -> &'static str {
        match self {
            Self::OpenMpi => "libmpi.so.40",
            Self::MpichInterface => "libmpi.so.12",
            Self::DebianMpich => "libmpich.so.12",
        }
    }

    /// The package with a fitting launcher, in the words of a message.
    pub fn package(self) -> &'static str {
        match self {
            Self::OpenMpi => "`openmpi-bin`",
            Self::MpichInterface | Self::DebianMpich => "`mpich`",
        }
    }

    /// The MPI library among the libraries that a program needs.
    pub fn among<'a>(needed: impl IntoIterator<Item = &'a OsString>) -> Option<Self> {
        needed
            .into_iter()
            .find_map(|name| Self::ALL.into_iter().find(|library| name == library.soname()))
    }

    /// The MPI library that the program in the file `program` is linked with.
    ///
    /// `None` where it cannot be told: a script, a static program, or one that loads MPI as a plug-in.
    pub fn of(program: &Path) -> Option<Self> {
        Self::among(&needed_libraries(program)?)
    }
}

impl fmt::Display for MpiLibrary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let implementation = match self {
            Self::OpenMpi => "Open MPI",
            Self::MpichInterface => "MPICH or Intel MPI",
            Self::DebianMpich => "MPICH of Debian",
        };
        write!(f, "{} ({implementation})", self.soname())
    }
}

/// The names of the shared libraries that the program in a file needs (`DT_NEEDED`); `None` if the file is no
/// readable ELF file.
pub fn needed_libraries(program: &Path) -> Option<Vec<OsString>> {
    // Test programs with debug information are large, so that only the parts in question are read.
    let data = ReadCache::new(File::open(program).ok()?);
    let needed = match FileKind::parse(&data).ok()? {
        FileKind::Elf32 => needed_by::<FileHeader32<Endianness>, _>(&data),
        FileKind::Elf64 => needed_by::<FileHeader64<Endianness>, _>(&data),
        _ => return None,
    };
    needed.ok()
}

fn needed_by<'data, Header: FileHeader, Data: ReadRef<'data>>(
    data: Data,
) -> object::read::Result<Vec<OsString>> {
    let header = Header::parse(data)?;
    let endian = header.endian()?;
    let table = header.sections(endian, data)?.dynamic_table(endian, data)?;
    table
        .iter()
        .filter(|entry| entry.tag == DT_NEEDED)
        .map(|entry| Ok(OsString::from_vec(table.string(entry)?.to_vec())))
        .collect()
}
