// Reductions, scans and what a warp does together.

template <typename T, typename F>
__device__ T warp_fold(T value, F f) {
    for (int distance = 16; distance > 0; distance /= 2) {
        value = f(value, __shfl_down_sync(0xffffffffu, value, distance));
    }
    return value;
}

template <typename T>
struct Add {
    __device__ T operator()(T a, T b) const { return a + b; }
};

template <typename T>
struct Largest {
    __device__ T operator()(T a, T b) const { return a > b ? a : b; }
};

template <typename T, typename F>
__device__ void block_fold(const T* in, T* out, int n, T identity, F f) {
    __shared__ T partial[32];
    T value = identity;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) {
        value = f(value, in[i]);
    }
    value = warp_fold(value, f);
    if (threadIdx.x % 32 == 0) {
        partial[threadIdx.x / 32] = value;
    }
    __syncthreads();
    if (threadIdx.x < 32) {
        value = threadIdx.x < blockDim.x / 32 ? partial[threadIdx.x] : identity;
        value = warp_fold(value, f);
        if (threadIdx.x == 0) {
            out[blockIdx.x] = value;
        }
    }
}

extern "C" __global__ void sum_i32(const int* in, int* out, int n) { block_fold(in, out, n, 0, Add<int>()); }
extern "C" __global__ void sum_f32(const float* in, float* out, int n) { block_fold(in, out, n, 0.0f, Add<float>()); }
extern "C" __global__ void sum_f64(const double* in, double* out, int n) { block_fold(in, out, n, 0.0, Add<double>()); }
extern "C" __global__ void max_i64(const long long* in, long long* out, int n) {
    block_fold(in, out, n, -9223372036854775807LL - 1, Largest<long long>());
}

// A tree in dynamic shared memory.
extern "C" __global__ void sum_dynamic(const unsigned* in, unsigned* out, int n) {
    extern __shared__ unsigned cells[];
    unsigned t = threadIdx.x;
    unsigned i = blockIdx.x * blockDim.x + t;
    cells[t] = i < n ? in[i] : 0;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half >>= 1) {
        if (t < half) {
            cells[t] += cells[t + half];
        }
        __syncthreads();
    }
    if (t == 0) {
        out[blockIdx.x] = cells[0];
    }
}

// An inclusive scan of each warp, and of the block through shared memory.
extern "C" __global__ void scan(const int* in, int* out, int n) {
    __shared__ int totals[32];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int value = i < n ? in[i] : 0;
    for (int distance = 1; distance < 32; distance *= 2) {
        int left = __shfl_up_sync(0xffffffffu, value, distance);
        if (lane >= distance) {
            value += left;
        }
    }
    if (lane == 31) {
        totals[warp] = value;
    }
    __syncthreads();
    for (int before = 0; before < warp; before++) {
        value += totals[before];
    }
    if (i < n) {
        out[i] = value;
    }
}

extern "C" __global__ void butterfly(const double* in, double* out) {
    double value = in[threadIdx.x];
    for (int mask = 16; mask > 0; mask /= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, mask);
    }
    out[threadIdx.x] = value;
}

// Places of the elements that pass, in order, within each warp.
extern "C" __global__ void compact(const int* in, int* out, unsigned* ballots, int threshold) {
    int lane = threadIdx.x % 32;
    int base = threadIdx.x - lane;
    bool passes = in[threadIdx.x] > threshold;
    unsigned ballot = __ballot_sync(0xffffffffu, passes);
    if (passes) {
        out[base + __popc(ballot & ((1u << lane) - 1))] = in[threadIdx.x];
    }
    if (lane == 0) {
        ballots[threadIdx.x / 32] = ballot;
    }
}

extern "C" __global__ void votes(const int* in, int* out) {
    int value = in[threadIdx.x];
    int all = __all_sync(0xffffffffu, value > 0);
    int any = __any_sync(0xffffffffu, value > 100);
    int count = __syncthreads_count(value & 1);
    int both = __syncthreads_and(value < 1000);
    int either = __syncthreads_or(value == 77);
    out[threadIdx.x] = all | any << 1 | (both != 0) << 2 | (either != 0) << 3 | count << 4;
}

extern "C" __global__ void matches(const unsigned long long* in, unsigned* out) {
    int same;
    unsigned any = __match_any_sync(0xffffffffu, in[threadIdx.x]);
    unsigned all = __match_all_sync(0xffffffffu, (unsigned)(in[threadIdx.x] >> 32), &same);
    out[threadIdx.x] = any ^ all ^ same;
}

#if __CUDA_ARCH__ >= 800
extern "C" __global__ void warp_instructions(const unsigned* in, unsigned* out) {
    unsigned value = in[threadIdx.x];
    out[threadIdx.x] = __reduce_add_sync(0xffffffffu, value) ^ __reduce_max_sync(0xffffffffu, value)
                       ^ __reduce_xor_sync(0xffffffffu, value) ^ (unsigned)__reduce_min_sync(0xffffffffu, (int)value);
}
#endif

// Only some lanes take part.
extern "C" __global__ void odd_lanes(const int* in, int* out) {
    int value = in[threadIdx.x];
    if (threadIdx.x % 2) {
        for (int distance = 16; distance > 1; distance /= 2) {
            value += __shfl_xor_sync(0xaaaaaaaau, value, distance);
        }
    }
    out[threadIdx.x] = value;
}

extern "C" __global__ void transpose(const float* in, float* out, int width, int height) {
    __shared__ float tile[16][17];
    int x = blockIdx.x * 16 + threadIdx.x, y = blockIdx.y * 16 + threadIdx.y;
    if (x < width && y < height) {
        tile[threadIdx.y][threadIdx.x] = in[y * width + x];
    }
    __syncthreads();
    x = blockIdx.y * 16 + threadIdx.x;
    y = blockIdx.x * 16 + threadIdx.y;
    if (x < height && y < width) {
        out[y * height + x] = tile[threadIdx.x][threadIdx.y];
    }
}

extern "C" __global__ void product(const float* a, const float* b, float* c, int n) {
    __shared__ float left[8][8], right[8][8];
    int row = blockIdx.y * 8 + threadIdx.y, column = blockIdx.x * 8 + threadIdx.x;
    float sum = 0;
    for (int k = 0; k < n; k += 8) {
        left[threadIdx.y][threadIdx.x] = a[row * n + k + threadIdx.x];
        right[threadIdx.y][threadIdx.x] = b[(k + threadIdx.y) * n + column];
        __syncthreads();
#pragma unroll
        for (int i = 0; i < 8; i++) {
            sum += left[threadIdx.y][i] * right[i][threadIdx.x];
        }
        __syncthreads();
    }
    c[row * n + column] = sum;
}
