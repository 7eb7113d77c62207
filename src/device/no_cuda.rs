//! A build without the feature `cuda`: there are no lanes, and the compiler knows it.

use super::{Device, Fold, Subtree};
use crate::error::Result;

pub(crate) enum Lane {}

impl Lane {
    pub(crate) fn after(&self, _earlier: &Lane) -> Result<()> {
        match *self {}
    }

    pub(crate) fn shares_memory(&self, _other: &Lane) -> bool {
        match *self {}
    }

    pub(crate) async unsafe fn read(&self, _source: usize, _target: &mut [u8]) -> Result<()> {
        match *self {}
    }

    pub(crate) async unsafe fn write(&self, _source: &[u8], _target: usize) -> Result<()> {
        match *self {}
    }

    pub(crate) async fn settle(&self) -> Result<()> {
        match *self {}
    }

    pub(crate) fn wait(&self) {
        match *self {}
    }
}

impl Device for Lane {
    fn allocate(&self, _bytes: usize) -> Result<*mut u8> {
        match *self {}
    }

    unsafe fn free(&self, _pointer: *mut u8, _bytes: usize) {
        match *self {}
    }

    unsafe fn copy(&self, _source: *const u8, _target: *mut u8, _bytes: usize) -> Result<()> {
        match *self {}
    }

    unsafe fn fold(
        &self,
        _fold: Fold,
        _inputs: &[*const u8],
        _output: *mut u8,
        _elements: usize,
    ) -> Result<()> {
        match *self {}
    }

    unsafe fn fold_subtrees(
        &self,
        _fold: Fold,
        _subtrees: &[Subtree],
        _output: *mut u8,
        _is_partial: bool,
        _elements: usize,
    ) -> Result<()> {
        match *self {}
    }
}
