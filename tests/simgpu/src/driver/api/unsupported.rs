//! Functions that programs look for and that are not simulated.

use std::ffi::c_int;

use crate::driver::status::Status;

macro_rules! unsupported {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() -> c_int {
            Status::ERROR_NOT_SUPPORTED.0
        }
    )*};
}

unsupported! {
    cuArray3DCreate_v2 cuArrayCreate_v2 cuArrayDestroy
    cuCoredumpGetAttribute cuCtxGetExecAffinity cuCtxGetSharedMemConfig cuCtxResetPersistingL2Cache
    cuCtxSetSharedMemConfig cuDestroyExternalMemory cuDestroyExternalSemaphore
    cuDeviceGetExecAffinitySupport cuDeviceGetGraphMemAttribute cuDeviceGetLuid cuDeviceGetNvSciSyncAttributes
    cuDeviceGetTexture1DLinearMaxWidth cuDeviceGraphMemTrim cuDeviceSetGraphMemAttribute
    cuExternalMemoryGetMappedBuffer cuExternalMemoryGetMappedMipmappedArray cuFlushGPUDirectRDMAWrites
    cuFuncSetSharedMemConfig
    cuGraphAddDependencies cuGraphAddEmptyNode cuGraphAddHostNode cuGraphAddKernelNode_v2 cuGraphAddMemcpyNode
    cuGraphAddMemsetNode cuGraphClone cuGraphCreate cuGraphDestroy cuGraphExecDestroy cuGraphExecUpdate_v2
    cuGraphGetNodes cuGraphInstantiateWithFlags cuGraphInstantiateWithParams cuGraphLaunch cuGraphUpload
    cuGraphicsMapResources cuGraphicsUnmapResources
    cuImportExternalMemory cuImportExternalSemaphore
    cuLaunchCooperativeKernel cuLaunchCooperativeKernelMultiDevice
    cuLibraryLoadFromFile cuLinkAddData_v2 cuLinkAddFile_v2 cuLinkComplete cuLinkCreate_v2 cuLinkDestroy
    cuMemAddressFree cuMemAddressReserve cuMemAdvise cuMemAdvise_v2 cuMemCreate cuMemExportToShareableHandle
    cuMemGetAccess cuMemGetAllocationGranularity cuMemGetAllocationPropertiesFromHandle
    cuMemGetHandleForAddressRange cuMemImportFromShareableHandle cuMemMap cuMemMapArrayAsync
    cuMemPoolCreate cuMemPoolDestroy cuMemPoolExportPointer cuMemPoolExportToShareableHandle
    cuMemPoolGetAccess cuMemPoolImportFromShareableHandle cuMemPoolImportPointer cuMemPoolSetAccess
    cuMemPrefetchAsync cuMemPrefetchAsync_v2 cuMemRangeGetAttribute cuMemRangeGetAttributes cuMemRelease
    cuMemRetainAllocationHandle cuMemSetAccess cuMemUnmap
    cuMemcpy3DAsync_v2 cuMemcpy3DPeer cuMemcpy3DPeerAsync cuMemcpy3D_v2 cuMemcpyAtoH_v2 cuMemcpyHtoA_v2
    cuMulticastCreate cuMulticastGetGranularity
    cuOccupancyMaxActiveClusters cuOccupancyMaxPotentialClusterSize cuProfilerStart cuProfilerStop
    cuSignalExternalSemaphoresAsync cuStreamBatchMemOp_v2 cuStreamBeginCapture_v2 cuStreamCopyAttributes
    cuStreamEndCapture cuStreamGetAttribute cuStreamGetCaptureInfo_v2 cuStreamSetAttribute
    cuStreamWaitValue32_v2 cuStreamWaitValue64_v2 cuStreamWriteValue64_v2
    cuSurfObjectCreate cuTexObjectCreate cuThreadExchangeStreamCaptureMode cuUserObjectCreate
    cuWaitExternalSemaphoresAsync
}
