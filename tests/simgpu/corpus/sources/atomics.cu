// Atomics of every kind on global, shared and generic addresses.

extern "C" __global__ void histogram(const unsigned char* in, unsigned* out, int n) {
    __shared__ unsigned bins[16];
    if (threadIdx.x < 16) {
        bins[threadIdx.x] = 0;
    }
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        atomicAdd(&bins[in[i] & 15], 1u);
    }
    __syncthreads();
    if (threadIdx.x < 16) {
        atomicAdd(&out[threadIdx.x], bins[threadIdx.x]);
    }
}

extern "C" __global__ void each_kind(const int* in, int* cells) {
    int value = in[blockIdx.x * blockDim.x + threadIdx.x];
    atomicAdd(&cells[0], value);
    atomicSub(&cells[1], value);
    atomicMin(&cells[2], value);
    atomicMax(&cells[3], value);
    atomicMin((unsigned*)&cells[4], (unsigned)value);
    atomicMax((unsigned*)&cells[5], (unsigned)value);
    atomicAnd(&cells[6], value | 0xff);
    atomicOr(&cells[7], value & 0xff00);
    atomicXor(&cells[8], value);
    atomicInc((unsigned*)&cells[9], 36);
    atomicDec((unsigned*)&cells[10], 36);
}

extern "C" __global__ void each_kind_64(const unsigned long long* in, unsigned long long* cells) {
    unsigned long long value = in[threadIdx.x];
    atomicAdd(&cells[0], value);
    atomicMin(&cells[1], value);
    atomicMax(&cells[2], value);
    atomicMin((long long*)&cells[3], (long long)value);
    atomicMax((long long*)&cells[4], (long long)value);
    atomicAnd(&cells[5], value | 0xffff);
    atomicOr(&cells[6], value & 0xff00);
    atomicXor(&cells[7], value);
}

// Exact in any order: multiples of one half.
extern "C" __global__ void floats(const float* in, float* f, double* d) {
    atomicAdd(f, in[threadIdx.x]);
    atomicAdd(d, (double)in[threadIdx.x] / 4);
}

extern "C" __global__ void old_values(unsigned* cell, unsigned* seen) {
    seen[atomicAdd(cell, 1u)] = 1;
    unsigned before = atomicExch(cell + 1, threadIdx.x);
    if (before != 0xffffffffu) {
        seen[before + blockDim.x] = 1;
    }
}

// A product by compare and swap, of integers and of the bits of a double.
extern "C" __global__ void swaps(const unsigned* in, unsigned* product, unsigned long long* bits, unsigned short* half) {
    unsigned value = in[threadIdx.x];
    unsigned old = *product, assumed;
    do {
        assumed = old;
        old = atomicCAS(product, assumed, assumed * value);
    } while (assumed != old);
    unsigned long long seen = *bits, expected;
    do {
        expected = seen;
        double next = __longlong_as_double(expected) + value;
        seen = atomicCAS(bits, expected, __double_as_longlong(next));
    } while (seen != expected);
    unsigned short now = *half, before;
    do {
        before = now;
        now = atomicCAS(half, before, (unsigned short)(before + value));
    } while (now != before);
}

// The last block to arrive adds what all have written.
extern "C" __global__ void last_block(const int* in, int* partial, unsigned* arrived, int* out) {
    __shared__ bool last;
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = in[blockIdx.x] * 3;
        __threadfence();
        last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (last && threadIdx.x == 0) {
        int sum = 0;
        for (unsigned i = 0; i < gridDim.x; i++) {
            sum += ((volatile int*)partial)[i];
        }
        *out = sum;
    }
}

extern "C" __global__ void scopes(int* cells) {
    atomicAdd_block(&cells[0], 1);
    atomicAdd_system(&cells[1], 2);
    atomicExch_system(&cells[2], 7);
    atomicMax_block(&cells[3], (int)threadIdx.x);
}
