// Printing from a kernel.
#ifndef __CUDACC_RTC__
#include <cstdio>
#endif

extern "C" __global__ void prints(const int* in, int* out) {
    if (threadIdx.x == 0) {
        printf("%d of %s: %f, %lld\n", in[0], "simgpu", 1.5, 1ll << 40);
    }
    out[threadIdx.x] = in[threadIdx.x] + 1;
}
