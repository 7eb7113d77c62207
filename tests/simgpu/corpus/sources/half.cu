// Half precision and bfloat16, by the intrinsics of their headers.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

extern "C" __global__ void half_arithmetic(const __half* a, const __half* b, __half* out) {
    int i = threadIdx.x;
    out[6 * i] = __hadd(a[i], b[i]);
    out[6 * i + 1] = __hsub(a[i], b[i]);
    out[6 * i + 2] = __hmul(a[i], b[i]);
    out[6 * i + 3] = __hfma(a[i], b[i], a[i]);
    out[6 * i + 4] = __hneg(a[i]);
    out[6 * i + 5] = __habs(b[i]);
}

extern "C" __global__ void half_pairs(const __half2* a, const __half2* b, __half2* out) {
    int i = threadIdx.x;
    out[4 * i] = __hadd2(a[i], b[i]);
    out[4 * i + 1] = __hmul2(a[i], b[i]);
    out[4 * i + 2] = __hfma2(a[i], b[i], b[i]);
    out[4 * i + 3] = __lowhigh2highlow(a[i]);
}

extern "C" __global__ void half_comparisons(const __half* a, const __half* b, unsigned* out) {
    int i = threadIdx.x;
    out[i] = __heq(a[i], b[i]) | __hlt(a[i], b[i]) << 1 | __hgeu(a[i], b[i]) << 2 | __hisnan(a[i]) << 3
             | (a[i] > b[i]) << 4 | __hbeq2(__half2half2(a[i]), __half2half2(b[i])) << 5;
}

extern "C" __global__ void half_conversions(const float* in, __half* h, float* back, int* whole) {
    int i = threadIdx.x;
    h[i] = __float2half(in[i]);
    back[i] = __half2float(__float2half_rz(in[i]));
    whole[i] = __half2int_rn(h[i]);
}

extern "C" __global__ void half_dot(const __half2* a, const __half2* b, float* out, int n) {
    float sum = 0;
    for (int i = threadIdx.x; i < n; i += 32) {
        float2 x = __half22float2(a[i]), y = __half22float2(b[i]);
        sum = fmaf(x.x, y.x, sum);
        sum = fmaf(x.y, y.y, sum);
    }
    for (int mask = 16; mask > 0; mask /= 2) {
        sum += __shfl_xor_sync(0xffffffffu, sum, mask);
    }
    out[threadIdx.x] = sum;
}

extern "C" __global__ void half_shuffle(const __half2* in, __half2* out) {
    __half2 v = in[threadIdx.x];
    out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, v, 5);
}

extern "C" __global__ void brain_conversions(const float* in, __nv_bfloat16* b, float* back) {
    int i = threadIdx.x;
    b[i] = __float2bfloat16(in[i]);
    back[i] = __bfloat162float(__float2bfloat16_rz(in[i]));
}

extern "C" __global__ void brain_dot(const __nv_bfloat16* a, const __nv_bfloat16* b, float* out) {
    out[threadIdx.x] = __bfloat162float(a[threadIdx.x]) * __bfloat162float(b[threadIdx.x]);
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void brain_arithmetic(const __nv_bfloat16* a, const __nv_bfloat16* b, __nv_bfloat16* out) {
    int i = threadIdx.x;
    out[3 * i] = __hfma(a[i], b[i], a[i]);
    out[3 * i + 1] = __hmax(a[i], b[i]);
    out[3 * i + 2] = __hneg(a[i]);
}

extern "C" __global__ void half_extremes(const __half* a, const __half* b, __half* out) {
    int i = threadIdx.x;
    out[3 * i] = __hmin(a[i], b[i]);
    out[3 * i + 1] = __hmax_nan(a[i], b[i]);
    out[3 * i + 2] = __hfma_relu(a[i], b[i], a[i]);
}
#endif
